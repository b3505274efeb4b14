"""The programs of the page on Kubeflow: the pipeline compiles, its start names arguments that the client takes, and the
grants are those of one team."""

import ast
import importlib.util
import inspect
import json
import re
import textwrap
from pathlib import Path

import pytest
import yaml
from aws_cdk.assertions import Template
from kfp import Client, compiler

from stacks.app import new_app
from stacks.stage import PlatformStage
from tests.account_files import DISPOSABLE, load

PAGE = Path(__file__).parents[2] / "docs" / "kubeflow.md"
PROGRAMS = re.findall(r"^ *```python\n(.*?)^ *```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
PIPELINE, START, _, GRANTS = (textwrap.dedent(program) for program in PROGRAMS)
TEAMS = """
[clusters.training.kubeflow]
deployment = "vanilla"
[people.ana]
email = "ana@example.com"
[teams.churn]
owner = "ana"
[teams.fraud]
owner = "ana"
"""


@pytest.mark.promise("components", "pipelines")
def test_the_python_function_of_the_page_compiles_to_a_step_with_a_parameter(tmp_path: Path) -> None:
    file = tmp_path / "train.py"
    file.write_text(PIPELINE, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("train", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    compiler.Compiler().compile(module.pipeline, str(tmp_path / "train.yaml"))
    found = yaml.safe_load((tmp_path / "train.yaml").read_text(encoding="utf-8"))
    (step,) = found["deploymentSpec"]["executors"].values()
    assert step["container"]["image"] == "python:3.12"
    assert found["root"]["inputDefinitions"]["parameters"]["depth"]["defaultValue"] == 3
    assert set(found["components"]["comp-train"]["outputDefinitions"]["artifacts"]) == {"model", "metrics"}


def test_the_start_of_the_page_names_arguments_of_the_client_and_of_the_pipeline() -> None:
    calls = [node for node in ast.walk(ast.parse(START)) if isinstance(node, ast.Call)]
    (start,) = (call for call in calls if isinstance(call.func, ast.Attribute))
    assert isinstance(start.func, ast.Attribute)
    taken = inspect.signature(getattr(Client, start.func.attr)).parameters
    given = {word.arg: word.value for word in start.keywords}
    assert set(given) <= set(taken)
    assert ast.literal_eval(given["arguments"]).keys() == {"depth"}


def test_the_grants_of_the_page_let_one_team_query_features_and_publish_its_model(tmp_path: Path) -> None:
    stage = PlatformStage(
        new_app(outdir=str(tmp_path / "cdk.out")), "mine", settings=load(tmp_path, DISPOSABLE + TEAMS)
    )
    exec(GRANTS, {"stages": {"mine": stage}})
    teams = Template.from_stack(stage.node.find_child("TrainingKubeflowTeams"))
    policies = {
        role["Ref"].removeprefix("Roles")[:5]: json.dumps(policy["Properties"]["PolicyDocument"])
        for policy in teams.find_resources("AWS::IAM::Policy").values()
        for role in policy["Properties"]["Roles"]
        if role["Ref"].startswith("Roles")
    }
    assert "athena:StartQueryExecution" in policies["churn"]
    assert "/churn/versions/*.json" in policies["churn"]
    assert "athena:" not in policies["fraud"]
    assert "/versions/" not in policies["fraud"]
