from typing import Any

import cdk8s
import pytest
from syrupy.assertion import SnapshotAssertion

from charts.nodes.kube2iam.objects import Kube2iam
from mlplatform_constructs import KubernetesRelease
from tests.schemas import assert_valid


@pytest.fixture
def objects() -> list[dict[str, Any]]:
    return Kube2iam(cdk8s.App(), "Agent", image="r.io/kube2iam:1", region="eu-west-1").to_json()


@pytest.fixture
def agent(objects: list[dict[str, Any]]) -> dict[str, Any]:
    (pod,) = [item["spec"]["template"]["spec"] for item in objects if item["kind"] == "DaemonSet"]
    return pod


@pytest.mark.promise("kube2iam-legacy")
def test_the_agent(objects: list[dict[str, Any]], snapshot_json: SnapshotAssertion) -> None:
    assert objects == snapshot_json


@pytest.mark.parametrize("release", KubernetesRelease.all(), ids=lambda release: release.minor)
def test_every_object_is_valid(objects: list[dict[str, Any]], release: KubernetesRelease) -> None:
    assert_valid(objects, release.minor)


@pytest.mark.promise("kube2iam-legacy")
def test_it_stands_between_pods_and_the_nodes_metadata(agent: dict[str, Any]) -> None:
    """It uses the host network and redirects 169.254.169.254 for all pods of the VPC CNI."""
    (container,) = agent["containers"]
    assert agent["hostNetwork"] is True
    assert {"--iptables=true", "--host-interface=eni+"} <= set(container["args"])


def test_a_namespace_gets_only_the_roles_that_it_names(agent: dict[str, Any]) -> None:
    assert "--namespace-restrictions=true" in agent["containers"][0]["args"]


def test_no_pod_gets_a_role_without_asking(agent: dict[str, Any]) -> None:
    assert not [argument for argument in agent["containers"][0]["args"] if "default-role" in argument]


def test_it_runs_on_every_node(agent: dict[str, Any]) -> None:
    assert agent["tolerations"] == [{"operator": "Exists"}]
    assert "nodeSelector" not in agent


def test_it_may_change_the_network_and_nothing_else(objects: list[dict[str, Any]], agent: dict[str, Any]) -> None:
    security = agent["containers"][0]["securityContext"]
    assert "privileged" not in security
    assert security["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]}
    (role,) = [item for item in objects if item["kind"] == "ClusterRole"]
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"get", "list", "watch"}
