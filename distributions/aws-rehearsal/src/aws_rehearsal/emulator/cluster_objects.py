"""The current objects of the clusters, from which the rehearsal determines what an update changed."""

import hashlib
import json
from typing import Any

from ministack.services import eks

from aws_rehearsal.emulator.eks_add_ons import administrator_of
from kubernetes_rehearsal.inventory import objects

_KEPT_BY_THE_SERVER = ("generation", "managedFields", "resourceVersion")
_MADE_BY_AUTOSCALERS = ("Node", "NodeClaim")
_LEADER = "control-plane.alpha.kubernetes.io/leader"
"""Annotation that the elected replica of a program renews every few seconds."""


def state() -> dict[str, dict[str, dict[str, Any]]]:
    """Cluster name to object, as ``Kind namespace/name``, to its ``uid``, ``generation`` and ``content``.

    The content is a checksum of the object without its status, without fields that the server maintains or that the
    leader of a program's replicas renews, and without the replicas of a workload that an autoscaler decides on. Nodes
    and objects that a controller made are omitted: a schedule or an autoscaler makes them at any time.
    """
    return {name: _objects(cluster) for (_, _, name), cluster in eks._clusters.all_items() if cluster.get("endpoint")}


def _objects(cluster: dict[str, Any]) -> dict[str, dict[str, Any]]:
    with administrator_of(cluster) as api:
        return _all_described(dict(objects(api)))


def _all_described(everything: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    autoscaled = {_target(found) for found in everything.values() if found["kind"] == "HorizontalPodAutoscaler"}
    return {
        name: _described({**found, "spec": {**found["spec"], "replicas": None}} if name in autoscaled else found)
        for name, found in everything.items()
        if found["kind"] not in _MADE_BY_AUTOSCALERS
        and not any(owner.get("controller") for owner in found["metadata"].get("ownerReferences") or [])
    }


def _target(autoscaler: dict[str, Any]) -> str:
    """The name of the workload whose replicas an autoscaler decides on."""
    target = autoscaler["spec"]["scaleTargetRef"]
    return f"{target['kind']} {autoscaler['metadata']['namespace']}/{target['name']}"


def _described(found: dict[str, Any]) -> dict[str, Any]:
    metadata = found["metadata"]
    written = {name: value for name, value in found.items() if name != "status"}
    written["metadata"] = {name: value for name, value in metadata.items() if name not in _KEPT_BY_THE_SERVER}
    if _LEADER in (annotations := metadata.get("annotations") or {}):
        written["metadata"]["annotations"] = {name: value for name, value in annotations.items() if name != _LEADER}
    content = hashlib.sha256(json.dumps(written, sort_keys=True).encode()).hexdigest()
    return {"uid": metadata["uid"], "generation": metadata.get("generation", 0), "content": content}
