"""A Kubernetes object and its key."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from .tokens import without_numbers
from .waves import Wave

CRD = "CustomResourceDefinition"
CLUSTER_SCOPED = frozenset(
    [
        "APIService",
        "CSIDriver",
        "CSINode",
        "CertificateSigningRequest",
        "ClusterRole",
        "ClusterRoleBinding",
        "ClusterTrustBundle",
        "CustomResourceDefinition",
        "DeviceClass",
        "DeviceTaintRule",
        "FlowSchema",
        "IPAddress",
        "IngressClass",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Node",
        "PersistentVolume",
        "PriorityClass",
        "PriorityLevelConfiguration",
        "ResourceSlice",
        "RuntimeClass",
        "ServiceCIDR",
        "StorageClass",
        "StorageVersion",
        "StorageVersionMigration",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
        "VolumeAttachment",
        "VolumeAttributesClass",
    ]
)
"""Built-in kinds that are not namespaced; the schemas do not contain their scope.

https://kubernetes.io/docs/reference/kubernetes-api/
"""


@dataclass(frozen=True, order=True, slots=True)
class Key:
    """The identity of an object, without the version of its kind."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    def place(self) -> str:
        """A 256-bit hash of the key, which spreads objects evenly."""
        identity = without_numbers(json.dumps([self.group, self.kind, self.namespace, self.name]))
        return f"{int.from_bytes(sha256(identity.encode()).digest(), 'big'):0256b}"


@dataclass(frozen=True, slots=True)
class KubernetesObject:
    """One object of a set.

    - ``body``: the mapping from the chart. It is shared with the chart and never modified.
    - ``key``: has no namespace if the kind is not namespaced, because the API server ignores that field.
    """

    body: Mapping[str, Any]
    key: Key
    wave: Wave

    @property
    def api_version(self) -> str:
        return str(self.body["apiVersion"])


def group_of(api_version: str) -> str:
    """``apps`` for ``apps/v1``, and an empty string for ``v1``."""
    return api_version.rpartition("/")[0]


def unusable(body: Any) -> str | None:
    """Why a body cannot be applied, or None if it can."""
    if not isinstance(body, Mapping):
        return f"an object must be a mapping, got {body!r:.60}"
    for field in ("apiVersion", "kind"):
        if not isinstance(body.get(field), str) or not body[field]:
            return f"{field}: required text, got {body.get(field)!r:.60} in {dict(body)!r:.120}"
    kind, metadata = body["kind"], body.get("metadata")
    if kind.endswith("List") and "items" in body:
        return f"{kind}: pass its items instead"
    if not isinstance(metadata, Mapping):
        return f"{kind}: metadata: required, got {metadata!r:.60}"
    if "generateName" in metadata:
        return (
            f"{kind} {metadata['generateName']}: metadata.generateName: the object could not be updated or deleted; "
            "set metadata.name"
        )
    if not isinstance(metadata.get("name"), str) or not metadata["name"]:
        return f"{kind}: metadata.name: required text, got {metadata.get('name')!r:.60}"
    return None


def part(value: Mapping[str, Any], *fields: str) -> Mapping[str, Any]:
    """The mapping at a path of fields; empty if a field is absent or is a token, which cannot be read."""
    for field in fields:
        inner = value.get(field)
        value = inner if isinstance(inner, Mapping) else {}
    return value


def each(value: Mapping[str, Any], field: str) -> list[Mapping[str, Any]]:
    """The mappings in a list."""
    return [one for one in value.get(field) or () if isinstance(one, Mapping)]
