"""Builds the parts and images of the table, once each, and reports the available and unavailable ones."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kubernetes_rehearsal.interface import KubernetesError
from kubernetes_rehearsal.programs.archives import write_image
from kubernetes_rehearsal.programs.golang import build_go, module_file
from kubernetes_rehearsal.programs.packages import fetch_debian, fetch_pypi
from kubernetes_rehearsal.programs.store import Facts, Store
from kubernetes_rehearsal.programs.table import Selection


@dataclass(frozen=True)
class Result:
    """The result of one run for one item.

    :param facts: facts about an available item.
    :param cached: whether it was available before.
    :param reason: why it is unavailable, in one line.
    """

    item: str
    facts: Facts | None = None
    cached: bool = False
    reason: str = ""


Make = Callable[[Store, str, Path], None]


def build(
    store: Store,
    selection: Selection,
    *,
    minutes: float = 0,
    make: Make | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Result]:
    """Build the selected items in order, and yield each result when it is ready. A failure does not stop the others.

    :param minutes: time after which no build is started. Default: no limit.
    :param make: builds one item at a path. Default: with the clients of Go, Debian and PyPI.
    """
    started = clock()
    missing: dict[str, str] = {}
    for item in [*selection.parts, *selection.images]:
        known = store.facts(item)
        lacking = [part for part in _parts(store, item) if part in missing]
        if known:
            result = Result(item, known, cached=True)
        elif lacking:
            result = Result(item, reason=f"{lacking[0]} is missing: {missing[lacking[0]]}")
        elif minutes and clock() - started > minutes * 60 and item in selection.parts:
            result = Result(item, reason=f"the {minutes:g} minutes of this run were over; run it again")
        else:
            result = _make(store, item, make or make_item, clock)
        if result.reason:
            missing[item] = result.reason
        yield result


def make_item(store: Store, item: str, target: Path) -> None:
    """Make one part or image at a path.

    :raises KubernetesError: if it is unavailable, in one line.
    """
    table = store.table
    kind, _, name = item.partition("/")
    if item in table.images:
        recipe = table.images[item]
        sources = {path: _source(store, source) for path, source in recipe.files.items()}
        write_image(target, item, recipe, sources)
    elif kind == "go":
        program = table.go[name]
        build_go(program, table.stamps.get(program.stamps, {}), target, store.source / "modules")
    elif kind == "debian":
        lock = store.source / "locks" / kind / f"{name}.txt"
        fetch_debian(table.debian[name], lock, target, store.cache / "archives")
    else:
        fetch_pypi(store.source / "locks" / kind / f"{name}.txt", target)


def _make(store: Store, item: str, make: Make, clock: Callable[[], float]) -> Result:
    started, used = clock(), _cpu_seconds()
    store.cache.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=store.cache, prefix="making-"))
    try:
        make(store, item, scratch / "made")
        return Result(item, store.keep(item, scratch / "made", clock() - started, _cpu_seconds() - used))
    except (KubernetesError, OSError) as error:
        return Result(item, reason=str(error).splitlines()[0])
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _cpu_seconds() -> float:
    """Processor time of this process and of all that it started and waited for."""
    return sum(os.times()[:4])


def _parts(store: Store, item: str) -> list[str]:
    return store.table.parts(item) if item in store.table.images else []


def _source(store: Store, source: str) -> Path:
    """The file or folder that a source of an image's row names."""
    kind, _, rest = source.partition("/")
    if kind == "module":
        lock, _, path = rest.partition("/")
        module, _, file = path.partition("//")
        return module_file(store.source / "modules" / lock, module, file)
    name, _, inside = rest.partition("/")
    return store.path(f"{kind}/{name}") / inside if inside else store.path(f"{kind}/{name}")
