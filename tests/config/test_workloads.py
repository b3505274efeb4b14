from pathlib import Path

import pytest

from config.loader import ConfigError
from config.workloads import MOST_TEAMS, Workloads
from tests.account_files import SMALL, WITH_DOMAIN, load

SIGN_IN = """
[identity.load_balancer]

[identity.cognito.machines.automation]
scopes = ["pipelines"]

[identity.cognito.machines.notebooks]
scopes = ["adviser"]

[adviser]
"""
TEAM = '\n[people.ana]\nemail = "ana@example.com"\n[teams.churn]\nowner = "ana"\n'
AIRFLOW = '[workloads.airflow]\nmachine = "automation"\n'


def loaded(folder: Path, more: str) -> Workloads:
    return load(folder, SMALL + more).workloads


def test_pipelines_start_no_jobs_elsewhere_by_default(tmp_path: Path) -> None:
    found = loaded(tmp_path, "")
    assert [getattr(found, name) for name in ("emr", "emr_serverless", "sagemaker", "airflow")] == [None] * 4


def test_airflow_runs_the_example_in_a_small_environment_by_default(tmp_path: Path) -> None:
    airflow = load(tmp_path, WITH_DOMAIN + SIGN_IN + AIRFLOW).workloads.airflow
    assert airflow
    assert (airflow.dags, airflow.version, airflow.environment_class) == ("examples/airflow", "3.0.6", "mw1.small")
    assert (airflow.min_workers, airflow.max_workers) == (1, None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (SIGN_IN + AIRFLOW + 'version = "3.1.0"', "workloads.airflow.version: .*'2.10.3', '2.11.0' or '3.0.6'"),
        (SIGN_IN + AIRFLOW + 'environment_class = "mw1.huge"', "workloads.airflow.environment_class: "),
        (SIGN_IN + AIRFLOW + "max_workers = 26", "workloads.airflow.max_workers: .*less than or equal to 25"),
        (SIGN_IN + AIRFLOW + "min_workers = 3\nmax_workers = 2", "max_workers: must be min_workers or more, got 2"),
        (SIGN_IN + AIRFLOW + 'environment_class = "mw1.micro"\nmin_workers = 2', "mw1.micro has one worker; remove"),
        (SIGN_IN + AIRFLOW + 'dags = "../dags"', "workloads.airflow.dags: "),
        (
            SIGN_IN + '[workloads.airflow]\nmachine = "notebooks"',
            "airflow.machine: 'notebooks' is not a machine with a scope for /pipeline/.; name one of automation",
        ),
        (AIRFLOW, "airflow.machine: 'automation' is not a machine .* add one to identity.cognito.machines"),
        (
            SIGN_IN.replace(
                "load_balancer]", 'load_balancer]\ninternet_facing = false\nallowed_cidrs = ["10.9.0.0/16"]'
            )
            + AIRFLOW,
            "airflow: identity.load_balancer.allowed_cidrs has no 10.0.0.0/16, from where DAGs call Kubeflow; add it",
        ),
    ],
)
def test_refuses_an_airflow_that_mwaa_refuses_or_that_cannot_call_kubeflow(
    tmp_path: Path, text: str, problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        load(tmp_path, WITH_DOMAIN + text)


def test_refuses_airflow_in_a_network_without_internet_access(tmp_path: Path) -> None:
    registry = 'image_registry = "111111111111.dkr.ecr.eu-west-1.amazonaws.com/mirror"\n'
    closed = 'nat = "none"\ninterface_endpoints = true\n'
    with pytest.raises(
        ConfigError, match="airflow: network.nat is 'none', and DAGs get their token from the user pool"
    ):
        load(tmp_path, registry + WITH_DOMAIN + closed + SIGN_IN + AIRFLOW)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[workloads.sagemaker]\nrepositories = ["trees"]', "sagemaker.repositories: 'trees' is not in storage.repo"),
        ('[workloads.emr_serverless]\nrelease = "7.10"', "workloads.emr_serverless.release: "),
        (
            "[workloads.emr_serverless]\nmax_vcpus = 2",
            "workloads.emr_serverless.max_vcpus: .*greater than or equal to 4",
        ),
        ("[workloads.glue]", "workloads.glue: unknown key"),
    ],
)
def test_refuses_jobs_that_cannot_be(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        loaded(tmp_path, text + TEAM)


def test_refuses_jobs_without_a_team(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"workloads: emr_serverless: jobs belong to teams, .* add one to \[teams\]"):
        loaded(tmp_path, "[workloads.emr_serverless]\n[workloads.sagemaker]")


def test_refuses_jobs_of_more_teams_than_a_stack_has_room_for(tmp_path: Path) -> None:
    people = '[people.ana]\nemail = "ana@example.com"\n'
    teams = "".join(f'[teams.team-{number}]\nowner = "ana"\n' for number in range(MOST_TEAMS))
    jobs = "[workloads.sagemaker]\n"
    assert loaded(tmp_path, people + teams + jobs).sagemaker
    with pytest.raises(ConfigError, match=f"sagemaker: {MOST_TEAMS + 1} teams .* CloudFormation takes {MOST_TEAMS}"):
        loaded(tmp_path, people + teams + '[teams.one-more]\nowner = "ana"\n' + jobs)
