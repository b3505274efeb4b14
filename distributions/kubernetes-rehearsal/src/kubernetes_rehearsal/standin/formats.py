"""The forms that Kubernetes gives to names, labels, quantities and times, as predicates: the reason, or None.

https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
"""

import re
from decimal import Decimal
from typing import Any

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_QUANTITY = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)(m|n|u|[kMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?")
_DURATION = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_SCALES = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def dns_label(value: str) -> str | None:
    """RFC 1123 label: names of namespaces, containers, volumes."""
    if len(value) > 63:
        return "must be no more than 63 characters"
    if not re.fullmatch(_LABEL, value):
        return (
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
            "and must start and end with an alphanumeric character"
        )
    return None


def dns_1035_label(value: str) -> str | None:
    """RFC 1035 label: names of services; starts with a letter."""
    if len(value) > 63:
        return "must be no more than 63 characters"
    if not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", value):
        return (
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
            "start with an alphabetic character, and end with an alphanumeric character"
        )
    return None


def dns_subdomain(value: str) -> str | None:
    """RFC 1123 subdomain: names of most objects."""
    if len(value) > 253:
        return "must be no more than 253 characters"
    if not re.fullmatch(_SUBDOMAIN, value):
        return (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
            "and must start and end with an alphanumeric character"
        )
    return None


def wildcard_subdomain(value: str) -> str | None:
    """A subdomain below ``*.``: hosts of ingresses."""
    if len(value) > 253:
        return "must be no more than 253 characters"
    if not re.fullmatch(rf"\*\.{_SUBDOMAIN}", value):
        return (
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, "
            "which must consist of lower case alphanumeric characters, '-' or '.'"
            " and end with an alphanumeric character"
        )
    return None


def path_segment(value: str) -> str | None:
    """Anything that fits between two slashes of a URL: names of roles and bindings."""
    if value in (".", ".."):
        return f"may not be '{value}'"
    for character in "/%":
        if character in value:
            return f"may not contain '{character}'"
    return None


def qualified_name(value: str) -> str | None:
    """An optional DNS subdomain and a slash, then a name: keys of labels and annotations, resources, finalizers."""
    prefix, slash, name = value.rpartition("/")
    if slash and (not prefix or dns_subdomain(prefix)):
        return "prefix part must be a valid lowercase RFC 1123 subdomain" if prefix else "prefix part must be non-empty"
    if not name:
        return "name part must be non-empty"
    if len(name) > 63:
        return "name part must be no more than 63 bytes"
    if not re.fullmatch(_QUALIFIED, name) or "/" in prefix:
        return (
            "name part must consist of alphanumeric characters, '-', '_' or '.', "
            "and must start and end with an alphanumeric character"
        )
    return None


def label_value(value: str) -> str | None:
    """A value of a label; it may be empty."""
    if len(value) > 63:
        return "must be no more than 63 bytes"
    if value and not re.fullmatch(_QUALIFIED, value):
        return (
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
            "and must start and end with an alphanumeric character"
        )
    return None


def config_key(value: str) -> str | None:
    """A key of a ConfigMap or Secret; it may become a file name."""
    if len(value) > 253:
        return "must be no more than 253 characters"
    if not re.fullmatch(r"[-._a-zA-Z0-9]+", value):
        return "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
    if value == "." or value.startswith(".."):
        return f"must not be '{value}'" if value in (".", "..") else "must not start with '..'"
    return None


def environment_name(value: str) -> str | None:
    """The name of an environment variable: printable ASCII without ``=``."""
    if not value or not all(" " <= character <= "~" and character != "=" for character in value):
        return "a valid environment variable name must consist only of printable ASCII characters other than '='"
    return None


def header_name(value: str) -> str | None:
    """The name of an HTTP header."""
    if not re.fullmatch(r"[-A-Za-z0-9]+", value):
        return "a valid HTTP header must consist of alphanumeric characters or '-'"
    return None


def port_name(value: str) -> str | None:
    """The name of a container's port, after IANA's rule for services."""
    if len(value) > 15:
        return "must be no more than 15 characters"
    if not re.fullmatch(r"[-a-z0-9]+", value):
        return "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
    if not re.search(r"[a-z]", value):
        return "must contain at least one letter (a-z)"
    if "--" in value:
        return "must not contain consecutive hyphens"
    if value.startswith("-") or value.endswith("-"):
        return "must not begin or end with a hyphen"
    return None


def port_number(value: int) -> str | None:
    """A TCP or UDP port."""
    return None if 1 <= value <= 65535 else "must be between 1 and 65535, inclusive"


def absolute_path(value: str) -> bool:
    """Whether a path starts at the root and never climbs."""
    return value.startswith("/") and ".." not in value.split("/")


def quantity(value: Any) -> Decimal | None:
    """The number of a quantity such as ``500m`` or ``2Gi``, or None if it is not a quantity."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    found = _QUANTITY.fullmatch(value if isinstance(value, str) else repr(value))
    if not found:
        return None
    number = Decimal(found[1] + found[2])
    suffix = found[3] or ""
    if suffix in _BINARY:
        return number * Decimal(2) ** _BINARY[suffix]
    if suffix in _SCALES:
        return number.scaleb(_SCALES[suffix])
    return number.scaleb(int(suffix[1:])) if suffix else number


def duration(value: str) -> bool:
    """Whether the text is a Go duration, such as ``1h30m``."""
    body = value[1:] if value[:1] in ("+", "-") else value
    return body == "0" or bool(body) and bool(re.fullmatch(rf"({_DURATION.pattern})+", body))


def percentage(value: str) -> bool:
    """Whether the text is a whole percentage."""
    return bool(re.fullmatch(r"\d+%", value))
