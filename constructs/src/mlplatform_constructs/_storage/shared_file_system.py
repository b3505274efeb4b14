import re

from aws_cdk import RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_efs as efs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from .._arguments import ConfigurationError, checked
from .._security.account_grant import Arns, Permission, grant_in_account, grant_permissions

_NFS = ec2.Port.tcp(2049)


class SharedFileSystem(Construct):
    """An EFS file system for workspaces that many pods mount at once, in every zone of the network.

    It can be mounted over TLS only, only by roles with a grant, and only through an access point: each team's shows
    its own directory as the root, and acts as one user whatever the pod runs as. Mount with the options ``tls`` and
    ``iam``, through ``fs-...::fsap-...``, and open the network with ``allow_clients``.

    Throughput follows use. Files that were not read for 30 days move to cheaper storage, after 90 days to the cheapest,
    and return when they are read.

    :param vpc: network of the file system; it gets a mount target in each private subnet.
    :param encryption_key: encrypts files at rest. Default: a new key, rotated yearly.
    :param automatic_backups: daily backups, kept for 35 days in the vault that AWS Backup shares among the account's
        EFS file systems; they outlive the stack. Default: True.
    :param removal_policy: removal policy of the file system and its key. Default: RETAIN.
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: ec2.IVpc,
        encryption_key: kms.IKey | kms.Key | None = None,
        automatic_backups: bool = True,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, id)
        self._access_points: dict[str, efs.AccessPoint] = {}

        key = encryption_key or kms.Key(self, "Key", enable_key_rotation=True, removal_policy=removal_policy)
        group = ec2.SecurityGroup(
            self, "SecurityGroup", vpc=vpc, description=f"{self.node.path}: mount targets", allow_all_outbound=False
        )
        self.connections = group.connections
        self.file_system = efs.FileSystem(
            self,
            "FileSystem",
            vpc=vpc,
            vpc_subnets=ec2.SubnetSelection(subnets=vpc.private_subnets or vpc.isolated_subnets),
            security_group=group,
            encrypted=True,
            kms_key=key,
            throughput_mode=efs.ThroughputMode.ELASTIC,
            lifecycle_policy=efs.LifecyclePolicy.AFTER_30_DAYS,
            transition_to_archive_policy=efs.LifecyclePolicy.AFTER_90_DAYS,
            out_of_infrequent_access_policy=efs.OutOfInfrequentAccessPolicy.AFTER_1_ACCESS,
            enable_automatic_backups=automatic_backups,
            file_system_policy=_file_system_policy(),
            # A policy of any kind already ends anonymous access. What the CDK would add on top lets everybody write.
            allow_anonymous_access=True,
            removal_policy=removal_policy,
        )

    @checked
    def add_access_point(self, name: str, *, uid: int = 1000, gid: int = 100) -> efs.AccessPoint:
        """Create the directory ``/<name>`` and the access point that leads to it.

        :param name: a team or profile: lower case letters, digits and dashes.
        :param uid: user that owns every file, regardless of the writer. Default: 1000, the user of notebook images.
        :param gid: group that owns every file. Default: 100, that user's group.
        """
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name):
            raise ConfigurationError(
                f"{self.node.path}: name must be lower case letters, digits and dashes, got {name!r}"
            )
        if name in self._access_points:
            raise ConfigurationError(f"{self.node.path}: access point {name!r} already exists; choose another name")
        if 0 in (uid, gid):
            raise ConfigurationError(f"{self.node.path}: uid and gid must not be 0 (root), got {uid} and {gid}")
        self._access_points[name] = self.file_system.add_access_point(
            name,
            path=f"/{name}",
            create_acl=efs.Acl(owner_uid=str(uid), owner_gid=str(gid), permissions="770"),
            posix_user=efs.PosixUser(uid=str(uid), gid=str(gid)),
        )
        return self._access_points[name]

    @checked
    def grant_read_write(self, grantee: iam.IGrantable, name: str | None = None) -> iam.Grant:
        """Allow ``grantee`` to mount the file system through one access point.

        :param name: the access point. Default: any; for the CSI driver, which mounts for all pods.
        """
        if name is None:
            condition = {"ArnLike": {"elasticfilesystem:AccessPointArn": self._any_access_point()}}
        elif name in self._access_points:
            arn = self._access_points[name].access_point_arn
            condition = {"ArnEquals": {"elasticfilesystem:AccessPointArn": arn}}
        else:
            there = ", ".join(self._access_points) or "none"
            raise ConfigurationError(f"{self.node.path}: no access point {name!r}; there are: {there}")
        return grant_in_account(
            self,
            grantee,
            actions=["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"],
            resources=[self.file_system.file_system_arn],
            conditions=condition,
        )

    @checked
    def grant_manage_access_points(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to create access points with the tag of the EFS CSI driver, and to delete those.

        For the driver's controller, which creates one for each claim.
        https://github.com/kubernetes-sigs/aws-efs-csi-driver/blob/master/docs/iam-policy-example.json
        """
        tag, file_system = "efs.csi.aws.com/cluster", self.file_system.file_system_arn
        points, why = self._any_access_point(), "access points that do not exist yet, or have the tag of the driver"
        described = [f"elasticfilesystem:Describe{what}" for what in ("AccessPoints", "FileSystems", "MountTargets")]
        permissions = [
            Permission(actions=described, resources=[file_system, points], why=why),
            Permission(
                actions=["ec2:DescribeAvailabilityZones"],
                resources=["*"],
                why="EC2 lists all Availability Zones or none",
            ),
            Permission(
                actions=["elasticfilesystem:CreateAccessPoint"],
                resources=[file_system],
                conditions={"StringEquals": {f"aws:RequestTag/{tag}": "true"}},
            ),
            Permission(
                actions=["elasticfilesystem:TagResource"],
                resources=[file_system, points],
                conditions={"StringEquals": {"elasticfilesystem:CreateAction": "CreateAccessPoint"}},
                why=why,
            ),
            Permission(
                actions=["elasticfilesystem:DeleteAccessPoint"],
                resources=[points],
                conditions={"StringEquals": {f"aws:ResourceTag/{tag}": "true"}},
                why=why,
            ),
        ]
        return grant_permissions(self, grantee, permissions)

    @checked
    def allow_clients(self, clients: ec2.IConnectable) -> None:
        """Allow ``clients`` to reach the mount targets, by rules in the clients' stack, which depends on this one."""
        clients.connections.allow_to(self.connections, _NFS, "NFS clients to mount targets")

    def _any_access_point(self) -> str:
        return Arns.of(self).regional("elasticfilesystem", "access-point/*")


def _file_system_policy() -> iam.PolicyDocument:
    """Refuse mounts without TLS, and mounts past the access points.

    https://docs.aws.amazon.com/efs/latest/ug/iam-access-control-nfs-efs.html
    """
    refused = {
        "NoMountWithoutTls": {"Bool": {"aws:SecureTransport": "false"}},
        "NoMountWithoutAccessPoint": {"Null": {"elasticfilesystem:AccessPointArn": "true"}},
    }
    return iam.PolicyDocument(
        statements=[
            iam.PolicyStatement(
                sid=sid,
                effect=iam.Effect.DENY,
                principals=[iam.AnyPrincipal()],
                actions=[f"elasticfilesystem:Client{what}" for what in ("Mount", "Write", "RootAccess")],
                conditions=conditions,
            )
            for sid, conditions in refused.items()
        ]
    )
