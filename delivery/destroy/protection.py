"""Switches off deletion protection in templates, and changes nothing else."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

_SWITCHES = {"DeletionProtection", "DeletionProtectionEnabled"}
_OFF = {True: False, "true": "false", "ACTIVE": "INACTIVE"}
"""CloudFormation returns booleans of a YAML template as text, and Cognito uses ACTIVE instead of a boolean."""
_ATTRIBUTE = "deletion_protection.enabled"
"""https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-load-balancer-attributes.html"""


def unprotected(template: Mapping[str, Any]) -> dict[str, Any]:
    """The template without deletion protection, except on resources that its deletion policies retain."""
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


def without_protection(templates: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The templates that protect resources which are deleted with their stacks, by the same keys, unprotected."""
    changed = {name: unprotected(template) for name, template in templates.items()}
    return {name: template for name, template in changed.items() if template != templates[name]}
