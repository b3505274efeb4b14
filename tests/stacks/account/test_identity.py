from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import cdk8s
import pytest
from aws_cdk.assertions import Match, Template

from charts.base.cluster_access.objects import ClusterAccess
from config.loader import load_account
from stacks.account.identity import IdentityStack
from stacks.app import new_app
from stacks.stage import PlatformStage
from tests.policies import flat
from tests.references import Templates

KEYS = """
account = "111111111111"
region = "eu-west-1"
"""
NETWORK = """
[network]
cidr = "10.0.0.0/16"
availability_zones = ["eu-west-1a", "eu-west-1b"]
domain = "ml.example.com"
"""
COGNITO = "[identity.load_balancer]\n[identity.cognito]\n"
PEOPLE = """
[people.ana]
email = "ana@example.com"
cluster_access = "admin"
[people.ben]
email = "ben@example.com"
cluster_access = "operator"
[people.chi]
email = "chi@example.com"
cluster_access = "viewer"
[people.dan]
email = "dan@example.com"
[teams.churn]
owner = "ben"
members = ["dan"]
gpu_quota = 1
[teams.fraud]
owner = "dan"
"""

Make = Callable[..., PlatformStage]


def stage_of(folder: Path, more: str, keys: str = "") -> PlatformStage:
    """The stage of a small account with these sections and keys more, without clusters unless there are people."""
    (folder / "some.toml").write_text(KEYS + keys + NETWORK + more, encoding="utf-8")
    app = new_app(outdir=str(folder / "cdk.out"))
    app.node.set_context("aws:cdk:disable-asset-staging", True)
    settings = load_account("some", folder)
    if not settings.people:
        settings = settings.model_copy(update={"clusters": {}})
    return PlatformStage(app, "some", settings=settings)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """``make(sections, keys)`` is a stage."""
    return partial(stage_of, tmp_path)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> PlatformStage:
    """A stage with Cognito, Identity Center and people."""
    return stage_of(tmp_path_factory.mktemp("platform"), COGNITO + "[identity.center]\n" + PEOPLE)


def identity(stage: PlatformStage) -> IdentityStack:
    assert stage.account_stacks.identity
    return stage.account_stacks.identity


def template(stage: PlatformStage) -> Template:
    return Template.from_stack(identity(stage))


def names(stage: PlatformStage) -> set[str]:
    return {child.node.id for child in stage.node.children if isinstance(child, cdk.Stack)}


def every_type(stage: PlatformStage) -> set[str]:
    """The type of every resource of every stack."""
    stacks = [child for child in stage.node.children if isinstance(child, cdk.Stack)]
    return {
        each["Type"] for stack in stacks for each in Template.from_stack(stack).to_json().get("Resources", {}).values()
    }


@pytest.mark.promise("deployment-options")
def test_an_account_without_cognito_has_nothing_of_it(make: Make) -> None:
    stage = make("")
    assert stage.account_stacks.identity is None
    assert stage.account_stacks.edge_certificate is None
    assert not names(stage) & {"Identity", "EdgeCertificate"}
    services = {type.split("::")[1] for type in every_type(stage) if type.startswith("AWS::")}
    assert not services & {
        "Cognito",
        "CertificateManager",
        "ElasticLoadBalancingV2",
        "SSO",
        "WAFv2",
        "DirectoryService",
    }


@pytest.mark.promise("deployment-options")
def test_a_load_balancer_without_cognito_leaves_authentication_to_its_targets(make: Make) -> None:
    """Dex, in the cluster, then establishes the identity."""
    stage = make("[identity.load_balancer]\n")
    assert stage.account_stacks.edge_certificate is None
    assert not [type for type in every_type(stage) if type.startswith("AWS::Cognito")]
    rules = template(stage).find_resources("AWS::ElasticLoadBalancingV2::ListenerRule").values()
    (people,) = [rule["Properties"] for rule in rules if rule["Properties"]["Priority"] == 50_000]
    assert [action["Type"] for action in people["Actions"]] == ["forward"]


