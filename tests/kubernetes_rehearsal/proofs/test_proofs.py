"""The findings of the proofs about charts, with a fake API."""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from kubernetes_rehearsal.client import ApiFailure
from kubernetes_rehearsal.interface import KubernetesError
from kubernetes_rehearsal.proofs import workloads
from kubernetes_rehearsal.proofs.admission import BadExample, check_pod_security, check_webhooks
from kubernetes_rehearsal.proofs.changes import check_drain, under_load
from kubernetes_rehearsal.proofs.examples import Example, check_example
from kubernetes_rehearsal.proofs.findings import Finding
from kubernetes_rehearsal.proofs.logs import cause, denied, repeated_errors
from kubernetes_rehearsal.proofs.mutations import Objects, mutations, run_mutations
from kubernetes_rehearsal.proofs.reachability import Connection, check_connections
from kubernetes_rehearsal.proofs.rules import check_rules
from kubernetes_rehearsal.proofs.workloads import check_workloads, is_available

Answer = Callable[[str, str, Any], Any]


class FakeApi:
    """Answers by path; a function where the answer depends on what is sent."""

    def __init__(self, answers: dict[str, Any], logs: dict[str, str] | None = None) -> None:
        self._answers = answers
        self._logs = logs or {}
        self.requests: list[tuple[str, str, Any]] = []

    def get(self, path: str) -> Any:
        return self.request("GET", path)

    def items(self, path: str) -> Any:
        return self._answers.get(path.partition("?")[0], [])

    def text(self, path: str) -> str:
        return self._logs.get(path.partition("?")[0], "")

    def request(self, method: str, path: str, body: Any = None, content_type: str = "") -> Any:
        self.requests.append((method, path, body))
        answer = self._answers.get(path.partition("?")[0])
        if callable(answer):
            return answer(method, path, body)
        if answer is None:
            raise ApiFailure(404, "NotFound", "not found")
        return answer


RESOURCES = {"resources": [{"kind": "Job", "name": "jobs", "namespaced": True}]}
JOB = {"apiVersion": "work.org/v1", "kind": "Job", "metadata": {"name": "one", "namespace": "churn"}}
JOBS = "/apis/work.org/v1/namespaces/churn/jobs"


def _deployment(available: int, restarts: int = 0, waiting: str = "") -> dict[str, Any]:
    state = {"waiting": {"reason": waiting, "message": "no such image"}} if waiting else {"running": {}}
    found = {
        "metadata": {"name": "web", "namespace": "churn", "generation": 2},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}},
        "status": {"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": available},
    }
    pod = {
        "metadata": {"name": "web-1", "namespace": "churn"},
        "status": {"containerStatuses": [{"name": "web", "restartCount": restarts, "state": state}]},
    }
    return {
        "/apis/apps/v1/namespaces/churn/deployments": [found],
        "/apis/apps/v1/namespaces/churn/deployments/web": found,
        "/api/v1/namespaces/churn/pods": [pod],
    }


def _said(findings: Sequence[Finding]) -> list[str]:
    return [str(finding) for finding in findings]


def test_a_workload_that_runs_quietly_has_no_findings() -> None:
    report = check_workloads(FakeApi(_deployment(1)), ["churn"])  # type: ignore[arg-type]
    assert list(report.running) == ["Deployment churn/web"]
    assert report.findings == []


def test_a_workload_that_is_late_gives_its_pods_reason() -> None:
    api = FakeApi(_deployment(0, waiting="ErrImagePull"))
    report = check_workloads(api, ["churn"], bound_seconds=0)  # type: ignore[arg-type]
    assert _said(report.findings) == [
        "Deployment churn/web: not available in time: pod web-1: container web: ErrImagePull: no such image"
    ]


def test_a_program_that_ended_is_named_with_its_exit_code_and_last_words() -> None:
    answers = _deployment(0)
    ended = {"terminated": {"reason": "Error", "exitCode": 2}}
    answers["/api/v1/namespaces/churn/pods"][0]["status"]["containerStatuses"][0]["state"] = ended
    logs = {"/api/v1/namespaces/churn/pods/web-1/log": "usage: web\nunknown flag --prot"}
    (finding,) = check_workloads(FakeApi(answers, logs), ["churn"], bound_seconds=0).findings  # type: ignore[arg-type]
    assert str(finding).endswith("container web: Error, exit code 2: unknown flag --prot")


