"""A cloud assembly: the synthesized stacks and their dependencies."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from delivery.errors import DeliveryError

ASSEMBLY = Path("cdk.out")


@dataclass(frozen=True)
class Stack:
    """One stack of an assembly.

    :param id: the id in the CDK CLI, such as ``prod/Network``.
    :param name: the name in CloudFormation, such as ``prod-Network``.
    :param dependencies: ids of the stacks that must be deployed before it.
    :param lookup_role: the read-only role of the bootstrapped account, or none.
    """

    id: str
    name: str
    account: str
    region: str
    template_file: Path
    metadata_file: Path | None = None
    dependencies: tuple[str, ...] = ()
    lookup_role: str | None = None

    @cached_property
    def template(self) -> dict[str, Any]:
        template: dict[str, Any] = json.loads(self.template_file.read_text(encoding="utf-8"))
        return template

    def resources(self, *types: str) -> dict[str, dict[str, Any]]:
        """The template's resources of these types, by logical id."""
        return {name: each for name, each in self.template.get("Resources", {}).items() if each["Type"] in types}

    @cached_property
    def paths(self) -> dict[str, str]:
        """Construct path below the stack, by logical id."""
        if not self.metadata_file or not self.metadata_file.exists():
            return {}
        metadata = json.loads(self.metadata_file.read_text(encoding="utf-8"))
        prefix = f"/{self.id}/"
        return {
            entry["data"]: path.removeprefix(prefix).removesuffix("/Resource")
            for path, entries in metadata.items()
            for entry in entries
            if entry["type"] == "aws:cdk:logicalId"
        }


def stacks_of(account: str, assembly: Path = ASSEMBLY) -> tuple[Stack, ...]:
    """The stacks of an account's stage, in the order of the manifest.

    :param account: name of the account file, or of another stage.
    :raises DeliveryError: if the assembly does not exist or has no such account.
    """
    stacks = read_assembly(assembly)
    mine = tuple(stack for stack in stacks if stack.id.startswith(f"{account}/"))
    if not mine:
        there = ", ".join(sorted({stack.id.partition("/")[0] for stack in stacks if "/" in stack.id})) or "none"
        raise DeliveryError(f"{assembly}: no account {account!r}; there are: {there}")
    return mine


def read_assembly(folder: Path) -> tuple[Stack, ...]:
    """Every stack of an assembly and of its stages, in the order of the manifests.

    :raises DeliveryError: if the assembly does not exist.
    """
    if not (folder / "manifest.json").exists():
        raise DeliveryError(f"{folder}: no cloud assembly; run `make synth` first")
    return tuple(_stacks(folder))


def copy_with_templates(assembly: Path, templates: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    """Write a copy of an assembly with different templates for some of its stacks.

    :param templates: the replaced templates, by stack id.
    :param folder: the destination. The other files are hard links to the originals if the file system allows it.
    """
    shutil.copytree(assembly, folder, copy_function=_link)
    for stack in read_assembly(folder):
        if stack.id in templates:
            _write_template(stack.template_file, templates[stack.id])


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # the folder is on another file system
        shutil.copy2(source, target)


def _write_template(file: Path, template: Mapping[str, Any]) -> None:
    text = json.dumps(template, indent=1)
    _replace(file, text)
    # The name of a template in the asset bucket is its checksum; with the old name, the CLI would reuse the old one.
    assets = file.with_name(file.name.replace(".template.json", ".assets.json"))
    if assets.exists():
        named = json.loads(assets.read_text(encoding="utf-8"))["files"]
        old = next(key for key, asset in named.items() if asset["source"]["path"] == file.name)
        new = hashlib.sha256(text.encode()).hexdigest()
        for names in (assets, file.with_name("manifest.json")):
            _replace(names, names.read_text(encoding="utf-8").replace(old, new))


def _replace(file: Path, text: str) -> None:
    file.unlink()  # what it links to stays
    file.write_text(text, encoding="utf-8")


def _stacks(folder: Path) -> Iterator[Stack]:
    artifacts = json.loads((folder / "manifest.json").read_text(encoding="utf-8")).get("artifacts", {})
    ids = {
        key: artifact.get("displayName", key)
        for key, artifact in artifacts.items()
        if artifact["type"] == "aws:cloudformation:stack"
    }
    for key, artifact in artifacts.items():
        properties = artifact.get("properties", {})
        if artifact["type"] == "cdk:cloud-assembly":
            yield from _stacks(folder / properties["directoryName"])
        elif key in ids:
            account, _, region = artifact["environment"].removeprefix("aws://").partition("/")
            yield Stack(
                id=ids[key],
                name=properties.get("stackName", key),
                account=account,
                region=region,
                template_file=folder / properties["templateFile"],
                metadata_file=folder / artifact["additionalMetadataFile"]
                if "additionalMetadataFile" in artifact
                else None,
                dependencies=tuple(ids[each] for each in artifact.get("dependencies", []) if each in ids),
                lookup_role=_role(properties),
            )


def _role(properties: dict[str, Any]) -> str | None:
    arn: str | None = properties.get("lookupRole", {}).get("arn")
    return arn and arn.replace("${AWS::Partition}", "aws")
