"""Judges Kubernetes objects in all templates of an account."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from delivery.gate import kinds, rbac
from delivery.gate.changes import Difference, differences
from delivery.gate.findings import Finding, Verdict
from delivery.gate.immutable import why_refused
from delivery.gate.objects import judge as judge_object
from delivery.gate.objects import loosens, opens
from delivery.gate.shown import shown
from delivery.gate.templates import Resource, Side
from delivery.gate.values import text_of

MANIFEST = "Custom::AWSCDK-EKS-KubernetesResource"
_HOLD_DATA = {
    "CustomResourceDefinition": "every object of its kind is deleted with it",
    "Namespace": "everything in it is deleted with it, including volumes",
    "PersistentVolume": "its target is no longer found",
    "PersistentVolumeClaim": "its volume is deleted if the storage class does not retain it",
    "Profile": "its namespace is deleted with it, and everything in it, including volumes",
    "Secret": "its data is lost unless another copy exists",
}
_GUARDS = {
    "AuthorizationPolicy": "requests that were refused may pass",
    "EnvoyFilter": "requests that it checked or refused may pass",
    "LimitRange": "pods may request more",
    "MutatingWebhookConfiguration": "objects are no longer mutated at admission",
    "NetworkPolicy": "traffic that was refused may pass",
    "PeerAuthentication": "traffic without encryption or authentication may pass",
    "RequestAuthentication": "tokens that were refused may pass",
    "ValidatingAdmissionPolicy": "objects may come in that were refused",
    "ValidatingAdmissionPolicyBinding": "objects may come in that were refused",
    "ValidatingWebhookConfiguration": "objects may come in that were refused",
}
_RUNNING = frozenset(
    {
        "DaemonSet",
        "Deployment",
        "GRPCRoute",
        "Gateway",
        "HTTPRoute",
        "Host",
        "InferenceService",
        "Ingress",
        "Listener",
        "Mapping",
        "SeldonDeployment",
        "Service",
        "StatefulSet",
        "TCPMapping",
        "TargetGroupBinding",
        "VirtualService",
    }
)
_RECORDERS = frozenset({"Alertmanager", "Prometheus"})
_UNKNOWN = "delivery/gate/kinds.toml does not contain the kind; add it there, or review and approve the change"
_RBAC = frozenset({"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"})


@dataclass(frozen=True)
class Delivered:
    """One object and the request that applies it."""

    cluster: str
    name: str
    body: dict[str, Any]
    by: Resource

    @property
    def kind(self) -> str:
        return str(self.body["kind"])

    def finding(self, verdict: Verdict, what: str, why: str = "", *, stops: bool = False) -> Finding:
        path = self.by.path.rpartition("/")[0] or self.by.path
        return Finding(self.by.stack, f"{path} {self.name}", self.name, self.kind, verdict, what, why, stops)


Objects = dict[tuple[str, str], Delivered]


def judge(before: Side, after: Side) -> Iterator[Finding]:
    """Findings for the objects of clusters that both sides have, regardless of the request that applies them."""
    old, new = objects(before), objects(after)
    clusters = {cluster for cluster, _ in old}
    for key in old.keys() - new.keys():
        yield _removed(old[key])
    for key in new.keys() - old.keys():
        if key[0] in clusters:
            yield _added(new[key], old)
    for key in old.keys() & new.keys():
        if old[key].body != new[key].body:
            yield from _changed(old[key], new[key], [one.body for of, one in old.items() if of[0] == key[0]])
    for cluster in clusters & {cluster for cluster, _ in new}:
        yield from _permissions(cluster, old, new)


def objects(side: Side) -> Objects:
    """Every object by cluster and ``Kind/namespace/name``."""
    found: Objects = {}
    for resource in side.resources():
        if resource.type != MANIFEST:
            continue
        cluster = side.resolved(resource.stack, text_of(resource.properties.get("ClusterName", "")))
        manifest = resource.properties.get("Manifest", "[]")
        bodies = json.loads(side.resolved(resource.stack, manifest)) if isinstance(manifest, str) else manifest
        for body in bodies if isinstance(bodies, list) else [bodies]:
            one = Delivered(cluster, _name(body), body, resource)
            found[cluster, one.name] = one
    return found


def _name(body: dict[str, Any]) -> str:
    metadata = body.get("metadata", {})
    return "/".join(part for part in (body["kind"], metadata.get("namespace"), metadata.get("name")) if part)


def _added(one: Delivered, old: Objects) -> Finding:
    if not kinds.subject_of(one.kind):
        return one.finding(Verdict.UNJUDGED, "new", _UNKNOWN, stops=True)
    namespace = one.body.get("metadata", {}).get("namespace")
    others = [
        other.body
        for (cluster, _), other in old.items()
        if (cluster, other.kind) == (one.cluster, one.kind) and other.body["metadata"].get("namespace") == namespace
    ]
    if loosens(one.kind, one.body, others):
        why = "it allows traffic regardless of the other policies of its namespace"
        return one.finding(Verdict.WIDENING, "new", why, stops=True)
    if why := opens(one.kind, one.body):
        return one.finding(Verdict.WIDENING, "new", why, stops=True)
    return one.finding(Verdict.SAFE, "new")


def _removed(one: Delivered) -> Finding:
    if why := _HOLD_DATA.get(one.kind):
        return one.finding(Verdict.DATA_LOSING, "removed", why, stops=True)
    if why := _GUARDS.get(one.kind, "it may use more" if one.kind == "ResourceQuota" else ""):
        return one.finding(Verdict.WIDENING, "removed", why, stops=True)
    if one.kind in _RUNNING:
        return one.finding(Verdict.INTERRUPTING, "removed", "its clients get no response any more")
    subject = kinds.subject_of(one.kind)
    if not subject:
        return one.finding(Verdict.UNJUDGED, "removed", _UNKNOWN, stops=True)
    if subject == "record" or one.kind in _RECORDERS:
        return one.finding(Verdict.DATA_LOSING, "removed", "it no longer records events", stops=True)
    if subject == "protection":
        return one.finding(Verdict.WIDENING, "removed", "what it refused may pass", stops=True)
    return one.finding(Verdict.SAFE, "removed")


def _changed(old: Delivered, new: Delivered, others: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    """:param others: the objects that the cluster has before the change."""
    found = tuple(differences(old.body, new.body))
    what = "; ".join(_shown(new, one) for one in found[:3])
    if not kinds.subject_of(new.kind):
        yield new.finding(Verdict.UNJUDGED, what, _UNKNOWN, stops=True)
    elif why := why_refused(old.body, new.body, found, others):
        yield new.finding(Verdict.FAILING, what, why, stops=True)
    elif new.kind in _GUARDS and any(one.place[0] != "metadata" for one in found):
        why = f"{_GUARDS[new.kind]}; the direction of the change is unknown"
        yield new.finding(Verdict.WIDENING, what, why, stops=True)
    elif worse := judge_object(old.body, new.body):
        for (verdict, reason), those in worse.items():
            words = "; ".join(_shown(new, one) for one in those[:3])
            yield new.finding(verdict, words, reason, stops=True)
    elif new.kind == "CustomResourceDefinition" and (gone := _versions(old.body) - _versions(new.body)):
        why = f"objects stored as {', '.join(sorted(gone))} can no longer be read"
        yield new.finding(Verdict.DATA_LOSING, what, why, stops=True)
    elif _ends(old.body, new.body):
        yield new.finding(Verdict.INTERRUPTING, what, "nothing of it runs any more")
    elif any(one.place[:2] == ("spec", "template") for one in found) and _is_alone(new.body):
        yield new.finding(Verdict.INTERRUPTING, what, "its only pod is replaced")
    else:
        yield new.finding(Verdict.SAFE, what)


def _permissions(cluster: str, old: Objects, new: Objects) -> Iterator[Finding]:
    before = rbac.permissions([one.body for key, one in old.items() if key[0] == cluster and one.kind in _RBAC])
    objects_after = [one for key, one in new.items() if key[0] == cluster and one.kind in _RBAC]
    after = rbac.permissions([one.body for one in objects_after])
    by_name = {one.name: one for one in objects_after}
    for subject, permissions in after.items():
        more = rbac.widened(before.get(subject, ()), permissions)
        for permission in more:
            speaker = by_name.get(permission.binding)
            if speaker:
                what = f"{subject} {permission}"
                yield speaker.finding(Verdict.WIDENING, what, "it has more permissions in the cluster", stops=True)


def _shown(one: Delivered, difference: Difference) -> str:
    if one.kind in ("Secret", "SecretProviderClass") and difference.place[0] != "metadata":
        return f"{'.'.join(difference.place)}: (hidden)"
    return shown(difference)


def _versions(definition: dict[str, Any]) -> set[str]:
    return {one["name"] for one in definition.get("spec", {}).get("versions", ()) if one.get("served", True)}


def _ends(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether a workload is scaled to zero, or no longer started."""
    before, after = (one.get("spec", {}) for one in (old, new))
    is_stopped = text_of(after.get("replicas", "1")) == "0" != text_of(before.get("replicas", "1"))
    is_suspended = (
        text_of(after.get("suspend", "false")).lower() == "true" != text_of(before.get("suspend", "")).lower()
    )
    return is_stopped or is_suspended


def _is_alone(body: dict[str, Any]) -> bool:
    """Whether a workload has one pod, or replaces all pods at once."""
    spec = body.get("spec", {})
    recreated = spec.get("strategy", {}).get("type") == "Recreate"
    return recreated or (body["kind"] in ("Deployment", "StatefulSet") and spec.get("replicas", 1) == 1)
