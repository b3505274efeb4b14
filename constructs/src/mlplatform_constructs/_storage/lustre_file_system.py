import re
from collections.abc import Sequence
from typing import Literal

from aws_cdk import CfnTag, RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_fsx as fsx
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from .._arguments import ConfigurationError, checked, is_token
from .data_bucket import DataBucket

_PORTS = (ec2.Port.tcp(988), ec2.Port.tcp_range(1018, 1023))
_THROUGHPUTS = (125, 250, 500, 1000)
_MOST_LINKS = 8

RepositoryEvent = Literal["NEW", "CHANGED", "DELETED"]
EVERY_EVENT: tuple[RepositoryEvent, ...] = ("NEW", "CHANGED", "DELETED")


class LustreFileSystem(Construct):
    """An FSx for Lustre file system (PERSISTENT_2, SSD) that many nodes read and write concurrently, linked to buckets.

    A linked bucket appears as a directory immediately. A file is copied from S3 when it is first read, once for all
    nodes. The file system is in one zone; access from other zones is billed. It is encrypted at rest, and in transit by
    EC2 on supported instance types. FSx supports no backups of a file system with links: the buckets are the durable
    copy, so write results there.

    Open it to nodes with ``allow_clients``. Mount ``<dns_name>@tcp:/<mount_name>``.

    :param vpc: network of the file system.
    :param subnet: private subnet of the file system, and so its zone. Default: the first private subnet of ``vpc``.
    :param capacity_gib: storage in GiB: 1200, or a multiple of 2400. It can grow, to a multiple of 2400; a smaller
        value replaces the file system. Default: 1200.
    :param throughput_mbps_per_tib: MB/s for each TiB of storage: 125, 250, 500 or 1000. Default: 125.
    :param encryption_key: encrypts files at rest. Default: a new key, rotated yearly.
    :param removal_policy: removal policy of the file system and its key. Default: RETAIN; a file
        system is billed while it exists.
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: ec2.IVpc,
        subnet: ec2.ISubnet | ec2.Subnet | None = None,
        capacity_gib: int = 1200,
        throughput_mbps_per_tib: int = 125,
        encryption_key: kms.IKey | kms.Key | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, id)
        self._check(capacity_gib, throughput_mbps_per_tib)
        self._links: dict[str, fsx.CfnDataRepositoryAssociation] = {}

        key = encryption_key or kms.Key(self, "Key", enable_key_rotation=True, removal_policy=removal_policy)
        group = ec2.SecurityGroup(
            self, "SecurityGroup", vpc=vpc, description=f"{self.node.path}: Lustre servers", allow_all_outbound=False
        )
        self.connections = ec2.Connections(security_groups=[group])
        for port in _PORTS:
            self.connections.allow_internally(port, "Lustre servers among themselves")

        file_system = fsx.CfnFileSystem(
            self,
            "FileSystem",
            file_system_type="LUSTRE",
            file_system_type_version="2.15",
            storage_type="SSD",
            storage_capacity=capacity_gib,
            subnet_ids=[(subnet or _first_private_subnet(vpc)).subnet_id],
            security_group_ids=[group.security_group_id],
            kms_key_id=key.key_arn,
            lustre_configuration=fsx.CfnFileSystem.LustreConfigurationProperty(
                deployment_type="PERSISTENT_2",
                per_unit_storage_throughput=throughput_mbps_per_tib,
                data_compression_type="LZ4",
            ),
            tags=[CfnTag(key="Name", value=self.node.path)],
        )
        file_system.node.add_dependency(group)  # FSx looks at the rules, too, before it makes a file system
        file_system.apply_removal_policy(removal_policy)
        self.file_system_id = file_system.ref
        self.dns_name = file_system.attr_dns_name
        self.mount_name = file_system.attr_lustre_mount_name

    @checked
    def add_link(
        self,
        path: str,
        bucket: DataBucket,
        *,
        prefix: str = "",
        auto_import: Sequence[RepositoryEvent] = EVERY_EVENT,
        auto_export: Sequence[RepositoryEvent] = (),
    ) -> fsx.CfnDataRepositoryAssociation:
        """Link a bucket, or one prefix of it, as the directory ``path`` (a data repository association).

        FSx creates one association of a file system at a time, so each waits for the previous one.

        To import changes, FSx configures the notifications of the bucket. CloudFormation would overwrite them with the
        next update of a bucket with its own notifications, so a bucket with ``events=True`` is refused in that case.

        :param path: directory, such as ``/features``. It must not contain, or be within, another link.
        :param bucket: a bucket of this account. FSx gets access to its key.
        :param prefix: only objects under this prefix, such as ``churn/``. Default: the whole bucket.
        :param auto_import: which changes in S3 appear in the directory automatically. Default: all.
        :param auto_export: which changes in the directory are written to S3 automatically, which allows all clients of
            the file system to change the bucket. Default: none; the bucket is only read.
        """
        self._check_link(path, prefix)
        if auto_import:
            self._check_bucket(path, bucket)
        _open_to_file_systems(bucket.key, Stack.of(bucket))
        policies = fsx.CfnDataRepositoryAssociation
        link = fsx.CfnDataRepositoryAssociation(
            self,
            f"Link{path.replace('/', '-')}",
            file_system_id=self.file_system_id,
            file_system_path=path,
            data_repository_path=f"s3://{bucket.bucket.bucket_name}/{prefix}",
            batch_import_meta_data_on_create=True,
            s3=policies.S3Property(
                auto_import_policy=policies.AutoImportPolicyProperty(events=list(auto_import)) if auto_import else None,
                auto_export_policy=policies.AutoExportPolicyProperty(events=list(auto_export)) if auto_export else None,
            ),
        )
        if self._links:
            link.add_resource_dependency(next(reversed(self._links.values())))
        self._links[path] = link
        return link

    @checked
    def allow_clients(self, clients: ec2.IConnectable) -> None:
        """Allow ``clients`` to mount the file system. Servers connect to clients, too, so both directions are opened.

        The rules are created in the clients' stack, which depends on this one.
        """
        for port in _PORTS:
            clients.connections.allow_to(self.connections, port, "Lustre clients to servers")
            clients.connections.allow_from(self.connections, port, "Lustre servers to clients")

    def _check(self, capacity_gib: int, throughput_mbps_per_tib: int) -> None:
        if not is_token(capacity_gib) and (capacity_gib < 1200 or capacity_gib > 1200 and capacity_gib % 2400):
            below = max(capacity_gib // 2400 * 2400, 1200)
            above = max(capacity_gib // 2400 + 1, 1) * 2400
            raise ConfigurationError(
                f"{self.node.path}: capacity_gib must be 1200 or a multiple of 2400, got {capacity_gib}; "
                f"use {below} or {above}"
            )
        if not is_token(throughput_mbps_per_tib) and throughput_mbps_per_tib not in _THROUGHPUTS:
            raise ConfigurationError(
                f"{self.node.path}: throughput_mbps_per_tib must be 125, 250, 500 or 1000, "
                f"got {throughput_mbps_per_tib}; PERSISTENT_2 offers no other"
            )

    def _check_link(self, path: str, prefix: str) -> None:
        place = self.node.path
        if not re.fullmatch(r"(/[A-Za-z0-9._-]+)+", path):
            raise ConfigurationError(f"{place}: path must be a directory such as '/features', got {path!r}")
        if prefix and (prefix.startswith("/") or not prefix.endswith("/")):
            raise ConfigurationError(f"{place}: prefix must end with '/' and not start with it, got {prefix!r}")
        for other in self._links:
            if f"{path}/".startswith(f"{other}/") or f"{other}/".startswith(f"{path}/"):
                raise ConfigurationError(
                    f"{place}: path {path!r} overlaps the link {other!r}; choose another directory"
                )
        if len(self._links) == _MOST_LINKS:
            raise ConfigurationError(
                f"{place}: {_MOST_LINKS} links at most, got one more, {path!r}; make another file system"
            )

    def _check_bucket(self, path: str, bucket: DataBucket) -> None:
        resource = bucket.bucket.node.default_child
        assert isinstance(resource, s3.CfnBucket)
        if resource.notification_configuration is not None:
            raise ConfigurationError(
                f"{self.node.path}: link {path!r}: bucket {bucket.node.path} sends its events to EventBridge, which "
                "erases the notifications of FSx; make it with events=False, or link another bucket"
            )


def _first_private_subnet(vpc: ec2.IVpc) -> ec2.ISubnet:
    return [*vpc.private_subnets, *vpc.isolated_subnets][0]


def _open_to_file_systems(key: kms.IKey, stack: Stack) -> None:
    """Let FSx read and write objects under ``key``, through S3.

    FSx does so by a service-linked role that it makes for each file system with links. KMS takes no role that does not
    exist yet as principal, so the role is named by a condition, of this account only.
    https://docs.aws.amazon.com/fsx/latest/LustreGuide/s3-server-side-encryption-support.html
    """
    roles = (
        f"arn:{stack.partition}:iam::{stack.account}:role/aws-service-role/"
        "s3.data-source.lustre.fsx.amazonaws.com/AWSServiceRoleForFSxS3Access_fs-*"
    )
    key.add_to_resource_policy(
        iam.PolicyStatement(
            sid="LustreThroughS3",
            principals=[iam.AnyPrincipal()],
            actions=["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"],
            resources=["*"],
            conditions={
                "StringEquals": {
                    "kms:CallerAccount": stack.account,
                    "kms:ViaService": f"s3.{stack.region}.amazonaws.com",
                },
                "ArnLike": {"aws:PrincipalArn": roles},
            },
        )
    )
