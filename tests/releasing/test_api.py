"""Which release number a change of the library needs."""

import dataclasses
import json
import tomllib
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Literal

import pytest
from aws_cdk import RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct
from typing_extensions import deprecated

import mlplatform_constructs
from releasing.api.__main__ import main
from releasing.api.changes import Level, compare, needed, parse
from releasing.api.deprecations import Deprecation, deprecations
from releasing.api.facts import class_facts, kept_facts
from releasing.api.report import Report

ROOT = Path(__file__).parents[2]


def test_the_version_is_high_enough_for_what_changed_since_the_release() -> None:
    now = Report.of_sources()
    assert {fact for fact in now.facts if fact.isidentifier()} == set(mlplatform_constructs.__all__)
    assert now.refusal(Report.committed()) is None


def test_the_changelog_names_everything_that_was_added() -> None:
    changelog = (ROOT / "constructs" / "CHANGELOG.md").read_text(encoding="utf-8")
    assert not [name for name in mlplatform_constructs.__all__ if f"`{name}`" not in changelog]


# How the interface is read


class Mode(Enum):
    FAST = "fast"


@dataclasses.dataclass(frozen=True)
class Value:
    name: str
    modes: tuple[Mode, ...] = (Mode.FAST,)


class Store(Construct):
    LABEL = "acme/store"

    def __init__(
        self, scope: Construct, id: str, *, days: int = 90, policy: RemovalPolicy = RemovalPolicy.RETAIN
    ) -> None:
        super().__init__(scope, id)
        self.key: kms.IKey = kms.Key(self, "Key", removal_policy=policy)
        self.first, self._hidden = days, days
        s3.Bucket(self, "Scratch", removal_policy=RemovalPolicy.DESTROY)

    def add(self, names: Sequence[str], mode: Mode = Mode.FAST) -> "Value | None":
        """Add."""

    @classmethod
    def of(cls, name: str) -> "Store": ...  # type: ignore[empty-body]

    @staticmethod
    def choices(kind: Literal["a", "b"]) -> list[str]: ...  # type: ignore[empty-body]

    @property
    def size(self) -> int:
        return 1

    def _private(self) -> None: ...


def test_a_class_is_described_by_what_others_can_write() -> None:
    assert class_facts(Store) == {
        "Store": "extends Construct",
        "Store(scope)": "1. Construct",
        "Store(id)": "2. str",
        "Store(days)": "int = 90",
        "Store(policy)": "RemovalPolicy = RemovalPolicy.RETAIN",
        "Store.LABEL": "str = 'acme/store'",
        "Store.add()": "Value | None",
        "Store.add(names)": "1. Sequence[str]",
        "Store.add(mode)": "2. Mode = Mode.FAST",
        "Store.of()": "class Store",
        "Store.of(name)": "1. str",
        "Store.choices()": "static list[str]",
        "Store.choices(kind)": "1. Literal[a, b]",
        "Store.size": "int",
        "Store.key": "IKey",
        "Store.first": "attribute",
    }


def test_members_of_an_enum_are_described_by_their_values_and_fields_by_their_types() -> None:
    assert class_facts(Mode) == {"Mode": "extends Enum", "Mode.FAST": "'fast'"}
    assert class_facts(Value) == {
        "Value": "extends object",
        "Value(name)": "1. str",
        "Value(modes)": "2. tuple[Mode, ...] = (<Mode.FAST: 'fast'>,)",
        "Value.name": "str",
        "Value.modes": "tuple[Mode, ...]",
    }


def test_what_outlives_its_stack_is_described_by_its_path_below_the_construct() -> None:
    example = "from mlplatform_constructs import ImageRegistry\nImageRegistry(stack, 'Any', repositories=['serving'])"
    expected = {"ImageRegistry: Key": "AWS::KMS::Key", "ImageRegistry: serving": "AWS::ECR::Repository"}
    assert kept_facts({"Any": example}) == expected
    temporary = "from aws_cdk import RemovalPolicy\n" + example.replace(
        "])", "], removal_policy=RemovalPolicy.DESTROY)"
    )
    assert kept_facts({"Any": temporary}) == {}


# What a change asks for

BEFORE = {
    "Store": "extends Construct",
    "Store(scope)": "1. Construct",
    "Store(days)": "int = 90",
    "Store(key)": "IKey",
    "Store(subnets)": "Sequence[ISubnet] | None = None",
    "Store.add()": "Value | None",
    "Store.add(name)": "1. str",
    "Store.key": "IKey",
    "Store.mode": "attribute",
    "Store: Bucket": "AWS::S3::Bucket",
    "Mode": "extends Enum",
    "Mode.FAST": "'fast'",
}


