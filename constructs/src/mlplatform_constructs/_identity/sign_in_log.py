"""The log of sign-ins at a user pool."""

from aws_cdk import Aws, Fn, Names, RemovalPolicy
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_logs as logs
from constructs import Construct

from .._security.log_group_arn import log_group_arn


def log_sign_ins(
    scope: Construct, user_pool: cognito.UserPool, retention: logs.RetentionDays, removal_policy: RemovalPolicy
) -> None:
    """Log each sign-in with address, device and risk, which Cognito reports with the plan Plus only.

    Cognito refuses log groups with a KMS key, and ARNs that end with an asterisk, as those of CloudFormation do. Under
    a name with another beginning, the group takes up space in a policy of the account that is soon full; the stack's
    id avoids a name clash with the retained log of an earlier stack.

    https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/API_CloudWatchLogsConfigurationType.html
    """
    stack = Fn.select(2, Fn.split("/", Aws.STACK_ID))
    name = f"/aws/vendedlogs/cognito/{Names.unique_resource_name(scope, max_length=80, separator='-')}-{stack}"
    log_group = logs.LogGroup(scope, "SignIns", log_group_name=name, retention=retention, removal_policy=removal_policy)
    delivery = cognito.CfnLogDeliveryConfiguration
    delivery(
        scope,
        "SignInDelivery",
        user_pool_id=user_pool.user_pool_id,
        log_configurations=[
            delivery.LogConfigurationProperty(
                event_source="userAuthEvents",
                log_level="INFO",
                cloud_watch_logs_configuration=delivery.CloudWatchLogsConfigurationProperty(
                    log_group_arn=log_group_arn(log_group)
                ),
            )
        ],
    )
