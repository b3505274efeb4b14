"""Searches for paths from limited rights to administrator access, another tenant's data, or the audit trail.

A step leads from one identity to another: assuming a role, passing a role to a workload, changing the code of a
workload, or changing what is deployed. Conditions of statements count as fulfilled. A path that is found may therefore
not be usable in practice; a path that is not found does not exist, as far as these kinds of steps are concerned.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from assurance.permissions import cluster_steps, tenants
from assurance.permissions.conditions import like
from assurance.permissions.physical import Place
from assurance.permissions.roles import Role
from assurance.permissions.steps import ADMINISTRATOR, AUDIT, Step, may, node_of
from assurance.permissions.tenants import DATA, Tenants
from assurance.permissions.world import World
from delivery.gate.templates import Resource

_LAUNCHES = {
    "cloudformation.amazonaws.com": ("cloudformation:CreateStack", "cloudformation:CreateChangeSet"),
    "codebuild.amazonaws.com": ("codebuild:CreateProject", "codebuild:UpdateProject", "codebuild:StartBuild"),
    "ec2.amazonaws.com": (
        *("ec2:RunInstances", "ec2:AssociateIamInstanceProfile", "ec2:CreateLaunchTemplateVersion"),
        "elasticmapreduce:RunJobFlow",
    ),
    "ecs-tasks.amazonaws.com": ("ecs:RunTask", "ecs:RegisterTaskDefinition"),
    "elasticmapreduce.amazonaws.com": ("elasticmapreduce:RunJobFlow",),
    "emr-serverless.amazonaws.com": ("emr-serverless:StartJobRun",),
    "glue.amazonaws.com": ("glue:CreateJob", "glue:CreateDevEndpoint", "glue:UpdateJob"),
    "lambda.amazonaws.com": ("lambda:CreateFunction", "lambda:UpdateFunctionConfiguration"),
    "pods.eks.amazonaws.com": ("eks:CreatePodIdentityAssociation", "eks:UpdatePodIdentityAssociation"),
    "sagemaker.amazonaws.com": (
        *("sagemaker:CreateNotebookInstance", "sagemaker:CreateProcessingJob", "sagemaker:CreateTrainingJob"),
    ),
    "scheduler.amazonaws.com": ("scheduler:CreateSchedule", "scheduler:UpdateSchedule"),
    "states.amazonaws.com": ("states:CreateStateMachine", "states:UpdateStateMachine"),
}
"""What starts something with a role that is passed to a service.
https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html"""
_IAM_WRITES = (
    *("AddUserToGroup", "AttachGroupPolicy", "AttachRolePolicy", "AttachUserPolicy", "CreateAccessKey"),
    *("CreateLoginProfile", "CreatePolicyVersion", "DeleteRolePermissionsBoundary", "DeleteRolePolicy"),
    *("DetachRolePolicy", "PutGroupPolicy", "PutRolePolicy", "PutUserPolicy", "SetDefaultPolicyVersion"),
    *("UpdateAssumeRolePolicy", "UpdateLoginProfile"),
)
IMAGES = "images:"
_RUNNING = (
    ("AWS::Lambda::Function", "Code.ImageUri", "Role"),
    ("AWS::CodeBuild::Project", "Environment.Image", "ServiceRole"),
)
"""Resource types that run images, with the properties that name image and role."""
NOBODY = Tenants()
_HELD = ("provideraction", "providerpermissionsrequired")
"""Condition keys by which the use of a connection is held to reading."""
_HIDES = {
    "AWS::CloudTrail::Trail": "cloudtrail:DeleteTrail cloudtrail:PutEventSelectors cloudtrail:StopLogging "
    "cloudtrail:UpdateTrail",
    "AWS::Logs::LogGroup": "logs:DeleteLogGroup logs:DeleteLogStream logs:PutRetentionPolicy",
    "AWS::S3::Bucket": "s3:DeleteBucketPolicy s3:DeleteObject s3:DeleteObjectVersion s3:PutBucketPolicy "
    "s3:PutLifecycleConfiguration",
    "AWS::KMS::Key": "kms:DisableKey kms:PutKeyPolicy kms:ScheduleKeyDeletion",
}
"""What silences the audit trail, or makes its records unreadable."""


@dataclass(frozen=True)
class Path:
    """Steps from a principal to a target that it must not reach."""

    steps: tuple[Step, ...]

    @property
    def start(self) -> str:
        return self.steps[0].source

    @property
    def target(self) -> str:
        return self.steps[-1].target

    @property
    def via(self) -> str:
        """The kinds of its steps, which identify it in the record."""
        return " > ".join(step.kind for step in self.steps)

    def __str__(self) -> str:
        return self.start + "".join(f"\n    {step.kind}: {step.by} -> {step.target}" for step in self.steps)


class Search:
    """All steps of all accounts, and the paths over them."""

    def __init__(self, world: World, tenants: Tenants = NOBODY) -> None:
        """:param tenants: the teams of the accounts. Default: none, so that no path leads to a team's data."""
        self._world = world
        self._tenants = tenants

    def paths(self) -> Iterator[Path]:
        """The shortest path from each identity to each target that it reaches, except its own."""
        for role in self._world.roles.values():
            if not role.path.startswith("bootstrap/"):
                yield from self._from(node_of(role), self._own[node_of(role)])
        for source in sorted({step.source for steps in self._steps.values() for step in steps}):
            if source.startswith(cluster_steps.SUBJECT):
                yield from self._from(source, cluster_steps.teams_of(source, self._tenants))

    def _from(self, start: str, own: frozenset[str]) -> Iterator[Path]:
        reached: dict[str, tuple[Step, ...]] = {start: ()}
        queue = deque([start])
        while queue:
            here = queue.popleft()
            steps = self._steps.get(here, [])
            # An administrator's path ends: what it reaches beside that is no news.
            for step in [one for one in steps if one.target.startswith(ADMINISTRATOR)] or steps:
                if step.target in reached:
                    continue
                reached[step.target] = (*reached[here], step)
                if step.target.startswith((ADMINISTRATOR, AUDIT)) or self._is_others(step.target, own):
                    yield Path(reached[step.target])
                elif not step.target.startswith((ADMINISTRATOR, AUDIT, DATA)):
                    queue.append(step.target)

    def _is_others(self, target: str, own: frozenset[str]) -> bool:
        """Whether it is the role or the data of a team, and the principal is a member of other teams only."""
        others = {target.rpartition("/")[2]} if target.startswith(DATA) else self._own.get(target, frozenset())
        return bool(own and others and not own & others)

    @cached_property
    def _own(self) -> Mapping[str, frozenset[str]]:
        return {node_of(role): self._tenants.of_role(role) for role in self._world.roles.values()}

    @cached_property
    def _steps(self) -> Mapping[str, list[Step]]:
        found: dict[str, list[Step]] = {}
        others = (*cluster_steps.steps(self._world, self._tenants), *tenants.steps(self._world, self._tenants))
        for step in [*self._of_roles(), *others, *self._of_images()]:
            found.setdefault(step.source, []).append(step)
        return found

    def _of_roles(self) -> Iterator[Step]:
        kinds: tuple[Callable[[Role], Iterator[Step]], ...] = (
            *(self._is_administrator, self._assumes, self._passes, self._changes_code, self._grants_keys),
            *(self._enters_instances, self._starts_builds, self._updates_stacks, self._writes_deployments),
            *(self._pushes, self._silences, self._hands_over_manifests),
        )
        for role in self._world.roles.values():
            for kind in kinds:
                yield from kind(role)

    def _is_administrator(self, role: Role) -> Iterator[Step]:
        target = f"{ADMINISTRATOR}{role.account}"
        if may(role, "iam:CreateUser", "*") and may(role, "s3:GetObject", "*"):
            yield Step(node_of(role), target, "everything", "it may do everything")
            return
        for action in _IAM_WRITES:
            if may(role, f"iam:{action}", f"arn:aws:iam::{role.account}:*"):
                yield Step(node_of(role), target, "iam", f"iam:{action}")

    def _assumes(self, role: Role) -> Iterator[Step]:
        for other in self._world.roles.values():
            if other is role or not may(role, "sts:AssumeRole", other.arn):
                continue
            names = {name for one in other.trust if one.allows and one.principals for name in one.principals.patterns}
            if names & {"AWS:*", f"AWS:{role.arn}", f"AWS:arn:aws:iam::{role.account}:root"}:
                yield Step(node_of(role), node_of(other), "assume", "sts:AssumeRole")

    def _passes(self, role: Role) -> Iterator[Step]:
        for other in self._world.roles.values():
            if other.account != role.account or other is role or not may(role, "iam:PassRole", other.arn):
                continue
            trusted = {name for one in other.trust if one.principals for name in one.principals.patterns}
            for service, actions in _LAUNCHES.items():
                if f"Service:{service}" in trusted and any(may(role, action, "*") for action in actions):
                    yield Step(node_of(role), node_of(other), "pass", f"iam:PassRole to {service}")

    def _changes_code(self, role: Role) -> Iterator[Step]:
        for function in self._mine(role, "AWS::Lambda::Function"):
            for action in ("lambda:UpdateFunctionCode", "lambda:UpdateFunctionConfiguration"):
                own = self._world.roles.get(self._world.get(function, "Role"))
                if own and own is not role and may(role, action, self._world.arn(function)):
                    yield Step(node_of(role), node_of(own), "code", f"{action} of {self._world.path(function)}")

    def _grants_keys(self, role: Role) -> Iterator[Step]:
        """A key's policy can be changed to allow every principal; a grant allows any principal to use the key."""
        for key in self._mine(role, "AWS::KMS::Key"):
            for action in ("kms:CreateGrant", "kms:PutKeyPolicy"):
                only_aws = ("kms:grantisforawsresource", "kms:granteeprincipal")
                if may(role, action, self._world.arn(key), unless=only_aws):
                    target = f"{AUDIT}{role.account}" if self._is_audit(key) else f"key:{self._world.path(key)}"
                    yield Step(node_of(role), target, "key", f"{action} of {self._world.path(key)}")

    def _enters_instances(self, role: Role) -> Iterator[Step]:
        instances = f"arn:aws:ec2:{role.region}:{role.account}:instance/*"
        for action in ("ssm:SendCommand", "ssm:StartSession", "ec2-instance-connect:SendSSHPublicKey"):
            if not may(role, action, instances):
                continue
            for other in self._world.roles.values():
                trusted = {name for one in other.trust if one.principals for name in one.principals.patterns}
                if other.account == role.account and other is not role and "Service:ec2.amazonaws.com" in trusted:
                    yield Step(node_of(role), node_of(other), "ssm", action)

    def _starts_builds(self, role: Role) -> Iterator[Step]:
        """StartBuild can override the commands of the project."""
        for project in self._mine(role, "AWS::CodeBuild::Project"):
            for action in ("codebuild:StartBuild", "codebuild:UpdateProject"):
                own = self._world.roles.get(self._world.get(project, "ServiceRole"))
                if own and own is not role and may(role, action, self._world.arn(project)):
                    yield Step(node_of(role), node_of(own), "build", f"{action} of {self._world.path(project)}")
        for pipeline in self._mine(role, "AWS::CodePipeline::Pipeline"):
            own = self._world.roles.get(self._world.get(pipeline, "RoleArn"))
            if own and own is not role and may(role, "codepipeline:UpdatePipeline", self._world.arn(pipeline)):
                yield Step(node_of(role), node_of(own), "build", "codepipeline:UpdatePipeline")

    def _updates_stacks(self, role: Role) -> Iterator[Step]:
        """A stack keeps the role of its last deployment, so an update does not have to pass one."""
        changes = may(role, "cloudformation:UpdateStack", "*") or (
            may(role, "cloudformation:CreateChangeSet", "*") and may(role, "cloudformation:ExecuteChangeSet", "*")
        )
        if changes:
            yield Step(node_of(role), f"{ADMINISTRATOR}{role.account}", "stacks", "cloudformation:UpdateStack")

    def _writes_deployments(self, role: Role) -> Iterator[Step]:
        """Files that the next deployment uses: code of functions, templates, artifacts of the pipeline."""
        for place in self._places:
            assets = f"arn:aws:s3:::cdk-hnb659fds-assets-{place.account}-{place.region}/*"
            if may(role, "s3:PutObject", assets) and place.account == role.account:
                yield Step(node_of(role), f"{ADMINISTRATOR}{place.account}", "files", "s3:PutObject of assets")
        for bucket in self._world.resources("AWS::S3::Bucket"):
            if self._world.path(bucket) == "Pipeline/Artifacts" and may(
                role, "s3:PutObject", f"{self._world.arn(bucket)}/*"
            ):
                account = self._world.place(bucket).account
                yield Step(
                    node_of(role), f"{ADMINISTRATOR}{account}", "files", "s3:PutObject of the pipeline's artifacts"
                )

    def _pushes(self, role: Role) -> Iterator[Step]:
        """Sources and images that are deployed later."""
        account = self._world.pipeline_account
        for service in ("codeconnections", "codestar-connections"):
            connections = f"arn:aws:{service}:{role.region}:{role.account}:connection/*"
            action, harmless = f"{service}:UseConnection", tuple(f"{service}:{key}" for key in _HELD)
            named = any(pattern.split(":")[2:3] == [service] for pattern in _resources(role, action))
            if account and named and may(role, action, connections, unless=harmless):
                yield Step(node_of(role), f"{ADMINISTRATOR}{account}", "source", f"{action}, by which it may push")
        for repository in self._mine(role, "AWS::ECR::Repository"):
            if may(role, "ecr:PutImage", self._world.arn(repository)):
                by = f"ecr:PutImage to {self._world.path(repository)}"
                yield Step(node_of(role), f"{IMAGES}{self._world.arn(repository)}", "image", by)
        for place in self._places:
            where = f"arn:aws:ecr:{place.region}:{place.account}:repository/cdk-hnb659fds-container-assets-"
            assets = f"{where}{place.account}-{place.region}"
            if place.account == role.account and may(role, "ecr:PutImage", assets):
                yield Step(node_of(role), f"{ADMINISTRATOR}{place.account}", "image", "ecr:PutImage of assets")

    def _of_images(self) -> Iterator[Step]:
        """A principal that can move a tag in use chooses the image of every pod that starts later."""
        for repository in self._world.resources("AWS::ECR::Repository"):
            if self._world.get(repository, "ImageTagMutability").startswith("IMMUTABLE"):
                continue
            place, arn = self._world.place(repository), self._world.arn(repository)
            address = f"{place.account}.dkr.ecr.{place.region}.amazonaws.com/{arn.partition('repository/')[2]}"
            for image, runs_as, by in self._running:
                if "@sha256:" not in image and image.rpartition(":")[0] == address:
                    yield Step(f"{IMAGES}{arn}", runs_as, "image", f"{image} runs as {by}")

    @cached_property
    def _running(self) -> Sequence[tuple[str, str, str]]:
        """Images in use, each with the identity that it runs as and a description."""
        found = [*cluster_steps.images(self._world)]
        for type, image, role in _RUNNING:
            for one in self._world.resources(type):
                found.append((self._world.get(one, image), self._world.get(one, role), self._world.path(one)))
        return found

    def _hands_over_manifests(self, role: Role) -> Iterator[Step]:
        """Functions that apply the object in their event to a cluster, as its administrator."""
        for function in self._mine(role, "AWS::Lambda::Function"):
            path, arn = self._world.path(function), self._world.arn(function)
            own = self._world.roles.get(self._world.get(function, "Role"))
            if "KubectlProvider" in path and own and own is not role and may(role, "lambda:InvokeFunction", arn):
                yield Step(node_of(role), node_of(own), "manifest", f"lambda:InvokeFunction of {path}")

    def _silences(self, role: Role) -> Iterator[Step]:
        for resource in self._mine(role, *_HIDES):
            if not self._is_audit(resource):
                continue
            arn = self._world.arn(resource)
            arn = f"{arn}/*" if resource.type == "AWS::S3::Bucket" else arn
            for action in _HIDES[resource.type].split():
                if may(role, action, arn) or may(role, action, arn.removesuffix("/*")):
                    yield Step(
                        node_of(role), f"{AUDIT}{role.account}", "audit", f"{action} of {self._world.path(resource)}"
                    )

    def _is_audit(self, resource: Resource) -> bool:
        """Whether it is part of the audit trail, or the key of a part."""
        return self._world.path(resource).startswith("Audit/Trail") or self._world.arn(resource) in self._audit_keys

    @cached_property
    def _audit_keys(self) -> frozenset[str]:
        trails = self._world.resources("AWS::CloudTrail::Trail")
        return frozenset(key for trail in trails if (key := self._world.key_of(trail)))

    @cached_property
    def _places(self) -> frozenset[Place]:
        return frozenset(self._world.places.values())

    def _mine(self, role: Role, *types: str) -> Iterator[Resource]:
        return (each for each in self._world.resources(*types) if self._world.place(each).account == role.account)


def _resources(role: Role, action: str) -> Iterator[str]:
    return (
        pattern
        for one in role.statements
        if any(like(action, each, any_case=True) for each in one.actions.patterns)
        for pattern in one.resources.patterns
    )


def general(world: World, node: str) -> str:
    """A node by a name that is the same in every account."""
    role = world.roles.get(node)
    return role.path if role else node.partition(":")[0] if node.startswith((ADMINISTRATOR, AUDIT)) else node