@pytest.mark.promise("certificates", "sign-in-page-name")
def test_the_sign_in_pages_certificate_lies_in_us_east_1_and_the_load_balancers_in_the_region(make: Make) -> None:
    stage = make(COGNITO)
    assert stage.account_stacks.edge_certificate
    assert (stage.account_stacks.edge_certificate.region, identity(stage).region) == ("us-east-1", "eu-west-1")
    edge = Template.from_stack(stage.account_stacks.edge_certificate)
    for found, domain in ((edge, "auth.ml.example.com"), (template(stage), "ml.example.com")):
        found.has_resource_properties(
            "AWS::CertificateManager::Certificate", {"DomainName": domain, "ValidationMethod": "DNS"}
        )
    (pool_domain,) = template(stage).find_resources("AWS::Cognito::UserPoolDomain").values()
    reference = pool_domain["Properties"]["CustomDomainConfig"]["CertificateArn"]["Fn::GetStackOutput"]
    assert reference["StackName"] == stage.account_stacks.edge_certificate.stack_name
    assert reference["Region"] == "us-east-1"
    assert reference["OutputName"] in edge.find_outputs("*")


@pytest.mark.promise("delegated-zones", "certificates")
def test_certificates_are_proved_in_the_platforms_zone(make: Make) -> None:
    stage = make(COGNITO)
    assert stage.account_stacks.edge_certificate
    (found,) = (
        Template.from_stack(stage.account_stacks.edge_certificate)
        .find_resources("AWS::CertificateManager::Certificate")
        .values()
    )
    (option,) = found["Properties"]["DomainValidationOptions"]
    reference = option["HostedZoneId"]["Fn::GetStackOutput"]
    output = Template.from_stack(stage.account_stacks.network).find_outputs("*")[reference["OutputName"]]
    (zone,) = Template.from_stack(stage.account_stacks.network).find_resources(
        "AWS::Route53::HostedZone", {"Properties": {"Name": "ml.example.com."}}
    )
    assert output["Value"] == {"Ref": zone}
    assert reference["Region"] == "eu-west-1"


@pytest.mark.promise("delegated-zones", "names-in-one-deployment")
def test_names_need_no_second_deployment(make: Make) -> None:
    """Every name is an alias of a resource in the same stack."""
    found = template(make(COGNITO))
    records = {
        each["Properties"]["Name"]: each["Properties"]
        for each in found.find_resources("AWS::Route53::RecordSet").values()
    }
    assert set(records) == {"ml.example.com.", "kubeflow.ml.example.com.", "auth.ml.example.com."}
    for record in records.values():
        assert "AliasTarget" in record


@pytest.mark.promise("sign-in-page-name")
def test_cognito_finds_an_address_above_its_name(make: Make) -> None:
    """Otherwise Cognito refuses the name."""
    found = template(make(COGNITO))
    (parent,) = found.find_resources("AWS::Route53::RecordSet", {"Properties": {"Name": "ml.example.com."}})
    (domain,) = found.find_resources("AWS::Cognito::UserPoolDomain").values()
    assert parent in domain["DependsOn"]


def test_the_stacks_are_deployed_in_order(platform: PlatformStage) -> None:
    account = platform.account_stacks
    assert account.edge_certificate
    assert account.network in account.edge_certificate.dependencies
    assert account.edge_certificate in identity(platform).dependencies
    for stacks in platform.clusters.values():
        assert identity(platform) in stacks.cluster.dependencies


def test_the_secret_of_a_machine_is_an_output(make: Make) -> None:
    found = template(make(COGNITO + '[identity.cognito.machines.nightly-batch]\nscopes = ["pipelines"]\n'))
    (secret,) = found.find_resources(
        "AWS::SecretsManager::Secret", {"Properties": {"Description": Match.string_like_regexp("nightly-batch")}}
    )
    found.has_output("NightlyBatchMachineSecret", {"Value": {"Ref": secret}})


def test_machines_get_in_by_the_paths_of_their_scopes(make: Make) -> None:
    more = """
    [identity.cognito.scopes.models]
    description = "Ask models"
    paths = ["/models/*", "/v2/*"]
    [identity.cognito.machines.frontend]
    scopes = ["models"]
    """
    found = template(make(COGNITO + more))
    rules = [each["Properties"] for each in found.find_resources("AWS::ElasticLoadBalancingV2::ListenerRule").values()]
    (machines,) = [rule for rule in rules if rule["Actions"][0]["Type"] == "jwt-validation"]
    paths = [each["PathPatternConfig"]["Values"] for each in machines["Conditions"] if each["Field"] == "path-pattern"]
    assert paths == [["/models/*", "/v2/*"]]
    found.has_resource_properties("AWS::Cognito::UserPoolClient", {"AllowedOAuthScopes": ["mlplatform/models"]})


