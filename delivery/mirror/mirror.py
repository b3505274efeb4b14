"""Decides whether an image or chart must be copied, and verifies the copy."""

from collections.abc import Iterator

from delivery.mirror.errors import MirrorError
from delivery.mirror.items import Item
from delivery.mirror.retries import with_retries


def bring(item: Item, registry: str) -> str:
    """Copy an item to a mirror, unless it exists there.

    A recorded item that exists in the mirror needs no access to upstream. A tag is immutable: its digest must be the
    same in the record, upstream and in the mirror.

    :return: ``copied`` or ``there``.
    :raises MirrorError: if the tag has a different digest, or the copy is incomplete or differs.
    """
    place = f"{registry}/{item.path}:{item.tag}"
    have = with_retries(lambda: item.mirrored(registry))
    if have and item.recorded == have:
        return "there"
    if have and item.recorded:
        raise MirrorError(
            f"{place}: has digest {have}, {item.listed_in} records {item.recorded}; tags in the mirror are immutable: "
            "correct the entry, or use another version"
        )
    source = upstream_digest(item)
    if have and have != source:
        raise MirrorError(_moved(item, f"the mirror has {have}", source))
    if have:
        return "there"
    with_retries(lambda: item.copy(registry, source))
    arrived = with_retries(lambda: item.mirrored(registry))
    if arrived != source:
        raise MirrorError(f"{place}: has digest {arrived} after a copy of {source}; delete it there and run again")
    if missing := with_retries(lambda: item.missing_parts(registry)):
        raise MirrorError(f"{place}: incomplete, without {', '.join(missing)}; delete it there and run again")
    return "copied"


def upstream_digest(item: Item) -> str:
    """The digest of a tag at the source.

    :raises MirrorError: if it does not exist, or differs from the record.
    """
    source = with_retries(item.upstream)
    if source is None:
        raise MirrorError(f"{item.listed_in}: [{item.name}]: {item.tag} does not exist upstream; use another version")
    if item.recorded and item.recorded != source:
        raise MirrorError(_moved(item, f"recorded is {item.recorded}", source))
    return source


def differences(item: Item, registry: str | None) -> Iterator[str]:
    """Differences between the record, upstream and a mirror, one line each. Nothing is changed.

    :param registry: the mirror. Default: compare the record with upstream only.
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
    have = with_retries(lambda: item.mirrored(registry))
    if have is None:
        yield f"{place}: does not exist; run without --check"
    elif expected and have != expected:
        yield f"{place}: has digest {have}, expected {expected}"
    elif missing := with_retries(lambda: item.missing_parts(registry)):
        yield f"{place}: incomplete, without {', '.join(missing)}"


def _moved(item: Item, before: str, now: str) -> str:
    return (
        f"{item.listed_in}: [{item.name}]: upstream moved the tag {item.tag}: {before}, upstream has {now}; "
        "ask the project for the reason, and use another version or correct the entry"
    )
