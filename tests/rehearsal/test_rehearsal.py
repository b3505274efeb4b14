"""The rehearsal command with a small app: output, exit status, remains."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from kubernetes_rehearsal.given_clusters import KUBECONFIG
from kubernetes_rehearsal.inventory import objects
from kubernetes_rehearsal.kubeconfig import kubeconfig
from rehearsal.__main__ import main
from rehearsal.errors import RehearsalError
from rehearsal.processes import command_line
from rehearsal.run import exclusive_run
from tests.kubernetes_rehearsal.kubernetes_apis import MINOR, client, cluster

ROOT = Path(__file__).parents[2]
TINY_APP = Path(__file__).parent / "tiny_app.py"
GOOD = {
    "Topic": {"Type": "AWS::SNS::Topic"},
    "Cache": {"Type": "AWS::DAX::SubnetGroup", "Properties": {"SubnetIds": ["subnet-1"]}},
    "Kept": {"Type": "AWS::SQS::Queue", "DeletionPolicy": "Retain"},
}
CLUSTER = {
    "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
    "Subnet": {"Type": "AWS::EC2::Subnet", "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.0.0.0/24"}},
    "Cluster": {
        "Type": "AWS::EKS::Cluster",
        "Properties": {
            "Version": MINOR,
            # Of the bootstrap: an app with a role of its own must make a call as one.
            "RoleArn": "arn:aws:iam::000000000000:role/cdk-hnb659fds-cfn-exec-role-000000000000-us-east-1",
            "ResourcesVpcConfig": {"SubnetIds": [{"Ref": "Subnet"}]},
        },
    },
}
BROKEN = {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayNam": "typing error"}}}
SLOW = f"{sys.executable} -c 'import time; time.sleep(60)'"

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def start(cache: Path) -> Iterator[Start]:
    """Start a rehearsal with its own cache, independent of others on this machine."""
    started: list[subprocess.Popen[str]] = []

    def start(app: str, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "rehearsal", "--cache", str(cache), "--app", app, *arguments]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def tiny_app(tmp_path: Path) -> Callable[[dict[str, Any]], str]:
    """A command that synthesizes a stack of these resources."""

    def command(resources: dict[str, Any]) -> str:
        template = tmp_path / "template.json"
        template.write_text(json.dumps({"Resources": resources}))
        return f"{sys.executable} {TINY_APP} {template}"

    return command


def emulator_of(cache: Path) -> int:
    """Process of the emulator, once it exists."""
    return int(eventually(lambda: (cache / "run" / "emulator.pid").read_text()))


def eventually(attempt: Callable[[], Any], seconds: float = 30) -> Any:
    """What ``attempt`` gives, once it neither fails nor gives nothing."""
    until = time.monotonic() + seconds
    while True:
        try:
            if found := attempt():
                return found
        except OSError:
            pass
        assert time.monotonic() < until, "not in time"
        time.sleep(0.1)


def is_gone(pid: int) -> bool:
    return "aws_rehearsal.emulator" not in command_line(pid)


def test_everything_is_deployed_deployed_again_compared_and_destroyed(start: Start, tiny_app: Any, cache: Path) -> None:
    process = start(tiny_app(GOOD))
    emulator = emulator_of(cache)
    said, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    lines = (line.split()[0] for line in said.splitlines() if line[:1].isalpha())
    steps = [step for step, _ in groupby(lines)]  # a slow step has lines of its progress, too
    assert steps[:9] == ["synth", "clusters", "bootstrap", "deploy", "again", "update", "diff", "destroy", "leftovers"]
    assert re.search(r"^Tiny +3 +1 +\d", said, re.MULTILINE)
    assert "AWS::DAX::SubnetGroup" in said
    assert list(json.loads((cache / "last.json").read_text())["steps"]) == [
        *("bootstrap", "deploy", "again", "diff", "destroy")
    ]
    assert re.search(r"Retained by the templates:\n  AWS::SQS::Queue \S+Kept\S+ in us-east-1", said)
    assert is_gone(emulator)


def test_a_rehearsal_takes_the_cluster_that_the_user_gives_and_leaves_it_as_it_was(
    start: Start, tiny_app: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cluster("stand-in") as access:
        content = kubeconfig(access.endpoint, access.certificate_authority, {"token": "administrator"})
        (tmp_path / "kubeconfig").write_text(json.dumps(content), encoding="utf-8")
        before = {str(found) for found in objects(client(access))}
        monkeypatch.setenv(KUBECONFIG, str(tmp_path / "kubeconfig"))
        said, errors = start(tiny_app(CLUSTER)).communicate(timeout=120)
        assert "all steps passed" in said, errors
        assert f"clusters  kubeconfig {tmp_path}/kubeconfig: rehearsal ({access.endpoint})" in said
        assert {str(found) for found in objects(client(access))} == before


def test_a_broken_resource_fails_with_the_message_of_aws_and_leaves_nothing_running(
    start: Start, tiny_app: Any, cache: Path
) -> None:
    process = start(tiny_app(BROKEN))
    emulator = emulator_of(cache)
    said, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Properties validation failed for resource Topic" in errors
    assert "#: extraneous key [DisplayNam] is not permitted" in errors
    assert "Traceback" not in said + errors
    assert is_gone(emulator)
    assert not (cache / "run" / "tmp").exists()


def test_a_failing_synthesis_ends_it_with_the_output_of_the_app(start: Start) -> None:
    process = start(f"{sys.executable} -c \"raise SystemExit('stacks.toml: no such key')\"")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors == "rehearsal: synthesis failed:\nstacks.toml: no such key\n"


def test_an_unknown_account_is_refused_before_anything_starts() -> None:
    command = [sys.executable, "-m", "rehearsal", "nowhere"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 1
    assert process.stderr.startswith("rehearsal: config/accounts/nowhere.toml: no such account; there are: ")


def test_a_port_in_use_is_refused_with_a_fix(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        process = start(SLOW, "--port", str(port))
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert errors == f"rehearsal: port {port}: address already in use; choose another, or omit it to use any free one\n"


def test_a_second_concurrent_rehearsal_is_refused_and_the_first_continues(start: Start, cache: Path) -> None:
    first = start(SLOW)
    emulator_of(cache)
    second = start(SLOW)
    _, errors = second.communicate(timeout=30)
    assert second.returncode == 1
    assert f"another rehearsal is under way (process {first.pid}, since " in errors
    assert errors.endswith(f"or end it with: kill {first.pid}\n")
    assert first.poll() is None


def test_an_ended_rehearsal_leaves_nothing_running(start: Start, cache: Path) -> None:
    process = start(SLOW)
    emulator = emulator_of(cache)
    process.terminate()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors == "rehearsal: interrupted; no process is left running\n"
    assert is_gone(emulator)


def test_a_killed_rehearsal_leaves_nothing_running_and_the_next_one_begins(start: Start, cache: Path) -> None:
    process = start(f"{sys.executable} -c 'import time; time.sleep(61)'")
    emulator = emulator_of(cache)
    app = eventually(lambda: running("time.sleep(61)"))
    process.kill()
    eventually(lambda: is_gone(emulator))
    eventually(lambda: not running("time.sleep(61)"))
    assert app
    with exclusive_run(cache):
        pass


def running(text: str) -> list[str]:
    """Command lines of this machine with the text, but for shells and this test's own processes."""
    lines = subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in lines if text in line and "--app" not in line]


