import json
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_route53 as route53
from aws_cdk.assertions import Match, Template
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import PlatformUserPool, SignInProvider
from tests.compliance import assert_complies
from tests.policies import allows, identity_statements
from tests.sign_in import SIGN_IN, URL, certificate, user_pool, zone

SECRET = cdk.SecretValue.secrets_manager("arn:aws:secretsmanager:eu-west-1:111111111111:secret:google-AbCdEf")
GOOGLE = SignInProvider.google(client_id="platform", client_secret=SECRET)
CORPORATE = SignInProvider.saml("corporate", metadata_url="https://idp.example.com/metadata")
SCOPES = {"pipelines": "Use pipelines", "models": "Ask models"}


def client(template: Template, flow: str) -> dict[str, Any]:
    """Properties of the app client with this OAuth flow."""
    found = template.find_resources("AWS::Cognito::UserPoolClient").values()
    (properties,) = [each["Properties"] for each in found if each["Properties"]["AllowedOAuthFlows"] == [flow]]
    return properties


def test_defaults(stack: cdk.Stack, snapshot_json: SnapshotAssertion) -> None:
    user_pool(stack)
    assert Template.from_stack(stack).to_json()["Resources"] == snapshot_json


@pytest.mark.promise("cognito-sign-in")
def test_native_users_need_strong_passwords_a_second_factor_and_an_invitation(stack: cdk.Stack) -> None:
    user_pool(stack)
    Template.from_stack(stack).has_resource_properties(
        "AWS::Cognito::UserPool",
        {
            "MfaConfiguration": "ON",
            "EnabledMfas": ["SOFTWARE_TOKEN_MFA"],
            "AdminCreateUserConfig": {"AllowAdminCreateUserOnly": True},
            "Policies": {"PasswordPolicy": Match.object_like({"MinimumLength": 14, "RequireSymbols": True})},
            "UserPoolTier": "PLUS",
            "UserPoolAddOns": {"AdvancedSecurityMode": "ENFORCED"},
            "DeletionProtection": "ACTIVE",
            "UsernameConfiguration": {"CaseSensitive": False},
        },
    )


def test_users_cannot_change_their_own_name(stack: cdk.Stack) -> None:
    """The scope to change attributes is in no token: not by the page's client, and no other client has passwords."""
    users = user_pool(stack, scopes=SCOPES)
    users.add_machine("ci", scopes=["pipelines"])
    template = Template.from_stack(stack)
    people, machines = client(template, "code"), client(template, "client_credentials")
    assert people["AllowedOAuthScopes"] == ["openid", "email"]
    # Tokens from the API would carry it: that needs the client's secret, which stays with AWS.
    assert people["GenerateSecret"]
    assert machines["ExplicitAuthFlows"] == ["ALLOW_REFRESH_TOKEN_AUTH"]
    template.has_resource_properties(
        "AWS::Cognito::UserPool",
        {"UserAttributeUpdateSettings": {"AttributesRequireVerificationBeforeUpdate": ["email"]}},
    )


@pytest.mark.promise("browser-sign-in", "sign-out")
def test_people_are_redirected_only_to_the_platform(stack: cdk.Stack) -> None:
    users = user_pool(stack)
    people = client(Template.from_stack(stack), "code")
    assert people["CallbackURLs"] == [f"{URL}/oauth2/idpresponse"]
    assert people["LogoutURLs"] == [f"{URL}/"]
    address = stack.resolve(users.sign_out_url)["Fn::Join"][1]
    assert address[0] == f"https://{SIGN_IN}/logout?client_id="
    assert address[2] == "&logout_uri=https%3A%2F%2Fkubeflow.ml.example.com%2F"


def test_a_disabled_user_is_out_within_minutes(stack: cdk.Stack) -> None:
    """The load balancer asks the pool for new tokens when they end, and the session ends anyway after hours."""
    user_pool(stack, session=cdk.Duration.hours(8))
    people = client(Template.from_stack(stack), "code")
    units = people["TokenValidityUnits"]
    assert (people["AccessTokenValidity"], units["AccessToken"]) == (15, "minutes")
    assert (people["RefreshTokenValidity"], units["RefreshToken"]) == (8 * 60, "minutes")


