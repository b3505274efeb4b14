"""Publishers, withdrawals and checks that are killed, or meet others, at any of their calls to S3.

Each is killed after a call, and meets others before one. To be killed before the next call, or to meet others after the
one before, is the same to S3: it carries out the same calls in the same order.
"""

import itertools
import json
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlplatform_constructs._data.model_check_handler.index import Check
from model_repository import Conflict, Damaged, NoSuchVersion, Package, Repository

MODEL = "churn"
PART_BYTES = 5 * 1024**2  # the least that S3 takes
AT_ONCE = timedelta(0)
WEEK = timedelta(days=7)


class Killed(BaseException):
    """The process is gone: nothing that handles errors may run."""


class CallCounter:
    """Counts the calls of one S3 client, and runs an action at one of them.

    :param call: at which call, from 1.
    :param after: when S3 has carried it out, rather than before it is sent.
    :param action: what happens there; Killed when it is None, and no further call gets through.
    """

    def __init__(
        self, client: Any, call: int, *, after: bool = False, action: Callable[[], None] | None = None
    ) -> None:
        self.calls = 0
        self.reached = False
        self._call, self._after, self._action = call, after, action
        self._events = client.meta.events
        self._lock = threading.Lock()

    def __enter__(self) -> "CallCounter":
        self._events.register_first("before-call.s3", self._before)
        self._events.register_last("after-call.s3", self._answered)
        return self

    def __exit__(self, *_: object) -> None:
        self._events.unregister("before-call.s3", self._before)
        self._events.unregister("after-call.s3", self._answered)

    def _before(self, **_: Any) -> None:
        if self.reached and self._action is None:
            raise Killed
        with self._lock:  # large files are sent by several threads
            self.calls += 1
            mine = self.calls == self._call
        if mine and not self._after:
            self._act()

    def _answered(self, **_: Any) -> None:
        if self.calls >= self._call and self._after and not self.reached:
            self._act()

    def _act(self) -> None:
        self.reached = True
        if self._action is None:
            raise Killed
        self._action()


class Ledger:
    """What was seen of a bucket's versions; they may come and be withdrawn, and never change otherwise."""

    def __init__(self, s3: Any, bucket: str, packages: list[Package]) -> None:
        self.s3, self.bucket = s3, bucket
        self._packages = {package.metadata["training"]["run"]: package for package in packages}
        self._seen: dict[int, str] = {}
        self._files: dict[int, dict[str, str]] = {}

    def look(self) -> dict[int, str]:
        """Check everything that is listed. :returns: the run of each published version."""
        repository = Repository(self.bucket, client=self.s3, part_bytes=PART_BYTES)
        now: dict[int, str] = {}
        stored = self._stored()
        for entry in repository.versions(MODEL):
            assert entry.state in ("published", "withdrawn"), entry
            assert entry.document is not None
            what = "withdrawn"
            if entry.state == "published":
                what = now[entry.number] = entry.document["metadata"]["training"]["run"]
                if entry.number not in self._files:
                    self._compare(repository, entry.number, self._packages[what])
                    prefix = f"{MODEL}/packages/{entry.number}/{entry.document['package']['digest']}/"
                    self._files[entry.number] = {key: tag for key, tag in stored.items() if key.startswith(prefix)}
                assert self._files[entry.number].items() <= stored.items(), f"version {entry.number} lost files"
            before = self._seen.get(entry.number, what)
            assert what in (before, "withdrawn"), f"version {entry.number} was {before}, is {what}"
            self._seen[entry.number] = what
        documents = {int(key.rpartition("/")[2].removesuffix(".json")) for key in stored if "/versions/" in key}
        assert set(self._seen) == documents, "a version vanished"
        return now

    def _stored(self) -> dict[str, str]:
        """Entity tags by key: they change with the content."""
        stored = self.s3.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return {item["Key"]: item["ETag"] for item in stored}

    def _compare(self, repository: Repository, number: int, package: Package) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            repository.fetch(MODEL, number, to=Path(scratch) / "fetched")
            fetched = Package.read(Path(scratch) / "fetched", part_bytes=PART_BYTES)
        assert (fetched.metadata, fetched.files) == (package.metadata, package.files)

    def assert_nothing_is_left(self) -> None:
        """Whatever is stored is a version's document, or a file that a published version names."""
        named = {f"{MODEL}/versions/{number}.json" for number in self._seen}
        for key in list(named):
            document = json.loads(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())
            if "package" in document:
                prefix = f"{MODEL}/packages/{document['version']}/{document['package']['digest']}/"
                named |= {prefix + file["path"] for file in document["package"]["files"]}
        assert set(self._stored()) == named


@pytest.fixture(scope="session")
def victim(aws: Callable[[str], Any]) -> Any:
    """The S3 client of the interrupted party; ``s3`` is the client of all others."""
    return aws("s3")


@pytest.fixture(scope="session")
def _bucket_names() -> Iterator[str]:
    return (f"interrupted-{number}" for number in itertools.count())


