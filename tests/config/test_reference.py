from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from config import reference
from config.schema import Account
from config.section import variants_of

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_in_docs_matches_the_models() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference.render(), "run `make docs`"


def test_every_key_has_a_description() -> None:
    def silent(model: type[BaseModel]) -> Iterator[str]:
        for name, field in model.model_fields.items():
            if not field.description:
                yield f"{model.__name__}.{name}"
            for section in variants_of(field.annotation)[0].values():
                yield from silent(section)

    assert not list(silent(Account))
