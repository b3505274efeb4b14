"""The current objects of the clusters, from which the rehearsal determines what an update changed."""

import hashlib
import json
from typing import Any

from ministack.services import eks

from aws_rehearsal.emulator.eks_add_ons import administrator_of
from kubernetes_rehearsal.inventory import objects

_KEPT_BY_THE_SERVER = ("generation", "managedFields", "resourceVersion")
_LEADER = "control-plane.alpha.kubernetes.io/leader"
"""Annotation that the elected replica of a program renews every few seconds."""


def state() -> dict[str, dict[str, dict[str, Any]]]:
    """Cluster name to object, as ``Kind namespace/name``, to its ``uid``, ``generation`` and ``content``.

    The content is a checksum of the object without its status and without fields that the server maintains or that
    the leader of a program's replicas renews.
    """
    return {name: _objects(cluster) for (_, _, name), cluster in eks._clusters.all_items() if cluster.get("endpoint")}


def _objects(cluster: dict[str, Any]) -> dict[str, dict[str, Any]]:
    with administrator_of(cluster) as api:
        return {name: _described(found) for name, found in objects(api)}


def _described(found: dict[str, Any]) -> dict[str, Any]:
    metadata = found["metadata"]
    written = {name: value for name, value in found.items() if name != "status"}
    written["metadata"] = {name: value for name, value in metadata.items() if name not in _KEPT_BY_THE_SERVER}
    if _LEADER in (annotations := metadata.get("annotations") or {}):
        written["metadata"]["annotations"] = {name: value for name, value in annotations.items() if name != _LEADER}
    content = hashlib.sha256(json.dumps(written, sort_keys=True).encode()).hexdigest()
    return {"uid": metadata["uid"], "generation": metadata.get("generation", 0), "content": content}
