from constructs import Construct

from charts.manifest_chart import Manifest, ManifestChart, metadata

NAME = "mlplatform-teardown"

_VERBS = ["get", "list", "delete"]
_RULES: list[Manifest] = [
    {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses"], "verbs": _VERBS},
    {
        "apiGroups": [""],
        "resources": ["services", "pods", "persistentvolumeclaims"],
        "verbs": _VERBS,
    },
    {"apiGroups": [""], "resources": ["persistentvolumes"], "verbs": ["get", "list"]},
    {"apiGroups": ["elbv2.k8s.aws"], "resources": ["targetgroupbindings"], "verbs": _VERBS},
    {"apiGroups": ["karpenter.sh"], "resources": ["nodepools", "nodeclaims"], "verbs": _VERBS},
    {"apiGroups": ["apps"], "resources": ["deployments", "statefulsets", "replicasets", "daemonsets"], "verbs": _VERBS},
    {"apiGroups": ["batch"], "resources": ["jobs", "cronjobs"], "verbs": _VERBS},
    {"apiGroups": ["kubeflow.org"], "resources": ["notebooks"], "verbs": _VERBS},
]


class TeardownAccess(ManifestChart):
    """What the teardown guard may do in the cluster: list and delete what controllers made, and what holds it.

    :param group: the Kubernetes group whose members may do it.
    """

    def __init__(self, scope: Construct, id: str, *, group: str) -> None:
        super().__init__(scope, id)
        api = "rbac.authorization.k8s.io"
        self.add(
            {"apiVersion": f"{api}/v1", "kind": "ClusterRole", "metadata": metadata(NAME), "rules": _RULES},
            {
                "apiVersion": f"{api}/v1",
                "kind": "ClusterRoleBinding",
                "metadata": metadata(NAME),
                "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": NAME},
                "subjects": [{"apiGroup": api, "kind": "Group", "name": group}],
            },
        )
