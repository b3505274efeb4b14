"""Builds the programs and images of the table: ``python -m kubernetes_rehearsal.programs [NAMES]``."""

import argparse
import sys
from collections.abc import Sequence

from kubernetes_rehearsal.interface import KubernetesError
from kubernetes_rehearsal.programs.build import Result, build
from kubernetes_rehearsal.programs.packages import lock_debian, lock_pypi
from kubernetes_rehearsal.programs.store import Store
from kubernetes_rehearsal.programs.table import HERE, Selection, Table, read_table, select


def main(arguments: Sequence[str]) -> str | None:
    """:return: the failure of a named item, in one line. Without names, a missing program is only reported."""
    options = _parser().parse_args(arguments)
    try:
        table = read_table(locks=not options.lock)
        if options.lock:
            return _lock(table, options.lock)
        selection = select(table, options.names, everything=options.all)
    except KubernetesError as error:
        return str(error)
    if options.list:
        _list(Store(table), selection)
        return None
    results = []
    for result in build(Store(table), selection, minutes=options.minutes):
        results.append(result)
        print(_line(result), flush=True)
    missing = [result for result in results if result.reason]
    seconds = sum(result.facts.seconds for result in results if result.facts and not result.cached)
    megabytes = sum(result.facts.megabytes for result in results if result.facts)
    print(f"{len(results) - len(missing)} of {len(results)} available: {seconds:.0f} s, {megabytes:.0f} MB")
    for image, reason in table.unavailable.items() if not options.names else ():
        print(f"unavailable: {image}: {reason}")
    return f"{missing[0].item}: {missing[0].reason}" if missing and options.names else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kubernetes_rehearsal.programs", description=__doc__)
    parser.add_argument(
        "names", nargs="*", help="programs, package sets or images. Default: all except those on demand"
    )
    parser.add_argument("--all", action="store_true", help="include those on demand")
    parser.add_argument("--list", action="store_true", help="list the programs, and build nothing")
    parser.add_argument("--minutes", type=float, default=0, help="start no build after this time")
    parser.add_argument("--lock", metavar="KIND/NAME", help="write the lock of a package set with current versions")
    return parser


def _list(store: Store, selection: Selection) -> None:
    for item in [*selection.parts, *selection.images]:
        facts = store.facts(item)
        print(_line(Result(item, facts, cached=True) if facts else Result(item, reason="not built")))


def _lock(table: Table, item: str) -> str | None:
    kind, _, name = item.partition("/")
    row = {"debian": table.debian, "pypi": table.pypi}.get(kind, {}).get(name)
    if row is None:
        return f"{item}: not a package set of the table; write debian/NAME or pypi/NAME"
    text = lock_debian(row) if kind == "debian" else lock_pypi(row)
    file = HERE / "locks" / kind / f"{name}.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    print(f"{file.relative_to(HERE)}: {len(text.splitlines())} packages")
    return None


def _line(result: Result) -> str:
    if result.facts:
        source = "cache" if result.cached else "built"
        facts = result.facts
        cost = f"{facts.seconds:>6.1f} s, {facts.cpu_seconds:>6.1f} s of CPU, {facts.megabytes:>6.1f} MB"
        return f"{result.item:<68} {source} {cost}"
    return f"{result.item:<68} missing: {result.reason}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
