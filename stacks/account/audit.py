from collections.abc import Mapping, Sequence

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from constructs import Construct

from config.audit import Audit
from mlplatform_constructs import AuditTrail
from stacks._wiring.data_protection import DataProtection


class AuditStack(Stack):
    """Who did what in the account. Last of all stacks, because it watches what the others made.

    :param recorded_buckets: buckets whose objects' reads and writes are recorded.
    :param emergency_roles: roles whose use raises an alarm, by the name of what they open.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Audit,
        protection: DataProtection,
        alarm_topic: sns.ITopic,
        recorded_buckets: Sequence[s3.IBucket],
        emergency_roles: Mapping[str, iam.IRole],
    ) -> None:
        super().__init__(scope, id)
        self.trail = AuditTrail(
            self,
            "Trail",
            encryption_key=protection.keys.logs,
            alarm_topic=alarm_topic,
            recorded_buckets=recorded_buckets,
            log_retention=protection.log_retention,
            file_days=settings.file_days,
            removal_policy=protection.removal_policy,
        )
        for name, role in emergency_roles.items():
            self.trail.alarm_on_use_of(f"{name}EmergencyRoleUsed", role)
