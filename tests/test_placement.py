"""Every pod spec of the platform with every node group of the shipped accounts, and the required fields of pods."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from charts.kit.chart import pod_specs
from config.loader import load_account, load_accounts
from mlplatform_constructs import NodeGroupSpec
from stacks.app import new_app
from stacks.stage import PlatformStage
from tests.manifests import APPLIED, Delivered
from tests.placement import groups_that_take
from tests.references import Templates

AGENTS = {
    "DaemonSet kube-system/kube2iam": "stands between the pods of a node and the node's metadata",
    "DaemonSet kube-system/nvidia-device-plugin": "offers the GPUs of its node",
    "DaemonSet monitoring-nodes/dcgm-exporter": "measures the GPUs of its node",
    "DaemonSet monitoring-nodes/node-exporter": "measures its node",
    "amazon-cloudwatch-observability": "agents read the logs of their node; the manager says its own place",
    "aws-secrets-store-csi-driver-provider": "mounts secrets on its node",
}
"""Pods that belong to a node, and run on every node."""

NO_PLACE = {
    "base": "has no pods",
    "cni": "belongs to every node; the chart tolerates all taints",
    "karpenter-crd": "has no pods",
}
"""Charts whose values name no place."""

NO_PROBE = {
    "DaemonSet kube-system/nvidia-device-plugin": "answers the kubelet through a socket, and ends when that fails",
    "Deployment kubeflow/ml-pipeline-persistenceagent": "has no port, and ends when it fails",
    "Deployment kubeflow/ml-pipeline-scheduledworkflow": "has no port, and ends when it fails",
    "Deployment kubeflow/ml-pipeline-viewer-crd": "has no port, and ends when it fails",
    "Deployment kubeflow/workflow-controller": "says whether it is alive; it has no clients for which to be ready",
}
NOT_RESTRICTED = {
    "DaemonSet kube-system/kube2iam": "changes the node's network, which is what it is for",
    "DaemonSet kube-system/nvidia-device-plugin": "registers at the kubelet's socket, which belongs to root",
    "DaemonSet monitoring-nodes/dcgm-exporter": "reads GPUs without requesting one, which takes root and a capability",
    "DaemonSet monitoring-nodes/node-exporter": "reads the processes, devices and file systems of its node",
}


@dataclass(frozen=True)
class Pod:
    """A pod spec, or the part of one in the values of an add-on or a Helm chart.

    :param cluster: name of its cluster in the account file.
    :param whole: whether the platform wrote the whole pod spec.
    """

    name: str
    cluster: str
    spec: Mapping[str, Any]
    whole: bool

    @property
    def belongs_to_a_node(self) -> bool:
        return self.name in AGENTS and (self.whole or "nodeSelector" not in self.spec)


class Platform:
    """The rehearsal's account, with everything that can be chosen in one of its clusters."""

    def __init__(self, folder: Path) -> None:
        settings = load_account("local")
        clusters = {
            "training": settings.clusters["training"].model_copy(update={"autoscaler": "karpenter"}),
            "inference": settings.clusters["inference"].model_copy(update={"workload_identity": "kube2iam"}),
        }
        app = new_app(outdir=str(folder))
        app.node.set_context("aws:cdk:disable-asset-staging", True)
        self.stage = PlatformStage(app, "local", settings=settings.model_copy(update={"clusters": clusters}))
        stacks = app.synth().get_nested_assembly("assembly-local").stacks
        self._templates = {
            stack.stack_name: json.loads(Path(stack.template_full_path).read_text(encoding="utf-8")) for stack in stacks
        }
        self._references = Templates(self._templates)
        self._clusters = {
            stack.stack_name: name
            for name, stacks in self.stage.clusters.items()
            for stack in (stacks.cluster, stacks.services)
        }
        self.pods = [*self._delivered(), *self._told("AWS::EKS::Addon"), *self._told("Custom::AWSCDK-EKS-HelmChart")]

    def _delivered(self) -> Iterator[Pod]:
        clusters = {id: found["ClusterName"] for id, found in self._references.resources(APPLIED).items()}
        for stack, template in self._templates.items():
            for id, objects in Delivered(template).requests.items():
                for found in objects:
                    if spec := pod_spec(found):
                        yield Pod(called(found), self._cluster(clusters[f"{stack}//{id}"]), spec, whole=True)

    def _told(self, kind: str) -> Iterator[Pod]:
        for found in self._references.resources(kind).values():
            values = json.loads(found.get("ConfigurationValues") or found.get("Values") or "{}")
            for place in placed(values):
                name = found.get("AddonName") or found["Chart"]
                yield Pod(name, self._cluster(found["ClusterName"]), place, whole=False)

    def _cluster(self, reference: str) -> str:
        return self._clusters[reference.partition("//")[0]]

    def tellable(self) -> set[str]:
        """Names of all add-ons and charts."""
        add_ons = {found["AddonName"] for found in self._references.resources("AWS::EKS::Addon").values()}
        charts = self._references.resources("Custom::AWSCDK-EKS-HelmChart").values()
        return add_ons | {found["Chart"] for found in charts}


