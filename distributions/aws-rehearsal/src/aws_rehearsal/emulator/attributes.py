"""Every attribute that the registry promises, also where the emulator computes none."""

import hashlib
from collections.abc import Mapping
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region

from aws_rehearsal.emulator import schemas
from aws_rehearsal.emulator.recorded import arn
from aws_rehearsal.emulator.schemas import Properties

_known = AccountRegionScopedDict()
"""(type, physical id) to attributes: an update that answers fewer of them changes none."""

_PATTERNS = {
    ("AWS::Cognito::UserPool", "ProviderName"): "cognito-idp.{region}.amazonaws.com/{id}",
    ("AWS::Cognito::UserPool", "ProviderURL"): "https://cognito-idp.{region}.amazonaws.com/{id}",
}
"""Attributes whose format other programs check: Istio verifies the address of an issuer's keys.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cognito-userpool.html
"""


def complete(resource_type: str, physical_id: str, properties: Properties, answered: Mapping[str, Any]) -> Properties:
    """What ``Fn::GetAtt`` answers: what the emulator computed, else the property of that name, else a likely value."""
    remembered = _known.get((resource_type, physical_id), {})
    result = {**remembered, **{name: value for name, value in answered.items() if value not in (None, "")}}
    for name, described in schemas.attributes(resource_type, get_region()).items():
        given = schemas.value_at(properties, tuple(name.split("."))) or _own_name(resource_type, name, properties)
        if name not in answered and given is not None:
            result[name] = given
        elif name not in result:
            result[name] = _likely(resource_type, physical_id, name, described)
    _known[resource_type, physical_id] = result
    return result


def _own_name(resource_type: str, attribute: str, properties: Properties) -> Any:
    """The attribute ``Name`` of a type whose property is prefixed with the type: ``DomainName`` of a domain."""
    return properties.get(f"{resource_type.rpartition('::')[2]}Name") if attribute == "Name" else None


def forget(resource_type: str, physical_id: str) -> None:
    """Drop what is remembered of a deleted resource."""
    _known.pop((resource_type, physical_id), None)


def _likely(resource_type: str, physical_id: str, name: str, described: Mapping[str, Any]) -> Any:
    """A value of the attribute's type; the same at every call, so that nothing changes between two deployments."""
    types = described.get("type")
    kind = types[0] if isinstance(types, list) else types
    last = name.rpartition(".")[2]
    identity = _identity(resource_type, physical_id)
    if name in identity:
        return identity[name]
    if pattern := _PATTERNS.get((resource_type, name)):
        return pattern.format(region=get_region(), id=physical_id)
    if kind == "array":
        return ["192.0.2.10", "192.0.2.11"] if "Ip" in last else []
    if kind in ("integer", "number"):
        return 1
    if kind == "boolean":
        return False
    if last.lower().endswith("arn"):
        return physical_id if physical_id.startswith("arn:") else arn(resource_type, physical_id)
    if last.lower() == "dnsname":
        return f"{physical_id}.{resource_type.split('::')[1].lower()}.{get_region()}.amazonaws.com"
    if last in ("Owner", "OwnerId"):
        return get_account_id()
    return hashlib.sha256(f"{resource_type} {physical_id} {name}".encode()).hexdigest()[:8]


def _identity(resource_type: str, physical_id: str) -> dict[str, str]:
    """The parts of the physical id by the names that the registry gives them."""
    names = [".".join(path) for path in schemas.identifiers(resource_type, get_region())]
    parts = [physical_id] if len(names) == 1 else physical_id.split("|")
    return dict(zip(names, parts, strict=True)) if len(names) == len(parts) else {}
