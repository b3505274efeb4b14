"""The templates that are deployed in an account."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import yaml
from botocore.exceptions import BotoCoreError, ClientError

from delivery.assembly import Stack
from delivery.errors import DeliveryError
from delivery.sessions import Reader

_AT_A_TIME = 4
_NOT_THERE = frozenset({"DELETE_COMPLETE", "REVIEW_IN_PROGRESS"})
_NEVER_MADE = frozenset({"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "ROLLBACK_IN_PROGRESS"})
"""A stack whose first deployment failed: it has a template, and nothing of it."""


def templates(stacks: Iterable[Stack], reader: Reader, *, with_failed: bool = False) -> dict[str, Mapping[str, Any]]:
    """The templates of those stacks that are deployed, by name, as they were given to CloudFormation.

    :param with_failed: also of those whose first deployment failed. Default: they are as good as not there.
    :raises DeliveryError: where CloudFormation cannot be asked.
    """
    stacks = tuple(stacks)
    absent = _NOT_THERE if with_failed else _NOT_THERE | _NEVER_MADE
    for stack in stacks[:1]:
        reader.client("cloudformation", stack)  # takes the role once, and refuses once
    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        found = threads.map(lambda stack: (stack.name, _template(stack, reader, absent)), stacks)
        return {name: template for name, template in found if template is not None}


def forgotten(account: str, stacks: Iterable[Stack], reader: Reader) -> dict[str, Mapping[str, Any]]:
    """Templates of deployed stacks of the account's stage that the assembly no longer has, by name.

    :raises DeliveryError: where CloudFormation cannot be asked.
    """
    regions = {stack.region: stack for stack in stacks}
    names = {stack.name for stack in stacks}
    found: dict[str, Mapping[str, Any]] = {}
    try:
        for stack in regions.values():
            client = reader.client("cloudformation", stack)
            for page in client.get_paginator("describe_stacks").paginate():
                for one in page["Stacks"]:
                    name = one["StackName"]
                    is_ours = name.startswith(f"{account}-") and name not in names
                    if is_ours and one["StackStatus"] not in _NOT_THERE:
                        body = client.get_template(StackName=name, TemplateStage="Original")["TemplateBody"]
                        found[name] = _read(body)
    except (BotoCoreError, ClientError) as error:
        raise DeliveryError(f"{account}: {error}") from None
    return dict(sorted(found.items()))


def _template(stack: Stack, reader: Reader, absent: frozenset[str]) -> Mapping[str, Any] | None:
    try:
        client = reader.client("cloudformation", stack)
        status = client.describe_stacks(StackName=stack.name)["Stacks"][0]["StackStatus"]
        if status in absent:
            return None
        return _read(client.get_template(StackName=stack.name, TemplateStage="Original")["TemplateBody"])
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise DeliveryError(f"{stack.name}: {error}") from None
    except BotoCoreError as error:
        raise DeliveryError(f"{stack.name}: {error}") from None


def _read(body: Mapping[str, Any] | str) -> Mapping[str, Any]:
    """A template. The CLI sends a short one as YAML; scalars stay text, as the comparison takes them."""
    if not isinstance(body, str):
        return body
    found: Mapping[str, Any] = yaml.load(body, Loader=yaml.BaseLoader)
    return found
