"""`app.py` with its pipeline, in copies of the project that have one account to deliver."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aws_cdk as cdk
import pytest

from config.loader import ConfigError
from stacks.tools.delivery import add_delivery
from tests.assemblies import run_app

ROOT = Path(__file__).parents[1]
SOURCES = ("charts", "config", "constructs", "stacks")
LARGEST_ARTIFACT_BYTES = 256 * 1024**2
"""What CloudFormation takes from CodePipeline. https://docs.aws.amazon.com/codepipeline/latest/userguide/limits.html"""

WAVES = """
[[waves]]
name = "Development"
accounts = ["dev"]
bake_minutes = 15
"""


def copy_of_the_project(folder: Path) -> Path:
    """The sources in another place, with a pipeline that delivers ``dev``."""
    for name in SOURCES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("app.py", "cdk.json", "package.json"):
        shutil.copy(ROOT / name, folder / name)
    for path in (folder / "config" / "accounts").glob("*.toml"):
        if path.stem != "dev":
            path.unlink()
    delivery = folder / "config" / "delivery.toml"
    head = delivery.read_text(encoding="utf-8").partition("[[waves]]")[0]
    delivery.write_text(head + WAVES, encoding="utf-8")
    return folder


def synthesize(project: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python app.py` in a copy, without access to this checkout or to an AWS account."""
    own = {"PYTHONPATH": str(project / "constructs" / "src")}
    return run_app(project / "cdk.out", folder=project, **own | environment)


def written(project: Path) -> dict[str, bytes]:
    """What is deployed or run: templates, lists of assets, build specifications. By path in the assembly."""
    return {str(path.relative_to(project)): path.read_bytes() for path in sorted(_deployed(project / "cdk.out"))}


def _deployed(assembly: Path) -> Iterator[Path]:
    for pattern in ("*.template.json", "*.assets.json", "buildspec-*"):
        yield from assembly.rglob(pattern)


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, synthesized with its pipeline."""
    project = copy_of_the_project(tmp_path_factory.mktemp("laptop") / "ml-platform")
    result = synthesize(project)
    assert result.returncode == 0, result.stderr
    return project


@pytest.mark.promise("repeatable")
def test_a_second_run_of_the_same_commit_changes_nothing(delivered: Path, tmp_path: Path) -> None:
    """In another folder and another machine's environment, the pipeline is the same byte for byte."""
    elsewhere = copy_of_the_project(tmp_path / "codebuild" / "output" / "src123" / "src")
    result = synthesize(
        elsewhere,
        CODEBUILD_BUILD_ID="build:2",
        CODEBUILD_RESOLVED_SOURCE_VERSION="0123456789abcdef",
        PYTHONHASHSEED="7",
        TZ="Pacific/Auckland",
    )
    assert result.returncode == 0, result.stderr
    first, second = written(delivered), written(elsewhere)
    assert "cdk.out/Pipeline.template.json" in first
    assert first == second


def test_nothing_that_is_run_names_a_folder_of_the_machine_that_wrote_it(delivered: Path) -> None:
    for name, content in written(delivered).items():
        assert str(delivered).encode() not in content, name


def test_the_pipeline_is_looked_up_nowhere_and_fits_into_an_artifact(delivered: Path) -> None:
    assembly = delivered / "cdk.out"
    assert '"missing"' not in (assembly / "manifest.json").read_text(encoding="utf-8")
    assert sum(path.stat().st_size for path in assembly.rglob("*") if path.is_file()) < LARGEST_ARTIFACT_BYTES


def test_mistakes_of_the_file_are_reported_before_anything_of_the_pipeline_is_made(
    app: cdk.App, tmp_path: Path
) -> None:
    file = tmp_path / "delivery.toml"
    shipped = (ROOT / "config" / "delivery.toml").read_text(encoding="utf-8")
    file.write_text(shipped.replace('["dev"]', '["dve"]'), encoding="utf-8")
    with pytest.raises(ConfigError, match="waves.0.accounts.0: no account file 'dve'; there are: dev, prod, staging"):
        add_delivery(app, accounts={}, stages={}, file=file)
    assert not app.node.children


def test_without_the_file_there_is_no_pipeline(app: cdk.App, tmp_path: Path) -> None:
    assert add_delivery(app, accounts={}, stages={}, file=tmp_path / "delivery.toml") is None
    assert not app.node.children
