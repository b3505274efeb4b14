"""Writes ``docs/promises.md``: a table for each area, then the tests of each promise."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from promises.evidence import Evidence
from promises.record import Area

PAGE = "docs/promises.md"

_HEAD = """\
# Promises

The platform's promises by area, and the evidence for each: tests, steps of the [rehearsal](rehearsal.md), or a page.
Promises that are not built yet are listed as planned.

The promises are defined in `promises/areas/`. A test is evidence if it is marked with the id of a promise:
`@pytest.mark.promise("gpu-from-zero")`. The tests fail for a promise without evidence that is not planned, and for a
planned promise with evidence. `make promises` generates this page.
"""


def render(areas: Sequence[Area], evidence: Mapping[str, Evidence]) -> str:
    """The whole page."""
    tables = (line for area in areas for line in _table(area, evidence))
    return _HEAD + "".join(tables) + "\n## Tests\n" + "".join(_tests(areas, evidence))


def _table(area: Area, evidence: Mapping[str, Evidence]) -> Iterator[str]:
    yield f"\n## {area.title}\n"
    kept = {id: promise for id, promise in area.promises.items() if not promise.planned}
    planned = {id: promise for id, promise in area.promises.items() if promise.planned}
    if kept:
        yield "\n| promise | evidence |\n|---|---|\n"
        for id, promise in kept.items():
            yield f"| {promise.sentence} | {', '.join(_summary(id, evidence[id]))} |\n"
    if planned:
        yield "\nPlanned:\n\n"
        yield from (f"- {promise.sentence} (`{id}`)\n" for id, promise in planned.items())


def _summary(id: str, evidence: Evidence) -> Iterator[str]:
    if count := len(evidence.tests):
        yield f"[{count} test{'s' if count > 1 else ''}](#{id})"
    for step in evidence.steps:
        yield f"rehearsal `{step}`"
    if evidence.page:
        path = PurePosixPath(evidence.page)
        target = path.relative_to("docs") if path.parts[0] == "docs" else PurePosixPath("..") / path
        yield f"[{path.name.partition('.')[0]}]({target})"


def _tests(areas: Sequence[Area], evidence: Mapping[str, Evidence]) -> Iterator[str]:
    for area in areas:
        for id, promise in area.promises.items():
            if tests := evidence[id].tests:
                yield f"\n### {id}\n\n{promise.sentence}\n\n"
            for test in tests:
                words = test.name.removeprefix("test_").replace("_", " ")
                yield f"- {words} ([{PurePosixPath(test.file).name}](../{test.file}))\n"
