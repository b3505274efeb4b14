from __future__ import annotations

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from .._arguments import ConfigurationError, checked, is_token
from .access_log_bucket import AccessLogBucket
from .object_grants import check_prefix, grant_list_objects, grant_objects, grant_read_objects
from .replication import Replication

_ALGORITHM = "s3:x-amz-server-side-encryption"
_KEY = "s3:x-amz-server-side-encryption-aws-kms-key-id"
_CUSTOMER_KEY = "s3:x-amz-server-side-encryption-customer-algorithm"


class DataBucket(Construct):
    """A private, versioned bucket for data: features, models, predictions, pipeline artifacts.

    It requires TLS, and every object is encrypted with ``key``: an upload has either no encryption headers or the ARN
    of ``key``. Other algorithms, other keys and customer-provided keys (SSE-C) are refused, and so is ``aws:kms``
    without a key, which means the AWS managed key. Incomplete uploads are aborted after 7 days.

    Access must be granted. A grant is for one prefix, so give each team its own.

    :param encryption_key: encrypts objects at rest. Default: a new key, rotated yearly.
    :param access_logs: bucket of server access logs, in the same account and Region. Default: a new one.
    :param restore_days: days for which a replaced or deleted object can be restored. Default: 90.
    :param tiering_days: days after which an object moves to S3 Intelligent-Tiering, which adapts to its access pattern
        without retrieval charges. Default: 30.
    :param expiration_days: days after which an object is deleted; it can be restored for another ``restore_days``.
        Default: never.
    :param events: whether EventBridge receives an event for every object that is created or deleted. Do not use
        ``bucket.add_event_notification`` as well, which would turn it off. Default: False.
    :param removal_policy: removal policy of bucket and keys; DESTROY empties the bucket of all versions first.
        Default: RETAIN.
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        encryption_key: kms.IKey | kms.Key | None = None,
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
        self._refuse_other_encryption()
        if events:
            self._send_events()
        (access_logs or AccessLogBucket(self, "AccessLogs", removal_policy=removal_policy)).record(self.bucket)

    @checked
    def grant_read(self, grantee: iam.IGrantable, prefix: str = "*", *, listing: bool = True) -> iam.Grant:
        """Allow ``grantee`` to list, read and decrypt objects under ``prefix``, such as ``churn/*``.

        :param listing: whether it may list them. Default: True; False with :meth:`grant_list`, which covers it.
        """
        check_prefix(self, prefix)
        reading = grant_read_objects(grantee, self.bucket, prefix, listing=listing)
        return reading.combine(self.key.grant(grantee, "kms:Decrypt"))

    @checked
    def grant_write(self, grantee: iam.IGrantable, prefix: str = "*") -> iam.Grant:
        """Allow ``grantee`` to store objects under ``prefix``, but not to read or delete them."""
        check_prefix(self, prefix)
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

    @checked
    def grant_list(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to see that the bucket exists, and the names of all objects, but not to read any."""
        return grant_list_objects(grantee, self.bucket)

    @checked
    def grant_delete(self, grantee: iam.IGrantable, prefix: str = "*") -> iam.Grant:
        """Allow ``grantee`` to delete objects under ``prefix``; former versions are retained for ``restore_days``."""
        check_prefix(self, prefix)
        return grant_objects(grantee, self.bucket, prefix, "s3:DeleteObject")

    @checked
    def replicate_to(self, replica: DataBucket) -> None:
        """Copy every object that is stored from now on to ``replica``, a bucket of the same account in another region.

        Tags and deletions are replicated; expiry is not, so configure it for the replica. The replica's
        stack is deployed first.
        """
        if self.node.try_find_child("Replication"):
            raise ConfigurationError(f"{self.node.path}: has a replica already; one is enough")
        here, there = Stack.of(self), Stack.of(replica)
        place = f"{self.node.path}: replica must be"
        if is_token(there.region) or here.region == there.region:
            raise ConfigurationError(
                f"{place} in another region, got {there.region}; give its stack a different region"
            )
        if not is_token([here.account, there.account]) and here.account != there.account:
            raise ConfigurationError(
                f"{place} in account {here.account}, got {there.account}; give its stack this account"
            )
        Replication(
            self,
            "Replication",
            source=self.bucket,
            source_key=self.key,
            replica=replica.bucket,
            replica_key=replica.key,
        )

    def _check(self, restore_days: int, tiering_days: int, expiration_days: int | None) -> None:
        if not is_token(restore_days) and restore_days < 1:
            raise ConfigurationError(f"{self.node.path}: restore_days must be 1 or more, got {restore_days}")
        if not is_token(tiering_days) and tiering_days < 0:
            raise ConfigurationError(f"{self.node.path}: tiering_days must be 0 or more, got {tiering_days}")
        if expiration_days is None or is_token(expiration_days) or is_token(tiering_days):
            return
        if expiration_days <= tiering_days:
            raise ConfigurationError(
                f"{self.node.path}: expiration_days must be more than tiering_days, got {expiration_days} "
                f"and {tiering_days}; S3 does not move what is deleted by then"
            )

    def _refuse_other_encryption(self) -> None:
        """https://docs.aws.amazon.com/AmazonS3/latest/userguide/specifying-kms-encryption.html"""
        with_headers = {_ALGORITHM: "false"}
        anybody, objects = iam.AnyPrincipal(), self.bucket.arn_for_objects("*")
        refused = {
            "RefuseOtherEncryption": {"Null": with_headers, "StringNotEquals": {_ALGORITHM: "aws:kms"}},
            "RefuseOtherKeys": {"Null": with_headers, "StringNotEquals": {_KEY: self.key.key_arn}},
            "RefuseCustomerKeys": {"Null": {_CUSTOMER_KEY: "false"}},
        }
        policy = self.bucket.policy
        assert policy is not None  # it requires TLS
        policy.document.add_statements(
            *(
                iam.PolicyStatement(
                    sid=sid,
                    effect=iam.Effect.DENY,
                    principals=[anybody],
                    actions=["s3:PutObject"],
                    resources=[objects],
                    conditions=conditions,
                )
                for sid, conditions in refused.items()
            )
        )

    def _send_events(self) -> None:
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