def test_a_probe_that_fails_is_named() -> None:
    answers = _deployment(0)
    answers["/api/v1/namespaces/churn/pods"][0]["status"]["conditions"] = [
        {"type": "Ready", "status": "False", "message": "containers with unready status: [web]"}
    ]
    answers["/api/v1/namespaces/churn/events"] = [
        {"type": "Warning", "involvedObject": {"name": "web-1"}, "message": "Readiness probe failed: refused"}
    ]
    (finding,) = check_workloads(FakeApi(answers), ["churn"], bound_seconds=0).findings  # type: ignore[arg-type]
    assert str(finding).endswith("containers with unready status: [web]: Readiness probe failed: refused")


def test_a_restart_is_a_finding() -> None:
    report = check_workloads(FakeApi(_deployment(1, restarts=2)), ["churn"])  # type: ignore[arg-type]
    assert "Pod churn/web-1: container web: restarted 2 times" in _said(report.findings)[0]


def _replaced(restarts_again: int, log: str = "") -> FakeApi:
    """A workload whose pod has restarted; once it is deleted, the next one has restarted as often as is said."""
    answers = _deployment(1, restarts=1)
    pods = answers["/api/v1/namespaces/churn/pods"]
    following = _deployment(1, restarts=restarts_again)["/api/v1/namespaces/churn/pods"]

    def delete(method: str, path: str, body: Any) -> None:
        pods[:] = following

    answers["/api/v1/namespaces/churn/pods/web-1"] = delete
    return FakeApi(answers, {"/api/v1/namespaces/churn/pods/web-1/log": log})


def test_a_restart_that_the_next_pod_does_not_repeat_is_reported_and_no_finding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workloads, "_REPLACED_SECONDS", 0)
    report = check_workloads(_replaced(0), ["churn"], second_chance=True)  # type: ignore[arg-type]
    assert report.findings == []
    assert list(report.replaced) == ["Pod churn/web-1: container web: restarted 1 times: unknown, exit code unknown: "]


def test_a_restart_that_the_next_pod_repeats_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workloads, "_REPLACED_SECONDS", 0)
    report = check_workloads(_replaced(1), ["churn"], second_chance=True)  # type: ignore[arg-type]
    assert "restarted 1 times" in _said(report.findings)[0]


def test_an_error_that_the_next_pod_does_not_repeat_is_reported_and_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workloads, "_REPLACED_SECONDS", 0)
    answers = _deployment(1)
    logs = {"/api/v1/namespaces/churn/pods/web-1/log": "E1130 cannot reach the database\n" * 3}

    def delete(method: str, path: str, body: Any) -> None:
        logs.clear()

    answers["/api/v1/namespaces/churn/pods/web-1"] = delete
    report = check_workloads(FakeApi(answers, logs), ["churn"], second_chance=True)  # type: ignore[arg-type]
    assert report.findings == []
    assert list(report.replaced) == [
        "Pod churn/web-1: container web: repeats an error: E1130 cannot reach the database"
    ]


def test_a_missing_right_of_a_pod_that_is_replaced_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workloads, "_REPLACED_SECONDS", 0)
    api = _replaced(0, "E1130 pods is forbidden")
    report = check_workloads(api, ["churn"], second_chance=True)  # type: ignore[arg-type]
    assert _said(report.findings) == [
        "Pod churn/web-1: container web: lacks a right; grant it: E1130 pods is forbidden"
    ]


def test_a_missing_right_in_a_log_is_a_finding() -> None:
    logs = {"/api/v1/namespaces/churn/pods/web-1/log": 'E1130 pods is forbidden: cannot list resource "pods"'}
    report = check_workloads(FakeApi(_deployment(1), logs), ["churn"])  # type: ignore[arg-type]
    assert "lacks a right; grant it: E1130 pods is forbidden" in _said(report.findings)[0]