@pytest.mark.parametrize(
    ("change", "level", "told"),
    [
        # nothing
        ({}, Level.PATCH, []),
        ({"Store.mode": "Mode"}, Level.PATCH, ["Store.mode: was 'attribute', is 'Mode'"]),
        # something to gain
        ({"Shelf": "extends Construct", "Shelf(id)": "1. str"}, Level.MINOR, ["Shelf: added"]),
        ({"Store.drop()": "None", "Store.drop(name)": "1. str"}, Level.MINOR, ["Store.drop(): added"]),
        ({"Store(mode)": "Mode | None = None"}, Level.MINOR, ["Store(mode): added"]),
        ({"Store.add(mode)": "2. Mode = Mode.FAST"}, Level.MINOR, ["Store.add(mode): added"]),
        ({"Store.size": "int"}, Level.MINOR, ["Store.size: added"]),
        ({"Store: Key": "AWS::KMS::Key"}, Level.MINOR, ["Store: Key: added"]),
        ({"Mode.SLOW": "'slow'"}, Level.MINOR, ["Mode.SLOW: added"]),
        ({"Store(key)": "IKey | None = None"}, Level.MINOR, ["Store(key): was 'IKey', is 'IKey | None = None'"]),
        ({"Store(days)": "int | None = 90"}, Level.MINOR, ["Store(days): was"]),
        ({"Store(subnets)": "Sequence[ISubnet | Subnet] | None = None"}, Level.MINOR, ["Store(subnets): was"]),
        ({"Store(key)": "2. IKey"}, Level.MINOR, ["Store(key): was"]),
        ({"Store.add()": "Value"}, Level.MINOR, ["Store.add(): was 'Value | None', is 'Value'"]),
        # something to do
        ({"Store": None}, Level.MAJOR, ["Store: removed or renamed"]),
        ({"Store.add()": None, "Store.add(name)": None}, Level.MAJOR, ["Store.add(): removed or renamed"]),
        ({"Store(days)": None}, Level.MAJOR, ["Store(days): removed or renamed"]),
        ({"Store.key": None}, Level.MAJOR, ["Store.key: removed or renamed"]),
        ({"Mode.FAST": None}, Level.MAJOR, ["Mode.FAST: removed or renamed"]),
        ({"Mode.FAST": "'quick'"}, Level.MAJOR, ["Mode.FAST: was"]),
        ({"Store(days)": "int = 30"}, Level.MAJOR, ["Store(days): was 'int = 90', is 'int = 30'"]),
        ({"Store(days)": "int"}, Level.MAJOR, ["Store(days): was"]),
        ({"Store(subnets)": "Sequence[Subnet] | None = None"}, Level.MAJOR, ["Store(subnets): was"]),
        ({"Store(days)": "str = 90"}, Level.MAJOR, ["Store(days): was"]),
        ({"Store.add(name)": "2. str"}, Level.MAJOR, ["Store.add(name): was"]),
        ({"Store.add(name)": "str"}, Level.MAJOR, ["Store.add(name): was '1. str', is 'str'"]),
        ({"Store(team)": "str"}, Level.MAJOR, ["Store(team): a new argument that must be given"]),
        ({"Store.add()": "Value | int | None"}, Level.MAJOR, ["Store.add(): was"]),
        ({"Store.add()": "static Value | None"}, Level.MAJOR, ["Store.add(): was"]),
        ({"Store": "extends object"}, Level.MAJOR, ["Store: was"]),
        (
            {"Store: Bucket": None, "Store: Data/Bucket": "AWS::S3::Bucket"},
            Level.MAJOR,
            ["Store: Bucket: AWS::S3::Bucket that holds data is gone", "Store: Data/Bucket: added"],
        ),
        ({"Store: Bucket": "AWS::S3Express::DirectoryBucket"}, Level.MAJOR, ["Store: Bucket: was"]),
    ],
)
def test_a_change_requires_a_version(change: dict[str, str | None], level: Level, told: list[str]) -> None:
    now = {fact: text for fact, text in {**BEFORE, **change}.items() if text is not None}
    if change.get("Store", "") is None:
        now = {fact: text for fact, text in now.items() if not fact.startswith("Store")}
    found = compare(BEFORE, now)
    assert max((each.level for each in found), default=Level.PATCH) is level
    assert len(found) == len(told)
    assert all(each.text.startswith(text) for each, text in zip(found, told, strict=True))


@pytest.mark.parametrize(
    ("before", "patch", "minor", "major"),
    [
        ((1, 4, 2), (1, 4, 2), (1, 5, 0), (2, 0, 0)),
        ((0, 1, 0), (0, 1, 0), (0, 1, 1), (0, 2, 0)),
    ],
)
def test_the_number_that_rises(
    before: tuple[int, int, int], patch: tuple[int, ...], minor: tuple[int, ...], major: tuple[int, ...]
) -> None:
    assert [needed(before, level) for level in Level] == [patch, minor, major]


@pytest.mark.parametrize("version", ["1", "1.2", "1.2.3rc1", "v1.2.3", ""])
def test_refuses_a_version_that_is_not_three_numbers(version: str) -> None:
    with pytest.raises(ValueError, match=f"version must be three numbers such as 1.2.3, got '{version}'"):
        parse(version)


