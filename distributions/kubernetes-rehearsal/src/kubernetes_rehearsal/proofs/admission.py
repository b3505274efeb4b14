"""Proves admission by webhooks and pod security levels: valid objects are accepted, invalid ones are refused."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubernetes_rehearsal.client import ApiClient, ApiFailure
from kubernetes_rehearsal.objects import collection_of
from kubernetes_rehearsal.proofs.findings import Finding

_ENFORCED = "pod-security.kubernetes.io/enforce"
_DENIED = re.compile(r'admission webhook "(?P<name>[^"]+)" denied the request: ?(?P<words>.*)', re.DOTALL)

Object = dict[str, Any]


@dataclass(frozen=True)
class BadExample:
    """An object that a component must refuse.

    :param words: part of the component's message.
    """

    content: Mapping[str, Any]
    words: str


def check_webhooks(api: ApiClient, good: Iterable[Mapping[str, Any]], bad: Iterable[BadExample]) -> list[Finding]:
    """Offer examples to the API without storing them.

    The validation of the definition is the API's own, and is not sufficient: a webhook must refuse an invalid example.

    :param good: objects that must be accepted.
    :param bad: objects that must be refused by the component itself.
    """
    findings = []
    for example in good:
        if refusal := refused(api, example):
            findings.append(Finding(_name(example), f"a valid example is refused: {refusal}"))
    for wrong in bad:
        refusal = refused(api, wrong.content)
        denied = _DENIED.search(refusal)
        if not refusal:
            findings.append(Finding(_name(wrong.content), "an invalid example is accepted; its webhook is not called"))
        elif not denied:
            findings.append(
                Finding(_name(wrong.content), f"an invalid example is refused, but by no webhook: {refusal}")
            )
        elif wrong.words not in denied["words"]:
            findings.append(
                Finding(
                    _name(wrong.content), f"an invalid example is refused without {wrong.words!r}: {denied['words']}"
                )
            )
    return findings


def refused(api: ApiClient, example: Mapping[str, Any]) -> str:
    """Why the API refuses an object; empty if it would accept it. Nothing is stored."""
    try:
        api.request("POST", f"{collection_of(api, example)}?dryRun=All", dict(example))
    except ApiFailure as failure:
        return failure.message or str(failure)
    return ""


def check_pod_security(api: ApiClient, namespaces: Sequence[str]) -> list[Finding]:
    """Offer each namespace a pod that its enforced level forbids; it must be refused.

    :param namespaces: namespaces that must enforce a level. ``privileged`` forbids nothing, and counts as a level.
    """
    findings = []
    for namespace in namespaces:
        level = enforced_level(api, namespace)
        if level is None:
            findings.append(Finding(f"Namespace {namespace}", f"enforces no level; label it {_ENFORCED}"))
        elif level != "privileged":
            refusal = refused(api, _forbidden_pod(namespace, level))
            if "violates PodSecurity" not in refusal:
                said = refusal or "it is accepted"
                findings.append(
                    Finding(f"Namespace {namespace}", f"does not refuse a pod that {level} forbids: {said}")
                )
    return findings


def enforced_level(api: ApiClient, namespace: str) -> str | None:
    """The pod security level that a namespace says it enforces, or None."""
    labels = api.get(f"/api/v1/namespaces/{namespace}")["metadata"].get("labels") or {}
    level: str | None = labels.get(_ENFORCED)
    return level


def _forbidden_pod(namespace: str, level: str) -> Object:
    """A pod that a level forbids, and the next lower one allows."""
    container: Object = {"name": "forbidden", "image": "rehearsal.invalid/forbidden:1"}
    if level == "baseline":
        container["securityContext"] = {"privileged": True}
    metadata = {"name": "forbidden", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}


def _name(example: Mapping[str, Any]) -> str:
    metadata = example["metadata"]
    place = f"{metadata['namespace']}/" if "namespace" in metadata else ""
    return f"{example['kind']} {place}{metadata['name']}"
