"""What holds for all stacks of an account together."""

import json
import re
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from config.tags import STAGE
from stacks.stage import PlatformStage
from tests.references import Templates

PODS = "pods.eks.amazonaws.com"
IMPORTED = re.compile(r'"Fn::ImportValue": "([^":]+):')
LONG_LIVED_KEY = re.compile(r"\bAKIA[0-9A-Z]{16}\b|aws_secret_access_key", re.IGNORECASE)


@pytest.fixture(scope="module")
def stage(prod: PlatformStage) -> PlatformStage:
    return prod


@pytest.fixture(scope="module")
def bodies(stage: PlatformStage) -> dict[str, dict[str, Any]]:
    """Each stack's template, by the stack's name."""
    stacks = [child for child in stage.node.children if isinstance(child, cdk.Stack)]
    return {stack.stack_name: Template.from_stack(stack).to_json() for stack in stacks}


@pytest.fixture(scope="module")
def templates(bodies: dict[str, dict[str, Any]]) -> Templates:
    return Templates(bodies)


@pytest.mark.promise("no-stack-cycles")
def test_no_stack_needs_a_stack_that_needs_it(stage: PlatformStage, bodies: dict[str, dict[str, Any]]) -> None:
    needs = {name: set(IMPORTED.findall(json.dumps(body))) & bodies.keys() for name, body in bodies.items()}
    for stack in (child for child in stage.node.children if isinstance(child, cdk.Stack)):
        needs[stack.stack_name] |= {other.stack_name for other in stack.dependencies}
    assert needs["prod-TrainingServices"] >= {"prod-TrainingCluster", "prod-Network"}
    done: set[str] = set()
    while ready := {name for name, needed in needs.items() if name not in done and needed <= done}:
        done |= ready
    assert done == needs.keys()


@pytest.mark.promise("no-stack-cycles")
def test_the_role_of_a_pod_is_in_the_stack_of_its_association(templates: Templates) -> None:
    """A role in a different stack than its cluster's identity causes cyclic dependencies."""
    roles = templates.resources("AWS::IAM::Role")
    tied = templates.resources("AWS::EKS::PodIdentityAssociation")
    assert len(tied) > 10
    for name, association in tied.items():
        stack, _, role = association["RoleArn"].removesuffix(".Arn").partition("//")
        assert name.startswith(f"{stack}//")
        (statement,) = roles[f"{stack}//{role}"]["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": PODS}


@pytest.mark.promise("no-long-lived-keys")
def test_there_is_no_long_lived_key_anywhere(bodies: dict[str, dict[str, Any]]) -> None:
    kinds = {resource["Type"] for body in bodies.values() for resource in body["Resources"].values()}
    assert not kinds & {"AWS::IAM::AccessKey", "AWS::IAM::User"}
    for name, body in bodies.items():
        assert not LONG_LIVED_KEY.search(str(body)), name


@pytest.mark.promise("api-name-inside-only")
def test_the_clusters_names_are_answered_inside_the_network_alone(templates: Templates) -> None:
    """EKS creates its own hosted zone for a private network in which AWS resolves names.

    https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html
    """
    ((network, vpc),) = templates.resources("AWS::EC2::VPC").items()
    assert vpc["EnableDnsHostnames"] is True
    assert vpc["EnableDnsSupport"] is True
    (options,) = templates.resources("AWS::EC2::DHCPOptions").values()
    assert options["DomainNameServers"] == ["AmazonProvidedDNS"]
    (given,) = templates.resources("AWS::EC2::VPCDHCPOptionsAssociation").values()
    assert given["VpcId"] == network
    clusters = templates.resources("AWS::EKS::Cluster")
    assert len(clusters) == 2
    for cluster in clusters.values():
        access = cluster["ResourcesVpcConfig"]
        assert (access["EndpointPrivateAccess"], access["EndpointPublicAccess"]) == (True, False)
    zones = [zone["Name"] for zone in templates.resources("AWS::Route53::HostedZone").values()]
    assert not [zone for zone in zones if zone.endswith("amazonaws.com.")]  # one of ours would answer instead


@pytest.mark.promise("drained-before-removal")
def test_every_node_is_made_by_something_that_drains_it_before_it_goes(templates: Templates) -> None:
    """EKS drains the nodes of managed groups on spot notices, rebalancing and upgrades, and all groups are managed.

    https://docs.aws.amazon.com/eks/latest/userguide/managed-node-groups.html
    """
    own = templates.resources("AWS::AutoScaling::AutoScalingGroup")
    bastion = ["prod-Network//BastionHostsASG95E05FC6"]
    assert list(own) == bastion
    groups = templates.resources("AWS::EKS::Nodegroup").values()
    spot = [group for group in groups if group["CapacityType"] == "SPOT"]
    assert spot
    assert all(len(group["Subnets"]) == 1 for group in groups)  # Auto Scaling has no zones to balance


@pytest.mark.promise("drained-before-removal")
def test_nodes_may_wait_for_disruption_budgets_while_they_are_drained(templates: Templates) -> None:
    assert {group["ForceUpdateEnabled"] for group in templates.resources("AWS::EKS::Nodegroup").values()} == {False}


def test_every_stack_has_the_tag_of_its_account_file(stage: PlatformStage) -> None:
    """Without it, a stack that leaves the account file is not found again."""
    stacks = [one for one in stage.node.children if isinstance(one, cdk.Stack)]
    assert stacks
    assert {one.stack_name for one in stacks if one.tags.tag_values() != {STAGE: stage.node.id}} == set()
