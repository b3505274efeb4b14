"""Switches off what keeps resources from being deleted, by a deployment that changes nothing else."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from delivery.assembly import Stack

_SWITCHES = {"DeletionProtection", "DeletionProtectionEnabled"}
_OFF = {True: False, "true": "false", "ACTIVE": "INACTIVE"}
"""A template that was uploaded as YAML comes back with words; what Cognito calls ACTIVE is a truth value elsewhere."""
_ATTRIBUTE = "deletion_protection.enabled"
"""https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-load-balancer-attributes.html"""


def unprotected(template: Mapping[str, Any]) -> dict[str, Any]:
    """The template with nothing in it that AWS would refuse to delete, but for what the template itself keeps."""
    changed = deepcopy(dict(template))
    for resource in changed.get("Resources", {}).values():
        if resource.get("DeletionPolicy", "Delete") != "Delete":
            continue
        properties = resource.get("Properties", {})
        for switch in _SWITCHES & properties.keys():
            properties[switch] = _OFF.get(properties[switch], properties[switch])
        for attribute in properties.get("LoadBalancerAttributes", []):
            if attribute["Key"] == _ATTRIBUTE:
                attribute["Value"] = "false"
    return changed


def without_protection(
    assembly: Path, stacks: Iterable[Stack], templates: Mapping[str, Mapping[str, Any]], folder: Path
) -> list[str]:
    """Write an assembly of what is deployed, but for the protection, and tell which stacks it changes.

    :param stacks: the ones that are to be destroyed.
    :param templates: the ones that are deployed, by stack name.
    :param folder: where it goes; written only where something is protected.
    :return: ids of the stacks.
    """
    changed = {}
    for stack in stacks:
        template = unprotected(templates[stack.name])
        if template != templates[stack.name]:
            changed[stack.id] = (stack, template)
    if changed:
        shutil.copytree(assembly, folder)
    for stack, template in changed.values():
        _write(folder / stack.template_file.relative_to(assembly), template)
    return list(changed)


def _write(file: Path, template: Mapping[str, Any]) -> None:
    text = json.dumps(template, indent=1)
    file.write_text(text, encoding="utf-8")
    # The name of a template in the bucket for assets is its checksum; by the old one the CLI would find the old one.
    assets = file.with_name(file.name.replace(".template.json", ".assets.json"))
    if assets.exists():
        named = json.loads(assets.read_text(encoding="utf-8"))["files"]
        old = next(key for key, asset in named.items() if asset["source"]["path"] == file.name)
        new = hashlib.sha256(text.encode()).hexdigest()
        for names in (assets, file.with_name("manifest.json")):
            names.write_text(names.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
