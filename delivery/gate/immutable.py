"""Changes of Kubernetes objects that the API server refuses: ``immutable.toml``, and rules that compare values."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from delivery.gate.changes import Difference, Place

_TABLE = tomllib.loads(Path(__file__).with_name("immutable.toml").read_text(encoding="utf-8"))
_FIELDS: dict[str, tuple[Place, ...]] = {
    kind: tuple(tuple(field.split(".")) for field in fields.split()) for kind, fields in _TABLE["fields"].items()
}
_MUTABLE: dict[str, tuple[Place, ...]] = {
    kind: tuple(tuple(field.split(".")) for field in fields.split()) for kind, fields in _TABLE["all-but"].items()
}
_INSTEAD: dict[str, str] = _TABLE["instead"]
_SUFFIXES = {"": 1, "m": 0.001, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15} | {
    f"{letter}i": 1024**power for power, letter in enumerate("KMGTP", start=1)
}
_QUANTITY = re.compile(r"([0-9.]+)([A-Za-z]*)")
_BALANCED = ("LoadBalancer", "NodePort")


def why_refused(
    old: dict[str, Any], new: dict[str, Any], found: Sequence[Difference], others: Sequence[Mapping[str, Any]] = ()
) -> str:
    """Each change that the API server refuses, with what works instead.

    :param others: all objects of the cluster, of which storage classes and volumes decide whether a claim may grow.
    """
    kind = new["kind"]
    for one in found:
        if _is_immutable(kind, one, old):
            return _words(kind, ".".join(one.place))
    reasons = {
        "CustomResourceDefinition": _stored_version,
        "PersistentVolumeClaim": lambda old, new: _resized_claim(old, new, others),
        "Pod": _fewer_tolerations,
        "Service": _service,
    }
    return next(reasons[kind](old, new), "") if kind in reasons else ""


def _is_immutable(kind: str, one: Difference, old: dict[str, Any]) -> bool:
    place = one.place
    if any(place[: len(field)] == field for field in _FIELDS.get(kind, ())):
        return not (_is_suspended(kind, old) and place[:3] == ("spec", "template", "metadata"))
    if kind in _MUTABLE and place[0] == "spec":
        below = tuple("0" if name.isdigit() else name for name in place[1:])
        return not any(below[: len(field)] == field for field in _MUTABLE[kind])
    is_sealed = kind in ("ConfigMap", "Secret") and bool(old.get("immutable"))
    return is_sealed and place[0] in ("data", "stringData", "binaryData", "immutable")


def _is_suspended(kind: str, body: dict[str, Any]) -> bool:
    """Whether a job is suspended: labels and annotations of its pods may change until it starts."""
    return kind == "Job" and bool(body.get("spec", {}).get("suspend"))


def _stored_version(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    names = {one["name"] for one in new.get("spec", {}).get("versions", ())}
    for one in old.get("spec", {}).get("versions", ()):
        if one.get("storage") and one["name"] not in names:
            yield (
                f"objects are stored as {one['name']}, so the API refuses a definition without it; keep the version "
                f"with served: false and storage: false, rewrite every object, and remove {one['name']} from "
                "status.storedVersions before you remove the version"
            )


def _resized_claim(old: dict[str, Any], new: dict[str, Any], others: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """https://kubernetes.io/docs/concepts/storage/persistent-volumes/#expanding-persistent-volumes-claims"""
    before, after = (
        one.get("spec", {}).get("resources", {}).get("requests", {}).get("storage", "") for one in (old, new)
    )
    old_size, new_size = (quantity_of(str(one)) for one in (before, after))
    if old_size and new_size and new_size < old_size:
        yield f"a claim can only grow, not from {before} to {after}; {_INSTEAD['PersistentVolumeClaim']}"
    if old_size and new_size and new_size > old_size and not _is_expandable(new.get("spec", {}), others):
        yield (
            f"a claim grows from {before} to {after} only if a storage class with allowVolumeExpansion provisioned its "
            "volume; keep its size, or set allowVolumeExpansion in a deployment before; "
            f"{_INSTEAD['PersistentVolumeClaim']}"
        )


def _is_expandable(claim: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the volume of a claim may grow. A class that no template has is taken for one that lets it grow."""
    name = claim.get("storageClassName")
    of_class = [one for one in others if one["kind"] == "StorageClass" and one["metadata"].get("name") == name]
    if of_class:
        return str(of_class[0].get("allowVolumeExpansion", "")).lower() == "true"
    volumes = [one.get("spec", {}) for one in others if one["kind"] == "PersistentVolume"]
    return name != "" and not any(one.get("storageClassName") == name for one in volumes if name)


def _fewer_tolerations(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    before, after = (one.get("spec", {}).get("tolerations", []) for one in (old, new))
    if any(one not in after for one in before):
        yield f"tolerations of a Pod can only be added; {_INSTEAD['Pod']}"


def _service(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """https://kubernetes.io/docs/reference/kubernetes-api/service-resources/service-v1/#ServiceSpec"""
    before, after = (one.get("spec", {}) for one in (old, new))
    types = before.get("type", "ClusterIP"), after.get("type", "ClusterIP")
    is_headless = "None" in (before.get("clusterIP"), after.get("clusterIP"))
    external = "ExternalName" in types
    if types[1] in _BALANCED and is_headless and before != after:
        yield f"a headless Service cannot become a {types[1]}; give the Service another name"
    address = after.get("clusterIP")
    if not external and address and address != before.get("clusterIP"):
        yield _words("Service", "spec.clusterIP")
    if types[1] == "ExternalName" and not after.get("externalName"):
        yield "an ExternalName needs spec.externalName; add it"
    if "loadBalancerClass" in after and types[1] != "LoadBalancer":
        yield "spec.loadBalancerClass is for a LoadBalancer only; remove it with the type"
    families = before.get("ipFamilies"), after.get("ipFamilies")
    if not external and all(families) and families[0][0] != families[1][0]:
        yield _words("Service", "the first of spec.ipFamilies")
    is_balanced = types == ("LoadBalancer", "LoadBalancer")
    if is_balanced and before.get("loadBalancerClass") != after.get("loadBalancerClass"):
        yield _words("Service", "spec.loadBalancerClass")


def quantity_of(text: str) -> float | None:
    """The number that a quantity such as ``10Gi`` or ``500m`` stands for; None where it is none."""
    match = _QUANTITY.fullmatch(text)
    return float(match.group(1)) * _SUFFIXES[match.group(2)] if match and match.group(2) in _SUFFIXES else None


def _words(kind: str, place: str) -> str:
    return f"{place} of a {kind} is immutable; {_INSTEAD.get(kind, 'give the object another name')}"
