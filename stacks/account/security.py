from aws_cdk import CfnOutput, RemovalPolicy, Stack
from constructs import Construct

from config.alarms import Alarms
from config.schema import Logs
from mlplatform_constructs import AlarmTopic, EncryptionKeys
from stacks._wiring.data_protection import DataProtection


class SecurityStack(Stack):
    """The keys that every other stack encrypts with, and the topic of all alarms.

    - ``alarms``: the topic, and ``alarm_topic``, what CloudWatch's alarms notify.
    - ``protection``: the keys, with the removal policy and the retention that all stacks apply.
    """

    def __init__(self, scope: Construct, id: str, *, alarms: Alarms, logs: Logs, removal_policy: RemovalPolicy) -> None:
        super().__init__(scope, id)
        keys = EncryptionKeys(self, "Keys", removal_policy=removal_policy)
        self.protection = DataProtection(keys, removal_policy, logs.retention_days)
        self.alarms = AlarmTopic(self, "Alarms", encryption_key=keys.logs, email=alarms.email)
        self.alarm_topic = self.alarms.topic
        CfnOutput(self, "AlarmTopic", value=self.alarm_topic.topic_arn, description="Subscribe to receive alarms")
