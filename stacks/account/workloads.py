from collections.abc import Mapping, Sequence

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from constructs import Construct

from config.workloads import EmrServerless, Workloads
from mlplatform_constructs import (
    DataBucket,
    EmrJobs,
    EmrServerlessJobs,
    ImageRegistry,
    SageMakerJobs,
)
from stacks._wiring.data_protection import DataProtection
from stacks._wiring.output_reference import refer_by_output

Jobs = EmrJobs | EmrServerlessJobs | SageMakerJobs


class WorkloadsStack(Stack):
    """Roles, security groups and EMR Serverless applications of jobs that pipelines start in EMR and SageMaker.

    Each team has its own, so that no job of a team reaches the data or the instances of another. Jobs read features,
    read and write below ``<team>/jobs/`` of the bucket of artifacts, and write logs below ``<team>/job-logs/``.
    An output for each team and kind of job has the keys that the components of pipelines take.

    - ``jobs``: by team, each kind of job in the account file; ``grant_run`` allows a role to start it.

    :param teams: whose pipelines start jobs.
    :param vpc: network of the jobs.
    :param features: bucket of the features, which jobs read.
    :param artifacts: bucket of the artifacts of pipelines.
    :param images: repositories of the images of jobs.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Workloads,
        teams: Sequence[str],
        vpc: ec2.IVpc,
        features: DataBucket,
        artifacts: DataBucket,
        images: ImageRegistry,
        protection: DataProtection,
    ) -> None:
        super().__init__(scope, id)
        self._vpc, self._protection = vpc, protection
        self._features, self._artifacts, self._images = features, artifacts, images
        scope = Construct(self, "Teams")
        self.jobs: Mapping[str, Sequence[Jobs]] = {
            team: self._jobs(Construct(scope, team), team, settings) for team in teams
        }
        refer_by_output(scope, exported=False)  # the policies of teams name them, and a setting removes them

    def _jobs(self, scope: Construct, team: str, settings: Workloads) -> list[Jobs]:
        found: list[Jobs] = []
        if settings.emr:
            found.append(self._emr(scope, team))
        if settings.emr_serverless:
            found.append(self._emr_serverless(scope, team, settings.emr_serverless))
        if settings.sagemaker:
            found.append(self._sagemaker(scope, team, settings.sagemaker.repositories))
        return found

    def _emr(self, scope: Construct, team: str) -> EmrJobs:
        jobs = EmrJobs(
            scope,
            "Emr",
            vpc=self._vpc,
            encryption_key=self._protection.keys.data,
            logs=self._artifacts,
            log_prefix=f"{team}/job-logs/emr/",
            team=team,
        )
        self._grant_data(jobs.instance_role, team)
        cluster = jobs.cluster_group.security_group_id
        self._output(
            f"{_words(team)}Emr",
            {
                "service_role": jobs.service_role.role_name,
                "instance_profile": jobs.instance_profile.instance_profile_name,
                "security_configuration": jobs.security_configuration.ref,
                "security_groups": {
                    "primary": cluster,
                    "core": cluster,
                    "service": jobs.service_group.security_group_id,
                },
                "subnet_ids": jobs.subnet_ids,
                "log_uri": jobs.log_uri,
                "log_key_arn": jobs.log_key_arn,
                "tags": {EmrJobs.TEAM_TAG: team},
            },
        )
        return jobs

    def _emr_serverless(self, scope: Construct, team: str, settings: EmrServerless) -> EmrServerlessJobs:
        jobs = EmrServerlessJobs(
            scope,
            "EmrServerless",
            vpc=self._vpc,
            logs=self._artifacts,
            log_prefix=f"{team}/job-logs/emr-serverless/",
            release=settings.release,
            max_vcpus=settings.max_vcpus,
            idle_minutes=settings.idle_minutes,
        )
        self._grant_data(jobs.job_role, team)
        self._output(
            f"{_words(team)}EmrServerless",
            {
                "application": jobs.application.attr_application_id,
                "execution_role_arn": jobs.job_role.role_arn,
                "log_uri": jobs.log_uri,
            },
        )
        return jobs

    def _sagemaker(self, scope: Construct, team: str, repositories: Sequence[str]) -> SageMakerJobs:
        key = self._protection.keys.data
        jobs = SageMakerJobs(scope, "SageMaker", vpc=self._vpc, encryption_key=key, name_prefix=f"{team}--")
        self._grant_data(jobs.role, team)
        for name in repositories:
            self._images.grant_pull(jobs.role, name)
        self._output(
            f"{_words(team)}SageMaker",
            {
                "role_arn": jobs.role.role_arn,
                "subnet_ids": jobs.subnet_ids,
                "security_group_ids": [jobs.security_group.security_group_id],
                "key_arn": key.key_arn,
            },
        )
        return jobs

    def _grant_data(self, role: iam.Role, team: str) -> None:
        self._features.grant_read(role, "offline/*")
        self._artifacts.grant_read(role, f"{team}/jobs/*")
        self._artifacts.grant_write(role, f"{team}/jobs/*")

    def _output(self, id: str, keys: Mapping[str, object]) -> None:
        CfnOutput(self, id, value=self.to_json_string(dict(keys)))


def _words(team: str) -> str:
    """``churn-eu`` as ``ChurnEu``."""
    return "".join(word.capitalize() for word in team.split("-"))
