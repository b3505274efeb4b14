import json
from pathlib import Path
from typing import Any, get_args

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Match, Template

from config.network import Bastion, Network
from config.schema import Logs
from mlplatform_constructs import EncryptionKeys
from stacks.log_retention import log_retention
from stacks.network import NetworkStack


def network_stack(app: cdk.App, *, logs: Logs | None = None, **settings: Any) -> NetworkStack:
    zones = ("eu-west-1a", "eu-west-1b", "eu-west-1c")
    stage = cdk.Stage(app, "test", env=cdk.Environment(account="111111111111", region="eu-west-1"))
    return NetworkStack(
        stage,
        "Network",
        settings=Network(cidr="10.32.0.0/16", availability_zones=zones, **settings),
        bastion=Bastion(),
        logs=logs or Logs(),
        log_key=EncryptionKeys(cdk.Stack(stage, "Security"), "Keys").logs,
        removal_policy=cdk.RemovalPolicy.DESTROY,
    )


def test_synthesis_asks_no_account_for_its_zones(app: cdk.App) -> None:
    network_stack(app)
    manifests = list(Path(app.synth().directory).rglob("manifest.json"))
    assert len(manifests) == 2  # the app's and the stage's
    assert not [path for path in manifests if "missing" in json.loads(path.read_text(encoding="utf-8"))]


def test_subnets_lie_in_the_zones_of_the_account_file(app: cdk.App) -> None:
    """Row 1."""
    subnets = Template.from_stack(network_stack(app)).find_resources("AWS::EC2::Subnet").values()
    zones = [subnet["Properties"]["AvailabilityZone"] for subnet in subnets]
    assert sorted(zones) == sorted(["eu-west-1a", "eu-west-1b", "eu-west-1c"] * 2)


@pytest.mark.parametrize(("nat", "gateways"), [("per_zone", 3), ("single", 1), ("none", 0)])
def test_the_account_file_chooses_the_way_out(app: cdk.App, nat: str, gateways: int) -> None:
    """Row 5."""
    stack = network_stack(app, nat=nat, interface_endpoints=nat == "none")
    Template.from_stack(stack).resource_count_is("AWS::EC2::NatGateway", gateways)


@pytest.mark.parametrize("endpoints", [True, False])
def test_interface_endpoints_are_an_option(app: cdk.App, endpoints: bool) -> None:
    """Row 6."""
    template = Template.from_stack(network_stack(app, interface_endpoints=endpoints))
    found = template.find_resources("AWS::EC2::VPCEndpoint", {"Properties": {"VpcEndpointType": "Interface"}})
    assert bool(found) is endpoints


def test_hosts_start_when_a_closed_network_can_reach_aws(app: cdk.App) -> None:
    template = Template.from_stack(network_stack(app, nat="none", interface_endpoints=True))
    interface = template.find_resources("AWS::EC2::VPCEndpoint", {"Properties": {"VpcEndpointType": "Interface"}})
    (hosts,) = template.find_resources("AWS::AutoScaling::AutoScalingGroup").values()
    assert set(interface) <= set(hosts["DependsOn"])


def test_no_port_is_open_to_anybody_outside(app: cdk.App) -> None:
    """Row 13."""
    template = Template.from_stack(network_stack(app, interface_endpoints=True))
    rules = [
        rule
        for group in template.find_resources("AWS::EC2::SecurityGroup").values()
        for rule in group["Properties"].get("SecurityGroupIngress", [])
    ]
    assert [(rule["CidrIp"], rule["FromPort"], rule["ToPort"]) for rule in rules] == [("10.32.0.0/16", 443, 443)]
    template.resource_count_is("AWS::EC2::SecurityGroupIngress", 0)


def test_the_bastion_lives_in_the_network_and_is_there_for_other_stacks(app: cdk.App) -> None:
    """Rows 15, 16, 17."""
    stack = network_stack(app)
    groups = stack.bastion.security_group.security_group_id, stack.bastion.role.role_arn
    assert all(cdk.Token.is_unresolved(attribute) for attribute in groups)
    vpc = stack.resolve(stack.network.vpc.vpc_id)
    Template.from_stack(stack).all_resources_properties("AWS::EC2::SecurityGroup", {"VpcId": vpc})


@pytest.mark.parametrize("days", get_args(Logs.model_fields["retention_days"].annotation))
def test_flow_logs_are_kept_as_long_as_the_account_file_says(app: cdk.App, days: Any) -> None:
    stack = network_stack(app, logs=Logs(retention_days=days))
    assert log_retention(Logs(retention_days=days)).name
    Template.from_stack(stack).has_resource_properties(
        "AWS::Logs::LogGroup", {"RetentionInDays": days, "KmsKeyId": Match.any_value()}
    )


def test_without_a_domain_there_are_no_zones(app: cdk.App) -> None:
    stack = network_stack(app)
    assert stack.hosted_zones is None
    Template.from_stack(stack).resource_count_is("AWS::Route53::HostedZone", 0)


def test_the_delegation_goes_into_the_root_zone_that_the_account_file_names(app: cdk.App) -> None:
    """Row 18."""
    stack = network_stack(app, domain="ml.example.com", root_zone_id="Z0123456789ABC")
    template = Template.from_stack(stack)
    template.has_resource_properties("AWS::Route53::RecordSet", {"HostedZoneId": "Z0123456789ABC", "Type": "NS"})
    assert not template.find_outputs("*")


def test_another_owner_of_the_root_zone_reads_the_name_servers_from_an_output(app: cdk.App) -> None:
    """Row 18."""
    template = Template.from_stack(network_stack(app, domain="ml.example.com"))
    (output,) = template.find_outputs("*").values()
    assert "ml.example.com" in output["Description"]
