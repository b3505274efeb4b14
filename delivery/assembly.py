"""The stacks of one account, as synthesis wrote them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from delivery.errors import DeliveryError

ASSEMBLY = Path("cdk.out")


@dataclass(frozen=True)
class Stack:
    """One stack of an assembly.

    :param id: as the CDK CLI shows and selects it, such as ``dev/Network``.
    :param name: as CloudFormation names it, such as ``dev-Network``.
    :param account: id of the account that it is deployed to.
    :param lookup_role: ARN of the account's read-only role, made by ``cdk bootstrap``.
    """

    id: str
    name: str
    account: str
    region: str
    lookup_role: str
    template_file: Path

    @cached_property
    def template(self) -> dict[str, Any]:
        template: dict[str, Any] = json.loads(self.template_file.read_text(encoding="utf-8"))
        return template

    def resources(self, *types: str) -> dict[str, dict[str, Any]]:
        """The template's resources of these types, by logical id."""
        return {name: each for name, each in self.template.get("Resources", {}).items() if each["Type"] in types}


def stacks_of(account: str, assembly: Path = ASSEMBLY) -> tuple[Stack, ...]:
    """The stacks of an account's stage, in the order of the manifest.

    :param account: name of the account file.
    :raises DeliveryError: where the assembly is not there or has no such account.
    """
    try:
        artifacts = json.loads((assembly / "manifest.json").read_text(encoding="utf-8"))["artifacts"]
    except FileNotFoundError:
        raise DeliveryError(f"{assembly}: no cloud assembly; run `make synth` first") from None
    stages = {
        artifact.get("displayName", name.removeprefix("assembly-")): artifact["properties"]["directoryName"]
        for name, artifact in artifacts.items()
        if artifact["type"] == "cdk:cloud-assembly"
    }
    if account not in stages:
        there = ", ".join(sorted(stages)) or "none"
        raise DeliveryError(f"{assembly}: no account {account!r}; there are: {there}")
    return tuple(_stacks(assembly / stages[account]))


def _stacks(folder: Path) -> Iterator[Stack]:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for key, artifact in manifest["artifacts"].items():
        if artifact["type"] != "aws:cloudformation:stack":
            continue
        properties = artifact["properties"]
        account, _, region = artifact["environment"].removeprefix("aws://").partition("/")
        yield Stack(
            id=artifact.get("displayName", key),
            name=properties.get("stackName", key),
            account=account,
            region=region,
            lookup_role=properties.get("lookupRole", {}).get("arn", "").replace("${AWS::Partition}", "aws"),
            template_file=folder / properties["templateFile"],
        )