def test_the_session_of_the_load_balancer_ends_with_that_of_the_user_pool(make: Make) -> None:
    found = template(make("[identity.load_balancer]\n[identity.cognito]\nsession_hours = 8\n"))
    rules = found.find_resources("AWS::ElasticLoadBalancingV2::ListenerRule").values()
    (config,) = [
        action["AuthenticateCognitoConfig"]
        for rule in rules
        for action in rule["Properties"]["Actions"]
        if action["Type"] == "authenticate-cognito"
    ]
    assert config["SessionTimeout"] == 8 * 3600
    found.has_resource_properties("AWS::Cognito::UserPoolClient", {"RefreshTokenValidity": 8 * 60})


def test_a_firewall_protects_it_if_requested(make: Make) -> None:
    make_with = make("[identity.load_balancer.firewall]\nrequests_per_address = 500\n")
    template(make_with).resource_count_is("AWS::WAFv2::WebACLAssociation", 1)


@pytest.mark.promise("cognito-sign-in", "one-table-of-people")
def test_native_users_are_invited_into_the_groups_of_their_teams(platform: PlatformStage) -> None:
    found = template(platform)
    users = found.find_resources("AWS::Cognito::UserPoolUser")
    assert {user["Properties"]["Username"] for user in users.values()} == {
        f"{name}@example.com" for name in ("ana", "ben", "chi", "dan")
    }
    members = {
        (users[each["Properties"]["Username"]["Ref"]]["Properties"]["Username"], each["Properties"]["GroupName"])
        for each in found.find_resources("AWS::Cognito::UserPoolUserToGroupAttachment").values()
    }
    assert members == {("ben@example.com", "churn"), ("dan@example.com", "churn"), ("dan@example.com", "fraud")}


PROVIDER = "[identity.cognito.providers.idp]\n"
CLIENT = 'client_id = "x"\nclient_secret_arn = "arn:aws:secretsmanager:eu-west-1:111111111111:secret:idp-AbCdEf"\n'


@pytest.mark.promise("sign-in-providers", "enterprise-directory")
@pytest.mark.parametrize(
    ("keys", "type"),
    [
        (f'type = "google"\n{CLIENT}', "Google"),
        (f'type = "facebook"\n{CLIENT}', "Facebook"),
        (f'type = "amazon"\n{CLIENT}', "LoginWithAmazon"),
        (f'type = "apple"\nteam_id = "T"\nkey_id = "K"\n{CLIENT}', "SignInWithApple"),
        (f'type = "oidc"\nissuer = "https://idp.example.com"\nemail_claim = "mail"\n{CLIENT}', "OIDC"),
        ('type = "saml"\nmetadata_url = "https://idp.example.com/m"\nsign_out = true\nemail_claim = "mail"\n', "SAML"),
    ],
)
def test_every_kind_of_provider_comes_from_the_account_file(make: Make, keys: str, type: str) -> None:
    filtered = '[identity.load_balancer]\n[identity.cognito]\nallowed_email_domains = ["example.com"]\n'
    found = template(make(filtered + PROVIDER + keys))
    (provider,) = found.find_resources("AWS::Cognito::UserPoolIdentityProvider").values()
    assert provider["Properties"]["ProviderType"] == type
    assert provider["Properties"]["AttributeMapping"]["email"] == ("mail" if "email_claim" in keys else "email")
    found.resource_count_is("AWS::Cognito::UserPoolUser", 0)


def test_people_of_a_provider_are_not_invited(make: Make) -> None:
    keys = 'type = "saml"\nmetadata_url = "https://idp.example.com/m"\n'
    people = '[people.ana]\nemail = "ana@example.com"\n[teams.churn]\nowner = "ana"\n'
    found = template(make(COGNITO + PROVIDER + keys + people))
    found.resource_count_is("AWS::Cognito::UserPoolUser", 0)
    found.resource_count_is("AWS::Cognito::UserPoolGroup", 1)