@pytest.fixture
def new_bucket(s3: Any, _bucket_names: Iterator[str]) -> Callable[[], str]:
    """Each call is a new, versioned bucket."""

    def new() -> str:
        name = next(_bucket_names)
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name

    return new


@pytest.fixture
def packages(make_package: Callable[..., Path]) -> list[Package]:
    """Three packages; the last has a file in parts."""
    folders = [make_package(f"package-{n}", run=f"run-{n}", weight=float(n)) for n in range(3)]
    (folders[2] / "model" / "weights.bin").write_bytes(b"w" * (PART_BYTES + 1))
    return [Package.read(folder, part_bytes=PART_BYTES) for folder in folders]


def publish(client: Any, bucket: str, package: Package) -> int | None:
    """The number that the package was published under; None when the publisher was refused."""
    repository = Repository(bucket, client=client, part_bytes=PART_BYTES)
    try:
        return int(repository.publish(package, model=MODEL, self_test=False).document["version"])
    except Conflict:
        return None


def check(client: Any, bucket: str, abandoned: timedelta) -> None:
    assert Check(client, bucket, abandoned=abandoned).all() == []


@pytest.mark.promise("atomic-model-versions")
@pytest.mark.parametrize("large", [False, True], ids=["small files", "a file in parts"])
def test_a_publisher_killed_at_any_call_leaves_a_complete_version_or_none_and_a_retry_works(
    victim: Any, s3: Any, new_bucket: Callable[[], str], packages: list[Package], large: bool
) -> None:
    package = packages[2 if large else 1]
    for call in itertools.count(1):
        bucket = new_bucket()
        ledger = Ledger(s3, bucket, packages)
        with CallCounter(victim, call, after=True) as killer, suppress(Killed):
            publish(victim, bucket, package)
        if not killer.reached:
            break
        run = package.metadata["training"]["run"]
        assert ledger.look() in ({}, {1: run})
        assert publish(s3, bucket, package) == 1
        assert ledger.look() == {1: run}
        check(s3, bucket, WEEK)
        ledger.assert_nothing_is_left()
    assert call > 2 * len(package.files)  # every file and the document were passed


def test_a_withdrawal_killed_at_any_call_is_done_or_not_and_a_retry_works(
    victim: Any, s3: Any, new_bucket: Callable[[], str], packages: list[Package]
) -> None:
    for call in itertools.count(1):
        bucket = new_bucket()
        ledger = Ledger(s3, bucket, packages)
        publish(s3, bucket, packages[0])
        with CallCounter(victim, call, after=True) as killer, suppress(Killed):
            Repository(bucket, client=victim).withdraw(MODEL, 1, reason="wrong week")
            check(victim, bucket, WEEK)
        if not killer.reached:
            break
        assert ledger.look() in ({1: "run-0"}, {})
        Repository(bucket, client=s3).withdraw(MODEL, 1, reason="wrong week")
        check(s3, bucket, WEEK)
        assert ledger.look() == {}
        ledger.assert_nothing_is_left()
    assert call > 5


def test_of_two_concurrent_withdrawals_the_first_one_wins(
    victim: Any, s3: Any, new_bucket: Callable[[], str], packages: list[Package]
) -> None:
    for call in itertools.count(1):
        bucket = new_bucket()
        publish(s3, bucket, packages[0])

        def meet(bucket: str = bucket) -> None:
            Repository(bucket, client=s3).withdraw(MODEL, 1, reason="first")

        with CallCounter(victim, call, action=meet) as counter, suppress(Conflict):
            Repository(bucket, client=victim).withdraw(MODEL, 1, reason="second")
        (entry,) = Repository(bucket, client=s3).versions(MODEL)
        assert entry.document is not None
        assert entry.document["reason"] == ("first" if counter.reached else "second")
        if not counter.reached:
            break
    assert call > 3


def test_a_reader_during_the_end_of_a_quarantine_gets_the_version_or_the_reason(
    victim: Any, s3: Any, new_bucket: Callable[[], str], packages: list[Package]
) -> None:
    states = set()
    for call in itertools.count(1):
        bucket = new_bucket()
        publish(s3, bucket, packages[0])
        key = f"{MODEL}/packages/1/{packages[0].digest}/model/predictor.py"
        gone = s3.delete_object(Bucket=bucket, Key=key)["VersionId"]
        assert Check(s3, bucket, abandoned=WEEK).one(key)

        def restore(bucket: str = bucket, key: str = key, gone: str = gone) -> None:
            s3.delete_object(Bucket=bucket, Key=key, VersionId=gone)
            assert Check(s3, bucket, abandoned=WEEK).one(key) == []

        repository = Repository(bucket, client=victim)
        with CallCounter(victim, call, action=restore) as counter:
            (entry,) = repository.versions(MODEL)
            with suppress(Damaged):
                assert repository.get(MODEL, 1)["version"] == 1
        states.add(entry.state)
        if not counter.reached:
            break
    assert states == {"published", "quarantined"}


