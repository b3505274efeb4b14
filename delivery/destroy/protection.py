"""Switches off what keeps resources from being deleted, in templates that are changed in nothing else."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

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


def without_protection(templates: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Those of the templates that protect what would go with their stacks, by the same keys, no longer doing so."""
    changed = {name: unprotected(template) for name, template in templates.items()}
    return {name: template for name, template in changed.items() if template != templates[name]}
