"""What pipelines for artifacts of users have in common: steps in CodeBuild, one after the other, each with a role."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from aws_cdk import ArnFormat, RemovalPolicy, Stack
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_codepipeline as codepipeline
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_assets as s3_assets
from constructs import Construct

from .._arguments import ConfigurationError
from .._security.account_grant import grant_in_account
from .._security.service_principal import service_principal
from .._storage.access_log_bucket import AccessLogBucket
from .._storage.data_bucket import DataBucket
from .pipeline_source import PipelineSource

IMAGE = "aws/codebuild/standard:7.0"
"""Ubuntu with Docker, Python, Java and Maven, kept by AWS.
https://docs.aws.amazon.com/codebuild/latest/userguide/build-env-ref-available.html"""

Severity = Literal["CRITICAL", "HIGH", "MEDIUM", "LOW"]

_TOOLS = Path(__file__).parent / "pipeline_tools"
_STORED_DAYS = 60


@dataclass(frozen=True, kw_only=True)
class Step:
    """One stage of a pipeline: commands on their own machine.

    :param commands: run one by one; the first that fails ends the pipeline.
    :param takes: the artifact in which they run.
    :param gives: name of the artifact that they leave in ``release/``. Default: none.
    :param tools: the module of ``pipeline_tools`` that runs after the commands. Default: none.
    :param environment: variables.
    :param runtimes: languages and their versions, as CodeBuild names them.
    :param privileged: whether there is a Docker daemon.
    :param releases: whether it stores, signs and announces the release.
    :param minutes: after which it is given up.
    """

    name: str
    takes: str
    commands: Sequence[str] = ()
    gives: str | None = None
    tools: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    runtimes: Mapping[str, str] = field(default_factory=dict)
    privileged: bool = False
    releases: bool = False
    minutes: int = 60

    def build_spec(self, tools: str) -> str:
        """As CodeBuild takes it.

        :param tools: address of the archive with the modules.
        """
        unpack = [
            f"aws s3 cp --quiet {tools} /tmp/tools.zip",
            "python3 -m zipfile -e /tmp/tools.zip /tmp/tools/pipeline_tools",
        ]
        run = [f"PYTHONPATH=/tmp/tools python3 -m pipeline_tools.{self.tools}"] if self.tools else []
        install: dict[str, Any] = {"commands": unpack} if self.tools else {}
        if self.runtimes:
            install["runtime-versions"] = dict(self.runtimes)
        phases = {**({"install": install} if install else {}), "build": {"commands": [*self.commands, *run]}}
        given = {"artifacts": {"base-directory": "release", "files": ["**/*"]}} if self.gives else {}
        return json.dumps({"version": "0.2", "phases": phases, **given})


