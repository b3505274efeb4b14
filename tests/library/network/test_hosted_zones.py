import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_route53 as route53
from aws_cdk.assertions import Match, Template
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import HostedZones, Network
from tests.compliance import assert_complies
from tests.policies import allows, identity_statements


@pytest.fixture
def network(stack: cdk.Stack) -> Network:
    return Network(stack, "Network", availability_zones=["eu-west-1a", "eu-west-1b"])


def test_defaults(stack: cdk.Stack, network: Network, snapshot_json: SnapshotAssertion) -> None:
    HostedZones(stack, "Zones", domain="ml.example.com", vpc=network.vpc)
    template = Template.from_stack(stack).to_json()
    zones = {id: each for id, each in template["Resources"].items() if id.startswith("Zones")}
    assert {"Resources": zones, "Outputs": template["Outputs"]} == snapshot_json


@pytest.mark.promise("delegated-zones")
def test_the_delegation_is_written_into_a_parent_zone_of_the_account(stack: cdk.Stack, network: Network) -> None:
    root = route53.HostedZone.from_hosted_zone_id(stack, "Root", "Z0123456789ABC")
    HostedZones(stack, "Zones", domain="ml.example.com", vpc=network.vpc, parent_zone=root)
    template = Template.from_stack(stack)
    template.has_resource_properties(
        "AWS::Route53::RecordSet",
        {
            "HostedZoneId": "Z0123456789ABC",
            "Name": "ml.example.com.",
            "Type": "NS",
            "ResourceRecords": {"Fn::GetAtt": [Match.string_like_regexp("^ZonesPublic"), "NameServers"]},
        },
    )
    assert not template.find_outputs("*")


@pytest.mark.promise("delegated-zones")
def test_without_a_parent_zone_the_name_servers_are_an_output(stack: cdk.Stack, network: Network) -> None:
    HostedZones(stack, "Zones", domain="ml.example.com", vpc=network.vpc)
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::Route53::RecordSet", 0)
    (output,) = template.find_outputs("*").values()
    assert "NS record for ml.example.com" in output["Description"]
    assert output["Value"]["Fn::Join"][1]["Fn::GetAtt"][1] == "NameServers"


@pytest.mark.promise("delegated-zones")
def test_private_names_are_seen_by_the_vpc_alone_and_hide_no_public_one(stack: cdk.Stack, network: Network) -> None:
    HostedZones(stack, "Zones", domain="ml.example.com", vpc=network.vpc)
    zones = Template.from_stack(stack).find_resources("AWS::Route53::HostedZone").values()
    private = [zone["Properties"] for zone in zones if "VPCs" in zone["Properties"]]
    public = [zone["Properties"] for zone in zones if "VPCs" not in zone["Properties"]]
    assert [zone["Name"] for zone in private] == ["internal.ml.example.com."]
    assert [zone["Name"] for zone in public] == ["ml.example.com."]
    assert private[0]["VPCs"][0]["VPCId"] == stack.resolve(network.vpc.vpc_id)


def test_the_delegated_zone_outlives_its_stack_by_default(stack: cdk.Stack, network: Network) -> None:
    HostedZones(stack, "Kept", domain="kept.example.com", vpc=network.vpc)
    HostedZones(stack, "Gone", domain="gone.example.com", vpc=network.vpc, removal_policy=cdk.RemovalPolicy.DESTROY)
    template = Template.from_stack(stack)
    for name, policy in (("kept.example.com.", "Retain"), ("gone.example.com.", "Delete")):
        zone = {"Properties": {"Name": name}, "DeletionPolicy": policy}
        template.has_resource("AWS::Route53::HostedZone", zone)


@pytest.mark.parametrize("domain", ["", "example", "ML.example.com", "ml.example.com.", "ml..com", "-ml.example.com"])
def test_refuses_what_is_no_domain(stack: cdk.Stack, network: Network, domain: str) -> None:
    with pytest.raises(ValueError, match=r"Test/Zones: domain must be a lower-case name such as ml.example.com, got"):
        HostedZones(stack, "Zones", domain=domain, vpc=network.vpc)


def test_a_domain_may_be_known_at_deployment_only(stack: cdk.Stack, network: Network) -> None:
    domain = cdk.CfnParameter(stack, "Domain").value_as_string
    HostedZones(stack, "Zones", domain=domain, vpc=network.vpc)
    Template.from_stack(stack).resource_count_is("AWS::Route53::HostedZone", 2)


def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack, network: Network) -> None:
    HostedZones(stack, "Zones", domain="ml.example.com", vpc=network.vpc)
    assert_complies(app)


def test_a_controller_changes_only_records_below_the_domain_that_have_no_other_owner(
    app: cdk.App, stack: cdk.Stack, network: Network
) -> None:
    zones = HostedZones(stack, "Zones", domain="ml.example.com", vpc=network.vpc)
    role = iam.Role(stack, "Controller", assumed_by=iam.AccountRootPrincipal())
    zones.grant_write_records(role, reserved=["kubeflow.ml.example.com"]).assert_success()
    template = Template.from_stack(stack)
    (id,) = [each for each in template.find_resources("AWS::IAM::Role") if each.startswith("Controller")]
    statements = identity_statements(template, id)
    (public,) = template.find_resources("AWS::Route53::HostedZone", {"Properties": {"Name": "ml.example.com."}})

    def may(name: str, type: str = "A") -> bool:
        prefix = "route53__ChangeResourceRecordSets"
        keys = {f"{prefix}NormalizedRecordNames": name, f"{prefix}RecordTypes": type}
        return allows(
            statements, "route53:ChangeResourceRecordSets", f"arn:aws:route53:::hostedzone/<{public}>", **keys
        )

    assert may("notebooks.ml.example.com")
    assert may("a.b.ml.example.com", "TXT")
    assert not may("ml.example.com")
    assert not may("kubeflow.ml.example.com")
    assert not may("_0a1b.auth.ml.example.com", "CNAME")
    assert not may("notebooks.ml.example.com", "NS")
    assert not may("ml.example.com.evil.org")
    app.synth()  # the wildcard of the list has its exception


def test_refuses_a_controller_of_another_account(stack: cdk.Stack, network: Network) -> None:
    zones = HostedZones(stack, "Zones", domain="ml.example.com", vpc=network.vpc)
    foreign = iam.Role.from_role_arn(stack, "Foreign", "arn:aws:iam::222222222222:role/controller")
    with pytest.raises(ValueError, match="is of account 222222222222; grant to a role of account 111111111111"):
        zones.grant_write_records(foreign)
