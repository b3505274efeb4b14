"""A component is installed definitions first, its examples are read from files, and each lost part is tried."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kubernetes_rehearsal.client import ApiFailure
from kubernetes_rehearsal.proofs import components
from kubernetes_rehearsal.proofs.components import (
    Component,
    ComponentReport,
    check_component,
    check_mutations,
    install,
    read_examples,
    remove,
    tainted_nodes,
    with_bounds,
)
from kubernetes_rehearsal.proofs.examples import Example
from kubernetes_rehearsal.proofs.faults import planted_faults
from kubernetes_rehearsal.proofs.findings import Finding
from kubernetes_rehearsal.proofs.mutations import Mutation
from kubernetes_rehearsal.proofs.workloads import WorkloadReport

DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "jobs.work.org"},
    "spec": {"group": "work.org", "names": {"kind": "Job"}, "versions": [{"name": "v1", "storage": True}]},
}
ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "Role",
    "metadata": {"name": "work", "namespace": "work"},
    "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}],
}
SPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "work"}}
COMPONENT = Component("base/work", [DEFINITION], [SPACE, ROLE])


class MemoryApi:
    """Stores objects by path; serves the kind of the definition from the third request on."""

    def __init__(self) -> None:
        self.objects: dict[str, Any] = {}
        self.order: list[str] = []
        self._asked = 0

    def get(self, path: str) -> Any:
        return self.request("GET", path)

    def items(self, path: str) -> list[Any]:
        return []

    def request(self, method: str, path: str, body: Any = None, content_type: str = "") -> Any:
        path = path.partition("?")[0]
        kinds = {
            "/api/v1": ("Namespace", "namespaces", False),
            "/apis/rbac.authorization.k8s.io/v1": ("Role", "roles", True),
            "/apis/apiextensions.k8s.io/v1": ("CustomResourceDefinition", "customresourcedefinitions", False),
        }
        if path == "/apis":
            return {"groups": []}
        if path in kinds:
            kind, name, namespaced = kinds[path]
            pods = {"kind": "Pod", "name": "pods", "namespaced": True}
            return {"resources": [{"kind": kind, "name": name, "namespaced": namespaced}, pods]}
        if path == "/apis/work.org/v1":
            self._asked += 1
            if self._asked < 3:
                raise ApiFailure(404, "NotFound", "not yet")
            self.order.append("served")
            return {"resources": [{"kind": "Job", "name": "jobs", "namespaced": True}]}
        if method == "PATCH":
            self.objects[path] = body
            self.order.append(body["kind"])
        elif path not in self.objects:
            raise ApiFailure(404, "NotFound", path)
        elif method == "DELETE":
            return self.objects.pop(path)
        return self.objects.get(path)


def test_definitions_are_served_before_other_objects_are_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components, "_POLL_SECONDS", 0)
    api = MemoryApi()
    install(api, COMPONENT)  # type: ignore[arg-type]
    assert api.order == ["CustomResourceDefinition", "served", "Namespace", "Role"]


def test_namespaces_and_definitions_stay_when_a_component_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components, "_POLL_SECONDS", 0)
    api = MemoryApi()
    install(api, COMPONENT)  # type: ignore[arg-type]
    remove(api, COMPONENT)  # type: ignore[arg-type]
    assert sorted(found["kind"] for found in api.objects.values()) == ["CustomResourceDefinition", "Namespace"]


def test_finalizers_that_no_controller_removes_are_removed_with_a_component(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_POLL_SECONDS", "_FINALIZED_SECONDS"):
        monkeypatch.setattr(components, name, 0)
    job = {"apiVersion": "work.org/v1", "kind": "Job", "metadata": {"name": "stuck", "namespace": "work"}}

    class FinalizingApi(MemoryApi):
        """An object of the custom kind goes when its finalizers do."""

        def request(self, method: str, path: str, body: Any = None, content_type: str = "") -> Any:
            if method == "DELETE" and "/jobs/" in path:
                return {}
            if body == {"metadata": {"finalizers": None}}:
                return self.objects.pop(path)
            return super().request(method, path, body, content_type)

    api = FinalizingApi()
    component = Component("base/work", [DEFINITION], [SPACE, ROLE, job])
    install(api, component)  # type: ignore[arg-type]
    remove(api, component)  # type: ignore[arg-type]
    assert sorted(found["kind"] for found in api.objects.values()) == ["CustomResourceDefinition", "Namespace"]


def test_each_lost_part_is_installed_alone_and_the_unnoticed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that needs only the right to list notices one of two losses."""
    tried: list[list[str]] = []

    def check(api: Any, component: Component, **_: Any) -> ComponentReport:
        verbs = component.objects[1]["rules"][0]["verbs"]
        tried.append(verbs)
        findings = [] if "list" in verbs else [Finding("Pod work/work-1", "lacks a right; grant it: list pods")]
        return ComponentReport({}, {}, findings)

    monkeypatch.setattr(components, "check_component", check)
    report = check_mutations([MemoryApi()], COMPONENT)  # type: ignore[list-item]
    assert tried == [["list"], ["get"]]
    assert report.share == 0.5
    assert report.unnoticed == ["Role work/work: without the right to get pods"]


