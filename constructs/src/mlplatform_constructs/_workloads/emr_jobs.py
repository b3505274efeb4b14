from collections.abc import Iterator, Sequence
from typing import ClassVar

from aws_cdk import Tags
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_emr as emr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from .._arguments import checked
from .._security.account_grant import Arns, Permission, grant_permissions
from .._security.service_principal import service_principal
from .._storage.data_bucket import DataBucket
from .job_permissions import DISK_KEY_ACTIONS, check_log_prefix, passes_role

_NEW = "AWS names what it creates for a cluster; the tag of the cluster limits this to clusters of pipelines"
_LAUNCH = ("ec2:CreateFleet", "ec2:RunInstances")
_LISTS = "AWS offers no resource for reads of EC2"


class EmrJobs(Construct):
    """Roles, security groups and encryption of the EMR clusters that pipelines create and delete.

    EMR's own role launches instances with the tag of these clusters only, and passes no role but ``instance_role`` to
    them. ``instance_role`` may write its logs; grant it the data of the jobs. Clusters of one ``EmrJobs`` share
    network and role: teams that must not see each other's data each need their own.

    :param vpc: network of the clusters.
    :param encryption_key: encrypts disks.
    :param logs: bucket of the logs.
    :param log_prefix: of the logs in the bucket. Default: ``emr/``.
    :param team: whose clusters these are: the value that the tag ``team`` of each cluster must have. Default: any.
    """

    TAG: ClassVar[str] = "mlplatform:managed-by"
    TAG_VALUE: ClassVar[str] = "pipeline-components"
    TEAM_TAG: ClassVar[str] = "team"
    ENDPOINTS: ClassVar[Sequence[str]] = ("elasticmapreduce",)
    """Services that pipelines and clusters call, in addition to ``Network.CLUSTER_ENDPOINTS``.

    https://docs.aws.amazon.com/emr/latest/ManagementGuide/interface-vpc-endpoint.html
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: ec2.IVpc,
        encryption_key: kms.IKey | kms.Key,
        logs: DataBucket,
        log_prefix: str = "emr/",
        team: str | None = None,
    ) -> None:
        super().__init__(scope, id)
        check_log_prefix(self, log_prefix)
        self._arns = Arns.of(self)
        self._tags = {self.TAG: self.TAG_VALUE} | ({self.TEAM_TAG: team} if team is not None else {})
        self.subnet_ids = [subnet.subnet_id for subnet in vpc.private_subnets or vpc.isolated_subnets]
        """Private subnets; EMR chooses one."""
        self.log_uri = f"s3://{logs.bucket.bucket_name}/{log_prefix}"
        """Where logs go."""
        self.log_key_arn = logs.key.key_arn
        """The key that a cluster must name for its logs; the bucket refuses EMR's own encryption."""
        self.cluster_group = self._group("ClusterGroup", vpc, "instances of EMR clusters")
        self.service_group = self._group("ServiceGroup", vpc, "access of EMR to its instances")
        self._open_ports()
        self.instance_role = iam.Role(
            self,
            "InstanceRole",
            description="Instances of EMR clusters of pipelines",
            assumed_by=service_principal(self, "ec2.amazonaws.com"),
        )
        # EMR requires one name for both: https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-iam-roles-custom.html
        self.instance_profile = iam.InstanceProfile(
            self, "InstanceProfile", role=self.instance_role, instance_profile_name=self.instance_role.role_name
        )
        self.service_role = iam.Role(
            self,
            "ServiceRole",
            description="EMR, for clusters of pipelines",
            assumed_by=service_principal(self, "elasticmapreduce.amazonaws.com"),
        )
        grant_permissions(self, self.service_role, list(self._service_permissions()))
        logs.grant_write(self.instance_role, f"{log_prefix}*")
        encryption_key.grant(self.service_role, *DISK_KEY_ACTIONS)
        encryption_key.grant(self.instance_role, *DISK_KEY_ACTIONS)
        grant_permissions(
            self,
            self.service_role,
            [
                Permission(
                    actions=["kms:CreateGrant"],
                    resources=[encryption_key.key_arn],
                    conditions={"Bool": {"kms:GrantIsForAWSResource": "true"}},
                )
            ],
        )
        self.security_configuration = emr.CfnSecurityConfiguration(
            self, "Security", security_configuration=self._security(encryption_key, logs)
        )

    @checked
    def grant_run(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to create clusters with these roles, and to use and delete clusters of pipelines.

        The cluster has to carry the tag ``TAG``, and ``TEAM_TAG`` if these jobs have a team; other clusters of the
        account are out of reach.
        """
        own = {f"elasticmapreduce:ResourceTag/{key}": value for key, value in self._tags.items()}
        requested = {f"aws:RequestTag/{key}": value for key, value in self._tags.items()}
        clusters = self._arns.regional("elasticmapreduce", "cluster/*")
        return grant_permissions(
            self,
            grantee,
            [
                Permission(
                    actions=["elasticmapreduce:RunJobFlow"],
                    resources=["*"],
                    conditions={"StringEquals": requested},
                    why="a cluster has no name before it is created; its tags are required",
                ),
                Permission(
                    actions=["elasticmapreduce:ListClusters"],
                    resources=["*"],
                    why="AWS offers no resource for listing clusters",
                ),
                Permission(
                    actions=["elasticmapreduce:AddTags"],
                    resources=[clusters],
                    conditions={
                        "StringEquals": requested,
                        "StringEqualsIfExists": own,
                        "ForAllValues:StringLike": {"aws:TagKeys": [self.TAG, self.TEAM_TAG, "pipeline"]},
                    },
                    why="a cluster is tagged while it is created, when its id is not known and it has no tags",
                ),
                Permission(
                    actions=[
                        "elasticmapreduce:AddJobFlowSteps",
                        "elasticmapreduce:CancelSteps",
                        "elasticmapreduce:DescribeCluster",
                        "elasticmapreduce:DescribeStep",
                        "elasticmapreduce:TerminateJobFlows",
                    ],
                    resources=[clusters],
                    conditions={"StringEquals": own},
                    why="ids of clusters are not known; the tags limit this to clusters of these jobs",
                ),
                passes_role(self.service_role, "elasticmapreduce.amazonaws.com"),
                passes_role(self.instance_role, "ec2.amazonaws.com"),
            ],
        )

    def _group(self, id: str, vpc: ec2.IVpc, purpose: str) -> ec2.SecurityGroup:
        group = ec2.SecurityGroup(
            self, id, vpc=vpc, description=f"{self.node.path}: {purpose}", allow_all_outbound=id == "ClusterGroup"
        )
        Tags.of(group).add(self.TAG, self.TAG_VALUE)
        return group

    def _open_ports(self) -> None:
        """https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-man-sec-groups.html"""
        instances, service = self.cluster_group, self.service_group
        instances.add_ingress_rule(instances, ec2.Port.all_traffic(), "instances of one cluster")
        instances.add_ingress_rule(service, ec2.Port.tcp(8443), "EMR to its instances")
        service.add_egress_rule(instances, ec2.Port.tcp(8443), "EMR to its instances")
        service.add_ingress_rule(instances, ec2.Port.tcp(9443), "primary instance to EMR")

    def _service_permissions(self) -> Iterator[Permission]:
        """https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-iam-role.html"""
        yield from self._placing()
        yield from self._creating()
        yield from self._changing()
        yield from self._reading()
        yield passes_role(self.instance_role, "ec2.amazonaws.com")

    def _placing(self) -> Iterator[Permission]:
        """Permissions to place instances and interfaces in the subnets and security groups of clusters.

        EMR adds the inbound rules that it misses in these groups: one a protocol, whatever other rules allow.
        """
        arn = self._arns
        groups = [
            arn.regional("ec2", f"security-group/{group.security_group_id}")
            for group in (self.cluster_group, self.service_group)
        ]
        yield Permission(
            actions=[*_LAUNCH, "ec2:CreateNetworkInterface"],
            resources=[*(arn.regional("ec2", f"subnet/{subnet}") for subnet in self.subnet_ids), *groups],
        )
        yield Permission(
            actions=[
                f"ec2:{verb}SecurityGroup{way}" for verb in ("Authorize", "Revoke") for way in ("Egress", "Ingress")
            ],
            resources=groups,
        )
        yield Permission(
            actions=[*_LAUNCH, "ec2:CreateNetworkInterface"],
            resources=[arn.regional("ec2", "network-interface/*")],
            why=_NEW,
        )
        yield Permission(
            actions=_LAUNCH,
            resources=[
                arn.public("ec2", "image/ami-*"),
                arn.regional("ec2", "fleet/*"),
            ],
            why="the images are EMR's own, of any account",
        )

    def _creating(self) -> Iterator[Permission]:
        """Permissions to create instances, volumes and launch templates with the tag of clusters, and to tag them."""
        arn, asked = self._arns, {"StringEquals": {f"aws:RequestTag/{self.TAG}": self.TAG_VALUE}}
        yield Permission(
            actions=[*_LAUNCH, "ec2:CreateLaunchTemplate"],
            resources=[arn.regional("ec2", f"{kind}/*") for kind in ("instance", "volume", "launch-template")],
            conditions=asked,
            why=_NEW,
        )
        yield Permission(
            actions=["ec2:CreateTags"],
            resources=[
                arn.regional("ec2", f"{kind}/*")
                for kind in ("instance", "volume", "network-interface", "launch-template")
            ],
            conditions={
                "StringEquals": {
                    "ec2:CreateAction": [
                        "CreateFleet",
                        "CreateLaunchTemplate",
                        "CreateNetworkInterface",
                        "RunInstances",
                    ]
                }
            },
            why=_NEW,
        )

    def _changing(self) -> Iterator[Permission]:
        """Permissions to change and delete what has the tag of clusters."""
        arn, owned = self._arns, {"StringEquals": {f"aws:ResourceTag/{self.TAG}": self.TAG_VALUE}}
        yield Permission(
            actions=[*_LAUNCH, "ec2:CreateLaunchTemplateVersion"],
            resources=[arn.regional("ec2", "launch-template/*")],
            conditions=owned,
            why=_NEW,
        )
        yield Permission(
            actions=[
                "ec2:DeleteLaunchTemplate",
                "ec2:DeleteNetworkInterface",
                "ec2:ModifyInstanceAttribute",
                "ec2:TerminateInstances",
            ],
            resources=[
                arn.regional("ec2", f"{kind}/*") for kind in ("instance", "network-interface", "launch-template")
            ],
            conditions=owned,
            why=_NEW,
        )

    @staticmethod
    def _reading() -> Iterator[Permission]:
        yield Permission(
            actions=[
                f"ec2:Describe{what}"
                for what in (
                    "AccountAttributes",
                    "CapacityReservations",
                    "DhcpOptions",
                    "Images",
                    "Instances",
                    "InstanceTypeOfferings",
                    "LaunchTemplates",
                    "NetworkAcls",
                    "NetworkInterfaces",
                    "RouteTables",
                    "SecurityGroups",
                    "Subnets",
                    "Volumes",
                    "VolumeStatus",
                    "VpcAttribute",
                    "VpcEndpoints",
                    "Vpcs",
                )
            ],
            resources=["*"],
            why=_LISTS,
        )

    def _security(self, encryption_key: kms.IKey, logs: DataBucket) -> dict[str, object]:
        disks = {
            "EncryptionKeyProviderType": "AwsKms",
            "AwsKmsKey": encryption_key.key_arn,
            "EnableEbsEncryption": True,
        }
        at_rest = {
            "S3EncryptionConfiguration": {"EncryptionMode": "SSE-KMS", "AwsKmsKey": logs.key.key_arn},
            "LocalDiskEncryptionConfiguration": disks,
        }
        return {
            "EncryptionConfiguration": {
                "EnableAtRestEncryption": True,
                "EnableInTransitEncryption": False,
                "AtRestEncryptionConfiguration": at_rest,
            },
            "InstanceMetadataServiceConfiguration": {
                "MinimumInstanceMetadataServiceVersion": 2,
                "HttpPutResponseHopLimit": 1,
            },
        }
