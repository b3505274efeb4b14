from aws_cdk import CfnOutput, RemovalPolicy, Stack
from constructs import Construct

from config.alarms import Alarms
from mlplatform_constructs import AlarmTopic, EncryptionKeys


class SecurityStack(Stack):
    """The keys that every other stack encrypts with, and the topic that every alarm goes to."""

    def __init__(self, scope: Construct, id: str, *, alarms: Alarms, removal_policy: RemovalPolicy) -> None:
        super().__init__(scope, id)
        self.keys = EncryptionKeys(self, "Keys", removal_policy=removal_policy)
        self.alarm_topic = AlarmTopic(self, "Alarms", encryption_key=self.keys.logs, email=alarms.email).topic
        CfnOutput(self, "AlarmTopic", value=self.alarm_topic.topic_arn, description="Subscribe to be told of alarms")
