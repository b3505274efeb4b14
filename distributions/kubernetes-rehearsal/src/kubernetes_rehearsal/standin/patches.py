"""The patches that change an object without owning its fields: JSON, merge, and strategic merge.

https://kubernetes.io/docs/reference/using-api/api-concepts/#patch-and-apply
"""

import copy
from typing import Any

import jsonpatch

from kubernetes_rehearsal.standin.errors import Object, bad_request
from kubernetes_rehearsal.standin.schema import Definitions

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"


def json_patch(target: Object, operations: Any) -> Object:
    """RFC 6902.

    :raises ApiError: if an operation does not fit the object.
    """
    try:
        patched: Object = jsonpatch.apply_patch(target, operations)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError) as error:
        raise bad_request(f"the server rejected our request due to an error in our request: {error}") from error
    return patched


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386: null removes a field, lists are replaced."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


class StrategicMerge:
    """Merges lists by the keys that the schema names.

    https://github.com/kubernetes/community/blob/main/contributors/devel/sig-api-machinery/strategic-merge-patch.md
    """

    def __init__(self, known: Definitions) -> None:
        self._known = known

    def merge(self, schema: Object, target: Any, patch: Any) -> Any:
        """``target`` with ``patch`` merged in; neither is changed."""
        if not isinstance(patch, dict):
            return copy.deepcopy(patch)
        schema = self._known.resolve(schema)[1]
        directive = patch.get("$patch")
        merged = dict(target) if isinstance(target, dict) and directive != "replace" else {}
        if directive == "delete":
            return {}
        if retained := patch.get("$retainKeys"):
            merged = {key: value for key, value in merged.items() if key in retained}
        for key, value in patch.items():
            if key.startswith("$deleteFromPrimitiveList/"):
                field = key.partition("/")[2]
                merged[field] = [item for item in merged.get(field, []) if item not in value]
            elif not key.startswith("$"):
                self._merge_field(self._field(schema, key), merged, key, value)
        for key, order in patch.items():
            if key.startswith("$setElementOrder/"):
                field = key.partition("/")[2]
                self._order(self._field(schema, field), merged, field, order)
        return merged

    def _field(self, schema: Object, key: str) -> Object:
        field = schema.get("properties", {}).get(key)
        extra = schema.get("additionalProperties")
        found: Object = field if field is not None else extra if isinstance(extra, dict) else {}
        return found

    def _merge_field(self, schema: Object, merged: Object, key: str, value: Any) -> None:
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, list):
            merged[key] = self._merge_list(self._known.resolve(schema)[1], merged.get(key) or [], value)
        else:
            merged[key] = self.merge(schema, merged.get(key), value)

    def _merge_list(self, schema: Object, target: list[Any], patch: list[Any]) -> list[Any]:
        if "merge" not in schema.get("x-kubernetes-patch-strategy", "").split(","):
            return copy.deepcopy(patch)
        key = schema.get("x-kubernetes-patch-merge-key")
        if not key:
            return target + [item for item in patch if item not in target]
        if any(item.get("$patch") == "replace" for item in patch):
            return [copy.deepcopy(item) for item in patch if "$patch" not in item]
        merged = list(target)
        for item in patch:
            if key not in item:
                raise bad_request(f"map: {item} does not contain declared merge key: {key}")
            place = next((index for index, had in enumerate(merged) if had.get(key) == item[key]), None)
            if item.get("$patch") == "delete":
                merged = [had for had in merged if had.get(key) != item[key]]
            elif place is None:
                merged.append(self.merge(schema["items"], {}, item))
            else:
                merged[place] = self.merge(schema["items"], merged[place], item)
        return merged

    def _order(self, schema: Object, merged: Object, field: str, order: list[Any]) -> None:
        """Items that the patch names come in its order; the others keep their places behind those before them."""
        items = merged.get(field)
        if not items:
            return
        key = self._known.resolve(schema)[1].get("x-kubernetes-patch-merge-key")
        wanted = [item[key] if key else item for item in order]
        named = {index: item for index, item in enumerate(items) if (item.get(key) if key else item) in wanted}
        ordered = iter(sorted(named.values(), key=lambda item: wanted.index(item[key] if key else item)))
        merged[field] = [next(ordered) if index in named else item for index, item in enumerate(items)]
