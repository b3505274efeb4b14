"""What a user pool does about sign-ins that Cognito rates as risky."""

from aws_cdk import aws_cognito as cognito
from constructs import Construct

_Action = cognito.CfnUserPoolRiskConfigurationAttachment.AccountTakeoverActionTypeProperty


class RiskResponses(Construct):
    """Leaked passwords are refused; unusual sign-ins need the second factor, very unusual ones are refused.

    Threat protection that is switched on rates sign-ins; what follows from the rating is said here, and not left to the
    defaults of an account. No mail is sent, which would need a sender address of the platform.

    https://docs.aws.amazon.com/cognito/latest/developerguide/cognito-user-pool-settings-adaptive-authentication.html

    :param user_pool: whose clients it holds for, all of them.
    """

    def __init__(self, scope: Construct, id: str, *, user_pool: cognito.IUserPool) -> None:
        super().__init__(scope, id)
        attachment = cognito.CfnUserPoolRiskConfigurationAttachment
        attachment(
            self,
            "Attachment",
            user_pool_id=user_pool.user_pool_id,
            client_id="ALL",
            compromised_credentials_risk_configuration=attachment.CompromisedCredentialsRiskConfigurationTypeProperty(
                actions=attachment.CompromisedCredentialsActionsTypeProperty(event_action="BLOCK")
            ),
            account_takeover_risk_configuration=attachment.AccountTakeoverRiskConfigurationTypeProperty(
                actions=attachment.AccountTakeoverActionsTypeProperty(
                    low_action=_Action(event_action="MFA_IF_CONFIGURED", notify=False),
                    medium_action=_Action(event_action="MFA_REQUIRED", notify=False),
                    high_action=_Action(event_action="BLOCK", notify=False),
                )
            ),
        )
