import aws_cdk as cdk
import pytest
from aws_cdk import aws_route53 as route53
from aws_cdk.assertions import Match, Template
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import HostedZones, Network


@pytest.fixture
def network(stack: cdk.Stack) -> Network:
    return Network(stack, "Network", availability_zones=["eu-west-1a", "eu-west-1b"])


def test_defaults(stack: cdk.Stack, network: Network, snapshot_json: SnapshotAssertion) -> None:
    HostedZones(stack, "Zones", domain="ml.example.com", vpc=network.vpc)
    template = Template.from_stack(stack).to_json()
    zones = {id: each for id, each in template["Resources"].items() if id.startswith("Zones")}
    assert {"Resources": zones, "Outputs": template["Outputs"]} == snapshot_json


def test_the_delegation_is_written_into_a_parent_zone_of_the_account(stack: cdk.Stack, network: Network) -> None:
    """Row 18."""
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


def test_without_a_parent_zone_the_name_servers_are_told(stack: cdk.Stack, network: Network) -> None:
    """Row 18."""
    HostedZones(stack, "Zones", domain="ml.example.com", vpc=network.vpc)
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::Route53::RecordSet", 0)
    (output,) = template.find_outputs("*").values()
    assert "NS record for ml.example.com" in output["Description"]
    assert output["Value"]["Fn::Join"][1]["Fn::GetAtt"][1] == "NameServers"


def test_private_names_are_seen_by_the_vpc_alone_and_hide_no_public_one(stack: cdk.Stack, network: Network) -> None:
    """Row 18."""
    HostedZones(stack, "Zones", domain="ml.example.com", vpc=network.vpc)
    zones = Template.from_stack(stack).find_resources("AWS::Route53::HostedZone").values()
    private = [zone["Properties"] for zone in zones if "VPCs" in zone["Properties"]]
    public = [zone["Properties"] for zone in zones if "VPCs" not in zone["Properties"]]
    assert [zone["Name"] for zone in private] == ["internal.ml.example.com."]
    assert [zone["Name"] for zone in public] == ["ml.example.com."]
    assert private[0]["VPCs"][0]["VPCId"] == stack.resolve(network.vpc.vpc_id)


def test_the_delegated_zone_outlives_its_stack_unless_told_otherwise(stack: cdk.Stack, network: Network) -> None:
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
    app.synth()
