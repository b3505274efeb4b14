from collections.abc import Sequence

from aws_cdk import CfnOutput, RemovalPolicy, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from constructs import Construct

from config.schema import Logs
from mlplatform_constructs import AccessLogBucket, DataBucket, FeatureGroup, FeatureStore, ModelRepository
from stacks.feature_groups import FEATURE_GROUPS
from stacks.log_retention import log_retention


class DataStack(Stack):
    """What teams share: features, and the models made from them.

    :param features: bucket of the features and of the events behind them.
    :param models: bucket of the model versions.
    :param access_logs: where S3 records who touched which object.
    :param log_key: encrypts logs.
    :param alarm_topic: is told when features are late, or a model version is not whole.
    :param groups: the feature groups. Default: those of ``stacks.feature_groups``.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        features: DataBucket,
        models: DataBucket,
        access_logs: AccessLogBucket,
        log_key: kms.IKey,
        alarm_topic: sns.ITopic,
        logs: Logs,
        removal_policy: RemovalPolicy,
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
            log_encryption_key=log_key,
            log_retention=log_retention(logs),
            removal_policy=removal_policy,
        )
        self._feature_outputs()
        self.models = ModelRepository(
            self,
            "Models",
            bucket=models,
            alarm_topic=alarm_topic,
            log_encryption_key=log_key,
            log_retention=log_retention(logs),
            removal_policy=removal_policy,
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
