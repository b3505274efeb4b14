"""The table of Kubeflow: four options, and the accounts that they do not fit."""

from pathlib import Path

import pytest

from tests.account_files import WITH_DOMAIN, load, mistakes

SMALL = (
    WITH_DOMAIN
    + """
[people.ana]
email = "ana@example.com"
"""
)
COGNITO = """
[identity.load_balancer]
[identity.cognito]
"""


def with_option(deployment: str, cluster: str = "training") -> str:
    return f'[clusters.{cluster}.kubeflow]\ndeployment = "{deployment}"\n'


@pytest.mark.promise("small-start")
def test_a_cluster_has_no_kubeflow_unless_it_asks_for_one(tmp_path: Path) -> None:
    assert [cluster.kubeflow for cluster in load(tmp_path, SMALL).clusters.values()] == [None, None]


@pytest.mark.promise("deployment-options")
@pytest.mark.parametrize(
    ("deployment", "by_cognito", "in_aws"),
    [
        ("vanilla", False, False),
        ("cognito", True, False),
        ("rds-s3", False, True),
        ("cognito-rds-s3", True, True),
    ],
)
def test_an_option_says_who_signs_in_and_where_the_state_is(
    tmp_path: Path, deployment: str, by_cognito: bool, in_aws: bool
) -> None:
    text = SMALL + (COGNITO if by_cognito else "") + with_option(deployment)
    kubeflow = load(tmp_path, text).clusters["training"].kubeflow
    assert kubeflow
    assert (kubeflow.by_cognito, kubeflow.in_aws) == (by_cognito, in_aws)


def test_an_unknown_option_is_refused_with_the_four(tmp_path: Path) -> None:
    (line,) = mistakes(tmp_path, SMALL + with_option("rds"))
    assert line.startswith("clusters.training.kubeflow.deployment: ")
    assert "'vanilla', 'cognito', 'rds-s3' or 'cognito-rds-s3', got 'rds'" in line


def test_the_option_has_no_default(tmp_path: Path) -> None:
    assert mistakes(tmp_path, SMALL + "[clusters.training.kubeflow]\n") == [
        "clusters.training.kubeflow.deployment: required; add it"
    ]


@pytest.mark.promise("deployment-options")
@pytest.mark.parametrize(("deployment", "instead"), [("cognito", "vanilla"), ("cognito-rds-s3", "rds-s3")])
def test_cognito_needs_a_user_pool(tmp_path: Path, deployment: str, instead: str) -> None:
    assert mistakes(tmp_path, SMALL + with_option(deployment)) == [
        f"clusters: training.kubeflow.deployment: '{deployment}' needs a user pool behind a load balancer; add "
        f"[identity.cognito] and [identity.load_balancer], or choose '{instead}'"
    ]


@pytest.mark.promise("deployment-options")
@pytest.mark.parametrize(("deployment", "instead"), [("vanilla", "cognito"), ("rds-s3", "cognito-rds-s3")])
def test_two_ways_to_sign_in_are_refused(tmp_path: Path, deployment: str, instead: str) -> None:
    assert mistakes(tmp_path, SMALL + COGNITO + with_option(deployment)) == [
        f"clusters: training.kubeflow.deployment: '{deployment}' signs people in by Dex, but [identity.cognito] is "
        f"set; remove that table, or choose '{instead}'"
    ]


def test_dex_needs_somebody_to_sign_in(tmp_path: Path) -> None:
    nobody = SMALL.partition("[people.ana]")[0]
    assert mistakes(tmp_path, nobody + with_option("vanilla")) == [
        "clusters: training.kubeflow.deployment: 'vanilla' signs in everybody in [people], which is empty; add a person"
    ]


def test_an_inference_cluster_has_no_kubeflow(tmp_path: Path) -> None:
    assert mistakes(tmp_path, SMALL + with_option("vanilla", "inference")) == [
        "clusters: inference.kubeflow: the cluster is for inference; put the table into a training cluster"
    ]


def test_an_account_has_one_kubeflow(tmp_path: Path) -> None:
    second = '[clusters.training-eu]\npurpose = "training"\n' + with_option("vanilla", "training-eu")
    assert mistakes(tmp_path, SMALL + with_option("vanilla") + second) == [
        "clusters: training-eu.kubeflow: training has it already; the load balancer and the database serve one "
        "Kubeflow, so remove one of the tables"
    ]


def test_a_model_registry_belongs_to_a_team(tmp_path: Path) -> None:
    wanted = with_option("vanilla") + "model_registry = true\n"
    assert mistakes(tmp_path, SMALL + wanted) == [
        "clusters: training.kubeflow.model_registry: a registry belongs to a team, and [teams] is empty; add a team, "
        "or remove the key"
    ]
    kubeflow = load(tmp_path, SMALL + '[teams.churn]\nowner = "ana"\n' + wanted).clusters["training"].kubeflow
    assert kubeflow
    assert kubeflow.model_registry


def test_a_wrong_section_elsewhere_is_reported_alone(tmp_path: Path) -> None:
    (line,) = mistakes(tmp_path, SMALL + "[identity.cognito]\n" + with_option("vanilla"))
    assert line.startswith("identity.cognito: needs a load balancer")


@pytest.mark.promise("closed-network")
@pytest.mark.parametrize(("deployment", "instead"), [("cognito", "vanilla"), ("cognito-rds-s3", "rds-s3")])
def test_a_closed_network_has_no_kubeflow_that_reads_keys_of_a_user_pool(
    tmp_path: Path, deployment: str, instead: str
) -> None:
    registry = 'image_registry = "111111111111.dkr.ecr.eu-west-1.amazonaws.com/mirror"\n'
    closed = 'nat = "none"\ninterface_endpoints = true\n'
    text = registry + SMALL.replace("[people", closed + "[people") + COGNITO + with_option(deployment)
    assert mistakes(tmp_path, text) == [
        f"clusters: training.kubeflow.deployment: '{deployment}': network.nat is 'none', and the mesh reads the keys "
        f"of the user pool at its public address; choose '{instead}' without [identity.cognito], or another network.nat"
    ]


@pytest.mark.promise("idle-notebooks-stop")
@pytest.mark.parametrize("minutes", [5, 20000])
def test_notebooks_stop_within_a_week(tmp_path: Path, minutes: int) -> None:
    (line,) = mistakes(tmp_path, SMALL + with_option("vanilla") + f"idle_notebook_minutes = {minutes}\n")
    assert line.startswith("clusters.training.kubeflow.idle_notebook_minutes: ")
