import json
from typing import Any

import cdk8s
import pytest
from syrupy.assertion import SnapshotAssertion

from charts.base.namespaces.objects import Namespaces
from charts.base.storage_classes.objects import LustreVolume, StorageClasses
from charts.kit.chart import ComponentChart
from charts.nodes.cluster_autoscaler.objects import ClusterAutoscaler
from charts.nodes.efa_device_plugin.objects import EfaDevicePlugin
from charts.nodes.nvidia_device_plugin.objects import CONFIG_LABEL, NvidiaDevicePlugin

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
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


@pytest.mark.promise("autoscaler-of-choice")
def test_autoscaler(autoscaler: list[dict[str, Any]], snapshot_json: SnapshotAssertion) -> None:
    assert autoscaler == snapshot_json


@pytest.mark.promise("balanced-zones")
def test_similar_groups_of_different_zones_are_balanced(autoscaler: list[dict[str, Any]]) -> None:
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


def test_the_plugin_sees_gpus_on_images_that_show_them_to_privileged_containers_only(charts: cdk8s.App) -> None:
    """Without, it finds no driver, ends, and no node offers a GPU."""
    plugin = NvidiaDevicePlugin(charts, "Sees", image="r.io/p:v1", node_labels={"a": "b"}, configs={"t4": {}})
    for pod in pods_of(plugin.to_json()).values():
        (container,) = pod["containers"]
        assert container["securityContext"]["capabilities"] == {"add": ["SYS_ADMIN"], "drop": ["ALL"]}
        assert container["securityContext"].get("allowPrivilegeEscalation") is not False  # a contradiction
        assert not container["securityContext"].get("readOnlyRootFilesystem")  # hooks of the runtime write there


def pods_of(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {item["metadata"]["name"]: item["spec"]["template"]["spec"] for item in named(objects, "DaemonSet")}


@pytest.mark.promise("shared-gpus")
def test_nodes_whose_pods_share_gpus_get_a_plugin_with_their_configuration(charts: cdk8s.App) -> None:
    config = {"version": "v1", "sharing": {"timeSlicing": {"resources": [{"name": "nvidia.com/gpu", "replicas": 4}]}}}
    plugin = NvidiaDevicePlugin(charts, "Shared", image="r.io/p:v1", node_labels={"a": "b"}, configs={"t4": config})
    objects = plugin.to_json()
    pods = pods_of(objects)
    assert pods["nvidia-device-plugin-t4"]["nodeSelector"] == {"a": "b", CONFIG_LABEL: "t4"}
    (term,) = pods["nvidia-device-plugin"]["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": CONFIG_LABEL, "operator": "DoesNotExist"}]
    (kept,) = named(objects, "ConfigMap")
    assert json.loads(kept["data"]["config.yaml"]) == config
    (container,) = pods["nvidia-device-plugin-t4"]["containers"]
    assert {"name": "CONFIG_FILE", "value": "/config/config.yaml"} in container["env"]


