from collections.abc import Sequence

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from constructs import Construct

from config.workloads import Workloads
from mlplatform_constructs import (
    DataBucket,
    EmrJobs,
    EmrServerlessJobs,
    ImageRegistry,
    SageMakerJobs,
)
from stacks._wiring.data_protection import DataProtection
from stacks._wiring.output_reference import refer_by_output


class WorkloadsStack(Stack):
    """Roles, security groups and the EMR Serverless application of jobs that pipelines start in EMR and SageMaker.

    Jobs read features, and read and write below ``<team>/jobs/`` of the bucket of pipeline artifacts, where each team
    has its own folder. All teams share the roles of jobs, so grant these roles nothing that one team must hide from
    another.

    - ``jobs``: each kind of job in the account file; ``grant_run`` allows a role to start it.

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
        vpc: ec2.IVpc,
        features: DataBucket,
        artifacts: DataBucket,
        images: ImageRegistry,
        protection: DataProtection,
    ) -> None:
        super().__init__(scope, id)
        self._vpc, self._protection = vpc, protection
        self._features, self._artifacts = features, artifacts
        self.emr = self._emr() if settings.emr else None
        self.emr_serverless = (
            EmrServerlessJobs(
                self,
                "EmrServerless",
                vpc=vpc,
                logs=artifacts,
                release=settings.emr_serverless.release,
                max_vcpus=settings.emr_serverless.max_vcpus,
                idle_minutes=settings.emr_serverless.idle_minutes,
            )
            if settings.emr_serverless
            else None
        )
        if self.emr_serverless:
            self._grant_data(self.emr_serverless.job_role)
            self._output("EmrServerlessApplicationId", self.emr_serverless.application.attr_application_id)
            self._output("EmrServerlessJobRole", self.emr_serverless.job_role.role_arn)
        self.sagemaker = self._sagemaker(images, settings.sagemaker.repositories) if settings.sagemaker else None
        self.jobs = [each for each in (self.emr, self.emr_serverless, self.sagemaker) if each]
        refer_by_output(*self.jobs)  # the policies of teams name them, and a setting removes them

    def _emr(self) -> EmrJobs:
        jobs = EmrJobs(self, "Emr", vpc=self._vpc, encryption_key=self._protection.keys.data, logs=self._artifacts)
        self._grant_data(jobs.instance_role)
        self._output("EmrServiceRole", jobs.service_role.role_name)
        self._output("EmrInstanceProfile", jobs.instance_profile.instance_profile_name)
        self._output("EmrSecurityConfiguration", jobs.security_configuration.ref)
        self._output("EmrClusterSecurityGroup", jobs.cluster_group.security_group_id)
        self._output("EmrServiceSecurityGroup", jobs.service_group.security_group_id)
        return jobs

    def _sagemaker(self, images: ImageRegistry, repositories: Sequence[str]) -> SageMakerJobs:
        jobs = SageMakerJobs(self, "SageMaker", vpc=self._vpc, encryption_key=self._protection.keys.data)
        self._grant_data(jobs.role)
        for name in repositories:
            images.grant_pull(jobs.role, name)
        self._output("SageMakerRole", jobs.role.role_arn)
        self._output("SageMakerSecurityGroup", jobs.security_group.security_group_id)
        return jobs

    def _grant_data(self, role: iam.Role) -> None:
        self._features.grant_read(role, "offline/*")
        self._artifacts.grant_read(role, "*/jobs/*")
        self._artifacts.grant_write(role, "*/jobs/*")

    def _output(self, id: str, value: str) -> None:
        CfnOutput(self, id, value=value)
