"""What runs in a network reaches the services that it calls, by endpoints that let its calls pass."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from assurance.permissions import rehearsed, services, workloads
from assurance.permissions.needs import Need
from assurance.permissions.network_reach import BY_NAT, WITHOUT_ENDPOINT, Networks, unreachable
from assurance.permissions.world import World
from delivery.assembly import Stack

CALLERS = 20
"""Fewer roles than this inside of a network mean that the search has lost its hold on the templates."""


def everything(world: World) -> list[Need]:
    return [*services.needs(world), *workloads.needs(world), *rehearsed.needs(world)]


@pytest.fixture(scope="session")
def closed_world(closed: tuple[Stack, ...]) -> World:
    return World.of(closed)


Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def edited(closed: tuple[Stack, ...], tmp_path: Any) -> Callable[[Edit], World]:
    """The account without a way out, the resources of whose network are changed."""

    def edit(change: Edit) -> World:
        (network,) = (stack for stack in closed if stack.name == "prod-Network")
        template = json.loads(network.template_file.read_text(encoding="utf-8"))
        change(template["Resources"])
        file = tmp_path / "network.template.json"
        file.write_text(json.dumps(template), encoding="utf-8")
        new = Stack(network.id, network.name, network.account, network.region, file, network.metadata_file)
        return World.of([new if stack is network else stack for stack in closed])

    return edit


def endpoint(resources: dict[str, Any], service: str) -> dict[str, Any]:
    """The properties of the endpoint of a service."""
    found: list[dict[str, Any]] = [
        one["Properties"]
        for one in resources.values()
        if one["Type"] == "AWS::EC2::VPCEndpoint" and f'.{service}"' in json.dumps(one["Properties"]["ServiceName"])
    ]
    (one,) = found
    return one


def test_everything_in_the_networks_of_accounts_reaches_its_services(world: World) -> None:
    assert list(unreachable(world, everything(world))) == []


@pytest.mark.promise("closed-network")
def test_everything_in_a_network_without_a_way_out_reaches_its_services(closed_world: World) -> None:
    networks = Networks(closed_world)
    network = networks.of("333333333333")
    assert network
    assert network.closed
    assert len(networks.inside) > CALLERS
    assert list(unreachable(closed_world, everything(closed_world))) == []


def test_every_service_without_an_endpoint_has_its_reason() -> None:
    assert all({**WITHOUT_ENDPOINT, **BY_NAT}.values())


@pytest.mark.parametrize("service", ["autoscaling", "ec2", "ecr.dkr", "elasticfilesystem", "logs", "ssmmessages"])
def test_an_endpoint_that_is_missing_is_found(edited: Callable[[Edit], World], service: str) -> None:
    def remove(resources: dict[str, Any]) -> None:
        endpoint(resources, service)["ServiceName"] = "com.amazonaws.eu-west-1.other"

    world = edited(remove)
    assert any(one.endswith(f"no endpoint for {service}") for one in unreachable(world, everything(world)))


OWN_BUCKETS = {
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": "*",
            "Action": "*",
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:ResourceAccount": "333333333333"}},
        }
    ]
}
READING = {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "ec2:Describe*", "Resource": "*"}]}


@pytest.mark.parametrize(
    ("service", "policy", "refused"),
    [
        ("s3", OWN_BUCKETS, "s3:GetObject on arn:aws:s3:::prod-eu-west-1-starport-layer-bucket/x"),
        ("ec2", READING, "ec2:CreateSecurityGroup"),
        ("elasticfilesystem", READING, "elasticfilesystem:DescribeFileSystems"),
    ],
)
def test_an_endpoint_whose_policy_refuses_a_call_is_found(
    edited: Callable[[Edit], World], service: str, policy: dict[str, Any], refused: str
) -> None:
    world = edited(lambda resources: endpoint(resources, service).update(PolicyDocument=policy))
    found = list(unreachable(world, everything(world)))
    assert any(refused in one and "no statement of the endpoint's policy allows it" in one for one in found)


def test_an_endpoint_whose_policy_lets_own_calls_pass_is_no_obstacle(edited: Callable[[Edit], World]) -> None:
    world = edited(lambda resources: endpoint(resources, "sts").update(PolicyDocument=OWN_BUCKETS))
    assert list(unreachable(world, everything(world))) == []
