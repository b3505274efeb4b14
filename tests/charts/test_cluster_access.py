from typing import Any

import cdk8s
import pytest
from syrupy.assertion import SnapshotAssertion

from charts.base.cluster_access.objects import GROUPS, OPERATORS, VIEWERS, ClusterAccess
from mlplatform_constructs import KubernetesRelease
from tests.schemas import assert_valid


def objects(*groups: str) -> list[dict[str, Any]]:
    return ClusterAccess(cdk8s.App(), "Access", groups=groups).to_json()


def rights(group: str) -> set[tuple[str, str, str]]:
    """What a group may do by roles of the chart's own: API group, resource, verb."""
    found = objects(*GROUPS)
    bound = {
        item["roleRef"]["name"]
        for item in found
        if item["kind"] == "ClusterRoleBinding" and item["subjects"][0]["name"] == group
    }
    return {
        (api, resource, verb)
        for item in found
        if item["kind"] == "ClusterRole" and item["metadata"]["name"] in bound
        for rule in item["rules"]
        for api in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.mark.promise("groups-have-rights")
def test_all_groups(snapshot_json: SnapshotAssertion) -> None:
    assert objects(*GROUPS) == snapshot_json


@pytest.mark.promise("valid-across-versions")
@pytest.mark.parametrize("release", KubernetesRelease.all(), ids=lambda release: release.minor)
def test_every_object_is_valid(release: KubernetesRelease) -> None:
    """For every supported minor, so that a cluster can go back one."""
    assert_valid(objects(*GROUPS), release.minor)


@pytest.mark.promise("groups-have-rights")
@pytest.mark.parametrize("groups", [(), (OPERATORS,), (VIEWERS,), GROUPS])
def test_bindings_are_for_the_groups_that_there_are(groups: tuple[str, ...]) -> None:
    bound = {s["name"] for item in objects(*groups) for s in item.get("subjects", [])}
    assert bound == set(groups)


@pytest.mark.promise("groups-have-rights")
def test_every_binding_has_its_role() -> None:
    """``view`` comes with Kubernetes."""
    for groups in ((OPERATORS,), (VIEWERS,), GROUPS):
        found = objects(*groups)
        roles = {item["metadata"]["name"] for item in found if item["kind"] == "ClusterRole"}
        bound = {item["roleRef"]["name"] for item in found if item["kind"] == "ClusterRoleBinding"}
        assert bound == roles | {"view"}


def test_viewers_change_nothing() -> None:
    assert {verb for _, _, verb in rights(VIEWERS)} == {"get", "list", "watch"}


def test_operators_drain_nodes_and_restart_workloads() -> None:
    assert {
        ("", "nodes", "patch"),
        ("", "pods/eviction", "create"),
        ("apps", "deployments", "patch"),
    } <= rights(OPERATORS)


@pytest.mark.parametrize("group", GROUPS)
def test_no_group_reads_secrets_opens_a_shell_or_grants_rights(group: str) -> None:
    for api, resource, verb in rights(group):
        assert resource not in {"secrets", "pods/exec", "pods/attach", "serviceaccounts/token"}
        assert api != "rbac.authorization.k8s.io"
        assert "*" not in (api, resource, verb)


def test_a_group_without_rights_is_refused() -> None:
    with pytest.raises(
        ValueError, match="Access: no rights are known for mlplatform:strangers; use mlplatform:operators"
    ):
        objects("mlplatform:strangers")
