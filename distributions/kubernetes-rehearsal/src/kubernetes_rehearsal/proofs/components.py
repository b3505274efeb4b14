"""One component proved whole: installed as its objects are, its workloads, webhooks and examples, and its mutations."""

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from kubernetes_rehearsal.client import APPLY_PATCH, MERGE_PATCH, ApiClient, ApiFailure
from kubernetes_rehearsal.interface import KubernetesError
from kubernetes_rehearsal.objects import collection_of, path_of
from kubernetes_rehearsal.proofs.admission import BadExample, check_webhooks
from kubernetes_rehearsal.proofs.examples import Example, check_example
from kubernetes_rehearsal.proofs.findings import Finding
from kubernetes_rehearsal.proofs.mutations import Mutation, MutationReport, mutations, run_mutations
from kubernetes_rehearsal.proofs.rules import check_rules
from kubernetes_rehearsal.proofs.workloads import check_workloads

_GONE_SECONDS = 60
_FINALIZED_SECONDS = 20
_EXAMPLE_SECONDS = 120
_WEBHOOK_SECONDS = 120
_POLL_SECONDS = 0.2
_SYSTEM_NAMESPACE = "kube-system"
_NO_ANSWER = "failed calling webhook"
_APPLY = "?fieldManager=rehearsal&force=true"

Object = dict[str, Any]
Objects = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Component:
    """What is installed, and what must come of it.

    :param name: in reports, such as ``kubeflow/training_operator``.
    :param definitions: of its custom kinds.
    :param objects: all others, in the order in which they are applied.
    :param examples: objects of its kinds that must act.
    :param refused: objects that its webhooks must refuse.
    :param unavailable: images that are known to be unavailable: a stand-in may run in their place.
    :param surroundings: objects that it needs and that are not part of it, such as a database. They are applied before
        ``objects``, and removed with them.
    :param others: CustomResourceDefinitions of other components, which its roles may name. They are not applied.
    """

    name: str
    definitions: Objects
    objects: Objects
    examples: Sequence[Example] = ()
    refused: Sequence[BadExample] = ()
    unavailable: Collection[str] = ()
    surroundings: Objects = ()
    others: Objects = ()

    @property
    def namespaces(self) -> list[str]:
        """The namespaces of its objects."""
        return sorted({found["metadata"]["namespace"] for found in self.objects if "namespace" in found["metadata"]})


@dataclass(frozen=True)
class ComponentReport:
    """What became of a component.

    :param seconds: duration of each step by name: ``installed``, ``available`` and each example.
    :param stored_only: workloads with a stand-in, with their unavailable images.
    """

    seconds: Mapping[str, float]
    stored_only: Mapping[str, str]
    findings: Sequence[Finding]


def read_examples(files: Iterable[Path], namespace: str) -> tuple[list[Example], list[BadExample]]:
    """Examples of a component's kinds, one file each.

    A file has ``object``, ``makes`` with the objects that its controller must create, ``condition`` with the type of
    the condition that must become true (empty for none), and ``refused`` with objects and ``words`` of their refusals.
    It may have ``status`` with fields of the final status.

    :param namespace: where they are created.
    """
    good, bad = [], []
    for file in files:
        content = json.loads(file.read_text(encoding="utf-8"))
        makes = [_in(namespace, made) for made in content["makes"]]
        ended = content.get("status", {})
        good.append(Example(_in(namespace, content["object"]), content["condition"], makes, _EXAMPLE_SECONDS, ended))
        bad += [BadExample(_in(namespace, one["object"]), one["words"]) for one in content["refused"]]
    return good, bad


