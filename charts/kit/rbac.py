"""Service accounts, roles and bindings."""

from collections.abc import Sequence
from typing import Any

from charts.kit.objects import Manifest, metadata

API = "rbac.authorization.k8s.io"
READ = "get list watch"
WRITE = "create delete patch update"
ALL = f"{READ} {WRITE}"


def rule(group: str, resources: str, verbs: str = READ, *, names: Sequence[str] = ()) -> dict[str, Any]:
    """One rule of a role; resources and verbs are separated by spaces: ``rule("apps", "deployments", "get list")``.

    :param group: the API group; an empty text is the core group.
    :param names: names of the objects that it is limited to. Default: all objects. Names do not restrict ``create``.
    """
    listed = {"resourceNames": list(names)} if names else {}
    return {"apiGroups": [group], "resources": resources.split(), **listed, "verbs": verbs.split()}


def service_account(name: str, namespace: str, **more: Any) -> dict[str, Any]:
    """A ServiceAccount."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(name, namespace, **more)}


def role(name: str, rules: Sequence[Manifest], *, namespace: str | None = None, **more: Any) -> dict[str, Any]:
    """A Role in ``namespace``, or a ClusterRole without one."""
    kind = "Role" if namespace else "ClusterRole"
    return {"apiVersion": f"{API}/v1", "kind": kind, "metadata": metadata(name, namespace, **more), "rules": [*rules]}


def binding(
    name: str,
    subject: Manifest,
    *,
    namespace: str | None = None,
    cluster_role: str | None = None,
) -> dict[str, Any]:
    """Bind a subject to the role of the same name, in ``namespace`` or in the whole cluster.

    :param subject: from :func:`account_subject` or :func:`group_subject`.
    :param cluster_role: a ClusterRole to bind in place of the role ``name``. Default: none.
    """
    kind = "Role" if namespace else "ClusterRole"
    reference = {"apiGroup": API, "kind": "ClusterRole" if cluster_role else kind, "name": cluster_role or name}
    return {
        "apiVersion": f"{API}/v1",
        "kind": f"{kind}Binding",
        "metadata": metadata(name, namespace),
        "roleRef": reference,
        "subjects": [subject],
    }


def account_subject(name: str, namespace: str) -> dict[str, Any]:
    """A service account as the subject of a binding."""
    return {"kind": "ServiceAccount", "name": name, "namespace": namespace}


def group_subject(name: str) -> dict[str, Any]:
    """A group as the subject of a binding."""
    return {"apiGroup": API, "kind": "Group", "name": name}


def access(
    name: str, namespace: str, *, cluster: Sequence[Manifest] = (), local: Sequence[Manifest] = ()
) -> list[dict[str, Any]]:
    """A service account with its roles and bindings, all of one name.

    :param cluster: rules in the whole cluster. Default: none.
    :param local: rules in the account's own namespace. Default: none.
    """
    subject = account_subject(name, namespace)
    objects = [service_account(name, namespace)]
    if cluster:
        objects += [role(name, cluster), binding(name, subject)]
    if local:
        objects += [role(name, local, namespace=namespace), binding(name, subject, namespace=namespace)]
    return objects


def lease_rules(name: str) -> list[dict[str, Any]]:
    """Rules for leader election: create leases, update one's own, record events."""
    return [
        rule("coordination.k8s.io", "leases", "create"),
        rule("coordination.k8s.io", "leases", "get update patch", names=[name]),
        rule("", "events", "create patch"),
    ]


def extension_server_access(name: str, namespace: str, *, cluster: Sequence[Manifest] = ()) -> list[dict[str, Any]]:
    """:func:`access` of a server of an aggregated API, which asks the API server who calls and what callers may do.

    :param cluster: further rules in the whole cluster. Default: none.
    """
    account = account_subject(name, namespace)
    return [
        *access(name, namespace, cluster=cluster),
        binding(f"{name}-delegator", account, cluster_role="system:auth-delegator"),
        {
            **binding(f"{name}-authentication", account, namespace="kube-system"),
            "roleRef": {"apiGroup": API, "kind": "Role", "name": "extension-apiserver-authentication-reader"},
        },
    ]


def aggregated_role(name: str, rules: Sequence[Manifest], *, to: str) -> dict[str, Any]:
    """A ClusterRole that the control plane merges into others.

    :param to: label by which the other role selects, such as ``rbac.authorization.k8s.io/aggregate-to-view`` or
        ``rbac.authorization.kubeflow.org/aggregate-to-kubeflow-edit``.
    """
    return role(name, rules, labels={to: "true"})
