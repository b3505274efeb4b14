"""Released packages are complete, reproducible, and work without other packages of this project."""

import json
import os
import re
import shutil
import subprocess
import tarfile
import tomllib
from email import message_from_bytes
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

import mlplatform_constructs
from delivery.errors import DeliveryError
from mlplatform_constructs import charts, kubeflow, serving
from releasing import wheels
from tests.releasing.clean_environment import CleanEnvironment

ROOT = Path(__file__).parents[2]
CONSTRUCTS, CLIENT = "mlplatform_constructs", "mlplatform_model_repository"
ADVISER, NOTEBOOK = "mlplatform_job_adviser", "mlplatform_notebook"
BATCH, COMPONENTS = "mlplatform_batch_serving", "mlplatform_pipeline_components"
PROJECTS = {
    CONSTRUCTS: ROOT / "constructs",
    CLIENT: ROOT / "distributions" / "model-repository",
    ADVISER: ROOT / "distributions" / "job-adviser",
    BATCH: ROOT / "distributions" / "batch-serving",
    COMPONENTS: ROOT / "distributions" / "pipeline-components",
    NOTEBOOK: ROOT / "distributions" / "notebook-client",
}


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `make wheel` fills. Finished files in the folder ``WHEELS`` are tested in its place."""
    if given := os.environ.get("WHEELS"):
        return ROOT / given
    folder = tmp_path_factory.mktemp("built") / "dist"
    wheels.build(folder)
    return folder


@pytest.fixture(scope="session")
def clean(built: Path, tmp_path_factory: pytest.TempPathFactory) -> CleanEnvironment:
    """The library, its extra for one Kubernetes minor, and what these ask for."""
    environment = CleanEnvironment(tmp_path_factory.mktemp("clean") / "venv")
    environment.install(wheel(built, CONSTRUCTS))
    environment.provide("mlplatform-constructs[kubernetes-1-35]")
    return environment


def wheel(built: Path, name: str) -> Path:
    (found,) = built.glob(f"{name}-*.whl")
    return found


def project(name: str) -> dict[str, Any]:
    text = (PROJECTS[name] / "pyproject.toml").read_text(encoding="utf-8")
    section: dict[str, Any] = tomllib.loads(text)["project"]
    return section


def test_the_same_sources_make_the_same_bytes_wherever_and_whenever(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a pipeline: copied, with other times and permissions, next to other files."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")  # of some other build
    for folder in wheels.DISTRIBUTIONS:
        shutil.copytree(ROOT / folder, tmp_path / folder, copy_function=shutil.copyfile)
    (tmp_path / ".gitignore").write_text("*.csv\n")
    again = wheels.build(tmp_path / "dist", root=tmp_path)
    assert [path.name for path in again] == sorted(path.name for path in built.iterdir())
    for path in again:
        assert path.read_bytes() == (built / path.name).read_bytes(), path.name


def test_every_distribution_has_a_wheel_and_a_source_archive_of_its_version(built: Path) -> None:
    expected = {
        f"{name}-{project(name)['version']}{end}" for name in PROJECTS for end in (".tar.gz", "-py3-none-any.whl")
    }
    assert {path.name for path in built.iterdir()} == expected


def test_the_wheel_of_the_library_holds_every_file_of_it_and_nothing_else(built: Path) -> None:
    sources = ROOT / "constructs" / "src"
    files = {str(path.relative_to(sources)) for path in sources.rglob("*") if path.is_file()}
    packed = {name for name in ZipFile(wheel(built, CONSTRUCTS)).namelist() if ".dist-info/" not in name}
    assert packed == {name for name in files if "__pycache__" not in name}
    assert {Path(name).suffix for name in packed} >= {".csv", ".pem", ".py", ".pyi", ".typed"}


@pytest.mark.parametrize("name", [ADVISER, BATCH, CLIENT, COMPONENTS, NOTEBOOK])
def test_the_wheel_of_a_client_holds_the_package_and_nothing_else(built: Path, name: str) -> None:
    packed = {name for name in ZipFile(wheel(built, name)).namelist() if ".dist-info/" not in name}
    folder = PROJECTS[name] / "src"
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert packed == {name for name in files if "__pycache__" not in name}


@pytest.mark.parametrize("name", PROJECTS)
def test_a_source_archive_holds_what_a_wheel_is_built_from(built: Path, name: str) -> None:
    (archive,) = built.glob(f"{name}-*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {member.partition("/")[2] for member in tar.getnames()}
    assert {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"} <= names
    assert not [each for each in names if "__pycache__" in each or each.startswith("tests")]


@pytest.mark.parametrize("name", PROJECTS)
def test_metadata_say_what_an_index_shows(built: Path, name: str) -> None:
    archive = ZipFile(wheel(built, name))
    (path,) = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
    metadata = message_from_bytes(archive.read(path))
    assert metadata["Version"] == project(name)["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", metadata["Version"])
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert str(metadata.get_payload()).startswith("# ")
    assert any(each.endswith("licenses/LICENSE") for each in archive.namelist())


@pytest.mark.parametrize("name", PROJECTS)
def test_a_dependency_has_the_version_of_the_tests_as_lower_bound_and_room_above(name: str) -> None:
    locked = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    lower = {each.lower(): version for each, version in locked.items()}
    lower |= {each.replace("_", "-"): project(each)["version"] for each in PROJECTS}
    section = project(name)
    extras = section.get("optional-dependencies", {}).values()
    for dependency in [*section["dependencies"], *(each for extra in extras for each in extra)]:
        package, bounds = re.split(r"(?=>=)", dependency)
        if package.replace("-", "_") in PROJECTS:  # it has the version of its own project file
            lower[package.lower()] = project(package.replace("-", "_"))["version"]
        assert re.fullmatch(rf">={re.escape(lower[package.lower()])}(\.0)*,<\d+", bounds), dependency


def test_the_licence_is_the_same_everywhere() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert text.strip().startswith("Apache License\n")
    assert all((folder / "LICENSE").read_text(encoding="utf-8") == text for folder in PROJECTS.values())


@pytest.mark.parametrize("name", PROJECTS)
def test_the_changelog_tells_of_this_version_first(name: str) -> None:
    changelog = (PROJECTS[name] / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## (.+)$", changelog, re.MULTILINE)
    assert versions[0] == project(name)["version"]
    assert versions == sorted(versions, key=lambda each: tuple(map(int, each.split("."))), reverse=True)
    kinds = set(re.findall(r"^### (.+)$", changelog, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed"}


def test_the_environment_has_only_declared_dependencies(clean: CleanEnvironment) -> None:
    ours = ["charts", "config", "delivery", "job_adviser", "model_repository", "rehearsal", "stacks"]
    undeclared = ["boto3", "cdk8s", "cdk_nag", "pytest"]
    find = f"from importlib.util import find_spec; print([name for name in {ours + undeclared} if find_spec(name)])"
    assert clean.run("-c", find).stdout == "[]\n"


def test_every_public_name_is_imported_from_the_wheel(clean: CleanEnvironment) -> None:
    program = (
        "import json, mlplatform_constructs as library;"
        "print(json.dumps([library.__file__, [getattr(library, name).__name__ for name in library.__all__]]))"
    )
    file, names = json.loads(clean.run("-c", program).stdout)
    assert Path(file).is_relative_to(clean.packages)
    assert names == list(mlplatform_constructs.__all__)


def test_every_example_of_the_readme_synthesizes_from_the_wheel(clean: CleanEnvironment, built: Path) -> None:
    readme = message_from_bytes(_metadata(wheel(built, CONSTRUCTS))).get_payload()
    examples = {
        heading: "\n".join(re.findall(r"```python\n(.*?)```", section, re.DOTALL))
        for heading, section in re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", str(readme), re.DOTALL | re.MULTILINE)
    }
    of_the_charts_extra = {name for name in [*charts.__all__, "ModelServer"] if name in examples}
    of_the_adviser_extra = {"AdviserInput", "JobAdviser"}
    assert examples.keys() >= of_the_adviser_extra
    others = of_the_charts_extra | of_the_adviser_extra
    examples = {name: example for name, example in examples.items() if name not in others}
    of_packages = {name for name in [*kubeflow.__all__, *serving.__all__] if name in examples}
    assert set(examples) | of_the_adviser_extra == {*mlplatform_constructs.__all__, *of_packages}
    flags = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    (clean.folder / "examples.json").write_text(json.dumps({"examples": examples, "flags": flags}))
    (clean.folder / "examples.py").write_text(SYNTHESIZE)
    ran = clean.run("examples.py", check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == f"{len(examples)} examples"


SYNTHESIZE = """
import json
import tempfile