@pytest.mark.promise("sign-in-page-name")
def test_the_sign_in_page_has_a_name_of_the_platform(stack: cdk.Stack) -> None:
    """Cognito refuses the name unless its parent domain has an address; the page needs a style to be shown."""
    parent = route53.ARecord(
        stack, "Parent", zone=zone(stack), target=route53.RecordTarget.from_ip_addresses("192.0.2.1")
    )
    user_pool(stack, parent_address=parent)
    template = Template.from_stack(stack)
    (domain,) = template.find_resources("AWS::Cognito::UserPoolDomain").values()
    assert domain["Properties"]["Domain"] == SIGN_IN
    assert domain["Properties"]["CustomDomainConfig"]["CertificateArn"].split(":")[3] == "us-east-1"
    assert domain["Properties"]["ManagedLoginVersion"] == 2
    assert stack.get_logical_id(parent.node.default_child) in domain["DependsOn"]  # type: ignore[arg-type]
    template.resource_count_is("AWS::Cognito::ManagedLoginBranding", 1)
    template.has_resource_properties(
        "AWS::Route53::RecordSet",
        {
            "Name": f"{SIGN_IN}.",
            "Type": "A",
            "AliasTarget": Match.object_like({"DNSName": {"Fn::GetAtt": Match.any_value()}}),
        },
    )
    template.resource_count_is("AWS::CloudFormation::CustomResource", 0)


@pytest.mark.promise("sign-in-providers")
def test_sign_up_can_be_opened_to_a_domain(stack: cdk.Stack) -> None:
    user_pool(stack, self_sign_up=True, allowed_email_domains=["example.com"])
    Template.from_stack(stack).has_resource_properties(
        "AWS::Cognito::UserPool", {"AdminCreateUserConfig": {"AllowAdminCreateUserOnly": False}}
    )


@pytest.mark.promise("sign-in-providers")
def test_unlisted_users_are_refused_at_creation_and_at_each_token(stack: cdk.Stack) -> None:
    users = user_pool(
        stack,
        providers=[GOOGLE, CORPORATE],
        allowed_email_domains=["example.com"],
        allowed_addresses=["guest@example.org"],
    )
    template = Template.from_stack(stack)
    (gate,) = template.find_resources(
        "AWS::Lambda::Function", {"Properties": {"Handler": Match.string_like_regexp("gate")}}
    )
    arn = {"Fn::GetAtt": [gate, "Arn"]}
    template.has_resource_properties(
        "AWS::Cognito::UserPool",
        {"LambdaConfig": {"PreSignUp": arn, "PreTokenGenerationConfig": {"LambdaArn": arn, "LambdaVersion": "V2_0"}}},
    )
    template.has_resource_properties(
        "AWS::Lambda::Function",
        {
            "Environment": {
                "Variables": {
                    "ALLOWED_DOMAINS": '["example.com"]',
                    "PROVING_PROVIDERS": '["Google"]',
                }
            }
        },
    )
    template.has_resource_properties("AWS::SSM::Parameter", {"Value": "guest@example.org"})
    pool = stack.resolve(users.user_pool.user_pool_arn)
    for permission in template.find_resources("AWS::Lambda::Permission").values():
        assert permission["Properties"]["SourceArn"] == pool


@pytest.mark.promise("sign-in-providers")
def test_people_choose_among_the_pool_and_its_providers(stack: cdk.Stack) -> None:
    user_pool(stack, providers=[CORPORATE])
    template = Template.from_stack(stack)
    assert client(template, "code")["SupportedIdentityProviders"] == ["COGNITO", "corporate"]
    (provider,) = template.find_resources("AWS::Cognito::UserPoolIdentityProvider")
    template.has_resource("AWS::Cognito::UserPoolClient", {"DependsOn": [provider]})


def test_the_pool_can_be_left_to_its_providers(stack: cdk.Stack) -> None:
    user_pool(stack, providers=[CORPORATE], native_users=False)
    assert client(Template.from_stack(stack), "code")["SupportedIdentityProviders"] == ["corporate"]


@pytest.mark.promise("no-long-lived-keys")
def test_a_providers_secret_is_in_no_template(stack: cdk.Stack) -> None:
    user_pool(stack, providers=[GOOGLE], allowed_email_domains=["example.com"])
    (provider,) = Template.from_stack(stack).find_resources("AWS::Cognito::UserPoolIdentityProvider").values()
    assert provider["Properties"]["ProviderDetails"]["client_secret"].startswith("{{resolve:secretsmanager:")