def test_examples_and_refusals_are_read_into_one_namespace(tmp_path: Path) -> None:
    job = {"apiVersion": "work.org/v1", "kind": "Job", "metadata": {"name": "one"}}
    made = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one-0"}}
    content = {"object": job, "makes": [made], "condition": "Done", "refused": [{"object": job, "words": "no"}]}
    (tmp_path / "job.json").write_text(json.dumps(content))
    good, bad = read_examples([tmp_path / "job.json"], "examples")
    assert good[0].content["metadata"] == {"name": "one", "namespace": "examples"}
    assert [one["metadata"]["namespace"] for one in good[0].makes] == ["examples"]
    assert (bad[0].content["metadata"]["namespace"], bad[0].words) == ("examples", "no")


def test_each_planted_fault_changes_one_object() -> None:
    container = {
        "name": "work",
        "image": "registry.test/work:1@sha256:12",
        "args": ["run", "--level=info"],
        "readinessProbe": {"httpGet": {"path": "/", "port": "health"}},
    }
    metadata = {"name": "work", "namespace": "work"}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {"template": {"spec": {"containers": [container]}}},
    }
    webhook = {
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "work"},
        "webhooks": [{"clientConfig": {"service": {"path": "/check"}}}],
    }
    faults = {str(fault): fault.objects for fault in planted_faults([ROLE, deployment, webhook])}
    assert list(faults) == [
        "Role work/work: with a misspelt resource in a rule",
        "Deployment work/work: with a misspelt image",
        "Deployment work/work: with a misspelt argument",
        "Deployment work/work: with a wrong probe port",
        "Deployment work/work: with a privileged container",
        "ValidatingWebhookConfiguration work: with a misspelt webhook path",
    ]
    changed = [found for objects in faults.values() for found in objects if found not in (ROLE, deployment, webhook)]
    assert changed[0]["rules"][0]["resources"] == ["podsmisspelt"]
    containers = [found["spec"]["template"]["spec"]["containers"][0] for found in changed[1:5]]
    assert containers[0]["image"] == "registry.test/work-misspelt:1"
    assert containers[1]["args"] == ["run", "--level-misspelt=info"]
    assert containers[2]["readinessProbe"]["httpGet"]["port"] == 1
    assert containers[3]["securityContext"] == {"privileged": True}
    assert changed[5]["webhooks"][0]["clientConfig"]["service"]["path"] == "/check-misspelt"


def test_a_chart_without_a_thing_gets_no_fault_in_it() -> None:
    bare = {**ROLE, "rules": []}
    assert list(planted_faults([bare, SPACE])) == []


def test_a_stand_in_gets_no_fault_in_the_arguments_and_probes_that_it_does_not_have() -> None:
    container = {
        "image": "registry.test/work:1",
        "args": ["--level=info"],
        "readinessProbe": {"tcpSocket": {"port": 1}},
    }
    spec = {"template": {"spec": {"containers": [container]}}}
    deployment = {"kind": "Deployment", "metadata": {"name": "work", "namespace": "work"}, "spec": spec}
    assert [str(fault) for fault in planted_faults([deployment], ["registry.test/work:1"])] == [
        "Deployment work/work: with a misspelt image",
        "Deployment work/work: with a privileged container",
    ]


