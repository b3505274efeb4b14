import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_repository import RepositoryError, from_xml, to_xml

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.mark.promise("model-metadata")
def test_the_metadata_read_as_xml(metadata: dict[str, Any]) -> None:
    metadata["parameters"] = {"learning rate": 0.1, "layers": [64, "relu", None]}
    lines = to_xml({"model": "churn", "version": 7, "metadata": metadata}).splitlines()
    assert lines[:5] == [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<modelVersion type="object">',
        "  <model>churn</model>",
        '  <version type="json">7</version>',
        '  <metadata type="object">',
    ]
    assert '      <entry name="learning rate" type="json">0.1</entry>' in lines
    assert '        <item type="json">64</item>' in lines
    assert "        <item>relu</item>" in lines


@pytest.mark.promise("model-metadata")
@settings(deadline=None, max_examples=50)
@given(document=st.dictionaries(st.text(), JSON))
def test_any_document_comes_back_from_xml_as_it_was(document: dict[str, Any]) -> None:
    text = to_xml(document)
    ElementTree.fromstring(text.encode("utf-8"))
    assert repr(from_xml(text)) == repr(document)  # repr, because 1 == 1.0 == True


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<a>",
        "<a/>",
        '<a type="array"/>',
        '<a type="object"><entry/></a>',
        '<a type="object"><b type="json">{</b></a>',
        '<!DOCTYPE a [<!ENTITY b "c">]><a type="object"/>',
    ],
)
def test_what_export_never_writes_is_refused(text: str) -> None:
    with pytest.raises(RepositoryError, match="xml: .*; export the version again"):
        from_xml(text)
