"""The rules for names, labels and quantities that the Kubernetes schemas leave out.

https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .tokens import is_token

MAX_ANNOTATIONS_BYTES = 262_144
"""Bytes of all annotations of an object, including the last-applied configuration of ``kubectl apply``."""

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_DNS_LABEL = re.compile(_LABEL)
_SERVICE = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_QUANTITY = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?")
_RBAC_GROUP = "rbac.authorization.k8s.io"


def name_problem(group: str, kind: str, name: str) -> str | None:
    """Why an object of this kind cannot have this name, or None if it can."""
    if is_token(name):
        return None
    if group == _RBAC_GROUP:
        bad = name in (".", "..") or "/" in name or "%" in name
        return f"{name!r} must be free of '/' and '%'" if bad else None
    if kind == "Namespace" and not group:
        return _mismatch(name, _DNS_LABEL, 63, "lower-case letters, digits and '-'")
    if kind == "Service" and not group:
        return _mismatch(name, _SERVICE, 63, "lower-case letters, digits and '-', and start with a letter")
    return _mismatch(name, _SUBDOMAIN, 253, "lower-case letters, digits, '-' and '.'")


def label_problems(labels: Any) -> Iterator[tuple[str, str]]:
    """Each label or label selector that Kubernetes rejects, with the reason."""
    if not isinstance(labels, Mapping):
        return
    for key, value in labels.items():
        if problem := key_problem(key) or _value_problem(value):
            yield key, problem


def key_problem(key: str) -> str | None:
    """Why this cannot be the key of a label or an annotation, or None if it can."""
    if is_token(key):
        return None
    prefix, slash, name = key.rpartition("/")
    if slash and (len(prefix) > 253 or not _SUBDOMAIN.fullmatch(prefix)):
        return f"{prefix!r} before the '/' must be a domain"
    return _mismatch(name, _QUALIFIED, 63, "letters, digits, '-', '_' and '.'")


def _value_problem(value: Any) -> str | None:
    if not isinstance(value, str) or not value or is_token(value):
        return None
    return _mismatch(value, _QUALIFIED, 63, "letters, digits, '-', '_' and '.'")


def quantity_problem(value: Any) -> str | None:
    """Why this is not a quantity, or None if it is one."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return None
    if isinstance(value, str) and (_QUANTITY.fullmatch(value) or is_token(value)):
        return None
    return f"{value!r} is not a quantity; use a value such as 500m, 2, 1.5Gi or 1G"


def _mismatch(text: str, pattern: re.Pattern[str], longest: int, allowed: str) -> str | None:
    if len(text) > longest:
        return f"{text!r} has {len(text)} characters, {longest} are allowed"
    if not pattern.fullmatch(text):
        return f"{text!r} must consist of {allowed}, with a letter or digit at both ends"
    return None