def test_a_workload_of_stand_ins_is_stored_only() -> None:
    answers = _deployment(1)
    annotations = {"rehearsal.invalid/stored-only": "example.org/web:1"}
    answers["/api/v1/namespaces/churn/pods"][0]["metadata"]["annotations"] = annotations
    report = check_workloads(FakeApi(answers), ["churn"])  # type: ignore[arg-type]
    assert report.stored_only == {"Deployment churn/web": "example.org/web:1"}
    assert report.running == {}


def test_a_workload_that_stands_in_for_another_is_stored_only_with_what_it_is_in_place_of() -> None:
    answers = _deployment(1)
    (found,) = answers["/apis/apps/v1/namespaces/churn/deployments"]
    found["metadata"]["annotations"] = {"rehearsal.invalid/stands-for": "EKS add-on cert-manager"}
    report = check_workloads(FakeApi(answers), ["churn"])  # type: ignore[arg-type]
    assert report.stored_only == {"Deployment churn/web": "EKS add-on cert-manager"}
    assert (report.running, report.idle) == ({}, [])


def _rules_api() -> FakeApi:
    return FakeApi(
        {
            "/apis": {"groups": [{"name": "work.org", "versions": [{"groupVersion": "work.org/v1"}]}]},
            "/apis/work.org/v1": {"resources": [{"name": "jobs"}, {"name": "jobs/status"}]},
            "/api/v1": {"resources": [{"name": "pods"}]},
        }
    )


def _role(name: str, groups: list[str], *resources: str) -> dict[str, Any]:
    rule = {"apiGroups": groups, "resources": list(resources), "verbs": ["get"]}
    return {"kind": "ClusterRole", "metadata": {"name": name}, "rules": [rule]}


def _definition(group: str, plural: str) -> dict[str, Any]:
    return {"spec": {"group": group, "names": {"plural": plural}}}


def test_a_rule_for_a_resource_that_its_group_does_not_serve_is_a_finding() -> None:
    good = [
        _role("jobs", ["work.org"], "jobs", "jobs/finalizers"),
        _role("everything", [""], "*"),
        _role("all-groups", ["*"], "things"),
        {"kind": "ClusterRole", "metadata": {"name": "urls"}, "rules": [{"nonResourceURLs": ["/metrics"]}]},
    ]
    wrong = _role("wrong", ["work.org", ""], "jobsmisspelt", "pods/log")
    assert _said(check_rules(_rules_api(), [*good, wrong])) == [  # type: ignore[arg-type]
        "ClusterRole wrong: a rule names the resource 'jobsmisspelt', which the API groups ['work.org', ''] do not "
        "serve; correct it"
    ]


def test_a_rule_for_an_api_group_that_no_component_serves_is_a_finding() -> None:
    wrong = _role("wrong", ["work.org", "missing.org"], "jobs", "things")
    assert _said(check_rules(_rules_api(), [wrong], [_definition("other.org", "things")])) == [  # type: ignore[arg-type]
        "ClusterRole wrong: a rule names the API group 'missing.org', which does not exist; correct it"
    ]


def test_resources_of_components_that_are_not_installed_are_checked_by_their_definitions() -> None:
    others = [_definition("other.org", "things")]
    good = _role("good", ["other.org", "work.org"], "things", "jobs")
    wrong = _role("wrong", ["other.org"], "thingsmisspelt")
    assert _said(check_rules(_rules_api(), [good, wrong], others)) == [  # type: ignore[arg-type]
        "ClusterRole wrong: a rule names the resource 'thingsmisspelt', which the API groups ['other.org'] do not "
        "serve; correct it"
    ]


def test_only_the_named_workloads_are_checked() -> None:
    api = FakeApi(_deployment(0, waiting="ErrImagePull"))
    report = check_workloads(api, ["churn"], bound_seconds=0, only={"Deployment churn/other"})  # type: ignore[arg-type]
    assert (report.running, report.findings) == ({}, [])