def check_component(
    api: ApiClient, component: Component, *, bound_seconds: float = 120, first_only: bool = False
) -> ComponentReport:
    """Install a component and prove it. Its objects stay until :func:`remove`.

    :param bound_seconds: until its workloads are available.
    :param first_only: end at the first fault. Default: report all.
    """
    seconds: dict[str, float] = {}
    started = time.monotonic()
    refusal = _refusal(api, component, bound_seconds)
    seconds["installed"] = time.monotonic() - started
    if refusal and _NO_ANSWER not in refusal:
        return ComponentReport(seconds, {}, [Finding(component.name, f"is refused: {refusal}")])
    wrong = check_rules(api, component.objects, component.others)
    if wrong and first_only:
        return ComponentReport(seconds, {}, wrong)
    # Why its own webhook does not answer is known of the workload behind it, which had its time by now.
    report = check_workloads(api, component.namespaces, bound_seconds=0 if refusal else bound_seconds)
    seconds["available"] = max(report.running.values(), default=0.0)
    findings = [*wrong, *report.findings]
    findings += [
        Finding(place, f"runs a stand-in, because no image {images} can be had; correct its name")
        for place, images in report.stored_only.items()
        if not {*images.split(",")} <= {*component.unavailable}
    ]
    if refusal and not findings:
        findings = [Finding(component.name, f"is refused: {refusal}")]
    if refusal or len(findings) > len(wrong):
        return ComponentReport(seconds, report.stored_only, findings)
    findings += check_webhooks(api, [example.content for example in component.examples], component.refused)
    try:
        for example in component.examples:
            if findings and first_only:
                break
            started = time.monotonic()
            findings += check_example(api, example, keep=True)
            seconds[_step(example)] = time.monotonic() - started
        if not findings or not first_only:
            # What the logs say by now. They are read before the examples go: many controllers complain of an object
            # that was deleted while they looked at it.
            findings += check_workloads(api, component.namespaces, bound_seconds=bound_seconds).findings
    finally:
        for example in component.examples:
            _ignoring_absence(api, "DELETE", f"{path_of(api, example.content)}?propagationPolicy=Background")
    return ComponentReport(seconds, report.stored_only, findings)


def _refusal(api: ApiClient, component: Component, bound_seconds: float) -> str:
    """Install a component; what the API says if it refuses one of its objects."""
    try:
        install(api, component, webhook_seconds=bound_seconds)
    except ApiFailure as failure:
        return failure.message or str(failure)
    return ""


def _step(example: Example) -> str:
    return f"{example.content['kind']} {example.condition}"


def check_mutations(
    apis: Sequence[ApiClient],
    component: Component,
    changes: Iterable[Mutation] | None = None,
    *,
    bound_seconds: float = 60,
    say: Callable[[str], object] = lambda line: None,
) -> MutationReport:
    """Install a component repeatedly, each time with one change, and report whether the change is detected.

    :param apis: clusters that check changes at the same time, one each.
    :param changes: the changes. Default: the component without each of its parts.
    :param bound_seconds: time limit for the workloads; three times that of the unchanged component is sufficient, as
        for its examples (:func:`with_bounds`).
    :param say: called with a line about each change, once it is checked. Default: nothing.
    """

    def check(api: ApiClient, objects: Objects) -> Sequence[Finding]:
        remove(api, component)
        changed = replace(component, objects=objects)
        try:
            return check_component(api, changed, bound_seconds=bound_seconds, first_only=True).findings
        except ApiFailure as failure:
            return [Finding(component.name, f"is refused: {failure.message}")]

    found = mutations(component.objects) if changes is None else iter(changes)
    return run_mutations(found, [partial(check, api) for api in apis], say)


def with_bounds(component: Component, report: ComponentReport, least_seconds: float) -> Component:
    """The component with other time limits for its examples: three times what they took.

    :param report: of the unchanged component.
    :param least_seconds: the shortest limit.
    """
    examples = [
        replace(example, bound_seconds=max(least_seconds, 3 * report.seconds.get(_step(example), 0)))
        for example in component.examples
    ]
    return replace(component, examples=examples)


@contextmanager
def tainted_nodes(api: ApiClient) -> Iterator[None]:
    """Every node of a cluster has a taint that nothing tolerates, until the block ends."""
    paths = [f"/api/v1/nodes/{node['metadata']['name']}" for node in api.items("/api/v1/nodes")]
    before = {path: api.get(path)["spec"].get("taints") for path in paths}
    taint = {"key": "rehearsal.invalid/fault", "effect": "NoSchedule"}
    try:
        for path in paths:
            api.request("PATCH", path, {"spec": {"taints": [*(before[path] or []), taint]}}, MERGE_PATCH)
        yield
    finally:
        for path in paths:
            api.request("PATCH", path, {"spec": {"taints": before[path]}}, MERGE_PATCH)


