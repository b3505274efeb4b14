from aws_cdk import Acknowledgment, Duration, RemovalPolicy, Stack, Token, Validations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct


class AccessLogBucket(Construct):
    """Where S3 writes who touched which object of the buckets of this account and region.

    S3 delivers these logs free of charge, within hours, and most of them: good for questions about use and cost. What
    must hold in an audit (every access, proved unchanged) is CloudTrail's part: see ``AuditTrail``.

    Encrypted with S3's own keys, because S3 cannot deliver its logs under a KMS key. Let a bucket log here with
    ``DataBucket(..., access_logs=...)``; it may belong to another stack, since deliveries are allowed by account.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-server-access-logging.html

    :param expiration_days: days after which a log is deleted. Default: 365.
    :param removal_policy: what becomes of the logs when the stack goes. Default: they stay.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        expiration_days: int = 365,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, id)
        if not Token.is_unresolved(expiration_days) and expiration_days < 1:
            raise ValueError(f"{self.node.path}: expiration_days must be 1 or more, got {expiration_days}")

        self.bucket = s3.Bucket(
            self,
            "Bucket",
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            lifecycle_rules=[
                s3.LifecycleRule(
                    abort_incomplete_multipart_upload_after=Duration.days(7),
                    expiration=Duration.days(expiration_days),
                )
            ],
            removal_policy=removal_policy,
            auto_delete_objects=removal_policy == RemovalPolicy.DESTROY,
        )
        Validations.of(self.bucket).acknowledge(
            Acknowledgment(id="AwsSolutions-S1", reason="a log of the bucket that holds the logs would feed itself")
        )
        self.bucket.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AccessLogsOfThisAccount",
                principals=[iam.ServicePrincipal("logging.s3.amazonaws.com")],
                actions=["s3:PutObject"],
                resources=[self.bucket.arn_for_objects("*")],
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            )
        )

    def record(self, bucket: s3.Bucket) -> None:
        """Write the log of ``bucket``, of the same account and region, below its path and the day of the event."""
        resource = bucket.node.default_child
        assert isinstance(resource, s3.CfnBucket)
        assert self.bucket.policy is not None
        resource.node.add_dependency(self.bucket.policy)  # S3 may refuse to log where it cannot write yet
        date_source = s3.CfnBucket.PartitionedPrefixProperty(partition_date_source="EventTime")
        resource.logging_configuration = s3.CfnBucket.LoggingConfigurationProperty(
            destination_bucket_name=self.bucket.bucket_name,
            log_file_prefix=f"{bucket.node.path}/",
            target_object_key_format=s3.CfnBucket.TargetObjectKeyFormatProperty(partitioned_prefix=date_source),
        )
