"""The objects handler: its calls of kubectl, and its responses to CloudFormation."""

import json
import os
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from mlplatform_constructs._functions.custom_resource import RESPONSE_BYTES
from mlplatform_constructs._kubernetes.objects_handler import index, readiness
from mlplatform_constructs._kubernetes.objects_handler.kubectl import Failure, Kubectl, stub
from tests.manifests import Object, config_map, deployment, webhook

TOOL = """#!/usr/bin/env python3
import json, os, pathlib, sys
name, folder = pathlib.Path(sys.argv[0]).name, pathlib.Path(sys.argv[0]).parent
given = sys.stdin.read() if "--filename=-" in sys.argv else ""
with open(folder / "calls", "a") as calls:
    calls.write(json.dumps([name, *sys.argv[1:], given]) + "\\n")
answers = json.loads((folder / "answers.json").read_text())
out, error, status = answers.get(f"{name} {sys.argv[1]}", ["", "", 0])
print(out, end=""), print(error, end="", file=sys.stderr), sys.exit(status)
"""
LIVES_MILLISECONDS = 60_000


class Context:
    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return LIVES_MILLISECONDS


class Tools:
    """Replacements of kubectl and the AWS CLI that record their calls."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("kubectl", "aws"):
            (folder / name).write_text(TOOL, encoding="utf-8")
            (folder / name).chmod(stat.S_IRWXU)
        self.answer({})

    def answer(self, answers: Mapping[str, tuple[str, str, int]]) -> None:
        (self._folder / "answers.json").write_text(json.dumps(answers), encoding="utf-8")

    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self._folder / "calls").read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/keeper")
    monkeypatch.setattr(readiness, "POLL_SECONDS", 0)
    return Tools(tmp_path)


@pytest.fixture
def cloudformation() -> Iterator["Answers"]:
    server = Answers()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


class Answers(HTTPServer):
    """Where CloudFormation waits for the answer."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        super().__init__(("127.0.0.1", 0), _Receiver)

    def event(self, kind: str, type: str, **properties: str) -> dict[str, Any]:
        return {
            "RequestType": kind,
            "ResourceType": f"Custom::Kubernetes{type}",
            "ResponseURL": f"http://127.0.0.1:{self.server_port}/answer",
            "StackId": "arn:aws:cloudformation:eu-west-1:111111111111:stack/Services/1",
            "RequestId": "request-1",
            "LogicalResourceId": "Resource",
            "ResourceProperties": {"ClusterName": "training", **properties},
        }

    def answer(self) -> dict[str, Any]:
        (body,) = self.bodies
        answer: dict[str, Any] = json.loads(body)
        return answer


