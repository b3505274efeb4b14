import re
from contextlib import nullcontext as does_not_raise

import pytest

from promises import evidence, record
from promises.evidence import MarkedTest
from promises.record import ROOT, RecordError

KEPT = '[gpu-from-zero]\nsentence = "GPU nodes start at zero."\n'
PLANNED = f"{KEPT}planned = true\n"
MARKED = '@pytest.mark.promise("gpu-from-zero")\ndef test_idle_gpus_cost_nothing(): ...\n'


def test_every_promise_has_evidence_or_is_planned() -> None:
    with does_not_raise():
        evidence.collect(record.load())


def test_a_marked_test_is_evidence(collect) -> None:
    assert collect(KEPT, MARKED)["gpu-from-zero"].tests == (
        MarkedTest("tests/deep/test_nodes.py", 3, "test_idle_gpus_cost_nothing"),
    )


@pytest.mark.parametrize(
    "tests",
    [
        'pytestmark = pytest.mark.promise("gpu-from-zero")\ndef test_all(): ...',
        'pytestmark = [pytest.mark.promise("gpu-from-zero")]\nclass TestNodes:\n    def test_all(self): ...',
        '@pytest.mark.promise("more", "gpu-from-zero")\ndef test_all(): ...',
        '@pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.promise("gpu-from-zero"))])\n'
        "def test_all(n): ...",
    ],
)
def test_a_mark_counts_wherever_pytest_reads_it(collect, tests: str) -> None:
    more = '[more]\nsentence = "There is more."\npage = "docs/page.md"\n'
    assert [test.name for test in collect(KEPT + more, tests)["gpu-from-zero"].tests] == ["test_all"]


def test_a_mark_on_a_helper_is_no_evidence(collect) -> None:
    with pytest.raises(RecordError, match="no evidence"):
        collect(KEPT, MARKED.replace("test_", "make_"))


def test_steps_and_pages_are_evidence(collect) -> None:
    found = collect(KEPT + 'steps = ["deploy", "again"]\npage = "docs/page.md#a-heading-5-minutes"')["gpu-from-zero"]
    assert found.steps == ("deploy", "again")
    assert found.page == "docs/page.md#a-heading-5-minutes"


@pytest.mark.parametrize(
    ("area", "tests", "mistake"),
    [
        (
            KEPT,
            "",
            "promises/areas/nodes.toml: gpu-from-zero: no evidence; mark a test with "
            '@pytest.mark.promise("gpu-from-zero"), name steps or a page, or add "planned = true"',
        ),
        (
            PLANNED,
            MARKED,
            "promises/areas/nodes.toml: gpu-from-zero: planned, but has evidence "
            "(tests/deep/test_nodes.py::test_idle_gpus_cost_nothing); remove 'planned = true'",
        ),
        (
            PLANNED + 'page = "docs/page.md"',
            "",
            "promises/areas/nodes.toml: gpu-from-zero: planned, but has evidence (docs/page.md); "
            "remove 'planned = true'",
        ),
        (
            PLANNED,
            MARKED.replace("zero", "none"),
            "tests/deep/test_nodes.py:3: promise 'gpu-from-none' does not exist; correct the id, or add the promise "
            "to a file in promises/areas",
        ),
        (
            PLANNED,
            "GPU = 'gpu-from-zero'\n@pytest.mark.promise(GPU)\ndef test_all(): ...",
            "tests/deep/test_nodes.py:3: promise GPU: write the id as a string literal",
        ),
        (
            KEPT + 'steps = ["deply"]',
            "",
            "promises/areas/nodes.toml: gpu-from-zero: steps: 'deply' is not a step of the rehearsal; choose from "
            "synth, clusters, bootstrap, deploy, again, proofs, exercise, update, rollback, diff, unprotect, destroy, "
            "leftovers",
        ),
        (
            KEPT + 'page = "docs/pages.md"',
            "",
            "promises/areas/nodes.toml: gpu-from-zero: page: 'docs/pages.md' is not a file; give the path of "
            "a page, relative to the project's folder",
        ),
        (
            KEPT + 'page = "docs/page.md#heading"',
            "",
            "promises/areas/nodes.toml: gpu-from-zero: page: docs/page.md has no heading '#heading'; choose from page, "
            "a-heading-5-minutes",
        ),
    ],
)
def test_refuses_what_is_no_evidence(collect, area: str, tests: str, mistake: str) -> None:
    with pytest.raises(RecordError) as refusal:
        collect(area, tests)
    assert str(refusal.value) == mistake


def test_the_steps_are_those_of_the_rehearsals_page() -> None:
    page = (ROOT / "docs" / "rehearsal.md").read_text(encoding="utf-8")
    assert tuple(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == evidence.STEPS
