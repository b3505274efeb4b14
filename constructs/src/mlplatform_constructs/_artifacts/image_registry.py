import re
from collections.abc import Sequence
from typing import cast

from aws_cdk import Acknowledgment, Duration, Names, RemovalPolicy, Stack, Validations
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from .._arguments import ConfigurationError, checked, is_token

PULL = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
PUSH = ["ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"]


class ImageRegistry(Construct):
    """ECR repositories for container images, such as packaged models.

    Tags are immutable, images are scanned when they are pushed, and layers are encrypted. Untagged images expire after
    ``untagged_days``; tagged images are retained, because they may be in use.

    CloudFormation generates the names of the repositories, so that a replacement does not conflict with the old name.
    Their addresses are in ``repository(name).repository_uri``.

    :param repositories: keys of the repositories.
    :param encryption_key: encrypts layers at rest. Default: a new key, rotated yearly.
    :param untagged_days: days after which an image without a tag is deleted. Default: 14.
    :param removal_policy: removal policy of repositories and key; DESTROY deletes the images as well. Default: RETAIN.
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        repositories: Sequence[str] = (),
        encryption_key: kms.IKey | kms.Key | None = None,
        untagged_days: int = 14,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, id)
        if not is_token(untagged_days) and untagged_days < 1:
            raise ConfigurationError(f"{self.node.path}: untagged_days must be 1 or more, got {untagged_days}")
        for position, name in enumerate(repositories):
            self._check_name(name, repositories[:position])
        self._repositories: dict[str, ecr.Repository] = {}
        self._untagged_days = untagged_days
        self._removal_policy = removal_policy

        self.key = encryption_key or kms.Key(self, "Key", enable_key_rotation=True, removal_policy=removal_policy)
        for name in repositories:
            self.add_repository(name)

    @checked
    def add_repository(self, name: str) -> ecr.Repository:
        """Make one more repository, known as ``name``: lower case letters, digits and dashes."""
        self._check_name(name, list(self._repositories))
        self._repositories[name] = ecr.Repository(
            self,
            name,
            image_tag_mutability=ecr.TagMutability.IMMUTABLE,
            image_scan_on_push=True,
            encryption_key=self.key,
            lifecycle_rules=[
                ecr.LifecycleRule(
                    description="images without a tag",
                    tag_status=ecr.TagStatus.UNTAGGED,
                    max_image_age=Duration.days(self._untagged_days),
                )
            ],
            removal_policy=self._removal_policy,
            empty_on_delete=self._removal_policy == RemovalPolicy.DESTROY,
        )
        return self._repositories[name]

    @checked
    def repository(self, name: str) -> ecr.Repository:
        """The repository known as ``name``."""
        if name not in self._repositories:
            there = ", ".join(self._repositories) or "none"
            raise ConfigurationError(f"{self.node.path}: no repository {name!r}; there are: {there}")
        return self._repositories[name]

    @checked
    def grant_pull(self, grantee: iam.IGrantable, name: str) -> iam.Grant:
        """Allow ``grantee`` to pull images of one repository."""
        return self._grant(grantee, name, PULL)

    @checked
    def grant_push(self, grantee: iam.IGrantable, name: str) -> iam.Grant:
        """Allow ``grantee`` to push new images to one repository, and pull; a tag that exists cannot be moved."""
        return self._grant(grantee, name, [*PULL, *PUSH])

    def _grant(self, grantee: iam.IGrantable, name: str, actions: Sequence[str]) -> iam.Grant:
        grant = self.repository(name).grant(grantee, *actions)
        let_log_in(grantee)
        return grant

    def _check_name(self, name: str, taken: Sequence[str]) -> None:
        if not re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", name):
            raise ConfigurationError(
                f"{self.node.path}: name must be lower case letters, digits and dashes, got {name!r}"
            )
        if name in taken:
            raise ConfigurationError(f"{self.node.path}: repository {name!r} already exists; choose another name")


def let_log_in(grantee: iam.IGrantable) -> None:
    """Allow ``grantee`` to fetch a registry password, by a separate policy with the exception of its wildcard."""
    if not hasattr(grantee.grant_principal, "attach_inline_policy"):
        iam.Grant.add_to_principal(grantee=grantee, actions=["ecr:GetAuthorizationToken"], resource_arns=["*"])
        return
    identity = cast(iam.IRole, grantee.grant_principal)
    stack, id = Stack.of(identity), f"RegistryLogin{Names.node_unique_id(identity.node)}"
    if stack.node.try_find_child(id) is None:
        policy = iam.Policy(
            stack, id, statements=[iam.PolicyStatement(actions=["ecr:GetAuthorizationToken"], resources=["*"])]
        )
        identity.attach_inline_policy(policy)
        reason = "logging in is to all registries of an account; ECR knows no narrower resource"
        Validations.of(policy).acknowledge(Acknowledgment(id="AwsSolutions-IAM5[Resource::*]", reason=reason))
