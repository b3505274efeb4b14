"""One cluster of the stand-in: what can be done with its objects."""

import base64
import copy
import uuid
from dataclasses import replace
from typing import Any

from kubernetes_rehearsal.standin import ownership
from kubernetes_rehearsal.standin.allocation import Allocator, keep_allocated, prepare
from kubernetes_rehearsal.standin.errors import (
    Object,
    already_exists,
    bad_request,
    conflict,
    forbidden,
    no_such_page,
    not_found,
    unsupported_media_type,
)
from kubernetes_rehearsal.standin.kinds import ResourceType, built_in_types
from kubernetes_rehearsal.standin.lifecycle import Lifecycle
from kubernetes_rehearsal.standin.options import Options, now
from kubernetes_rehearsal.standin.ownership import APPLY_PATCH, Manager
from kubernetes_rehearsal.standin.patches import (
    JSON_PATCH,
    MERGE_PATCH,
    STRATEGIC_PATCH,
    StrategicMerge,
    json_patch,
    merge_patch,
)
from kubernetes_rehearsal.standin.reading import Typed
from kubernetes_rehearsal.standin.schema import definitions
from kubernetes_rehearsal.standin.selectors import field_matcher, label_matcher
from kubernetes_rehearsal.standin.store import Collection, Store

_KEPT_METADATA = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "namespace",
    "name",
)
_IMMORTAL = ("default", "kube-public", "kube-system")
_NAMESPACES = ("", "namespaces")


