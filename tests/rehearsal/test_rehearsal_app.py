import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.loader import account_names, load_account
from rehearsal.app import emulated, synthesize

ROOT = Path(__file__).parents[2]


def templates(folder: Path) -> dict[str, str]:
    return {
        file.name: file.read_text(encoding="utf-8") for file in sorted(folder.glob("assembly-local/*.template.json"))
    }


def test_the_rehearsed_templates_are_those_of_the_app_byte_by_byte(tmp_path: Path) -> None:
    environment = os.environ | {"CDK_OUTDIR": str(tmp_path / "app"), "CDK_CONTEXT_JSON": '{"accounts": "local"}'}
    subprocess.run([sys.executable, "app.py"], cwd=ROOT, env=environment, check=True)
    synthesize("local", str(tmp_path / "rehearsed"))
    assert templates(tmp_path / "rehearsed")
    assert templates(tmp_path / "rehearsed") == templates(tmp_path / "app")


@pytest.mark.parametrize("account", account_names())
def test_nothing_but_the_number_of_an_account_is_replaced(account: str) -> None:
    real, rehearsed = load_account(account).model_dump(), emulated(account).model_dump()
    assert rehearsed.pop("account") == "000000000000"
    del real["account"]
    assert rehearsed == real
