"""``python -m delivery.mirror``: fills the mirrors of the account files, and skips what they already contain.

The images and charts are listed in charts/*/*/release.toml. An interrupted run can be repeated.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from charts.catalog import Catalog
from charts.kit.release import FILE
from config.delivery import REHEARSAL
from config.image_registries import image_registries
from config.loader import ConfigError, load_accounts
from delivery.mirror.crane import Crane, built
from delivery.mirror.credentials import write_credentials
from delivery.mirror.errors import MirrorError
from delivery.mirror.items import Item, MirroredChart, MirroredImage
from delivery.mirror.mirror import bring, differences, upstream_digest
from delivery.mirror.record import record


def main(arguments: Sequence[str] | None = None) -> int:
    """:return: 0, or 1 if there is any problem, with one line for each on standard error."""
    options = _parser().parse_args(arguments)
    try:
        accounts = {name: settings for name, settings in load_accounts().items() if name != REHEARSAL}
        registries = options.registry or list(image_registries(accounts))
        if not registries and not options.record and not options.check:
            print("mirror: no account file names an image_registry; nothing to do")
            return 0
        with TemporaryDirectory() as credentials:
            write_credentials(Path(credentials), registries)
            crane = Crane(options.crane or built(), credentials=Path(credentials))
            mistakes = list(_work(options, list(_items(crane)), registries))
    except (ConfigError, MirrorError) as error:
        mistakes = [str(error)]
    for line in mistakes:
        print(line, file=sys.stderr)
    return 1 if mistakes else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m delivery.mirror", description=__doc__)
    parser.add_argument(
        "--registry",
        action="append",
        help="a registry to fill, as in an account file. Default: those of all account files",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--record", action="store_true", help="write upstream's digests into the lists; copy nothing")
    what.add_argument(
        "--check", action="store_true", help="report differences between lists, upstream and mirrors; change nothing"
    )
    parser.add_argument("--crane", type=Path, help="a crane executable. Default: built once from its Go module")
    return parser


def _items(crane: Crane) -> Iterator[Item]:
    for component in Catalog.load().components.values():
        listed_in = component.listed_in
        yield from (MirroredImage(image, crane=crane, listed_in=listed_in) for image in component.release.images)
        yield from (MirroredChart(chart, crane=crane, listed_in=listed_in) for chart in component.release.charts)


def _work(options: argparse.Namespace, items: Sequence[Item], registries: Sequence[str]) -> Iterator[str]:
    """Process all items, and yield the problems."""
    if options.record:
        yield from _record(items)
        return
    places: list[str | None] = [*registries] or [None]  # without a registry, lists are compared with upstream
    for registry in places:
        for item in items:
            try:
                if options.check:
                    yield from differences(item, registry)
                elif registry:
                    _mirror_item(item, registry)
            except MirrorError as error:  # continue with the others
                yield str(error)


def _mirror_item(item: Item, registry: str) -> None:
    outcome = bring(item, registry)
    unrecorded = "" if item.recorded else "; its digest is not recorded, run with --record"
    print(f"{registry}/{item.path}:{item.tag}: {outcome}{unrecorded}", flush=True)


def _record(items: Sequence[Item]) -> Iterator[str]:
    for component in Catalog.load().components.values():
        digests: dict[str, str] = {}
        for item in items:
            try:
                if item.listed_in == component.listed_in:
                    digests[item.name] = upstream_digest(item)
            except MirrorError as error:
                yield str(error)
        for name in record(component.folder / FILE, digests):
            print(f"{component.listed_in}: [{name}]: {digests[name]}")


if __name__ == "__main__":
    sys.exit(main())
