import json
from pathlib import Path
from typing import Any, get_args

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Match, Template

from config.network import Bastion, Network
from config.schema import Logs
from config.workloads import Emr, EmrServerless, SageMaker, Workloads
from stacks._wiring.data_protection import log_retention
from stacks.account.network import NetworkStack
from tests.protection import protection

NO_JOBS = Workloads()


def network_stack(
    app: cdk.App,
    *,
    log_days: int = 365,
    workloads: Workloads = NO_JOBS,
    **settings: Any,
) -> NetworkStack:
    zones = ("eu-west-1a", "eu-west-1b", "eu-west-1c")
    stage = cdk.Stage(app, "test", env=cdk.Environment(account="111111111111", region="eu-west-1"))
    return NetworkStack(
        stage,
        "Network",
        settings=Network(cidr="10.32.0.0/16", availability_zones=zones, **settings),
        workloads=workloads,
        bastion=Bastion(),
        protection=protection(
            cdk.Stack(stage, "Security"), removal_policy=cdk.RemovalPolicy.DESTROY, log_days=log_days
        ),
    )


def test_synthesis_looks_up_no_zones(app: cdk.App) -> None:
    network_stack(app)
    manifests = list(Path(app.synth().directory).rglob("manifest.json"))
    assert len(manifests) == 2  # the app's and the stage's
    assert not [path for path in manifests if "missing" in json.loads(path.read_text(encoding="utf-8"))]


@pytest.mark.promise("zones-alike")
def test_subnets_lie_in_the_zones_of_the_account_file(app: cdk.App) -> None:
    subnets = Template.from_stack(network_stack(app)).find_resources("AWS::EC2::Subnet").values()
    zones = [subnet["Properties"]["AvailabilityZone"] for subnet in subnets]
    assert sorted(zones) == sorted(["eu-west-1a", "eu-west-1b", "eu-west-1c"] * 2)


@pytest.mark.promise("nat-per-zone")
@pytest.mark.parametrize(("nat", "gateways"), [("per_zone", 3), ("single", 1), ("none", 0)])
def test_the_account_file_selects_the_internet_access(app: cdk.App, nat: str, gateways: int) -> None:
    stack = network_stack(app, nat=nat, interface_endpoints=nat == "none")
    Template.from_stack(stack).resource_count_is("AWS::EC2::NatGateway", gateways)


@pytest.mark.promise("closed-network")
@pytest.mark.parametrize("endpoints", [True, False])
def test_interface_endpoints_are_an_option(app: cdk.App, endpoints: bool) -> None:
    template = Template.from_stack(network_stack(app, interface_endpoints=endpoints))
    found = template.find_resources("AWS::EC2::VPCEndpoint", {"Properties": {"VpcEndpointType": "Interface"}})
    assert bool(found) is endpoints


JOBS = {
    "emr": (Emr(), "elasticmapreduce"),
    "emr_serverless": (EmrServerless(), "emr-serverless"),
    "sagemaker": (SageMaker(), "sagemaker.api"),
}


@pytest.mark.promise("closed-network")
@pytest.mark.parametrize("kind", JOBS)
def test_a_closed_network_has_an_endpoint_of_each_service_whose_jobs_pipelines_start(app: cdk.App, kind: str) -> None:
    settings, service = JOBS[kind]
    stack = network_stack(app, nat="none", interface_endpoints=True, workloads=Workloads(**{kind: settings}))
    found = json.dumps(Template.from_stack(stack).find_resources("AWS::EC2::VPCEndpoint"))
    assert [name for _, name in JOBS.values() if f".{name}" in found] == [service]


def test_every_kind_of_job_is_tested_in_a_closed_network() -> None:
    assert set(JOBS) | {"airflow"} == set(Workloads.model_fields), "airflow is refused there"


def test_hosts_start_when_a_closed_network_can_reach_aws(app: cdk.App) -> None:
    template = Template.from_stack(network_stack(app, nat="none", interface_endpoints=True))
    interface = template.find_resources("AWS::EC2::VPCEndpoint", {"Properties": {"VpcEndpointType": "Interface"}})
    (hosts,) = template.find_resources("AWS::AutoScaling::AutoScalingGroup").values()
    assert set(interface) <= set(hosts["DependsOn"])


@pytest.mark.promise("no-open-ports")
def test_no_port_is_open_to_anybody_outside(app: cdk.App) -> None:
    template = Template.from_stack(network_stack(app, interface_endpoints=True))
    rules = [
        rule
        for group in template.find_resources("AWS::EC2::SecurityGroup").values()
        for rule in group["Properties"].get("SecurityGroupIngress", [])
    ]
    assert [(rule["CidrIp"], rule["FromPort"], rule["ToPort"]) for rule in rules] == [("10.32.0.0/16", 443, 443)]
    template.resource_count_is("AWS::EC2::SecurityGroupIngress", 0)


@pytest.mark.promise("no-open-ports", "api-for-bastion-only", "access-entries")
def test_the_bastion_is_in_the_network_and_available_to_other_stacks(app: cdk.App) -> None:
    stack = network_stack(app)
    groups = stack.bastion.security_group.security_group_id, stack.bastion.role.role_arn
    assert all(cdk.Token.is_unresolved(attribute) for attribute in groups)
    vpc = stack.resolve(stack.vpc.vpc_id)
    Template.from_stack(stack).all_resources_properties("AWS::EC2::SecurityGroup", {"VpcId": vpc})


@pytest.mark.parametrize("days", get_args(Logs.model_fields["retention_days"].annotation))
def test_flow_logs_are_kept_as_long_as_configured(app: cdk.App, days: Any) -> None:
    stack = network_stack(app, log_days=days)
    assert log_retention(Logs(retention_days=days).retention_days).name
    Template.from_stack(stack).has_resource_properties(
        "AWS::Logs::LogGroup", {"RetentionInDays": days, "KmsKeyId": Match.any_value()}
    )


def test_without_a_domain_there_are_no_zones(app: cdk.App) -> None:
    stack = network_stack(app)
    assert stack.hosted_zones is None
    Template.from_stack(stack).resource_count_is("AWS::Route53::HostedZone", 0)


@pytest.mark.promise("delegated-zones")
def test_the_delegation_goes_into_the_root_zone_that_the_account_file_names(app: cdk.App) -> None:
    stack = network_stack(app, domain="ml.example.com", root_zone_id="Z0123456789ABC")
    template = Template.from_stack(stack)
    template.has_resource_properties("AWS::Route53::RecordSet", {"HostedZoneId": "Z0123456789ABC", "Type": "NS"})
    assert not template.find_outputs("*")


@pytest.mark.promise("delegated-zones")
def test_another_owner_of_the_root_zone_reads_the_name_servers_from_an_output(app: cdk.App) -> None:
    template = Template.from_stack(network_stack(app, domain="ml.example.com"))
    (output,) = template.find_outputs("*").values()
    assert "ml.example.com" in output["Description"]


@pytest.mark.parametrize(("recorded", "kind"), [("rejected", "REJECT"), ("all", "ALL")])
def test_flow_logs_record_what_is_configured(app: cdk.App, recorded: str, kind: str) -> None:
    template = Template.from_stack(network_stack(app, flow_logs=recorded))
    template.has_resource_properties("AWS::EC2::FlowLog", {"TrafficType": kind})
