from pathlib import Path
from typing import get_args

import pytest

from config.kubeflow import Deployment
from config.loader import account_names, load_account
from rehearsal.app import emulated, synthesize
from rehearsal.settings import chosen


def templates(folder: Path) -> dict[str, str]:
    return {
        file.name: file.read_text(encoding="utf-8") for file in sorted(folder.glob("assembly-local/*.template.json"))
    }


def test_the_rehearsed_templates_are_those_of_the_app_byte_by_byte(assembly: Path, tmp_path: Path) -> None:
    synthesize("local", str(tmp_path))
    assert templates(tmp_path)
    assert templates(tmp_path) == templates(assembly)


@pytest.mark.parametrize("account", account_names())
def test_nothing_but_the_number_of_an_account_is_replaced(account: str) -> None:
    real, rehearsed = load_account(account).model_dump(), emulated(account).model_dump()
    assert rehearsed.pop("account") == "000000000000"
    del real["account"]
    assert rehearsed == real


@pytest.mark.promise("deployment-options")
@pytest.mark.parametrize("option", get_args(Deployment))
def test_every_option_of_kubeflow_can_be_rehearsed_with_the_same_account(option: Deployment) -> None:
    settings, usual = chosen("local", option), load_account("local")
    kubeflow, as_usual = settings.clusters["training"].kubeflow, usual.clusters["training"].kubeflow
    assert kubeflow
    assert as_usual
    assert kubeflow == as_usual.model_copy(update={"deployment": option})
    assert (settings.identity.cognito is not None) is option.startswith("cognito")
    assert chosen("local") == usual
