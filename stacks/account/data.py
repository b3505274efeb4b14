from collections.abc import Sequence

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_sns as sns
from constructs import Construct

from mlplatform_constructs import AccessLogBucket, DataBucket, FeatureGroup, FeatureStore, ModelRepository
from stacks._wiring.data_protection import DataProtection
from stacks._wiring.output_reference import refer_by_output
from stacks.account.feature_groups import FEATURE_GROUPS


class DataStack(Stack):
    """What teams share: features, and the models made from them.

    :param features: bucket of the features and of the events behind them.
    :param models: bucket of the model versions.
    :param access_logs: where S3 records who touched which object.
    :param alarm_topic: receives alarms about late features and incomplete model versions.
    :param groups: the feature groups. Default: those of ``stacks.account.feature_groups``.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        features: DataBucket,
        models: DataBucket,
        access_logs: AccessLogBucket,
        alarm_topic: sns.ITopic,
        protection: DataProtection,
        groups: Sequence[FeatureGroup] = FEATURE_GROUPS,
    ) -> None:
        super().__init__(scope, id)
        self.features = FeatureStore(
            self,
            "Features",
            bucket=features,
            groups=groups,
            access_logs=access_logs,
            alarm_topic=alarm_topic,
            removal_policy=protection.removal_policy,
            **protection.logs,
        )
        self._feature_outputs()
        refer_by_output(self.features, exported=False)  # roles of teams may name them, and a change removes a group
        self.models = ModelRepository(
            self,
            "Models",
            bucket=models,
            alarm_topic=alarm_topic,
            removal_policy=protection.removal_policy,
            **protection.logs,
        )

    def _feature_outputs(self) -> None:
        """What producers of events and readers of features have to name."""
        values = {
            "FeatureDatabaseName": self.features.database_name,
            "FeatureWorkGroupName": self.features.work_group_name,
        }
        for group in self.features.groups:
            label = "".join(word.capitalize() for word in group.name.split("_"))
            values[f"{label}StreamName"] = self.features.stream(group).stream_name
            if group.online:
                values[f"{label}TableName"] = self.features.table(group).table_name
        for id, value in values.items():
            CfnOutput(self, id, value=value)
