"""Checks of single values: each returns what is wrong with a value, or None."""

import ipaddress
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from .quantities import quantity

Check = Callable[[Any], str | None]

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_HOST = re.compile(r"(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_QUALIFIED = re.compile(rf"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?{_NAME}")
_DOMAIN_PATH = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/[^\s]+")
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]([a-z0-9]|-(?!-)){0,13}[a-z0-9]|[a-z]")
_PERCENT = re.compile(r"\d+%")
_HTTPS = re.compile(r"https://[^\s/?#@]+(/[^\s?#]*)?")


def choice(*values: str) -> Check:
    """One of these."""
    words = f"{', '.join(map(repr, values[:-1]))} or {values[-1]!r}"
    return lambda value: None if value in values else f"must be {words}, got {value!r}"


def at_least(least: int) -> Check:
    """A number from this one on."""
    return lambda value: f"must be {least} or more, got {value}" if _is_number(value) and value < least else None


def between(least: int, most: int) -> Check:
    """A number from the first to the last."""
    return lambda value: (
        f"must be {least} to {most}, got {value}" if _is_number(value) and not least <= value <= most else None
    )


def _matching(pattern: re.Pattern[str], words: str) -> Check:
    return lambda value: (
        f"must be {words}, got {value!r}" if isinstance(value, str) and not pattern.fullmatch(value) else None
    )


label = _matching(_LABEL, "at most 63 lower-case letters, digits and '-'")
subdomain = _matching(_SUBDOMAIN, "lower-case letters, digits, '-' and '.'")
qualified = _matching(_QUALIFIED, "letters, digits, '-', '_' and '.', with a domain before a '/' or none")
domain_path = _matching(_DOMAIN_PATH, "a path below a domain, such as 'example.com/name'")
https = _matching(_HTTPS, "an address such as 'https://host/path'")
variable = _matching(re.compile(r"[\x20-\x3c\x3e-\x7e]+"), "printable ASCII without '='")
trimmed = _matching(re.compile(r"\S(.*\S)?"), "free of blanks at both ends")
resource_field = _matching(
    re.compile(r"(limits|requests)\.(cpu|memory|ephemeral-storage|hugepages-\w+)"),
    "requests or limits of cpu, memory, ephemeral-storage or hugepages",
)
pod_field = _matching(
    re.compile(
        r"metadata\.(name|namespace|uid)|spec\.(nodeName|serviceAccountName)|status\.(hostIPs?|podIPs?)"
        r"|metadata\.(annotations|labels)\['[^']+'\]"
    ),
    "a field that pods offer, such as 'metadata.name' or \"metadata.labels['a']\"",
)


def host(value: Any) -> str | None:
    """A name of DNS; a wildcard stands for its first part alone."""
    if not isinstance(value, str) or not value:
        return None
    if not ip(value):
        return f"must be a name, not an address, got {value!r}"
    return _matching(_HOST, "a lower-case name such as 'a.example.com' or '*.example.com'")(value)


def port(value: Any) -> str | None:
    """The name of a port; numbers are checked where they stand."""
    return _matching(_PORT_NAME, "a number, or at most 15 lower-case letters, digits and '-'")(value)


def relative(value: Any) -> str | None:
    """A path inside of something."""
    if isinstance(value, str) and (value.startswith("/") or ".." in value.split("/")):
        return f"must be a relative path without '..', got {value!r}"
    return None


def absolute(value: Any) -> str | None:
    """A path from the root on."""
    return None if not isinstance(value, str) or value.startswith("/") else f"must begin with '/', got {value!r}"


def without_dots(value: Any) -> str | None:
    """A path that does not lead back."""
    bad = isinstance(value, str) and ".." in value.split("/")
    return f"must be free of '..', got {value!r}" if bad else None


def ip(value: Any) -> str | None:
    """An address of version 4 or 6."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return f"must be an IP address, got {value!r}"
    return None


def cidr(value: Any) -> str | None:
    """A network with the length of its prefix."""
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return f"must be a network such as '10.0.0.0/16', got {value!r}"
    return None if "/" in str(value) else f"must be a network such as '10.0.0.0/16', got {value!r}"


def share(value: Any) -> str | None:
    """A number of pods, or a percentage."""
    if isinstance(value, str):
        if not _PERCENT.fullmatch(value):
            return f"must be a number or a percentage such as '25%', got {value!r}"
        return f"must be at most '100%', got {value!r}" if int(value[:-1]) > 100 else None
    return at_least(0)(value)


def growing_share(value: Any) -> str | None:
    """The same, which may be larger than the whole."""
    return None if isinstance(value, str) and _PERCENT.fullmatch(value) else share(value)


def not_negative(value: Any) -> str | None:
    """A quantity from 0 on."""
    amount = quantity(value)
    return f"must not be below 0, got {value!r}" if amount is not None and amount < 0 else None


def whole(value: Any) -> str | None:
    """A quantity that counts things."""
    amount = quantity(value)
    if amount is None:
        return None
    return not_negative(value) or (f"must be a whole number, got {value!r}" if amount % Decimal(1) else None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
