"""``helm`` as the deployed kubectl handler calls it, with and without charts that can be fetched."""

import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from charts.definitions import DEFINITIONS
from charts.helm_charts import HelmCharts
from rehearsal.emulator import aws_cli
from rehearsal.kubernetes import add_on_standins, helm_standin_charts
from rehearsal.kubernetes.clients import clients
from rehearsal.kubernetes.helm_standins import Chart, Charts, NoChart, stand_ins, wrapper
from rehearsal.kubernetes.interface import with_administrator
from tests.rehearsal.kubernetes_apis import APIS, MINOR, client, new_api

NOWHERE = 'Error: Get "https://charts.example.com/index.yaml": dial tcp: lookup charts.example.com: no such host'
HELM = """#!{python}
import json, pathlib, shutil, sys
with open("{calls}", "a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
if sys.argv[1] == "pull":
    if {answer!r}:
        sys.exit({answer!r})
    shutil.copy("{archive}", pathlib.Path(sys.argv[sys.argv.index("--destination") + 1], "chart.tgz"))
elif sys.argv[1] == "upgrade":
    print(sorted(str(found.relative_to(sys.argv[3])) for found in pathlib.Path(sys.argv[3]).rglob("*")))
"""


class Helm:
    """A program in place of helm that fetches one chart, or fails with an answer; and the folders beside it."""

    def __init__(self, folder: Path, answer: str) -> None:
        chart = folder / "source" / "base"
        chart.mkdir(parents=True)
        (chart / "Chart.yaml").write_text("name: base")
        with tarfile.open(folder / "base.tgz", "w:gz") as archive:
            archive.add(chart, "base")
        self._calls = folder / "calls"
        self.program = folder / "helm"
        self.program.write_text(
            HELM.format(python=sys.executable, calls=self._calls, answer=answer, archive=folder / "base.tgz")
        )
        self.program.chmod(0o755)
        self.charts = Charts(self.program, folder / "kept", folder / "notes")
        self.wrapped = folder / "wrapped"
        self.wrapped.write_text(wrapper(helm=self.program, kept=folder / "kept", notes=folder / "notes"))
        self.wrapped.chmod(0o755)

    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in self._calls.read_text().splitlines()] if self._calls.exists() else []

    def run(self, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.wrapped), *arguments], cwd=cwd, input="secret", capture_output=True, text=True, check=False
        )


@pytest.fixture
def helm(tmp_path: Path) -> Callable[..., Helm]:
    return lambda answer="": Helm(tmp_path, answer)


def of_list(name: str) -> Chart:
    listed = HelmCharts.load().chart(name)
    return Chart(name, listed.repository, listed.version)


def test_a_chart_is_fetched_once(helm: Callable[..., Helm], tmp_path: Path) -> None:
    fetching = helm()
    for folder in ("first", "second"):
        place = fetching.charts.put(of_list("base"), tmp_path / folder)
        assert (place / "Chart.yaml").read_text() == "name: base"
    (call,) = fetching.calls()
    listed = of_list("base")
    assert call[:6] == ["pull", "base", "--repo", listed.repository, "--version", listed.version]
    assert stand_ins(tmp_path / "notes") == []


def test_a_chart_that_cannot_be_fetched_is_replaced_and_its_host_asked_once(
    helm: Callable[..., Helm], tmp_path: Path
) -> None:
    offline = helm(NOWHERE)
    for name in ("base", "istiod"):
        place = offline.charts.put(of_list(name), tmp_path / "charts")
        assert json.loads((place / "Chart.yaml").read_text())["version"] == of_list(name).version
    assert len(offline.calls()) == 1
    assert stand_ins(tmp_path / "notes") == [
        f"Helm chart {name} {of_list(name).version}: istio-release.storage.googleapis.com: no such host"
        for name in ("base", "istiod")
    ]


def test_a_chart_that_nothing_replaces_is_an_error_with_a_way_out(helm: Callable[..., Helm], tmp_path: Path) -> None:
    with pytest.raises(
        NoChart, match=r"chart other 1\.2\.3: .*connect to the network, or add a stand-in to rehearsal/"
    ):
        helm(NOWHERE).charts.put(Chart("other", "https://charts.example.com", "1.2.3"), tmp_path)


def test_a_version_that_its_registry_does_not_have_is_no_reason_for_a_stand_in(
    helm: Callable[..., Helm], tmp_path: Path
) -> None:
    answer = "Error: chart base matching 9.9.9 not found in repository"
    with pytest.raises(NoChart, match=r"chart base 9\.9\.9: .*not found in repository"):
        helm(answer).charts.put(Chart("base", "https://charts.example.com", "9.9.9"), tmp_path)


