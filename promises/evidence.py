"""The evidence for each promise: tests with its id as a marker, steps of the rehearsal, pages.

Tests are parsed, not imported, because ``pytest --collect-only`` takes a hundred times as long.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from promises.record import ROOT, Area, Promise, RecordError
from rehearsal.progress import Step

STEPS: tuple[str, ...] = get_args(Step)
"""Names of the rehearsal's steps."""

_TESTS = "tests/**/test_*.py"


@dataclass(frozen=True, order=True)
class MarkedTest:
    """A test function with the id of a promise.

    :param file: path of the test, relative to the project's folder.
    :param line: line of its ``def``.
    :param name: name of the function.
    """

    file: str
    line: int
    name: str


@dataclass(frozen=True)
class Evidence:
    """The evidence for one promise."""

    tests: tuple[MarkedTest, ...] = ()
    steps: tuple[str, ...] = ()
    page: str | None = None

    def __bool__(self) -> bool:
        return bool(self.tests or self.steps or self.page)


@dataclass
class _Found:
    """The tests of each promise, and the mistakes in their markers."""

    tests: dict[str, list[MarkedTest]] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)


def collect(areas: Sequence[Area], root: Path = ROOT) -> Mapping[str, Evidence]:
    """The evidence of every promise.

    :param root: folder of the project.
    :raises RecordError: with every unknown id, step or page, every promise that is neither planned nor evident, and
        every planned one with evidence.
    """
    found = _marked_tests(root)
    evidence: dict[str, Evidence] = {}
    for area in areas:
        for id, promise in area.promises.items():
            tests = sorted(found.tests.pop(id, ()))
            evidence[id] = Evidence(tuple(tests), promise.steps, promise.page)
            found.mistakes += [f"{area.file}: {id}: {mistake}" for mistake in _judge(id, promise, evidence[id], root)]
    for id, strangers in found.tests.items():
        found.mistakes += [f"{test.file}:{test.line}: {unknown(id)}" for test in strangers]
    if found.mistakes:
        raise RecordError("\n".join(found.mistakes))
    return evidence


def unknown(id: object) -> str:
    """The error for a marker with an unknown id."""
    return f"promise {id!r} does not exist; correct the id, or add the promise to a file in promises/areas"


def _judge(id: str, promise: Promise, evidence: Evidence, root: Path) -> Iterator[str]:
    for step in promise.steps:
        if step not in STEPS:
            yield f"steps: {step!r} is not a step of the rehearsal; choose from {', '.join(STEPS)}"
    if promise.page:
        yield from _judge_page(promise.page, root)
    if promise.planned and evidence:
        shown = [f"{test.file}::{test.name}" for test in evidence.tests] + [*evidence.steps]
        yield f"planned, but has evidence ({', '.join(shown) or evidence.page}); remove 'planned = true'"
    if not promise.planned and not evidence:
        yield (
            f'no evidence; mark a test with @pytest.mark.promise("{id}"), name steps or a page, or add "planned = true"'
        )


def _judge_page(page: str, root: Path) -> Iterator[str]:
    name, _, heading = page.partition("#")
    path = root / name
    if not path.is_file():
        yield f"page: {name!r} is not a file; give the path of a page, relative to the project's folder"
    elif heading and heading not in (slugs := _headings(path)):
        yield f"page: {name} has no heading '#{heading}'; choose from {', '.join(slugs)}"


def _headings(path: Path) -> list[str]:
    """The anchors of a page's headings, as code hosts generate them."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in titles]


def _marked_tests(root: Path) -> _Found:
    found = _Found()
    for path in sorted(root.glob(_TESTS)):
        _read(path, path.relative_to(root).as_posix(), found)
    return found


def _read(path: Path, file: str, found: _Found) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), file)
    of_all = [
        id for node in tree.body if _is_pytestmark(node) for mark in _list(node) for id in _ids(mark, file, found)
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            own = [id for mark in _marks(node) for id in _ids(mark, file, found)]
            for id in dict.fromkeys(of_all + own):
                found.tests.setdefault(id, []).append(MarkedTest(file, node.lineno, node.name))


def _is_pytestmark(node: ast.stmt) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else ()
    return any(isinstance(target, ast.Name) and target.id == "pytestmark" for target in targets)


def _marks(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """Every mark of a test: its decorators, and the ``marks`` of its parameters."""
    for decorator in function.decorator_list:
        yield decorator
        for node in ast.walk(decorator):
            if isinstance(node, ast.keyword) and node.arg == "marks":
                yield from _list(node)


def _list(node: ast.stmt | ast.keyword) -> Sequence[ast.AST]:
    """The marks in an assignment or an argument, which is one mark or a list of them."""
    value = getattr(node, "value", None)
    return value.elts if isinstance(value, ast.List | ast.Tuple) else [value] if value else []


def _ids(mark: ast.AST, file: str, found: _Found) -> Iterator[str]:
    if not isinstance(mark, ast.Call) or ast.unparse(mark.func) != "pytest.mark.promise":
        return
    for argument in mark.args:
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            yield argument.value
        else:
            text = ast.unparse(argument)
            found.mistakes.append(f"{file}:{mark.lineno}: promise {text}: write the id as a string literal")
