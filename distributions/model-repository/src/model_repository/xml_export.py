"""Lossless conversion of a version's document to XML and back.

Each value is an element named after its key, or ``<entry name="...">`` where the key is no XML name, or ``<item>`` in a
list. ``type`` says what is not a string. Strings with characters that XML cannot hold are written as JSON, and say so.
"""

import json
import re
import xml.etree.ElementTree as ElementTree
from typing import Any

from model_repository.errors import RepositoryError
from model_repository.schema import Document

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>'
_NAME = re.compile(r"(?!(?i:xml)|entry\Z|item\Z)[A-Za-z_][A-Za-z0-9_.-]*")
_SAFE = re.compile("[\t\n -~\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")


def to_xml(document: Document) -> str:
    """The document as an XML text."""
    root = ElementTree.Element("modelVersion", type="object")
    _fill(root, document)
    ElementTree.indent(root)
    return f"{_HEAD}\n{ElementTree.tostring(root, encoding='unicode')}\n"


def from_xml(text: str) -> Document:
    """The document of an XML text that :func:`to_xml` wrote.

    :raises RepositoryError: for any other text.
    """
    if "<!DOCTYPE" in text:
        raise RepositoryError("xml: has a document type, which export never writes; export the version again")
    try:
        document = _value(ElementTree.fromstring(text))
    except (ElementTree.ParseError, KeyError, ValueError) as error:
        raise RepositoryError(f"xml: not an exported version: {error}; export the version again") from None
    if not isinstance(document, dict):
        raise RepositoryError("xml: not an exported version; export the version again")
    return document


def _fill(element: ElementTree.Element, value: Any) -> None:
    if isinstance(value, dict):
        element.set("type", "object")
        for key, inner in value.items():
            named = _NAME.fullmatch(key)
            child = ElementTree.SubElement(element, key if named else "entry")
            if not named:
                _write(child, key, "name")
            _fill(child, inner)
    elif isinstance(value, list):
        element.set("type", "array")
        for inner in value:
            _fill(ElementTree.SubElement(element, "item"), inner)
    elif isinstance(value, str):
        _write(element, value)
    else:
        element.set("type", "json")
        element.text = json.dumps(value, allow_nan=False)


def _write(element: ElementTree.Element, text: str, attribute: str | None = None) -> None:
    safe = _SAFE.fullmatch(text)
    written = text if safe else json.dumps(text)
    if attribute:
        element.set(attribute if safe else f"{attribute}-json", written)
    else:
        element.text = written
        if not safe:
            element.set("type", "json")


def _value(element: ElementTree.Element) -> Any:
    kind = element.get("type")
    if kind == "object":
        return {_key(child): _value(child) for child in element}
    if kind == "array":
        return [_value(child) for child in element]
    text = element.text or ""
    return json.loads(text) if kind == "json" else text


def _key(element: ElementTree.Element) -> str:
    if element.tag != "entry":
        return element.tag
    encoded = element.get("name-json")
    return str(json.loads(encoded)) if encoded is not None else element.attrib["name"]
