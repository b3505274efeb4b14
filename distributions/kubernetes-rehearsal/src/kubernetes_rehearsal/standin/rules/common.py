"""Checks that the rules of several kinds share."""

import ipaddress
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from kubernetes_rehearsal.standin.errors import Object, Problems
from kubernetes_rehearsal.standin.formats import (
    dns_subdomain,
    label_value,
    percentage,
    port_name,
    port_number,
    qualified_name,
    quantity,
)

Form = Callable[[str], str | None]
IMMUTABLE = "field is immutable"
PROTOCOLS = ["SCTP", "TCP", "UDP"]


def check_text(form: Form, value: str, path: str, problems: Problems) -> None:
    """Report a text that does not have a form."""
    if problem := form(value):
        problems.invalid(path, value, problem)


def required_text(form: Form, value: str | None, path: str, problems: Problems) -> None:
    """Report a text that is absent or does not have a form."""
    if not value:
        problems.required(path)
    else:
        check_text(form, value, path, problems)


def labels(found: dict[str, str], path: str, problems: Problems) -> None:
    """Keys and values of labels."""
    for key, value in found.items():
        check_text(qualified_name, key, path, problems)
        check_text(label_value, value, path, problems)


def label_selector(selector: Object, path: str, problems: Problems) -> None:
    """A LabelSelector's keys, values and operators."""
    labels(selector.get("matchLabels", {}), f"{path}.matchLabels", problems)
    for index, requirement in enumerate(selector.get("matchExpressions", [])):
        place = f"{path}.matchExpressions[{index}]"
        values = requirement.get("values", [])
        match requirement.get("operator"):
            case "In" | "NotIn":
                if not values:
                    problems.required(f"{place}.values", "must be specified when `operator` is 'In' or 'NotIn'")
            case "Exists" | "DoesNotExist":
                if values:
                    problems.forbidden(
                        f"{place}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                    )
            case operator:
                problems.invalid(f"{place}.operator", operator, "not a valid selector operator")
        check_text(qualified_name, requirement.get("key", ""), f"{place}.key", problems)
        for number, value in enumerate(values):
            check_text(label_value, value, f"{place}.values[{number}]", problems)


def not_negative(found: Object, name: str, path: str, problems: Problems) -> None:
    """A count that may be absent, but not below zero."""
    value = found.get(name)
    if isinstance(value, int) and value < 0:
        problems.invalid(f"{path}.{name}", value, "must be greater than or equal to 0")


def count_or_percentage(value: Any, path: str, problems: Problems) -> None:
    """An IntOrString that is a count from zero on, or a percentage."""
    if isinstance(value, str) and not percentage(value):
        problems.invalid(path, value, "a valid percent string must be a numeric string followed by an ending '%'")
    elif isinstance(value, int) and value < 0:
        problems.invalid(path, value, "must be greater than or equal to 0")


def port(value: Any, path: str, problems: Problems) -> None:
    """An IntOrString that is a port's number or name."""
    if isinstance(value, int):
        if problem := port_number(value):
            problems.invalid(path, value, problem)
    else:
        check_text(port_name, value, path, problems)


def amount(value: Any, path: str, problems: Problems) -> Decimal:
    """A quantity from zero on; its number."""
    number = quantity(value) or Decimal(0)
    if number < 0:
        problems.invalid(path, str(value), "must be greater than or equal to 0")
    return number


def network(value: str, path: str, problems: Problems) -> Any:
    """A CIDR; the network, or None if the text is none."""
    try:
        if "/" not in value:
            raise ValueError(value)
        return ipaddress.ip_network(value, strict=False)
    except ValueError:
        problems.invalid(path, value, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")
        return None


def address(value: str, path: str, problems: Problems) -> None:
    """An IP address."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        problems.invalid(path, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")


def exactly_one(
    found: Object, names: set[str], path: str, problems: Problems, nothing: str, several: str
) -> str | None:
    """The one of ``names`` that is present; reports none and several."""
    there = sorted(names & found.keys())
    if not there:
        problems.required(path, nothing)
        return None
    for name in there[1:]:
        problems.forbidden(f"{path}.{name}", several)
    return there[0]


def unchanged(found: Object, old: Object, names: list[str], path: str, problems: Problems) -> None:
    """Fields that may not change."""
    for name in names:
        if found.get(name) != old.get(name):
            problems.invalid(f"{path}.{name}", found.get(name), IMMUTABLE)


def object_name(value: str, path: str, problems: Problems) -> None:
    """A reference to an object by its name."""
    required_text(dns_subdomain, value, path, problems)
