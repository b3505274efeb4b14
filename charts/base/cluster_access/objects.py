from collections.abc import Collection

from constructs import Construct

from charts.base.cluster_access.policies import policies
from charts.kit.chart import ComponentChart
from charts.kit.rbac import binding, group_subject, role, rule
from mlplatform_constructs import ConfigurationError

OPERATORS = "mlplatform:operators"
VIEWERS = "mlplatform:viewers"
GROUPS = (OPERATORS, VIEWERS)

_CLUSTER_VIEWER = [
    rule("", "nodes namespaces persistentvolumes"),
    rule("apiextensions.k8s.io", "customresourcedefinitions"),
    rule("metrics.k8s.io", "nodes pods"),
    rule("scheduling.k8s.io", "priorityclasses"),
    rule("storage.k8s.io", "storageclasses volumeattachments csinodes"),
]
_OPERATOR = [
    rule("", "nodes", "patch"),
    rule("", "pods", "delete"),
    rule("", "pods/eviction", "create"),
    rule("apps", "daemonsets deployments statefulsets", "patch"),
    rule("apps", "deployments/scale statefulsets/scale", "patch update"),
    rule("batch", "cronjobs", "patch"),
    rule("batch", "jobs", "delete"),
]


class ClusterAccess(ComponentChart):
    """Rights of the Kubernetes groups of the platform's people.

    - operators see everything but secrets, and keep it running: they drain nodes, restart and scale workloads, delete
      pods and jobs, and suspend schedules. RBAC can grant a restart only as a right to patch the workload, with which
      one could run any image as any service account; admission policies therefore refuse every other change, and
      any change in system namespaces but the eviction of pods.
    - viewers see everything but secrets.

    :param groups: the groups that roles are mapped to, of ``GROUPS``.
    :raises ConfigurationError: for a group that this chart does not know, because it would be a group without rights.
    """

    def __init__(self, scope: Construct, id: str, *, groups: Collection[str]) -> None:
        super().__init__(scope, id)
        if unknown := sorted(set(groups) - set(GROUPS)):
            raise ConfigurationError(
                f"{self.node.path}: no rights are known for {', '.join(unknown)}; use {', '.join(GROUPS)}"
            )
        if groups:
            self.add(role("mlplatform-cluster-viewer", _CLUSTER_VIEWER))
        if OPERATORS in groups:
            self.add(role("mlplatform-operator", _OPERATOR), *policies(OPERATORS))
        for group in sorted(groups):
            self._bind(group, "view")
            self._bind(group, "mlplatform-cluster-viewer")
        if OPERATORS in groups:
            self._bind(OPERATORS, "mlplatform-operator")

    def _bind(self, group: str, cluster_role: str) -> None:
        name = f"{group.replace(':', '-')}-{cluster_role.removeprefix('mlplatform-')}"
        self.add(binding(name, group_subject(group), cluster_role=cluster_role))
