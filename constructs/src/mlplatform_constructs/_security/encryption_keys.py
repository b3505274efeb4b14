from collections.abc import Sequence

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from .._arguments import checked
from .service_principal import service_principal


class EncryptionKeys(Construct):
    """One yearly rotated KMS key for each domain, so that access to one grants nothing on the others.

    - ``cluster_secrets``: Kubernetes secrets, by envelope encryption in EKS.
    - ``data``: buckets and file systems.
    - ``metadata``: databases and their credentials.
    - ``logs``: log groups, trails and alarm topics; CloudWatch and CloudTrail of this account may use it.

    Key policies name this account and AWS services only; roles get access by the grants of the construct that uses a
    key. A file system that is linked to a bucket adds the role of FSx to the data key's policy, for this account only.

    :param removal_policy: removal policy of the keys. A destroyed key can be restored for 7 days,
        then everything encrypted with it is lost. Default: RETAIN.
    """

    @checked
    def __init__(self, scope: Construct, id: str, *, removal_policy: RemovalPolicy = RemovalPolicy.RETAIN) -> None:
        super().__init__(scope, id)

        self.cluster_secrets = self._key("ClusterSecrets", "Kubernetes secrets", removal_policy)
        self.data = self._key("Data", "buckets and file systems", removal_policy)
        self.metadata = self._key("Metadata", "databases and their credentials", removal_policy)
        self.logs = self._key("Logs", "log groups and trails", removal_policy)
        self.let_log_groups_use(self.logs)
        self._grant_trails_and_alarms()

    @staticmethod
    def let_log_groups_use(key: kms.Key) -> None:
        """Allow CloudWatch Logs to encrypt log groups of the key's account and Region with another key.

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

    @staticmethod
    def grant_encrypt_disks(grantee: iam.IGrantable, key: kms.IKey | kms.Key) -> iam.Grant:
        """Allow ``grantee`` to create EBS volumes under a key, for the EBS CSI driver.

        The driver uses the key through EC2 only, and decrypts nothing else that is encrypted with it.

        https://docs.aws.amazon.com/eks/latest/userguide/ebs-csi.html
        """
        by_ec2 = {"kms:ViaService": f"ec2.{Stack.of(key).region}.amazonaws.com"}
        using = iam.Grant.add_to_principal(
            grantee=grantee,
            actions=[
                "kms:Decrypt",
                "kms:DescribeKey",
                "kms:Encrypt",
                "kms:GenerateDataKeyWithoutPlaintext",
                "kms:ReEncryptFrom",
                "kms:ReEncryptTo",
            ],
            resource_arns=[key.key_arn],
            conditions={"StringEquals": by_ec2},
        )
        lending = iam.Grant.add_to_principal(
            grantee=grantee,
            actions=["kms:CreateGrant"],
            resource_arns=[key.key_arn],
            conditions={"Bool": {"kms:GrantIsForAWSResource": "true"}, "StringEquals": by_ec2},
        )
        return using.combine(lending)

    @staticmethod
    def grant_read_secrets(
        grantee: iam.IGrantable,
        key: kms.IKey | kms.Key,
        secrets: Sequence[secretsmanager.ISecret | secretsmanager.Secret],
    ) -> iam.Grant:
        """Allow ``grantee`` to read secrets that are encrypted with a key, and to use the key for nothing else.

        Unlike ``secret.grant_read``, it leaves the policy of the key alone, which can be in another stack.
        """
        reading = iam.Grant.add_to_principal(
            grantee=grantee,
            actions=["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"],
            resource_arns=[secret.secret_arn for secret in secrets],
        )
        decrypting = iam.Grant.add_to_principal(
            grantee=grantee,
            actions=["kms:Decrypt"],
            resource_arns=[key.key_arn],
            conditions={"StringEquals": {"kms:ViaService": f"secretsmanager.{Stack.of(key).region}.amazonaws.com"}},
        )
        return reading.combine(decrypting)

    def _key(self, id: str, what: str, removal_policy: RemovalPolicy) -> kms.Key:
        return kms.Key(
            self,
            id,
            description=f"{self.node.path}: {what}",
            enable_key_rotation=True,
            pending_window=Duration.days(7),
            removal_policy=removal_policy,
        )

    def _grant_trails_and_alarms(self) -> None:
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
                principals=[service_principal(self, "cloudwatch.amazonaws.com")],
                actions=["kms:GenerateDataKey*", "kms:Decrypt"],
                resources=["*"],
            )
        )
