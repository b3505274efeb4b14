"""The components as Kubeflow Pipelines sees them: compiled, with one image, and run on this machine."""

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler, dsl, local

import mlplatform_components.components as library
from mlplatform_components import ComponentError, JobFailed, TimedOut
from mlplatform_components import spark_clusters as clusters
from mlplatform_components.components import Components
from tests.pipeline_components.conftest import no_time

IMAGE = "registry.example.org/pipeline-components:0.1.0"
README = Path(library.__file__).parents[2] / "README.md"


@pytest.fixture(scope="module")
def components() -> Components:
    return Components(image=IMAGE)


def compiled(component: Any, folder: Path) -> dict[str, Any]:
    compiler.Compiler().compile(component, str(folder / "compiled.yaml"))
    [whole, *_] = yaml.safe_load_all((folder / "compiled.yaml").read_text(encoding="utf-8"))
    found: dict[str, Any] = whole
    return found


@pytest.mark.promise("component-library", "components")
@pytest.mark.parametrize("name", Components.NAMES)
def test_a_component_compiles_to_one_step_in_the_image_of_the_library(
    components: Components, name: str, tmp_path: Path
) -> None:
    found = compiled(getattr(components, name), tmp_path)
    [executor] = found["deploymentSpec"]["executors"].values()
    assert executor["container"]["image"] == IMAGE
    assert "pip install" not in " ".join(executor["container"]["command"])


def test_every_component_is_listed_and_explained_in_the_readme() -> None:
    functions = {
        name
        for name, value in vars(library).items()
        if inspect.isfunction(value) and value.__module__ == library.__name__
    }
    assert sorted(functions) == sorted(Components.NAMES)
    readme = README.read_text(encoding="utf-8")
    assert [name for name in Components.NAMES if f"`{name}`" not in readme] == []


@pytest.mark.parametrize("name", Components.NAMES)
def test_a_component_explains_its_arguments(name: str) -> None:
    function = getattr(library, name)
    text = inspect.getdoc(function) or ""
    assert [each for each in inspect.signature(function).parameters if f":param {each}:" not in text] == []


@pytest.mark.parametrize("name", Components.NAMES)
def test_the_source_of_a_component_needs_no_name_from_outside(name: str) -> None:
    """It is stored in the compiled pipeline and runs alone."""
    [function] = ast.parse(inspect.getsource(getattr(library, name))).body
    assert isinstance(function, ast.FunctionDef)
    own = {
        alias.asname or alias.name
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom | ast.Import)
        for alias in node.names
    }
    own |= {argument.arg for argument in function.args.args}
    own |= {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    used = {node.id for line in function.body for node in ast.walk(line) if isinstance(node, ast.Name)}
    assert used - own - {"tuple", "str", "int"} == set()


@pytest.mark.promise("component-library", "emr-steps")
def test_a_cluster_is_created_used_and_deleted_by_steps_on_this_machine(
    components: Components, tmp_path: Path, emulator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "prepare.py"
    program.write_text(f"import sys, pathlib; pathlib.Path({str(tmp_path / 'made')!r}).write_text(sys.argv[1])")

    @dsl.pipeline(name="prepare")  # type: ignore[untyped-decorator]
    def prepare(cluster: dict, program: dict) -> None:  # type: ignore[type-arg]
        run = dsl.PIPELINE_JOB_ID_PLACEHOLDER
        created = components.create_emr_cluster(cluster=cluster, run=run)
        submitted = components.submit_emr_step(cluster=created.output, program=program)
        components.delete_emr_cluster(cluster=cluster, run=run).after(submitted).ignore_upstream_failure()

    _run_locally(tmp_path, emulator, monkeypatch)
    prepare(cluster={"service": "local"}, program={"name": "prepare", "program": str(program), "arguments": ["done"]})
    assert (tmp_path / "made").read_text(encoding="utf-8") == "done"


def _run_locally(folder: Path, emulator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", emulator)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "111111111111")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(folder / "outputs"))


@pytest.mark.promise("emr-steps")
def test_a_cluster_is_deleted_by_the_steps_of_its_run_alone(aws: Callable[[str], Any]) -> None:
    emr = aws("emr")
    values = {
        "service": "emr",
        "name": "prepare",
        "release": "emr-7.10.0",
        "primary": {"instance_types": ["m6i.xlarge"], "on_demand": 1},
        "core": {"instance_types": ["r6i.2xlarge"], "spot": 2.0},  # as Kubeflow Pipelines passes numbers
        "subnet_ids": ["subnet-1"],
        "service_role": "emr-service",
        "instance_profile": "emr-instances",
        "log_uri": "s3://logs/emr/",
    }
    first = clusters.create(emr, values, "run-1", no_time())
    second = clusters.create(emr, values, "run-2", no_time())
    assert clusters.delete(emr, values, "run-1", no_time()) == [first]
    assert clusters.delete(emr, values, "run-2", no_time()) == [second]


def test_a_program_that_fails_on_this_machine_is_reported_with_its_last_lines(tmp_path: Path) -> None:
    program = tmp_path / "prepare.py"
    program.write_text("raise SystemExit('no such column')", encoding="utf-8")
    with pytest.raises(JobFailed, match="ended with status 1:\nno such column"):
        clusters.submit(None, "local", {"name": "p", "program": str(program)}, no_time())


def test_a_program_that_takes_too_long_on_this_machine_is_ended(tmp_path: Path) -> None:
    program = tmp_path / "prepare.py"
    program.write_text("import time; time.sleep(60)", encoding="utf-8")
    with pytest.raises(TimedOut, match="waited 0.2 s"):
        clusters.submit(None, "local", {"name": "p", "program": str(program)}, no_time(0.2))


@pytest.mark.parametrize(
    ("cluster", "run", "problem"),
    [
        ({"service": "yarn"}, "1", "service must be 'emr' or 'local', got 'yarn'"),
        ({"service": "local", "release": "emr-7.10.0"}, "1", "'release' has no meaning with service 'local'"),
        ({"service": "emr"}, "", "run is empty"),
        ({"service": "emr", "name": "p"}, "1", "cluster 'p-1': .*release"),
    ],
)
def test_refuses_a_cluster_that_cannot_be(cluster: dict[str, Any], run: str, problem: str) -> None:
    with pytest.raises(ComponentError, match=problem):
        clusters.spec_for_run(cluster, run)


def test_refuses_an_image_without_a_version() -> None:
    with pytest.raises(ComponentError, match="image must have a digest, or a tag other than latest"):
        Components(image="pipeline-components:latest")


def test_an_unknown_component_is_answered_with_those_that_exist(components: Components) -> None:
    with pytest.raises(AttributeError, match="there is no component 'train'; there are: create_emr_cluster"):
        _ = components.train
