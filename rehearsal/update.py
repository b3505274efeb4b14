"""Two updates of a stack's Kubernetes objects: one that succeeds, and one that the Kubernetes API refuses."""

import json
import re
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from delivery.assembly import Stack
from rehearsal.assembly import Assembly, size

Object = dict[str, Any]
Objects = dict[str, dict[str, dict[str, Any]]]
"""Objects by cluster and name, with ``uid``, ``generation`` and ``content``."""

_APPLIED = "Custom::AWSCDK-EKS-KubernetesResource"
_RECORDED = "Custom::KubernetesInventory"
_ROLLED_BY_REVISIONS = ("DaemonSet", "Deployment", "StatefulSet")
_KEPT_REVISIONS = 10  # the default of Kubernetes
_NEW = "rehearsal-refused"
_TOKEN = "<<{}>>"
_TOKENS = re.compile(r"(<<\d+>>)")


@dataclass(frozen=True)
class Request:
    """A workload in one of a stack's requests to its cluster, with the other objects of the request.

    :param logical_id: logical id of the request in the template.
    :param workload: index of the workload among the request's objects; others precede it.
    """

    stack: Stack
    logical_id: str
    workload: int

    @property
    def name(self) -> str:
        """The workload, as ``Kind namespace/name``."""
        return _name(self._objects(self.stack.template)[self.workload])

    def updated(self) -> dict[str, Any]:
        """The stack's template with one changed field of the workload, which restarts no pod."""

        def keep_one_more_revision(objects: list[Object]) -> None:
            spec = objects[self.workload]["spec"]
            spec["revisionHistoryLimit"] = spec.get("revisionHistoryLimit", _KEPT_REVISIONS) + 1

        return self._changed(self.stack.template, keep_one_more_revision)

    def refused(self, template: dict[str, Any]) -> dict[str, Any]:
        """A template that fails half-way: a changed object, a new object, and a forbidden change of the workload."""
        place = self._objects(template)[self.workload]["metadata"]["namespace"]

        def change_the_immutable(objects: list[Object]) -> None:
            first, workload = objects[0], objects[self.workload]
            first["metadata"].setdefault("annotations", {})[_NEW] = "true"
            workload["spec"]["selector"]["matchLabels"][_NEW] = "true"
            workload["spec"]["template"]["metadata"].setdefault("labels", {})[_NEW] = "true"
            objects.insert(1, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": _NEW, "namespace": place}})

        changed = self._changed(template, change_the_immutable)
        for resource in changed["Resources"].values():
            if resource["Type"] == _RECORDED:
                text, tokens = _text(resource["Properties"]["Objects"])
                waves = json.loads(text)
                if any(self._is_in(group) for wave in waves for group in wave):
                    waves[0].append(["v1", "ConfigMap", place, [_NEW]])
                    resource["Properties"]["Objects"] = _manifest(json.dumps(waves), tokens)
        return changed

    def _is_in(self, group: list[Any]) -> bool:
        """Whether the inventory of a set lists the workload, in ``[apiVersion, kind, namespace, names]``."""
        _, kind, namespace, names = group
        return self.name in (f"{kind} {namespace}/{name}" for name in names)

    def _changed(self, template: dict[str, Any], change: Callable[[list[Object]], None]) -> dict[str, Any]:
        changed = deepcopy(template)
        properties = changed["Resources"][self.logical_id]["Properties"]
        text, tokens = _text(properties["Manifest"])
        objects = json.loads(text)
        change(objects)
        properties["Manifest"] = _manifest(json.dumps(objects), tokens)
        return changed

    def _objects(self, template: dict[str, Any]) -> list[Object]:
        objects: list[Object] = json.loads(_text(template["Resources"][self.logical_id]["Properties"]["Manifest"])[0])
        return objects


def find(assembly: Assembly) -> Request | None:
    """The workload to update, in the smallest stack with a request in which another object precedes a workload."""
    for stack in sorted(assembly.stacks, key=size):
        for logical_id, resource in stack.template.get("Resources", {}).items():
            if resource["Type"] != _APPLIED:
                continue
            objects = json.loads(_text(resource["Properties"]["Manifest"])[0])
            for place, one in enumerate(objects):
                if place and one["kind"] in _ROLLED_BY_REVISIONS:
                    return Request(stack, logical_id, place)
    return None


def differences(before: Objects, after: Objects) -> dict[str, str]:
    """The change of each object: ``new``, ``gone``, ``replaced`` by another of its name, or ``changed`` in place."""
    found = {}
    for cluster in sorted(before.keys() | after.keys()):
        old, new = before.get(cluster, {}), after.get(cluster, {})
        for name in sorted(old.keys() | new.keys()):
            if what := _difference(old.get(name), new.get(name)):
                found[name] = what
    return found


def _difference(old: dict[str, Any] | None, new: dict[str, Any] | None) -> str:
    if not old or not new:
        return "new" if new else "gone"
    if old["uid"] != new["uid"]:
        return "replaced"
    return "changed" if old["content"] != new["content"] else ""


def _name(one: Object) -> str:
    metadata = one["metadata"]
    place = f"{metadata['namespace']}/" if "namespace" in metadata else ""
    return f"{one['kind']} {place}{metadata['name']}"


def _text(manifest: Any) -> tuple[str, Sequence[Any]]:
    """The text of a manifest with a placeholder for each token, and the tokens."""
    parts = [manifest] if isinstance(manifest, str) else manifest["Fn::Join"][1]
    tokens = [part for part in parts if not isinstance(part, str)]
    marks = iter(range(len(tokens)))
    return "".join(part if isinstance(part, str) else _TOKEN.format(next(marks)) for part in parts), tokens


def _manifest(text: str, tokens: Sequence[Any]) -> Any:
    """The reverse."""
    if not tokens:
        return text
    parts = [part for part in _TOKENS.split(text) if part]
    return {"Fn::Join": ["", [tokens[int(part[2:-2])] if _TOKENS.fullmatch(part) else part for part in parts]]}