def test_a_workload_without_replicas_is_idle() -> None:
    answers = _deployment(0)
    (found,) = answers["/apis/apps/v1/namespaces/churn/deployments"]
    found["spec"]["replicas"] = 0
    found["status"] |= {"replicas": 0, "updatedReplicas": 0}
    answers["/api/v1/namespaces/churn/pods"] = []
    report = check_workloads(FakeApi(answers), ["churn"])  # type: ignore[arg-type]
    assert report.idle == ["Deployment churn/web"]
    assert report.running == {}


def test_an_old_generation_is_not_available() -> None:
    (found,) = _deployment(1)["/apis/apps/v1/namespaces/churn/deployments"]
    found["status"]["observedGeneration"] = 1
    assert not is_available("Deployment", found)


@pytest.mark.parametrize("line", ["E1130 10:00 x is forbidden: no", "level=error Unauthorized", "403 Forbidden"])
def test_a_denial_is_seen_in_any_wording(line: str) -> None:
    assert denied(["all is well", line]) == [line]


def test_an_error_counts_when_it_comes_again() -> None:
    once = ["E1130 10:00:01 cannot reach 10.0.0.1", "I1130 10:00:02 fine"]
    quiet = ["D1130 retrying after an error"] * 5
    assert repeated_errors(quiet) == []
    again = [f"E1130 10:00:0{second} cannot reach 10.0.0.{second}" for second in range(3)]
    assert repeated_errors(once) == []
    assert repeated_errors(again) == again[:1]


def test_conflicts_of_two_writers_are_no_errors() -> None:
    said = "the object has been modified; please apply your changes to the latest version and try again"
    conflict = f'E1130 12:00:00.0 1 "Unhandled Error" err="{said}"'
    assert repeated_errors([conflict] * 5) == []


def _refusing(message: str) -> Answer:
    def refuse(method: str, path: str, body: Any) -> Any:
        raise ApiFailure(400, "BadRequest", message)

    return refuse


def _webhook(answer: Any) -> FakeApi:
    return FakeApi({"/apis/work.org/v1": RESOURCES, JOBS: answer})


def test_a_webhook_that_accepts_valid_and_refuses_invalid_objects_passes() -> None:
    denial = 'admission webhook "jobs.work.org" denied the request: replicas must be 1 or more'
    assert check_webhooks(_webhook({}), [JOB], []) == []  # type: ignore[arg-type]
    assert check_webhooks(_webhook(_refusing(denial)), [], [BadExample(JOB, "replicas")]) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "finding"),
    [
        ({}, "an invalid example is accepted; its webhook is not called"),
        (
            _refusing("Job is invalid: spec.x"),
            "an invalid example is refused, but by no webhook: Job is invalid: spec.x",
        ),
        (
            _refusing('admission webhook "a" denied the request: other'),
            "an invalid example is refused without 'replicas': other",
        ),
    ],
)
def test_a_webhook_that_does_not_decide_is_a_finding(answer: Any, finding: str) -> None:
    (found,) = check_webhooks(_webhook(answer), [], [BadExample(JOB, "replicas")])  # type: ignore[arg-type]
    assert str(found) == f"Job churn/one: {finding}"


def test_a_refused_valid_example_is_a_finding() -> None:
    refused = _refusing("failed calling webhook: no endpoints available")
    (found,) = check_webhooks(_webhook(refused), [JOB], [])  # type: ignore[arg-type]
    assert "a valid example is refused: failed calling webhook" in str(found)


def _namespace(level: str | None, answer: Any) -> FakeApi:
    labels = {"pod-security.kubernetes.io/enforce": level} if level else {}
    return FakeApi(
        {
            "/api/v1/namespaces/churn": {"metadata": {"labels": labels}},
            "/api/v1": {"resources": [{"kind": "Pod", "name": "pods", "namespaced": True}]},
            "/api/v1/namespaces/churn/pods": answer,
        }
    )


def test_an_enforced_level_refuses_a_pod() -> None:
    refusal = _refusing('pods "forbidden" is forbidden: violates PodSecurity "restricted:latest"')
    assert check_pod_security(_namespace("restricted", refusal), ["churn"]) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(("level", "finding"), [(None, "enforces no level"), ("restricted", "it is accepted")])
