"""The AWS emulator for tests of our extensions: started once, with one stack for each test."""

import hashlib
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from aws_rehearsal.emulator.names import EMULATED_ACCOUNT
from rehearsal.embedded_aws import EmbeddedAws
from rehearsal.run import exclusive_run

Template = dict[str, Any]
_TEMPLATE_BODY_BYTES = 51_200
"""A longer template goes through a bucket."""


class StackFailed(Exception):
    """The reasons of a failed operation, as CloudFormation reports them."""


class Cloud:
    """One stack in the AWS emulator."""

    def __init__(self, aws: EmbeddedAws, stack: str) -> None:
        self.aws = aws
        self.stack = stack

    def client(self, service: str, region: str = "us-east-1") -> Any:
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.aws.url,
            aws_access_key_id=EMULATED_ACCOUNT,
            aws_secret_access_key="emulated",
        )

    def create(
        self, resources: Template, *, outputs: Template | None = None, region: str = "us-east-1"
    ) -> dict[str, str]:
        """Create the stack; its outputs by name."""
        return self._change("create_stack", resources, outputs or {}, region)

    def update(
        self, resources: Template, *, outputs: Template | None = None, region: str = "us-east-1"
    ) -> dict[str, str]:
        """Update the stack; its outputs by name."""
        return self._change("update_stack", resources, outputs or {}, region)

    def change(self, resources: Template, *, outputs: Template | None = None) -> dict[str, str]:
        """Update the stack by a change set, if that has changes; its outputs by name."""
        cloudformation = self.client("cloudformation")
        id = cloudformation.create_change_set(
            StackName=self.stack,
            ChangeSetName="change",
            ChangeSetType="UPDATE",
            Capabilities=["CAPABILITY_NAMED_IAM"],
            **self._template(self._body(resources, outputs or {})),
        )["StackId"]
        change_set = {"StackName": self.stack, "ChangeSetName": "change"}
        if cloudformation.describe_change_set(**change_set)["Status"] == "FAILED":
            cloudformation.delete_change_set(**change_set)
        else:
            cloudformation.execute_change_set(**change_set)
        return self._outputs(self._wait(id, "us-east-1"))

    def delete(self, region: str = "us-east-1") -> None:
        """Delete the stack."""
        cloudformation = self.client("cloudformation", region)
        id = cloudformation.describe_stacks(StackName=self.stack)["Stacks"][0]["StackId"]
        cloudformation.delete_stack(StackName=self.stack)
        self._wait(id, region)

    def ids(self, region: str = "us-east-1") -> dict[str, str]:
        """Physical ids by logical ids."""
        found = self.client("cloudformation", region).describe_stack_resources(StackName=self.stack)["StackResources"]
        return {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in found}

    def resources(self) -> set[tuple[str, ...]]:
        """Everything that there is in the whole emulator."""
        return {tuple(resource) for resource in self.aws.state()["resources"]}

    def _change(self, operation: str, resources: Template, outputs: Template, region: str) -> dict[str, str]:
        id = getattr(self.client("cloudformation", region), operation)(
            StackName=self.stack,
            Capabilities=["CAPABILITY_NAMED_IAM"],
            **self._template(self._body(resources, outputs)),
        )["StackId"]
        return self._outputs(self._wait(id, region))

    @staticmethod
    def _body(resources: Template, outputs: Template) -> str:
        """An output is its value, or has ``Value`` and other keys."""
        whole = {name: v if isinstance(v, dict) and "Value" in v else {"Value": v} for name, v in outputs.items()}
        return json.dumps({"Resources": resources, "Outputs": whole})

    @staticmethod
    def _outputs(stack: dict[str, Any]) -> dict[str, str]:
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    def _template(self, body: str) -> dict[str, str]:
        if len(body) <= _TEMPLATE_BODY_BYTES:
            return {"TemplateBody": body}
        self.client("s3").create_bucket(Bucket=f"{self.stack}-template")
        self.client("s3").put_object(Bucket=f"{self.stack}-template", Key="template", Body=body)
        return {"TemplateURL": f"{self.aws.url}/{self.stack}-template/template"}

    def _wait(self, id: str, region: str) -> dict[str, Any]:
        """The stack, once it is done. The answer is held back until then, so that asking costs nothing."""
        cloudformation = self.client("cloudformation", region)
        until = time.monotonic() + 60
        while (stack := cloudformation.describe_stacks(StackName=id)["Stacks"][0])["StackStatus"].endswith(
            "IN_PROGRESS"
        ):
            assert time.monotonic() < until, f"{self.stack} is still {stack['StackStatus']}"
        if "ROLLBACK" in stack["StackStatus"] or "FAILED" in stack["StackStatus"]:
            events = cloudformation.describe_stack_events(StackName=id)["StackEvents"]
            raise StackFailed(
                "\n".join(e["ResourceStatusReason"] for e in events if e["ResourceStatus"].endswith("FAILED"))
            )
        found: dict[str, Any] = stack
        return found


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAws]:
    """A running embedded AWS."""
    with exclusive_run(tmp_path_factory.mktemp("rehearsal")) as run, EmbeddedAws(run) as emulator:
        emulator.wait_until_healthy()
        yield emulator


@pytest.fixture
def cloud(aws: EmbeddedAws, request: pytest.FixtureRequest) -> Cloud:
    """A stack of the test's own."""
    name = re.sub(r"\W+|_", "-", request.node.name)[:40].strip("-")
    return Cloud(aws, f"{name}-{hashlib.sha256(request.node.name.encode()).hexdigest()[:6]}")


@pytest.fixture
def stack_failed() -> type[StackFailed]:
    """What a failed stack raises."""
    return StackFailed