def install(api: ApiClient, component: Component, *, webhook_seconds: float = _WEBHOOK_SECONDS) -> None:
    """Apply definitions, wait until the API serves them, then apply all other objects.

    :param webhook_seconds: until the component's own webhooks answer, for the objects at which they look.
    """
    for found in component.definitions:
        _apply(api, found)
    until = time.monotonic() + _GONE_SECONDS
    for found in component.definitions:
        while not _is_served(api, found):
            if time.monotonic() > until:
                raise KubernetesError(f"{found['metadata']['name']}: the API does not serve it; look at its conditions")
            time.sleep(_POLL_SECONDS)
    for found in [*component.surroundings, *component.objects]:
        _apply_guarded(api, found, webhook_seconds)


def remove(api: ApiClient, component: Component) -> None:
    """Delete the objects of a component except namespaces and definitions, and wait until they and all pods are gone.

    This includes pods of its examples, which would block another example of the same name, and the leases by which its
    pods elected a leader.

    :raises KubernetesError: for an object that is not deleted.
    """
    custom = {found["spec"]["group"] for found in component.definitions}
    kept = [found for found in [*component.surroundings, *component.objects] if found["kind"] != "Namespace"]
    own = [found for found in kept if found["apiVersion"].partition("/")[0] in custom]
    own += [example.content for example in component.examples]
    # A controller removes the finalizers of its own kinds. One that does not run cannot; then they are removed here,
    # when no webhook can refuse it any more.
    _delete(api, own)
    until = time.monotonic() + _FINALIZED_SECONDS
    while _left(api, own) and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)
    _delete(api, kept)
    until = time.monotonic() + _GONE_SECONDS
    while left := [*_left(api, [*own, *kept]), *_pods(api, component)]:
        if time.monotonic() > until:
            raise KubernetesError(f"{component.name}: {left[0]} is still there after {_GONE_SECONDS} s")
        for path in _left(api, own):
            _ignoring_absence(api, "PATCH", path, {"metadata": {"finalizers": None}}, MERGE_PATCH)
        time.sleep(_POLL_SECONDS)
    # A lease of a pod that ended would keep the next one from leading until it expires.
    for place in {*component.namespaces} - {_SYSTEM_NAMESPACE}:
        leases = f"/apis/coordination.k8s.io/v1/namespaces/{place}/leases"
        for lease in api.items(leases):
            _ignoring_absence(api, "DELETE", f"{leases}/{lease['metadata']['name']}")


def _delete(api: ApiClient, objects: Objects) -> None:
    for found in reversed(objects):
        _ignoring_absence(api, "DELETE", f"{path_of(api, found)}?propagationPolicy=Background")


def _left(api: ApiClient, objects: Objects) -> list[str]:
    """Paths of the objects that still exist."""
    return [path for path in (path_of(api, found) for found in objects) if _exists(api, path)]


def _apply(api: ApiClient, found: Mapping[str, Any]) -> None:
    api.request("PATCH", f"{path_of(api, found)}{_APPLY}", dict(found), APPLY_PATCH)


def _apply_guarded(api: ApiClient, found: Mapping[str, Any], seconds: float) -> None:
    """Apply an object, and wait for the component's own webhook where that looks at it."""
    until = time.monotonic() + seconds
    while True:
        try:
            return _apply(api, found)
        except ApiFailure as failure:
            if _NO_ANSWER not in failure.message or time.monotonic() > until:
                raise
        time.sleep(_POLL_SECONDS)


def _is_served(api: ApiClient, definition: Mapping[str, Any]) -> bool:
    spec = definition["spec"]
    stored = next(version["name"] for version in spec["versions"] if version["storage"])
    try:
        collection_of(api, {"apiVersion": f"{spec['group']}/{stored}", "kind": spec["names"]["kind"], "metadata": {}})
    except (ApiFailure, KubernetesError):
        return False
    return True


def _pods(api: ApiClient, component: Component) -> list[str]:
    places = {example.content["metadata"]["namespace"] for example in component.examples} | {*component.namespaces}
    pods = [pod for place in sorted(places) for pod in api.items(f"/api/v1/namespaces/{place}/pods")]
    return [f"Pod {pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in pods]


def _exists(api: ApiClient, path: str) -> bool:
    return _ignoring_absence(api, "GET", path) is not None


def _ignoring_absence(
    api: ApiClient, method: str, path: str, body: Object | None = None, content_type: str = "application/json"
) -> Object | None:
    try:
        return api.request(method, path, body, content_type)
    except ApiFailure as failure:
        if failure.code != 404:
            raise
    return None


def _in(namespace: str, content: Mapping[str, Any]) -> Object:
    return {**content, "metadata": {**content["metadata"], "namespace": namespace}}
