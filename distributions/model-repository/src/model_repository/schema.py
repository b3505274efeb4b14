"""The published JSON Schema of a version, and valid documents."""

import json
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from model_repository.errors import Damaged

Document = dict[str, Any]

SCHEMA_ID = "urn:mlplatform:model-version:1"


@cache
def schema() -> dict[str, Any]:
    """The schema that is shipped as ``schemas/model-version.schema.json``."""
    text = (files("model_repository") / "schemas" / "model-version.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def explain_metadata(metadata: Any) -> list[str]:
    """Everything that is wrong with the content of a ``metadata.json``: place, value, fix."""
    return _explain("metadata", metadata)


def published(*, model: str, number: int, metadata: dict[str, Any], package: Document, self_test: Document) -> Document:
    """The document of a version that is published now."""
    return {
        "schema": SCHEMA_ID,
        "model": model,
        "version": number,
        "created_at": _now(),
        "metadata": metadata,
        "package": package,
        "self_test": self_test,
    }


def withdrawn(*, model: str, number: int, reason: str) -> Document:
    """The document of a version that is withdrawn now."""
    return {"schema": SCHEMA_ID, "model": model, "version": number, "withdrawn_at": _now(), "reason": reason}


def is_withdrawn(document: Document) -> bool:
    return "withdrawn_at" in document


def to_json(document: Document) -> bytes:
    return json.dumps(document, indent=2, sort_keys=True, allow_nan=False).encode("ascii") + b"\n"


def from_json(text: bytes, *, place: str) -> Document:
    """Read a stored document.

    :raises Damaged: if it violates the schema.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise Damaged(f"{place}: not valid JSON: {error}; restore an earlier version of the object") from None
    kind = "withdrawn" if isinstance(document, dict) and is_withdrawn(document) else "published"
    mistakes = _explain(kind, document)
    if mistakes:
        raise Damaged("\n".join(f"{place}: {mistake}" for mistake in mistakes))
    checked: Document = document
    return checked


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@cache
def _validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator({**schema()["$defs"][kind], "$defs": schema()["$defs"]})


def _explain(kind: str, value: Any) -> list[str]:
    errors = sorted(_validator(kind).iter_errors(value), key=lambda error: list(map(str, error.absolute_path)))
    return [_sentence(error) for error in errors]


def _sentence(error: ValidationError) -> str:
    path = [str(part) for part in error.absolute_path]
    place = ".".join(path) or "whole document"
    if error.validator == "required":
        missing = error.message.split("'")[1]
        return f"{'.'.join([*path, missing])}: required; add it"
    if error.validator == "additionalProperties" and isinstance(error.validator_value, bool):
        rules: Any = error.schema
        known = rules.get("properties", {})
        found: Any = error.instance
        unknown = [name for name in found if name not in known]
        return f"{place}: {', '.join(unknown)}: unknown; remove it, known are {', '.join(sorted(known))}"
    if error.validator == "type":
        kinds = error.validator_value
        wanted = " or ".join(kinds) if isinstance(kinds, list) else kinds
        return f"{place}: must be of type {wanted}, got {error.instance!r}"
    if error.validator == "pattern":
        return f"{place}: must match {error.validator_value}, got {error.instance!r}"
    return f"{place}: {error.message}"
