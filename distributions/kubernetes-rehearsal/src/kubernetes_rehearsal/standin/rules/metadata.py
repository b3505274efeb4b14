"""Names, labels, annotations and owners of any object."""

from kubernetes_rehearsal.standin.errors import Object, Problems
from kubernetes_rehearsal.standin.formats import (
    dns_1035_label,
    dns_label,
    dns_subdomain,
    path_segment,
    qualified_name,
)
from kubernetes_rehearsal.standin.rules.common import Form, check_text, labels

_MOST_ANNOTATION_BYTES = 262_144
_NAME_FORMS: dict[str, Form] = {
    "APIService": path_segment,
    "ClusterRole": path_segment,
    "ClusterRoleBinding": path_segment,
    "Namespace": dns_label,
    "PodDisruptionBudget": path_segment,
    "Role": path_segment,
    "RoleBinding": path_segment,
    "Service": dns_1035_label,
    "StatefulSet": dns_label,
}


def metadata(found: Object, namespaced: bool, problems: Problems) -> None:
    """Everything below ``metadata`` when the object is created."""
    meta = found["metadata"]
    name = meta.get("name", "")
    if not name:
        problems.required("metadata.name", "name or generateName is required")
    else:
        check_text(_NAME_FORMS.get(found["kind"], dns_subdomain), name, "metadata.name", problems)
    if not namespaced and meta.get("namespace"):
        problems.forbidden("metadata.namespace", "not allowed on this type")
    changeable_metadata(found, problems)


def changeable_metadata(found: Object, problems: Problems) -> None:
    """What may change below ``metadata``."""
    meta = found["metadata"]
    labels(meta.get("labels", {}), "metadata.labels", problems)
    size = 0
    for key, value in meta.get("annotations", {}).items():
        check_text(qualified_name, key.lower(), "metadata.annotations", problems)
        size += len(key.encode()) + len(value.encode())
    if size > _MOST_ANNOTATION_BYTES:
        problems.too_long("metadata.annotations", _MOST_ANNOTATION_BYTES)
    for index, owner in enumerate(meta.get("ownerReferences", [])):
        path = f"metadata.ownerReferences[{index}]"
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                problems.invalid(f"{path}.{field}", owner.get(field, ""), f"{field} must not be empty")
    for index, finalizer in enumerate(meta.get("finalizers", [])):
        check_text(qualified_name, finalizer, f"metadata.finalizers[{index}]", problems)
