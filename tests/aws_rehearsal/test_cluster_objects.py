"""What counts as a change of an object, and what does not."""

from collections.abc import Callable
from typing import Any

import pytest

Described = Callable[[dict[str, Any]], dict[str, Any]]
SERVER: dict[str, Any] = {
    "kind": "Deployment",
    "metadata": {"name": "server", "uid": "1", "generation": 4, "resourceVersion": "10", "managedFields": [{}]},
    "spec": {"replicas": 2},
    "status": {"availableReplicas": 0},
}


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> Described:
    monkeypatch.setenv("MINISTACK_TEST_NO_AUTOSTART", "1")
    from aws_rehearsal.emulator.cluster_objects import _described

    return _described


@pytest.fixture
def all_described(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setenv("MINISTACK_TEST_NO_AUTOSTART", "1")
    from aws_rehearsal.emulator.cluster_objects import _all_described

    return _all_described


def changed(**metadata: Any) -> dict[str, Any]:
    return {**SERVER, "metadata": {**SERVER["metadata"], **metadata}}


@pytest.mark.parametrize(
    "later",
    [
        {**SERVER, "status": {"availableReplicas": 2}},
        changed(resourceVersion="11"),
        changed(managedFields=[{"manager": "kubectl"}]),
        changed(generation=5),
    ],
)
def test_what_the_server_and_controllers_keep_is_no_change(described: Described, later: dict[str, Any]) -> None:
    assert described(later)["content"] == described(SERVER)["content"]


def test_an_elected_program_that_renews_its_lead_is_no_change(described: Described) -> None:
    first, later = (
        changed(annotations={"a": "b", "control-plane.alpha.kubernetes.io/leader": time}) for time in ("1", "2")
    )
    assert described(first)["content"] == described(later)["content"] != described(SERVER)["content"]


@pytest.mark.parametrize(
    "later", [{**SERVER, "spec": {"replicas": 3}}, changed(annotations={"a": "b"}), changed(finalizers=["mine"])]
)
def test_a_change_of_the_content_is_detected(described: Described, later: dict[str, Any]) -> None:
    assert described(later)["content"] != described(SERVER)["content"]


def test_an_object_of_the_same_name_has_another_id(described: Described) -> None:
    assert described(changed(uid="2"))["uid"] == "2"
    assert described(SERVER) == {"uid": "1", "generation": 4, "content": described(SERVER)["content"]}


def test_the_replicas_that_an_autoscaler_decides_on_are_no_change(all_described: Callable[..., Any]) -> None:
    target = {"scaleTargetRef": {"kind": "Deployment", "name": "server"}}
    autoscaler = {
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "server", "namespace": "team", "uid": "3"},
        "spec": target,
    }
    name, both = "Deployment team/server", {"HorizontalPodAutoscaler team/server": autoscaler}
    scaled = {**SERVER, "spec": {"replicas": 3}}
    first, later = (all_described({name: found, **both})[name]["content"] for found in (SERVER, scaled))
    assert first == later
    assert all_described({name: SERVER})[name] != all_described({name: scaled})[name]


def test_what_a_controller_made_is_omitted(all_described: Callable[..., Any]) -> None:
    made = {"kind": "Job", "metadata": {"name": "j", "uid": "4", "ownerReferences": [{"uid": "5", "controller": True}]}}
    owned = {"kind": "Secret", "metadata": {"name": "s", "uid": "6", "ownerReferences": [{"uid": "5"}]}}
    assert list(all_described({"Job team/j": made, "Secret team/s": owned})) == ["Secret team/s"]
