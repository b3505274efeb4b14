"""The permissions of EKS's access policies, as far as RBAC can express them.

EKS authorizes them in addition to RBAC. Here each is a group, bound to a cluster role with the documented permissions.
https://docs.aws.amazon.com/eks/latest/userguide/access-policy-permissions.html
"""

from kubernetes_rehearsal.client import ApiClient

GROUP_PREFIX = "eks:access-policy:"
_RBAC = "rbac.authorization.k8s.io"
_READ_ALL = f"{GROUP_PREFIX}AmazonEKSAdminViewPolicy"
_ROLES = {
    "AmazonEKSAdminPolicy": "admin",
    "AmazonEKSAdminViewPolicy": _READ_ALL,
    "AmazonEKSClusterAdminPolicy": "cluster-admin",
    "AmazonEKSEditPolicy": "edit",
    "AmazonEKSViewPolicy": "view",
}


def bind_access_policies(client: ApiClient) -> None:
    """Bind the group of each policy, ``eks:access-policy:<name>``, to its role, in the whole cluster."""
    read = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}
    client.request("POST", f"/apis/{_RBAC}/v1/clusterroles", {"metadata": {"name": _READ_ALL}, "rules": [read]})
    for policy, role in _ROLES.items():
        group = f"{GROUP_PREFIX}{policy}"
        binding = {
            "metadata": {"name": group},
            "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": _RBAC, "kind": "Group", "name": group}],
        }
        client.request("POST", f"/apis/{_RBAC}/v1/clusterrolebindings", binding)
