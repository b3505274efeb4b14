"""What the rehearsal changes in an assembly in order to see an update, and one that fails."""

import json
from pathlib import Path
from typing import Any

import pytest

from rehearsal import update
from rehearsal.assembly import Assembly

LABELS = {"app": "server"}
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}
SERVER = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "server", "namespace": "team"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": LABELS},
        "template": {"metadata": {"labels": LABELS}, "spec": {"serviceAccountName": "<role>"}},
    },
}
RECORD = [[["v1", "Namespace", "", ["team"]]], [["apps/v1", "Deployment", "team", ["server"]]]]
TOKEN = {"Fn::ImportValue": "dev-Security:Role"}


def stack(folder: Path, *objects: dict[str, Any], others: int = 0) -> Assembly:
    """An assembly of one stack that brings the objects, as the CDK writes it."""
    folder.mkdir(exist_ok=True)
    before, after = (
        json.dumps(objects).split("<role>") if "<role>" in json.dumps(objects) else (json.dumps(objects), "")
    )
    manifest = {"Fn::Join": ["", [before, TOKEN, after]]} if after else before
    resources = {
        "Inventory": {"Type": "Custom::KubernetesInventory", "Properties": {"Objects": json.dumps(RECORD)}},
        "OtherInventory": {"Type": "Custom::KubernetesInventory", "Properties": {"Objects": "[]"}},
        "Request": {"Type": "Custom::AWSCDK-EKS-KubernetesResource", "Properties": {"Manifest": manifest}},
        **{f"Topic{number}": {"Type": "AWS::SNS::Topic"} for number in range(others)},
    }
    (folder / "Services.template.json").write_text(json.dumps({"Resources": resources}))
    artifact = {
        "type": "aws:cloudformation:stack",
        "environment": "aws://000000000000/eu-west-1",
        "properties": {"templateFile": "Services.template.json"},
    }
    (folder / "manifest.json").write_text(json.dumps({"artifacts": {"Services": artifact}}))
    return Assembly(folder)


@pytest.fixture
def request_(tmp_path: Path) -> update.Request:
    found = update.find(stack(tmp_path / "assembly", NAMESPACE, SERVER))
    assert found
    return found


def objects(template: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects in the request of a template, with a placeholder for the token."""
    parts = template["Resources"]["Request"]["Properties"]["Manifest"]["Fn::Join"][1]
    assert [part for part in parts if not isinstance(part, str)] == [TOKEN]
    found: list[dict[str, Any]] = json.loads("".join(part if isinstance(part, str) else "<role>" for part in parts))
    return found


def test_an_update_changes_one_field_that_restarts_no_pod(request_: update.Request) -> None:
    changed = {**SERVER, "spec": {**SERVER["spec"], "revisionHistoryLimit": 11}}  # type: ignore[dict-item]
    assert request_.name == "Deployment team/server"
    assert objects(request_.updated()) == [NAMESPACE, changed]
    assert objects(request_.stack.template) == [NAMESPACE, SERVER]


def test_a_refused_update_changes_one_object_and_brings_another_before_it_fails(request_: update.Request) -> None:
    template = request_.refused(request_.updated())
    namespace, new, server = objects(template)
    assert namespace["metadata"]["annotations"] == {"rehearsal-refused": "true"}
    assert new == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "rehearsal-refused", "namespace": "team"},
    }
    assert server["spec"]["selector"]["matchLabels"] == {**LABELS, "rehearsal-refused": "true"}
    assert server["spec"]["revisionHistoryLimit"] == 11


def test_a_refused_update_has_its_new_object_on_record_as_synthesis_would(request_: update.Request) -> None:
    resources = request_.refused(request_.updated())["Resources"]
    record = json.loads(resources["Inventory"]["Properties"]["Objects"])
    assert record == [[*RECORD[0], ["v1", "ConfigMap", "team", ["rehearsal-refused"]]], RECORD[1]]
    assert resources["OtherInventory"]["Properties"]["Objects"] == "[]"


def test_the_smallest_stack_with_a_workload_behind_another_object_is_chosen(tmp_path: Path) -> None:
    large = stack(tmp_path, NAMESPACE, SERVER, others=5)
    for name in ("small", "alone"):
        stack(tmp_path / name, *([NAMESPACE, SERVER] if name == "small" else [SERVER]))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    for name in ("small", "alone"):
        manifest["artifacts"][name] = {"type": "cdk:cloud-assembly", "properties": {"directoryName": name}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    found = update.find(large)
    assert found
    assert found.stack.template_file == tmp_path / "small" / "Services.template.json"


def test_an_app_without_workloads_has_nothing_to_update(tmp_path: Path) -> None:
    assert update.find(stack(tmp_path, NAMESPACE)) is None


def test_the_change_of_each_object_is_reported() -> None:
    def found(uid: str, content: str) -> dict[str, Any]:
        return {"uid": uid, "generation": 1, "content": content}

    before = {"training": {"Pod a/b": found("1", "x"), "Role a/b": found("2", "x"), "Secret a/b": found("3", "x")}}
    after = {"training": {"Pod a/b": found("1", "y"), "Role a/b": found("4", "x"), "Service a/b": found("5", "x")}}
    assert update.differences(before, after) == {
        "Pod a/b": "changed",
        "Role a/b": "replaced",
        "Secret a/b": "gone",
        "Service a/b": "new",
    }
    assert update.differences(before, before) == {}
