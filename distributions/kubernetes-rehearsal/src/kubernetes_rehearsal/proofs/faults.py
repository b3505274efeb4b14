"""Faults that people make in charts, planted one at a time: each must be found and explained."""

import copy
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

from kubernetes_rehearsal.proofs.mutations import Mutation, Objects

Object = dict[str, Any]

_UNUSED_PORT = 1


def planted_faults(objects: Objects, unavailable: Collection[str] = ()) -> Iterator[Mutation]:
    """The chart with a misspelt image, argument, resource of a rule, probe port and webhook path, and a privileged pod.

    A fault is omitted if the chart has no such part.

    :param unavailable: images that a stand-in replaces. It has neither arguments nor probes, so these get no fault.
    """
    for number, found in enumerate(objects):
        for what, change in _FAULTS.get(found["kind"], {}).items():
            changed = copy.deepcopy(dict(found))
            if what in _OF_PROGRAMS and {each["image"] for each in _containers(changed)} & {*unavailable}:
                continue
            if change(changed):
                metadata = found["metadata"]
                place = f"{metadata['namespace']}/" if "namespace" in metadata else ""
                name = f"{found['kind']} {place}{metadata['name']}"
                yield Mutation(name, what, [*objects[:number], changed, *objects[number + 1 :]], "with")


def _containers(found: Object) -> list[Object]:
    containers: list[Object] = found["spec"]["template"]["spec"]["containers"]
    return containers


def _image(found: Object) -> bool:
    container = _containers(found)[0]
    repository, _, tag = container["image"].partition("@")[0].rpartition(":")
    container["image"] = f"{repository}-misspelt:{tag}"
    return True


def _argument(found: Object) -> bool:
    container = _containers(found)[0]
    for part in ("args", "command"):
        for number, argument in enumerate(container.get(part) or []):
            if argument.startswith("--"):
                flag, equals, value = argument.partition("=")
                container[part][number] = f"{flag}-misspelt{equals}{value}"
                return True
    return False


def _probe_port(found: Object) -> bool:
    for container in _containers(found):
        for action in ("httpGet", "tcpSocket", "grpc"):
            if action in (container.get("readinessProbe") or {}):
                container["readinessProbe"][action]["port"] = _UNUSED_PORT
                return True
    return False


def _privileged(found: Object) -> bool:
    _containers(found)[0]["securityContext"] = {"privileged": True}
    return True


def _resource(found: Object) -> bool:
    rules: Sequence[MutableMapping[str, Any]] = found.get("rules") or []
    if not rules or "resources" not in rules[0]:
        return False
    rules[0]["resources"] = [f"{resource}misspelt" for resource in rules[0]["resources"]]
    return True


def _webhook_path(found: Object) -> bool:
    for webhook in found.get("webhooks") or []:
        service = webhook["clientConfig"].get("service")
        if service:
            service["path"] = f"{service.get('path', '/')}-misspelt"
            return True
    return False


_WORKLOAD: Mapping[str, Callable[[Object], bool]] = {
    "a misspelt image": _image,
    "a misspelt argument": _argument,
    "a wrong probe port": _probe_port,
    "a privileged container": _privileged,
}
_OF_PROGRAMS = ("a misspelt argument", "a wrong probe port")
_ADMISSION: Mapping[str, Callable[[Object], bool]] = {"a misspelt webhook path": _webhook_path}
_FAULTS: Mapping[str, Mapping[str, Callable[[Object], bool]]] = {
    "Deployment": _WORKLOAD,
    "StatefulSet": _WORKLOAD,
    "DaemonSet": _WORKLOAD,
    "ClusterRole": {"a misspelt resource in a rule": _resource},
    "Role": {"a misspelt resource in a rule": _resource},
    "MutatingWebhookConfiguration": _ADMISSION,
    "ValidatingWebhookConfiguration": _ADMISSION,
}