class ArtifactPipeline(Construct):
    """A pipeline from a source through steps; every commit goes through it, in order.

    - ``roles``: of the steps, by their names; a step may do nothing else.
    - ``signing_key``: signs releases.
    - ``parameter_name``: the SSM parameter that names the newest release. The pipeline writes it; it stays.

    :param name: of the artifact: lower case letters, digits and dashes.
    :param releases: keeps releases, below the artifact's name.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        source: PipelineSource,
        steps: Sequence[Step],
        releases: DataBucket,
        signing_key: kms.IKey | None,
        encryption_key: kms.IKey | None,
        access_logs: AccessLogBucket | None,
        log_encryption_key: kms.IKey | None,
        log_retention: logs.RetentionDays,
        removal_policy: RemovalPolicy,
    ) -> None:
        super().__init__(scope, id)
        self._name, self._releases, self._source = name, releases, source
        self.parameter_name = f"/artifacts/{name}"
        self.signing_key = signing_key or kms.Key(
            self,
            "SigningKey",
            key_spec=kms.KeySpec.ECC_NIST_P256,
            key_usage=kms.KeyUsage.SIGN_VERIFY,
            removal_policy=removal_policy,
        )
        self._artifacts = DataBucket(
            self,
            "Artifacts",
            encryption_key=encryption_key,
            access_logs=access_logs,
            restore_days=1,
            expiration_days=_STORED_DAYS,
            removal_policy=removal_policy,
        )
        self._log = logs.LogGroup(
            self, "Log", encryption_key=log_encryption_key, retention=log_retention, removal_policy=removal_policy
        )
        self._asset = s3_assets.Asset(self, "Tools", path=str(_TOOLS), exclude=["__pycache__"])
        self.roles = {step.name: self._step_role(step) for step in steps}
        projects = {step.name: self._project(step) for step in steps}
        role = self._pipeline_role(list(projects.values()))
        self.pipeline = self._pipeline(role, [self._source_stage(), *(self._stage(each, projects) for each in steps)])
        self.pipeline.node.add_dependency(role, *self.roles.values())  # it runs as soon as it exists
        if source.source_bucket:
            self._start_with(source.source_bucket)

    def grant_read_parameter(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to read which release is the newest."""
        return grant_in_account(self, grantee, actions=["ssm:GetParameter"], resources=[self.parameter_arn])

    def grant_verify(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to verify signatures, by KMS or with the public key."""
        return self.signing_key.grant(grantee, "kms:DescribeKey", "kms:GetPublicKey", "kms:Verify")

    @property
    def parameter_arn(self) -> str:
        """ARN of the parameter."""
        return Stack.of(self).format_arn(service="ssm", resource=f"parameter{self.parameter_name}")

    def _step_role(self, step: Step) -> iam.Role:
        role = iam.Role(self, f"{step.name}Role", assumed_by=service_principal(self, "codebuild.amazonaws.com"))
        self._log.grant_write(role)
        self._artifacts.grant_read(role)
        if step.gives:
            self._artifacts.grant_write(role)
        if step.tools:
            archive = self._asset.bucket.arn_for_objects(self._asset.s3_object_key)
            iam.Grant.add_to_principal(grantee=role, actions=["s3:GetObject"], resource_arns=[archive])
        if self._source.connection_arn and step.takes == "Source":
            self._source.grant_read(role)  # CodeBuild clones; from a bucket it gets what CodePipeline fetched
        if step.releases:
            self._let_release(role)
        return role

    def _let_release(self, role: iam.Role) -> None:
        """Allow a role to add new objects, read existing ones, sign, and write the parameter of the newest release.

        S3 recognizes a request that cannot replace an object by its header ``If-None-Match``.
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
        """
        prefix = f"{self._name}/*"
        self._releases.grant_read(role, prefix)
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:PutObject"],
                resources=[self._releases.bucket.arn_for_objects(prefix)],
                conditions={"Null": {"s3:if-none-match": "false"}},
            )
        )
        self._releases.key.grant(role, "kms:GenerateDataKey")
        self.signing_key.grant(role, "kms:Sign")
        iam.Grant.add_to_principal(grantee=role, actions=["ssm:PutParameter"], resource_arns=[self.parameter_arn])

    def _variables(self, step: Step) -> dict[str, str]:
        if not step.releases:
            return dict(step.environment)
        return {
            **step.environment,
            "BUCKET": self._releases.bucket.bucket_name,
            "PREFIX": self._name,
            "SIGNING_KEY": self.signing_key.key_arn,
            "PARAMETER": self.parameter_name,
        }

    def _project(self, step: Step) -> codebuild.CfnProject:
        variable = codebuild.CfnProject.EnvironmentVariableProperty
        return codebuild.CfnProject(
            self,
            step.name,
            description=f"{self.node.path}: {step.name}",
            service_role=self.roles[step.name].role_arn,
            encryption_key=self._artifacts.key.key_arn,
            timeout_in_minutes=step.minutes,
            queued_timeout_in_minutes=60,
            artifacts=codebuild.CfnProject.ArtifactsProperty(type="CODEPIPELINE"),
            source=codebuild.CfnProject.SourceProperty(
                type="CODEPIPELINE", build_spec=step.build_spec(self._asset.s3_object_url)
            ),
            environment=codebuild.CfnProject.EnvironmentProperty(
                type="LINUX_CONTAINER",
                compute_type="BUILD_GENERAL1_MEDIUM",
                image=IMAGE,
                privileged_mode=step.privileged,
                environment_variables=[
                    variable(name=name, value=value) for name, value in self._variables(step).items()
                ],
            ),
            logs_config=codebuild.CfnProject.LogsConfigProperty(
                cloud_watch_logs=codebuild.CfnProject.CloudWatchLogsConfigProperty(
                    status="ENABLED", group_name=self._log.log_group_name
                )
            ),
        )

    def _pipeline_role(self, projects: Sequence[codebuild.CfnProject]) -> iam.Role:
        role = iam.Role(self, "Role", assumed_by=service_principal(self, "codepipeline.amazonaws.com"))
        self._artifacts.grant_read(role)
        self._artifacts.grant_write(role)
        run = ["codebuild:BatchGetBuilds", "codebuild:StartBuild"]
        iam.Grant.add_to_principal(grantee=role, actions=run, resource_arns=[each.attr_arn for each in projects])
        self._source.grant_read(role)
        return role

    def _pipeline(self, role: iam.Role, stages: Sequence[dict[str, Any]]) -> codepipeline.CfnPipeline:
        return codepipeline.CfnPipeline(
            self,
            "Pipeline",
            pipeline_type="V2",
            execution_mode="QUEUED",
            role_arn=role.role_arn,
            artifact_store={
                "type": "S3",
                "location": self._artifacts.bucket.bucket_name,
                "encryptionKey": {"id": self._artifacts.key.key_arn, "type": "KMS"},
            },
            stages=stages,
            triggers=list(self._source.triggers) or None,
        )

    def _source_stage(self) -> dict[str, Any]:
        action = {
            "name": "Source",
            "namespace": "Source",
            "actionTypeId": {"category": "Source", "owner": "AWS", "provider": self._source.provider, "version": "1"},
            "configuration": dict(self._source.configuration),
            "outputArtifacts": [{"name": "Source"}],
        }
        return {"name": "Source", "actions": [action]}

    def _stage(self, step: Step, projects: Mapping[str, codebuild.CfnProject]) -> dict[str, Any]:
        revision = json.dumps([{"name": "REVISION", "value": self._source.revision, "type": "PLAINTEXT"}])
        action = {
            "name": step.name,
            "actionTypeId": {"category": "Build", "owner": "AWS", "provider": "CodeBuild", "version": "1"},
            "configuration": {"ProjectName": projects[step.name].ref, "EnvironmentVariables": revision},
            "inputArtifacts": [{"name": step.takes}],
            "outputArtifacts": [{"name": step.gives}] if step.gives else [],
        }
        return {"name": step.name, "actions": [action]}

    def _start_with(self, bucket: s3.IBucket) -> None:
        """Start when the bucket has a new archive."""
        arn = Stack.of(self).format_arn(
            service="codepipeline", resource=self.pipeline.ref, arn_format=ArnFormat.NO_RESOURCE_NAME
        )
        role = iam.Role(self, "StartRole", assumed_by=service_principal(self, "events.amazonaws.com"))
        iam.Grant.add_to_principal(grantee=role, actions=["codepipeline:StartPipelineExecution"], resource_arns=[arn])
        events.CfnRule(
            self,
            "NewSource",
            event_pattern={
                "source": ["aws.s3"],
                "detail-type": ["Object Created"],
                "detail": {
                    "bucket": {"name": [bucket.bucket_name]},
                    "object": {"key": [self._source.configuration["S3ObjectKey"]]},
                },
            },
            targets=[events.CfnRule.TargetProperty(arn=arn, id="Pipeline", role_arn=role.role_arn)],
        )


def check_artifact(place: str, name: str) -> None:
    """Refuse a name that cannot be part of a parameter's and of objects' names.

    :param place: path of the construct.
    """
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", name):
        raise ConfigurationError(f"{place}: name must be lower case letters, digits and dashes, got {name!r}")


def check_findings(place: str, fail_on: str | None, accepted: Mapping[str, str]) -> None:
    """Refuse a threshold that is none, and exceptions from it without a reason.

    :param place: path of the construct.
    """
    if fail_on is not None and fail_on not in get_args(Severity):
        raise ConfigurationError(f"{place}: fail_on must be {', '.join(get_args(Severity))}, got {fail_on!r}")
    for finding, reason in accepted.items():
        if not reason.strip():
            raise ConfigurationError(f"{place}: accepted_findings: {finding}: needs a reason, got {reason!r}")
