"""The sign-out endpoint of the load balancer."""

from pathlib import Path

from aws_cdk import Duration, Stack
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from .._functions.handler_function import HandlerFunction


class SignOut(Construct):
    """A function behind a load balancer that expires its session cookies and sends the browser to ``sign_out_url``.

    :param target_group_id: construct id of its target group, which belongs to one load balancer only.
    :param session_cookie: name of the cookies, without their number.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        target_group_id: str,
        sign_out_url: str,
        session_cookie: str,
        log_encryption_key: kms.IKey | None,
        log_retention: logs.RetentionDays,
    ) -> None:
        super().__init__(scope, id)
        function = HandlerFunction(
            self,
            "Function",
            description="Ends a session: its cookies expire, then the user pool's sign-out page follows",
            folder=Path(__file__).parent / "sign_out_handler",
            timeout=Duration.seconds(10),
            environment={"SESSION_COOKIE": session_cookie, "SIGN_OUT_URL": sign_out_url},
            log_encryption_key=log_encryption_key,
            log_retention=log_retention,  # errors only; the load balancer logs the requests
        )
        permission = lambda_.CfnPermission(
            self,
            "Permission",
            action="lambda:InvokeFunction",
            function_name=function.function_arn,
            principal="elasticloadbalancing.amazonaws.com",
            source_account=Stack.of(self).account,
            # Not the ARN of the group, which calls the function while it is created.
            source_arn=Stack.of(self).format_arn(
                service="elasticloadbalancing", resource="targetgroup", resource_name="*"
            ),
        )
        group = elbv2.CfnTargetGroup
        self.target_group = group(
            self,
            target_group_id,
            target_type="lambda",
            targets=[group.TargetDescriptionProperty(id=function.function_arn)],
            target_group_attributes=[
                # Without it, a response cannot set more than one cookie.
                group.TargetGroupAttributeProperty(key="lambda.multi_value_headers.enabled", value="true")
            ],
        )
        self.target_group.add_resource_dependency(permission)