def test_a_mirror_of_the_account_is_never_asked(helm: Callable[..., Helm], tmp_path: Path) -> None:
    fetching = helm()
    mirror = "oci://012345678901.dkr.ecr.eu-west-1.amazonaws.com/mirror/charts/base"
    fetching.charts.put(Chart("base", mirror, of_list("base").version), tmp_path / "charts")
    (call,) = fetching.calls()
    assert not [part for part in call if "012345678901" in part]


def test_the_handler_upgrades_with_the_stand_in_in_place_of_the_chart(
    helm: Callable[..., Helm], tmp_path: Path
) -> None:
    offline = helm(NOWHERE)
    listed = of_list("istiod")
    options = ["--install", "--repo", listed.repository, "--values", "v.yaml", "--version", listed.version, "--wait"]
    done = offline.run("upgrade", "istiod", "istiod", *options, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "['Chart.yaml', 'templates', 'templates/objects.yaml']\n")
    *_, call = offline.calls()
    assert (call[:2], call[3:]) == (["upgrade", "istiod"], ["--install", "--values", "v.yaml", "--wait"])


def test_the_handler_pulls_a_chart_of_a_registry_into_its_folder(helm: Callable[..., Helm], tmp_path: Path) -> None:
    offline = helm(NOWHERE)
    assert offline.run("registry", "login", "--password-stdin", "public.ecr.aws", cwd=tmp_path).returncode == 0
    listed = of_list("karpenter")
    pulled = offline.run("pull", listed.repository, "--version", listed.version, "--untar", cwd=tmp_path)
    assert pulled.returncode == 0
    assert (tmp_path / "karpenter" / "Chart.yaml").exists()


def test_the_public_registry_has_a_password_without_aws() -> None:
    command = [sys.executable, aws_cli.__file__, "/no/aws", "ecr-public", "get-login-password", "--region", "us-east-1"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "emulated\n"


def test_whatever_else_the_handler_asks_goes_to_helm(helm: Callable[..., Helm], tmp_path: Path) -> None:
    passing = helm()
    passing.run("uninstall", "istiod", "--namespace", "istio-system", cwd=tmp_path)
    passing.run("upgrade", "own", str(tmp_path), "--install", cwd=tmp_path)
    assert passing.calls() == [
        ["uninstall", "istiod", "--namespace", "istio-system"],
        ["upgrade", "own", str(tmp_path), "--install"],
    ]


def test_the_handler_hears_why_there_is_no_chart(helm: Callable[..., Helm], tmp_path: Path) -> None:
    done = helm(NOWHERE).run("upgrade", "r", "other", "--repo", "https://e.example", "--version", "1", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("helm: chart other 1: ")


def rendered(chart: str, folder: Path) -> list[dict[str, Any]]:
    helm_standin_charts.write(chart, "1.0.0", folder / chart)
    helm = str(clients().helm)
    command = [helm, "template", "release", str(folder / chart), "--namespace", "there", "--set", "any.value=1"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [found for found in yaml.safe_load_all(text) if found]


@pytest.mark.parametrize("chart", sorted(chart.name for chart in HelmCharts.load()))
def test_every_chart_of_the_list_has_a_stand_in_with_its_definitions(chart: str, tmp_path: Path) -> None:
    found = rendered(chart, tmp_path)
    definitions = [item["spec"] for item in found if item["kind"] == "CustomResourceDefinition"]
    assert sorted(definitions, key=str) == sorted((item["spec"] for item in DEFINITIONS.get(chart, ())), key=str)
    assert found


def test_no_workload_of_a_stand_in_runs_anything(tmp_path: Path) -> None:
    workloads = [
        item for chart in HelmCharts.load() for item in rendered(chart.name, tmp_path) if "template" in item["spec"]
    ]
    assert len(workloads) == 5
    for item in workloads:
        selector = item["spec"]["template"]["spec"]["nodeSelector"]
        assert item["spec"].get("replicas") == 0 or selector == {"rehearsal.invalid/node": "none"}


def test_the_gateway_is_named_by_its_release(tmp_path: Path) -> None:
    named = {(item["kind"], item["metadata"]["name"]) for item in rendered("gateway", tmp_path)}
    assert named == {("Deployment", "release"), ("Service", "release")}


@pytest.mark.parametrize("name", APIS)
def test_what_stands_in_for_add_ons_comes_and_goes(name: str) -> None:
    api = new_api(name)
    api.start(with_administrator(lambda token: None, "eks"))
    try:
        eks = client(api.create_cluster("test", MINOR), "eks")
        for add_on in ("aws-secrets-store-csi-driver-provider", "cert-manager", "external-dns"):
            add_on_standins.install(eks, add_on)
            add_on_standins.install(eks, add_on)
            there = api.leftovers("test")
            for definition in DEFINITIONS.get(add_on, ()):
                assert f"CustomResourceDefinition {definition['metadata']['name']}" in there
            add_on_standins.remove(eks, add_on)
            assert there
            assert api.leftovers("test") == []
        eks.close()
    finally:
        api.stop()
