from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from .._arguments import check_arns, checked
from .._storage.access_log_bucket import AccessLogBucket
from .._storage.data_bucket import DataBucket
from .._storage.object_grants import check_prefix, grant_read_objects

_LISTING = ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"]
_CONTENT = [
    "s3:AbortMultipartUpload",
    "s3:DeleteObject",
    "s3:GetObject",
    "s3:ListMultipartUploadParts",
    "s3:PutObject",
    "s3:PutObjectTagging",
]
_CHANGES = ["s3:DeleteObjectTagging", "s3:PutObject*", "s3:ReplicateDelete", "s3:ReplicateObject", "s3:ReplicateTags"]
_DELETIONS = ["s3:DeleteObject", "s3:DeleteObjectVersion"]


@dataclass(frozen=True)
class CollectedDataSource:
    """The bucket of collected data: in this account for its owner, or in the owner's account."""

    writer_role_arns: tuple[str, ...]
    bucket: s3.IBucket | None

    @classmethod
    @checked
    def held(cls, *, writer_role_arns: Sequence[str] = ()) -> CollectedDataSource:
        """A new bucket with its own key, to which the owner writes.

        :param writer_role_arns: existing roles of the owner, in any account. Default: none, so no principal can write.
        """
        return cls(writer_role_arns=tuple(writer_role_arns), bucket=None)

    @classmethod
    @checked
    def existing(cls, bucket: s3.IBucket) -> CollectedDataSource:
        """The owner's bucket, with its key if it has one: see ``s3.Bucket.from_bucket_attributes``.

        An owner in another account must allow this account to read, in the policies of the bucket and of the key.
        """
        return cls(writer_role_arns=(), bucket=bucket)


class CollectedData(Construct):
    """Raw and cleansed data that another platform collects and owns; this platform only reads it.

    There is no grant to write, and the bucket object is not exposed. The policy of a bucket in this account denies
    every change to all principals except the owner's roles, including administrators of this account.

    :param source: a bucket in this account, or the owner's bucket.
    :param access_logs: bucket of server access logs, for a bucket in this account. Default: a new one.
    :param restore_days: days for which the owner can restore replaced and deleted objects, for a bucket in this
        account. Default: 90.
    :param removal_policy: removal policy of a bucket in this account. Default: RETAIN.
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        source: CollectedDataSource,
        access_logs: AccessLogBucket | None = None,
        restore_days: int = 90,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, id)
        check_arns(self.node.path, "writer_role_arns", source.writer_role_arns, service="iam", resources=["role/"])

        if source.bucket is None:
            held = self._hold(source.writer_role_arns, access_logs, restore_days, removal_policy)
            self._bucket: s3.IBucket = held.bucket
            self._key: kms.IKey | None = held.key
        else:
            self._bucket = source.bucket
            self._key = source.bucket.encryption_key
        self.bucket_name = self._bucket.bucket_name
        self.bucket_arn = self._bucket.bucket_arn

    @checked
    def grant_read(self, grantee: iam.IGrantable, prefix: str = "*") -> iam.Grant:
        """Allow ``grantee`` to list, read and decrypt objects under ``prefix``, such as ``cleansed/*``."""
        check_prefix(self, prefix)
        grant = grant_read_objects(grantee, self._bucket, prefix)
        if self._key is None:
            return grant
        # Not key.grant, which for a key of another account means every key there is.
        decrypting = iam.Grant.add_to_principal(
            grantee=grantee, actions=["kms:Decrypt"], resource_arns=[self._key.key_arn]
        )
        return grant.combine(decrypting)

    def _hold(
        self,
        writer_role_arns: Sequence[str],
        access_logs: AccessLogBucket | None,
        restore_days: int,
        removal_policy: RemovalPolicy,
    ) -> DataBucket:
        # A separate key: the owner's roles may use it, and it must not give them access to other data.
        key = kms.Key(
            self,
            "Key",
            description=f"{self.node.path}: collected data, written by its owner",
            enable_key_rotation=True,
            removal_policy=removal_policy,
        )
        held = DataBucket(
            self,
            "Data",
            encryption_key=key,
            access_logs=access_logs,
            restore_days=restore_days,
            removal_policy=removal_policy,
        )
        self._deny_changes(held.bucket, writer_role_arns, removal_policy)
        if writer_role_arns:
            self._grant_writers(held.bucket, key, writer_role_arns)
        return held

    def _deny_changes(self, bucket: s3.Bucket, writers: Sequence[str], removal_policy: RemovalPolicy) -> None:
        # A bucket that is deleted with its stack is emptied first, by a function of the stack.
        deletions = [] if removal_policy == RemovalPolicy.DESTROY else _DELETIONS
        bucket.add_to_resource_policy(
            iam.PolicyStatement(
                sid="OnlyTheOwnerChangesData",
                effect=iam.Effect.DENY,
                principals=[iam.AnyPrincipal()],
                actions=[*deletions, *_CHANGES],
                resources=[bucket.arn_for_objects("*")],
                conditions={"ArnNotEquals": {"aws:PrincipalArn": list(writers)}} if writers else None,
            )
        )

    def _grant_writers(self, bucket: s3.Bucket, key: kms.Key, writers: Sequence[str]) -> None:
        principals = [iam.ArnPrincipal(arn) for arn in writers]
        for actions, resource in ((_LISTING, bucket.bucket_arn), (_CONTENT, bucket.arn_for_objects("*"))):
            bucket.add_to_resource_policy(
                iam.PolicyStatement(principals=principals, actions=actions, resources=[resource])
            )
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="OwnerThroughS3",
                principals=principals,
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=["*"],
                conditions={"StringEquals": {"kms:ViaService": f"s3.{Stack.of(self).region}.amazonaws.com"}},
            )
        )
