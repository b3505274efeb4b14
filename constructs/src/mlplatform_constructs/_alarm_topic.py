from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from constructs import Construct


class AlarmTopic(Construct):
    """An SNS topic that CloudWatch alarms of this account can really reach: encrypted, published to over TLS only.

    Any policy of a topic's own takes the place of the one that SNS gives it, which let the account's alarms in. They
    are named here again; without that, or without the key, a message is dropped and only the alarm's history says so.
    https://repost.aws/knowledge-center/cloudwatch-receive-sns-for-alarm-trigger

    :param encryption_key: encrypts messages; its policy must let CloudWatch in, as ``EncryptionKeys.logs`` does.
        Default: a new key of that kind.
    :param email: address that is told. AWS asks it to confirm first. Default: nobody; subscribe to ``topic``.
    """

    def __init__(
        self, scope: Construct, id: str, *, encryption_key: kms.IKey | None = None, email: str | None = None
    ) -> None:
        super().__init__(scope, id)
        if email is not None and "@" not in email:
            raise ValueError(f"{self.node.path}: email must be an address such as team@example.com, got {email!r}")
        self.topic = sns.Topic(self, "Topic", master_key=encryption_key or self._key(), enforce_ssl=True)
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsOfThisAccount",
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions=self._from_this_account(),
            )
        )
        if email is not None:
            sns.Subscription(self, "Email", topic=self.topic, protocol=sns.SubscriptionProtocol.EMAIL, endpoint=email)

    def _key(self) -> kms.Key:
        key = kms.Key(self, "Key", description=f"{self.node.path}: messages of alarms", enable_key_rotation=True)
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsOfThisAccount",
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["kms:GenerateDataKey*", "kms:Decrypt"],
                resources=["*"],
                conditions=self._from_this_account(),
            )
        )
        return key

    def _from_this_account(self) -> dict[str, dict[str, str]]:
        return {"StringEquals": {"aws:SourceAccount": Stack.of(self).account}}