def test_a_level_that_does_not_hold_is_a_finding(level: str | None, finding: str) -> None:
    (found,) = check_pod_security(_namespace(level, {}), ["churn"])  # type: ignore[arg-type]
    assert finding in str(found)


def test_an_example_that_acts_is_right() -> None:
    done = {"status": {"conditions": [{"type": "Succeeded", "status": "True"}]}}
    api = FakeApi({"/apis/work.org/v1": RESOURCES, f"{JOBS}/one": done})
    assert check_example(api, Example(JOB, "Succeeded")) == []  # type: ignore[arg-type]
    assert api.requests[-1][0] == "DELETE"


def test_an_example_that_does_not_act_names_what_is_missing() -> None:
    failed = {"status": {"conditions": [{"type": "Failed", "status": "True", "message": "no pods"}]}}
    api = FakeApi({"/apis/work.org/v1": RESOURCES, f"{JOBS}/one": failed})
    made = {**JOB, "metadata": {"name": "two", "namespace": "churn"}}
    example = Example(JOB, "Succeeded", makes=[made], bound_seconds=0)
    assert _said(check_example(api, example)) == [  # type: ignore[arg-type]
        "Job one: its controller did not create Job two",
        "Job one: is not Succeeded after 0 s: Failed is True: no pods",
    ]


def test_requests_that_fail_under_load_are_counted() -> None:
    def request() -> None:
        raise OSError("refused")

    with under_load(request) as load:
        while not load.failures:
            pass
    assert load.answered == 0
    assert load.failures[0] == "OSError('refused')"


def test_a_drain_that_a_budget_stops_is_a_finding() -> None:
    pod = {"metadata": {"name": "web-1", "namespace": "churn"}, "status": {"phase": "Running"}}
    api = FakeApi(
        {
            "/api/v1/nodes/a": {},
            "/api/v1/pods": [pod],
            "/api/v1/namespaces/churn/pods/web-1/eviction": lambda *_: (_ for _ in ()).throw(
                ApiFailure(429, "TooManyRequests", "budget")
            ),
        }
    )
    (found,) = check_drain(api, "a", bound_seconds=0.3)  # type: ignore[arg-type]
    assert str(found) == "Node a: is not empty 0 s after a drain began: churn/web-1"
    assert api.requests[-1] == ("PATCH", "/api/v1/nodes/a", {"spec": {"unschedulable": False}})


def test_a_connection_that_no_policy_allows_is_a_finding() -> None:
    refused = Connection("churn", "web-1", "10.0.0.1", 80, allowed=False)
    assert check_connections(lambda *_: False, [refused]) == []
    (found,) = check_connections(lambda *_: True, [refused], bound_seconds=0)
    assert str(found) == "Pod churn/web-1: a connection to 10.0.0.1:80 is made, which no policy allows"


ROLE = {
    "kind": "ClusterRole",
    "metadata": {"name": "web"},
    "rules": [{"verbs": ["get", "list"], "resources": ["pods"]}],
}
DEPLOYMENT = {
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "churn"},
    "spec": {
        "template": {
            "spec": {
                "containers": [
                    {
                        "name": "web",
                        "args": ["--port=80"],
                        "env": [{"name": "MODE", "value": "x"}],
                        "ports": [{"containerPort": 80}],
                        "volumeMounts": [{"name": "cert", "mountPath": "/cert"}],
                    }
                ],
                "volumes": [{"name": "cert"}],
            }
        }
    },
}


def test_every_part_of_a_chart_is_removed_once() -> None:
    assert [str(mutation) for mutation in mutations([ROLE, DEPLOYMENT])] == [
        "ClusterRole web: without the right to get pods",
        "ClusterRole web: without the right to list pods",
        "Deployment churn/web: without argument --port=80 of container web",
        "Deployment churn/web: without variable MODE of container web",
        "Deployment churn/web: without port 80 of container web",
        "Deployment churn/web: without volume cert",
    ]


