"""Names and labels of Kubernetes objects, and what every builder of the kit starts from."""

from collections.abc import Mapping
from typing import Any

from mlplatform_constructs.charts import identity

__all__ = ["NAME_LABEL", "PART_OF", "Manifest", "config_map", "identity", "metadata", "namespace", "selector"]

Manifest = Mapping[str, Any]
"""A Kubernetes object, or a part of one, as plain data."""

NAME_LABEL = "app.kubernetes.io/name"
PART_OF = {"app.kubernetes.io/part-of": "mlplatform"}


def selector(name: str) -> dict[str, str]:
    """The label by which the pods of one workload are selected. It cannot be changed later."""
    return {NAME_LABEL: name}


def metadata(name: str, namespace: str | None = None, **more: Any) -> dict[str, Any]:
    """Name, namespace and the labels that all objects of one component carry.

    :param more: further fields; ``labels`` are added to the component's. Fields without a value are left out.
    """
    labels = {**selector(name), **PART_OF, **more.pop("labels", {})}
    more = {key: value for key, value in more.items() if value}
    return {"name": name, **({"namespace": namespace} if namespace else {}), "labels": labels, **more}


def config_map(name: str, namespace: str, data: Mapping[str, str], **more: Any) -> dict[str, Any]:
    """A ConfigMap of text files."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(name, namespace, **more), "data": dict(data)}


def namespace(name: str, *, security: str = "restricted", **labels: str) -> dict[str, Any]:
    """A Namespace that enforces a pod security level and warns about anything below ``restricted``.

    :param security: ``restricted``, ``baseline`` or ``privileged``.
        https://kubernetes.io/docs/concepts/security/pod-security-standards/
    :param labels: further labels, such as ``istio-injection``; underscores in names become hyphens.
    """
    levels = {"pod-security.kubernetes.io/enforce": security, "pod-security.kubernetes.io/warn": "restricted"}
    further = {key.replace("_", "-"): value for key, value in labels.items()}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata(name, labels={**levels, **further})}
