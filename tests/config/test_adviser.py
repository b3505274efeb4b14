from pathlib import Path
from typing import get_args

import pytest

from config.adviser import Adviser
from config.kubeflow import Deployment
from rehearsal.settings import chosen
from tests import account_files
from tests.account_files import WITH_DOMAIN, mistakes

CLIENT = '[identity.load_balancer]\n[identity.cognito.machines.notebooks]\nscopes = ["adviser"]\n'
MACHINE = "arn:aws:states:eu-west-1:111111111111:stateMachine:train"


def load(folder: Path, more: str) -> Adviser | None:
    return account_files.load(folder, WITH_DOMAIN + more).adviser


def test_there_is_no_adviser_by_default_and_an_empty_section_examines_collected_data_and_features(
    tmp_path: Path,
) -> None:
    assert load(tmp_path, "") is None
    adviser = load(tmp_path, f"{CLIENT}[adviser]")
    assert adviser
    assert adviser.inputs == {"collected_data": ("*",), "features": ("offline/*",)}
    assert adviser.output_prefix == "prepared"


def test_the_options_of_kubeflow_without_a_user_pool_have_no_adviser() -> None:
    have = {option: chosen("local", option).adviser is not None for option in get_args(Deployment)}
    assert have == {"vanilla": False, "cognito": True, "rds-s3": False, "cognito-rds-s3": True}


def test_a_job_of_this_account_and_region_is_taken(tmp_path: Path) -> None:
    adviser = load(tmp_path, f'{CLIENT}[adviser]\njobs = {{ train = "{MACHINE}" }}')
    assert adviser
    assert adviser.jobs == {"train": MACHINE}


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ("[adviser]", "adviser: no client could use it; add a machine with scopes = ['adviser']"),
        (CLIENT, "adviser: required, because machine notebooks has the scope 'adviser'; add the section"),
        (f"{CLIENT}[adviser]\ninputs = {{}}", "adviser.inputs: "),
        (f'{CLIENT}[adviser]\ninputs = {{ lake = ["*"] }}', "adviser.inputs.lake"),
        (f'{CLIENT}[adviser]\ninputs = {{ features = ["offline/"] }}', "adviser.inputs.features.0: "),
        (f'{CLIENT}[adviser]\noutput_prefix = "/prepared"', "adviser.output_prefix: "),
        (f"{CLIENT}[adviser]\nlarge_gib = 0.0", "adviser.large_gib: "),
        (f'{CLIENT}[adviser]\njobs = {{ prepare = "{MACHINE}" }}', "adviser: jobs.prepare: is the name of the"),
        (
            f'{CLIENT}[adviser]\njobs = {{ train = "{MACHINE.replace("eu-west-1", "eu-west-2")}" }}',
            "adviser: jobs.train: must be a state machine of 111111111111 in eu-west-1, got",
        ),
        (
            f'{CLIENT}[adviser]\n[identity.cognito.scopes.adviser]\ndescription = "x"\npaths = ["/x"]',
            "identity.cognito.scopes: adviser: is the scope of the job adviser's own API; choose another name",
        ),
    ],
)
def test_a_mistake_is_reported_with_its_fix(tmp_path: Path, more: str, line: str) -> None:
    assert mistakes(tmp_path, WITH_DOMAIN + more)[0].startswith(line)
