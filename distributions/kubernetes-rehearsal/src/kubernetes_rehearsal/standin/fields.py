"""Objects as sets of fields, the way server-side apply sees them: each leaf by its path.

Path elements are written as in ``metadata.managedFields``: ``f:name``, ``k:{"name":"x"}``, ``v:"x"``.
https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy
"""

import copy
import json
from collections.abc import Iterator
from typing import Any

from kubernetes_rehearsal.standin.errors import Object
from kubernetes_rehearsal.standin.schema import Definitions

Path = tuple[str, ...]
Leaves = dict[Path, Any]
_KEY_DEFAULTS = {"protocol": "TCP"}  # the only key of a list that may be left out
_ITEM = object()  # represents the presence of a list item


class Fields:
    """Splits and merges objects of one schema.

    :param known: resolves references of the schema.
    """

    def __init__(self, known: Definitions, schema: Object) -> None:
        self._known = known
        self._schema = schema

    def leaves(self, value: Object) -> Leaves:
        """Every leaf of an object, with its value."""
        return dict(self._leaves(self._schema, value, ()))

    def merge(self, live: Object, applied: Object) -> Object:
        """``live`` with the leaves of ``applied``."""
        merged: Object = self._merge(self._schema, live, applied)
        return merged

    def without(self, value: Object, removed: set[Path], kept: set[Path]) -> Object:
        """``value`` less the removed paths below which nothing is kept."""
        roots = {path[:length] for path in kept for length in range(1, len(path) + 1)}
        pruned: Object = self._without(self._schema, value, (), removed, roots)
        return pruned

    def _leaves(self, schema: Object, value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
        schema = self._known.resolve(schema)[1]
        if isinstance(value, dict) and value and not _atomic(schema):
            for key, item in value.items():
                yield from self._leaves(_child(schema, key), item, (*path, f"f:{key}"))
        elif isinstance(value, list) and schema.get("x-kubernetes-list-type") == "map":
            for item in value:
                element = (*path, _key(schema, item))
                yield element, _ITEM
                yield from self._leaves(schema["items"], item, element)
        elif isinstance(value, list) and schema.get("x-kubernetes-list-type") == "set":
            for item in value:
                yield (*path, f"v:{_compact(item)}"), _ITEM
        else:
            yield path, value

    def _merge(self, schema: Object, live: Any, applied: Any) -> Any:
        schema = self._known.resolve(schema)[1]
        if isinstance(applied, dict) and isinstance(live, dict) and not _atomic(schema):
            merged = dict(live)
            for key, item in applied.items():
                merged[key] = self._merge(_child(schema, key), merged.get(key), item)
            return merged
        if isinstance(applied, list) and isinstance(live, list):
            if schema.get("x-kubernetes-list-type") == "map":
                by_key = {_key(schema, item): item for item in live}
                for item in applied:
                    key = _key(schema, item)
                    by_key[key] = self._merge(schema["items"], by_key.get(key), item)
                return list(by_key.values())
            if schema.get("x-kubernetes-list-type") == "set":
                return live + [item for item in applied if item not in live]
        return copy.deepcopy(applied)

    def _without(self, schema: Object, value: Any, path: Path, removed: set[Path], roots: set[Path]) -> Any:
        schema = self._known.resolve(schema)[1]

        def gone(place: Path) -> bool:
            return place in removed and place not in roots

        if isinstance(value, dict) and not _atomic(schema):
            return {
                key: self._without(_child(schema, key), item, (*path, f"f:{key}"), removed, roots)
                for key, item in value.items()
                if not gone((*path, f"f:{key}"))
            }
        if isinstance(value, list) and schema.get("x-kubernetes-list-type") == "map":
            places = [((*path, _key(schema, item)), item) for item in value]
            return [
                self._without(schema["items"], item, place, removed, roots) for place, item in places if not gone(place)
            ]
        if isinstance(value, list) and schema.get("x-kubernetes-list-type") == "set":
            return [item for item in value if not gone((*path, f"v:{_compact(item)}"))]
        return value


def to_tree(paths: set[Path]) -> Object:
    """A set of paths as ``fieldsV1``."""
    tree: Object = {}
    for path in sorted(paths):
        node = tree
        for element in path:
            node = node.setdefault(element, {})
        node["."] = {}
    return _without_needless_dots(tree)


def from_tree(tree: Object, path: Path = ()) -> set[Path]:
    """The paths that a ``fieldsV1`` names."""
    if not tree:
        return {path} if path else set()
    paths = set()
    for element, below in tree.items():
        paths |= {path} if element == "." else from_tree(below, (*path, element))
    return paths


def shown(path: Path) -> str:
    """A path as conflicts name it: ``.spec.containers[name="x"].image``."""
    text = ""
    for element in path:
        kind, _, name = element.partition(":")
        if kind == "f":
            text += f".{name}"
        elif kind == "k":
            text += "[" + ",".join(f"{key}={json.dumps(value)}" for key, value in json.loads(name).items()) + "]"
        else:
            text += f"[={name}]"
    return text


def _without_needless_dots(tree: Object) -> Object:
    """A dot means that a node itself is owned; a node without children is owned if present."""
    return {
        element: {} if below.keys() == {"."} else _without_needless_dots(below)
        for element, below in tree.items()
        if element != "." or len(tree) > 1
    }


def _atomic(schema: Object) -> bool:
    return schema.get("x-kubernetes-map-type") == "atomic"


def _child(schema: Object, key: str) -> Object:
    field = schema.get("properties", {}).get(key)
    extra = schema.get("additionalProperties")
    found: Object = field if field is not None else extra if isinstance(extra, dict) else {}
    return found


def _key(schema: Object, item: Any) -> str:
    fields = item if isinstance(item, dict) else {}
    keys = {key: fields.get(key, _KEY_DEFAULTS.get(key)) for key in schema["x-kubernetes-list-map-keys"]}
    return f"k:{_compact({key: value for key, value in keys.items() if value is not None})}"


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)