def test_no_plugin_runs_where_the_image_brings_one(charts: cdk8s.App) -> None:
    labels = {"mlplatform/node-group": ["bottles"]}
    plugin = NvidiaDevicePlugin(
        charts, "Without", image="r.io/p:v1", node_labels={"a": "b"}, configs={"t4": {}}, without=labels
    )
    for pod in pods_of(plugin.to_json()).values():
        (term,) = pod["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
        excluded = {"key": "mlplatform/node-group", "operator": "NotIn", "values": ["bottles"]}
        assert excluded in term["matchExpressions"]


@pytest.mark.promise("shared-workspaces")
def test_shared_files_are_mounted_as_the_pod_that_asks_and_encrypted_on_the_way(charts: cdk8s.App) -> None:
    shared = next(
        item
        for item in StorageClasses(charts, "Files", key_arn="arn:key", file_system_id="fs-2").to_json()
        if item.get("provisioner") == "efs.csi.aws.com"
    )
    assert {"tls", "iam"} <= set(shared["mountOptions"])


@pytest.mark.promise("lustre-volumes", "shared-workspaces")
def test_storage_classes(charts: cdk8s.App, snapshot_json: SnapshotAssertion) -> None:
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
    chart = ComponentChart(charts, "Twice")
    chart.add({"kind": "ConfigMap", "metadata": {"name": "a", "namespace": "b"}})
    with pytest.raises(ValueError, match="Twice: ConfigMap b/a already exists; remove one of the two"):
        chart.add({"kind": "ConfigMap", "metadata": {"name": "a", "namespace": "b"}})


def test_each_team_claims_a_volume_of_its_own() -> None:
    """A volume binds one claim, so a second team would wait forever."""
    lustre = LustreVolume(
        file_system_id="fs-1", dns_name="fs-1.fsx", mount_name="abc", capacity_gib=1200, teams=["churn", "fraud"]
    )
    found = StorageClasses(cdk8s.App(), "Volumes", key_arn="arn:key", lustre=lustre).to_json()
    volumes = {item["metadata"]["name"]: item["spec"] for item in found if item["kind"] == "PersistentVolume"}
    assert set(volumes) == {"training-data-fs-1", "training-data-fs-1-churn", "training-data-fs-1-fraud"}
    assert volumes["training-data-fs-1-churn"]["claimRef"] == {"namespace": "churn", "name": "training-data"}
    assert "claimRef" not in volumes["training-data-fs-1"]
    assert len({spec["csi"]["volumeHandle"] for spec in volumes.values()}) == 3


@pytest.mark.promise("lustre-volumes")
def test_another_file_system_has_volumes_of_other_names() -> None:
    """The API refuses a volume of the same name that leads elsewhere."""
    names = []
    for file_system in ("fs-1", "fs-2"):
        lustre = LustreVolume(
            file_system_id=file_system, dns_name="a.fsx", mount_name="abc", capacity_gib=1200, teams=["churn"]
        )
        names.append({volume["metadata"]["name"] for volume in lustre.persistent_volumes()})
    assert names[0].isdisjoint(names[1])


@pytest.mark.promise("lustre-volumes")
def test_a_file_system_in_another_zone_changes_the_text_of_its_volumes() -> None:
    """The CDK CLI skips a stack whose template is unchanged, and the template has only a reference to the id."""
    volumes = [
        LustreVolume(file_system_id="<id>", dns_name="<dns>", mount_name="<mount>", capacity_gib=1200, zone=zone)
        for zone in ("eu-west-1a", "eu-west-1b")
    ]
    assert volumes[0].persistent_volumes() != volumes[1].persistent_volumes()


def test_the_efa_plugin_runs_on_nodes_of_its_groups_alone(charts: cdk8s.App) -> None:
    (agents,) = EfaDevicePlugin(charts, "Efa", image="r.io/efa:v1", label="group", groups=["p5"]).to_json()
    spec = agents["spec"]["template"]["spec"]
    (term,) = spec["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": "group", "operator": "In", "values": ["p5"]}]
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert spec["hostNetwork"]
    (container,) = spec["containers"]
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {
        "/var/lib/kubelet/device-plugins",
        "/dev/infiniband",
    }
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert not spec["automountServiceAccountToken"]


def test_the_efa_plugin_is_privileged_on_nodes_with_neuron_devices_alone(charts: cdk8s.App) -> None:
    objects = EfaDevicePlugin(
        charts, "Both", image="r.io/efa:v1", label="group", groups=["p5", "trn"], neuron_groups=["trn"]
    ).to_json()
    plain, neuron = (each["spec"]["template"]["spec"] for each in objects)
    assert "privileged" not in plain["containers"][0]["securityContext"]
    assert neuron["containers"][0]["securityContext"]["privileged"]
    (term,) = neuron["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["values"] == ["trn"]
