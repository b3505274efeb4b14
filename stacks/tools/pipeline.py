import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from aws_cdk import (
    Acknowledgment,
    CfnOutput,
    CfnResource,
    DefaultStackSynthesizer,
    Duration,
    Environment,
    RemovalPolicy,
    Stack,
    Stage,
    Validations,
    pipelines,
)
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_codepipeline as codepipeline
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct, IConstruct

from config.delivery import PUBLICATION, TOOLS, Delivery, Wave
from mlplatform_constructs import AccessLogBucket, EncryptionKeys
from stacks._wiring.data_protection import log_retention
from stacks.tools.packages import PackagesStack
from stacks.tools.pipeline_limits import check_limits
from stacks.tools.tools import ToolsStage

CDK_ASSETS = "4.7.3"
_SOURCE = "Commit"
_PACKAGE_JSON = Path(__file__).parents[2] / "package.json"

_FORMER_SERVICE = "codestar-connections"
"""The name of AWS CodeConnections in the ARNs of connections that were made before July 2024."""


class PipelineStack(Stack):
    """Carries each commit of a branch through the accounts, and changes itself first where the commit asks for it.

    Source, one build that runs `make check`, self-update, assets, then for each account of each wave: the gate on its
    differences, an approval where wanted, the deployment, a smoke test, and a bake that watches its alarms. What is
    deployed are the very stages that ``app.py`` makes, hence the templates that `cdk deploy` would deploy.

    :param settings: source, waves and whom to tell.
    :param stages: the stage of each account, by the name of its file; all that a wave names.
    :param tools: what the tools account holds besides, deployed before the first wave. Default: nothing.
    :param removal_policy: removal policy of artifacts and their key. DESTROY empties the bucket, but
        not its copies in other regions. Default: they stay.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Delivery,
        stages: Mapping[str, Stage],
        tools: ToolsStage | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, id, env=Environment(account=settings.account, region=settings.region))
        self._settings = settings
        self._removal_policy = removal_policy
        self._key = self._make_key()
        self._builds = self._log_group()
        self._source = pipelines.CodePipelineSource.connection(
            settings.source.repository,
            settings.source.branch,
            connection_arn=settings.source.connection_arn,
            code_build_clone_output=True,  # tests ask git which files are the project's
            action_name=_SOURCE,
        )
        self._artifacts = self._bucket()
        self._synth = pipelines.CodeBuildStep(
            "Synth",
            input=self._source,
            commands=["make check"],
            primary_output_directory="cdk.out",
            role=self._role("Builder"),
            build_environment=codebuild.BuildEnvironment(compute_type=codebuild.ComputeType.LARGE),
            timeout=Duration.hours(2),
        )
        self._steps = [self._synth]
        self.pipeline = self._pipeline()

        if tools:
            self._add_tools(tools)
        for wave in settings.waves:
            self._add_wave(wave, stages)
        if tools and tools.packages:
            self._add_publication(tools.packages)
        self.pipeline.build_pipeline()

        built = self.pipeline.pipeline
        check_limits(self.node.path, {stage.stage_name: len(stage.actions) for stage in built.stages})
        source_role = built.node.find_child("Source").node.find_child(_SOURCE).node.find_child("CodePipelineActionRole")
        assert isinstance(source_role, iam.Role)
        self._let_use_connection(source_role)
        self._notify(built)
        self._tidy_replicas(built)
        self._narrow_grants(built)
        self._acknowledge_grants()
        self._quiet_lint(built)
        CfnOutput(self, "Name", value=built.pipeline_name, description="aws codepipeline start-pipeline-execution")

    def _pipeline(self) -> pipelines.CodePipeline:
        return pipelines.CodePipeline(
            self,
            "Pipeline",
            synth=self._synth,
            pipeline_type=codepipeline.PipelineType.V2,
            cross_account_keys=True,
            enable_key_rotation=True,
            artifact_bucket=self._artifacts,
            publish_assets_in_parallel=False,  # one action for all files: hundreds of functions stay one action
            use_change_sets=False,  # the gate has judged the templates; one action a stack instead of two
            cli_version=_pinned_cli(),
            cdk_assets_cli_version=CDK_ASSETS,
            code_build_defaults=pipelines.CodeBuildOptions(
                partial_build_spec=_runtimes(python="3.11", nodejs="22"),
                logging=codebuild.LoggingOptions(
                    cloud_watch=codebuild.CloudWatchLoggingOptions(log_group=self._builds)
                ),
            ),
        )

    def _add_tools(self, tools: ToolsStage) -> None:
        """Registries and packages, and what fills the registries: accounts take from them."""
        gate = self._step("Gate", f"gate ACCOUNT={TOOLS}", role=self._reader(TOOLS, tools))
        after = []
        if tools.mirrors:
            after.append(self._step("Mirror", "mirror", role=self._mirror_role(tools), minutes=180, golang="latest"))
        self.pipeline.add_stage(tools, pre=[gate], post=after)

    def _add_publication(self, packages: PackagesStack) -> None:
        """At the end: what others install is what every account runs."""
        role = self._role("Publisher")
        repository = packages.repository
        repository.grant_publish(role)
        target = f"publish DOMAIN={repository.domain_name} REPOSITORY={repository.repository_name}"
        self.pipeline.add_wave(PUBLICATION).add_post(self._step("Publish", target, role=role))

    def _add_wave(self, wave: Wave, stages: Mapping[str, Stage]) -> None:
        added = self.pipeline.add_wave(wave.name)
        for name in wave.accounts:
            role = self._reader(name, stages[name])
            before: list[pipelines.Step] = [self._step("Gate", f"gate ACCOUNT={name}", role=role)]
            if wave.approval:
                approval = pipelines.ManualApprovalStep(
                    "Approve", comment=f"The differences of {name} passed the gate; its log lists them."
                )
                approval.add_step_dependency(before[0])
                before.append(approval)
            after = [self._step("Smoke", f"smoke ACCOUNT={name}", role=role)]
            if wave.bake_minutes:
                bake = self._step(
                    "Bake",
                    f"bake ACCOUNT={name} MINUTES={wave.bake_minutes}",
                    role=role,
                    minutes=wave.bake_minutes + 30,
                )
                bake.add_step_dependency(after[0])
                after.append(bake)
            added.add_stage(stages[name], pre=before, post=after)

    def _step(
        self,
        id: str,
        target: str,
        *,
        role: iam.IRole,
        minutes: int = 30,
        **runtimes: str,
    ) -> pipelines.CodeBuildStep:
        """A build that calls one target of the Makefile on the sources, with the templates in ``cdk.out``."""
        step = pipelines.CodeBuildStep(
            id,
            input=self._source,
            additional_inputs={"cdk.out": self._synth},
            commands=[f"make {target}"],
            role=role,
            timeout=Duration.minutes(minutes),
            partial_build_spec=_runtimes(**runtimes) if runtimes else None,
        )
        self._steps.append(step)
        return step

    def _reader(self, name: str, stage: Stage) -> iam.Role:
        """The role of a stage's steps: takes the read-only roles that ``cdk bootstrap`` made for it, and no other."""
        stacks = [stack for stack in stage.node.children if isinstance(stack, Stack)]
        role = self._role(f"{name}Reader")
        for account, region in sorted({(stack.account, stack.region) for stack in stacks}):
            lookup = f"cdk-{DefaultStackSynthesizer.DEFAULT_QUALIFIER}-lookup-role-{account}-{region}"
            arn = f"arn:{self.partition}:iam::{account}:role/{lookup}"
            iam.Role.from_role_arn(role, f"{account}-{region}", arn).grant_assume_role(role)
        return role

    def _mirror_role(self, tools: ToolsStage) -> iam.Role:
        role = self._role("Mirror")
        for mirror in tools.mirrors:
            mirror.grant_push(role)
        return role

    def _role(self, id: str) -> iam.Role:
        """A role of builds, which clone the repository."""
        role = iam.Role(self, id, assumed_by=iam.ServicePrincipal("codebuild.amazonaws.com"))
        self._let_use_connection(role)
        return role

    def _let_use_connection(self, role: iam.IRole) -> None:
        """The CDK grants the action's former name only, and IAM asks for the name in the connection's ARN.

        Builds clone the repository. By a push, they would deploy what they like.

        https://docs.aws.amazon.com/dtconsole/latest/userguide/rename.html
        """
        connection = self._settings.source.connection_arn
        service = connection.split(":")[2]
        role.add_to_principal_policy(
            iam.PolicyStatement(
                actions=[f"{service}:UseConnection"],
                resources=[connection],
                conditions={"StringNotEquals": {f"{service}:ProviderAction": "GitPush"}},
            )
        )
        if service == _FORMER_SERVICE:  # then the CDK's own grant counts, which has no condition
            role.add_to_principal_policy(
                iam.PolicyStatement(
                    effect=iam.Effect.DENY,
                    actions=[f"{service}:UseConnection"],
                    resources=[connection],
                    conditions={"StringEquals": {f"{service}:ProviderAction": "GitPush"}},
                )
            )

    def _make_key(self) -> kms.Key:
        """Encrypts artifacts, logs and notifications. Grants give access to the roles that deploy in other accounts."""
        key = kms.Key(
            self,
            "Key",
            description=f"{self.node.path}: artifacts, logs and notifications",
            enable_key_rotation=True,
            removal_policy=self._removal_policy,
        )
        EncryptionKeys.let_log_groups_use(key)
        return key

    def _bucket(self) -> s3.Bucket:
        bucket = s3.Bucket(
            self,
            "Artifacts",
            encryption_key=self._key,
            bucket_key_enabled=True,
            enforce_ssl=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            lifecycle_rules=[
                s3.LifecycleRule(
                    abort_incomplete_multipart_upload_after=Duration.days(7),
                    expiration=Duration.days(self._settings.log_days),
                )
            ],
            removal_policy=self._removal_policy,
            auto_delete_objects=self._removal_policy == RemovalPolicy.DESTROY,
        )
        AccessLogBucket(self, "AccessLogs", removal_policy=self._removal_policy).record(bucket)
        return bucket

    def _log_group(self) -> logs.LogGroup:
        return logs.LogGroup(
            self,
            "Builds",
            encryption_key=self._key,
            retention=log_retention(self._settings.log_days),
            removal_policy=RemovalPolicy.DESTROY,
        )

    def _notify(self, built: codepipeline.Pipeline) -> None:
        """Tell of failures, and of approvals that are waited for."""
        topic = sns.Topic(self, "Notifications", master_key=self._key, enforce_ssl=True)
        built.notify_on(
            "Notify",
            topic,
            events=[
                codepipeline.PipelineNotificationEvents.PIPELINE_EXECUTION_FAILED,
                codepipeline.PipelineNotificationEvents.MANUAL_APPROVAL_NEEDED,
            ],
        )
        if self._settings.notification_email:
            topic.add_subscription(subscriptions.EmailSubscription(self._settings.notification_email))
        CfnOutput(self, "Topic", value=topic.topic_arn, description="Subscribe to be told of failures and approvals")

    def _tidy_replicas(self, built: codepipeline.Pipeline) -> None:
        """The buckets that the CDK makes for artifacts in every other region that a stack is deployed to."""
        for region, support in built.cross_region_support.items():
            if region == self.region:
                continue
            bucket = support.replication_bucket
            assert isinstance(bucket, s3.Bucket)
            bucket.add_lifecycle_rule(
                abort_incomplete_multipart_upload_after=Duration.days(7),
                expiration=Duration.days(self._settings.log_days),
            )
            bucket.apply_removal_policy(self._removal_policy)
            Validations.of(bucket).acknowledge(
                Acknowledgment(id="AwsSolutions-S1", reason="copies of artifacts; access to these is logged")
            )
            name = self.resolve(bucket.bucket_name)  # a generated literal, because the region is another
            self._acknowledge(self.pipeline, "artifacts in another region", f"Resource::arn:aws:s3:::{name}/*")

    def _quiet_lint(self, built: codepipeline.Pipeline) -> None:
        """cfn-lint reports how the CDK writes the roles of deployments, which is a matter of taste, as an error."""
        resource = built.node.default_child
        assert isinstance(resource, codepipeline.CfnPipeline)
        resource.add_metadata("cfn-lint", {"config": {"ignore_checks": ["E3703"]}})

    def _narrow_grants(self, built: codepipeline.Pipeline) -> None:
        """Deny what the CDK grants on everything and nothing needs.

        Asset builds need no other builds: by starting one, they would get its role. In its own region, the pipeline
        needs no key but that of its artifacts.
        """
        if assets := self.pipeline.node.try_find_child("Assets"):  # without files to publish there are none
            publishing = assets.node.find_child("FileRole")
            assert isinstance(publishing, iam.Role)
            builds = ["codebuild:StartBuild", "codebuild:StopBuild"]
            publishing.add_to_policy(iam.PolicyStatement(effect=iam.Effect.DENY, actions=builds, resources=["*"]))
        assert isinstance(built.role, iam.Role)
        built.role.add_to_policy(
            iam.PolicyStatement(
                effect=iam.Effect.DENY,
                actions=["kms:*"],
                not_resources=[self._key.key_arn],
                conditions={"StringEquals": {"aws:RequestedRegion": self.region}},
            )
        )

    def _acknowledge_grants(self) -> None:
        """What the CDK's own grants leave open at the end, each with its reason."""
        self._acknowledge(
            self,
            "the CDK's grants on the artifacts' bucket and key, and on nothing else",
            *("Action::s3:Abort*", "Action::s3:DeleteObject*", "Action::s3:GetBucket*", "Action::s3:GetObject*"),
            *("Action::s3:List*", "Action::kms:GenerateDataKey*", "Action::kms:ReEncrypt*"),
            f"Resource::<{self._id(self._artifacts)}.Arn>/*",
        )
        logs_of = f"arn:{self.partition}:logs:{self.region}:{self.account}:log-group:/aws/codebuild"
        reports_of = f"arn:{self.partition}:codebuild:{self.region}:{self.account}:report-group"
        projects = [self._id(project) for project in self._projects()]
        self._acknowledge(
            self,
            "streams of the build's own log group and its own reports, which CodeBuild names",
            *(f"Resource::{logs_of}/<{project}>:*" for project in projects),
            *(f"Resource::{reports_of}/<{project}>-*" for project in projects),
        )
        self._acknowledge(
            self.pipeline,
            "made by CDK Pipelines: tags identify the roles of `cdk bootstrap`, keys of other regions have no ARN, "
            "and one role publishes the files of all accounts",
            f"Resource::{logs_of}/*",
            f"Resource::{reports_of}/*",
            f"Resource::arn:*:iam::{self.account}:role/*",
            "Resource::*",
        )

    def _projects(self) -> Iterator[codebuild.IProject]:
        yield from (step.project for step in self._steps)
        yield self.pipeline.self_mutation_project

    def _id(self, construct: IConstruct) -> str:
        resource = construct.node.default_child
        assert isinstance(resource, CfnResource)
        return self.get_logical_id(resource)

    @staticmethod
    def _acknowledge(place: IConstruct, reason: str, *findings: str) -> None:
        Validations.of(place).acknowledge(
            *(Acknowledgment(id=f"AwsSolutions-IAM5[{finding}]", reason=reason) for finding in findings)
        )


def _runtimes(**versions: str) -> codebuild.BuildSpec:
    """Versions among those that CodeBuild's image brings."""
    return codebuild.BuildSpec.from_object({"phases": {"install": {"runtime-versions": versions}}})


def _pinned_cli() -> str:
    """The version of the CDK CLI that people use in this folder."""
    version: str = json.loads(_PACKAGE_JSON.read_text(encoding="utf-8"))["devDependencies"]["aws-cdk"]
    return version
