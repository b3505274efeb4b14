from aws_cdk import Acknowledgment, Duration, RemovalPolicy, Stack, Validations
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from .._arguments import ConfigurationError, checked, is_token
from .._security.service_principal import service_principal


class AccessLogBucket(Construct):
    """The bucket of S3 server access logs of this account and Region.

    S3 delivers these logs free of charge, within hours, on a best-effort basis: for questions about use and cost. The
    complete record with proof of integrity is CloudTrail: see ``AuditTrail``.

    Encrypted with S3's own keys, because S3 cannot deliver its logs under a KMS key. A bucket logs here by
    ``DataBucket(..., access_logs=...)``, also from another stack: deliveries are allowed by account.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-server-access-logging.html

    :param expiration_days: days after which a log is deleted. Default: 365.
    :param removal_policy: removal policy of the logs. Default: RETAIN.
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        expiration_days: int = 365,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, id)
        if not is_token(expiration_days) and expiration_days < 1:
            raise ConfigurationError(f"{self.node.path}: expiration_days must be 1 or more, got {expiration_days}")

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
                principals=[service_principal(self, "logging.s3.amazonaws.com")],
                actions=["s3:PutObject"],
                resources=[self.bucket.arn_for_objects("*")],
            )
        )

    @checked
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

    @checked
    def record_load_balancer(self, load_balancer: elbv2.ApplicationLoadBalancer) -> None:
        """Write the log of requests to ``load_balancer``, of the same account and region, below its path.

        Elastic Load Balancing puts the account of the load balancer into the name of each object, so that another
        account's cannot write here. The CDK's method needs a stack with a region, and grants access to two services
        more.
        https://docs.aws.amazon.com/elasticloadbalancing/latest/application/enable-access-logging.html
        """
        prefix = load_balancer.node.path.rpartition("/")[0]
        self.bucket.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("logdelivery.elasticloadbalancing.amazonaws.com")],
                actions=["s3:PutObject"],
                resources=[self.bucket.arn_for_objects(f"{prefix}/AWSLogs/{Stack.of(self).account}/*")],
            )
        )
        attributes = {"enabled": "true", "bucket": self.bucket.bucket_name, "prefix": prefix}
        for name, value in attributes.items():
            load_balancer.set_attribute(f"access_logs.s3.{name}", value)
        assert self.bucket.policy is not None
        load_balancer.node.add_dependency(self.bucket.policy)  # the attributes are refused where it cannot write yet
