"""The few objects that helm, and kubectl when it asks about access, send in Kubernetes' protobuf form.

Wire format: https://protobuf.dev/programming-guides/encoding/. Field numbers: ``generated.proto`` of the API.
"""

import base64
from collections.abc import Callable, Iterator
from typing import Any

from kubernetes_rehearsal.standin.errors import Object, unsupported_media_type

CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_ATTRIBUTES = {1: "namespace", 2: "verb", 3: "group", 4: "version", 5: "resource", 6: "subresource", 7: "name"}
_TEXT_FIELDS = {1: "name", 2: "generateName", 3: "namespace", 5: "uid", 6: "resourceVersion"}


def is_protobuf(body: bytes) -> bool:
    """Whether a body is in that form."""
    return body.startswith(_MAGIC)


def decode(body: bytes) -> Object:
    """A Secret, ConfigMap, Namespace, DeleteOptions, or review of one's own access.

    :raises ApiError: for any other kind.
    """
    envelope = dict(_fields(body[len(_MAGIC) :]))
    api_version, kind = (_text(dict(_fields(envelope[1])), number) for number in (1, 2))
    content = list(_fields(envelope.get(2, b"")))
    if kind == "DeleteOptions":
        policy = _text(dict(content), 4)
        return {"propagationPolicy": policy} if policy else {}
    if (api_version, kind) not in _DECODERS:
        raise unsupported_media_type(
            f"{CONTENT_TYPE} of {api_version} {kind}", ["application/json", "application/yaml"]
        )
    metadata = list(_fields(dict(content).get(1, b"")))
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": _metadata(metadata),
        **_DECODERS[(api_version, kind)](content),
    }


def _secret(content: list[tuple[int, Any]]) -> Object:
    found: Object = {"data": _map(content, 2, lambda value: base64.b64encode(value).decode())}
    if kind := _text(dict(content), 3):
        found["type"] = kind
    return found


def _config_map(content: list[tuple[int, Any]]) -> Object:
    return {"data": _map(content, 2, bytes.decode)}


def _access_review(content: list[tuple[int, Any]]) -> Object:
    spec = dict(_fields(dict(content).get(2, b"")))
    attributes = dict(_fields(spec.get(1, b"")))
    return {"spec": {"resourceAttributes": {name: _text(attributes, number) for number, name in _ATTRIBUTES.items()}}}


def _metadata(content: list[tuple[int, Any]]) -> Object:
    fields = dict(content)
    found: Object = {name: text for number, name in _TEXT_FIELDS.items() if (text := _text(fields, number))}
    for number, name in ((11, "labels"), (12, "annotations")):
        if entries := _map(content, number, bytes.decode):
            found[name] = entries
    return found


def _map(content: list[tuple[int, Any]], number: int, read: Callable[[bytes], str]) -> dict[str, str]:
    entries = [dict(_fields(value)) for found, value in content if found == number]
    return {_text(entry, 1): read(entry.get(2, b"")) for entry in entries}


def _text(fields: dict[int, Any], number: int) -> str:
    value: bytes = fields.get(number, b"")
    return value.decode()


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Field numbers and values of a message, in order."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        if tag & 7 == 0:
            value, place = _varint(message, place)
            yield tag >> 3, value
        elif tag & 7 == 2:
            length, place = _varint(message, place)
            yield tag >> 3, message[place : place + length]
            place += length
        else:
            raise unsupported_media_type(f"{CONTENT_TYPE} with wire type {tag & 7}", ["application/json"])


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, place


_DECODERS: dict[tuple[str, str], Callable[[list[tuple[int, Any]]], Object]] = {
    ("v1", "ConfigMap"): _config_map,
    ("v1", "Namespace"): lambda _: {},
    ("v1", "Secret"): _secret,
    ("authentication.k8s.io/v1", "SelfSubjectReview"): lambda _: {},
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview"): _access_review,
}
