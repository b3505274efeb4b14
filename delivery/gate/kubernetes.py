"""Judges Kubernetes objects, wherever in an account's templates they are delivered."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from delivery.gate import rbac
from delivery.gate.changes import Difference, differences
from delivery.gate.findings import Finding, Verdict
from delivery.gate.immutable import why_immutable
from delivery.gate.shown import shown
from delivery.gate.templates import Resource, Side
from delivery.gate.values import text_of

MANIFEST = "Custom::AWSCDK-EKS-KubernetesResource"
_HOLD_DATA = {
    "CustomResourceDefinition": "every object of its kind is deleted with it",
    "Namespace": "everything in it is deleted with it, volumes included",
    "PersistentVolume": "what it points to is no longer found",
    "PersistentVolumeClaim": "its volume is deleted where the storage class says so",
    "Secret": "what only it holds is lost",
}
_GUARDS = {
    "AuthorizationPolicy": "requests may pass that were refused",
    "LimitRange": "pods may ask for more",
    "MutatingWebhookConfiguration": "objects are no longer changed on their way in",
    "NetworkPolicy": "traffic may pass that was refused",
    "PeerAuthentication": "traffic may pass that is not encrypted or proved",
    "RequestAuthentication": "tokens may pass that were refused",
    "ResourceQuota": "a namespace may use more",
    "ValidatingAdmissionPolicy": "objects may come in that were refused",
    "ValidatingAdmissionPolicyBinding": "objects may come in that were refused",
    "ValidatingWebhookConfiguration": "objects may come in that were refused",
}
_RUNNING = frozenset({"DaemonSet", "Deployment", "Gateway", "Ingress", "Service", "StatefulSet"})
_POD_SECURITY = "pod-security.kubernetes.io/enforce"
_POD_SECURITY_LEVELS = ("", "privileged", "baseline", "restricted")
_RBAC = frozenset({"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"})


@dataclass(frozen=True)
class Delivered:
    """One object and the request that brings it."""

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
    """Findings for the objects of clusters that both sides have, whichever request brings them."""
    old, new = objects(before), objects(after)
    clusters = {cluster for cluster, _ in old}
    for key in old.keys() - new.keys():
        yield _removed(old[key])
    for key in new.keys() - old.keys():
        if key[0] in clusters:
            yield new[key].finding(Verdict.SAFE, "new")
    for key in old.keys() & new.keys():
        if old[key].body != new[key].body:
            yield from _changed(old[key], new[key])
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


def _removed(one: Delivered) -> Finding:
    if why := _HOLD_DATA.get(one.kind):
        return one.finding(Verdict.DATA_LOSING, "removed", why, stops=True)
    if why := _GUARDS.get(one.kind):
        return one.finding(Verdict.WIDENING, "removed", why, stops=True)
    if one.kind in _RUNNING:
        return one.finding(Verdict.INTERRUPTING, "removed", "whoever calls it gets no answer any more")
    return one.finding(Verdict.SAFE, "removed")


def _changed(old: Delivered, new: Delivered) -> Iterator[Finding]:
    found = tuple(differences(old.body, new.body))
    what = "; ".join(_shown(new, one) for one in found[:3])
    if why := why_immutable(old.body, new.body, found):
        yield new.finding(Verdict.REPLACING, what, why, stops=True)
    elif new.kind in _GUARDS and any(one.place[0] != "metadata" for one in found):
        yield new.finding(Verdict.WIDENING, what, f"{_GUARDS[new.kind]}; no comparison tells", stops=True)
    elif _less_secure(old.body, new.body):
        why = "pods may come in that were refused"
        yield new.finding(Verdict.WIDENING, what, why, stops=True)
    elif new.kind == "CustomResourceDefinition" and (gone := _versions(old.body) - _versions(new.body)):
        why = f"objects stored as {', '.join(sorted(gone))} can no longer be read"
        yield new.finding(Verdict.DATA_LOSING, what, why, stops=True)
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
                yield speaker.finding(Verdict.WIDENING, what, "it may do more in the cluster", stops=True)


def _shown(one: Delivered, difference: Difference) -> str:
    if one.kind in ("Secret", "SecretProviderClass") and difference.place[0] != "metadata":
        return f"{'.'.join(difference.place)}: (hidden)"
    return shown(difference)


def _less_secure(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether a namespace lets in pods of a level below that of before."""
    levels = [body.get("metadata", {}).get("labels", {}).get(_POD_SECURITY, "") for body in (old, new)]
    if old["kind"] != "Namespace" or any(level not in _POD_SECURITY_LEVELS for level in levels):
        return False
    return _POD_SECURITY_LEVELS.index(levels[1]) < _POD_SECURITY_LEVELS.index(levels[0])


def _versions(definition: dict[str, Any]) -> set[str]:
    return {one["name"] for one in definition.get("spec", {}).get("versions", ()) if one.get("served", True)}


def _is_alone(body: dict[str, Any]) -> bool:
    """Whether a workload has one pod, or replaces all at once."""
    spec = body.get("spec", {})
    recreated = spec.get("strategy", {}).get("type") == "Recreate"
    return recreated or (body["kind"] in ("Deployment", "StatefulSet") and spec.get("replicas", 1) == 1)
