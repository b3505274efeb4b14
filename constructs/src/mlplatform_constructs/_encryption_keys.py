from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct


class EncryptionKeys(Construct):
    """One yearly rotated KMS key for each domain, so that access to one says nothing about the others.

    - ``cluster_secrets``: Kubernetes secrets, by envelope encryption in EKS.
    - ``data``: buckets and file systems.
    - ``metadata``: databases and their credentials.
    - ``logs``: log groups, trails and alarm topics; CloudWatch and CloudTrail of this account may use it.

    Key policies name this account and AWS services only; roles are let in by the grants of whatever uses a key. A file
    system that is linked to a bucket adds the service's own role to the data key's policy, held to this account.

    :param removal_policy: what becomes of the keys when the stack goes. A destroyed key waits 7 days for a change of
        mind, then everything encrypted with it is lost. Default: they stay.
    """

    def __init__(self, scope: Construct, id: str, *, removal_policy: RemovalPolicy = RemovalPolicy.RETAIN) -> None:
        super().__init__(scope, id)

        self.cluster_secrets = self._key("ClusterSecrets", "Kubernetes secrets", removal_policy)
        self.data = self._key("Data", "buckets and file systems", removal_policy)
        self.metadata = self._key("Metadata", "databases and their credentials", removal_policy)
        self.logs = self._key("Logs", "log groups and trails", removal_policy)
        self.let_log_groups_use(self.logs)
        self._let_trails_and_alarms_in()

    @staticmethod
    def let_log_groups_use(key: kms.Key) -> None:
        """Let CloudWatch Logs encrypt log groups of the key's account and region with a key of yours.

        The service names the log group in the encryption context; other accounts' groups are refused.
        https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
        """
        stack = Stack.of(key)
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="LogGroupsOfThisAccount",
                principals=[iam.ServicePrincipal(f"logs.{stack.region}.amazonaws.com")],
                actions=["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
                resources=["*"],
                conditions={
                    "ArnLike": {
                        "kms:EncryptionContext:aws:logs:arn": (
                            f"arn:{stack.partition}:logs:{stack.region}:{stack.account}:log-group:*"
                        )
                    }
                },
            )
        )

    def _key(self, id: str, what: str, removal_policy: RemovalPolicy) -> kms.Key:
        return kms.Key(
            self,
            id,
            description=f"{self.node.path}: {what}",
            enable_key_rotation=True,
            pending_window=Duration.days(7),
            removal_policy=removal_policy,
        )

    def _let_trails_and_alarms_in(self) -> None:
        """CloudTrail encrypts its files, CloudWatch publishes alarms to encrypted topics: of this account only.

        https://docs.aws.amazon.com/awscloudtrail/latest/userguide/create-kms-key-policy-for-cloudtrail.html
        """
        stack = Stack.of(self)
        trails = f"arn:{stack.partition}:cloudtrail:*:{stack.account}:trail/*"
        self.logs.add_to_resource_policy(
            iam.PolicyStatement(
                sid="TrailsOfThisAccount",
                principals=[iam.ServicePrincipal("cloudtrail.amazonaws.com")],
                actions=["kms:GenerateDataKey*", "kms:Decrypt", "kms:DescribeKey"],
                resources=["*"],
                conditions={"ArnLike": {"aws:SourceArn": trails}},
            )
        )
        self.logs.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsOfThisAccount",
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["kms:GenerateDataKey*", "kms:Decrypt"],
                resources=["*"],
                conditions={"StringEquals": {"aws:SourceAccount": stack.account}},
            )
        )
