from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from config import reference
from config.schema import Account

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_in_docs_is_what_the_models_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference.render(), "run `make docs`"


def test_every_key_says_what_it_means() -> None:
    def silent(model: type[BaseModel]) -> Iterator[str]:
        for name, field in model.model_fields.items():
            if not field.description:
                yield f"{model.__name__}.{name}"
            section, _ = reference.section_of(field.annotation)
            if section:
                yield from silent(section)

    assert not list(silent(Account))
