"""A cloud assembly: what synthesis made."""

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

_PROTECTION = {"DeletionProtection", "DeletionProtectionEnabled"}
_OFF = {True: False, "ACTIVE": "INACTIVE"}


@dataclass(frozen=True)
class Stack:
    """One stack of an assembly.

    :param id: as the CDK CLI shows and selects it, such as ``local/Network``.
    :param name: as CloudFormation names it, such as ``local-Network``.
    """

    id: str
    name: str
    region: str
    template_file: Path

    @cached_property
    def template(self) -> dict[str, Any]:
        template: dict[str, Any] = json.loads(self.template_file.read_text(encoding="utf-8"))
        return template

    def without_protection(self) -> dict[str, Any]:
        """The template with nothing in it that AWS refuses to delete, but for what it keeps itself."""
        changed = deepcopy(self.template)
        for resource in changed.get("Resources", {}).values():
            properties = resource.get("Properties", {})
            if resource.get("DeletionPolicy", "Delete") == "Delete":
                for switch in _PROTECTION & properties.keys():
                    properties[switch] = _OFF.get(properties[switch], properties[switch])
                for attribute in properties.get("LoadBalancerAttributes", []):
                    if attribute["Key"] == "deletion_protection.enabled":
                        attribute["Value"] = "false"
        return changed

    def types(self) -> Counter[str]:
        """Resource types of the template, with how many there are of each."""
        return Counter(resource["Type"] for resource in self.template.get("Resources", {}).values())


@dataclass(frozen=True)
class Assembly:
    """The result of one synthesis, with the assemblies of its stages."""

    folder: Path

    @cached_property
    def stacks(self) -> tuple[Stack, ...]:
        """Every stack, in the order of the manifests."""
        return tuple(_stacks(self.folder))

    def regions(self) -> list[str]:
        """Every region that a stack lies in, sorted."""
        return sorted({stack.region for stack in self.stacks})

    def with_templates(self, templates: Mapping[str, dict[str, Any]], *, folder: Path) -> "Assembly":
        """This assembly with other templates for some of its stacks, as synthesis would have written them.

        :param templates: by stack id.
        :param folder: where it goes; all other files are links to the ones of this assembly.
        """
        shutil.copytree(self.folder, folder, copy_function=os.link)
        for stack in self.stacks:
            if stack.id in templates:
                _write_template(folder / stack.template_file.relative_to(self.folder), templates[stack.id])
        return Assembly(folder)


def _write_template(file: Path, template: dict[str, Any]) -> None:
    text = json.dumps(template, indent=1)
    _replace(file, text)
    # The name of a template in the bucket for assets is its checksum; by the old one the CLI would find the old one.
    checksum = hashlib.sha256(text.encode()).hexdigest()
    assets = file.with_name(file.name.replace(".template.json", ".assets.json"))
    if assets.exists():
        named = json.loads(assets.read_text(encoding="utf-8"))["files"]
        old = next(key for key, asset in named.items() if asset["source"]["path"] == file.name)
        for names in (assets, file.with_name("manifest.json")):
            _replace(names, names.read_text(encoding="utf-8").replace(old, checksum))


def _replace(file: Path, text: str) -> None:
    file.unlink()  # what it links to stays
    file.write_text(text, encoding="utf-8")


def _stacks(folder: Path) -> Iterator[Stack]:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for key, artifact in manifest.get("artifacts", {}).items():
        properties = artifact.get("properties", {})
        if artifact["type"] == "cdk:cloud-assembly":
            yield from _stacks(folder / properties["directoryName"])
        elif artifact["type"] == "aws:cloudformation:stack":
            yield Stack(
                id=artifact.get("displayName", key),
                name=properties.get("stackName", key),
                region=artifact["environment"].rpartition("/")[2],
                template_file=folder / properties["templateFile"],
            )