def test_a_reader_during_a_withdrawal_gets_the_complete_version_or_a_refusal(
    victim: Any, s3: Any, new_bucket: Callable[[], str], packages: list[Package], tmp_path: Path
) -> None:
    refusals = 0
    for call in itertools.count(1):
        bucket = new_bucket()
        publish(s3, bucket, packages[0])

        def withdraw(bucket: str = bucket) -> None:
            Repository(bucket, client=s3).withdraw(MODEL, 1, reason="wrong week")
            check(s3, bucket, WEEK)

        target = tmp_path / f"fetched-{call}"
        with CallCounter(victim, call, action=withdraw) as counter:
            try:
                Repository(bucket, client=victim).fetch(MODEL, 1, to=target)
            except NoSuchVersion as error:
                refusals += 1
                told = str(error)
                assert not target.exists()
            else:
                assert Package.read(target, part_bytes=PART_BYTES).files == packages[0].files
        if not counter.reached:
            break
        assert told.endswith(": wrong week; use another version")
    assert refusals == call - 1


@pytest.mark.parametrize("met", ["another publisher", "the same package", "a check that gives it up", "a withdrawal"])
def test_a_publisher_interleaved_with_others_wins_or_is_refused(
    victim: Any, s3: Any, new_bucket: Callable[[], str], packages: list[Package], met: str
) -> None:
    wins = refusals = 0
    for call in itertools.count(1):
        bucket = new_bucket()
        ledger = Ledger(s3, bucket, packages)

        def meet(bucket: str = bucket, ledger: Ledger = ledger) -> None:
            if met == "another publisher":
                assert publish(s3, bucket, packages[1]) is not None
            elif met == "the same package":
                assert publish(s3, bucket, packages[0]) is not None
            elif met == "a check that gives it up":
                check(s3, bucket, AT_ONCE)
            else:
                publish(s3, bucket, packages[1])
                Repository(bucket, client=s3).withdraw(MODEL, 1, reason="wrong week")
                check(s3, bucket, WEEK)
            ledger.look()

        with CallCounter(victim, call, action=meet) as counter:
            number = publish(victim, bucket, packages[0])
        wins, refusals = wins + (number is not None), refusals + (number is None)
        now = ledger.look()
        assert number is None or now[number] == "run-0"
        assert (number is None) <= ("run-0" not in now.values())
        assert publish(s3, bucket, packages[0]) is not None
        assert "run-0" in ledger.look().values()
        check(s3, bucket, AT_ONCE)
        ledger.assert_nothing_is_left()
        if not counter.reached:
            break
    assert wins > 0
    assert refusals == 0 if met == "the same package" else refusals > 0


def test_a_check_that_gives_a_number_up_cannot_hurt_a_publisher_who_wakes_up_at_any_of_its_calls(
    victim: Any, s3: Any, new_bucket: Callable[[], str], packages: list[Package]
) -> None:
    for call in itertools.count(1):
        bucket = new_bucket()
        ledger = Ledger(s3, bucket, packages)
        with CallCounter(victim, 6), pytest.raises(Killed):  # two of the files are there by then
            publish(victim, bucket, packages[0])

        published: list[int | None] = []

        def wake_up(bucket: str = bucket, published: list[int | None] = published) -> None:
            published.append(publish(s3, bucket, packages[0]))

        with CallCounter(victim, call, action=wake_up) as counter:
            check(victim, bucket, AT_ONCE)
        assert list(ledger.look()) == [number for number in published if number]
        assert publish(s3, bucket, packages[0]) is not None
        assert list(ledger.look().values()) == ["run-0"]
        check(s3, bucket, AT_ONCE)
        ledger.assert_nothing_is_left()
        if not counter.reached:
            break
    assert call > 5


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["publish", "publish", "publish", "withdraw", "check", "give up"]),
        st.integers(0, 1),
        st.one_of(st.none(), st.integers(1, 14)),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


@pytest.mark.promise("atomic-model-versions")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_versions_stay_complete_through_any_history_of_kills(
    victim: Any,
    s3: Any,
    new_bucket: Callable[[], str],
    packages: list[Package],
    steps: list[tuple[str, int, int, bool]],
) -> None:
    bucket = new_bucket()
    ledger = Ledger(s3, bucket, packages)
    for action, which, call, after in steps:
        with CallCounter(victim, call or sys.maxsize, after=after), suppress(Killed, NoSuchVersion):
            if action == "publish":
                publish(victim, bucket, packages[which])
            elif action == "withdraw":
                Repository(bucket, client=victim).withdraw(MODEL, which + 1, reason="wrong week")
            else:
                check(victim, bucket, AT_ONCE if action == "give up" else WEEK)
        ledger.look()
    for package in packages[:2]:
        number = publish(s3, bucket, package)
        assert number is not None
        assert ledger.look()[number] == package.metadata["training"]["run"]
    check(s3, bucket, AT_ONCE)
    ledger.look()
    ledger.assert_nothing_is_left()
