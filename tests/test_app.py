import filecmp
import json
import shutil
from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk import aws_s3 as s3

from delivery.assembly import stacks_of
from delivery.health import CHECKS
from tests.assemblies import run_app

ROOT = Path(__file__).parents[1]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project with a user's own account files."""
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


@pytest.mark.promise("repeatable")
def test_one_account_alone_gets_the_templates_of_all_accounts_byte_by_byte(assembly: Path, tmp_path: Path) -> None:
    """A manual deployment and one by the pipeline are identical, regardless of the process that wrote the templates."""
    alone = tmp_path / "cdk.out"
    assert run_app(alone, accounts="dev", PYTHONHASHSEED="7").returncode == 0
    assert [path.name for path in alone.glob("assembly-*")] == ["assembly-dev"]
    written = [
        str(path.relative_to(assembly))
        for pattern in ("*.template.json", "*.assets.json")
        for path in (assembly / "assembly-dev").glob(pattern)
    ]
    assert len(written) >= 20
    _, different, unread = filecmp.cmpfiles(assembly, alone, written, shallow=False)
    assert (different, unread) == ([], [])


@pytest.mark.promise("account-file-checked")
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


@pytest.mark.promise("compliance")
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
