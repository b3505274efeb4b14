import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from .._arguments import ConfigurationError, checked, is_token
from .._security.account_grant import Arns
from .image_registry import PULL, PUSH, let_log_in

_NAME = re.compile(r"[a-z0-9]+([._-]+[a-z0-9]+|__[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")
_ACCOUNT = re.compile(r"\d{12}")


class ImageMirror(Construct):
    """ECR repositories under fixed names, for copies of images and charts that other accounts pull.

    A tag names the same image for ever, images are scanned when they are pushed, and layers are encrypted with a key of
    the mirror. Images with a tag never expire, nor does what an index with a tag refers to; what an interrupted copy
    left does. Repositories and key outlive the stack, and a repository its entry in ``repositories``, because an
    earlier release may still run what it holds.

    :param repositories: what the repositories hold, such as ``docker.io/library/redis``: their names below ``prefix``.
    :param prefix: begins the names of all repositories in ECR. Default: none.
    :param reader_accounts: ids of accounts that may pull. Default: only the mirror's own, by policies of its roles.
    :param writer_account: id of the account that pushes. Default: the mirror's own.
    :param unfinished_days: days after which an image without a tag is deleted. Default: 14.
    :raises ConfigurationError: for a name that ECR does not allow, or that is given twice, or an id of no account.
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        repositories: Sequence[str],
        prefix: str = "",
        reader_accounts: Sequence[str] = (),
        writer_account: str | None = None,
        unfinished_days: int = 14,
    ) -> None:
        super().__init__(scope, id)
        names = {path: f"{prefix}/{path}" if prefix else path for path in repositories}
        self._check(repositories, names, [*reader_accounts, *([writer_account] if writer_account else [])])
        own = Stack.of(self).account
        self._writer = writer_account or own
        self._arns = [Arns.of(self).regional("ecr", f"repository/{name}") for name in names.values()]
        self.key = kms.Key(
            self,
            "Key",
            description=f"{Stack.of(self).node.path}: mirrored images and charts",
            enable_key_rotation=True,
            removal_policy=RemovalPolicy.RETAIN,
        )
        policy = self._policy([each for each in reader_accounts if each != own], own)
        expiry = _expiry(unfinished_days)
        for path, name in names.items():
            repository = ecr.CfnRepository(
                self,
                path,
                repository_name=name,
                image_tag_mutability="IMMUTABLE",
                image_scanning_configuration=ecr.CfnRepository.ImageScanningConfigurationProperty(scan_on_push=True),
                encryption_configuration=ecr.CfnRepository.EncryptionConfigurationProperty(
                    encryption_type="KMS", kms_key=self.key.key_arn
                ),
                lifecycle_policy=ecr.CfnRepository.LifecyclePolicyProperty(lifecycle_policy_text=expiry),
                repository_policy_text=policy,
            )
            repository.apply_removal_policy(RemovalPolicy.RETAIN)

    @checked
    def grant_push(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee``, a role of the account that writes, to push new images to all repositories, and pull.

        :raises ConfigurationError: for a role of an account that the repositories do not admit.
        """
        account = grantee.grant_principal.principal_account
        known = account is not None and not is_token(account) and not is_token(self._writer)
        if known and account != self._writer:
            raise ConfigurationError(
                f"{self.node.path}: the grantee of grant_push is of account {account}; grant to a role of account "
                f"{self._writer}, or set writer_account"
            )
        grant = iam.Grant.add_to_principal(grantee=grantee, actions=[*PULL, *PUSH], resource_arns=self._arns)
        let_log_in(grantee)
        return grant

    def _check(self, repositories: Sequence[str], names: Mapping[str, str], accounts: Sequence[str]) -> None:
        for name in names.values():
            if not 2 <= len(name) <= 256 or not _NAME.fullmatch(name):
                raise ConfigurationError(
                    f"{self.node.path}: repositories must be names such as docker.io/library/redis, got {name!r}"
                )
        if len(names) < len(repositories):
            (twice, _), *_ = Counter(repositories).most_common(1)
            raise ConfigurationError(f"{self.node.path}: repository {twice!r} is given twice; give each once")
        for account in accounts:
            if not is_token(account) and not _ACCOUNT.fullmatch(account):
                raise ConfigurationError(f"{self.node.path}: account ids have twelve digits, got {account!r}")

    def _policy(self, readers: Sequence[str], own: str) -> dict[str, Any] | None:
        """Access of other accounts. Roles of the mirror's own account are admitted by their own policies."""
        writers = [self._writer] if self._writer != own else []
        partition = Stack.of(self).partition
        statements = [
            {
                "Sid": sid,
                "Effect": "Allow",
                "Principal": {"AWS": [f"arn:{partition}:iam::{account}:root" for account in accounts]},
                "Action": actions,
            }
            for sid, accounts, actions in (("Readers", readers, PULL), ("Writer", writers, [*PULL, *PUSH]))
            if accounts
        ]
        return {"Version": "2012-10-17", "Statement": statements} if statements else None


def _expiry(days: int) -> str:
    rule = {
        "rulePriority": 1,
        "description": "what an interrupted copy left",
        "selection": {
            "tagStatus": "untagged",
            "countType": "sinceImagePushed",
            "countUnit": "days",
            "countNumber": days,
        },
        "action": {"type": "expire"},
    }
    return json.dumps({"rules": [rule]})
