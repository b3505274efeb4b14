"""A small project with one area of promises, for what the real record must not have."""

from collections.abc import Callable
from pathlib import Path

import pytest

from promises import evidence, record
from promises.evidence import Evidence

Collect = Callable[..., dict[str, Evidence]]


@pytest.fixture
def collect(tmp_path: Path) -> Collect:
    """Reads a project that consists of an area file, one test file and one page."""

    def collect(area: str, tests: str = "", page: str = "# Page\n\n## A heading: 5 minutes\n") -> dict[str, Evidence]:
        folders = {name: tmp_path / name for name in ("areas", "tests/deep", "docs")}
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        (folders["areas"] / "nodes.toml").write_text(f'title = "Nodes"\n{area}', encoding="utf-8")
        (folders["tests/deep"] / "test_nodes.py").write_text(f"import pytest\n{tests}", encoding="utf-8")
        (folders["docs"] / "page.md").write_text(page, encoding="utf-8")
        return dict(evidence.collect(record.load(folders["areas"]), tmp_path))

    return collect
