from typing import Any

import pytest
from pydantic import ValidationError

from config.network import Bastion, Network

GOOD: dict[str, Any] = {"cidr": "10.32.0.0/16", "availability_zones": ("eu-west-1a", "eu-west-1b")}


def mistakes(**changes: Any) -> list[str]:
    with pytest.raises(ValidationError) as refusal:
        Network(**(GOOD | changes))
    return [str(error["msg"]).removeprefix("Value error, ") for error in refusal.value.errors()]


@pytest.mark.promise("nat-per-zone", "closed-network")
def test_the_default_survives_the_loss_of_a_zone_and_costs_no_endpoint() -> None:
    network = Network(**GOOD)
    assert network.nat == "per_zone"
    assert not network.interface_endpoints
    assert network.domain is None


@pytest.mark.promise("bastion-availability")
def test_the_default_bastion_is_highly_available() -> None:
    assert Bastion().highly_available


@pytest.mark.parametrize("cidr", ["10.0.0.0/16", "172.20.0.0/18", "192.168.0.0/21", "100.64.0.0/16"])
def test_accepts_private_address_space_with_room_for_every_zone(cidr: str) -> None:
    assert Network(**(GOOD | {"cidr": cidr})).cidr == cidr


@pytest.mark.parametrize(
    ("cidr", "said"),
    [
        (
            "10.0.0.0/22",
            "must be a private IPv4 network of /16 to /21, got '10.0.0.0/22'; AWS makes no larger VPC, and",
        ),
        ("fd00::/20", "must be a private IPv4 network of /16 to /21, got 'fd00::/20'"),
        ("52.0.0.0/16", "must be a private network, got '52.0.0.0/16'; use a part of 10.0.0.0/8, 172.16.0.0/12,"),
        ("169.254.0.0/16", "must be a private network, got '169.254.0.0/16'"),
        ("ten", "must be a network such as '10.20.0.0/16', got 'ten'"),
    ],
)
def test_refuses_an_address_space_that_is_too_small(cidr: str, said: str) -> None:
    (mistake,) = mistakes(cidr=cidr)
    assert mistake.startswith(said)


@pytest.mark.promise("zones-alike")
@pytest.mark.parametrize("count", [1, 7])
def test_refuses_fewer_than_two_and_more_than_six_zones(count: int) -> None:
    (mistake,) = mistakes(availability_zones=tuple(f"eu-west-1{letter}" for letter in "abcdefg"[:count]))
    assert ("at least 2" if count == 1 else "at most 6") in mistake


def test_refuses_a_zone_twice() -> None:
    (mistake,) = mistakes(availability_zones=("eu-west-1a", "eu-west-1a"))
    assert mistake == "names a zone twice: eu-west-1a, eu-west-1a; name each zone once"


@pytest.mark.promise("nat-per-zone")
def test_refuses_a_closed_network_without_endpoints() -> None:
    (mistake,) = mistakes(nat="none")
    assert mistake == "must be true when nat is 'none'; without either nothing reaches AWS"
    assert Network(**GOOD, nat="none", interface_endpoints=True).interface_endpoints


@pytest.mark.promise("delegated-zones")
def test_refuses_a_delegation_of_nothing() -> None:
    (mistake,) = mistakes(root_zone_id="Z0123456789ABC")
    assert mistake == "needs network.domain; name the platform's domain or remove root_zone_id"
