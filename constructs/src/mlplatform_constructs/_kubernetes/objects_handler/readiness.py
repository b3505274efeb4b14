"""Waits until objects are in a state, and reports the state of those that are not."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from .kubectl import Failure, Kubectl, Object, named, stub

POLL_SECONDS = 5


def await_readiness(event: Mapping[str, Any], kubectl: Kubectl) -> None:
    """Return when all objects are in the required state. A delete request does nothing.

    :raises Failure: after the given minutes, with the state of each object and the fix.
    """
    if event["RequestType"] == "Delete":
        return
    properties = event["ResourceProperties"]
    waits, minutes = json.loads(properties["Waits"]), int(properties["Minutes"])
    end = min(kubectl.end, time.monotonic() + minutes * 60)
    while found := unready(waits, kubectl):
        if time.monotonic() + POLL_SECONDS > end:
            raise Failure(f"Not ready after {minutes} minutes:\n" + "\n".join(found))
        time.sleep(POLL_SECONDS)


def unready(waits: list[Mapping[str, str]], kubectl: Kubectl) -> list[str]:
    """One line for each object that is not in the required state."""
    stubs = [stub(wait["apiVersion"], wait["kind"], wait["namespace"], wait["name"]) for wait in waits]
    try:
        objects, said = {named(one): one for one in kubectl.get(*stubs)}, ""
    except Failure as failure:  # a kind that is not served yet, or the API server restarting
        objects, said = {}, f" ({failure})"
    lines = []
    for wait, expected in zip(waits, map(named, stubs), strict=True):
        lacking = lacks(objects[expected], wait["state"]) if expected in objects else f"does not exist{said}"
        if lacking:
            lines.append(f"{expected} must be {wait['state']}: {lacking}. To do: {wait['advice']}.")
    return lines


def lacks(found: Object, state: str) -> str:
    """Why an object is not in a state; empty if it is."""
    if "deletionTimestamp" in found["metadata"]:
        return "it is being deleted"
    return _STATES[state](found) if state in _STATES else _condition(found, state)


def _condition(found: Object, type_: str) -> str:
    conditions = {one["type"]: one for one in _status(found).get("conditions") or []}
    if type_ not in conditions:
        return f"it does not report {type_}; it reports {', '.join(sorted(conditions)) or 'no conditions'}"
    condition = conditions[type_]
    if condition["status"] == "True":
        return ""
    return f"{type_} is {condition['status']}, {condition.get('reason', '')}: {condition.get('message', '')}"


def _rolled_out(found: Object) -> str:
    status = _status(found)
    if status.get("observedGeneration", 0) < found["metadata"]["generation"]:
        return "its controller has not observed its latest generation"
    if found["kind"] == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", 0)
        updated, available = status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0)
    else:
        wanted = found["spec"].get("replicas", 1)
        updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    if min(updated, available) >= wanted:
        return ""
    why = [one for one in status.get("conditions") or [] if one["status"] != "True"]
    reasons = "".join(f"; {one['type']} is {one['status']}: {one.get('message', '')}" for one in why)
    return f"of {wanted} pods, {updated} are updated and {available} are available{reasons}"


def _certificate_injected(found: Object) -> str:
    clients = {one["name"]: one["clientConfig"] for one in found.get("webhooks") or []}
    bare = [name for name, client in clients.items() if "service" in client and not client.get("caBundle")]
    return f"no caBundle in {', '.join(bare)}" if bare else ""


def _status(found: Object) -> Mapping[str, Any]:
    return found.get("status") or {}


_STATES: dict[str, Callable[[Object], str]] = {
    "CertificateInjected": _certificate_injected,
    "Exists": lambda found: "",
    "RolledOut": _rolled_out,
}
