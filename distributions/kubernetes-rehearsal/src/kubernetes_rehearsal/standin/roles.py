"""The roles that every cluster has, and who may do what.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from dataclasses import dataclass

from kubernetes_rehearsal.interface import MASTERS, Identity
from kubernetes_rehearsal.standin.errors import ApiError, Object, forbidden
from kubernetes_rehearsal.standin.store import Store

_RBAC = "rbac.authorization.k8s.io"
_AGGREGATE = f"{_RBAC}/aggregate-to-"
_READ = ["get", "list", "watch"]
_WRITE = ["create", "delete", "deletecollection", "patch", "update"]
_WORKLOADS = ["daemonsets", "deployments", "deployments/scale", "replicasets", "statefulsets", "statefulsets/scale"]
_CORE = ["configmaps", "endpoints", "persistentvolumeclaims", "pods", "serviceaccounts", "services"]
_OTHERS = {
    "apps": _WORKLOADS,
    "autoscaling": ["horizontalpodautoscalers"],
    "batch": ["cronjobs", "jobs"],
    "networking.k8s.io": ["ingresses", "networkpolicies"],
    "policy": ["poddisruptionbudgets"],
}


def _role(name: str, rules: list[Object], *, part_of: str = "") -> Object:
    labels = {f"{_AGGREGATE}{part_of}": "true"} if part_of else {}
    return {"metadata": {"name": name, "labels": labels}, "rules": rules}


def _aggregated(name: str, *, part_of: str = "") -> Object:
    selector = {"matchLabels": {f"{_AGGREGATE}{name}": "true"}}
    return {**_role(name, [], part_of=part_of), "aggregationRule": {"clusterRoleSelectors": [selector]}}


def _rules(verbs: list[str], core: list[str]) -> list[Object]:
    groups = {"": core, **_OTHERS}
    return [{"apiGroups": [group], "resources": resources, "verbs": verbs} for group, resources in groups.items()]


_ANYTHING = [
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
    {"nonResourceURLs": ["*"], "verbs": ["*"]},
]
_LISTED = ["events", "limitranges", "namespaces", "resourcequotas"]
BUILT_IN_ROLES = [
    _role("cluster-admin", _ANYTHING),
    _aggregated("view", part_of="edit"),
    _aggregated("edit", part_of="admin"),
    _aggregated("admin"),
    _role("system:aggregate-to-view", _rules(_READ, [*_CORE, *_LISTED]), part_of="view"),
    _role("system:aggregate-to-edit", _rules(_WRITE, [*_CORE, "secrets"]) + _rules(_READ, ["secrets"]), part_of="edit"),
    _role(
        "system:aggregate-to-admin",
        [{"apiGroups": [_RBAC], "resources": ["rolebindings", "roles"], "verbs": _READ + _WRITE}],
        part_of="admin",
    ),
]
BUILT_IN_BINDINGS = [
    {
        "metadata": {"name": "cluster-admin"},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": _RBAC, "kind": "Group", "name": MASTERS}],
    }
]


@dataclass(frozen=True)
class Access:
    """An action to authorize.

    :param resource: plural, with its subresource: ``deployments/scale``.
    """

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""


class Authorizer:
    """Decides by the roles and bindings that a cluster has stored."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def allows(self, identity: Identity, access: Access) -> bool:
        """Whether RBAC allows an identity to perform an action."""
        if MASTERS in identity.groups:
            return True
        return any(_permits(rule, access) for rule in self._rules(identity, access.namespace))

    def require(self, identity: Identity, access: Access) -> None:
        """:raises ApiError: 403, where RBAC does not allow it."""
        if self.allows(identity, access):
            return
        plural = access.resource
        where = f'in the namespace "{access.namespace}"' if access.namespace else "at the cluster scope"
        why = (
            f'User "{identity.username}" cannot {access.verb} resource "{plural}" in API group "{access.group}" {where}'
        )
        raise forbidden(access.group, plural.partition("/")[0], access.name, why)

    def refuse_escalation(self, identity: Identity, found: Object) -> None:
        """A user cannot grant permissions that they do not have.

        :raises ApiError: 403, where a role or binding would.
        """
        kind, namespace = found["kind"], found["metadata"].get("namespace", "")
        if kind in ("Role", "ClusterRole"):
            rules, verb, name = found.get("rules", []), "escalate", found["metadata"].get("name", "")
        elif kind in ("RoleBinding", "ClusterRoleBinding"):
            reference = found.get("roleRef", {})
            rules, verb, name = self._role_rules(reference, namespace), "bind", reference.get("name", "")
            kind = reference.get("kind", "")
        else:
            return
        plural = f"{kind.lower()}s"
        if self.allows(identity, Access(verb, _RBAC, plural, namespace, name)):
            return
        missing = [rule for rule in rules if not self._holds(identity, rule, namespace)]
        if missing:
            who = f'user "{identity.username}" (groups={list(identity.groups)})'
            message = f"{who} is attempting to grant RBAC permissions not currently held: {missing}"
            raise ApiError(403, "Forbidden", message, {"group": _RBAC, "kind": plural, "name": name})

    def _holds(self, identity: Identity, rule: Object, namespace: str) -> bool:
        """Whether an identity has all permissions of a rule."""
        for verb in rule.get("verbs", []):
            for group in rule.get("apiGroups", []):
                for resource in rule.get("resources", []):
                    for name in rule.get("resourceNames") or [""]:
                        if not self.allows(identity, Access(verb, group, resource, namespace, name)):
                            return False
        return not rule.get("nonResourceURLs") or MASTERS in identity.groups

    def _rules(self, identity: Identity, namespace: str) -> list[Object]:
        found = []
        bindings = self._store.list((_RBAC, "clusterrolebindings"))
        if namespace:
            bindings += self._store.list((_RBAC, "rolebindings"), namespace)
        for binding in bindings:
            home = binding["metadata"].get("namespace", "")
            if any(_is(subject, identity, home) for subject in binding.get("subjects", [])):
                found += self._role_rules(binding["roleRef"], home)
        return found

    def _role_rules(self, reference: Object, namespace: str) -> list[Object]:
        local = reference.get("kind") == "Role"
        key = (namespace if local else "", reference.get("name", ""))
        role = self._store.get((_RBAC, "roles" if local else "clusterroles"), key)
        rules: list[Object] = (role or {}).get("rules", [])
        return rules


def _permits(rule: Object, access: Access) -> bool:
    resource, _, subresource = access.resource.partition("/")
    resources = {"*", access.resource} | ({f"*/{subresource}"} if subresource else {resource})
    return (
        not {"*", access.verb}.isdisjoint(rule.get("verbs", []))
        and not {"*", access.group}.isdisjoint(rule.get("apiGroups", []))
        and not resources.isdisjoint(rule.get("resources", []))
        and (not rule.get("resourceNames") or access.name in rule["resourceNames"])
    )


def _is(subject: Object, identity: Identity, namespace: str) -> bool:
    match subject.get("kind"):
        case "User":
            return bool(subject["name"] == identity.username)
        case "Group":
            return subject["name"] in identity.groups
    home = subject.get("namespace") or namespace
    return identity.username == f"system:serviceaccount:{home}:{subject.get('name')}"
