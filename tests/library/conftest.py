"""An AWS emulator on loopback, for code that calls it."""

import io
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import boto3
import pytest

START_SECONDS = 60


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an emulator that lives as long as the tests."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("emulator")
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_ACCOUNT_ID": "111111111111",  # of requests without credentials, such as those to an HTTP API
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "SFN_WAIT_SCALE": "0",
    }
    url = f"http://127.0.0.1:{port}"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "ministack"], env=environment, stdout=log, stderr=log)
        try:
            _wait_until_healthy(url, process, folder / "log")
            yield url
        finally:
            process.terminate()
            process.wait(timeout=30)


@pytest.fixture(scope="session")
def aws(emulator: str) -> Callable[[str], Any]:
    """``aws("s3")`` is a boto3 client of the AWS emulator, in the account and region of the ``stack`` fixture."""
    session = boto3.Session(aws_access_key_id="111111111111", aws_secret_access_key="test", region_name="eu-west-1")
    return lambda service: session.client(service, endpoint_url=emulator)


@pytest.fixture
def deploy(app: cdk.App, stack: cdk.Stack, aws: Callable[[str], Any]) -> Iterator[Callable[[], dict[str, str]]]:
    """``deploy()`` creates the ``stack`` fixture's stack in the AWS emulator; it is deleted after the test.

    Returns the physical id of each resource, by logical id.
    """
    cloudformation = aws("cloudformation")

    def create() -> dict[str, str]:
        url = _publish(Path(app.synth().directory), stack.template_file, aws)
        cloudformation.create_stack(StackName=stack.stack_name, TemplateURL=url, Capabilities=["CAPABILITY_IAM"])
        cloudformation.get_waiter("stack_create_complete").wait(
            StackName=stack.stack_name, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
        )
        resources = cloudformation.describe_stack_resources(StackName=stack.stack_name)["StackResources"]
        return {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}

    yield create
    cloudformation.delete_stack(StackName=stack.stack_name)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack.stack_name, WaiterConfig={"Delay": 1})


def _publish(assembly: Path, template: str, aws: Callable[[str], Any]) -> str:
    """Upload a template and its assets as `cdk deploy` does; returns the template's address.

    All tests of a session share the bucket, because the templates name it.
    """
    s3, assets = aws("s3"), "cdk-hnb659fds-assets-111111111111-eu-west-1"
    with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=assets, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    aws("ssm").put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String", Overwrite=True)
    for folder in assembly.glob("asset.*"):
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            for path in folder.rglob("*"):
                file.write(path, path.relative_to(folder))
        s3.put_object(Bucket=assets, Key=f"{folder.name.removeprefix('asset.')}.zip", Body=archive.getvalue())
    s3.upload_file(str(assembly / template), assets, template)
    return f"https://s3.amazonaws.com/{assets}/{template}"


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/_ministack/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"the emulator did not start:\n{log.read_text()}")
