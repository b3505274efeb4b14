from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from constructs import Construct

from .._arguments import ConfigurationError, checked
from .account_grant import Permission, grant_permissions
from .service_principal import service_principal


class AlarmTopic(Construct):
    """An encrypted SNS topic for CloudWatch alarms of this account, published to over TLS only.

    A topic policy replaces the default one of SNS, which admits the account's alarms, so this policy admits them again.
    Without it, or without access to the key, CloudWatch drops messages and reports it in the alarm's history only.
    https://repost.aws/knowledge-center/cloudwatch-receive-sns-for-alarm-trigger

    :param encryption_key: encrypts messages; its policy must admit CloudWatch, as ``EncryptionKeys.logs`` does.
        Default: a new key of that kind.
    :param email: address to notify, after it has confirmed. Default: none; subscribe to ``topic``.
    """

    @checked
    def __init__(
        self, scope: Construct, id: str, *, encryption_key: kms.IKey | kms.Key | None = None, email: str | None = None
    ) -> None:
        super().__init__(scope, id)
        if email is not None and "@" not in email:
            raise ConfigurationError(
                f"{self.node.path}: email must be an address such as team@example.com, got {email!r}"
            )
        self._encryption_key = encryption_key or self._key()
        self.topic = sns.Topic(self, "Topic", master_key=self._encryption_key, enforce_ssl=True)
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsOfThisAccount",
                principals=[service_principal(self, "cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
            )
        )
        if email is not None:
            sns.Subscription(self, "Email", topic=self.topic, protocol=sns.SubscriptionProtocol.EMAIL, endpoint=email)

    @checked
    def grant_publish(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to publish messages, and to use the key that encrypts them."""
        permissions = [
            Permission(actions=["sns:Publish"], resources=[self.topic.topic_arn]),
            Permission(actions=["kms:Decrypt", "kms:GenerateDataKey"], resources=[self._encryption_key.key_arn]),
        ]
        return grant_permissions(self, grantee, permissions)

    def _key(self) -> kms.Key:
        key = kms.Key(self, "Key", description=f"{self.node.path}: messages of alarms", enable_key_rotation=True)
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsOfThisAccount",
                principals=[service_principal(self, "cloudwatch.amazonaws.com")],
                actions=["kms:GenerateDataKey*", "kms:Decrypt"],
                resources=["*"],
            )
        )
        return key