@pytest.mark.promise("machine-access")
def test_a_machine_has_its_own_client_scopes_and_secret(stack: cdk.Stack) -> None:
    key = kms.Key(stack, "Key", enable_key_rotation=True)
    users = user_pool(stack, scopes=SCOPES, encryption_key=key)
    users.add_machine("ci", scopes=["pipelines", "models"])
    template = Template.from_stack(stack)
    machine = client(template, "client_credentials")
    assert machine["AllowedOAuthScopes"] == ["mlplatform/pipelines", "mlplatform/models"]
    assert "CallbackURLs" not in machine
    (secret,) = template.find_resources("AWS::SecretsManager::Secret").values()
    assert secret["Properties"]["KmsKeyId"] == stack.resolve(key.key_arn)
    parts = secret["Properties"]["SecretString"]["Fn::Join"][1]
    text = "".join(part if isinstance(part, str) else "x" for part in parts)
    assert json.loads(text) == {
        "client_id": "x",
        "client_secret": "x",
        "token_url": f"https://{SIGN_IN}/oauth2/token",
        "scope": "mlplatform/pipelines mlplatform/models",
    }


def test_a_grant_covers_one_machine_only(stack: cdk.Stack) -> None:
    users = user_pool(stack, scopes=SCOPES)
    one, other = (stack.resolve(users.add_machine(name, scopes=["models"]).secret_arn) for name in ("one", "other"))
    role = iam.Role(stack, "Pod", assumed_by=iam.ServicePrincipal("pods.eks.amazonaws.com"))
    users.grant_machine(role, "one")
    template = Template.from_stack(stack)
    statements = identity_statements(template, stack.get_logical_id(role.node.default_child))  # type: ignore[arg-type]
    assert allows(statements, "secretsmanager:GetSecretValue", f"<{one['Ref']}>")
    assert not allows(statements, "secretsmanager:GetSecretValue", f"<{other['Ref']}>")
    assert not allows(statements, "secretsmanager:PutSecretValue", f"<{one['Ref']}>")


def test_a_role_whose_stack_needs_the_key_can_read_the_secret_of_a_machine(app: cdk.App, stack: cdk.Stack) -> None:
    key = kms.Key(stack, "Secrets", enable_key_rotation=True)
    users = user_pool(stack, scopes=SCOPES, encryption_key=key)
    users.add_machine("ci", scopes=["models"])
    other = cdk.Stack(app, "Pods", env=cdk.Environment(account=stack.account, region=stack.region))
    other.add_stack_dependency(stack)
    role = iam.Role(other, "Pod", assumed_by=iam.ServicePrincipal("pods.eks.amazonaws.com"))
    key.grant_decrypt(role)
    users.grant_machine(role, "ci")
    text = json.dumps(Template.from_stack(other).to_json())
    assert "secretsmanager:GetSecretValue" in text
    assert "kms:ViaService" in text
    assert "Pods" not in json.dumps(Template.from_stack(stack).find_resources("AWS::KMS::Key"))


def test_an_invited_user_is_in_the_groups_of_the_own_teams(stack: cdk.Stack) -> None:
    users = user_pool(stack)
    for team in ("churn", "fraud"):
        users.add_group(team, f"Team {team}")
    users.invite("ana", "ana@example.com", groups=["fraud"])
    template = Template.from_stack(stack)
    (user,) = template.find_resources("AWS::Cognito::UserPoolUser", {"Properties": {"Username": "ana@example.com"}})
    (membership,) = template.find_resources("AWS::Cognito::UserPoolUserToGroupAttachment").values()
    assert membership["Properties"]["Username"] == {"Ref": user}
    assert membership["Properties"]["GroupName"] == "fraud"


def test_what_cognito_does_about_a_risk_is_not_left_to_its_defaults(stack: cdk.Stack) -> None:
    user_pool(stack)
    found = Template.from_stack(stack).find_resources("AWS::Cognito::UserPoolRiskConfigurationAttachment")
    (risks,) = [each["Properties"] for each in found.values()]
    assert risks["ClientId"] == "ALL"
    assert risks["CompromisedCredentialsRiskConfiguration"] == {"Actions": {"EventAction": "BLOCK"}}
    actions = risks["AccountTakeoverRiskConfiguration"]["Actions"]
    assert {level: action["EventAction"] for level, action in actions.items()} == {
        "LowAction": "MFA_IF_CONFIGURED",
        "MediumAction": "MFA_REQUIRED",
        "HighAction": "BLOCK",
    }
    assert not any(action["Notify"] for action in actions.values())  # without an address to send from


