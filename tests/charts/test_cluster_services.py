from typing import Any

import cdk8s
import pytest
from syrupy.assertion import SnapshotAssertion

from charts.cluster_autoscaler import ClusterAutoscaler
from charts.manifest_chart import ManifestChart
from charts.namespaces import Namespaces
from charts.nvidia_device_plugin import NvidiaDevicePlugin
from charts.storage_classes import LustreVolume, StorageClasses

PLACEMENT = {"nodeSelector": {"mlplatform/purpose": "system"}}


@pytest.fixture(scope="module")
def charts() -> cdk8s.App:
    return cdk8s.App()


def named(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [item for item in objects if item["kind"] == kind]


@pytest.fixture(scope="module")
def autoscaler(charts: cdk8s.App) -> list[dict[str, Any]]:
    chart = ClusterAutoscaler(
        charts, "Autoscaler", cluster_name="training", region="eu-west-1", image="r.io/ca:v1", placement=PLACEMENT
    )
    return chart.to_json()


def test_autoscaler(autoscaler: list[dict[str, Any]], snapshot_json: SnapshotAssertion) -> None:
    """Row 28."""
    assert autoscaler == snapshot_json


def test_similar_groups_of_different_zones_are_balanced(autoscaler: list[dict[str, Any]]) -> None:
    """Row 31."""
    (deployment,) = named(autoscaler, "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert "--balance-similar-node-groups=true" in container["command"]
    found = [part for part in container["command"] if part.startswith("--node-group-auto-discovery")]
    assert found == [
        "--node-group-auto-discovery=asg:tag=k8s.io/cluster-autoscaler/enabled,k8s.io/cluster-autoscaler/training"
    ]


def test_the_autoscaler_runs_where_it_is_placed_under_restricted_security(autoscaler: list[dict[str, Any]]) -> None:
    (deployment,) = named(autoscaler, "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == PLACEMENT["nodeSelector"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"]


def test_the_autoscaler_cannot_change_what_it_only_watches(autoscaler: list[dict[str, Any]]) -> None:
    changing = {"create", "update", "patch", "delete"}
    for role in named(autoscaler, "ClusterRole"):
        for rule in role["rules"]:
            if set(rule["resources"]) & {"pods", "secrets", "deployments", "jobs"}:
                assert not changing & set(rule["verbs"])


def test_device_plugin(charts: cdk8s.App, snapshot_json: SnapshotAssertion) -> None:
    labels = {"mlplatform/accelerator": "nvidia"}
    assert NvidiaDevicePlugin(charts, "Plugin", image="r.io/p:v1", node_labels=labels).to_json() == snapshot_json


def test_storage_classes(charts: cdk8s.App, snapshot_json: SnapshotAssertion) -> None:
    """Rows 46, 47."""
    lustre = LustreVolume(file_system_id="fs-1", dns_name="fs-1.fsx", mount_name="abc", capacity_gib=1200)
    chart = StorageClasses(charts, "Classes", key_arn="arn:key", file_system_id="fs-2", lustre=lustre)
    assert chart.to_json() == snapshot_json


def test_there_is_one_default_class_and_it_encrypts(charts: cdk8s.App) -> None:
    (default,) = StorageClasses(charts, "Disks", key_arn="arn:key").to_json()
    assert default["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true"
    assert default["parameters"]["encrypted"] == "true"
    assert default["parameters"]["kmsKeyId"] == "arn:key"


def test_a_namespace_enforces_its_level_and_warns_of_anything_below_restricted(charts: cdk8s.App) -> None:
    (namespace,) = Namespaces(charts, "Namespaces", levels={"serving": "baseline"}).to_json()
    labels = namespace["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "baseline"
    assert labels["pod-security.kubernetes.io/warn"] == "restricted"


def test_the_same_object_twice_is_refused(charts: cdk8s.App) -> None:
    chart = ManifestChart(charts, "Twice")
    chart.add({"kind": "ConfigMap", "metadata": {"name": "a", "namespace": "b"}})
    with pytest.raises(ValueError, match="Twice: ConfigMap b/a is already here; remove one of the two"):
        chart.add({"kind": "ConfigMap", "metadata": {"name": "a", "namespace": "b"}})