def entries(stage: PlatformStage, cluster: str) -> dict[str, dict[str, Any]]:
    """Access entries of people by the name that the cluster knows them by."""
    found = Template.from_stack(stage.clusters[cluster].cluster).find_resources("AWS::EKS::AccessEntry").values()
    return {each["Properties"]["Username"]: each["Properties"] for each in found if "Username" in each["Properties"]}


@pytest.mark.promise("identity-center", "access-entries", "groups-have-rights", "one-table-of-people")
@pytest.mark.parametrize("cluster", ["training", "inference"])
def test_a_person_has_one_name_everywhere(platform: PlatformStage, cluster: str) -> None:
    """Sign-in, IAM, clusters and profiles come from one table."""
    known = entries(platform, cluster)
    addresses = {f"{name}@example.com" for name in ("ana", "ben", "chi", "dan")}
    assert set(known) == addresses
    users = template(platform).find_resources("AWS::Cognito::UserPoolUser").values()
    assert {user["Properties"]["Username"] for user in users} == addresses
    for address, entry in known.items():
        reference = entry["PrincipalArn"]["Fn::GetStackOutput"]
        assert reference["StackName"] == identity(platform).stack_name
        value = template(platform).find_outputs("*")[reference["OutputName"]]["Value"]
        role = template(platform).find_resources("AWS::IAM::Role")[value["Fn::GetAtt"][0]]["Properties"]
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Condition"]["StringLike"]["aws:userid"] == f"*:{address}"


@pytest.mark.promise("access-entries", "groups-have-rights")
def test_everybody_has_the_rights_of_the_table_and_no_more(platform: PlatformStage) -> None:
    """No user is in system:masters."""
    known = entries(platform, "training")
    admin, operator, viewer, member = (known[f"{name}@example.com"] for name in ("ana", "ben", "chi", "dan"))
    assert "AmazonEKSClusterAdminPolicy" in flat(admin["AccessPolicies"][0]["PolicyArn"])
    assert operator["KubernetesGroups"] == ["mlplatform:operators"]
    assert viewer["KubernetesGroups"] == ["mlplatform:viewers"]
    assert not {"AccessPolicies", "KubernetesGroups"} & set(member)
    for entry in (operator, viewer):
        assert "AccessPolicies" not in entry


@pytest.mark.promise("groups-have-rights")
def test_every_group_that_people_are_put_into_has_rights(platform: PlatformStage) -> None:
    """The chart refuses groups that it has no rights for."""
    known = entries(platform, "training").values()
    groups = {group for entry in known for group in entry.get("KubernetesGroups", [])}
    chart = ClusterAccess(cdk8s.App(), "Access", groups=groups)
    bound = {
        subject["name"]
        for each in chart.to_json()
        if each["kind"] == "ClusterRoleBinding"
        for subject in each["subjects"]
    }
    assert bound == groups


def test_a_person_without_access_to_aws_gets_no_role(make: Make) -> None:
    stage = make(COGNITO + '[people.ana]\nemail = "ana@example.com"\n')
    template(stage).resource_count_is("AWS::SSO::PermissionSet", 0)
    assert identity(stage).people == ()
    assert entries(stage, "training") == {}


def test_a_person_can_be_an_iam_user(make: Make) -> None:
    arn = "arn:aws:iam::111111111111:user/ana"
    stage = make(f'[people.ana]\nemail = "ana@example.com"\ncluster_access = "viewer"\nprincipal_arn = "{arn}"\n')
    template(stage).has_resource_properties(
        "AWS::IAM::Role",
        {
            "AssumeRolePolicyDocument": {
                "Statement": [
                    Match.object_like(
                        {
                            "Condition": {
                                "ArnEquals": {"aws:PrincipalArn": arn},
                                "Bool": {"aws:MultiFactorAuthPresent": "true"},
                            }
                        }
                    )
                ]
            }
        },
    )
    assert set(entries(stage, "training")) == {"ana@example.com"}


