"""The programs of the page on Kubeflow: the pipeline compiles, and its start names arguments that the client takes."""

import ast
import importlib.util
import inspect
import re
import textwrap
from pathlib import Path

import pytest
import yaml
from kfp import Client, compiler

PAGE = Path(__file__).parents[2] / "docs" / "kubeflow.md"
PROGRAMS = re.findall(r"^ *```python\n(.*?)^ *```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
PIPELINE, START = (textwrap.dedent(program) for program in PROGRAMS[:2])


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
