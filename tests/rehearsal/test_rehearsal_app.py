import os
import subprocess
import sys
from pathlib import Path

import pytest

from rehearsal.app import synthesize
from rehearsal.assembly import Assembly

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def app_py(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `python app.py` makes of the rehearsal's account and of another one."""
    folder = tmp_path_factory.mktemp("app") / "cdk.out"
    environment = os.environ | {"CDK_OUTDIR": str(folder), "CDK_CONTEXT_JSON": '{"accounts": "dev,local"}'}
    subprocess.run([sys.executable, "app.py"], cwd=ROOT, env=environment, check=True)
    return folder


def templates(folder: Path, account: str) -> dict[str, str]:
    files = sorted((folder / f"assembly-{account}").glob("*.template.json"))
    return {file.name: file.read_text(encoding="utf-8") for file in files}


def without_account(texts: dict[str, str]) -> dict[str, str]:
    """The templates with one account's number for both; the roles that an account file names keep the real one."""
    return {name: text.replace("111111111111", "000000000000") for name, text in texts.items()}


def test_the_rehearsed_templates_of_local_are_those_of_the_app_byte_by_byte(app_py: Path, tmp_path: Path) -> None:
    synthesize("local", str(tmp_path / "out"))
    rehearsed = templates(tmp_path / "out", "local")
    assert rehearsed
    assert rehearsed == templates(app_py, "local")


def test_the_rehearsed_templates_of_another_account_differ_by_its_number_only(app_py: Path, tmp_path: Path) -> None:
    synthesize("dev", str(tmp_path / "out"))
    assert without_account(templates(tmp_path / "out", "dev")) == without_account(templates(app_py, "dev"))
    assert Assembly(tmp_path / "out").regions() == Assembly(app_py / "assembly-dev").regions()
