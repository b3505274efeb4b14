"""Effects of creating, changing and deleting an object on others: the work of the API's own controllers."""

import copy
from typing import Any, Protocol

from kubernetes_rehearsal.standin.errors import Object, forbidden
from kubernetes_rehearsal.standin.kinds import ResourceType
from kubernetes_rehearsal.standin.options import Options, now
from kubernetes_rehearsal.standin.pod_security import violation
from kubernetes_rehearsal.standin.roles import BUILT_IN_BINDINGS, BUILT_IN_ROLES
from kubernetes_rehearsal.standin.selectors import selects
from kubernetes_rehearsal.standin.store import Store

_FIRST_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
_RBAC = "rbac.authorization.k8s.io"
_DEFINITIONS = "customresourcedefinitions"


class ChangedCluster(Protocol):
    """What controllers ask of the cluster whose objects they change."""

    store: Store

    @property
    def types(self) -> list[ResourceType]: ...

    def type(self, group: str, version: str, plural: str) -> ResourceType: ...

    def serve(self, types: list[ResourceType], instead_of: str = "") -> None: ...

    def create(self, kind: ResourceType, namespace: str, content: Any, options: Options) -> Object: ...

    def remove_if_free(self, kind: ResourceType, found: Object) -> bool: ...


class Lifecycle:
    """Runs synchronously under the cluster's lock. Objects with finalizers, and namespaces, are deleted later. The
    rehearsal's controllers delete the contents of namespaces, so that a client has the time to do so itself."""

    def __init__(self, cluster: ChangedCluster) -> None:
        self._cluster = cluster

    def furnish(self) -> None:
        """The objects of a new cluster."""
        for name in _FIRST_NAMESPACES:
            self._create("", "namespaces", "", {"metadata": {"name": name}})
        for name, value in _PRIORITIES.items():
            kind = self._cluster.type("scheduling.k8s.io", "v1", "priorityclasses")
            priority = {
                "apiVersion": kind.api_version,
                "kind": kind.kind,
                "value": value,
                "preemptionPolicy": "PreemptLowerPriority",
            }
            stamp = {"name": name, "uid": name, "creationTimestamp": "2000-01-01T00:00:00Z", "generation": 1}
            self._cluster.store.put((kind.group, kind.plural), {**priority, "metadata": stamp})
        for role in BUILT_IN_ROLES:
            self._create(_RBAC, "clusterroles", "", copy.deepcopy(role))
        for binding in BUILT_IN_BINDINGS:
            self._create(_RBAC, "clusterrolebindings", "", copy.deepcopy(binding))

    def admit(self, found: Object) -> None:
        """What the built-in admission asks of a new object before it is checked.

        :raises ApiError: if it refuses.
        """
        if found["kind"] != "Pod" or not found.get("spec"):
            return
        namespace, spec = found["metadata"]["namespace"], found["spec"]
        account = spec.get("serviceAccountName", "default")
        store = self._cluster.store
        if not store.get(("", "serviceaccounts"), (namespace, account)):
            why = f'error looking up service account {namespace}/{account}: serviceaccount "{account}" not found'
            raise forbidden("", "pods", found["metadata"].get("name", ""), why)
        priority = spec.get("priorityClassName")
        if priority and not store.get(("scheduling.k8s.io", "priorityclasses"), ("", priority)):
            why = f"no PriorityClass with name {priority} was found"
            raise forbidden("", "pods", found["metadata"].get("name", ""), why)

    def approve(self, found: Object) -> None:
        """What the built-in admission asks of a new object that is valid.

        :raises ApiError: if it refuses.
        """
        if found["kind"] == "Pod":
            home = self._cluster.store.get(("", "namespaces"), ("", found["metadata"]["namespace"]))
            if home and (why := violation(home, found)):
                raise forbidden("", "pods", found["metadata"]["name"], why)

    def kept(self, kind: ResourceType, found: Object) -> None:
        """After an object was created or changed."""
        name = found["metadata"]["name"]
        if kind.plural == "namespaces" and "deletionTimestamp" not in found["metadata"]:
            accounts, maps = ("", "serviceaccounts"), ("", "configmaps")
            if not self._cluster.store.get(accounts, (name, "default")):
                self._create("", "serviceaccounts", name, {"metadata": {"name": "default"}})
            if not self._cluster.store.get(maps, (name, "kube-root-ca.crt")):
                self._create("", "configmaps", name, {"metadata": {"name": "kube-root-ca.crt"}})
        elif kind.plural == _DEFINITIONS and "deletionTimestamp" not in found["metadata"]:
            self._establish(found)
        elif kind.plural == "clusterroles":
            self._aggregate()

    def delete(self, kind: ResourceType, found: Object, policy: str) -> bool:
        """Begin to delete an object; whether it is gone."""
        if "deletionTimestamp" not in found["metadata"]:
            found = copy.deepcopy(found)
            found["metadata"].update(deletionTimestamp=now(), deletionGracePeriodSeconds=0)
            if kind.plural == "namespaces":
                found["status"] = {"phase": "Terminating"}
            self._cluster.store.put((kind.group, kind.plural), found)
            if policy == "Orphan":
                self._disown(found)
        if kind.plural == _DEFINITIONS and not self._forget_custom_objects(found):
            return False
        return self._cluster.remove_if_free(kind, found)

    def removed(self, kind: ResourceType, found: Object) -> None:
        """After an object is gone: dependents without another owner follow, and a definition that waited for it."""
        if kind.plural == _DEFINITIONS:
            self._cluster.serve([], instead_of=found["metadata"]["name"])
        for other, dependent in self._dependents(found):
            owners = [
                owner for owner in dependent["metadata"]["ownerReferences"] if owner["uid"] != found["metadata"]["uid"]
            ]
            if owners:
                metadata = {**dependent["metadata"], "ownerReferences": owners}
                self._cluster.store.put((other.group, other.plural), {**dependent, "metadata": metadata})
            else:
                self.delete(other, dependent, "Background")
        definition = self._cluster.store.get(("apiextensions.k8s.io", _DEFINITIONS), ("", kind.definition))
        if definition and "deletionTimestamp" in definition["metadata"] and not self._defined_by(kind.definition):
            self._cluster.remove_if_free(self._cluster.type("apiextensions.k8s.io", "v1", _DEFINITIONS), definition)

    def _create(self, group: str, plural: str, namespace: str, content: Object) -> None:
        kind = self._cluster.type(group, "v1", plural)
        self._cluster.create(kind, namespace, content, Options(manager="kube-apiserver"))

    def _establish(self, definition: Object) -> None:
        """Serve the types of a definition."""
        spec, name = definition["spec"], definition["metadata"]["name"]
        names = spec["names"]
        storage = next(version["name"] for version in spec["versions"] if version.get("storage"))
        self._cluster.serve(
            [
                ResourceType(
                    spec["group"],
                    version["name"],
                    names["plural"],
                    names["kind"],
                    spec["scope"] == "Namespaced",
                    tuple(names.get("shortNames", [])),
                    tuple(names.get("categories", [])),
                    tuple(sorted(version.get("subresources", {}))),
                    singular=names.get("singular") or names["kind"].lower(),
                    list_kind=names.get("listKind") or f"{names['kind']}List",
                    schema=version["schema"]["openAPIV3Schema"],
                    definition=name,
                    storage_version=storage,
                )
                for version in spec["versions"]
                if version.get("served")
            ],
            instead_of=name,
        )
        stored = definition.get("status", {}).get("storedVersions", [])
        since = definition["metadata"]["creationTimestamp"]
        status = {
            "acceptedNames": names,
            "storedVersions": stored if storage in stored else [*stored, storage],
            "conditions": [
                {
                    "type": kind,
                    "status": "True",
                    "reason": reason,
                    "message": "served by the stand-in",
                    "lastTransitionTime": since,
                }
                for kind, reason in (("NamesAccepted", "NoConflicts"), ("Established", "InitialNamesAccepted"))
            ],
        }
        if definition.get("status") != status:
            self._cluster.store.put(("apiextensions.k8s.io", _DEFINITIONS), {**definition, "status": status})

    def _aggregate(self) -> None:
        """Roles with an aggregation rule have the rules of the roles that it selects."""
        collection = (_RBAC, "clusterroles")
        roles = self._cluster.store.list(collection)
        for role in roles:
            selectors = role.get("aggregationRule", {}).get("clusterRoleSelectors")
            if not selectors:
                continue
            rules = []
            for other in roles:
                labels = other["metadata"].get("labels", {})
                if other is not role and any(selects(selector, labels) for selector in selectors):
                    rules += [rule for rule in other.get("rules", []) if rule not in rules]
            if role.get("rules", []) != rules:
                self._cluster.store.put(collection, {**role, "metadata": dict(role["metadata"]), "rules": rules})
                self._aggregate()
                return

    def _forget_custom_objects(self, definition: Object) -> bool:
        """Delete the resources of a definition; return whether none remains."""
        name = definition["metadata"]["name"]
        for kind, inside in self._defined_by(name):
            self.delete(kind, inside, "Background")
        return not self._defined_by(name)

    def _defined_by(self, definition: str) -> list[tuple[ResourceType, Object]]:
        return [
            (kind, inside)
            for (group, plural), inside in self._cluster.store.everything()
            if (kind := self._any_version(group, plural)) and kind.definition == definition
        ]

    def _dependents(self, found: Object) -> list[tuple[ResourceType, Object]]:
        uid = found["metadata"]["uid"]
        return [
            (kind, other)
            for (group, plural), other in self._cluster.store.everything()
            if any(owner["uid"] == uid for owner in other["metadata"].get("ownerReferences", []))
            and (kind := self._any_version(group, plural))
        ]

    def _disown(self, found: Object) -> None:
        for kind, other in self._dependents(found):
            owners = [
                owner for owner in other["metadata"]["ownerReferences"] if owner["uid"] != found["metadata"]["uid"]
            ]
            metadata = {**other["metadata"], "ownerReferences": owners}
            self._cluster.store.put((kind.group, kind.plural), {**other, "metadata": metadata})

    def _any_version(self, group: str, plural: str) -> ResourceType | None:
        return next((kind for kind in self._cluster.types if (kind.group, kind.plural) == (group, plural)), None)
