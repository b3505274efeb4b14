"""Stand-ins for Helm charts and EKS add-ons, and ``helm`` as the deployed kubectl handler calls it."""

import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from aws_rehearsal import add_ons
from aws_rehearsal.emulator import aws_cli
from aws_rehearsal.helm import Chart, Charts, NoChart, built, stand_ins, wrapper
from aws_rehearsal.stand_ins import StandIns
from charts.catalog import Catalog
from kubernetes_rehearsal.clients import clients
from kubernetes_rehearsal.interface import KubernetesError, with_administrator
from kubernetes_rehearsal.programs.charts import BuiltChart
from tests.kubernetes_rehearsal.kubernetes_apis import APIS, MINOR, client, new_api

CATALOG = Catalog.load()
BRINGS = {
    "aws-load-balancer-controller": "edge/load_balancer_controller",
    "base": "edge/istio",
    "karpenter-crd": "nodes/karpenter",
}
"""Component whose definitions a chart brings."""
STAND_INS = StandIns.of(CATALOG.stand_ins())
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
    """A replacement of helm that downloads one chart or fails with a message, and its folders."""

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
        file = folder / "stand-ins.json"
        file.write_text(json.dumps(CATALOG.stand_ins()))
        self.charts = Charts(self.program, folder / "kept", folder / "notes", file)
        self.wrapped = folder / "wrapped"
        self.wrapped.write_text(
            wrapper(helm=self.program, kept=folder / "kept", notes=folder / "notes", stand_ins=file)
        )
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
    listed = CATALOG.helm_charts.chart(name)
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


def test_a_chart_that_nothing_replaces_is_an_error_with_a_fix(helm: Callable[..., Helm], tmp_path: Path) -> None:
    with pytest.raises(NoChart, match=r"chart other 1\.2\.3: .*connect to the network, or add a stand-in to the"):
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


def test_other_commands_of_the_handler_are_passed_to_helm(helm: Callable[..., Helm], tmp_path: Path) -> None:
    passing = helm()
    passing.run("uninstall", "istiod", "--namespace", "istio-system", cwd=tmp_path)
    passing.run("upgrade", "own", str(tmp_path), "--install", cwd=tmp_path)
    assert passing.calls() == [
        ["uninstall", "istiod", "--namespace", "istio-system"],
        ["upgrade", "own", str(tmp_path), "--install"],
    ]


