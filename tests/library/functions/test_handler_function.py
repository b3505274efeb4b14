"""Functions of the library: their code is a few files, imported in Lambda by the names that they have here."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pymysql
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk.assertions import Match, Template

from mlplatform_constructs._functions.handler_function import LIBRARY, HandlerFunction, handler_name

FOLDERS = sorted(path.parent for path in LIBRARY.glob("_*/*_handler/index.py"))
GUARD = LIBRARY / "_clusters" / "teardown_guard_handler"
INSTALLED = """
import sys, aws_cdk as cdk
from mlplatform_constructs._functions.handler_function import LIBRARY, HandlerFunction
stack = cdk.Stack(cdk.App(outdir=sys.argv[1]), "Test")
folder = LIBRARY / "_clusters" / "teardown_guard_handler"
HandlerFunction(stack, "Function", folder=folder, description="A function", timeout=cdk.Duration.minutes(1))
stack.node.root.synth()
print(LIBRARY)
"""


def function(stack: cdk.Stack, folder: Path = GUARD, id: str = "Function", **arguments: Any) -> HandlerFunction:
    return HandlerFunction(
        stack, id, folder=folder, description="A function", timeout=cdk.Duration.minutes(1), **arguments
    )


def staged(assembly: Path) -> Path:
    """The folder that Lambda unpacks, of an assembly with one function."""
    assets = json.loads((assembly / "Test.assets.json").read_text())["files"].values()
    (path,) = (each["source"]["path"] for each in assets if each["source"]["packaging"] == "zip")
    return assembly / path


def synth(stack: cdk.Stack) -> Path:
    app = stack.node.root
    assert isinstance(app, cdk.App)
    return Path(app.synth().directory)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def stack(tmp_path: Path) -> cdk.Stack:
    """Without the compliance pack: these functions are for looking into."""
    app = cdk.App(outdir=str(tmp_path / "cdk.out"))
    return cdk.Stack(app, "Test", env=cdk.Environment(account="111111111111", region="eu-west-1"))


def test_handlers_are_found_next_to_their_constructs() -> None:
    assert GUARD in FOLDERS


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.name))
def test_lambda_imports_a_handler_without_anything_else_of_the_library(stack: cdk.Stack, folder: Path) -> None:
    function(stack, folder)
    code = staged(synth(stack))
    own = {path for path in files(folder) if "__pycache__" not in path}
    place = folder.relative_to(LIBRARY.parent)
    packages = {LIBRARY.name, f"{LIBRARY.name}/_functions", str(place.parent)}
    shared = {f"{LIBRARY.name}/_functions/custom_resource.py", *(f"{package}/__init__.py" for package in packages)}
    assert files(code) == shared | {f"{place}/{path}" for path in own}
    name = handler_name(folder).rpartition(".")[0]
    shutil.copytree(Path(pymysql.__file__).parent, code / "pymysql")  # what a handler may include
    program = (
        f"import sys; sys.path.insert(0, {str(code)!r}); import {name} as m; print(m.__file__, callable(m.handler))"
    )
    ran = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == [f"{code}/{name.replace('.', '/')}.py", "True"]


def test_an_installed_library_makes_the_same_asset_whatever_is_installed_around_it(
    stack: cdk.Stack, tmp_path: Path
) -> None:
    site = tmp_path / "site-packages"
    shutil.copytree(LIBRARY, site / LIBRARY.name, ignore=shutil.ignore_patterns("__pycache__"))
    (site / "another.py").touch()
    (site / LIBRARY.name / "_clusters" / "teardown_guard_handler" / "__pycache__").mkdir()
    (site / LIBRARY.name / "_clusters" / "teardown_guard_handler" / "__pycache__" / "index.pyc").touch()
    out = tmp_path / "installed"
    ran = subprocess.run(
        [sys.executable, "-c", INSTALLED, str(out)], capture_output=True, text=True, env={"PYTHONPATH": str(site)}
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == str(site / LIBRARY.name)
    function(stack)
    assert staged(out).name == staged(synth(stack)).name


def test_what_is_included_is_importable_by_its_own_name(stack: cdk.Stack) -> None:
    function(stack, include=[Path(pymysql.__file__).parent, LIBRARY / "_kubernetes" / "tokens.py"])
    code = staged(synth(stack))
    assert (code / "pymysql" / "connections.py").is_file()
    assert (code / "mlplatform_constructs" / "_kubernetes" / "tokens.py").is_file()
    assert not list(code.rglob("__pycache__"))


def test_role_and_log_of_a_function_are_next_to_it(stack: cdk.Stack) -> None:
    key = kms.Key(stack, "Key")
    function(
        stack,
        log_encryption_key=key,
        log_retention=logs.RetentionDays.ONE_YEAR,
        log_removal_policy=cdk.RemovalPolicy.RETAIN,
    )
    function(stack, id="Check")
    template = Template.from_stack(stack)
    names = {stack.get_logical_id(stack.node.find_child(id).node.default_child) for id in ("Log", "CheckLog")}  # type: ignore[arg-type]
    assert names == set(template.find_resources("AWS::Logs::LogGroup"))
    template.has_resource(
        "AWS::Logs::LogGroup",
        {"DeletionPolicy": "Retain", "Properties": {"RetentionInDays": 365, "KmsKeyId": Match.any_value()}},
    )
    template.has_resource(
        "AWS::Logs::LogGroup",
        {"DeletionPolicy": "Delete", "Properties": {"RetentionInDays": 30, "KmsKeyId": Match.absent()}},
    )
    template.resource_count_is("AWS::IAM::Role", 2)
    template.all_resources_properties("AWS::IAM::Role", {"ManagedPolicyArns": Match.absent()})
    template.all_resources_properties(
        "AWS::Lambda::Function",
        {"Runtime": "python3.14", "Architectures": ["arm64"], "LoggingConfig": Match.any_value()},
    )


def test_a_log_group_can_be_brought_along(stack: cdk.Stack) -> None:
    function(stack, log_group=logs.LogGroup(stack, "Events"))
    Template.from_stack(stack).resource_count_is("AWS::Logs::LogGroup", 1)


def test_a_function_in_a_vpc_has_a_security_group_of_its_own_that_nothing_enters(stack: cdk.Stack) -> None:
    function(stack, vpc=ec2.Vpc(stack, "Vpc", max_azs=2))
    template = Template.from_stack(stack)
    (group,) = template.find_resources("AWS::EC2::SecurityGroup").items()
    assert "SecurityGroupIngress" not in group[1]["Properties"]
    assert [rule["ToPort"] for rule in group[1]["Properties"]["SecurityGroupEgress"]] == [443]
    template.has_resource_properties(
        "AWS::Lambda::Function",
        {"VpcConfig": {"SecurityGroupIds": [{"Fn::GetAtt": [group[0], "GroupId"]}], "SubnetIds": Match.any_value()}},
    )
    template.has_resource_properties(
        "AWS::IAM::Policy",
        {
            "PolicyDocument": {
                "Statement": Match.array_with(
                    [
                        Match.object_like(
                            {
                                "Action": Match.array_with(["ec2:CreateNetworkInterface"]),
                                "Condition": {"StringEquals": {"aws:RequestedRegion": "eu-west-1"}},
                            }
                        )
                    ]
                )
            }
        },
    )


def test_a_function_outside_a_vpc_may_do_nothing_but_write_its_log(stack: cdk.Stack) -> None:
    function(stack)
    (policy,) = Template.from_stack(stack).find_resources("AWS::IAM::Policy").values()
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Action"] == ["logs:CreateLogStream", "logs:PutLogEvents"]
