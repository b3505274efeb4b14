"""What the clusters hold at this moment, so that the rehearsal can tell what an update changed."""

import base64
import hashlib
import json
from typing import Any

from ministack.services import eks

from rehearsal.emulator.eks_add_ons import TOKEN
from rehearsal.kubernetes.client import ApiClient
from rehearsal.kubernetes.interface import ClusterAccess
from rehearsal.kubernetes.inventory import objects

_KEPT_BY_THE_SERVER = ("generation", "managedFields", "resourceVersion")


def state() -> dict[str, dict[str, dict[str, Any]]]:
    """Cluster name to object, as ``Kind namespace/name``, to its ``uid``, ``generation`` and ``content``.

    The content is a checksum of all that somebody wrote into the object: no status, nothing that the server counts.
    """
    return {name: _objects(cluster) for (_, _, name), cluster in eks._clusters.all_items() if cluster.get("endpoint")}


def _objects(cluster: dict[str, Any]) -> dict[str, dict[str, Any]]:
    authority = base64.b64decode(cluster["certificateAuthority"]["data"]).decode()
    api = ApiClient(ClusterAccess(cluster["endpoint"], authority), TOKEN)
    try:
        return {name: _described(found) for name, found in objects(api)}
    finally:
        api.close()


def _described(found: dict[str, Any]) -> dict[str, Any]:
    metadata = found["metadata"]
    written = {name: value for name, value in found.items() if name != "status"}
    written["metadata"] = {name: value for name, value in metadata.items() if name not in _KEPT_BY_THE_SERVER}
    content = hashlib.sha256(json.dumps(written, sort_keys=True).encode()).hexdigest()
    return {"uid": metadata["uid"], "generation": metadata.get("generation", 0), "content": content}
