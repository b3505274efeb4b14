"""Mutation tests of a chart: remove one part, and check whether a proof fails.

A fault that no proof detects would also remain undetected in a deployment, until the part is needed.
"""

import copy
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from kubernetes_rehearsal.proofs.findings import Finding

Object = dict[str, Any]
Objects = Sequence[Mapping[str, Any]]
_ROLES = ("ClusterRole", "Role")
_CONTAINER_GROUPS = ("initContainers", "containers")
_CONTAINER_PARTS = {"args": "argument", "command": "command word", "env": "variable", "ports": "port"}


@dataclass(frozen=True)
class Mutation:
    """A chart with one change, such as a removed part.

    :param place: the changed object.
    :param what: the removed part, or the fault.
    :param word: ``without`` or ``with``.
    """

    place: str
    what: str
    objects: Objects
    word: str = "without"

    def __str__(self) -> str:
        return f"{self.place}: {self.word} {self.what}"


@dataclass(frozen=True)
class MutationReport:
    """What became of each mutation.

    :param noticed: mutation to the first finding about it.
    :param unnoticed: mutations that nothing would notice.
    """

    noticed: Mapping[str, Finding]
    unnoticed: Sequence[str]

    @property
    def share(self) -> float:
        """The share that is noticed, 0 to 1; 1 where there was nothing to remove."""
        count = len(self.noticed) + len(self.unnoticed)
        return len(self.noticed) / count if count else 1.0

    def __str__(self) -> str:
        count = len(self.noticed) + len(self.unnoticed)
        return f"{len(self.noticed)} of {count} changes are noticed ({self.share:.0%})"


def mutations(objects: Objects) -> Iterator[Mutation]:
    """The chart without each rule of a role, argument, port, variable and volume, one at a time."""
    for number, found in enumerate(objects):
        place = _place(found)
        for what, changed in _changes(found):
            yield Mutation(place, what, [*objects[:number], changed, *objects[number + 1 :]])


def run_mutations(
    found: Iterator[Mutation], checks: Sequence[Callable[[Objects], Sequence[Finding]]], say: Callable[[str], object]
) -> MutationReport:
    """Check every mutation.

    :param checks: each installs the objects in a clean cluster of its own, and returns the faults. They run at the same
        time, and each takes the next mutation when it is free.
    :param say: called with a line about each mutation, once it is checked: all of a component take many minutes.
    """
    numbered, lock, ended = enumerate(found), threading.Lock(), threading.Event()
    results: dict[int, tuple[Mutation, Finding | None]] = {}

    def work(check: Callable[[Objects], Sequence[Finding]]) -> None:
        try:
            while not ended.is_set():
                with lock:
                    number, mutation = next(numbered, (-1, None))
                if mutation is None:
                    return
                findings = check(mutation.objects)
                with lock:
                    results[number] = mutation, findings[0] if findings else None
                    say(f"noticed: {mutation}: {findings[0]}" if findings else f"nothing would notice: {mutation}")
        finally:
            ended.set()  # no mutation is left, or one could not be checked; what the others have begun, they complete

    with ThreadPoolExecutor(len(checks)) as workers:
        try:
            for each in [workers.submit(work, check) for check in checks]:
                each.result()
        finally:
            ended.set()  # of an interrupt
    ordered = [results[number] for number in sorted(results)]
    return MutationReport(
        {str(mutation): finding for mutation, finding in ordered if finding},
        [str(mutation) for mutation, finding in ordered if not finding],
    )


def _changes(found: Mapping[str, Any]) -> Iterator[tuple[str, Object]]:
    if found["kind"] in _ROLES:
        for number, rule in enumerate(found.get("rules") or []):
            for verb in rule["verbs"]:
                changed = copy.deepcopy(dict(found))
                left = [other for other in rule["verbs"] if other != verb]
                if left:
                    changed["rules"][number]["verbs"] = left
                else:
                    del changed["rules"][number]
                resources = ", ".join(rule.get("resources") or rule.get("nonResourceURLs") or [])
                yield f"the right to {verb} {resources}", changed
    template = (found.get("spec") or {}).get("template")
    if isinstance(template, Mapping) and "spec" in template:
        yield from _template_changes(found)


def _template_changes(found: Mapping[str, Any]) -> Iterator[tuple[str, Object]]:
    spec = found["spec"]["template"]["spec"]
    for group in _CONTAINER_GROUPS:
        for index, container in enumerate(spec.get(group) or []):
            for part, word in _CONTAINER_PARTS.items():
                for number, entry in enumerate(container.get(part) or []):
                    changed = copy.deepcopy(dict(found))
                    del changed["spec"]["template"]["spec"][group][index][part][number]
                    yield f"{word} {_entry_name(entry)} of container {container['name']}", changed
    for number, volume in enumerate(spec.get("volumes") or []):
        changed = copy.deepcopy(dict(found))
        pod = changed["spec"]["template"]["spec"]
        del pod["volumes"][number]
        for group in _CONTAINER_GROUPS:
            for container in pod.get(group) or []:
                mounts = container.get("volumeMounts") or []
                container["volumeMounts"] = [mount for mount in mounts if mount["name"] != volume["name"]]
        yield f"volume {volume['name']}", changed


def _entry_name(entry: Any) -> str:
    if not isinstance(entry, Mapping):
        return str(entry)
    return str(entry.get("name") or entry.get("containerPort"))


def _place(found: Mapping[str, Any]) -> str:
    metadata = found["metadata"]
    namespace = f"{metadata['namespace']}/" if "namespace" in metadata else ""
    return f"{found['kind']} {namespace}{metadata['name']}"