def test_the_user_of_identity_center_may_be_called_otherwise(make: Make) -> None:
    stage = make('[identity.center]\n[people.ana]\nemail = "ana@example.com"\ncenter_user = "a.lovelace"\n')
    (role,) = template(stage).find_resources("AWS::IAM::Role").values()
    (statement,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Condition"]["StringLike"]["aws:userid"] == "*:a.lovelace"
    assert set(entries(stage, "training")) == {"ana@example.com"}


@pytest.mark.promise("identity-center")
def test_identity_center_is_administered_if_requested(make: Make) -> None:
    more = """
    [identity.center]
    instance_arn = "arn:aws:sso:::instance/ssoins-0123456789abcdef"
    group_ids = ["12345678-1234-1234-1234-123456789012"]
    """
    found = template(make(more))
    found.has_resource_properties("AWS::SSO::PermissionSet", {"Name": "MLPlatform"})
    found.has_resource_properties("AWS::SSO::Assignment", {"TargetId": "111111111111", "PrincipalType": "GROUP"})


@pytest.mark.promise("enterprise-directory")
def test_a_directory_is_managed_or_connected_to(make: Make) -> None:
    managed = make('[identity.directory]\nkind = "managed"\nname = "corp.example.com"\nedition = "Enterprise"\n')
    template(managed).has_resource_properties("AWS::DirectoryService::MicrosoftAD", {"Edition": "Enterprise"})


@pytest.mark.promise("enterprise-directory")
def test_a_connector_knows_where_the_enterprises_directory_is(make: Make) -> None:
    more = """
    [identity.directory]
    kind = "connector"
    name = "corp.example.com"
    dns_ips = ["10.1.0.10", "10.1.1.10"]
    credentials_secret_arn = "arn:aws:secretsmanager:eu-west-1:111111111111:secret:joiner-AbCdEf"
    """
    template(make(more)).has_resource_properties(
        "Custom::DirectoryConnector", {"DnsIps": ["10.1.0.10", "10.1.1.10"], "Size": "Small"}
    )


def test_resources_with_people_are_retained(make: Make) -> None:
    """A changed id replaces the resource: a different value here is a major release."""
    found = template(make(COGNITO + '[identity.directory]\nkind = "managed"\nname = "corp.example.com"\n'))
    kept = {id for id, each in found.to_json()["Resources"].items() if each.get("DeletionPolicy") == "Retain"}
    assert kept == {
        "DirectoryAdminCACD0791",
        "Directory084A7EB0",
        "UsersGateLog65EC15CE",
        "UsersPoolBFC35D3B",
        "UsersSignIns13D4FA85",
    }
    found.has_resource_properties("AWS::Cognito::UserPool", {"DeletionProtection": "ACTIVE"})


def test_a_platform_without_retention_leaves_nothing(make: Make) -> None:
    """The records that prove certificates, too, which CloudFormation forgets in the zone."""
    everything = COGNITO + '[identity.directory]\nkind = "managed"\nname = "corp.example.com"\n'
    stage = make(everything, 'production = false\nremoval_policy = "destroy"\n')
    assert stage.account_stacks.edge_certificate
    for stack in (identity(stage), stage.account_stacks.edge_certificate):
        found = Template.from_stack(stack)
        resources = found.to_json()["Resources"].values()
        assert not [each for each in resources if each.get("DeletionPolicy") == "Retain"]
        found.resource_count_is("Custom::CertificateRecords", 1)
    template(stage).has_resource_properties("AWS::Cognito::UserPool", {"DeletionProtection": "INACTIVE"})
    (balancer,) = template(stage).find_resources("AWS::ElasticLoadBalancingV2::LoadBalancer").values()
    assert {"Key": "deletion_protection.enabled", "Value": "false"} in balancer["Properties"]["LoadBalancerAttributes"]


def test_every_reference_between_the_stacks_holds(platform: PlatformStage) -> None:
    stacks = [child for child in platform.node.children if isinstance(child, cdk.Stack)]
    Templates({stack.stack_name: Template.from_stack(stack).to_json() for stack in stacks}).assert_references_resolve()


@pytest.mark.parametrize("more", [COGNITO, COGNITO + "[identity.center]\n" + PEOPLE])
def test_passes_the_compliance_pack(make: Make, more: str) -> None:
    stage = make(more)
    app = stage.node.root
    assert isinstance(app, cdk.App)
    app.synth()
