"""Parses requests from path and query."""

import urllib.parse
from dataclasses import dataclass

from kubernetes_rehearsal.standin.errors import no_such_page
from kubernetes_rehearsal.standin.options import Options

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


@dataclass(frozen=True)
class Target:
    """A collection, an object or a part of an object.

    :param subresource: ``status``, ``scale``, ``finalize``, or empty.
    """

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def resource(self) -> str:
        """As RBAC names it: ``deployments/scale``."""
        return f"{self.plural}/{self.subresource}" if self.subresource else self.plural


@dataclass(frozen=True)
class Query:
    """The parameters of a request."""

    values: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> "Query":
        """Read a query string; the first of repeated parameters counts."""
        parsed = urllib.parse.parse_qs(text, keep_blank_values=True)
        return cls({name: values[0] for name, values in parsed.items()})

    def text(self, name: str, default: str = "") -> str:
        """A parameter, or the default where it is absent or empty."""
        return self.values.get(name) or default

    def flag(self, name: str) -> bool:
        """Whether a parameter is set and true."""
        return self.values.get(name, "") in ("true", "1", "True")

    def options(self, user_agent: str) -> Options:
        """How the request wants to be treated. Who names no field manager is known by its program."""
        return Options(
            dry_run="All" in self.text("dryRun"),
            strict=self.text("fieldValidation") == "Strict",
            manager=self.text("fieldManager", user_agent.partition("/")[0] or "unknown"),
            force=self.flag("force"),
            policy=self.text("propagationPolicy", "Background"),
        )


def parse_target(parts: list[str]) -> Target:
    """The target of a path under ``/api`` or ``/apis``.

    :raises ApiError: 404, if the path is invalid.
    """
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        raise no_such_page()
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and (len(rest) > 3 or rest[2] not in ("status", "finalize")):
        namespace, rest = rest[1], rest[2:]
    if len(rest) > 3:
        raise no_such_page()
    plural, name, subresource = [*rest, "", ""][:3]
    return Target(group, version, plural, namespace, name, subresource)


def verb_of(method: str, target: Target, watch: bool) -> str:
    """What a method does to a target, as RBAC names it."""
    if method == "GET":
        return "watch" if watch else "get" if target.name else "list"
    if method == "DELETE":
        return "delete" if target.name else "deletecollection"
    return _VERBS[method]
