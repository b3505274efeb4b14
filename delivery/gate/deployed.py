"""The templates that are deployed in an account."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import yaml
from botocore.exceptions import BotoCoreError, ClientError

from config.tags import STAGE
from delivery.assembly import Stack
from delivery.errors import DeliveryError
from delivery.sessions import Reader

_AT_A_TIME = 8
_NOT_THERE = frozenset({"DELETE_COMPLETE", "REVIEW_IN_PROGRESS"})
_CLOSED = frozenset({"AccessDenied", "AccessDeniedException", "OptInRequired", "UnrecognizedClientException"})
"""Error codes of CloudFormation in a Region that a service control policy denies."""
_NEVER_MADE = frozenset({"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "ROLLBACK_IN_PROGRESS"})
"""The status of a stack whose first deployment failed: it has a template but no resources."""


def templates(stacks: Iterable[Stack], reader: Reader, *, with_failed: bool = False) -> dict[str, Mapping[str, Any]]:
    """The templates of the deployed stacks, by name, as they were sent to CloudFormation.

    :param with_failed: include stacks whose first deployment failed. Default: treat them as not deployed.
    :raises DeliveryError: if CloudFormation cannot be called.
    """
    stacks = tuple(stacks)
    absent = _NOT_THERE if with_failed else _NOT_THERE | _NEVER_MADE
    for stack in stacks[:1]:
        reader.client("cloudformation", stack)  # assumes the role once, so that a failure is reported once
    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        found = threads.map(lambda stack: (stack.name, _template(stack, reader, absent)), stacks)
        return {name: template for name, template in found if template is not None}


def forgotten(account: str, stacks: Iterable[Stack], reader: Reader) -> dict[str, Mapping[str, Any]]:
    """Templates of deployed stacks of the account's stage that the assembly no longer has, by :func:`name_for_cli`.

    They are found by their tag, in every enabled Region of the account. Stacks of other account files, and stacks that
    only share the prefix of the name, are ignored.

    :raises DeliveryError: if CloudFormation cannot be called.
    """
    known = {(stack.region, stack.name): stack for stack in stacks}
    if not known:
        return {}
    home = next(iter(known.values()))
    ours = {stack.region for stack in known.values()}
    try:
        regions = sorted(ours | _enabled_regions(home, reader))
        for region in regions:
            reader.client("cloudformation", home, region=region)  # creating boto3 clients is not thread-safe
        with ThreadPoolExecutor(_AT_A_TIME) as threads:
            found = list(
                threads.map(lambda region: _tagged(account, home, region, reader, is_used=region in ours), regions)
            )
    except (BotoCoreError, ClientError) as error:
        raise DeliveryError(f"{account}: {error}") from None
    templates = {
        name_for_cli(name, region, home): body
        for region, of_region in zip(regions, found, strict=True)
        for name, body in of_region.items()
        if (region, name) not in known
    }
    return dict(sorted(templates.items()))


def name_for_cli(name: str, region: str, home: Stack) -> str:
    """The name of a stack in commands of the AWS CLI: with its Region, unless that is the account's."""
    return name if region == home.region else f"{name} --region {region}"


def _enabled_regions(home: Stack, reader: Reader) -> set[str]:
    return {one["RegionName"] for one in reader.client("ec2", home).describe_regions()["Regions"]}


def _tagged(account: str, home: Stack, region: str, reader: Reader, *, is_used: bool) -> dict[str, Mapping[str, Any]]:
    """Templates of the deployed stacks of a Region that have the tag of the account's stage."""
    client = reader.client("cloudformation", home, region=region)
    found = {}
    try:
        for page in client.get_paginator("describe_stacks").paginate():
            for one in page["Stacks"]:
                tags = {tag["Key"]: tag["Value"] for tag in one.get("Tags", ())}
                if tags.get(STAGE) == account and one["StackStatus"] not in _NOT_THERE and "ParentId" not in one:
                    name = one["StackName"]
                    body = client.get_template(StackName=name, TemplateStage="Original")["TemplateBody"]
                    found[name] = _read(body)
    except ClientError as error:
        if is_used or error.response["Error"]["Code"] not in _CLOSED:
            raise
    return found


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
    """Parse a template. The CLI sends short templates as YAML; scalars remain text, as the comparison expects."""
    if not isinstance(body, str):
        return body
    found: Mapping[str, Any] = yaml.load(body, Loader=yaml.BaseLoader)
    return found