class _Receiver(BaseHTTPRequestHandler):
    server: Answers

    def do_PUT(self) -> None:
        assert self.headers["Content-Type"] == ""  # the signature of the address covers an empty one
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Keep quiet."""


@pytest.fixture
def kubectl(tools: Tools, tmp_path: Path) -> Kubectl:
    return Kubectl("training", end=time.monotonic() + 30, folder=str(tmp_path))


def test_kubectl_logs_in_once_and_gets_objects_as_one_list(tools: Tools, kubectl: Kubectl) -> None:
    tools.answer({"kubectl get": (json.dumps(config_map()), "", 0)})
    some = [stub("v1", "ConfigMap", "team-a", "settings"), stub("v1", "Namespace", "", "team-a")]
    assert kubectl.get(*some) == [config_map()]
    login, get = tools.calls()
    assert login[:5] == ["aws", "eks", "update-kubeconfig", "--name", "training"]
    assert get[:2] == ["kubectl", "get"]
    assert {"--ignore-not-found", "--output=json", "--filename=-"} <= set(get)
    assert json.loads(get[-1])["items"] == some


@pytest.mark.parametrize(
    ("said", "objects"),
    [
        ("", []),
        (json.dumps(config_map()), [config_map()]),
        (json.dumps({"kind": "List", "items": [config_map(), deployment()]}), [config_map(), deployment()]),
    ],
)
def test_the_output_of_kubectl_is_empty_one_object_or_a_list(
    tools: Tools, kubectl: Kubectl, said: str, objects: list[Object]
) -> None:
    tools.answer({"kubectl get": (said, "", 0)})
    assert kubectl.get(config_map()) == objects


def test_an_error_of_kubectl_is_reported_with_its_message(tools: Tools, kubectl: Kubectl) -> None:
    tools.answer({"kubectl apply": ("", "error: no matches for kind\n", 1)})
    with pytest.raises(Failure, match="^kubectl apply: error: no matches for kind$"):
        kubectl.apply(config_map())


def test_kinds_are_read_from_what_the_cluster_lists(tools: Tools, kubectl: Kubectl) -> None:
    listed = "configmaps  cm   v1       true   ConfigMap\nnotebooks        example.com/v1beta1   true   Notebook\n"
    tools.answer({"kubectl api-resources": (listed, "", 0)})
    known = {("", "ConfigMap"): "v1", ("example.com", "Notebook"): "example.com/v1beta1"}
    assert kubectl.served() == (known, "")


def test_a_wait_answers_when_its_objects_are_ready(tools: Tools, cloudformation: Answers) -> None:
    found = {**deployment(), "status": {"observedGeneration": 1, "updatedReplicas": 1, "availableReplicas": 1}}
    found["metadata"] |= {"generation": 1}
    tools.answer({"kubectl get": (json.dumps(found), "", 0)})
    index.handler(cloudformation.event("Create", "Readiness", Minutes="1", Waits=waits("RolledOut")), Context)
    answer = cloudformation.answer()
    assert answer["Status"] == "SUCCESS"
    assert answer["PhysicalResourceId"] == "Resource"
    assert answer["RequestId"] == "request-1"


def waits(state: str) -> str:
    wait = {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "team-a", "name": "server"}
    return json.dumps([{**wait, "state": state, "advice": "see whether there is a node"}])


@pytest.mark.promise("waits-explain", "bounded-waits", "readable-errors")
def test_a_timeout_reports_object_state_fix_and_log_group(
    tools: Tools, cloudformation: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {**deployment(), "status": {"observedGeneration": 1, "updatedReplicas": 1}}
    found["metadata"] |= {"generation": 1}
    found["status"]["conditions"] = [{"type": "Available", "status": "False", "message": "no minimum availability"}]
    tools.answer({"kubectl get": (json.dumps(found), "", 0)})
    monkeypatch.setattr(index, "ANSWER_SECONDS", LIVES_MILLISECONDS / 1_000 - 1)
    index.handler(cloudformation.event("Create", "Readiness", Minutes="10", Waits=waits("RolledOut")), Context)
    assert cloudformation.answer()["Status"] == "FAILED"
    assert cloudformation.answer()["Reason"].splitlines() == [
        "Not ready after 10 minutes:",
        "Deployment team-a/server must be RolledOut: of 1 pods, 1 are updated and 0 are available; "
        "Available is False: no minimum availability. To do: see whether there is a node. "
        "(log group /aws/lambda/keeper)",
    ]


def test_a_deleted_wait_calls_nothing(tools: Tools, cloudformation: Answers) -> None:
    index.handler(cloudformation.event("Delete", "Readiness", Minutes="10", Waits=waits("RolledOut")), Context)
    assert cloudformation.answer()["Status"] == "SUCCESS"
    assert [call[0] for call in tools.calls()] == ["aws"]


def test_an_inventory_is_recorded_under_an_id_of_its_contents(tools: Tools, cloudformation: Answers) -> None:
    index.handler(cloudformation.event("Create", "Inventory", Owner="c8", Objects="[]"), Context)
    answer = cloudformation.answer()
    assert answer["Status"] == "SUCCESS"
    assert answer["PhysicalResourceId"].startswith("c8/")
    (record,) = json.loads(tools.calls()[-1][-1])["items"]
    assert (record["metadata"]["namespace"], record["metadata"]["name"]) == ("kube-system", "inventory-c8")
    assert record["data"] == {"id": answer["PhysicalResourceId"], "objects": "[]"}


def test_an_update_gets_another_id_so_that_the_old_inventory_counts_as_replaced(
    tools: Tools, cloudformation: Answers
) -> None:
    event = cloudformation.event("Update", "Inventory", Owner="c8", Objects="[]")
    index.handler({**event, "PhysicalResourceId": "c8/before"}, Context)
    assert cloudformation.answer()["PhysicalResourceId"] not in ("c8/before", "c8/")


def test_an_update_that_fails_keeps_its_id_so_that_nothing_counts_as_replaced(
    tools: Tools, cloudformation: Answers
) -> None:
    tools.answer({"kubectl apply": ("", "connection refused", 1)})
    event = cloudformation.event("Update", "Inventory", Owner="c8", Objects="[]")
    index.handler({**event, "PhysicalResourceId": "c8/before"}, Context)
    assert cloudformation.answer()["PhysicalResourceId"] == "c8/before"
    assert cloudformation.answer()["Reason"].startswith("kubectl apply: connection refused")


@pytest.mark.promise("honest-deletion")
def test_a_removal_fails_when_the_cluster_does_not_answer(tools: Tools, cloudformation: Answers) -> None:
    tools.answer({"aws eks": ("", "An error occurred (AccessDeniedException)", 254)})
    event = cloudformation.event("Delete", "Inventory", Owner="c8", Objects="[]")
    index.handler({**event, "PhysicalResourceId": "c8/before"}, Context)
    assert cloudformation.answer()["Status"] == "FAILED"
    assert "cluster training: An error occurred (AccessDeniedException)" in cloudformation.answer()["Reason"]


@pytest.mark.promise("honest-deletion")
def test_a_removal_fails_if_the_remaining_objects_are_unknown(tools: Tools, cloudformation: Answers) -> None:
    """A part of the API that does not answer could hide objects."""
    tools.answer({"kubectl api-resources": ("", "unable to retrieve the complete list of server APIs", 1)})
    objects = json.dumps([[["example.com/v1", "Notebook", "team-a", ["mine"]]]])
    event = cloudformation.event("Delete", "Inventory", Owner="c8", Objects=objects)
    index.handler({**event, "PhysicalResourceId": "c8/before"}, Context)
    reason = cloudformation.answer()["Reason"]
    assert reason.startswith("Cannot determine whether any Notebook of example.com remains: unable to retrieve")


def test_a_removal_succeeds_when_the_cluster_is_gone(tools: Tools, cloudformation: Answers) -> None:
    tools.answer({"aws eks": ("", "An error occurred (ResourceNotFoundException): No cluster found", 254)})
    event = cloudformation.event("Delete", "Inventory", Owner="c8", Objects="[]")
    index.handler({**event, "PhysicalResourceId": "c8/before"}, Context)
    assert cloudformation.answer()["Status"] == "SUCCESS"


@pytest.mark.promise("readable-errors")
def test_anything_unexpected_is_answered_too(tools: Tools, cloudformation: Answers) -> None:
    index.handler(cloudformation.event("Create", "Surprise"), Context)
    assert cloudformation.answer()["Status"] == "FAILED"
    assert "KeyError" in cloudformation.answer()["Reason"]


@pytest.mark.promise("readable-errors")
def test_a_long_failure_fits_into_the_answer_with_its_beginning_and_its_end(
    tools: Tools, cloudformation: Answers
) -> None:
    words = "first line\n" + 'a "quoted" line \\ with ü\n' * 1_000 + "last line"
    tools.answer({"kubectl apply": ("", words, 1)})
    index.handler(cloudformation.event("Create", "Inventory", Owner="c8", Objects="[]"), Context)
    (body,) = cloudformation.bodies
    reason = cloudformation.answer()["Reason"]
    assert 3_500 < len(body) <= RESPONSE_BYTES
    assert reason.startswith("kubectl apply: first line")
    assert reason.endswith("last line (log group /aws/lambda/keeper)")
    assert "characters are in the log only" in reason


DONE = {"observedGeneration": 1, "updatedReplicas": 2, "availableReplicas": 2}


def rolling(status: Object, kind: str = "Deployment") -> Object:
    return {"kind": kind, "metadata": {"generation": 1}, "spec": {"replicas": 2}, "status": status}


@pytest.mark.parametrize(
    ("found", "lacking"),
    [
        (rolling(DONE), ""),
        (rolling({}), "its controller has not observed its latest generation"),
        (rolling({**DONE, "observedGeneration": 0}), "its controller has not observed its latest generation"),
        (rolling({**DONE, "updatedReplicas": 1}), "of 2 pods, 1 are updated and 2 are available"),
        (rolling({**DONE, "availableReplicas": 0}), "of 2 pods, 2 are updated and 0 are available"),
        (rolling({"observedGeneration": 1}, "DaemonSet"), ""),
        (
            rolling({"observedGeneration": 1, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3}, "DaemonSet"),
            "of 3 pods, 3 are updated and 0 are available",
        ),
        (rolling(DONE, "StatefulSet"), ""),
        ({**rolling(DONE), "metadata": {"generation": 1, "deletionTimestamp": "now"}}, "it is being deleted"),
    ],
)
def test_a_workload_is_rolled_out_when_all_its_pods_are_new_and_available(found: Object, lacking: str) -> None:
    assert readiness.lacks(found, "RolledOut") == lacking


@pytest.mark.parametrize(
    ("conditions", "lacking"),
    [
        ([{"type": "Ready", "status": "True"}], ""),
        ([], "it does not report Ready; it reports no conditions"),
        ([{"type": "Synced", "status": "True"}], "it does not report Ready; it reports Synced"),
        (
            [{"type": "Ready", "status": "False", "reason": "Pending", "message": "issuing"}],
            "Ready is False, Pending: issuing",
        ),
    ],
)
def test_a_condition_must_be_true(conditions: list[Object], lacking: str) -> None:
    assert readiness.lacks({"metadata": {}, "status": {"conditions": conditions}}, "Ready") == lacking


def test_every_webhook_of_the_cluster_needs_its_certificate_authority() -> None:
    assert readiness.lacks(webhook(), "CertificateInjected") == "no caBundle in guard.example.com"
    assert readiness.lacks(webhook(ca="Cg=="), "CertificateInjected") == ""
    outside = webhook()
    outside["webhooks"][0]["clientConfig"] = {"url": "https://example.com"}
    assert readiness.lacks(outside, "CertificateInjected") == ""


def test_an_existing_object_is_in_state_exists() -> None:
    assert readiness.lacks(config_map(), "Exists") == ""
