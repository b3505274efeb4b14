"""Examples of custom kinds act: the objects that their controller makes appear, and a final condition holds."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubernetes_rehearsal.client import APPLY_PATCH, ApiClient, ApiFailure
from kubernetes_rehearsal.objects import path_of
from kubernetes_rehearsal.proofs.findings import Finding

_POLL_SECONDS = 0.3

Object = dict[str, Any]


@dataclass(frozen=True)
class Example:
    """An object of a custom kind, and what must come of it.

    :param content: the object, with a namespace if its kind has one.
    :param makes: objects that its controller must create: ``apiVersion``, ``kind`` and ``metadata`` with a name.
    :param condition: type of the condition of its status that must become true; empty for a kind without conditions.
    :param bound_seconds: until all of that has happened.
    :param status: fields of its status with the values that they must get, such as a phase.
    """

    content: Mapping[str, Any]
    condition: str
    makes: Sequence[Mapping[str, Any]] = ()
    bound_seconds: float = 60
    status: Mapping[str, Any] = field(default_factory=dict)


def check_example(api: ApiClient, example: Example, *, keep: bool = False) -> list[Finding]:
    """Apply an example, wait for what must come of it, and delete it again.

    :param keep: leave it in the cluster.
    """
    path = path_of(api, example.content)
    place = f"{example.content['kind']} {example.content['metadata']['name']}"
    try:
        api.request("PATCH", f"{path}?fieldManager=rehearsal&force=true", dict(example.content), APPLY_PATCH)
    except ApiFailure as failure:
        return [Finding(place, f"is refused: {failure.message}")]
    try:
        until = time.monotonic() + example.bound_seconds
        seen: set[int] = set()
        while time.monotonic() < until:
            seen |= {number for number, made in enumerate(example.makes) if _exists(api, made)}
            if len(seen) == len(example.makes) and _has_ended(api.get(path), example):
                return []
            time.sleep(_POLL_SECONDS)
        return _missing(api, path, place, example, seen)
    finally:
        if not keep:
            _ignore_absence(lambda: api.request("DELETE", f"{path}?propagationPolicy=Background"))


def has_condition(found: Mapping[str, Any], name: str) -> bool:
    """Whether a condition of the object's status is true. No name, no condition: that is true of every object."""
    if not name:
        return True
    conditions = (found.get("status") or {}).get("conditions") or []
    return any(one["type"] == name and one["status"] == "True" for one in conditions)


def _has_ended(found: Mapping[str, Any], example: Example) -> bool:
    return has_condition(found, example.condition) and not _other_status(found, example)


def _other_status(found: Mapping[str, Any], example: Example) -> dict[str, Any]:
    """The fields of a status that have another value than they must get."""
    status = found.get("status") or {}
    return {name: status.get(name) for name, value in example.status.items() if status.get(name) != value}


def _missing(api: ApiClient, path: str, place: str, example: Example, seen: set[int]) -> list[Finding]:
    findings = [
        Finding(place, f"its controller did not create {made['kind']} {made['metadata']['name']}")
        for number, made in enumerate(example.makes)
        if number not in seen
    ]
    found = api.get(path)
    if not has_condition(found, example.condition):
        conditions = (found.get("status") or {}).get("conditions") or []
        said = "; ".join(f"{one['type']} is {one['status']}: {one.get('message', '')}" for one in conditions)
        findings.append(
            Finding(place, f"is not {example.condition} after {example.bound_seconds:.0f} s: {said or 'no condition'}")
        )
    for name, value in _other_status(found, example).items():
        why = (found.get("status") or {}).get("message", "no message")
        findings.append(Finding(place, f"its status has {name} {value!r}, not {example.status[name]!r}: {why}"))
    return findings


def _exists(api: ApiClient, made: Mapping[str, Any]) -> bool:
    try:
        api.get(path_of(api, made))
    except ApiFailure as failure:
        if failure.code == 404:
            return False
        raise
    return True


def _ignore_absence(action: Callable[[], object]) -> None:
    try:
        action()
    except ApiFailure as failure:
        if failure.code != 404:
            raise
