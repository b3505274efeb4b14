import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aws_cdk import Environment, RemovalPolicy, Stack
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_kms as kms
from constructs import Construct

from charts.helm_charts import HelmCharts
from charts.images import Images
from config.image_registries import EcrRegistry, image_registries
from config.schema import Account

_PULL = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
_PUSH = [*_PULL, "ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"]
_UNFINISHED_DAYS = 14
_LIFECYCLE = {
    "rulePriority": 1,
    "description": "what an interrupted copy left",
    "selection": {
        "tagStatus": "untagged",
        "countType": "sinceImagePushed",
        "countUnit": "days",
        "countNumber": _UNFINISHED_DAYS,
    },
    "action": {"type": "expire"},
}


@dataclass(frozen=True)
class MirrorRegistry:
    """A registry of ECR that account files name.

    :param readers: ids of the accounts that take their images from it.
    """

    registry: EcrRegistry
    readers: tuple[str, ...]

    @property
    def stack_id(self) -> str:
        """The same for the same registry, another for another."""
        parts = ("Mirror", self.registry.account, self.registry.region, self.registry.prefix)
        return "-".join(re.sub(r"[^a-zA-Z0-9-]", "-", part) for part in parts if part)

    @property
    def repositories(self) -> dict[str, str]:
        """Names of the repositories by what they hold: an image by its upstream name, a chart below ``charts/``."""
        images = sorted({image.image for image in Images.load()})
        charts = [f"charts/{chart.name}" for chart in HelmCharts.load()]
        return {path: self.registry.repository(path) for path in [*images, *charts]}


def registries_of(accounts: Mapping[str, Account]) -> list[MirrorRegistry]:
    """The registries of ECR that the account files name; others are not ours to make."""
    found = {EcrRegistry.parse(address): readers for address, readers in image_registries(accounts).items()}
    return [MirrorRegistry(registry, readers) for registry, readers in found.items() if registry]


def push_statements(registries: Sequence[MirrorRegistry]) -> list[dict[str, Any]]:
    """What whoever fills the mirrors needs besides: to log in, and to push to exactly their repositories."""
    repositories = [
        f"arn:{mirror.registry.partition}:ecr:{mirror.registry.region}:{mirror.registry.account}:repository/{name}"
        for mirror in registries
        for name in mirror.repositories.values()
    ]
    return [
        {"Effect": "Allow", "Action": ["ecr:GetAuthorizationToken"], "Resource": ["*"]},
        {"Effect": "Allow", "Action": _PUSH, "Resource": repositories},
    ]


class MirrorStack(Stack):
    """The repositories of one mirror: one for each image and chart of the lists, in the account of the registry.

    A tag names one image for ever, images are scanned when they arrive, layers are encrypted. Nothing that has a tag
    expires, nor what an index with a tag refers to; what an interrupted copy left does. The names are those by which
    the platform's objects ask for their images, hence fixed; repositories outlive the stack and their entry in a list,
    because a former release may still run what they hold.

    :param writer_account: id of the account whose mirror step pushes. Default: the registry's own.
    """

    def __init__(
        self, scope: Construct, id: str, *, registry: MirrorRegistry, writer_account: str | None = None
    ) -> None:
        address = registry.registry
        super().__init__(scope, id, env=Environment(account=address.account, region=address.region))
        key = kms.Key(
            self,
            "Key",
            description=f"{self.node.path}: mirrored images and charts",
            enable_key_rotation=True,
            removal_policy=RemovalPolicy.RETAIN,
        )
        policy = self._policy(registry.readers, writer_account or address.account)
        key_arn = key.key_arn
        for path, name in registry.repositories.items():
            repository = ecr.CfnRepository(
                self,
                path,
                repository_name=name,
                image_tag_mutability="IMMUTABLE",
                image_scanning_configuration=ecr.CfnRepository.ImageScanningConfigurationProperty(scan_on_push=True),
                encryption_configuration=ecr.CfnRepository.EncryptionConfigurationProperty(
                    encryption_type="KMS", kms_key=key_arn
                ),
                lifecycle_policy=ecr.CfnRepository.LifecyclePolicyProperty(
                    lifecycle_policy_text=json.dumps({"rules": [_LIFECYCLE]})
                ),
                repository_policy_text=policy,
            )
            repository.apply_removal_policy(RemovalPolicy.RETAIN)

    def _policy(self, readers: Sequence[str], writer: str) -> dict[str, Any] | None:
        """Who of other accounts may pull and push; its own account's roles are let in by their own policies."""
        strangers = [account for account in readers if account != self.account]
        statements = [("Readers", strangers, _PULL), ("Writer", [writer] if writer != self.account else [], _PUSH)]
        document = [
            {
                "Sid": sid,
                "Effect": "Allow",
                "Principal": {"AWS": [f"arn:{self.partition}:iam::{account}:root" for account in accounts]},
                "Action": actions,
            }
            for sid, accounts, actions in statements
            if accounts
        ]
        return {"Version": "2012-10-17", "Statement": document} if document else None