@pytest.mark.parametrize("mode", ["audit", "off"])
def test_only_enforced_protection_answers_to_risks(stack: cdk.Stack, mode: str) -> None:
    user_pool(stack, threat_protection=mode)
    Template.from_stack(stack).resource_count_is("AWS::Cognito::UserPoolRiskConfigurationAttachment", 0)


def test_no_user_is_invited_before_the_pool_may_invoke_the_gate(stack: cdk.Stack) -> None:
    """Cognito asks it for invited users, too, and makes none when it is refused."""
    users = user_pool(stack, allowed_email_domains=["example.com"])
    users.invite("ana", "ana@example.com")
    template = Template.from_stack(stack)
    (user,) = template.find_resources("AWS::Cognito::UserPoolUser").values()
    permissions = template.find_resources("AWS::Lambda::Permission")
    awaited = [id for id in user["DependsOn"] if id in permissions]
    assert awaited
    assert all(permissions[id]["Properties"]["Principal"] == "cognito-idp.amazonaws.com" for id in awaited)
    assert any("PreSignUp" in id for id in awaited)


def test_an_invitation_contains_the_address(stack: cdk.Stack) -> None:
    """Cognito's own text holds a name and a password, and no address."""
    user_pool(stack)
    (pool,) = Template.from_stack(stack).find_resources("AWS::Cognito::UserPool").values()
    text = pool["Properties"]["AdminCreateUserConfig"]["InviteMessageTemplate"]["EmailMessage"]
    assert URL in text
    assert "{username}" in text  # Cognito refuses a text without these two
    assert "{####}" in text


@pytest.mark.promise("every-entry-traced")
def test_each_sign_in_leaves_a_trace_in_a_log_that_cognito_can_write(stack: cdk.Stack) -> None:
    """Cognito refuses log groups with a KMS key."""
    key = kms.Key(stack, "Logs", enable_key_rotation=True)
    user_pool(stack, log_encryption_key=key)
    template = Template.from_stack(stack)
    (delivery,) = template.find_resources("AWS::Cognito::LogDeliveryConfiguration").values()
    (configuration,) = delivery["Properties"]["LogConfigurations"]
    assert configuration["EventSource"] == "userAuthEvents"
    group = configuration["CloudWatchLogsConfiguration"]["LogGroupArn"]["Fn::Join"][1][-1]["Ref"]
    found = template.find_resources("AWS::Logs::LogGroup")[group]["Properties"]
    assert "KmsKeyId" not in found
    beginning, stack_id = found["LogGroupName"]["Fn::Join"][1]
    assert beginning.startswith("/aws/vendedlogs/")  # others take room in the account's policy of 5,120 characters
    assert stack_id == {"Fn::Select": [2, {"Fn::Split": ["/", {"Ref": "AWS::StackId"}]}]}  # a stack's second life


def test_people_of_providers_alone_are_not_billed_for_the_protection_of_passwords(
    app: cdk.App, stack: cdk.Stack
) -> None:
    user_pool(stack, providers=[CORPORATE], native_users=False)
    Template.from_stack(stack).has_resource_properties(
        "AWS::Cognito::UserPool", {"UserPoolTier": "ESSENTIALS", "UserPoolAddOns": {"AdvancedSecurityMode": "OFF"}}
    )
    assert_complies(app)


def test_refuses_a_certificate_of_another_region(stack: cdk.Stack) -> None:
    with pytest.raises(ValueError, match="Test/Users: certificate must be in us-east-1, got eu-west-1; CloudFront"):
        user_pool(stack, certificate=certificate(stack, "eu-west-1"))


