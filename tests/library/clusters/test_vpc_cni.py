import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlplatform_constructs import VpcCni
from mlplatform_constructs._clusters.instance_types import instance_types

TYPES = instance_types()


@pytest.mark.parametrize(
    ("name", "pods"),
    [("m5.large", 29), ("m5.xlarge", 58), ("g4dn.xlarge", 29), ("p5.48xlarge", 100), ("r5.2xlarge", 58)],
)
def test_nodes_run_as_many_pods_as_eks_says(name: str, pods: int) -> None:
    """https://github.com/aws/amazon-vpc-cni-k8s/blob/master/misc/eni-max-pods.txt"""
    assert VpcCni().most_pods(TYPES[name]) == pods


def test_no_node_runs_more_than_managed_node_groups_allow() -> None:
    assert VpcCni().most_pods(TYPES["p4d.24xlarge"]) == 250
    assert VpcCni(prefix_delegation=True).most_pods(TYPES["m5.large"]) == 110


@pytest.mark.promise("address-budget")
def test_settings_reach_the_plugin() -> None:
    assert VpcCni(warm_ip_target=2, minimum_ip_target=8).environment == {
        "ENABLE_PREFIX_DELEGATION": "false",
        "MINIMUM_IP_TARGET": "8",
        "WARM_IP_TARGET": "2",
    }


@pytest.mark.promise("address-budget")
def test_few_pods_take_few_addresses() -> None:
    """Without targets, this node would hold 50 addresses of its second interface, too."""
    assert VpcCni(warm_ip_target=5).most_addresses(TYPES["p4d.24xlarge"], pods=10) == 10 + 5 + 1


@given(
    name=st.sampled_from(sorted(TYPES)),
    pods=st.integers(1, 250),
    warm=st.integers(1, 20),
    minimum=st.integers(1, 40),
    prefixes=st.booleans(),
)
def test_addresses_are_enough_for_the_pods_and_no_more_than_the_instance_has(
    name: str, pods: int, warm: int, minimum: int, prefixes: bool
) -> None:
    cni = VpcCni(warm_ip_target=warm, minimum_ip_target=minimum, prefix_delegation=prefixes)
    instance = TYPES[name]
    pods = min(pods, cni.most_pods(instance))
    addresses = cni.most_addresses(instance, pods)
    size = 16 if prefixes else 1
    assert addresses >= pods - 2 + 1  # two pods of every node are on the host network
    assert addresses <= instance.interfaces * ((instance.addresses_per_interface - 1) * size + 1)


@pytest.mark.parametrize("name", ["warm_ip_target", "minimum_ip_target"])
def test_a_target_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be 1 or more, got 0"):
        VpcCni(**{name: 0})