def test_the_handler_gets_the_reason_for_a_missing_chart(helm: Callable[..., Helm], tmp_path: Path) -> None:
    done = helm(NOWHERE).run("upgrade", "r", "other", "--repo", "https://e.example", "--version", "1", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("helm: chart other 1: ")


@pytest.fixture
def module_chart(tmp_path: Path) -> BuiltChart:
    """A chart as Go's cache of modules holds it, with a Deployment and its service account."""
    folder = tmp_path / "module" / "charts" / "istiod"
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("{apiVersion: v2, name: istiod, version: 0.1.0}")
    (folder / "values.schema.json").write_text('{"properties": {"replicas": {"type": "integer"}}}')
    (folder / "templates" / "objects.yaml").write_text(
        "{apiVersion: v1, kind: ServiceAccount, metadata: {name: a, namespace: {{ .Release.Namespace }}}}\n"
        "---\n{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, "
        "spec: {replicas: {{ .Values.replicas }}, paused: {{ .Values.paused }}}}"
    )
    for file in folder.rglob("*.*"):
        file.chmod(0o444)
    return BuiltChart(folder, "example.test/istio@v1.2.3", {"replicas": 1}, "there")


def written(folder: Path, **charts: dict[str, Any]) -> Path:
    """The file of charts whose programs are built."""
    file = folder / "built.json"
    file.write_text(json.dumps(charts))
    return file


def test_a_chart_whose_programs_run_comes_from_its_module_with_overriding_values(
    helm: Callable[..., Helm], tmp_path: Path, module_chart: BuiltChart
) -> None:
    offline, listed = helm(NOWHERE), of_list("istiod")
    chart = {"folder": str(module_chart.folder), "source": module_chart.source, "values": {"replicas": 1}}
    place = replace(offline.charts, built=written(tmp_path, istiod=chart)).put(listed, tmp_path / "charts")
    assert offline.calls() == []
    assert sorted(path.name for path in place.iterdir()) == [
        "Chart.yaml",
        "rehearsal-values.json",
        "templates",
        "values.schema.json",
    ]
    assert stand_ins(tmp_path / "notes") == []
    assert built(tmp_path / "notes") == [f"Helm chart istiod {listed.version}: example.test/istio@v1.2.3"]
    assert offline.run("upgrade", "istiod", str(place), "--values", "own.yaml", cwd=tmp_path).returncode == 0
    assert offline.calls()[-1][-4:] == ["--values", "own.yaml", "--values", str(place / "rehearsal-values.json")]


def test_a_chart_whose_programs_are_not_built_is_replaced_with_that_reason(
    helm: Callable[..., Helm], tmp_path: Path
) -> None:
    built_file = written(tmp_path, istiod={"reason": "registry.test/pilot:1: not built"})
    replace(helm(NOWHERE).charts, built=built_file).put(of_list("istiod"), tmp_path / "charts")
    assert built(tmp_path / "notes") == []
    assert stand_ins(tmp_path / "notes")[0].endswith("no such host; registry.test/pilot:1: not built")


def test_an_add_on_of_a_chart_has_its_configuration_and_the_role_of_its_service_account(
    module_chart: BuiltChart,
) -> None:
    account, deployment = add_ons.rendered(
        module_chart, "names", configuration='{"replicas": 3, "paused": true}', role="arn:role"
    )
    assert account["metadata"] == {
        "name": "a",
        "namespace": "there",
        "annotations": {"eks.amazonaws.com/role-arn": "arn:role"},
    }
    assert deployment["spec"] == {"replicas": 1, "paused": True}, "the values of the chart override the configuration"


def test_an_add_on_refuses_a_configuration_that_its_chart_refuses(module_chart: BuiltChart) -> None:
    wrong = BuiltChart(module_chart.folder, module_chart.source, {}, "there")
    with pytest.raises(KubernetesError, match=r"(?s)EKS add-on names: .*replicas"):
        add_ons.rendered(wrong, "names", configuration='{"replicas": "many"}')


def rendered(chart: str, folder: Path) -> list[dict[str, Any]]:
    STAND_INS.write_chart(chart, "1.0.0", folder / chart)
    helm = str(clients().helm)
    command = [helm, "template", "release", str(folder / chart), "--namespace", "there", "--set", "any.value=1"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [found for found in yaml.safe_load_all(text) if found]


@pytest.mark.parametrize("chart", sorted(chart.name for chart in CATALOG.helm_charts))
def test_every_chart_of_the_list_has_a_stand_in_with_its_definitions(chart: str, tmp_path: Path) -> None:
    found = rendered(chart, tmp_path)
    definitions = [item["spec"] for item in found if item["kind"] == "CustomResourceDefinition"]
    expected = [item["spec"] for item in CATALOG.definitions(BRINGS[chart])] if chart in BRINGS else []
    assert sorted(definitions, key=str) == sorted(expected, key=str)
    assert found


def test_no_workload_of_a_stand_in_runs_anything(tmp_path: Path) -> None:
    workloads = [
        item for chart in CATALOG.helm_charts for item in rendered(chart.name, tmp_path) if "template" in item["spec"]
    ]
    assert len(workloads) == 5
    for item in workloads:
        selector = item["spec"]["template"]["spec"]["nodeSelector"]
        assert item["metadata"]["annotations"]["rehearsal.invalid/stands-for"]
        assert item["spec"].get("replicas") == 0 or selector == {"rehearsal.invalid/node": "none"}


def test_the_gateway_is_named_by_its_release(tmp_path: Path) -> None:
    named = {(item["kind"], item["metadata"]["name"]) for item in rendered("gateway", tmp_path)}
    assert named == {("Deployment", "release"), ("Service", "release")}


@pytest.mark.parametrize("name", APIS)
def test_stand_ins_of_add_ons_are_created_and_deleted(name: str) -> None:
    api = new_api(name)
    api.start(with_administrator(lambda token: None, "eks"))
    try:
        eks = client(api.create_cluster("test", MINOR), "eks")
        for objects in STAND_INS.add_ons.values():
            add_ons.install(eks, objects)
            add_ons.install(eks, objects)
            there = api.leftovers("test")
            for found in objects:
                if found["kind"] == "CustomResourceDefinition":
                    assert f"CustomResourceDefinition {found['metadata']['name']}" in there
            add_ons.remove(eks, objects)
            assert there
            assert api.leftovers("test") == []
        eks.close()
    finally:
        api.stop()
