"""Judges changed Kubernetes objects by kind, field and, where it is known, direction."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from delivery.gate import kinds
from delivery.gate.changes import Difference, Place
from delivery.gate.decisions import worse_lines, worse_setting
from delivery.gate.findings import Verdict
from delivery.gate.immutable import quantity_of
from delivery.gate.structure import covers, leaves, names_of, structured
from delivery.gate.subjects import CHANGED, Subject
from delivery.gate.values import Value, text_of

WORKLOADS = frozenset(
    {"CronJob", "DaemonSet", "Deployment", "Job", "Pod", "ReplicaSet", "ReplicationController", "StatefulSet"}
)
_POD_SECURITY = "pod-security.kubernetes.io/enforce"
_LEVELS = ("", "privileged", "baseline", "restricted")
_SYSTEM = "mlplatform/system"
_MESH = frozenset({"istio-injection", "istio.io/rev", "istio.io/dataplane-mode"})
_PUBLIC = ("service.beta.kubernetes.io/aws-load-balancer-scheme", "alb.ingress.kubernetes.io/scheme")
_OF_POD = frozenset({"serviceAccountName", "serviceAccount", "securityContext", "shareProcessNamespace"})
_NODES = "nodes"
_ENTRIES = frozenset(
    {
        "GRPCRoute",
        "Gateway",
        "HTTPRoute",
        "Host",
        "Ingress",
        "Listener",
        "Mapping",
        "ReferenceGrant",
        "TCPMapping",
        "TCPRoute",
        "TLSRoute",
        "TargetGroupBinding",
    }
)
_GRANTED = {
    "Connector": "accounts of another provider may sign in",
    "OAuth2Client": "another program may sign people in",
    "Password": "another person may sign in",
    "PolicyException": "objects may come in that were refused",
    "Profile": "its owner may do more",
}
"""Why a new object of a kind widens permissions."""

Judged = tuple[Verdict, str]


def judge(old: dict[str, Any], new: dict[str, Any]) -> dict[Judged, list[Difference]]:
    """Changes for the worse, by verdict and reason. RBAC is judged separately."""
    found: dict[Judged, list[Difference]] = defaultdict(list)
    is_workload = new["kind"] in WORKLOADS
    judged = _judge_workload if is_workload else _judge_object
    spread = _spread if new["kind"] == "Namespace" else _itself
    for difference in leaves(_by_name(old), _by_name(new)) if is_workload else leaves(spread(old), spread(new)):
        for reason in judged(new["kind"], difference):
            found[reason].append(difference)
    return found


def _itself(body: dict[str, Any]) -> dict[str, Any]:
    return body


def _spread(body: dict[str, Any]) -> dict[str, Any]:
    """The same with labels, so that each of them differs by itself."""
    metadata = body.get("metadata", {})
    return {**body, "metadata": {**metadata, "labels": metadata.get("labels", {})}}


def opens(kind: str, body: dict[str, Any]) -> str:
    """Why a new object widens access or permissions, or nothing."""
    spec = body.get("spec", {})
    if kind == "Service" and _rank(spec.get("type")) > _rank("ClusterIP"):
        return "more may be reached"
    if kind in _ENTRIES or (kind == "VirtualService" and set(spec.get("gateways", ())) - {"mesh"}):
        return "more may be reached"
    return _GRANTED.get(kind, "")


def _quota(one: Difference, place: Place) -> Iterator[Judged]:
    """A limit that is raised or gone; one that is lowered or new refuses more."""
    before, after = (_bytes(text_of(value)) if value is not None else None for value in (one.before, one.after))
    if place[:2] != ("spec", "hard") or after is None or (before is not None and after > before):
        yield Verdict.WIDENING, "a namespace may use more"


def _bytes(quantity: str) -> float:
    """The number that a quantity stands for; one that is none counts as endless."""
    found = quantity_of(quantity)
    return float("inf") if found is None else found


def loosens(kind: str, added: dict[str, Any], others: Sequence[dict[str, Any]]) -> bool:
    """Whether a new policy allows traffic that the other policies of its namespace refused.

    Policies of both kinds are additive: traffic is allowed if one of them allows it.
    """
    key = {"NetworkPolicy": "podSelector", "AuthorizationPolicy": "selector"}.get(kind)
    spec = added.get("spec", {})
    if not key or spec.get("action", "ALLOW") != "ALLOW":
        return False
    same = [one.get("spec", {}) for one in others if one.get("spec", {}).get("action", "ALLOW") == "ALLOW"]
    return any(one.get(key, {}) in ({}, spec.get(key, {})) or spec.get(key, {}) == {} for one in same)


def _judge_object(kind: str, one: Difference) -> Iterator[Judged]:
    place = names_of(one.place)
    if kind == "ConfigMap":
        yield from _settings(one, place)
    elif kind == "ResourceQuota" and place[0] != "metadata":
        yield from _quota(one, place)
    elif kind == "Profile" and place[:2] == ("spec", "resourceQuotaSpec"):
        yield from _quota(one, ("spec", *place[2:]))
    elif kind == "ServiceAccount" and place == ("automountServiceAccountToken",):
        if why := worse_setting(place, one.before, one.after):
            yield Verdict.WIDENING, why
    elif kind == "Telemetry" and place[-2:] == ("filter", "expression") and one.after is None:
        return  # it records more
    elif kind == "Namespace":
        yield from _namespace(one, place)
    elif kind in ("Service", "Ingress") and place[:2] == ("metadata", "annotations"):
        yield from _annotation(one, place)
    elif kind == "Service" and place == ("spec", "type"):
        if _rank(one.after) > _rank(one.before):
            yield Verdict.WIDENING, "it accepts more traffic"
    elif kind == "Service" and place == ("spec", "loadBalancerSourceRanges"):
        if one.after is None or not covers(one.before, one.after):
            yield Verdict.WIDENING, "it accepts more traffic"
    else:
        subject = kinds.subject_at(kind, place)
        if subject == _NODES:
            if why := worse_setting(place, one.before, one.after):
                yield Verdict.WIDENING, why
        elif kind != "Secret" and subject and Subject(subject) in CHANGED:
            yield CHANGED[Subject(subject)]


def _judge_workload(kind: str, one: Difference) -> Iterator[Judged]:
    place = names_of(one.place)
    below = place[_depth(place) :]
    if not below or below == place:
        return
    for part in ("env", "args", "command"):
        if part in below[:-1]:
            name = below[below.index(part) + 1]
            if why := worse_setting((name,), one.before, one.after):
                yield Verdict.WIDENING, why
            return
    if one.after is not None and (below[-1:] == ("hostPort",) or (below[-1:] == ("ports",) and _host_ports(one))):
        yield Verdict.WIDENING, "a port of the node leads to it"
    elif below == ("runtimeClassName",):
        yield Verdict.WIDENING, "its pods are confined by another runtime, or by none"
    elif "hostPath" in below or below[:1] == ("volumes",):
        if _host_paths(one.after, below) - _host_paths(one.before, below):
            yield Verdict.WIDENING, "pods have access to other files of their node"
    elif not _OF_POD.isdisjoint(below) or below[-1:] in {("hostNetwork",), ("hostPID",), ("hostIPC",)}:
        if below[0] in ("serviceAccountName", "serviceAccount"):
            yield Verdict.WIDENING, "its pods have the permissions of another service account"
        elif why := worse_setting(below, one.before, one.after):
            yield Verdict.WIDENING, why
    elif below[-1] == "automountServiceAccountToken" and (why := worse_setting(below, one.before, one.after)):
        yield Verdict.WIDENING, why


def _host_ports(one: Difference) -> bool:
    ports = one.after.values() if isinstance(one.after, dict) else one.after or ()
    return any(isinstance(port, dict) and "hostPort" in port for port in ports)


def _depth(place: Place) -> int:
    """The depth of the pod specification in a place; 0 if the place is not within it."""
    for lead in (("spec", "template", "spec"), ("spec", "jobTemplate", "spec", "template", "spec")):
        if place[: len(lead)] == lead:
            return len(lead)
    return 1 if place[:1] == ("spec",) and place[1:2] in (("containers",), ("volumes",), ("serviceAccountName",)) else 0


def _by_name(value: Any, key: str = "") -> Any:
    """The value with lists of named items, and of arguments such as ``--log=debug``, as maps."""
    if isinstance(value, dict):
        return {name: _by_name(item, name) for name, item in value.items()}
    if not isinstance(value, list):
        return value
    if key in ("args", "command") and all(isinstance(item, str) for item in value):
        flags = (item.lstrip("-").partition("=") for item in value)
        return {name: setting for name, _, setting in flags}
    names = [item.get("name") for item in value if isinstance(item, dict)]
    if value and len(names) == len(value) == len(set(names) - {None}):
        return {item["name"]: _by_name({k: v for k, v in item.items() if k != "name"}) for item in value}
    return [_by_name(item) for item in value]


def _settings(one: Difference, place: Place) -> Iterator[Judged]:
    """A setting of a ConfigMap, or the changed lines of a file in it."""
    if place[:1] not in (("data",), ("binaryData",)):
        return
    before, after = (structured(value) if value is not None else "" for value in (one.before, one.after))
    if isinstance(before, str) and isinstance(after, str) and ("\n" in before or "\n" in after):
        if lines := list(worse_lines(before, after)):
            yield Verdict.WIDENING, f"its line {lines[0][:60]!r} seems to control access"
        return
    for inner in leaves(before, after, place[1:]):
        if why := worse_setting(names_of(inner.place), inner.before, inner.after):
            yield Verdict.WIDENING, why
            return


def _namespace(one: Difference, place: Place) -> Iterator[Judged]:
    label = place[-1] if place[:2] == ("metadata", "labels") else ""
    old, new = (text_of(value) if value is not None else "" for value in (one.before, one.after))
    if label == _POD_SECURITY and (new not in _LEVELS or _LEVELS.index(new) < _LEVELS.index(old)):
        yield Verdict.WIDENING, "pods that were refused may be admitted"
    if label == _SYSTEM and new == "true":
        yield Verdict.WIDENING, "admission policies no longer apply to its pods"
    if label in _MESH and old and old != new and new in ("", "disabled", "none"):
        yield Verdict.WIDENING, "its pods leave the mesh, with its encryption and its policies"


def _annotation(one: Difference, place: Place) -> Iterator[Judged]:
    if place[-1] in _PUBLIC and one.after == "internet-facing":
        yield Verdict.WIDENING, "the internet reaches it"
    elif worse_setting((place[-1].rpartition("/")[2],), one.before, one.after) and place[-1] not in _PUBLIC:
        yield Verdict.WIDENING, "it controls access to the load balancer"


def _rank(type: Value | None) -> int:
    order = ["ExternalName", "ClusterIP", "NodePort", "LoadBalancer"]
    word = text_of(type) if type is not None else "ClusterIP"
    return order.index(word) if word in order else len(order)


def _host_paths(value: Value | None, below: Place) -> set[str]:
    if isinstance(value, list):
        return {path for item in value for path in _host_paths(item, below)}
    if isinstance(value, dict):
        held = value.get("hostPath")
        return {text_of(held.get("path", ""))} if isinstance(held, dict) else set()
    return {text_of(value)} if value is not None and below[-2:] == ("hostPath", "path") else set()
