"""The functions for scripts: advice, runs in AWS and locally, their progress, and their end."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from job_adviser import InvalidRequest
from mlplatform_notebook import (
    AwsRun,
    Client,
    ClientError,
    LocalRun,
    Phase,
    Progress,
    advise,
    cancel,
    follow,
    run,
    run_function,
)
from tests.job_adviser.memory_s3 import MemoryS3
from tests.notebook_client.local_api import LocalApi, serving

IN, OUT = "s3://data/in/", "s3://data/out/"


@pytest.fixture
def s3() -> MemoryS3:
    return MemoryS3(contents={f"in/{number}.csv": b"id,city\n1,Berlin\n" for number in range(3)})


@pytest.fixture
def serve(s3: MemoryS3) -> Iterator[Callable[..., LocalApi]]:
    """Start an API of the bucket with some options."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(serving(LocalApi(s3, **options)))


@pytest.fixture
def client(serve: Callable[..., LocalApi]) -> Client:
    api = serve()
    return Client(api.url, api.credentials)


@pytest.mark.promise("notebook-client")
def test_a_script_gets_advice(client: Client) -> None:
    found = advise(IN, client=client, job={"passes": 3}, backends=["local", "eks"])
    assert [each["backend"] for each in found.estimates] == ["local", "eks"]
    assert found.text().startswith("s3://data/in/: 3 objects")
    assert "EKS: 150 s to prepare" in found.text()


@pytest.mark.promise("notebook-client")
@pytest.mark.parametrize("where", ["aws", "local"])
def test_a_script_runs_in_aws_or_locally_and_follows_the_run_by_its_phases(
    client: Client, s3: MemoryS3, where: Any
) -> None:
    job = run(IN, OUT, where=where, client=client, s3=s3)
    assert isinstance(job, AwsRun if where == "aws" else LocalRun)
    seen = list(follow(job, every=0.01))
    assert seen[-1] == Progress("succeeded", tuple(Phase(name, "done") for name in ("plan", "prepare", "finish")), 1.0)
    assert s3.contents["out/part-00000.csv.gz"]
    assert "out/_SUCCESS" in s3.contents


@pytest.mark.promise("notebook-client")
def test_a_run_in_aws_is_cancelled_and_writes_no_more(serve: Callable[..., LocalApi], s3: MemoryS3) -> None:
    api = serve(holds_after=0)
    job = run(IN, OUT, where="aws", client=Client(api.url, api.credentials))
    assert job.progress().status == "running"
    cancel(job)
    assert [each.status for each in follow(job)] == ["cancelled"]
    api.states.threads[0].join(timeout=60)
    assert not api.states.threads[0].is_alive()
    assert "out/part-00000.csv.gz" not in s3.contents


def test_cancelling_a_run_that_has_ended_changes_nothing(client: Client) -> None:
    job = run(IN, OUT, where="aws", client=client)
    assert [each.status for each in follow(job, every=0.01)][-1] == "succeeded"
    cancel(job)
    assert job.progress().status == "succeeded"


@pytest.mark.promise("notebook-client")
def test_a_local_run_is_cancelled_at_its_next_report() -> None:
    is_halfway, reached = threading.Event(), list[str]()

    def work(report: Callable[[str, float | None], None]) -> None:
        for _ in range(10_000):
            report("train", 0.5)
            is_halfway.set()
            time.sleep(0.005)
        reached.append("end")

    job = run_function(work, ("load", "train"))
    assert is_halfway.wait(timeout=30)
    assert job.progress().phases == (Phase("load", "done"), Phase("train", "running"))
    cancel(job)
    found = job.progress()
    assert (found.status, found.phases[1].state) == ("cancelled", "cancelled")
    assert found.share == 0.5
    assert reached == []


def test_the_result_of_an_own_function_is_kept_and_its_failure_told() -> None:
    job = run_function(lambda report: 7)
    assert list(follow(job, every=0.01))[-1].share == 1
    assert job.result == 7
    failed = run_function(lambda report: 1 / 0)
    assert str(list(follow(failed, every=0.01))[-1]) == "failed: ZeroDivisionError: division by zero"
    with pytest.raises(ValueError, match="phases is empty"):
        run_function(print, ())


@pytest.mark.parametrize("where", ["aws", "local"])
def test_a_run_that_fails_says_why(client: Client, s3: MemoryS3, where: Any) -> None:
    s3.contents["in/3.csv"] = b"other\n1\n"
    job = run(IN, OUT, where=where, client=client, s3=s3)
    last = list(follow(job, every=0.01))[-1]
    assert last.status == "failed"
    assert "its header differs from that of in/0.csv" in last.error
    assert last.phases[1] == Phase("prepare", "failed")


def test_a_refusal_of_the_api_reaches_the_caller_as_it_is_worded(client: Client) -> None:
    with pytest.raises(ClientError, match="s3://data/none/: there are no objects; correct the prefix") as refused:
        advise("s3://data/none/", client=client)
    assert refused.value.status == 404
    with pytest.raises(ClientError, match="overlap; choose another prefix"):
        run(IN, "s3://data/in/out/", where="aws", client=client)
    with pytest.raises(InvalidRequest, match="overlap; choose another prefix"):
        run(IN, "s3://data/in/out/", where="local")
    with pytest.raises(ClientError, match="prepare.none: no such run"):
        client.follow("prepare.none")
    with pytest.raises(ClientError, match="where='aws' needs a client"):
        run(IN, OUT, where="aws")


def test_a_token_is_used_until_shortly_before_it_expires(serve: Callable[..., LocalApi]) -> None:
    long, short = serve(), serve(expires_in=60)
    for api, expected in ((long, 1), (short, 3)):
        client = Client(api.url, api.credentials)
        for _ in range(3):
            advise(IN, client=client)
        assert api.tokens == expected


def test_wrong_credentials_and_an_api_that_does_not_answer_are_told(client: Client) -> None:
    wrong = Client(client.url, {**client.credentials, "client_secret": "wrong"})
    with pytest.raises(ClientError, match="/token: invalid_client"):
        advise(IN, client=wrong)
    nowhere = Client("http://127.0.0.1:9", {**client.credentials})
    with pytest.raises(ClientError, match="no answer"):
        advise(IN, client=nowhere)


def test_credentials_are_sent_by_https_only_and_never_shown(client: Client) -> None:
    with pytest.raises(ClientError, match="http://api.example.com: must be an https:// address"):
        Client("http://api.example.com", client.credentials)
    with pytest.raises(ClientError, match="must be an https:// address"):
        Client("https://api.example.com", {**client.credentials, "token_url": "http://pool.example.com"})
    assert "not guessed" not in repr(client)


def test_the_credentials_come_from_a_secret(client: Client) -> None:
    class Secrets:
        """Secrets Manager with one secret."""

        def get_secret_value(self, *, SecretId: str) -> dict[str, str]:
            assert SecretId == "notebooks"
            return {"SecretString": json.dumps(client.credentials)}

    assert Client.from_secret(client.url, "notebooks", client=Secrets()) == client