@pytest.mark.parametrize(("protection", "tier", "mode"), [("audit", "PLUS", "AUDIT"), ("off", "ESSENTIALS", "OFF")])
def test_threat_protection_can_do_less(app: cdk.App, stack: cdk.Stack, protection: Any, tier: str, mode: str) -> None:
    user_pool(stack, threat_protection=protection, require_mfa=False)
    template = Template.from_stack(stack)
    template.has_resource_properties(
        "AWS::Cognito::UserPool",
        {"UserPoolTier": tier, "UserPoolAddOns": {"AdvancedSecurityMode": mode}, "MfaConfiguration": "OPTIONAL"},
    )
    template.resource_count_is("AWS::Cognito::LogDeliveryConfiguration", 1 if tier == "PLUS" else 0)
    assert_complies(app)


def test_users_outlive_the_stack_by_default(stack: cdk.Stack) -> None:
    user_pool(stack)
    template = Template.from_stack(stack)
    kept = {id for id, each in template.to_json()["Resources"].items() if each.get("DeletionPolicy") == "Retain"}
    assert kept == {
        "UsersGateLog65EC15CE",
        "UsersPoolBFC35D3B",
        "UsersSignIns13D4FA85",
    }  # a different value here is a major release


def test_users_can_be_deleted_with_the_stack(stack: cdk.Stack) -> None:
    user_pool(stack, removal_policy=cdk.RemovalPolicy.DESTROY)
    template = Template.from_stack(stack)
    template.has_resource_properties("AWS::Cognito::UserPool", {"DeletionProtection": "INACTIVE"})
    assert not template.find_resources("AWS::Cognito::UserPool", {"DeletionPolicy": "Retain"})


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        ({"platform_url": "http://kubeflow.ml.example.com"}, "platform_url must be https:// and a name"),
        ({"platform_url": f"{URL}/"}, "platform_url must be https:// and a name"),
        ({"domain_name": "auth.example.com"}, "domain_name must end with .ml.example.com, got auth.example.com"),
        ({"native_users": False}, "no user could sign in; allow native_users or add a provider"),
        ({"self_sign_up": True}, "self_sign_up would admit everybody; set allowed_email_domains"),
        ({"providers": [GOOGLE]}, "Google would admit everybody; set allowed_email_domains"),
        ({"providers": [CORPORATE, CORPORATE]}, "providers names one twice: corporate, corporate; name each once"),
    ],
)
def test_refuses_options_that_admit_no_user_or_every_user(
    stack: cdk.Stack, options: dict[str, Any], refusal: str
) -> None:
    with pytest.raises(ValueError, match=f"Test/Users: {refusal}"):
        user_pool(stack, **options)
    assert len(stack.node.find_child("Users").node.children) == 0


def test_refuses_machines_without_scopes(stack: cdk.Stack) -> None:
    with pytest.raises(ValueError, match="Test/Users: scopes is empty; name the paths that machines can access"):
        user_pool(stack).add_machine("ci", scopes=["pipelines"])


def test_refuses_machines_that_are_there_or_fit_no_scope(stack: cdk.Stack) -> None:
    users = user_pool(stack, scopes=SCOPES)
    users.add_machine("ci", scopes=["pipelines"])
    with pytest.raises(ValueError, match="machine 'ci' already exists; choose another name"):
        users.add_machine("ci", scopes=["models"])
    with pytest.raises(ValueError, match="no scope 'notebooks'; there are: pipelines, models"):
        users.add_machine("other", scopes=["notebooks"])
    with pytest.raises(ValueError, match="machine 'other' has no scope; name at least one"):
        users.add_machine("other", scopes=[])
    with pytest.raises(ValueError, match="no machine 'other'; there are: ci"):
        users.grant_machine(iam.AccountRootPrincipal(), "other")


def test_refuses_groups_twice_and_members_of_none(stack: cdk.Stack) -> None:
    users: PlatformUserPool = user_pool(stack)
    users.add_group("churn", "Team churn")
    with pytest.raises(ValueError, match="Test/Users: group 'churn' already exists; choose another name"):
        users.add_group("churn", "Team churn")
    with pytest.raises(ValueError, match="Test/Users: no group fraud; add it first"):
        users.invite("ana", "ana@example.com", groups=["churn", "fraud"])


def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack) -> None:
    users = user_pool(
        stack, scopes=SCOPES, providers=[GOOGLE, CORPORATE], self_sign_up=True, allowed_email_domains=["example.com"]
    )
    users.add_machine("ci", scopes=["pipelines"])
    assert_complies(app)
