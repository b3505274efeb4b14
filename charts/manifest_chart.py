"""What every chart is made of."""

from collections.abc import Mapping, Sequence
from typing import Any

import cdk8s
from constructs import Construct

Manifest = Mapping[str, Any]

RESTRICTED_POD: Manifest = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
"""Security context of a pod that passes the `restricted` pod security level."""

RESTRICTED_CONTAINER: Manifest = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
"""Security context of a container that passes the `restricted` pod security level and cannot change its own files."""


class ManifestChart(cdk8s.Chart):
    """A cdk8s chart that holds its objects as plain data.

    An `ApiObject` of its own for each object costs four times as much synthesis and adds nothing here: names are fixed
    because other objects refer to them, and order is the business of whatever applies the chart.
    """

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        self._manifests: list[Manifest] = []

    def add(self, *manifests: Manifest) -> None:
        """Add objects.

        :raises ValueError: if the chart already has an object of that kind, namespace and name.
        """
        there = {identity(manifest) for manifest in self._manifests}
        for manifest in manifests:
            if identity(manifest) in there:
                raise ValueError(f"{self.node.path}: {identity(manifest)} is already here; remove one of the two")
            there.add(identity(manifest))
            self._manifests.append(manifest)

    def to_json(self) -> list[Any]:
        """The objects, in the order in which they were added."""
        return list(self._manifests)


def identity(manifest: Manifest) -> str:
    """How an object is called in messages: ``Deployment kube-system/cluster-autoscaler``."""
    metadata = manifest["metadata"]
    place = f"{metadata['namespace']}/" if "namespace" in metadata else ""
    return f"{manifest['kind']} {place}{metadata['name']}"


def metadata(name: str, namespace: str | None = None, **more: Any) -> dict[str, Any]:
    """Name, namespace and the label by which everything of one component is found."""
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "mlplatform", **more.pop("labels", {})}
    return {"name": name, **({"namespace": namespace} if namespace else {}), "labels": labels, **more}


def role_with_binding(
    name: str, rules: Sequence[Manifest], *, service_account: str, account_namespace: str, namespace: str | None = None
) -> list[Manifest]:
    """A role and its binding to a service account: in ``namespace``, or in the whole cluster if that is None."""
    kind = "Role" if namespace else "ClusterRole"
    api = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": f"{api}/v1", "kind": kind, "metadata": metadata(name, namespace), "rules": list(rules)},
        {
            "apiVersion": f"{api}/v1",
            "kind": f"{kind}Binding",
            "metadata": metadata(name, namespace),
            "roleRef": {"apiGroup": api, "kind": kind, "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": service_account, "namespace": account_namespace}],
        },
    ]
