"""The inventory of the objects that an owner has in the cluster, and the deletion of those it no longer has.

The inventory is recorded before any of its objects is applied, and its physical ID changes with its contents.
CloudFormation therefore deletes the old inventory after the whole update has succeeded, and the new one when the update
is rolled back. In both cases, objects that no record in the cluster lists any more are deleted. Deleting a recorded
inventory deletes its record and the objects that no other record lists. An object can therefore move from one owner to
another, and back if that update fails.

Until one of the two inventories is deleted, a record also holds its former contents. A rollback may delete only the new
inventory, without a request for the old one. That must not be mistaken for the deletion of the owner.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .kubectl import Failure, Kubectl, Object, named, stub, stub_of

RECORD_LABEL = "mlplatform-constructs/inventory"
RECORD_NAMESPACE = "kube-system"
_LEFT = (
    "Finalizers are removed by the controllers that set them. Check that these run, and check their logs, "
    "or remove the finalizers manually. Then delete again."
)

Key = tuple[str, str, str, str]  # group, kind, namespace, name


def physical_id_of(event: Mapping[str, Any]) -> str:
    """The physical ID. That of an inventory changes with its contents; all others are constant."""
    properties = event["ResourceProperties"]
    if "Objects" not in properties:
        return str(event["LogicalResourceId"])
    contents = f"{properties['ClusterName']} {properties['Objects']}"
    return f"{properties['Owner']}/{hashlib.sha256(contents.encode()).hexdigest()[:16]}"


def keep_inventory(event: Mapping[str, Any], kubectl: Kubectl) -> None:
    """Record an inventory, or delete those of its objects that no record lists."""
    properties = event["ResourceProperties"]
    record = _record(properties["Owner"])
    listed = kubectl.labelled("configmaps", RECORD_NAMESPACE, RECORD_LABEL)
    records = {one["metadata"]["name"]: one["data"] for one in listed}
    name = record["metadata"]["name"]
    own = records.get(name, {})
    if event["RequestType"] != "Delete":
        data = {"id": physical_id_of(event), "objects": properties["Objects"]}
        kubectl.apply({**record, "data": {**data, **_former(own, data["id"], event["RequestType"])}})
        return
    gone = event["PhysicalResourceId"]
    if gone in (own.get("id"), own.get("formerId")) and "formerId" in own:
        left = {"id": own["id"], "objects": own["objects"]}
        if gone == own["id"]:
            left = {"id": own["formerId"], "objects": own["formerObjects"]}
        kubectl.apply({**record, "data": left})
        records[name] = own = left
    kept = {key for one in records.values() for key in _on_record(one, without=gone)}
    obsolete = [[key for key in wave if key not in kept] for wave in _waves(properties["Objects"])]
    if any(obsolete):
        _remove_waves(obsolete, kubectl)
    if own.get("id") == gone:
        kubectl.delete(record)


def _former(own: Mapping[str, str], id: str, request_type: str) -> dict[str, str]:
    """The previous inventory, which an update adds to a record."""
    if request_type != "Update" or not own:
        return {}
    if own["id"] != id:
        return {"formerId": own["id"], "formerObjects": own["objects"]}
    return {name: own[name] for name in ("formerId", "formerObjects") if name in own}  # a repeated request


def _on_record(record: Mapping[str, str], *, without: str) -> Iterator[Key]:
    """The objects of a record, including those of the previous inventory."""
    for id, objects in (("id", "objects"), ("formerId", "formerObjects")):
        if id in record and record[id] != without:
            yield from (key for wave in _waves(record[objects]) for key in wave)


def _remove_waves(waves: Sequence[Sequence[Key]], kubectl: Kubectl) -> None:
    """Delete objects, last wave first. A kind that the cluster no longer serves has no objects."""
    served, error = kubectl.served()
    lost = {f"{key[1]} of {key[0]}" for wave in waves for key in wave if key[:2] not in served}
    if error and lost:
        raise Failure(f"Cannot determine whether any {', '.join(sorted(lost))} remains: {error}")
    stubs = [stub(served[key[:2]], *key[1:]) for wave in waves for key in wave if key[:2] in served]
    found = {_key(one): one for one in kubectl.get(*stubs)}
    for wave in reversed(waves):
        _remove([found[key] for key in wave if key in found], kubectl)


def _remove(objects: Sequence[Object], kubectl: Kubectl) -> None:
    """Delete objects and wait until they no longer exist.

    A PersistentVolume exists as long as its claim, which another owner may have: the deletion of that owner's objects
    can come after this one, so nothing waits for volumes.
    """
    if not objects:
        return
    print(f"removing {', '.join(map(named, objects))}")
    volumes = [one for one in objects if one["kind"] == "PersistentVolume"]
    if volumes:
        kubectl.delete(*map(stub_of, volumes), wait=False)
    objects = [one for one in objects if one not in volumes]
    try:
        if objects:
            kubectl.delete(*map(stub_of, objects))
    except Failure as failure:
        ids = {one["metadata"]["uid"] for one in objects}
        left = [one for one in kubectl.get(*map(stub_of, objects)) if one["metadata"]["uid"] in ids]
        if left:
            raise Failure("\n".join(["Not deleted:", *map(_state, left), str(failure), _LEFT])) from None


def _state(found: Object) -> str:
    finalizers = found["metadata"].get("finalizers") or (found.get("spec") or {}).get("finalizers") or []
    return f"{named(found)}, held by {', '.join(finalizers)}" if finalizers else named(found)


def _waves(listed: str) -> list[list[Key]]:
    """The objects of each wave, from a list of ``[apiVersion, kind, namespace, names]``."""
    return [
        [
            (api_version.rpartition("/")[0], kind, namespace, name)
            for api_version, kind, namespace, names in wave
            for name in names
        ]
        for wave in json.loads(listed)
    ]


def _key(found: Object) -> Key:
    metadata = found["metadata"]
    group = found["apiVersion"].rpartition("/")[0]
    return group, found["kind"], metadata.get("namespace", ""), metadata["name"]


def _record(owner: str) -> Object:
    record = stub("v1", "ConfigMap", RECORD_NAMESPACE, f"inventory-{owner}")
    return {**record, "metadata": {**record["metadata"], "labels": {RECORD_LABEL: owner}}}
