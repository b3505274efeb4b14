"""What only one resource can have at a time: the priority of a listener rule, the domain of a user pool.

CloudFormation creates before it deletes, and updates in no order that a template decides: the old owner still has it.

The sentences are those that users report from AWS, the codes behind them differ between versions of its handlers:
https://github.com/aws/aws-cdk/issues/10062, https://github.com/hashicorp/terraform/issues/24239
"""

from collections.abc import Callable, Mapping
from typing import Any

from ministack.core.responses import AccountRegionScopedDict
from ministack.services.cloudformation import provisioners

from aws_rehearsal.emulator.patching import wrap
from aws_rehearsal.emulator.schemas import Properties

Call = Callable[..., Any]

_owners = AccountRegionScopedDict()
"""(type, what one resource alone can have) to the physical id of the resource that has it."""


def install() -> None:
    """Keep what each resource has, and refuse what another one still has."""
    wrap(provisioners, "_provision_resource", _creating)
    wrap(provisioners, "_update_resource", _updating)
    wrap(provisioners, "_delete_resource", _deleting)


def _rule(properties: Properties) -> tuple[str, ...]:
    return str(properties.get("ListenerArn")), str(properties.get("Priority"))


def _domain(properties: Properties) -> tuple[str, ...]:
    return str(properties.get("UserPoolId")), str(bool(properties.get("CustomDomainConfig")))


_HELD: Mapping[str, Callable[[Properties], tuple[str, ...]]] = {
    "AWS::Cognito::UserPoolDomain": _domain,
    "AWS::ElasticLoadBalancingV2::ListenerRule": _rule,
}
_MESSAGES = {
    "AWS::Cognito::UserPoolDomain": (
        "User pool already has a domain configured. (Service: CognitoIdentityProvider, Status Code: 400, "
        "HandlerErrorCode: InvalidRequest)"
    ),
    "AWS::ElasticLoadBalancingV2::ListenerRule": (
        "Priority '{0[1]}' is currently in use (Service: ElasticLoadBalancingV2, Status Code: 400, Error Code: "
        "PriorityInUse, HandlerErrorCode: AlreadyExists)"
    ),
}


def _creating(create: Call) -> Call:
    def creating(resource_type: str, logical_id: str, properties: Properties, *rest: Any) -> Any:
        if resource_type not in _HELD:
            return create(resource_type, logical_id, properties, *rest)
        held = _HELD[resource_type](properties)
        _refuse_if_owned(resource_type, held, by_another_than="")
        answer = create(resource_type, logical_id, properties, *rest)
        _owners[resource_type, *held] = answer[0]
        return answer

    return creating


def _updating(update: Call) -> Call:
    def updating(resource_type: str, physical_id: str, old: Properties, new: Properties, *rest: Any) -> Any:
        if resource_type not in _HELD or old == new:
            return update(resource_type, physical_id, old, new, *rest)
        before, after = _HELD[resource_type](old), _HELD[resource_type](new)
        # A changed name means a new domain, which CloudFormation creates while the old one exists.
        is_replaced = resource_type == "AWS::Cognito::UserPoolDomain" and old.get("Domain") != new.get("Domain")
        _refuse_if_owned(resource_type, after, by_another_than="" if is_replaced else physical_id)
        answer = update(resource_type, physical_id, old, new, *rest)
        if _owners.get((resource_type, *before)) == physical_id:
            _owners.pop((resource_type, *before))
        _owners[resource_type, *after] = answer[0]
        return answer

    return updating


def _deleting(delete: Call) -> Call:
    def deleting(resource_type: str, physical_id: str, properties: Properties, *rest: Any, **named: Any) -> Any:
        answer = delete(resource_type, physical_id, properties, *rest, **named)
        if resource_type in _HELD:
            key = (resource_type, *_HELD[resource_type](properties))
            if _owners.get(key) == physical_id:
                _owners.pop(key)
        return answer

    return deleting


def _refuse_if_owned(resource_type: str, held: tuple[str, ...], *, by_another_than: str) -> None:
    owner = _owners.get((resource_type, *held))
    if owner and owner != by_another_than:
        raise ValueError(_MESSAGES[resource_type].format(held))
