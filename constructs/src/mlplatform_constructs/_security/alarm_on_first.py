from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct


def alarm_on_first(scope: Construct, id: str, metric: cloudwatch.IMetric, meaning: str) -> cloudwatch.Alarm:
    """An alarm that is raised by the first occurrence of what the metric counts. Missing data raises none."""
    return cloudwatch.Alarm(
        scope,
        id,
        metric=metric,
        threshold=1,
        evaluation_periods=1,
        comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        alarm_description=meaning,
    )
