import re
from collections.abc import Sequence
from typing import ClassVar

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_emrserverless as emrserverless
from aws_cdk import aws_iam as iam
from constructs import Construct

from .._arguments import ConfigurationError, checked, is_token
from .._security.account_grant import Permission, grant_permissions
from .._security.service_principal import service_principal
from .._storage.data_bucket import DataBucket
from .job_permissions import check_log_prefix, passes_role

_RELEASE = re.compile(r"emr-\d+\.\d+\.\d+")


class EmrServerlessJobs(Construct):
    """An application of EMR Serverless for Spark, which costs nothing while it is idle, and the role of its jobs.

    ``job_role`` may write its logs; grant it the data of the jobs. Teams that must not see each other's data each need
    their own.

    :param vpc: network of the jobs.
    :param logs: bucket of the logs.
    :param release: of EMR, such as ``emr-7.10.0``.
    :param max_vcpus: of all jobs together, which bounds the cost; memory is bounded to 8 GB for each. Default: 64.
    :param idle_minutes: after which the application stops. Default: 15.
    :param log_prefix: of the logs in the bucket. Default: ``emr-serverless/``.
    """

    ENDPOINTS: ClassVar[Sequence[str]] = ("emr-serverless",)
    """Services that pipelines call.

    https://docs.aws.amazon.com/vpc/latest/privatelink/aws-services-privatelink-support.html
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: ec2.IVpc,
        logs: DataBucket,
        release: str,
        max_vcpus: int = 64,
        idle_minutes: int = 15,
        log_prefix: str = "emr-serverless/",
    ) -> None:
        super().__init__(scope, id)
        check_log_prefix(self, log_prefix)
        if not is_token(release) and not _RELEASE.fullmatch(release):
            raise ConfigurationError(f"{self.node.path}: release must be such as 'emr-7.10.0', got {release!r}")
        for name, value in (("max_vcpus", max_vcpus), ("idle_minutes", idle_minutes)):
            if not is_token(value) and value < 1:
                raise ConfigurationError(f"{self.node.path}: {name} must be 1 or more, got {value}")
        self.log_uri = f"s3://{logs.bucket.bucket_name}/{log_prefix}"
        """Where logs go."""
        group = ec2.SecurityGroup(self, "SecurityGroup", vpc=vpc, description=f"{self.node.path}: jobs")
        self.connections = group.connections
        self.application = emrserverless.CfnApplication(
            self,
            "Application",
            name=f"{self.node.id}-{self.node.addr[-8:]}",
            release_label=release,
            type="SPARK",
            auto_start_configuration={"enabled": True},
            auto_stop_configuration={"enabled": True, "idleTimeoutMinutes": idle_minutes},
            maximum_capacity={"cpu": f"{max_vcpus} vCPU", "memory": f"{8 * max_vcpus} GB"},
            network_configuration={
                "subnetIds": [subnet.subnet_id for subnet in vpc.private_subnets or vpc.isolated_subnets],
                "securityGroupIds": [group.security_group_id],
            },
        )
        self.job_role = iam.Role(
            self,
            "JobRole",
            description="Jobs of EMR Serverless of pipelines",
            assumed_by=service_principal(self, "emr-serverless.amazonaws.com"),
        )
        logs.grant_write(self.job_role, f"{log_prefix}*")

    @checked
    def grant_run(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to start, follow and cancel jobs of this application with ``job_role``."""
        arn = self.application.attr_arn
        return grant_permissions(
            self,
            grantee,
            [
                Permission(actions=["emr-serverless:StartJobRun"], resources=[arn]),
                Permission(
                    actions=["emr-serverless:CancelJobRun", "emr-serverless:GetJobRun"],
                    resources=[f"{arn}/jobruns/*"],
                    why="AWS names the runs of the application",
                ),
                passes_role(self.job_role, "emr-serverless.amazonaws.com"),
            ],
        )
