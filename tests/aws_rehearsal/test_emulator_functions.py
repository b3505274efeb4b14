"""Functions run as on Lambda: their own role, the tools of their layers, the SDK that Lambda gives."""

import contextlib
import io
import json
import zipfile
from typing import Any

import pytest

ROLE = "arn:aws:iam::000000000000:role/worker"
WHO = """
import boto3
def handler(event, context):
    return boto3.client("sts").get_caller_identity()["Arn"]
"""
TOOLS = """
import os, subprocess
def handler(event, context):
    # What CDK's kubectl handler does before it calls its tools.
    os.environ["PATH"] = "/opt/kubectl:/opt/awscli:" + os.environ["PATH"]
    run = lambda *command: subprocess.check_output(command, text=True).strip()
    return [run("kubectl"), run("helm", "version"), run("aws", "eks"), os.environ["TEST_OUTDIR"]]
"""
SDK = """
const { SFNClient, ListStateMachinesCommand } = require("@aws-sdk/client-sfn");
exports.handler = async () => {
  const answer = await new SFNClient({}).send(new ListStateMachinesCommand({}));
  return Array.isArray(answer.stateMachines);
};
"""


def archive(**files: str) -> bytes:
    """A zip file; underscores in names stand for slashes, and programs are executable."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as zipped:
        for name, text in files.items():
            item = zipfile.ZipInfo(name.replace("__", "/"))
            item.external_attr = 0o755 << 16
            zipped.writestr(item, text)
    return content.getvalue()


def call(cloud: Any, name: str, runtime: str, code: bytes, layers: list[str] | None = None) -> Any:
    _ensure_role(cloud)
    client = cloud.client("lambda")
    client.create_function(
        FunctionName=name,
        Runtime=runtime,
        Role=ROLE,
        Handler="index.handler",
        Code={"ZipFile": code},
        Layers=layers or [],
        Timeout=60,
    )
    answer = client.invoke(FunctionName=name)
    payload = json.load(answer["Payload"])
    assert "FunctionError" not in answer, payload
    return payload


def _ensure_role(cloud: Any) -> None:
    iam = cloud.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName="worker", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
    listing = {"Effect": "Allow", "Action": "states:ListStateMachines", "Resource": "*"}
    iam.put_role_policy(RoleName="worker", PolicyName="List", PolicyDocument=json.dumps({"Statement": [listing]}))


@pytest.fixture
def tool_layer(cloud: Any) -> str:
    """A layer with programs, as CDK's layers for kubectl and the AWS CLI have them."""
    content = archive(
        kubectl__kubectl="#!/bin/sh\necho kubectl of the layer\n",
        helm__helm='#!/bin/sh\necho "helm $1"\n',
        awscli__aws="#!/var/lang/bin/python\nimport sys\nprint('aws', sys.argv[1], sys.version_info >= (3, 11))\n",
    )
    layer: str = cloud.client("lambda").publish_layer_version(LayerName="tools", Content={"ZipFile": content})[
        "LayerVersionArn"
    ]
    return layer


def test_a_function_calls_with_its_own_role(cloud: Any) -> None:
    caller = call(cloud, "who", "python3.13", archive(**{"index.py": WHO}))
    assert caller == "arn:aws:sts::000000000000:assumed-role/worker/who"


def test_the_programs_of_layers_are_on_the_path_and_each_worker_has_a_folder_of_its_own(
    cloud: Any, tool_layer: str
) -> None:
    code = archive(**{"index.py": TOOLS})
    *first, folder = call(cloud, "tools", "python3.13", code, [tool_layer])
    assert first == ["kubectl of the layer", "helm version", "aws eks True"]
    *second, other_folder = call(cloud, "other", "python3.13", code, [tool_layer])
    assert second == first
    assert folder != other_folder


def test_a_layer_with_libraries_is_used_as_libraries(cloud: Any) -> None:
    content = archive(**{"python/greeting.py": "TEXT = 'hello'\n", "bin/tool": "#!/bin/sh\necho tool\n"})
    layer = cloud.client("lambda").publish_layer_version(LayerName="libraries", Content={"ZipFile": content})
    code = "import greeting, subprocess\ndef handler(e, c):\n    return [greeting.TEXT, subprocess.getoutput('tool')]\n"
    answer = call(cloud, "library", "python3.13", archive(**{"index.py": code}), [layer["LayerVersionArn"]])
    assert answer == ["hello", "tool"]


def test_a_javascript_function_has_the_aws_sdk(cloud: Any) -> None:
    assert call(cloud, "sdk", "nodejs22.x", archive(**{"index.js": SDK})) is True
