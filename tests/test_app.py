import filecmp
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk import aws_s3 as s3

from delivery.assembly import stacks_of
from delivery.health import CHECKS

ROOT = Path(__file__).parents[1]


def run_app(outdir: Path, *, accounts: str = "", folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`python app.py` as the CDK CLI starts it, without AWS credentials, profile or region."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"CDK_OUTDIR": str(outdir), "AWS_EC2_METADATA_DISABLED": "true", "HOME": str(outdir.parent)}
    context = f'{{"accounts": "{accounts}"}}' if accounts else "{}"
    return subprocess.run(
        [sys.executable, "app.py"],
        cwd=folder or ROOT,
        env=environment | {"CDK_CONTEXT_JSON": context},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All accounts, synthesized once."""
    outdir = tmp_path_factory.mktemp("app") / "cdk.out"
    result = run_app(outdir)
    assert result.returncode == 0, result.stderr
    return outdir


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project as a user has it, with account files of their own."""
    for name in ("app.py", "cdk.json"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("charts", "config", "stacks"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.toml", "__pycache__"))
    for path in (ROOT / "charts").glob("*.toml"):
        shutil.copy(path, tmp_path / "charts" / path.name)
    (tmp_path / "config" / "accounts").mkdir(exist_ok=True)
    return tmp_path


def test_synthesis_needs_no_credentials_and_makes_a_stage_for_each_account_and_for_tools(assembly: Path) -> None:
    assert {path.name for path in assembly.glob("assembly-*")} == {
        f"assembly-{name}" for name in ("dev", "local", "prod", "staging", "tools")
    }
    assert (assembly / "Pipeline.template.json").exists()


def test_nothing_is_looked_up(assembly: Path) -> None:
    """A lookup would leave a `missing` entry, and would need credentials at the next run."""
    for manifest in assembly.rglob("manifest.json"):
        assert '"missing"' not in manifest.read_text(encoding="utf-8")


def test_every_check_of_the_smoke_test_meets_a_resource_of_the_platform(assembly: Path) -> None:
    deployed = {each["Type"] for stack in stacks_of("prod", assembly) for each in stack.resources(*CHECKS).values()}
    assert deployed == set(CHECKS)


def test_the_page_on_delivery_counts_what_the_shipped_pipeline_does(assembly: Path) -> None:
    template = json.loads((assembly / "Pipeline.template.json").read_text(encoding="utf-8"))
    (pipeline,) = (each for each in template["Resources"].values() if each["Type"] == "AWS::CodePipeline::Pipeline")
    stages = pipeline["Properties"]["Stages"]
    counted = f"{sum(len(stage['Actions']) for stage in stages)} actions in {len(stages)} stages"
    assert f"The shipped file makes {counted}:" in (ROOT / "docs" / "delivery.md").read_text(encoding="utf-8")


def test_two_syntheses_are_byte_equal(assembly: Path, tmp_path: Path) -> None:
    """Row 168."""
    again = tmp_path / "cdk.out"
    assert run_app(again).returncode == 0
    templates = sorted(path.relative_to(assembly) for path in assembly.rglob("*.template.json"))
    _, different, unread = filecmp.cmpfiles(assembly, again, [str(path) for path in templates], shallow=False)
    assert templates
    assert (different, unread) == ([], [])


def test_one_account_can_be_synthesized_alone(tmp_path: Path) -> None:
    assert run_app(tmp_path / "cdk.out", accounts="dev").returncode == 0
    assert [path.name for path in (tmp_path / "cdk.out").glob("assembly-*")] == ["assembly-dev"]


def test_a_wrong_account_ends_the_run_with_its_mistake_and_no_traceback(tmp_path: Path) -> None:
    result = run_app(tmp_path / "cdk.out", accounts="dve")
    assert result.returncode == 1
    assert result.stderr == "config/accounts/dve.toml: no such account; there are: dev, local, prod, staging\n"


def test_what_a_construct_refuses_ends_the_run_with_its_one_line_and_no_traceback(project: Path) -> None:
    small = project / "config" / "accounts" / "small.toml"
    small.write_text(
        """
        account = "012345678901"
        region = "eu-west-1"
        [network]
        cidr = "10.0.0.0/21"
        availability_zones = ["eu-west-1a", "eu-west-1b"]
        [clusters.training.node_groups.cpu]
        max_per_zone = 400
        """,
        encoding="utf-8",
    )
    result = run_app(project / "cdk.out", folder=project)
    assert result.returncode == 1
    assert result.stderr.startswith("small/TrainingCluster/Cluster: ")
    assert "Traceback" not in result.stderr


def test_a_policy_violation_fails_synthesis(app: cdk.App, stack: cdk.Stack) -> None:
    s3.Bucket(stack, "Open")
    with pytest.raises(RuntimeError, match="AwsSolutions-S10"):
        app.synth()


def test_every_alarm_of_an_account_reaches_its_topic(assembly: Path) -> None:
    resources = [
        (path.name, id, resource)
        for path in (assembly / "assembly-dev").glob("*.template.json")
        for id, resource in json.loads(path.read_text(encoding="utf-8"))["Resources"].items()
    ]
    alarms = [found for found in resources if found[2]["Type"] == "AWS::CloudWatch::Alarm"]
    topics = [id for _, id, resource in resources if resource["Type"] == "AWS::SNS::Topic" and id.startswith("Alarms")]
    assert len(alarms) > 10
    assert len(topics) == 1
    silent = [
        (stack, id) for stack, id, alarm in alarms if topics[0] not in str(alarm["Properties"].get("AlarmActions"))
    ]
    assert silent == []