import aws_cdk as cdk

given = json.load(open("examples.json"))
for heading, example in given["examples"].items():
    with tempfile.TemporaryDirectory() as folder:
        app = cdk.App(context=given["flags"], outdir=folder)
        env = cdk.Environment(account="111111111111", region="eu-west-1")
        exec(example, {"app": app, "stack": cdk.Stack(app, "Test", env=env)})
        app.synth()
print(len(given["examples"]), "examples")
"""


def test_the_client_runs_as_a_program_of_its_own(built: Path, tmp_path: Path) -> None:
    environment = CleanEnvironment(tmp_path / "venv")
    environment.install(wheel(built, CLIENT))
    environment.provide("mlplatform-model-repository")
    program = tmp_path / "venv" / "bin" / "model-repository"
    asked = subprocess.run([program, "check", "nowhere"], cwd=tmp_path, capture_output=True, text=True)
    assert asked.returncode == 1
    assert "nowhere" in asked.stderr
    assert "Traceback" not in asked.stderr
    assert environment.run("-c", "from model_repository.schema import schema; print(schema()['$schema'])").stdout


def test_a_build_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "constructs").mkdir()
    (tmp_path / "constructs" / "pyproject.toml").write_text("[project]\nname = 3\n")
    with pytest.raises(DeliveryError, match="constructs: cannot be built\n.*"):
        wheels.build(tmp_path / "dist", root=tmp_path)


def _metadata(path: Path) -> bytes:
    archive = ZipFile(path)
    (name,) = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
    return archive.read(name)