def _without_image(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = {"Deployment work/work": "registry.test/misspelt:1"}
    monkeypatch.setattr(components, "check_workloads", lambda *_, **__: WorkloadReport({}, stored, [], []))


def test_a_workload_without_its_image_counts_as_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    _without_image(monkeypatch)
    monkeypatch.setattr(components, "remove", lambda *_: None)
    fault = Mutation("Deployment work/work", "a misspelt image", [SPACE, ROLE], "with")
    report = check_mutations([MemoryApi()], COMPONENT, [fault])  # type: ignore[list-item]
    assert "no image registry.test/misspelt:1 can be had" in str(report.noticed[str(fault)])


def test_a_stand_in_for_an_image_that_is_known_to_be_unavailable_is_reported_and_no_finding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _without_image(monkeypatch)
    known = replace(COMPONENT, unavailable=["registry.test/misspelt:1"])
    report = check_component(MemoryApi(), known)  # type: ignore[arg-type]
    assert report.stored_only == {"Deployment work/work": "registry.test/misspelt:1"}
    assert report.findings == []


def test_a_known_fault_ends_a_check_at_the_first_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[object] = []

    def workloads(*_: Any, **__: Any) -> WorkloadReport:
        waited.append(1)
        return WorkloadReport({}, {}, [], [])

    monkeypatch.setattr(components, "check_workloads", workloads)
    wrong = {**ROLE, "rules": [{"apiGroups": ["absent.org"], "resources": ["things"], "verbs": ["get"]}]}
    for first_only, waits in ((True, 0), (False, 2)):
        component = Component("base/work", [DEFINITION], [SPACE, wrong])
        report = check_component(MemoryApi(), component, first_only=first_only)  # type: ignore[arg-type]
        assert "which does not exist" in str(report.findings[0])
        assert len(waited) == waits


def test_an_object_that_the_api_refuses_is_a_finding_and_explained_by_the_workload_of_its_webhook(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    why = Finding("Deployment work/work", "not available in time: no such argument")
    message = 'failed calling webhook "roles.work.org": no endpoints available'

    class RefusingApi(MemoryApi):
        def request(self, method: str, path: str, body: Any = None, content_type: str = "") -> Any:
            if method == "PATCH" and body["kind"] == "Role":
                raise ApiFailure(500, "InternalError", message)
            return super().request(method, path, body, content_type)

    def found(*workloads: Finding, **stored: str) -> list[str]:
        monkeypatch.setattr(components, "check_workloads", lambda *_, **__: WorkloadReport({}, stored, [], workloads))
        report = check_component(RefusingApi(), COMPONENT, bound_seconds=0)  # type: ignore[arg-type]
        return [str(finding) for finding in report.findings]

    assert found(why) == [str(why)]
    assert found(work="absent:1") == ["work: runs a stand-in, because no image absent:1 can be had; correct its name"]
    assert found() == [f"base/work: is refused: {message}"]


def test_the_examples_of_a_changed_component_have_three_times_what_they_took() -> None:
    job = {"kind": "Job", "metadata": {"name": "one"}}
    component = replace(COMPONENT, examples=[Example(job, "Done"), Example(job, "Slow")])
    report = ComponentReport({"available": 9, "Job Done": 1, "Job Slow": 10}, {}, [])
    assert [example.bound_seconds for example in with_bounds(component, report, 20).examples] == [20, 30]


def test_the_leases_of_a_removed_component_go_with_it_but_not_those_of_the_system() -> None:
    leases = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"

    class LeaseApi(MemoryApi):
        def items(self, path: str) -> list[Any]:
            return [{"metadata": {"name": "leader"}}] if path.endswith("/leases") else []

    api = LeaseApi()
    api.objects = {f"{leases.format(place)}/leader": {} for place in ("work", "kube-system")}
    reader = {**ROLE, "metadata": {"name": "reader", "namespace": "kube-system"}}
    remove(api, replace(COMPONENT, objects=[SPACE, ROLE, reader]))  # type: ignore[arg-type]
    assert list(api.objects) == [f"{leases.format('kube-system')}/leader"]


def test_an_object_waits_for_the_webhook_that_looks_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class LateWebhook(MemoryApi):
        refusals = 2

        def request(self, method: str, path: str, body: Any = None, content_type: str = "") -> Any:
            if method == "PATCH" and body["kind"] == "Role" and self.refusals:
                self.refusals -= 1
                raise ApiFailure(500, "InternalError", 'failed calling webhook "roles.work.org": connection refused')
            return super().request(method, path, body, content_type)

    monkeypatch.setattr("time.sleep", lambda _: None)
    api = LateWebhook()
    install(api, COMPONENT)  # type: ignore[arg-type]
    assert api.order[-1] == "Role"
    api.refusals = 1
    with pytest.raises(ApiFailure, match="failed calling webhook"):
        install(api, COMPONENT, webhook_seconds=-1)  # type: ignore[arg-type]


def test_nodes_lose_the_taint_that_they_were_given() -> None:
    node: dict[str, Any] = {"metadata": {"name": "one"}, "spec": {"taints": [{"key": "gpu", "effect": "NoSchedule"}]}}

    class NodeApi(MemoryApi):
        def items(self, path: str) -> list[Any]:
            return [node]

        def request(self, method: str, path: str, body: Any = None, content_type: str = "") -> Any:
            if method == "PATCH":
                node["spec"] = {**node["spec"], **body["spec"]}
            return node

    with tainted_nodes(NodeApi()):  # type: ignore[arg-type]
        assert [taint["key"] for taint in node["spec"]["taints"]] == ["gpu", "rehearsal.invalid/fault"]
    assert [taint["key"] for taint in node["spec"]["taints"]] == ["gpu"]
