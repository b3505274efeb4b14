"""ConfigMaps, Secrets, namespaces, quotas, priorities, leases."""

import base64
import json

from kubernetes_rehearsal.standin.errors import Object, Problems
from kubernetes_rehearsal.standin.formats import config_key, dns_subdomain, qualified_name, quantity
from kubernetes_rehearsal.standin.rules.common import amount, check_text, unchanged
from kubernetes_rehearsal.standin.rules.containers import resource_name

_MOST_BYTES = 1_048_576
_IMMUTABLE = "field is immutable when `immutable` is set"
_QUOTA_NAMES = {
    "configmaps", "cpu", "ephemeral-storage", "limits.cpu", "limits.ephemeral-storage", "limits.memory", "memory",
    "persistentvolumeclaims", "pods", "replicationcontrollers", "requests.cpu", "requests.ephemeral-storage",
    "requests.memory", "requests.storage", "resourcequotas", "secrets", "services", "services.loadbalancers",
    "services.nodeports",
}  # fmt: skip
_WHOLE = {name for name in _QUOTA_NAMES if not any(part in name for part in ("cpu", "memory", "storage"))}
_SCOPES = {
    "BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass", "Terminating",
    "VolumeAttributesClass",
}  # fmt: skip
_SECURITY_LEVELS = ["baseline", "privileged", "restricted"]
_HIGHEST_PRIORITY = 1_000_000_000


def config_map(found: Object, problems: Problems) -> None:
    """ConfigMap."""
    data, binary = found.get("data", {}), found.get("binaryData", {})
    for field, entries in (("data", data), ("binaryData", binary)):
        for key in entries:
            check_text(config_key, key, f"{field}[{key}]", problems)
    for key in data.keys() & binary.keys():
        problems.invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
    size = sum(len(value.encode()) for value in data.values()) + sum(_decoded_size(value) for value in binary.values())
    if size > _MOST_BYTES:
        problems.too_long("", _MOST_BYTES)


def secret(found: Object, problems: Problems) -> None:
    """Secret."""
    data = found.get("data", {})
    for key in data:
        check_text(config_key, key, f"data[{key}]", problems)
    if sum(_decoded_size(value) for value in data.values()) > _MOST_BYTES:
        problems.too_long("data", _MOST_BYTES)
    kind = found["type"]
    if kind == "kubernetes.io/service-account-token":
        name = "kubernetes.io/service-account.name"
        if not found["metadata"].get("annotations", {}).get(name):
            problems.required(f"metadata.annotations[{name}]")
    elif kind in ("kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson"):
        _docker(data, ".dockercfg" if kind.endswith("cfg") else ".dockerconfigjson", problems)
    elif kind == "kubernetes.io/basic-auth" and not data.keys() & {"username", "password"}:
        problems.required("data[username]")
        problems.required("data[password]")
    elif kind == "kubernetes.io/ssh-auth" and not data.get("ssh-privatekey"):
        problems.required("data[ssh-privatekey]")
    elif kind == "kubernetes.io/tls":
        for key in ("tls.crt", "tls.key"):
            if key not in data:
                problems.required(f"data[{key}]")


def _docker(data: dict[str, str], key: str, problems: Problems) -> None:
    if key not in data:
        problems.required(f"data[{key}]")
        return
    try:
        if not isinstance(json.loads(base64.b64decode(data[key])), dict):
            raise ValueError("not an object")
    except ValueError as error:
        problems.invalid(f"data[{key}]", "<secret contents redacted>", str(error))


def _decoded_size(value: str) -> int:
    return len(base64.b64decode(value))


def secret_change(found: Object, old: Object, problems: Problems) -> None:
    """A secret keeps its type, and all of it where it is immutable."""
    unchanged(found, old, ["type"], "", problems)
    immutable_change(found, old, problems)


def immutable_change(found: Object, old: Object, problems: Problems) -> None:
    """What is declared immutable stays."""
    if not old.get("immutable"):
        return
    if not found.get("immutable"):
        problems.forbidden("immutable", _IMMUTABLE)
    for name in ("data", "binaryData"):
        if found.get(name, {}) != old.get(name, {}):
            problems.forbidden(name, _IMMUTABLE)


def namespace(found: Object, problems: Problems) -> None:
    """Namespace: its labels for pod security."""
    for key, value in found["metadata"].get("labels", {}).items():
        prefix, _, mode = key.partition("/")
        if prefix != "pod-security.kubernetes.io":
            continue
        path = f"metadata.labels[{key}]"
        if mode in ("audit", "enforce", "warn") and value not in _SECURITY_LEVELS:
            problems.invalid(path, value, "must be one of privileged, baseline, restricted")
        elif mode.endswith("-version") and value != "latest" and not value.startswith("v1."):
            problems.invalid(path, value, 'must be "latest" or "v1.x"')


