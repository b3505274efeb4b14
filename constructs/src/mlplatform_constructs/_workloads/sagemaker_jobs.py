import re
from collections.abc import Iterator, Sequence
from typing import ClassVar

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from .._arguments import ConfigurationError, checked, is_token
from .._security.account_grant import Arns, Permission, grant_permissions
from .._security.service_principal import service_principal
from .job_permissions import DISK_KEY_ACTIONS, passes_role

_PREFIX = re.compile(r"([a-z0-9][a-z0-9-]*)?")


class SageMakerJobs(Construct):
    """The role and the security group of SageMaker training and processing jobs of pipelines.

    The role writes its logs and metrics and has its network interfaces; grant it images and the data of the jobs. Jobs
    of one ``SageMakerJobs`` share network and role: teams that must not see each other's data each need their own.

    :param vpc: network of the jobs.
    :param encryption_key: encrypts disks and outputs.
    :param name_prefix: of the names of the jobs, such as ``churn--``. Default: any name.
    """

    ENDPOINTS: ClassVar[Sequence[str]] = ("sagemaker.api",)
    """Services that pipelines call. https://docs.aws.amazon.com/sagemaker/latest/dg/interface-vpc-endpoint.html"""
    LOCAL_DISKS: ClassVar[Sequence[str]] = (
        "ml.*d.*",
        "ml.*dn.*",
        "ml.*de.*",
        "ml.g5.*",
        "ml.g6.*",
        "ml.g6e.*",
        "ml.p5.*",
        "ml.p5e.*",
        "ml.p5en.*",
        "ml.p6*",
        "ml.trn1.*",
        "ml.trn1n.*",
        "ml.trn2.*",
    )
    """Instance types whose own disks encrypt by hardware. SageMaker refuses a job that names a key for them.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ResourceConfig.html
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: ec2.IVpc,
        encryption_key: kms.IKey | kms.Key,
        name_prefix: str = "",
    ) -> None:
        super().__init__(scope, id)
        if not is_token(name_prefix) and not _PREFIX.fullmatch(name_prefix):
            raise ConfigurationError(
                f"{self.node.path}: name_prefix must have lower-case letters, digits and hyphens, as in ARNs of jobs, "
                f"got {name_prefix!r}"
            )
        self._arns, self._key, self._prefix = Arns.of(self), encryption_key, name_prefix
        self.subnet_ids = [subnet.subnet_id for subnet in vpc.private_subnets or vpc.isolated_subnets]
        """Private subnets of the jobs."""
        self.security_group = ec2.SecurityGroup(self, "SecurityGroup", vpc=vpc, description=f"{self.node.path}: jobs")
        self.security_group.add_ingress_rule(self.security_group, ec2.Port.all_traffic(), "instances of one job")
        self.role = iam.Role(
            self,
            "Role",
            description="SageMaker jobs of pipelines",
            assumed_by=service_principal(self, "sagemaker.amazonaws.com"),
        )
        grant_permissions(self, self.role, self._needs())
        encryption_key.grant(self.role, *DISK_KEY_ACTIONS)

    @checked
    def grant_run(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to create jobs with this role, in this security group, and to follow and stop jobs.

        A job with other security groups, with unencrypted disks, or whose name has another prefix is denied. Disks are
        encrypted with the key, or are those of an instance type of ``LOCAL_DISKS``.
        """
        jobs = [self._arns.regional("sagemaker", f"{kind}-job/{self._prefix}*") for kind in ("training", "processing")]
        why = "a job has no ARN before it is created, and each run of a pipeline has its own"
        return grant_permissions(
            self,
            grantee,
            [
                *(
                    Permission(
                        actions=["sagemaker:CreateProcessingJob", "sagemaker:CreateTrainingJob"],
                        resources=jobs,
                        conditions=conditions,
                        why=why,
                    )
                    for conditions in self._admitted()
                ),
                Permission(
                    actions=[
                        "sagemaker:DescribeProcessingJob",
                        "sagemaker:DescribeTrainingJob",
                        "sagemaker:StopProcessingJob",
                        "sagemaker:StopTrainingJob",
                    ],
                    resources=jobs,
                    why=why,
                ),
                passes_role(self.role, "sagemaker.amazonaws.com"),
                Permission(
                    actions=["kms:CreateGrant"],
                    resources=[self._key.key_arn],
                    conditions={"Bool": {"kms:GrantIsForAWSResource": "true"}},
                ),
            ],
        )

    def _admitted(self) -> Iterator[dict[str, dict[str, object]]]:
        """Conditions of which a new job has to meet one.

        The service reference and SageMaker's guide name the condition key of disks differently.
        https://docs.aws.amazon.com/sagemaker/latest/dg/security_iam_id-based-policy-examples.html
        """
        groups = {"sagemaker:VpcSecurityGroupIds": [self.security_group.security_group_id]}
        present = {"sagemaker:VpcSecurityGroupIds": "false"}
        for key in ("sagemaker:VolumeKmsKeyArn", "sagemaker:VolumeKmsKey"):
            yield {
                "ForAllValues:StringEquals": {**groups},
                "Null": {**present},
                "ArnEquals": {key: self._key.key_arn},
            }
        yield {
            "ForAllValues:StringEquals": {**groups},
            "ForAllValues:StringLike": {"sagemaker:InstanceTypes": [*self.LOCAL_DISKS]},
            "Null": {**present, "sagemaker:InstanceTypes": "false"},
        }

    def _needs(self) -> list[Permission]:
        """https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html"""
        groups = self._arns.regional("logs", "log-group:/aws/sagemaker/*")
        return [
            Permission(
                actions=["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
                resources=[groups],
                why="SageMaker names the streams of its jobs below these groups",
            ),
            Permission(
                actions=["cloudwatch:PutMetricData"],
                resources=["*"],
                conditions={"StringLike": {"cloudwatch:namespace": ["/aws/sagemaker/*"]}},
                why="metrics have no resource; the namespace limits this",
            ),
            Permission(
                actions=[
                    "ec2:CreateNetworkInterface",
                    "ec2:CreateNetworkInterfacePermission",
                    "ec2:DeleteNetworkInterface",
                    "ec2:DeleteNetworkInterfacePermission",
                ],
                resources=[
                    *(self._arns.regional("ec2", f"subnet/{subnet}") for subnet in self.subnet_ids),
                    self._arns.regional("ec2", f"security-group/{self.security_group.security_group_id}"),
                    self._arns.regional("ec2", "network-interface/*"),
                ],
                why="interfaces of jobs, in these subnets and this group alone",
            ),
            Permission(
                actions=[
                    "ec2:DescribeDhcpOptions",
                    "ec2:DescribeNetworkInterfaces",
                    "ec2:DescribeSecurityGroups",
                    "ec2:DescribeSubnets",
                    "ec2:DescribeVpcs",
                ],
                resources=["*"],
                why="AWS offers no resource for reads of EC2",
            ),
        ]
