"""What an owner has in the cluster, and the removal of what it no longer has.

The inventory is recorded before any of its objects is applied, and its physical id changes with it. CloudFormation
therefore deletes the old inventory when the whole update has succeeded, and the new one when the update is taken back:
in both cases, what the record in the cluster does not name is removed. Deleting the recorded inventory removes all.
Objects that somebody else has taken over carry another owner's label, and stay.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .kubectl import Failure, Kubectl, Object, named, stub, stub_of

OWNER_LABEL = "mlplatform-constructs/owner"
_LEFT = (
    "What has finalizers is let go by the controllers that set them: see that these run and what their logs say, "
    "or take the finalizers off by hand. Then delete again."
)

Key = tuple[str, str, str, str]  # group, kind, namespace, name


def physical_id_of(event: Mapping[str, Any]) -> str:
    """Changes with an inventory; that of anything else stays."""
    properties = event["ResourceProperties"]
    if "Objects" not in properties:
        return str(event["LogicalResourceId"])
    contents = f"{properties['ClusterName']} {properties['Objects']}"
    return f"{properties['Owner']}/{hashlib.sha256(contents.encode()).hexdigest()[:16]}"


def keep_inventory(event: Mapping[str, Any], kubectl: Kubectl) -> None:
    """Record an inventory; or remove its objects, but those of the one that replaced it."""
    properties = event["ResourceProperties"]
    owner, listed = properties["Owner"], json.loads(properties["Objects"])
    if event["RequestType"] != "Delete":
        record = {"id": physical_id_of(event), "objects": properties["Objects"]}
        kubectl.apply({**_record(owner), "data": record})
        return
    records = kubectl.get(_record(owner))
    replaced = [one["data"] for one in records if one["data"]["id"] != event["PhysicalResourceId"]]
    kept = {key for one in replaced for wave in json.loads(one["objects"]) for key in _keys(wave)}
    doomed = [[key for key in _keys(wave) if key not in kept] for wave in reversed(listed)]
    for stubs in _stubs(doomed, kubectl) if any(doomed) else []:
        _remove(stubs, owner, kubectl)
    if not replaced:
        kubectl.delete(_record(owner))


def _stubs(waves: Iterable[Iterable[Key]], kubectl: Kubectl) -> list[list[Object]]:
    """The objects in the versions that the cluster serves. Those of a kind that it has lost are gone with the kind."""
    served, error = kubectl.served()
    unknown = {f"{kind} of {group}" for wave in waves for group, kind, *_ in wave if (group, kind) not in served}
    if error and unknown:
        raise Failure(f"Nobody can say whether there still is any {', '.join(sorted(unknown))}: {error}")
    return [[stub(served[key[:2]], *key[1:]) for key in wave if key[:2] in served] for wave in waves]


def _remove(stubs: Sequence[Object], owner: str, kubectl: Kubectl) -> None:
    """Delete what is there and belongs to the owner, and see that it is gone."""
    doomed = _owned(kubectl.get(*stubs), owner)
    if not doomed:
        return
    print(f"removing {', '.join(map(named, doomed))}")
    said = ""
    try:
        kubectl.delete(*map(stub_of, doomed))
    except Failure as failure:
        said = str(failure)
    ids = {one["metadata"]["uid"] for one in doomed}
    left = [one for one in kubectl.get(*map(stub_of, doomed)) if one["metadata"]["uid"] in ids]
    if left:
        raise Failure("\n".join(["Still there:", *map(_state, left), *filter(None, [said]), _LEFT]))


def _owned(found: Iterable[Object], owner: str) -> list[Object]:
    return [one for one in found if (one["metadata"].get("labels") or {}).get(OWNER_LABEL) == owner]


def _state(found: Object) -> str:
    finalizers = found["metadata"].get("finalizers") or (found.get("spec") or {}).get("finalizers") or []
    return f"{named(found)}, held by {', '.join(finalizers)}" if finalizers else named(found)


def _keys(wave: Iterable[Sequence[Any]]) -> list[Key]:
    """The objects of a wave, which lists them as ``[apiVersion, kind, namespace, names]``."""
    return [
        (api_version.rpartition("/")[0], kind, namespace, name)
        for api_version, kind, namespace, names in wave
        for name in names
    ]


def _record(owner: str) -> Object:
    return stub("v1", "ConfigMap", "kube-system", f"inventory-{owner}")
