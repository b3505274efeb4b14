"""The commands of the guide and of the page on changes are ones that there are."""

import importlib.util
import re
import subprocess
from pathlib import Path

import pytest

from config.approvals import load_approvals
from config.loader import ACCOUNTS, load_account
from delivery.gate.findings import Verdict

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / name for name in ("getting-started.md", "changes.md")]
BLOCKS = [block for page in PAGES for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)]
LINES = [line.split("#")[0].strip() for block in BLOCKS for line in block.splitlines()]
MAKE = sorted({line for line in LINES if line.startswith("make ")})
MODULES = sorted({" ".join(line.split()[:3]) for line in LINES if line.startswith("python -m ")} - {"python -m venv"})


@pytest.mark.parametrize("command", MAKE)
def test_make_knows_each_command(command: str) -> None:
    _, *words = command.split()
    result = subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("command", MODULES)
def test_each_module_can_be_run(command: str) -> None:
    found = importlib.util.find_spec(command.split()[2])
    assert found
    assert found.submodule_search_locations is None or importlib.util.find_spec(f"{found.name}.__main__")


def test_the_approval_in_the_page_is_valid(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "changes.md").read_text(), re.DOTALL)
    path = tmp_path / "approvals.toml"
    path.write_text(example, encoding="utf-8")
    assert [one.resource for one in load_approvals(path)] == ["Lustre/FileSystem"]


@pytest.mark.promise("small-start")
def test_the_lines_that_the_guide_adds_give_the_first_account_notebooks(tmp_path: Path) -> None:
    (added,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "getting-started.md").read_text(), re.DOTALL)
    first = (ACCOUNTS / "dev.toml").read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(f"{first}\n{added}", encoding="utf-8")
    mine = load_account("mine", tmp_path)
    assert mine.clusters["training"].kubeflow is not None
    assert mine.teams["first"].owner in mine.people


def test_the_page_explains_every_verdict() -> None:
    page = (ROOT / "docs" / "changes.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE)) == {str(verdict) for verdict in Verdict}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_resolves(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_the_bucket_and_the_queries_that_the_guide_names_are_outputs() -> None:
    source = (ROOT / "stacks" / "account" / "data.py").read_text(encoding="utf-8")
    assert "FeatureWorkGroupName" in source
    assert "StreamName" in source
