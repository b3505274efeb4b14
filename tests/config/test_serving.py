"""The table of serving, and the accounts that it does not fit."""

from pathlib import Path

import pytest

from config.schema import Account
from tests import account_files
from tests.account_files import SMALL, WITH_DOMAIN, mistakes

IRSA = '[clusters.inference]\nworkload_identity = "irsa"\n[clusters.inference.serving]\n'


def load(folder: Path, more: str) -> Account:
    return account_files.load(folder, WITH_DOMAIN + more)


@pytest.mark.promise("small-start")
def test_a_cluster_serves_no_models_unless_it_asks_for_it(tmp_path: Path) -> None:
    assert [cluster.serving for cluster in load(tmp_path, "").clusters.values()] == [None, None]


def test_seldon_core_is_the_default_of_a_cluster_that_serves(tmp_path: Path) -> None:
    serving = load(tmp_path, IRSA).clusters["inference"].serving
    assert serving
    assert (serving.seldon, serving.kserve, serving.host) == (True, False, None)


def test_kserve_reads_models_by_pod_identity(tmp_path: Path) -> None:
    text = "[clusters.inference.serving]\nseldon = false\nkserve = true\n"
    assert load(tmp_path, text).clusters["inference"].serving


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[clusters.inference.serving]\n",
            "inference.serving.seldon: servers of Seldon Core 1.17.1 are older than EKS Pod Identity and could not "
            "read models; set inference.workload_identity = 'irsa', or seldon = false",
        ),
        (
            "[clusters.training.serving]\nseldon = false\n",
            "training.serving: the cluster is for training; put the table into an inference cluster, or set "
            "kubeflow.kserve",
        ),
        (
            f'[identity.load_balancer]\n{IRSA}host = "kubeflow"\n',
            "inference.serving.host: kubeflow.ml.example.com is a name of [identity]; choose another",
        ),
        (f'{IRSA}host = "models"\nseldon = false\n', "host: 'models' is the name of Ambassador; set seldon = true"),
        (f'{IRSA}host = "Models"\n', "got 'Models'"),
        (
            f"{IRSA}scale_from_zero = true\n",
            "inference.serving.scale_from_zero: KEDA scales servers in the namespaces of teams, and [teams] is empty; "
            "add a team, or set scale_from_zero = false",
        ),
        (
            f'{IRSA}host = "models"\n[clusters.second]\npurpose = "inference"\nworkload_identity = "irsa"\n'
            '[clusters.second.serving]\nhost = "models"\n',
            "second.serving.host: 'models' is also that of inference; choose another",
        ),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (line,) = mistakes(tmp_path, WITH_DOMAIN + text)
    assert message in line


def test_a_mistake_in_the_teams_hides_whether_there_are_any(tmp_path: Path) -> None:
    (line,) = mistakes(tmp_path, f'{WITH_DOMAIN}{IRSA}scale_from_zero = true\n[teams.churn]\nowner = "nobody"\n')
    assert line.startswith("teams")


def test_a_name_of_the_gateway_needs_a_domain(tmp_path: Path) -> None:
    assert mistakes(tmp_path, f'{SMALL}{IRSA}host = "models"\n') == [
        "clusters: inference.serving.host: 'models' needs a domain; set network.domain, or remove host"
    ]
