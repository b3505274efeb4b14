"""Broken copies of the accepted objects, and what kube-apiserver says to each: the measure of the stand-in.

``kubernetes_verdicts.yaml`` has the record, one letter a copy, so that the stand-in is held to it on machines without a
real server. After a change of the accepted objects, or for another Kubernetes, record anew where one is built:
``python -m tests.kubernetes_rehearsal.kubernetes_mutants``.
"""

import copy
import time
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from kubernetes_rehearsal.client import ApiClient, ApiFailure
from tests.kubernetes_rehearsal.kubernetes_apis import FOLDER, accepted, client, cluster

RECORD = FOLDER / "kubernetes_verdicts.yaml"
ACCEPTED = "a"
Object = dict[str, Any]
Ask = Callable[[Object], str]
_LETTERS = {"BadRequest": "b", "Forbidden": "f", "Invalid": "i", "NotFound": "n"}
_OTHERS: dict[type, list[Any]] = {
    str: [7, True, "Not Valid!", "", "-x", ["a"], {"a": "b"}],
    bool: ["yes", 1],
    int: ["seven", -1, 0, 10**6, 1.5, True, 3 * 10**9],
    float: ["x", -1.0],
    list: [{}, "x", []],
    dict: [[], "x", {}],
}
_NAMES = ["UPPER", "a.b", "a" * 64, "a" * 254, "1a"]
_NAMED_BY_CONTENT = ("APIService", "CustomResourceDefinition")


def title(found: Object) -> str:
    """``Kind name``."""
    return f"{found['kind']} {found['metadata']['name']}"


def mutants(found: Object) -> Iterator[tuple[str, Object]]:
    """Copies of an object with one difference each, and a description of the difference."""
    for path in _paths(found):
        value = _at(found, path)
        place = ".".join(map(str, path))
        if isinstance(value, dict):
            yield f"{place} with an unknown field", _changed(found, path, lambda one: {**one, "unknownField": 1})
        if not path or path[0] in ("apiVersion", "kind") or path in (("metadata",), ("metadata", "namespace")):
            continue
        yield f"{place} left out", _without(found, path)
        for other in [None, *_OTHERS[type(value)], *(_NAMES if path == ("metadata", "name") else [])]:
            if type(other) is not type(value) or other != value:
                yield f"{place} as {other!r:.20}", _changed(found, path, lambda _, new=other: new)
        if isinstance(value, list) and value:
            yield f"{place} with its first item twice", _changed(found, path, lambda items: [*items, items[0]])


def creations(found: Object) -> Iterator[tuple[str, Object]]:
    """Mutants under a name that is free."""
    for what, mutant in mutants(found):
        metadata = mutant.get("metadata")
        if found["kind"] not in _NAMED_BY_CONTENT and metadata == found["metadata"]:
            mutant = {**mutant, "metadata": {**metadata, "name": f"{metadata['name']}x"}}
        yield f"created: {what}", mutant


def changes(found: Object) -> Iterator[tuple[str, Object]]:
    """Mutants that replace the object."""
    for what, mutant in mutants(found) if found["kind"] != "Pod" else ():
        if isinstance(mutant.get("metadata"), dict) and mutant["metadata"].get("name") == found["metadata"]["name"]:
            yield f"replaced: {what}", mutant


def verdict(reason: str) -> str:
    """The letter of a refusal; an existing object has passed every check."""
    return ACCEPTED if reason == "AlreadyExists" else _LETTERS.get(reason, "?")


def record() -> dict[str, str]:
    """The response of a kube-apiserver to every mutant of every accepted object."""
    with cluster("kube-apiserver") as access:
        asked = client(access)
        found = {}
        for one in accepted():
            create(asked, one)
            found[title(one)] = "".join(
                ask(asked, one, what, mutant) for kind in (creations, changes) for what, mutant in kind(one)
            )
            print(title(one), len(found[title(one)]), flush=True)
    return found


def create(asked: ApiClient, found: Object) -> None:
    """Create an accepted object, waiting for its kind to be served."""
    for attempt in range(50):
        try:
            asked.request("POST", f"{_collection(asked, found)}?fieldValidation=Strict", found)
            return
        except (ApiFailure, StopIteration):
            if attempt == 49:
                raise
            time.sleep(0.2)


def ask(asked: ApiClient, found: Object, what: str, mutant: Object) -> str:
    """The verdict of an API, which keeps nothing."""
    query = "?fieldValidation=Strict&dryRun=All"
    collection = _collection(asked, found)
    while True:
        try:
            if what.startswith("created"):
                asked.request("POST", collection + query, mutant)
            else:
                place = f"{collection}/{found['metadata']['name']}"
                version = asked.get(place)["metadata"]["resourceVersion"]
                changed = {**mutant, "metadata": {**mutant["metadata"], "resourceVersion": version}}
                asked.request("PUT", place + query, changed)
        except ApiFailure as failure:
            if failure.reason == "Conflict":  # a controller was faster
                continue
            return verdict(failure.reason)
        return ACCEPTED


def _collection(asked: ApiClient, found: Object) -> str:
    version = found["apiVersion"]
    prefix = f"/apis/{version}" if "/" in version else f"/api/{version}"
    resources = asked.get(prefix)["resources"]
    plural = next(one["name"] for one in resources if one["kind"] == found["kind"] and "/" not in one["name"])
    namespace = found["metadata"].get("namespace")
    return f"{prefix}/namespaces/{namespace}/{plural}" if namespace else f"{prefix}/{plural}"


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _paths(item, (*path, key))


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def _changed(found: Object, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Object:
    mutant = copy.deepcopy(found)
    if not path:
        changed: Object = change(mutant)
        return changed
    _at(mutant, path[:-1])[path[-1]] = copy.deepcopy(change(_at(mutant, path)))
    return mutant


def _without(found: Object, path: tuple[Any, ...]) -> Object:
    mutant = copy.deepcopy(found)
    del _at(mutant, path[:-1])[path[-1]]
    return mutant


if __name__ == "__main__":
    RECORD.write_text(yaml.safe_dump(record(), width=10**6, sort_keys=False), encoding="utf-8")
