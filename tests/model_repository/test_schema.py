import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from mlplatform_constructs._data.model_check_handler import index
from model_repository import Damaged, Package, layout, schema


@pytest.fixture
def document(make_package: Callable[..., Path]) -> schema.Document:
    package = Package.read(make_package())
    files = [{"path": f.path, "size": f.size, "sha256": f.sha256, "checksum": f.checksum} for f in package.files]
    return schema.published(
        model="churn",
        number=7,
        metadata=package.metadata,
        package={"digest": package.digest, "files": files},
        self_test={"outcome": "not run"},
    )


@pytest.mark.promise("model-metadata")
def test_the_published_schema_is_a_schema_and_accepts_both_kinds_of_document(document: schema.Document) -> None:
    Draft202012Validator.check_schema(schema.schema())
    whole = Draft202012Validator(schema.schema())
    withdrawn = schema.withdrawn(model="churn", number=7, reason="wrong week")
    assert [*whole.iter_errors(document), *whole.iter_errors(withdrawn)] == []


@pytest.mark.promise("model-metadata")
def test_a_document_is_read_back_as_it_was_written(document: schema.Document) -> None:
    assert schema.from_json(schema.to_json(document), place="here") == document


def change(document: schema.Document, **changes: Any) -> schema.Document:
    return {**document, **changes}


@pytest.mark.parametrize(
    ("changes", "mistake"),
    [
        ({"version": 0}, "here: version: 0 is less than the minimum of 1"),
        ({"version": True}, "here: version: must be of type integer, got True"),
        ({"model": "../other"}, "here: model: must match"),
        ({"created_at": "yesterday"}, "here: created_at: must match"),
        ({"owner": "me"}, "here: whole document: owner: unknown; remove it, known are created_at,"),
    ],
)
def test_a_document_that_breaks_the_schema_is_refused_with_its_place(
    document: schema.Document, changes: dict[str, Any], mistake: str
) -> None:
    with pytest.raises(Damaged) as refused:
        schema.from_json(json.dumps(change(document, **changes)).encode(), place="here")
    assert str(refused.value).startswith(mistake)


@pytest.mark.parametrize("path", ["../secret", "model/../../secret", "/etc/passwd", "model", "model/", "other/file"])
def test_no_document_can_name_a_file_outside_its_package(document: schema.Document, path: str) -> None:
    document["package"]["files"][0]["path"] = path
    with pytest.raises(Damaged, match=r"here: package.files.0.path: must match"):
        schema.from_json(json.dumps(document).encode(), place="here")


@pytest.mark.promise("atomic-model-versions")
def test_neither_metadata_nor_files_can_be_omitted(document: schema.Document) -> None:
    for name in ("metadata", "package"):
        without = {key: value for key, value in document.items() if key != name}
        with pytest.raises(Damaged, match=f"here: {name}: required; add it"):
            schema.from_json(json.dumps(without).encode(), place="here")


def test_the_check_behind_the_bucket_speaks_of_the_same_layout() -> None:
    assert schema.SCHEMA_ID == index.SCHEMA_ID == schema.schema()["$id"]
    assert layout.FOLDERS == index.FOLDERS
