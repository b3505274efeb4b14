"""The ARN of a log group in the form that services which write logs require."""

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_logs as logs


def log_group_arn(log_group: logs.ILogGroup) -> str:
    """The ARN without the ``:*`` that CloudFormation puts at its end."""
    return Stack.of(log_group).format_arn(
        service="logs",
        resource="log-group",
        resource_name=log_group.log_group_name,
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )
