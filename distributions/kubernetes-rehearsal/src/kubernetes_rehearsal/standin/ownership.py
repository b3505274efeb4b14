"""Who owns which field, kept in ``metadata.managedFields``, and server-side apply over it."""

from dataclasses import dataclass, field, replace

from kubernetes_rehearsal.standin.errors import ApiError, Object
from kubernetes_rehearsal.standin.fields import Fields, Path, from_tree, shown, to_tree

APPLY_PATCH = "application/apply-patch+yaml"
# What the server keeps, or what names the object: never owned.
_UNOWNED = {
    ("f:apiVersion",),
    ("f:kind",),
    *(
        ("f:metadata", f"f:{name}")
        for name in (
            "creationTimestamp",
            "deletionTimestamp",
            "generateName",
            "generation",
            "managedFields",
            "name",
            "namespace",
            "resourceVersion",
            "selfLink",
            "uid",
        )
    ),
}


@dataclass(frozen=True)
class Manager:
    """A manager of fields.

    :param operation: ``Apply`` or ``Update``.
    :param subresource: through which it writes; empty for the object itself.
    """

    name: str
    operation: str
    api_version: str
    subresource: str = ""
    time: str = field(default="", compare=False)


Owners = dict[Manager, set[Path]]


def owners_of(found: Object) -> Owners:
    """The managers of an object and what each owns."""
    return {
        Manager(
            entry.get("manager", ""),
            entry.get("operation", "Update"),
            entry.get("apiVersion", ""),
            entry.get("subresource", ""),
            entry.get("time", ""),
        ): from_tree(entry.get("fieldsV1") or {})
        for entry in found["metadata"].get("managedFields") or []
    }


def set_owners(found: Object, owners: Owners) -> None:
    """Write the managers into an object."""
    entries = []
    for manager, paths in owners.items():
        if paths:
            entry = {
                "manager": manager.name,
                "operation": manager.operation,
                "apiVersion": manager.api_version,
                "time": manager.time,
                "fieldsType": "FieldsV1",
                "fieldsV1": to_tree(paths),
            }
            entries.append({**entry, "subresource": manager.subresource} if manager.subresource else entry)
    found["metadata"]["managedFields"] = entries


def after_update(fields: Fields, old: Object | None, new: Object, manager: Manager) -> Owners:
    """The owners after ``manager`` changed ``old`` to ``new``: it becomes the only owner of changed fields."""
    before = _owned(fields, old) if old else {}
    after = _owned(fields, new)
    changed = {path for path, value in after.items() if path not in before or before[path] != value}
    removed = before.keys() - after.keys()
    owners: Owners = {}
    for owner, paths in (owners_of(old) if old else {}).items():
        if owner != manager:
            owners[owner] = paths - changed - removed
    previous = owners_of(old).get(manager, set()) if old else set()
    mine = (previous | changed) - removed
    owners[manager if changed or removed else _same(old, manager)] = mine
    return owners


def apply(
    fields: Fields, live: Object | None, config: Object, manager: Manager, *, force: bool
) -> tuple[Object, Owners]:
    """What server-side apply makes of the live object, and who owns it then.

    :param config: the applied object, read but without defaults.
    :raises ApiError: 409, where others own a field that would change, and ``force`` is not set.
    """
    wanted = _owned(fields, config)
    if live is None:
        return config, {manager: set(wanted)}
    owners = owners_of(live)
    current = fields.leaves(live)
    conflicts = {
        owner: {path for path in paths & wanted.keys() if path not in current or current[path] != wanted[path]}
        for owner, paths in owners.items()
        if (owner.name, owner.operation, owner.subresource) != (manager.name, "Apply", manager.subresource)
    }
    if not force and any(conflicts.values()):
        raise _conflict({owner: paths for owner, paths in conflicts.items() if paths})
    mine = {path for owner, paths in owners.items() if owner not in conflicts for path in paths}
    after: Owners = {owner: owners[owner] - paths for owner, paths in conflicts.items()}
    after[manager] = set(wanted)
    kept = set().union(*after.values())
    merged = fields.merge(fields.without(live, mine - kept, kept), config)
    return merged, after


def _owned(fields: Fields, found: Object) -> dict[Path, object]:
    return {
        path: value
        for path, value in fields.leaves(found).items()
        if path[:2] not in _UNOWNED and path[:1] not in _UNOWNED
    }


def _same(old: Object | None, manager: Manager) -> Manager:
    """The manager's entry in the object, with the time of its last change."""
    for owner in owners_of(old) if old else {}:
        if owner == manager:
            return replace(manager, time=owner.time)
    return manager


def _conflict(conflicts: Owners) -> ApiError:
    count = sum(len(paths) for paths in conflicts.values())
    parts = []
    causes = []
    for owner, paths in conflicts.items():
        who = f'conflict with "{owner.name}"' + (
            f" with subresource {owner.subresource!r}" if owner.subresource else ""
        )
        who += f" using {owner.api_version}" if owner.operation == "Update" else ""
        names = [shown(path) for path in sorted(paths)]
        parts.append(
            f"{who}: {names[0]}" if len(names) == 1 else f"{who}:\n" + "\n".join(f"- {name}" for name in names)
        )
        causes += [{"reason": "FieldManagerConflict", "message": who, "field": name} for name in names]
    message = f"Apply failed with {count} conflict{'s' if count > 1 else ''}: {'; '.join(parts)}"
    return ApiError(409, "Conflict", message, {"causes": causes})
