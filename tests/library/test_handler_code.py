import json
import subprocess
import sys
from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk import aws_lambda as lambda_

from mlplatform_constructs._handler_code import LIBRARY, SHARED, handler_code

HANDLERS = ["certificate_records", "directory_connector", "kubernetes_objects", "teardown_guard"]


def staged(stack: cdk.Stack, name: str) -> Path:
    """The folder that Lambda unpacks."""
    lambda_.Function(
        stack,
        "Function",
        code=handler_code(name),
        handler=f"handlers.{name}.index.handler",
        runtime=lambda_.Runtime.PYTHON_3_14,
    )
    app = stack.node.root
    assert isinstance(app, cdk.App)
    assembly = Path(app.synth().directory)
    (asset,) = (
        each
        for each in json.loads((assembly / "Test.assets.json").read_text())["files"].values()
        if each["source"]["packaging"] == "zip"
    )
    return assembly / asset["source"]["path"]


@pytest.fixture
def stack(tmp_path: Path) -> cdk.Stack:
    """Without the compliance pack: these functions are for looking into."""
    app = cdk.App(outdir=str(tmp_path / "cdk.out"))
    return cdk.Stack(app, "Test", env=cdk.Environment(account="111111111111", region="eu-west-1"))


@pytest.mark.parametrize("name", HANDLERS)
def test_an_asset_holds_one_handler_and_what_all_share(stack: cdk.Stack, name: str) -> None:
    folder = staged(stack, name)
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    own = {str(path.relative_to(LIBRARY)) for path in (LIBRARY / "handlers" / name).glob("*.py")}
    assert files == {*SHARED, *own}


@pytest.mark.parametrize("name", HANDLERS)
def test_lambda_imports_it_beside_nothing_of_the_library(stack: cdk.Stack, name: str) -> None:
    folder = staged(stack, name)
    program = (
        f"import sys; sys.path.insert(0, {str(folder)!r});"
        f"from handlers.{name}.index import handler; print(sorted(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "mlplatform_constructs" not in ran.stdout
