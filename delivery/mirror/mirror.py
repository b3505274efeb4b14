"""Decides for one image or chart whether to copy it, and makes sure that what arrived is what was meant."""

from collections.abc import Iterator

from delivery.mirror.errors import MirrorError
from delivery.mirror.items import Item
from delivery.mirror.patience import patiently


def bring(item: Item, registry: str) -> str:
    """Bring an item into a mirror, unless it is there.

    What is recorded and already there needs nobody upstream. A tag names one digest for ever: recorded, upstream and in
    the mirror it must be the same.

    :return: ``copied`` or ``there``.
    :raises MirrorError: where the tag means something else by now, or what arrived is not what was sent.
    """
    place = f"{registry}/{item.path}:{item.tag}"
    have = patiently(lambda: item.mirrored(registry))
    if have and item.recorded == have:
        return "there"
    if have and item.recorded:
        raise MirrorError(
            f"{place}: holds {have}, {item.listed_in} records {item.recorded}; a tag of the mirror never moves: "
            "correct the entry, or take another version"
        )
    source = upstream_digest(item)
    if have and have != source:
        raise MirrorError(_moved(item, f"the mirror holds {have}", source))
    if have:
        return "there"
    patiently(lambda: item.copy(registry, source))
    arrived = patiently(lambda: item.mirrored(registry))
    if arrived != source:
        raise MirrorError(f"{place}: has digest {arrived} after a copy of {source}; delete it there and run again")
    if missing := patiently(lambda: item.missing_parts(registry)):
        raise MirrorError(f"{place}: lacks {', '.join(missing)}; delete it there and run again")
    return "copied"


def upstream_digest(item: Item) -> str:
    """The digest that a tag has where it comes from.

    :raises MirrorError: where there is none, or not the recorded one.
    """
    source = patiently(item.upstream)
    if source is None:
        raise MirrorError(f"{item.listed_in}: [{item.name}]: {item.tag} is not there upstream; take a version that is")
    if item.recorded and item.recorded != source:
        raise MirrorError(_moved(item, f"recorded is {item.recorded}", source))
    return source


def differences(item: Item, registry: str | None) -> Iterator[str]:
    """How what is recorded, upstream and in a mirror differ, one line each; nothing is changed.

    :param registry: Default: what is recorded is compared with upstream only.
    """
    if not item.recorded:
        yield f"{item.listed_in}: [{item.name}]: no digest recorded; run with --record"
    try:
        source: str | None = upstream_digest(item)
    except MirrorError as error:
        source = None
        yield str(error)
    if registry is None:
        return
    place, expected = f"{registry}/{item.path}:{item.tag}", item.recorded or source
    have = patiently(lambda: item.mirrored(registry))
    if have is None:
        yield f"{place}: not there; run without --check"
    elif expected and have != expected:
        yield f"{place}: holds {have}, expected {expected}"
    elif missing := patiently(lambda: item.missing_parts(registry)):
        yield f"{place}: lacks {', '.join(missing)}"


def _moved(item: Item, before: str, now: str) -> str:
    return (
        f"{item.listed_in}: [{item.name}]: upstream moved the tag {item.tag}: {before}, upstream has {now}; "
        "ask the project why, and take another version or correct the entry"
    )
