"""What runs in the clusters, where they have nodes: proofs of every workload that was deployed."""

from typing import Any

from ministack.services import eks

from aws_rehearsal.emulator.eks_add_ons import administrator_of
from aws_rehearsal.emulator.pod_calls import check_roles
from kubernetes_rehearsal import programs
from kubernetes_rehearsal.client import ApiClient
from kubernetes_rehearsal.interface import KubernetesApi
from kubernetes_rehearsal.nodes.node_clusters import NodeClusters
from kubernetes_rehearsal.proofs.admission import check_pod_security, enforced_level
from kubernetes_rehearsal.proofs.findings import Finding
from kubernetes_rehearsal.proofs.workloads import check_workloads

_BOUND_SECONDS = 600
_NAMESPACE = "Namespace "


def state(kubernetes: KubernetesApi) -> dict[str, dict[str, Any]]:
    """Cluster name to what became of the workloads that were deployed there; only clusters that have nodes.

    - ``running``: workload to the seconds until it was available.
    - ``stored_only``: workload to the reasons why its programs do not run.
    - ``idle``: workloads that want no pod.
    - ``callers``: service accounts whose pods called AWS, each with its role.
    - ``unrestricted``: namespaces that were deployed and enforce no pod security level, such as those of add-ons.
    - ``replaced``: why pods were replaced before the check, a line each.
    - ``findings``: what is wrong, a line each.
    """
    found = {
        name: _proved(kubernetes, f"{account}/{region}/{name}", cluster)
        for (account, region, name), cluster in list(eks._clusters.all_items())
        if cluster.get("endpoint")
    }
    return {name: proved for name, proved in found.items() if proved}


def _proved(kubernetes: KubernetesApi, key: str, cluster: dict[str, Any]) -> dict[str, Any]:
    if isinstance(kubernetes, NodeClusters):
        kubernetes.wait_for_nodes(key)
    with administrator_of(cluster) as api:
        if not api.items("/api/v1/nodes"):
            return {}
        namespaces = sorted(found["metadata"]["name"] for found in api.items("/api/v1/namespaces"))
        deployed = set(kubernetes.leftovers(key))
        report = check_workloads(api, namespaces, bound_seconds=_BOUND_SECONDS, only=deployed, second_chance=True)
        own = sorted(name.removeprefix(_NAMESPACE) for name in deployed if name.startswith(_NAMESPACE))
        unrestricted = [name for name in own if enforced_level(api, name) is None]
        allowed = check_pod_security(api, [name for name in own if name not in unrestricted])
        callers, unknown = _called(kubernetes, key, api)
    return {
        "running": {place: round(seconds, 1) for place, seconds in report.running.items()},
        "stored_only": {place: programs.why_stored_only(what) for place, what in report.stored_only.items()},
        "idle": list(report.idle),
        "callers": callers,
        "unrestricted": unrestricted,
        "replaced": list(report.replaced),
        "findings": [str(finding) for finding in [*report.findings, *allowed, *unknown]],
    }


def _called(kubernetes: KubernetesApi, key: str, api: ApiClient) -> tuple[list[str], list[Finding]]:
    """The pods that called AWS as their roles, and what is wrong with that; none in clusters that are given."""
    if not isinstance(kubernetes, NodeClusters):
        return [], []
    account, region, name = key.split("/")
    associated = {
        (found["namespace"], found["serviceAccount"]): str(found["roleArn"])
        for (owner, place, _), found in list(eks._pod_identity_associations.all_items())
        if (owner, place, found["clusterName"]) == (account, region, name)
    }
    results = list(check_roles(api, kubernetes.sandbox(key), region, associated))
    return [caller for caller, _ in results], [finding for _, findings in results for finding in findings]
