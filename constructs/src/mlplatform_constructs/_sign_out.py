"""Where sessions end."""

from pathlib import Path

from aws_cdk import Duration, IgnoreMode, RemovalPolicy, Stack
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

_HANDLERS = Path(__file__).parent / "handlers"


class SignOut(Construct):
    """A function behind a load balancer that expires its session cookies and sends the browser to ``sign_out_url``.

    :param session_cookie: name of the cookies, without their number.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        sign_out_url: str,
        session_cookie: str,
        log_encryption_key: kms.IKey | None,
        log_retention: logs.RetentionDays,
    ) -> None:
        super().__init__(scope, id)
        log_group = logs.LogGroup(
            self,
            "Log",
            encryption_key=log_encryption_key,
            retention=log_retention,
            removal_policy=RemovalPolicy.DESTROY,  # errors only; the load balancer logs the requests
        )
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group.grant_write(role)
        function = lambda_.Function(
            self,
            "Function",
            description="Ends a session: its cookies expire, then the user pool's sign-out page follows",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            code=lambda_.Code.from_asset(
                str(_HANDLERS), exclude=["*", "!sign_out", "!sign_out/*.py"], ignore_mode=IgnoreMode.GIT
            ),
            handler="sign_out.index.handler",
            role=role,
            log_group=log_group,
            timeout=Duration.seconds(10),
            environment={"SESSION_COOKIE": session_cookie, "SIGN_OUT_URL": sign_out_url},
        )
        permission = lambda_.CfnPermission(
            self,
            "Permission",
            action="lambda:InvokeFunction",
            function_name=function.function_arn,
            principal="elasticloadbalancing.amazonaws.com",
            source_account=Stack.of(self).account,
            # Not the group by its name: it tries the function out when it is made.
            source_arn=Stack.of(self).format_arn(
                service="elasticloadbalancing", resource="targetgroup", resource_name="*"
            ),
        )
        group = elbv2.CfnTargetGroup
        self.target_group = group(
            self,
            "Target",
            target_type="lambda",
            targets=[group.TargetDescriptionProperty(id=function.function_arn)],
            target_group_attributes=[
                # Without it, a response cannot set more than one cookie.
                group.TargetGroupAttributeProperty(key="lambda.multi_value_headers.enabled", value="true")
            ],
        )
        self.target_group.add_resource_dependency(permission)
