"""``python -m delivery.smoke ACCOUNT``: checks that an account's platform is fully deployed and healthy.

Checks every stack of the account, and the resources that report their state, with read-only access. It waits for
resources that are still starting. Remaining problems are printed, one line each, and the exit status is 1.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from delivery.assembly import ASSEMBLY, Stack, stacks_of
from delivery.errors import DeliveryError
from delivery.health import CHECKS, checks_of
from delivery.sessions import Reader

GOOD = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE")
ROLLED_BACK = "UPDATE_ROLLBACK_COMPLETE"
"""Complete, but in the state before its last update. Accepted when the assembly no longer contains that update."""
_PAUSE_SECONDS = 20


@dataclass(frozen=True)
class Deployed:
    """A deployed resource of a stack."""

    stack: Stack
    logical_id: str
    type: str
    physical_id: str

    @property
    def of_template(self) -> Mapping[str, Any]:
        """The resource as the template has it. A deployed one that the template has no more has its type alone."""
        found: Mapping[str, Any] = self.stack.template["Resources"].get(self.logical_id, {"Type": self.type})
        return found

    @property
    def path(self) -> str:
        """The stack and the construct path within it."""
        return f"{self.stack.id}/{self.stack.paths.get(self.logical_id, self.logical_id)}"


def problems_of(stacks: Sequence[Stack], reader: Reader) -> list[str]:
    """All problems, one line each."""
    return [problem for stack in stacks for problem in _problems(stack, reader)]


def deployed(stack: Stack, reader: Reader, *types: str) -> Iterator[Deployed]:
    """The deployed resources of these types in a stack."""
    pages = reader.client("cloudformation", stack).get_paginator("list_stack_resources").paginate(StackName=stack.name)
    for page in pages:
        for each in page["StackResourceSummaries"]:
            if each["ResourceType"] in types and "PhysicalResourceId" in each:
                yield Deployed(stack, each["LogicalResourceId"], each["ResourceType"], each["PhysicalResourceId"])


def look_until_well(
    stacks: Sequence[Stack],
    *,
    wait_minutes: float,
    reader: Callable[[], Reader] = Reader,
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Check until there is no problem, or the time is over.

    :param wait_minutes: how long resources may still be starting.
    :return: the problems at the last check, one line each.
    """
    looks = max(1, round(wait_minutes * 60 / _PAUSE_SECONDS) + 1)
    for look in range(looks):
        if look:
            sleep(_PAUSE_SECONDS)
        problems = problems_of(stacks, reader())
        if not problems:
            break
    return problems


def _problems(stack: Stack, reader: Reader) -> Iterator[str]:
    cloudformation = reader.client("cloudformation", stack)
    status = _status(stack, cloudformation)
    if status is None:
        yield f"{stack.id}: stack {stack.name} does not exist; deploy it"
        return
    if status == ROLLED_BACK:
        if cloudformation.get_template(StackName=stack.name)["TemplateBody"] != stack.template:
            yield f"{stack.id}: the last update of stack {stack.name} was rolled back; check its events, deploy again"
    elif status not in GOOD:
        yield f"{stack.id}: stack {stack.name} is {status}, should be {' or '.join(GOOD[:2])}"
    for resource in deployed(stack, reader, *CHECKS):
        for check in checks_of(resource.of_template):
            for problem in check.problems(reader.client(check.service, stack), resource.physical_id):
                yield f"{resource.path}: {resource.physical_id}: {problem}"


def _status(stack: Stack, client: Any) -> str | None:
    try:
        status: str = client.describe_stacks(StackName=stack.name)["Stacks"][0]["StackStatus"]
    except ClientError as error:
        if "does not exist" in error.response["Error"]["Message"]:
            return None
        raise
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m delivery.smoke", description=__doc__)
    parser.add_argument("account", help="name of an account file, or of another stage")
    parser.add_argument("--assembly", type=Path, default=ASSEMBLY, help="folder of the templates; default: cdk.out")
    parser.add_argument(
        "--wait", type=float, default=10, metavar="MINUTES", help="time for resources to start; default: 10"
    )
    options = parser.parse_args(arguments)
    try:
        stacks = stacks_of(options.account, options.assembly)
        problems = look_until_well(stacks, wait_minutes=options.wait)
    except (DeliveryError, BotoCoreError, ClientError) as error:
        print(f"smoke: {error}", file=sys.stderr)
        return 1
    for problem in problems:
        print(problem)
    if not problems:
        print(f"{options.account}: everything is deployed and healthy, {len(stacks)} of {len(stacks)} stacks")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