class Cluster:
    """Objects of one cluster, checked and kept.

    :param minor: Kubernetes minor, such as ``1.35``.
    """

    def __init__(self, minor: str) -> None:
        self.minor = minor
        self.known = definitions(minor)
        self.store = Store()
        self._allocator = Allocator()
        kept = [kind for kind in built_in_types() if self.known.has_kind(kind.group, kind.version, kind.kind)]
        self._types = {(kind.group, kind.version, kind.plural): kind for kind in kept}
        self._lifecycle = Lifecycle(self)
        self._lifecycle.furnish()

    @property
    def types(self) -> list[ResourceType]:
        """Every type that is served now."""
        with self.store.lock:
            return list(self._types.values())

    def type(self, group: str, version: str, plural: str) -> ResourceType:
        """A served type.

        :raises ApiError: 404, where there is none.
        """
        found = self._types.get((group, version, plural))
        if not found:
            raise no_such_page()
        return found

    def serve(self, types: list[ResourceType], instead_of: str = "") -> None:
        """Serve the types of a definition, instead of those that it had."""
        with self.store.lock:
            self._types = {
                key: kind for key, kind in self._types.items() if not instead_of or kind.definition != instead_of
            }
            self._types.update({(kind.group, kind.version, kind.plural): kind for kind in types})

    def get(self, kind: ResourceType, namespace: str, name: str) -> Object:
        """:raises ApiError: 404, if it does not exist."""
        found = self.store.get(_collection(kind), (namespace if kind.namespaced else "", name))
        if found is None:
            raise not_found(kind.group, kind.plural, name)
        return as_version(kind, found)

    def list(self, kind: ResourceType, namespace: str, labels: str = "", fields: str = "") -> Object:
        """A list object with what the selectors match."""
        by_label, by_field = label_matcher(labels), field_matcher(fields)
        with self.store.lock:
            revision = str(self.store.revision)
            found = self.store.list(_collection(kind), namespace)
        items = [as_version(kind, one) for one in found if by_label(one) and by_field(one)]
        return {
            "apiVersion": kind.api_version,
            "kind": kind.list_kind,
            "metadata": {"resourceVersion": revision},
            "items": items,
        }

    def create(self, kind: ResourceType, namespace: str, content: Any, options: Options) -> Object:
        """Create an object from a request's content."""
        found = self._typed(kind).read(content, strict=options.strict)
        with self.store.lock:
            self._name(kind, namespace, found)
            self._complete(kind, found, None)
            self._typed(kind).check(found, None)
            self._lifecycle.approve(found)
            options.examine(found)
            if self.store.get(_collection(kind), (found["metadata"].get("namespace", ""), found["metadata"]["name"])):
                raise already_exists(kind.group, kind.plural, found["metadata"]["name"])
            manager = self._manager(kind, options, "Update")
            ownership.set_owners(found, ownership.after_update(self._typed(kind).fields, None, found, manager))
            if options.dry_run:
                return found
            return self._keep(kind, found, None)

    def update(
        self, kind: ResourceType, namespace: str, name: str, content: Any, options: Options, subresource: str = ""
    ) -> Object:
        """Replace an object, or its status."""
        with self.store.lock:
            old = self.get(kind, namespace, name)
            new = self._typed(kind).read(content, strict=options.strict)
            given = new["metadata"].get("resourceVersion")
            if given and given != old["metadata"]["resourceVersion"]:
                why = "the object has been modified; please apply your changes to the latest version and try again"
                raise conflict(kind.group, kind.plural, name, why)
            if new["metadata"].get("uid", old["metadata"]["uid"]) != old["metadata"]["uid"]:
                raise conflict(kind.group, kind.plural, name, "Precondition failed: UID in precondition does not match")
            self._fit(kind, old, new, subresource)
            manager = replace(self._manager(kind, options, "Update"), subresource=subresource)
            owners = ownership.after_update(self._typed(kind).fields, old, new, manager)
            return self._change(kind, old, new, owners, options, subresource)

    def patch(
        self,
        kind: ResourceType,
        namespace: str,
        name: str,
        patch: Any,
        media: str,
        options: Options,
        subresource: str = "",
    ) -> Object:
        """Change an object by a patch."""
        if media == APPLY_PATCH:
            return self._apply(kind, namespace, name, patch, options, subresource)
        with self.store.lock:
            old = self.get(kind, namespace, name)
            match media:
                case "application/json-patch+json":
                    new = json_patch(old, patch)
                case "application/merge-patch+json":
                    new = merge_patch(old, patch)
                case "application/strategic-merge-patch+json" if kind.schema is None:
                    new = StrategicMerge(self.known).merge(self._typed(kind).schema, old, patch)
                case _:
                    raise unsupported_media_type(media, [JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH])
            return self.update(kind, namespace, name, copy.deepcopy(new), options, subresource)

    def finalize(self, namespace: str, content: Object) -> Object:
        """Set the finalizers of a namespace's spec; without any, it is deleted."""
        with self.store.lock:
            kind = self.type("", "v1", "namespaces")
            new = copy.deepcopy(self.get(kind, "", namespace))
            new["spec"] = {"finalizers": content.get("spec", {}).get("finalizers") or []}
            return self._keep(kind, new, self.get(kind, "", namespace))

    def delete(self, kind: ResourceType, namespace: str, name: str, options: Options) -> Object:
        """Delete an object, immediately or, if it has finalizers, later."""
        with self.store.lock:
            found = self.get(kind, namespace, name)
            if kind.plural == "namespaces" and name in _IMMORTAL:
                raise forbidden("", "namespaces", name, "this namespace may not be deleted")
            if not options.dry_run:
                gone = self._lifecycle.delete(kind, found, options.policy)
                found = found if gone else self.get(kind, namespace, name)
        return found

    def remove_if_free(self, kind: ResourceType, found: Object) -> bool:
        """Remove a deleted object without finalizers; return whether it was removed."""
        held = list(found["metadata"].get("finalizers", []))
        if kind.plural == "namespaces":
            held += found["spec"].get("finalizers", [])
        if "deletionTimestamp" not in found["metadata"] or held:
            return False
        self.store.remove(_collection(kind), found)
        self._lifecycle.removed(kind, found)
        return True

    def _apply(
        self, kind: ResourceType, namespace: str, name: str, content: Any, options: Options, subresource: str
    ) -> Object:
        typed = self._typed(kind)
        if not isinstance(content, dict):
            raise bad_request("the applied document is not an object")
        config = typed.read(content, strict=options.strict, defaults=False)
        config["metadata"].pop("managedFields", None)
        config["metadata"].setdefault("name", name)
        if kind.namespaced:
            config["metadata"].setdefault("namespace", namespace)
        manager = replace(self._manager(kind, options, "Apply"), subresource=subresource)
        with self.store.lock:
            stored = self.store.get(_collection(kind), (namespace if kind.namespaced else "", name))
            old = as_version(kind, stored) if stored else None
            merged, owners = ownership.apply(typed.fields, old, config, manager, force=options.force)
            new = typed.read(copy.deepcopy(merged), strict=False)
            if old is not None:
                self._fit(kind, old, new, subresource)
                return self._change(kind, old, new, owners, options, subresource)
            if subresource:
                raise not_found(kind.group, kind.plural, name)
            self._name(kind, namespace, new)
            self._complete(kind, new, None)
            typed.check(new, None)
            self._lifecycle.approve(new)
            options.examine(new)
            ownership.set_owners(new, owners)
            return new if options.dry_run else self._keep(kind, new, None)

    def _change(
        self, kind: ResourceType, old: Object, new: Object, owners: ownership.Owners, options: Options, subresource: str
    ) -> Object:
        """Validate and store the replacement of ``old``, unless it is equal."""
        if not subresource:
            self._typed(kind).check(new, old)
            options.examine(new)
        ownership.set_owners(new, owners)
        if _same(old, new):
            return old
        if _desired(kind, old) != _desired(kind, new):
            new["metadata"]["generation"] = old["metadata"].get("generation", 1) + 1
        if options.dry_run:
            return new
        return self._keep(kind, new, old)

    def _fit(self, kind: ResourceType, old: Object, new: Object, subresource: str) -> None:
        """Keep of the old object what a request cannot change."""
        if subresource == "status":
            status = new.get("status", {})
            metadata = new["metadata"]
            new.clear()
            new.update(copy.deepcopy(old))
            new["status"] = status
            new["metadata"]["managedFields"] = metadata.get("managedFields", [])
            return
        for name in _KEPT_METADATA:
            new["metadata"].pop(name, None)
            if name in old["metadata"]:
                new["metadata"][name] = old["metadata"][name]
        if "status" in kind.subresources or kind.plural == "customresourcedefinitions":
            new.pop("status", None)
            if "status" in old:
                new["status"] = copy.deepcopy(old["status"])
        if kind.plural == "namespaces":
            new["spec"] = copy.deepcopy(old["spec"])
            new["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = old["metadata"]["name"]
        if kind.schema is None:
            keep_allocated(new, old, self._allocator)
            _merge_plain_text(new)

    def _name(self, kind: ResourceType, namespace: str, found: Object) -> None:
        """Give a new object its name and namespace."""
        metadata = found["metadata"]
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
        if not kind.namespaced:
            return
        if metadata.setdefault("namespace", namespace) != namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        home = self.store.get(_NAMESPACES, ("", namespace))
        if home is None:
            raise not_found("", "namespaces", namespace)
        if "deletionTimestamp" in home["metadata"]:
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise forbidden(kind.group, kind.plural, metadata.get("name", ""), why)

    def _complete(self, kind: ResourceType, found: Object, old: Object | None) -> None:
        """Fill in what the server decides about a new object."""
        metadata = found["metadata"]
        for name in ("resourceVersion", "managedFields", "deletionTimestamp", "selfLink"):
            metadata.pop(name, None)
        metadata.update(uid=str(uuid.uuid4()), creationTimestamp=now(), generation=1)
        if "status" in kind.subresources:
            found.pop("status", None)
        if kind.schema is None:
            _merge_plain_text(found)
            self._lifecycle.admit(found)
            prepare(found, self._allocator)

    def _keep(self, kind: ResourceType, found: Object, old: Object | None) -> Object:
        if kind.storage_version:
            group = f"{kind.group}/" if kind.group else ""
            found = {**found, "apiVersion": f"{group}{kind.storage_version}"}
        stored = self.store.put(_collection(kind), found)
        if self.remove_if_free(kind, stored):
            return as_version(kind, stored)
        self._lifecycle.kept(kind, stored)
        current = self.store.get(
            _collection(kind), (stored["metadata"].get("namespace", ""), stored["metadata"]["name"])
        )
        return as_version(kind, current or stored)

    def _manager(self, kind: ResourceType, options: Options, operation: str) -> Manager:
        return Manager(options.manager, operation, kind.api_version, time=now())

    def _typed(self, kind: ResourceType) -> Typed:
        return Typed(self.known, kind)


def as_version(kind: ResourceType, found: Object) -> Object:
    """The object as the type's own version shows it; versions differ in name only."""
    return found if found["apiVersion"] == kind.api_version else {**found, "apiVersion": kind.api_version}


def _collection(kind: ResourceType) -> Collection:
    return kind.group, kind.plural


def _desired(kind: ResourceType, found: Object) -> Object:
    """What counts as a new generation of an object."""
    left_out = {"metadata", "status"} if "status" in kind.subresources or kind.schema is None else {"metadata"}
    return {key: value for key, value in found.items() if key not in left_out}


def _same(old: Object, new: Object) -> bool:
    def essence(found: Object) -> Object:
        metadata = {k: v for k, v in found["metadata"].items() if k not in ("resourceVersion", "managedFields")}
        return {**found, "metadata": {**metadata, "owners": ownership.owners_of(found)}}

    return essence(old) == essence(new)


def _merge_plain_text(found: Object) -> None:
    """Secrets may be written in plain text, and are read in base64."""
    if found["kind"] == "Secret" and "stringData" in found:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in found.pop("stringData").items()}
        found["data"] = {**found.get("data", {}), **encoded}