def resource_quota(found: Object, problems: Problems) -> None:
    """ResourceQuota."""
    spec = found.get("spec", {})
    for name, value in spec.get("hard", {}).items():
        path = f"spec.hard[{name}]"
        check_text(qualified_name, name, path, problems)
        if "/" not in name and name not in _QUOTA_NAMES and not name.startswith(("hugepages-", "requests.hugepages-")):
            problems.invalid(path, name, "must be a standard resource type or fully qualified")
            problems.invalid(path, name, "must be a standard resource for quota")
        number = amount(value, path, problems)
        if name in _WHOLE and number % 1:
            problems.invalid(path, str(value), "must be an integer")
    for scope in spec.get("scopes", []):
        if scope not in _SCOPES:
            problems.invalid("spec.scopes", spec["scopes"], "unsupported scope")
    for expression in spec.get("scopeSelector", {}).get("matchExpressions", []):
        _scope(expression, "spec.scopeSelector.matchExpressions", problems)


def _scope(expression: Object, path: str, problems: Problems) -> None:
    if expression.get("scopeName") not in _SCOPES:
        problems.invalid(f"{path}.scopeName", expression.get("scopeName", ""), "unsupported scope")
    operator, values = expression.get("operator", ""), expression.get("values", [])
    if operator in ("In", "NotIn"):
        if not values:
            problems.required(
                f"{path}.values", "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            )
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            problems.invalid(
                f"{path}.values",
                values,
                "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
            )
    else:
        problems.invalid(f"{path}.operator", operator, "not a valid selector operator")


def limit_range(found: Object, problems: Problems) -> None:
    """LimitRange."""
    seen = set()
    for index, limit in enumerate(found.get("spec", {}).get("limits", [])):
        path, kind = f"spec.limits[{index}]", limit.get("type", "")
        if kind not in ("Container", "PersistentVolumeClaim", "Pod") and "/" not in kind:
            problems.invalid(f"{path}.type", kind, "must be a standard limit type or fully qualified")
        if kind in seen:
            problems.duplicate(f"{path}.type", kind)
        seen.add(kind)
        if kind == "Pod":
            for name in ("default", "defaultRequest"):
                if limit.get(name):
                    problems.forbidden(f"{path}.{name}", "may not be specified when `type` is 'Pod'")
        if kind == "PersistentVolumeClaim" and not any("storage" in limit.get(name, {}) for name in ("min", "max")):
            problems.required(
                f"{path}.limits", "either minimum or maximum storage value is required, but neither was provided"
            )
        for field in ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio"):
            for name in limit.get(field, {}):
                _limit_name(kind, name, f"{path}.{field}[{name}]", problems)
        _ordered(limit, path, problems)


def _limit_name(kind: str, name: str, path: str, problems: Problems) -> None:
    if kind in ("Container", "Pod"):
        resource_name(name, path, problems)
    elif "/" not in name and name not in _QUOTA_NAMES | {"storage"}:
        problems.invalid(path, name, "must be a standard resource type or fully qualified")


def _ordered(limit: Object, path: str, problems: Problems) -> None:
    """Smallest to largest: min, default request, default limit, max."""
    for small, large in (
        ("min", "max"),
        ("min", "defaultRequest"),
        ("defaultRequest", "max"),
        ("defaultRequest", "default"),
        ("default", "max"),
    ):
        for name, value in limit.get(small, {}).items():
            other = limit.get(large, {}).get(name)
            if other is not None and (quantity(value) or 0) > (quantity(other) or 0):
                place = small if small != "min" or large == "max" else large
                problems.invalid(
                    f"{path}.{place}[{name}]",
                    str(value),
                    f"{small} value {value} is greater than {large} value {other}",
                )


def priority_class(found: Object, problems: Problems) -> None:
    """PriorityClass."""
    name, value = found["metadata"].get("name", ""), found["value"]
    if name.startswith("system-"):
        problems.forbidden(
            "metadata.name", "priority class names with 'system-' prefix are reserved for system use only"
        )
    elif value > _HIGHEST_PRIORITY:
        problems.forbidden("value", f"maximum allowed value of a user defined priority is {_HIGHEST_PRIORITY}")
    problems.one_of("preemptionPolicy", found["preemptionPolicy"], ["Never", "PreemptLowerPriority"])


def priority_class_change(found: Object, old: Object, problems: Problems) -> None:
    """Pods were admitted with the old value."""
    if found["value"] != old["value"]:
        problems.forbidden("value", "may not be changed in an update.")
    unchanged(found, old, ["preemptionPolicy"], "", problems)


def runtime_class(found: Object, problems: Problems) -> None:
    """RuntimeClass."""
    check_text(dns_subdomain, found.get("handler", ""), "handler", problems)


def lease(found: Object, problems: Problems) -> None:
    """Lease."""
    spec = found.get("spec", {})
    if spec.get("leaseDurationSeconds", 1) <= 0:
        problems.invalid("spec.leaseDurationSeconds", spec["leaseDurationSeconds"], "must be greater than 0")
    if spec.get("leaseTransitions", 0) < 0:
        problems.invalid("spec.leaseTransitions", spec["leaseTransitions"], "must be greater than or equal to 0")
