"""How the outcome of a step is judged."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from delivery.assembly import Stack
from rehearsal import rehearsal as steps
from rehearsal.assembly import Assembly
from rehearsal.cdk import Cdk
from rehearsal.embedded_aws import EmbeddedAws
from rehearsal.errors import RehearsalError
from rehearsal.progress import Narrator
from rehearsal.update import Objects, Request

DEPLOYED = {"stacks": [["eu-west-1", "dev-Network", "CREATE_COMPLETE", 12]]}
CHANGED = {"stacks": [["eu-west-1", "dev-Network", "UPDATE_COMPLETE", 18]]}
EMPTY: dict[str, Any] = {"resources": [], "stacks": [], "kept": [], "managed": {}, "kubernetes": []}


SERVER, GATEWAY = "Deployment team/server", "Service team/gateway"
IMMUTABLE = "spec.selector: Invalid value: field is\n  immutable"


class Scripted:
    """Replaces the emulator and the CLI.

    :param objects: what the clusters hold, at each call.
    :param failure: what the CLI says of an update that fails. Default: it goes through.
    """

    def __init__(self, *states: dict[str, Any], objects: Sequence[Objects] = (), failure: str = "") -> None:
        self._states = iter(states)
        self._objects = iter(objects)
        self._failure = failure

    def state(self) -> dict[str, Any]:
        return next(self._states)

    def objects(self) -> Objects:
        return next(self._objects)

    def deploy(self, assembly: Assembly, *, step: str) -> Narrator:
        return Narrator(step)

    def update(self, assembly: Assembly, *stacks: str, step: str = "update") -> Narrator:
        if self._failure:
            raise RehearsalError(self._failure)
        return Narrator(step)


class Workload(Request):
    """The workload that is updated, without an assembly."""

    name = SERVER


WORKLOAD = Workload(Stack("dev/Services", "dev-Services", "000000000000", "eu-west-1", Path("none")), "Request", 1)


def cluster(server: str = "as it was", gateway: str = "as it was", **others: str) -> Objects:
    """A cluster with two objects, and maybe more, of these contents."""
    contents = {SERVER: server, GATEWAY: gateway, **others}
    return {"training": {name: {"uid": name, "generation": 1, "content": is_} for name, is_ in contents.items()}}


def update_in_place(*objects: Objects) -> None:
    scripted = Scripted(objects=objects)
    steps._update_in_place(cast(Cdk, scripted), cast(EmbeddedAws, scripted), WORKLOAD, Assembly(Path("none")))


def roll_back(*objects: Objects, failure: str = IMMUTABLE, status: str = "UPDATE_ROLLBACK_COMPLETE") -> None:
    stacks = {"stacks": [["eu-west-1", "dev-Services", status, 20]]}
    scripted = Scripted(stacks, objects=objects, failure=failure)
    steps._roll_back(cast(Cdk, scripted), cast(EmbeddedAws, scripted), WORKLOAD, Assembly(Path("none")))


def deploy_again(tmp_path: Path, *states: dict[str, Any]) -> None:
    (tmp_path / "manifest.json").write_text('{"artifacts": {}}')
    scripted = Scripted(*states)
    steps._deploy_again(cast(Cdk, scripted), cast(EmbeddedAws, scripted), Assembly(tmp_path))


def test_a_second_deployment_that_changes_nothing_is_fine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deploy_again(tmp_path, DEPLOYED, DEPLOYED)
    assert "unchanged" in capsys.readouterr().out


@pytest.mark.promise("repeatable")
def test_a_second_deployment_that_changes_a_stack_fails_and_names_it(tmp_path: Path) -> None:
    with pytest.raises(RehearsalError, match="^dev-Network: changed by a second deployment of the same sources"):
        deploy_again(tmp_path, DEPLOYED, CHANGED)


def test_an_update_that_changes_one_object_in_place_is_fine(capsys: pytest.CaptureFixture[str]) -> None:
    update_in_place(cluster(), cluster(server="new"))
    assert "Deployment team/server in place, 1 others unchanged" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("after", "what"),
    [
        (cluster(), "no change"),
        (cluster(server="new", gateway="new"), "Deployment team/server changed, Service team/gateway changed"),
        ({"training": {GATEWAY: cluster()["training"][GATEWAY]}}, "Deployment team/server gone"),
    ],
)
def test_an_update_that_changes_nothing_or_anything_else_fails_and_is_named(after: Objects, what: str) -> None:
    with pytest.raises(RehearsalError, match=f"must change only that object, in place; changed are: {what}$"):
        update_in_place(cluster(), after)


def test_an_update_that_is_refused_and_leaves_no_trace_is_fine(capsys: pytest.CaptureFixture[str]) -> None:
    roll_back(cluster(), cluster())
    assert "dev/Services unchanged after a refused update" in capsys.readouterr().out


@pytest.mark.promise("updates-in-place")
def test_a_trace_of_a_refused_update_fails_and_is_named() -> None:
    with pytest.raises(RehearsalError, match="after a failed update, with: Service team/gateway changed$"):
        roll_back(cluster(), cluster(gateway="half-way"))


def test_a_rollback_that_fails_is_no_rollback() -> None:
    with pytest.raises(RehearsalError, match="^dev/Services: UPDATE_ROLLBACK_FAILED after a failed update"):
        roll_back(cluster(), cluster(), status="UPDATE_ROLLBACK_FAILED")


def test_an_update_that_fails_for_another_reason_ends_the_rehearsal_with_it() -> None:
    with pytest.raises(RehearsalError, match="^no credentials$"):
        roll_back(cluster(), failure="no credentials")


def test_a_forbidden_change_that_goes_through_fails() -> None:
    with pytest.raises(RehearsalError, match="a change of the selector of Deployment team/server was not refused"):
        roll_back(cluster(), failure="")


@pytest.mark.promise("no-leftovers")
def test_what_is_left_fails_and_is_named() -> None:
    left = EMPTY | {"resources": [["ec2._volumes", "eu-west-1", "vol-1"]]}
    with pytest.raises(RehearsalError) as failure:
        steps._leave_nothing(EMPTY, left, {})
    assert str(failure.value) == "1 thing left after everything was destroyed:\n  ec2 volumes vol-1 in eu-west-1"


def test_what_is_retained_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    bucket = ["eu-west-1", "AWS::S3::Bucket", "models"]
    steps._leave_nothing(EMPTY, EMPTY | {"resources": [["s3._buckets", "", "models"]], "kept": [bucket]}, {})
    assert "none among 1 resources, 1 retained" in capsys.readouterr().out


def test_a_stack_kept_for_retained_resources_is_reported_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    steps._leave_nothing(EMPTY, EMPTY | DEPLOYED, {"dev-Network": "needed by dev/Metadata"})
    assert "dev-Network stays: needed by dev/Metadata" in capsys.readouterr().out


def test_destroying_a_stack_that_retained_resources_need_fails() -> None:
    with pytest.raises(RehearsalError, match="^dev-Metadata: destroyed, although retained resources need it$"):
        steps._leave_nothing(EMPTY, EMPTY, {"dev-Metadata": "Database is retained and is in the network"})
