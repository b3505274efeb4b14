"""The effective permissions in a cluster, from roles, bindings and aggregation.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

_EVERYWHERE = "*"


@dataclass(frozen=True)
class Permission:
    """One verb on one resource, or a whole role that Kubernetes or a chart defines.

    :param scope: a namespace, or ``*``.
    :param binding: name of the binding that grants it; it is ignored in comparisons.
    """

    scope: str
    verb: str
    resource: str
    names: tuple[str, ...] = ()
    binding: str = ""

    def covers(self, other: "Permission") -> bool:
        return (
            self.scope in (_EVERYWHERE, other.scope)
            and self.verb in ("*", other.verb)
            and _resource_covers(self.resource, other.resource)
            and (not self.names or (bool(other.names) and set(other.names) <= set(self.names)))
        )

    def __str__(self) -> str:
        named = f" named {', '.join(self.names)}" if self.names else ""
        where = "everywhere" if self.scope == _EVERYWHERE else f"in {self.scope}"
        return f"may {self.verb} {self.resource}{named} {where}"


def permissions(objects: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Permission, ...]]:
    """The permissions of each subject of a binding."""
    roles = {
        (one["kind"], _namespace(one), one["metadata"]["name"]): one for one in objects if "Binding" not in one["kind"]
    }
    found: dict[str, list[Permission]] = {}
    for binding in (one for one in objects if "Binding" in one["kind"]):
        scope = _namespace(binding) if binding["kind"] == "RoleBinding" else _EVERYWHERE
        reference = binding["roleRef"]
        namespace = _namespace(binding) if reference["kind"] == "Role" else ""
        given = list(_of_role(reference["kind"], namespace, reference["name"], roles))
        place = "/".join(part for part in (binding["kind"], _namespace(binding), binding["metadata"]["name"]) if part)
        for subject in binding.get("subjects") or ():
            mine = found.setdefault(_subject(subject), [])
            mine += [replace(one, scope=scope, binding=place) for one in given]
    return {subject: tuple(mine) for subject, mine in found.items()}


def widened(before: Sequence[Permission], after: Sequence[Permission]) -> list[Permission]:
    """Permissions of ``after`` that none of ``before`` covers, with the verbs of a resource combined."""
    new = [one for one in after if not any(old.covers(one) for old in before)]
    verbs: dict[Permission, list[str]] = {}
    for one in new:
        verbs.setdefault(replace(one, verb=""), []).append(one.verb)
    return [replace(one, verb=", ".join(dict.fromkeys(found))) for one, found in verbs.items()]


def _of_role(
    kind: str, namespace: str, name: str, roles: Mapping[tuple[str, str, str], Mapping[str, Any]]
) -> Iterator[Permission]:
    """The rules of a role, including aggregated ones. A role that no template contains is represented by its name."""
    role = roles.get((kind, namespace, name))
    if name == "cluster-admin":
        yield from (Permission("", "*", everything) for everything in ("*.*", "URL *"))
    elif role is None:
        yield Permission("", "use all of", f"role {name}")
    for one in [role] if role else []:
        yield from _of_rules(one)
    for other in roles.values():
        if (
            other["kind"] == "ClusterRole"
            and other is not role
            and kind == "ClusterRole"
            and _is_part(other, name, role)
        ):
            yield from _of_rules(other)


def _is_part(other: Mapping[str, Any], name: str, role: Mapping[str, Any] | None) -> bool:
    """Whether a role is aggregated to another, as Kubernetes does for ``view``, ``edit`` and ``admin``."""
    labels = other["metadata"].get("labels", {})
    if role is None:
        return bool(labels.get(f"rbac.authorization.k8s.io/aggregate-to-{name}") == "true")
    selectors = role.get("aggregationRule", {}).get("clusterRoleSelectors", ())
    return any(one.get("matchLabels", {}).items() <= labels.items() for one in selectors)


def _of_rules(role: Mapping[str, Any]) -> Iterator[Permission]:
    for rule in role.get("rules") or ():
        names = tuple(sorted(rule.get("resourceNames", ())))
        for verb in rule.get("verbs", ()):
            for group in rule.get("apiGroups", ()):
                for resource in rule.get("resources", ()):
                    yield Permission("", verb, f"{resource}.{group}" if group else resource, names)
            for url in rule.get("nonResourceURLs", ()):
                yield Permission("", verb, f"URL {url}")


def _resource_covers(mine: str, theirs: str) -> bool:
    """The resource and its group, such as ``pods/log.``; ``*`` matches any."""
    if mine == theirs:
        return True
    if mine.startswith("URL ") or theirs.startswith("URL "):
        both = mine.startswith("URL ") and theirs.startswith("URL ")
        return both and mine.endswith("*") and theirs.startswith(mine[:-1])
    resource, _, group = mine.partition(".")
    their_resource, _, their_group = theirs.partition(".")
    part = their_resource.partition("/")[2]
    return group in ("*", their_group) and resource in ("*", their_resource, f"*/{part}" if part else "*")


def _subject(subject: Mapping[str, Any]) -> str:
    return " ".join(part for part in (subject["kind"], subject.get("namespace"), subject["name"]) if part)


def _namespace(one: Mapping[str, Any]) -> str:
    return str(one["metadata"].get("namespace", ""))