def test_an_emulator_that_a_killed_rehearsal_could_not_end_is_ended_by_the_next(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stray = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)", "aws_rehearsal.emulator"], start_new_session=True
    )
    (cache / "run").mkdir(parents=True)
    (cache / "run" / "emulator.pid").write_text(str(stray.pid))
    with exclusive_run(cache):
        assert stray.wait(timeout=10) == -signal.SIGKILL
    assert f"ended the emulator of a run that was killed (process {stray.pid})" in capsys.readouterr().out


def test_a_reused_process_id_is_not_killed(cache: Path) -> None:
    (cache / "run").mkdir(parents=True)
    (cache / "run" / "emulator.pid").write_text(str(os.getpid()))
    with exclusive_run(cache) as run:
        assert run.folder == cache / "run"


def test_one_cache_serves_one_run_at_a_time(cache: Path) -> None:
    with (
        exclusive_run(cache),
        pytest.raises(RehearsalError, match="another rehearsal is under way"),
        exclusive_run(cache),
    ):
        pass


def test_kept_up_it_answers_where_it_says_until_an_interrupt_even_after_a_failure(start: Start, cache: Path) -> None:
    process = start("false", "--keep")
    emulator = emulator_of(cache)
    assert process.stdout
    said = ""
    while "Ctrl-C" not in said:
        said += process.stdout.readline()
    address = re.search(r"export AWS_ENDPOINT_URL=(\S+)", said)
    assert address
    with urllib.request.urlopen(f"{address[1]}/_rehearsal/state") as answer:
        assert json.load(answer)["stacks"] == []
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 1
    assert is_gone(emulator)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--app", "true", "--kubeflow", "vanilla"), "--kubeflow belongs to an account"),
        (("--keep", "--kubeflow", "vanilla", "cognito"), "name that alone"),
    ],
)
def test_arguments_that_would_have_no_effect_are_refused(
    arguments: tuple[str, ...], why: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["rehearsal", *arguments])
    with pytest.raises(SystemExit):
        main()
    assert why in capsys.readouterr().err
