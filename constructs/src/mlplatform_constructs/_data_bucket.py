from __future__ import annotations

from aws_cdk import Duration, RemovalPolicy, Stack, Token
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from ._access_log_bucket import AccessLogBucket
from ._object_grants import check_prefix, grant_objects, grant_read_objects
from ._replication import Replication

_OTHER_THAN_KMS = {
    "Null": {"s3:x-amz-server-side-encryption": "false"},
    "StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"},
}


class DataBucket(Construct):
    """A private, versioned bucket for data: features, models, predictions, pipeline artifacts.

    It is reached over TLS only, and every object is encrypted with ``key``: an upload that asks for another kind of
    encryption is refused. Unfinished uploads go after 7 days. Nobody has access until it is granted; a grant names one
    prefix, so give each team one of its own.

    :param encryption_key: encrypts objects at rest. Default: a new key, rotated yearly.
    :param access_logs: where S3 records who touched which object; of the same account and region. Default: a new
        bucket beside this one.
    :param restore_days: days for which a replaced or deleted object can be restored. Default: 90.
    :param tiering_days: days after which an object moves to S3 Intelligent-Tiering, which from then on follows its use
        and charges nothing for reading. Default: 30.
    :param expiration_days: days after which an object is deleted; it can be restored for ``restore_days`` more.
        Default: never.
    :param events: whether EventBridge is told of every object that is made or deleted. Do not use
        ``bucket.add_event_notification`` as well, which would turn it off. Default: no events.
    :param removal_policy: what becomes of bucket and keys when the stack goes; DESTROY empties the bucket of all
        versions first. Default: they stay.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        encryption_key: kms.IKey | None = None,
        access_logs: AccessLogBucket | None = None,
        restore_days: int = 90,
        tiering_days: int = 30,
        expiration_days: int | None = None,
        events: bool = False,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, id)
        self._check(restore_days, tiering_days, expiration_days)

        self.key = encryption_key or kms.Key(self, "Key", enable_key_rotation=True, removal_policy=removal_policy)
        self.bucket = s3.Bucket(
            self,
            "Bucket",
            encryption_key=self.key,
            bucket_key_enabled=True,  # one call to KMS serves many objects
            enforce_ssl=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            versioned=True,
            lifecycle_rules=_lifecycle(restore_days, tiering_days, expiration_days),
            removal_policy=removal_policy,
            auto_delete_objects=removal_policy == RemovalPolicy.DESTROY,
        )
        self.bucket.add_to_resource_policy(
            iam.PolicyStatement(
                sid="RefuseOtherEncryption",
                effect=iam.Effect.DENY,
                principals=[iam.AnyPrincipal()],
                actions=["s3:PutObject"],
                resources=[self.bucket.arn_for_objects("*")],
                conditions=_OTHER_THAN_KMS,
            )
        )
        if events:
            self._tell_event_bridge()
        (access_logs or AccessLogBucket(self, "AccessLogs", removal_policy=removal_policy)).record(self.bucket)

    def grant_read(self, grantee: iam.IGrantable, prefix: str = "*") -> iam.Grant:
        """Let ``grantee`` list, read and decrypt objects under ``prefix``, such as ``churn/*``."""
        check_prefix(self.node.path, prefix)
        reading = grant_read_objects(grantee, self.bucket, prefix)
        return reading.combine(self.key.grant(grantee, "kms:Decrypt"))

    def grant_write(self, grantee: iam.IGrantable, prefix: str = "*") -> iam.Grant:
        """Let ``grantee`` store objects under ``prefix``; not read, and not delete them."""
        check_prefix(self.node.path, prefix)
        writing = grant_objects(
            grantee,
            self.bucket,
            prefix,
            "s3:PutObject",
            "s3:PutObjectTagging",
            "s3:AbortMultipartUpload",
            "s3:ListMultipartUploadParts",
        )
        # S3 decrypts the parts of a large upload to put them together.
        return writing.combine(self.key.grant(grantee, "kms:GenerateDataKey", "kms:Decrypt"))

    def grant_delete(self, grantee: iam.IGrantable, prefix: str = "*") -> iam.Grant:
        """Let ``grantee`` delete objects under ``prefix``; former versions stay for as long as they can be restored."""
        check_prefix(self.node.path, prefix)
        return grant_objects(grantee, self.bucket, prefix, "s3:DeleteObject")

    def replicate_to(self, replica: DataBucket) -> None:
        """Copy every object that is stored from now on to ``replica``, a bucket of the same account in another region.

        Tags and deletions follow; what expires here does not, so give the replica an expiry of its own. The replica's
        stack is deployed first.
        """
        if self.node.try_find_child("Replication"):
            raise ValueError(f"{self.node.path}: has a replica already; one is enough")
        here, there = Stack.of(self), Stack.of(replica)
        place = f"{self.node.path}: replica must be"
        if Token.is_unresolved(there.region) or here.region == there.region:
            raise ValueError(f"{place} in another region, got {there.region}; give its stack a region of its own")
        if not Token.is_unresolved([here.account, there.account]) and here.account != there.account:
            raise ValueError(f"{place} in account {here.account}, got {there.account}; give its stack this account")
        Replication(
            self,
            "Replication",
            source=self.bucket,
            source_key=self.key,
            replica=replica.bucket,
            replica_key=replica.key,
        )

    def _check(self, restore_days: int, tiering_days: int, expiration_days: int | None) -> None:
        if not Token.is_unresolved(restore_days) and restore_days < 1:
            raise ValueError(f"{self.node.path}: restore_days must be 1 or more, got {restore_days}")
        if not Token.is_unresolved(tiering_days) and tiering_days < 0:
            raise ValueError(f"{self.node.path}: tiering_days must be 0 or more, got {tiering_days}")
        if expiration_days is None or Token.is_unresolved(expiration_days) or Token.is_unresolved(tiering_days):
            return
        if expiration_days <= tiering_days:
            raise ValueError(
                f"{self.node.path}: expiration_days must be more than tiering_days, got {expiration_days} "
                f"and {tiering_days}; S3 does not move what is deleted by then"
            )

    def _tell_event_bridge(self) -> None:
        """By the bucket's own property: the ``Bucket`` class would do it with a function and a custom resource."""
        resource = self.bucket.node.default_child
        assert isinstance(resource, s3.CfnBucket)
        resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
        )


def _lifecycle(restore_days: int, tiering_days: int, expiration_days: int | None) -> list[s3.LifecycleRule]:
    return [
        s3.LifecycleRule(
            id="Former",
            abort_incomplete_multipart_upload_after=Duration.days(7),
            noncurrent_version_expiration=Duration.days(restore_days),
            expired_object_delete_marker=True,
        ),
        s3.LifecycleRule(
            id="Current",
            transitions=[
                s3.Transition(
                    storage_class=s3.StorageClass.INTELLIGENT_TIERING, transition_after=Duration.days(tiering_days)
                )
            ],
            expiration=None if expiration_days is None else Duration.days(expiration_days),
        ),
    ]
