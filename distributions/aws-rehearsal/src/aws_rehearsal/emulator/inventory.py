"""Everything that the emulator holds, so that what a destroyed platform left behind can be named."""

import re
import sys
from collections.abc import Iterator
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, AccountScopedDict
from ministack.services import cloudformation, ec2

from aws_rehearsal.emulator import eks, eks_add_ons, lambda_workers, mysql_standin, recorded
from aws_rehearsal.emulator.observed import ignored
from aws_rehearsal.emulator.registry import created, registry

_NO_RESOURCES = re.compile(
    r"athena\._executions|cloudformation\._(change_sets|stack_events|stacks)|cloudtrail\._events"
    r"|cloudwatch\._(alarm_history|metrics)|eventbridge\._events_log|iam\._aws_managed_attachment_counts"
    r"|route53\._(caller_refs|changes)|s3\._(completed_multipart_uploads|object_.*)|stepfunctions\._executions|.*_tags"
)
"""Stores of events, or of details that belong to a resource of another store."""
_MADE_BY_AWS = re.compile(
    r"athena\._data_catalogs AwsDataCatalog|athena\._workgroups primary|scheduler\._schedule_groups default"
    r"|ec2\._\w+ [a-z]+-0000000\d"  # the default VPC
)
"""Resources that every account has, and that appear here with the first use of their service in a region."""
_GONE = {"deleted", "deleting", "pendingdeletion", "terminated"}
"""States in which a resource stays visible for a while after its deletion, on AWS too."""


def state() -> dict[str, Any]:
    """What the rehearsal asks of the emulator, ready for JSON.

    - ``resources``: all resources, as ``[store, region, key]``.
    - ``stacks``: status and number of events of each stack that is not deleted, as ``[region, name, status, events]``.
    - ``managed``: ids of all that each stack's resources consist of, by the stack's name.
    - ``kept``: what templates keep on purpose, as ``[region, type, physical id]``.
    - ``kubernetes``: objects that were in a cluster when it was deleted.
    - ``recorded``: resource types of which only the description is kept.
    - ``built``: Helm charts and EKS add-ons whose programs ran on real nodes, each with its Go module and version.
    - ``stand_ins``: what was in place of something that only AWS or the network has, as lines of the report.
    - ``physical``: what each stack's resources are or were called, as ``[stack, logical id, physical id]``.
    - ``invoked``: how often each function ran, by its name.
    - ``ignored``: resource type to properties that the emulator did not look at.
    """
    return {
        "resources": sorted(_resources()),
        "stacks": sorted(_stacks()),
        "managed": {name: sorted(_managed(stack)) for (_, _, name), stack in cloudformation._stacks.all_items()},
        "kept": sorted(_kept()),
        "kubernetes": eks.leftovers,
        "recorded": sorted(name for name in dict.keys(registry) if registry.kind(name) == "recorded"),
        "built": [*lambda_workers.built_charts(), *sorted(eks_add_ons.ran)],
        "stand_ins": [*lambda_workers.stand_ins(), *mysql_standin.stand_ins(), *sorted(eks_add_ons.used)],
        "physical": sorted((*key, physical_id) for key, physical_id in created.items()),
        "invoked": dict(lambda_workers.invoked),
        "ignored": {name: sorted(properties) for name, properties in sorted(ignored.items()) if properties},
    }


def stores() -> dict[str, AccountScopedDict | AccountRegionScopedDict]:
    """Every store of the emulator, by service and name."""
    modules = {
        name.removeprefix("ministack.services."): module
        for name, module in sys.modules.items()
        if name.startswith("ministack.services.")
    }
    return {
        f"{service}.{name}": value
        for service, module in {**modules, "recorded": recorded}.items()
        for name, value in vars(module).items()
        if isinstance(value, AccountScopedDict | AccountRegionScopedDict)
    }


def _resources() -> Iterator[tuple[str, str, str]]:
    for store, content in stores().items():
        if _NO_RESOURCES.fullmatch(store):
            continue
        for key, value in content.to_dict().items():
            if not _is_gone(value):
                region, name = (key[1], key[2]) if isinstance(content, AccountRegionScopedDict) else ("", key[1])
                text = " ".join(map(str, name)) if isinstance(name, tuple) else str(name)
                if not _MADE_BY_AWS.fullmatch(f"{store} {text}"):
                    yield store, region, text


def _is_gone(value: Any) -> bool:
    """Whether a record is only the trace of a deleted resource."""
    if not value or not isinstance(value, dict):
        return value in (None, [], "", {})
    state = next((value[name] for name in ("State", "KeyState", "Status", "status") if name in value), "")
    state = state.get("Name", "") if isinstance(state, dict) else state
    return str(state).lower() in _GONE or value.get("versions") == []


def _stacks() -> Iterator[tuple[str, str, str, int]]:
    for (_, region, name), stack in cloudformation._stacks.all_items():
        events = cloudformation._stack_events.get_scoped(stack["StackId"].split(":")[4], region, stack["StackId"])
        if stack["StackStatus"] != "DELETE_COMPLETE":
            yield region, name, stack["StackStatus"], len(events or [])


def _managed(stack: dict[str, Any]) -> Iterator[str]:
    main_routes = {vpc["VpcId"]: vpc.get("MainRouteTableId") for _, vpc in ec2._vpcs.all_items()}
    for record in stack.get("_resources", {}).values():
        yield record["PhysicalResourceId"]
        yield from (value for value in record["Attributes"].values() if value and isinstance(value, str))
        if main := main_routes.get(record["PhysicalResourceId"]):  # created and deleted with its network
            yield main
    yield from (output["ExportName"] for output in stack.get("Outputs", []) if "ExportName" in output)


def _kept() -> Iterator[tuple[str, str, str]]:
    for (_, region, _), events in cloudformation._stack_events.all_items():
        for event in events:
            # A custom resource itself is not a resource; the resources of its function are found in their own stores.
            if event["ResourceStatus"] == "DELETE_SKIPPED" and not event["ResourceType"].startswith("Custom::"):
                yield region, event["ResourceType"], event["PhysicalResourceId"]
