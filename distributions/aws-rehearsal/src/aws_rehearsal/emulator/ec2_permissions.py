"""What EC2 decides calls by, where the emulator does not know it: kinds of new resources, and tags.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ministack.core import iam_actions
from ministack.services import ec2

from aws_rehearsal.emulator.patching import wrap

_NEW = {"CreateFleet": "fleet", "CreateLaunchTemplate": "launch-template", "RunInstances": "instance"}
"""Kind of the resource that a call creates. Its id is not known when the call is decided."""
_KINDS = {
    "eni": "network-interface",
    "fleet": "fleet",
    "i": "instance",
    "lt": "launch-template",
    "sir": "spot-instances-request",
    "vol": "volume",
}
"""Kinds by the beginning of their ids."""
_SPECIFIED = re.compile(r"TagSpecification\.\d+\.Tag\.\d+\.Key")


def install() -> None:
    """Give each call of EC2 its resource and its tags."""
    wrap(iam_actions, "extract_resource_arn", _with_kinds)
    wrap(iam_actions, "request_tag_context", _with_tags)


def _with_kinds(original: Callable[..., str]) -> Callable[..., str]:
    def resource_arn(
        service: str,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        parameters: Mapping[str, Any],
        region: str,
        account: str,
    ) -> str:
        if service == "ec2":
            action = ec2._p(parameters, "Action")
            if kind := _NEW.get(action):
                return f"arn:aws:ec2:{region}:{account}:{kind}/new"
            if (id := _id(action, parameters)) and (kind := _KINDS.get(id.partition("-")[0])):
                return f"arn:aws:ec2:{region}:{account}:{kind}/{id}"
        return original(service, method, path, headers, body, parameters, region, account)

    return resource_arn


def _with_tags(original: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def context(service: str, action: str, body: bytes, parameters: Mapping[str, Any]) -> dict[str, Any]:
        found = original(service, action, body, parameters)
        if service != "ec2":
            return found
        if tags := dict(_specified(parameters)):
            found |= {f"aws:RequestTag/{key}".lower(): value for key, value in tags.items()}
            found["aws:TagKeys"] = list(tags)
        id = _id(action.partition(":")[2], parameters) or ec2._p(parameters, "InstanceId.1")
        for tag in ec2._tags.get(id) or []:
            found[f"aws:ResourceTag/{tag['Key']}".lower()] = tag["Value"]
        return found

    return context


def _specified(parameters: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The tags of the resources that a call creates; those in a launch template are not the call's own."""
    for name in parameters:
        if _SPECIFIED.fullmatch(name):
            value = ec2._p(parameters, f"{name.removesuffix('Key')}Value") or ""
            yield ec2._p(parameters, name), value


def _id(action: str, parameters: Mapping[str, Any]) -> str:
    """Of the resource that a call tags or deletes."""
    if action in ("CreateTags", "DeleteTags"):
        return str(ec2._p(parameters, "ResourceId.1") or "")
    if action == "DeleteLaunchTemplate":
        name = ec2._p(parameters, "LaunchTemplateName")
        named = [id for id, one in ec2._launch_templates.items() if one["LaunchTemplateName"] == name]
        return str(ec2._p(parameters, "LaunchTemplateId") or "".join(named[:1]))
    return ""