def test_a_volume_is_removed_with_its_mounts() -> None:
    last = list(mutations([ROLE, DEPLOYMENT]))[-1].objects[1]
    pod = last["spec"]["template"]["spec"]
    assert pod["volumes"] == []
    assert pod["containers"][0]["volumeMounts"] == []


def test_each_mutation_is_reported_when_it_is_checked_and_the_share_at_the_end() -> None:
    lines: list[str] = []

    def check(objects: Objects) -> list[Finding]:
        lines.append("checked")
        verbs = objects[0]["rules"][0]["verbs"]
        return [Finding("Pod web", "forbidden")] if "list" not in verbs else []

    report = run_mutations(mutations([ROLE]), [check], lines.append)
    assert lines == [
        "checked",
        "nothing would notice: ClusterRole web: without the right to get pods",
        "checked",
        "noticed: ClusterRole web: without the right to list pods: Pod web: forbidden",
    ]
    assert report.share == 0.5
    assert str(report) == "1 of 2 changes are noticed (50%)"


def test_clusters_check_mutations_at_the_same_time_and_the_report_keeps_their_order() -> None:
    both = threading.Barrier(2, timeout=10)
    checked: dict[str, list[str]] = {"first": [], "second": []}

    def check(cluster: str, objects: Objects) -> list[Finding]:
        both.wait()
        (verb,) = objects[0]["rules"][0]["verbs"]
        checked[cluster].append(verb)
        return [Finding("Pod web", f"may not {verb}")]

    report = run_mutations(mutations([ROLE]), [partial(check, cluster) for cluster in checked], lambda line: None)
    assert sorted(map(len, checked.values())) == [1, 1]
    assert [str(finding) for finding in report.noticed.values()] == ["Pod web: may not list", "Pod web: may not get"]


def test_a_mutation_that_cannot_be_checked_ends_the_others() -> None:
    checked: list[Objects] = []

    def check(objects: Objects) -> list[Finding]:
        checked.append(objects)
        raise KubernetesError("Pod web is still there after 60 s")

    with pytest.raises(KubernetesError, match="still there"):
        run_mutations(mutations([ROLE]), [check], lambda line: None)
    assert len(checked) == 1


def test_an_unknown_argument_is_the_cause_of_an_end_whatever_usage_follows() -> None:
    usage = ["flag provided but not defined: -enable-schema", "Usage of /manager:", "  -enable-scheme value"]
    assert cause(usage) == ["flag provided but not defined: -enable-schema"]
    assert cause(["starting", "no certificate"]) == ["no certificate"]
    assert cause([]) == []


def test_a_panic_is_the_cause_of_an_end_whatever_trace_follows() -> None:
    trace = ["starting", "panic: no certificate", "", "goroutine 1 [running]:", "\tserver.go:37 +0x88"]
    assert cause(trace) == ["panic: no certificate"]


def test_the_error_before_a_trace_is_the_cause_of_an_end() -> None:
    error = "2026-01-01T00:00:00Z\tERROR\tsetup\tproblem running manager"
    assert cause(["starting", error, "main.main", "\t/src/main.go:12", "runtime.main", "\truntime/proc.go:290"]) == [
        error
    ]
    assert cause(["starting", "\truntime/proc.go:290"]) == ["\truntime/proc.go:290"]


def test_a_pod_that_the_api_refuses_is_explained_with_its_message() -> None:
    answers = _deployment(0)
    found = answers["/apis/apps/v1/namespaces/churn/deployments/web"]
    found["status"]["conditions"] = [
        {"type": "Available", "status": "False", "message": "Deployment does not have minimum availability."},
        {"type": "ReplicaFailure", "status": "True", "message": 'violates PodSecurity "restricted:latest"'},
    ]
    answers["/api/v1/namespaces/churn/pods"] = []
    report = check_workloads(FakeApi(answers), ["churn"], bound_seconds=0)  # type: ignore[arg-type]
    assert _said(report.findings) == [
        'Deployment churn/web: not available in time: violates PodSecurity "restricted:latest"'
    ]
