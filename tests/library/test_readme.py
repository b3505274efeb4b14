import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import aws_cdk as cdk
import pytest

from tests.compliance import assert_complies

README = (Path(__file__).parents[2] / "constructs" / "README.md").read_text(encoding="utf-8")
EXAMPLES = {
    heading: "\n".join(re.findall(r"```python\n(.*?)```", section, re.DOTALL))
    for heading, section in re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", README, re.DOTALL | re.MULTILINE)
}


@pytest.mark.parametrize("heading", EXAMPLES)
def test_every_example_runs_and_synthesizes(heading: str, app: cdk.App, stack: cdk.Stack) -> None:
    exec(EXAMPLES[heading], {"app": app, "stack": stack})
    assert_complies(app)


def test_the_first_program_synthesizes_with_its_own_settings(tmp_path: Path) -> None:
    """As a newcomer runs it: two files in an empty folder, no credentials."""
    section = README.partition("## A first program\n")[2].partition("\n## ")[0]
    for name, language in (("app.py", "python"), ("cdk.json", "json")):
        (text,) = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
        (tmp_path / name).write_text(text)
    command = shlex.split(json.loads((tmp_path / "cdk.json").read_text())["app"])
    assert command[0] == "python"
    environment = {**os.environ, "CDK_OUTDIR": str(tmp_path / "cdk.out"), "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, *command[1:]], cwd=tmp_path, env=environment, check=True)
    manifest = json.loads((tmp_path / "cdk.out" / "manifest.json").read_text())
    assert "missing" not in manifest
    assert "MachineLearning" in manifest["artifacts"]


def test_every_construct_has_an_example() -> None:
    assert not [heading for heading, example in EXAMPLES.items() if not example]