def pod_spec(found: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The pod spec of a workload."""
    return next(pod_specs(found), None)


def called(found: Mapping[str, Any]) -> str:
    return f"{found['kind']} {found['metadata']['namespace']}/{found['metadata']['name']}"


def placed(values: Any) -> Iterator[Mapping[str, Any]]:
    """Every part of some values that contains a placement."""
    if isinstance(values, dict):
        if {"nodeSelector", "tolerations"} & set(values):
            yield values
        for item in values.values():
            yield from placed(item)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    return Platform(tmp_path_factory.mktemp("placement") / "cdk.out")


def shipped_groups() -> dict[tuple[str, str], list[NodeGroupSpec]]:
    """The node groups of every shipped account's clusters."""
    return {
        (account, cluster): [NodeGroupSpec(name=name, **group.model_dump()) for name, group in settings.groups.items()]
        for account, loaded in load_accounts().items()
        for cluster, settings in loaded.clusters.items()
    }


GROUPS = shipped_groups()
MATRIX = pytest.mark.parametrize(("account", "cluster"), GROUPS, ids=lambda name: name)


def purposes(pod: Mapping[str, Any], groups: list[NodeGroupSpec]) -> set[str]:
    """What the nodes are for on which a pod may run."""
    taking = groups_that_take(pod, groups)
    return {group.purpose for group in groups if group.name in taking}


@pytest.mark.promise("gpu-from-zero", "pods-on-their-nodes", "system-nodes")
@MATRIX
def test_the_platforms_own_pods_run_on_no_node_for_work(platform: Platform, account: str, cluster: str) -> None:
    """A pod of the platform on a GPU node would keep that node from being removed."""
    checked = [pod for pod in platform.pods if pod.cluster == cluster and not pod.belongs_to_a_node]
    assert len({pod.name for pod in checked}) > 8
    for pod in checked:
        found = purposes(pod.spec, GROUPS[account, cluster])
        assert found, f"{pod.name}: no node group of {account} takes it"
        assert found <= {"system", "general"}, f"{pod.name}: may run on nodes for {found}"


@pytest.mark.promise("system-nodes")
@MATRIX
def test_controllers_run_on_system_nodes_only(platform: Platform, account: str, cluster: str) -> None:
    """So that they run when no other node exists."""
    services = [
        pod
        for pod in platform.pods
        if pod.cluster == cluster and not pod.belongs_to_a_node and (not pod.whole or "/cluster-autoscaler" in pod.name)
    ]
    assert services
    for pod in services:
        assert purposes(pod.spec, GROUPS[account, cluster]) == {"system"}, pod.name


def test_every_add_on_and_chart_has_a_placement(platform: Platform) -> None:
    told = {pod.name for pod in platform.pods if not pod.whole}
    built_in = {"coredns", "eks-pod-identity-agent", "kube-proxy", "vpc-cni"}
    assert platform.tellable() - told - set(NO_PLACE) <= built_in
    assert set(NO_PLACE) <= platform.tellable()


@MATRIX
def test_the_gpu_plugin_runs_on_nodes_with_gpus_only(platform: Platform, account: str, cluster: str) -> None:
    for pod in platform.pods:
        if "/nvidia-device-plugin" in pod.name and pod.cluster == cluster:
            groups = GROUPS[account, cluster]
            gpus = {group.name for group in groups if group.device_resource == "nvidia.com/gpu"}
            assert set(groups_that_take(pod.spec, groups)) == gpus != set()


def test_agents_that_are_named_here_exist(platform: Platform) -> None:
    assert set(AGENTS) <= {pod.name for pod in platform.pods}


@pytest.mark.promise("pods-on-their-nodes")
@MATRIX
def test_a_pod_runs_only_on_nodes_for_its_purpose(platform: Platform, account: str, cluster: str) -> None:
    """Training pods run on training nodes, and so on for every purpose."""
    groups = GROUPS[account, cluster]
    for purpose in {group.purpose for group in groups}:
        pod = platform.stage.clusters[cluster].cluster.cluster.placement(purpose)
        assert purposes(pod, groups) == {purpose}


@pytest.mark.promise("pods-on-their-nodes")
@MATRIX
def test_a_pod_without_a_purpose_runs_on_general_nodes(account: str, cluster: str) -> None:
    assert purposes({"containers": []}, GROUPS[account, cluster]) == {"general"}


def own(platform: Platform) -> Iterator[tuple[Pod, Mapping[str, Any]]]:
    """Every container of every pod spec that the platform wrote."""
    for pod in platform.pods:
        if pod.whole:
            for container in (*pod.spec.get("initContainers", []), *pod.spec["containers"]):
                yield pod, container


@pytest.mark.promise("requests-set")
def test_every_container_says_what_it_needs(platform: Platform) -> None:
    assert list(own(platform))
    for pod, container in own(platform):
        resources = container.get("resources", {})
        assert {"cpu", "memory"} <= set(resources.get("requests", {})), f"{pod.name}: {container['name']}: requests"
        assert "memory" in resources.get("limits", {}), f"{pod.name}: {container['name']}: limits"


@pytest.mark.promise("probes-set")
def test_every_server_says_whether_it_is_alive_and_ready(platform: Platform) -> None:
    lacking = set()
    for pod in platform.pods:
        if pod.whole and not pod.name.startswith(("CronJob ", "Job ")):
            for container in pod.spec["containers"]:
                if not {"livenessProbe", "readinessProbe"} <= set(container):
                    lacking.add(pod.name)
    assert lacking == set(NO_PROBE)


def test_every_pod_is_restricted(platform: Platform) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
    assert {pod.name for pod, container in own(platform) if not restricted(pod.spec, container)} == set(NOT_RESTRICTED)


def restricted(spec: Mapping[str, Any], container: Mapping[str, Any]) -> bool:
    security = {**spec.get("securityContext", {}), **container.get("securityContext", {})}
    volumes = {kind for volume in spec.get("volumes", []) for kind in volume if kind != "name"}
    return (
        security.get("runAsNonRoot") is True
        and security.get("runAsUser") != 0
        and security.get("seccompProfile", {}).get("type") == "RuntimeDefault"
        and security.get("allowPrivilegeEscalation") is False
        and not security.get("privileged")
        and security.get("capabilities", {}).get("drop") == ["ALL"]
        and set(security["capabilities"].get("add", [])) <= {"NET_BIND_SERVICE"}
        and not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        and not [port for port in container.get("ports", []) if "hostPort" in port]
        and volumes
        <= {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim"}
        | {"projected", "secret"}
    )