@pytest.mark.parametrize("version", ["1.4.2", "1.9.0"])
def test_refuses_a_version_that_is_too_low_and_says_why(version: str) -> None:
    released = Report("1.4.2", BEFORE)
    without_key = {fact: text for fact, text in BEFORE.items() if fact != "Store.key"}
    assert Report(version, without_key).refusal(released) == (
        f"constructs/pyproject.toml: version must be 2.0.0 or later, got {version}; "
        "since 1.4.2 there is a major change:\n"
        "  major: Store.key: removed or renamed"
    )
    assert Report("2.0.0", without_key).refusal(released) is None


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    report = Report("1.4.2", BEFORE)
    report.write(tmp_path / "api.json")
    assert Report.committed(tmp_path / "api.json") == report


def test_the_first_release_has_nothing_to_compare_with(tmp_path: Path) -> None:
    nothing = Report.committed(tmp_path / "api.json")
    assert Report("0.1.0", BEFORE).refusal(nothing) is None
    assert {change.level for change in Report("0.1.0", BEFORE).changes_since(nothing)} == {Level.MINOR}


@pytest.mark.parametrize(
    ("arguments", "version", "changed", "status", "written"),
    [
        ([], "1.0.0", False, 0, False),
        ([], "1.0.0", True, 1, False),
        ([], "1.1.0", True, 0, False),
        (["--released"], "1.0.0", False, 0, False),
        (["--released"], "1.1.0", True, 1, False),
        (["--write"], "1.0.0", True, 1, False),
        (["--write"], "1.1.0", True, 0, True),
    ],
)
def test_the_command(
    arguments: list[str],
    version: str,
    changed: bool,
    status: int,
    written: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "api.json"
    released = Report("1.0.0", BEFORE)
    now = Report(version, BEFORE | {"Shelf": "extends Construct"} if changed else BEFORE)
    released.write(path)
    monkeypatch.setattr(Report, "committed", classmethod(lambda cls: released))
    monkeypatch.setattr(Report, "of_sources", classmethod(lambda cls: now))
    monkeypatch.setattr(Report.write, "__defaults__", (path,))
    assert main(arguments) == status
    assert json.loads(path.read_text())["version"] == (version if written else "1.0.0")


# What goes, and when

CHANGELOG = """# Changes
## 1.3.0
### Deprecated
- `Store.add`: use `Store.put`.
## 1.2.0
### Added
- `Store.put`, `Store.drop`.
"""


def mark(message: str) -> Deprecation:
    return Deprecation("_store.py:7", message)


def test_a_listed_deprecation_before_its_removal_is_accepted() -> None:
    good = mark("Store.add: use Store.put; removed in 2.0")
    assert not list(good.problems(changelog=CHANGELOG, version="1.3.0"))


@pytest.mark.parametrize(
    ("message", "version", "problem"),
    [
        ("do not use", "1.3.0", "_store.py:7: the message must be 'Name: use ...; removed in X.Y', got 'do not use'"),
        ("Store.drop: use Store.put; removed in 2.0", "1.3.0", "Store.drop is not under Deprecated in CHANGELOG.md"),
        ("Store.add: use Store.put; removed in 1.3", "1.2.9", "is deprecated since 1.3.0; let it stay for a minor"),
        ("Store.add: use Store.put; removed in 2.0", "2.0.0", "was to be removed in 2.0, this is 2.0.0; remove it"),
    ],
)
def test_refuses_a_deprecation_that_is_not_in_the_changelog_or_is_overdue(
    message: str, version: str, problem: str
) -> None:
    (found,) = mark(message).problems(changelog=CHANGELOG, version=version)
    assert problem in found


def test_deprecated_names_are_found_everywhere(tmp_path: Path) -> None:
    (tmp_path / "_store.py").write_text(
        "from typing_extensions import deprecated\n"
        "@deprecated('Store: use Shelf; removed in 2.0')\nclass Store:\n"
        "    @classmethod\n    @deprecated('Store.of: use Shelf.of; removed in 2.0')\n    def of(cls): ...\n"
    )
    assert deprecations(tmp_path) == [
        Deprecation("_store.py:2", "Store: use Shelf; removed in 2.0"),
        Deprecation("_store.py:5", "Store.of: use Shelf.of; removed in 2.0"),
    ]


def test_a_deprecated_name_warns_its_callers_and_changes_nothing_else() -> None:
    class Shelf:
        @deprecated("Shelf.add: use Shelf.put; removed in 2.0")
        def add(self, name: str, days: int = 90) -> str:
            return name

    with pytest.warns(DeprecationWarning, match="Shelf.add: use Shelf.put; removed in 2.0") as caught:
        assert Shelf().add("a") == "a"
    assert caught[0].filename == __file__
    told = {fact: text for fact, text in class_facts(Shelf).items() if fact.startswith("Shelf.add")}
    assert told == {"Shelf.add()": "str", "Shelf.add(name)": "1. str", "Shelf.add(days)": "2. int = 90"}


def test_every_deprecation_of_the_library_is_in_order() -> None:
    library = ROOT / "constructs"
    changelog = (library / "CHANGELOG.md").read_text(encoding="utf-8")
    version = tomllib.loads((library / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    marks = deprecations(library / "src")
    assert not [problem for each in marks for problem in each.problems(changelog=changelog, version=version)]
