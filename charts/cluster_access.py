from collections.abc import Collection

from constructs import Construct

from charts.manifest_chart import Manifest, ManifestChart, metadata

OPERATORS = "mlplatform:operators"
VIEWERS = "mlplatform:viewers"
GROUPS = (OPERATORS, VIEWERS)

_API = "rbac.authorization.k8s.io"
_READ = ["get", "list", "watch"]
_CLUSTER_VIEWER: list[Manifest] = [
    {"apiGroups": [""], "resources": ["nodes", "namespaces", "persistentvolumes"], "verbs": _READ},
    {"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "verbs": _READ},
    {"apiGroups": ["metrics.k8s.io"], "resources": ["nodes", "pods"], "verbs": _READ},
    {"apiGroups": ["scheduling.k8s.io"], "resources": ["priorityclasses"], "verbs": _READ},
    {"apiGroups": ["storage.k8s.io"], "resources": ["storageclasses", "volumeattachments", "csinodes"], "verbs": _READ},
]
_OPERATOR: list[Manifest] = [
    {"apiGroups": [""], "resources": ["nodes"], "verbs": ["patch"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["delete"]},
    {"apiGroups": [""], "resources": ["pods/eviction", "pods/portforward"], "verbs": ["create"]},
    {"apiGroups": ["apps"], "resources": ["daemonsets", "deployments", "statefulsets"], "verbs": ["patch"]},
    {"apiGroups": ["apps"], "resources": ["deployments/scale", "statefulsets/scale"], "verbs": ["patch", "update"]},
    {"apiGroups": ["batch"], "resources": ["cronjobs", "jobs"], "verbs": ["patch", "delete"]},
]


class ClusterAccess(ManifestChart):
    """What the Kubernetes groups of the platform's people may do.

    - operators see everything but secrets, and keep it running: drain nodes, restart, scale, delete pods. To restart a
      workload is to patch it, and who patches it could have it do anything: these are trusted people, in the audit log.
    - viewers see everything but secrets.

    :param groups: the groups that roles are mapped to, of ``GROUPS``.
    :raises ValueError: for a group that this chart does not know, because it would be a group without rights.
    """

    def __init__(self, scope: Construct, id: str, *, groups: Collection[str]) -> None:
        super().__init__(scope, id)
        if strangers := sorted(set(groups) - set(GROUPS)):
            raise ValueError(
                f"{self.node.path}: no rights are known for {', '.join(strangers)}; use {', '.join(GROUPS)}"
            )
        if groups:
            self._role("mlplatform-cluster-viewer", _CLUSTER_VIEWER)
        if OPERATORS in groups:
            self._role("mlplatform-operator", _OPERATOR)
        for group in sorted(groups):
            roles = ["view", "mlplatform-cluster-viewer", *(["mlplatform-operator"] if group == OPERATORS else [])]
            for role in roles:
                self._bind(group, role)

    def _role(self, name: str, rules: list[Manifest]) -> None:
        self.add({"apiVersion": f"{_API}/v1", "kind": "ClusterRole", "metadata": metadata(name), "rules": rules})

    def _bind(self, group: str, role: str) -> None:
        name = f"{group.replace(':', '-')}-{role.removeprefix('mlplatform-')}"
        self.add(
            {
                "apiVersion": f"{_API}/v1",
                "kind": "ClusterRoleBinding",
                "metadata": metadata(name),
                "roleRef": {"apiGroup": _API, "kind": "ClusterRole", "name": role},
                "subjects": [{"apiGroup": _API, "kind": "Group", "name": group}],
            }
        )
