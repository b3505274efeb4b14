"""What the tests of delivery share: stacks that are written down, not synthesized."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from delivery.assembly import Stack

MakeStack = Callable[..., Stack]


@pytest.fixture
def make_stack(tmp_path: Path) -> MakeStack:
    """A stack of account 111111111111 with a template that is given."""

    def make(template: dict[str, Any], name: str = "prod-Test") -> Stack:
        path = tmp_path / f"{name}.template.json"
        path.write_text(json.dumps(template), encoding="utf-8")
        id = name.replace("-", "/", 1)
        return Stack(id=id, name=name, account="111111111111", region="eu-west-1", template_file=path)

    return make
