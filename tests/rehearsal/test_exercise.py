"""What the rehearsal sends to functions, and how it judges what becomes of it."""

import base64
import hashlib
import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from delivery.assembly import Stack, stacks_of
from mlplatform_constructs._identity.sign_in_gate_handler import index as gate
from rehearsal import events
from rehearsal.answers import Answers
from rehearsal.assembly import Assembly
from rehearsal.embedded_aws import EmbeddedAws
from rehearsal.errors import RehearsalError
from rehearsal.exercise import Exercise
from tests.assemblies import whole_assembly

FUNCTIONS = 10
"""Fewer than these mean that the templates were not read."""
OUTPUTS = {"Files": {"Value": {"Ref": "Files"}, "Export": {"Name": "shared"}}}


class Idle(EmbeddedAws):
    """An emulator that nothing is sent to."""

    def __init__(self) -> None:
        pass


@pytest.fixture
def assembly(tmp_path: Path) -> Assembly:
    """An assembly of one stack without resources, which exports the name of a bucket."""
    template = json.dumps({"Resources": {}, "Outputs": OUTPUTS})
    (tmp_path / "one.template.json").write_text(template, encoding="utf-8")
    stack = {
        "type": "aws:cloudformation:stack",
        "environment": "aws://000000000000/us-east-1",
        "properties": {"templateFile": "one.template.json"},
    }
    (tmp_path / "manifest.json").write_text(json.dumps({"artifacts": {"one": stack}}), encoding="utf-8")
    return Assembly(tmp_path)


@pytest.fixture
def stack(assembly: Assembly) -> Stack:
    return assembly.stacks[0]


@pytest.fixture
def exercise(assembly: Assembly) -> Exercise:
    return Exercise(assembly, Idle(), {"physical": [["one", "Files", "files-1"]]})


def test_every_function_gets_an_event_that_it_must_refuse() -> None:
    paths = [
        stack.paths.get(id, id)
        for stack in stacks_of("local", whole_assembly())
        for id in stack.resources("AWS::Lambda::Function")
    ]
    assert len(paths) > FUNCTIONS
    for path in paths:
        assert any(refused for _, refused in events.for_function(path)), path


@pytest.mark.parametrize(
    "path", ["LoadBalancer/SignOut/Function", "Users/Gate/Function", "Cluster/Nodes/Updates/Function"]
)
def test_a_function_that_something_else_than_cloudformation_calls_gets_a_good_event(path: str) -> None:
    assert any(not refused for _, refused in events.for_function(path))


@pytest.mark.parametrize("domains", [None, ["example.org"]])
def test_the_sign_in_gate_refuses_its_invalid_events_with_any_list_of_domains(
    monkeypatch: pytest.MonkeyPatch, domains: list[str] | None
) -> None:
    monkeypatch.setenv("ALLOWED_DOMAINS", json.dumps(domains))
    monkeypatch.setenv("ADDRESS_PARAMETERS", "[]")
    monkeypatch.setenv("PROVING_PROVIDERS", "[]")
    for event, refused in events.for_function("Users/Gate/Function"):
        if refused:
            with pytest.raises(gate.Refused):
                gate.handler(event, None)
        else:
            assert gate.handler(event, None) == event


def test_the_objects_of_a_model_repository_are_one_whole_version_and_one_that_lacks_its_files() -> None:
    first, later = dict(events.objects()), dict(events.missing_objects())
    for number, there in (("1", first), ("2", first | later)):
        document = json.loads(there[f"rehearsal/versions/{number}.json"])
        for file in document["package"]["files"]:
            body = there[f"rehearsal/packages/{number}/{document['package']['digest']}/{file['path']}"]
            assert file["checksum"] == base64.b64encode(hashlib.sha256(body).digest()).decode()
    assert not first.keys() & later.keys()


def test_properties_are_resolved_as_cloudformation_hands_them_over(exercise: Exercise, stack: Stack) -> None:
    given = {
        "Name": {"Ref": "Files"},
        "Paths": [{"Fn::Join": ["/", [{"Fn::GetAtt": ["Files", "Arn"]}, "a"]]}, {"Fn::ImportValue": "shared"}],
        "Count": "1",
    }
    resolved = exercise._resolved(stack, given)
    assert resolved == {"Name": "files-1", "Paths": ["files-1/a", "files-1"], "Count": "1"}


def test_a_reference_that_cannot_be_followed_is_named(exercise: Exercise, stack: Stack) -> None:
    with pytest.raises(RehearsalError, match="the rehearsal cannot resolve this reference"):
        exercise._resolved(stack, {"Name": {"Fn::Select": [0, "x"]}})


def test_answers_of_custom_resources_arrive() -> None:
    body: dict[str, Any] = {"Status": "SUCCESS"}
    with Answers() as answers:
        request = urllib.request.Request(answers.url, data=json.dumps(body).encode(), method="PUT")
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).close()
    assert answers.received == [body]
