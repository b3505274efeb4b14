import pytest

from promises import evidence, page, record
from promises.__main__ import main
from promises.evidence import Evidence, MarkedTest
from promises.record import ROOT, Area, Promise, RecordError

AREA = Area(
    "nodes.toml",
    "Nodes",
    {"kept": Promise(sentence="It is kept."), "later": Promise(sentence="It will be.", planned=True)},
)


def test_the_page_in_docs_is_current() -> None:
    areas = record.load()
    text = (ROOT / page.PAGE).read_text(encoding="utf-8")
    assert text == page.render(areas, evidence.collect(areas)), "run: make promises"


def test_a_promise_is_shown_with_each_kind_of_evidence() -> None:
    found = Evidence(
        tests=(MarkedTest("tests/a/test_b.py", 1, "test_c_is_d"), MarkedTest("tests/a/test_b.py", 9, "test_e")),
        steps=("deploy",),
        page="docs/sign-in.md#people",
    )
    text = page.render([AREA], {"kept": found, "later": Evidence()})
    assert "| It is kept. | [2 tests](#kept), rehearsal `deploy`, [sign-in](sign-in.md#people) |\n" in text
    assert "\n### kept\n\nIt is kept.\n\n- c is d ([test_b.py](../tests/a/test_b.py))\n" in text


def test_a_planned_promise_is_listed_apart() -> None:
    text = page.render([AREA], {"kept": Evidence(steps=("deploy",)), "later": Evidence()})
    assert "\nPlanned:\n\n- It will be. (`later`)\n" in text
    assert "### later" not in text


def test_a_page_outside_of_docs_is_linked_from_there() -> None:
    text = page.render([AREA], {"kept": Evidence(page="README.md#deploy"), "later": Evidence()})
    assert "[README](../README.md#deploy)" in text


def test_the_command_reports_mistakes_and_leaves_the_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(areas: object) -> None:
        raise RecordError("promises/areas/nodes.toml: kept: no evidence")

    before = (ROOT / page.PAGE).read_text(encoding="utf-8")
    monkeypatch.setattr(evidence, "collect", refuse)
    assert main() == 1
    assert capsys.readouterr().err == "promises/areas/nodes.toml: kept: no evidence\n"
    assert (ROOT / page.PAGE).read_text(encoding="utf-8") == before
