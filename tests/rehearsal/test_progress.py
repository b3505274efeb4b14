import io

import pytest

from rehearsal.progress import Narrator

DEPLOYED = """\
✨  Synthesis time: 0.03s
local-Security: start: Building local-Security Template
local-Security: creating CloudFormation changeset...
local/Security (local-Security): deploying... [1/1]
local-Security | 0/5 | 8:57:08 PM | CREATE_IN_PROGRESS      | AWS::KMS::Key              | local/Security/Keys/Data
local-Security | 5/5 | 8:57:08 PM | CREATE_COMPLETE         | AWS::CloudFormation::Stack | local-Security

 ✅  local/Security (local-Security)
Outputs:
local-Security.Key = arn:aws:kms:us-east-1:000000000000:key/1
"""
FAILED = """\
local/Storage (local-Storage): deploying... [1/1]
local-Storage | 1/5 | 9:14:42 PM | CREATE_FAILED           | AWS::SNS::Topic            | Topic extraneous key [X]
Failed resources:
local-Storage | 9:14:42 PM | CREATE_FAILED           | AWS::SNS::Topic  | Topic extraneous key [X]
❌  local-Storage failed to deploy
‣ DeploymentError: Resource updates failed:
local/Storage/Topic  (AWS::SNS::Topic Topic)
  extraneous key [X]
"""


@pytest.fixture
def narrator() -> Narrator:
    return Narrator("deploy", out=io.StringIO())


def hear(narrator: Narrator, text: str) -> str:
    for line in text.splitlines():
        narrator.hear(line)
    assert isinstance(narrator.out, io.StringIO)
    return narrator.out.getvalue()


def test_a_stack_that_is_done_is_one_line_with_its_time(narrator: Narrator) -> None:
    said = hear(narrator, DEPLOYED)
    assert said.splitlines() == [f"{'deploy':<10}{'local/Security':<60}{0.0:8.1f} s"]
    assert narrator.seconds["local/Security"] < 1


@pytest.mark.parametrize(
    ("line", "id"),
    [
        ("✅  local/Security (local-Security)", "local/Security"),
        ("✅  local/Security (local-Security): destroyed", "local/Security"),
        ("✅  Tiny: destroyed", "Tiny"),
        ("✅  Environment aws://000000000000/us-east-1 bootstrapped.", "aws://000000000000/us-east-1"),
        ("\x1b[32m ✅  Tiny\x1b[39m", "Tiny"),
    ],
)
def test_a_stack_is_named_as_the_cli_names_it(narrator: Narrator, line: str, id: str) -> None:
    hear(narrator, line)
    assert list(narrator.seconds) == [id]


def test_a_stack_without_changes_is_not_worth_a_line(narrator: Narrator) -> None:
    assert hear(narrator, "✅  local/Security (local-Security) (no changes)") == ""


def test_after_a_success_there_is_nothing_more_to_say(narrator: Narrator) -> None:
    hear(narrator, DEPLOYED)
    assert narrator.words() == ""


def test_after_a_failure_the_words_are_those_of_the_cli_without_its_progress(narrator: Narrator) -> None:
    hear(narrator, FAILED)
    assert narrator.words().splitlines() == [
        "❌  local-Storage failed to deploy",
        "‣ DeploymentError: Resource updates failed:",
        "local/Storage/Topic  (AWS::SNS::Topic Topic)",
        "  extraneous key [X]",
    ]


def test_a_failure_that_the_cli_does_not_explain_is_explained(narrator: Narrator) -> None:
    hear(
        narrator,
        "Tiny |   2 | 8:57:12 PM | DELETE_FAILED           | AWS::Cognito::UserPool     | Pool protected\n"
        "❌  Tiny: destroy failed DeploymentError: DELETE_FAILED ([Pool])",
    )
    assert narrator.words().splitlines()[-1] == "AWS::Cognito::UserPool Pool protected"


def test_words_that_the_cli_does_not_sum_up_are_kept_whole(narrator: Narrator) -> None:
    hear(narrator, "Template format error: Unrecognized resource types: [AWS::SNS::Topik]")
    assert narrator.words() == "Template format error: Unrecognized resource types: [AWS::SNS::Topik]"


def test_a_silent_step_shows_signs_of_life(narrator: Narrator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rehearsal.progress._SILENCE_SECONDS", -1.0)
    assert "local-Security 0/5 AWS::KMS::Key ..." in hear(narrator, DEPLOYED)
