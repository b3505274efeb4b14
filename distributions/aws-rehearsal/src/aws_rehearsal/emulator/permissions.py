"""Authorizes every call of a role by its policies, as IAM does, and corrects errors of the emulator in this.

No permission is added for the emulator: if it uses another name for an action, lacks a condition key or writes an ARN
differently, the request is corrected. If a statement's conditions use keys that it cannot provide, the call is
undecided: it passes and is reported.
"""

import re
import threading
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import get_account_id
from ministack.services import iam

from aws_rehearsal.emulator.patching import wrap

_ACTIONS = {
    "sns:PublishBatch": "sns:Publish",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:SendMessageBatch": "sqs:SendMessage",
}
"""Operations that IAM knows by the name of another one.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html"""
_UNFILLED = ("kms:", "route53:", "elasticfilesystem:", "ec2:createaction", "iam:awsservicename", "cloudwatch:namespace")
"""Beginnings of condition keys that the emulator never fills."""
_LAMBDA = "exec-env/AWS_Lambda"
"""What SDKs write into their user agent inside of a function."""
PROBE = "rehearsal-probe"
"""In the user agent of calls that only ask what a role may do. They exercise no right, and may be denied."""
_MOST_RESOURCES = 40
"""Resources kept of an action; the rest are of the same kind, such as objects of one bucket."""


@dataclass
class Calls:
    """What was decided.

    :param allowed: role to action to resource to the condition keys of the first such call.
    :param denied: one entry for each different call, in order.
    :param undecided: calls that passed because a key is missing here, as (role, action, key).
    :param unmapped: service and method of operations that the emulator has no action for, which pass.
    :param as_root: functions' calls that were signed with the key of the account itself.
    :param seconds: the time that all decisions took.
    """

    allowed: dict[str, dict[str, dict[str, dict[str, str]]]] = field(default_factory=dict)
    denied: list[dict[str, str]] = field(default_factory=list)
    undecided: set[tuple[str, str, str]] = field(default_factory=set)
    unmapped: set[str] = field(default_factory=set)
    as_root: set[str] = field(default_factory=set)
    decisions: int = 0
    root: int = 0
    seconds: float = 0


calls = Calls()
_lock = threading.Lock()
_agent: ContextVar[str] = ContextVar("agent", default="")
_evaluated: ContextVar[list[tuple[Any, Any]] | None] = ContextVar("evaluated", default=None)


_PUBLIC_PARAMETER = re.compile(r"^(arn:[^:]+:ssm:[^:]+):\d*:(parameter/aws/service/)")
_OF_NODE_GROUPS = frozenset(
    f"eks:{verb}"
    for verb in ("DeleteNodegroup", "DescribeNodegroup", "UpdateNodegroupConfig", "UpdateNodegroupVersion")
)


def install() -> None:
    """Correct the requests, and record the decision of each."""
    wrap(iam_evaluator, "pin_request_origin", _secure)
    wrap(iam_evaluator, "pin_signed_request", _with_agent)
    wrap(iam_evaluator, "_resolve_condition_key", _with_role_arn)
    wrap(iam_evaluator, "evaluate", _noted)
    wrap(iam_evaluator, "enforce", _enforced)
    wrap(iam_actions, "s3_service_context", _with_write_conditions)
    wrap(iam_actions, "extract_iam_action", _mapped)


def state() -> dict[str, Any]:
    """What was decided since the start, for the rehearsal."""
    with _lock:
        return {
            "allowed": calls.allowed,
            "denied": calls.denied,
            "undecided": sorted(calls.undecided),
            "unmapped": sorted(calls.unmapped),
            "as_root": sorted(calls.as_root),
            "decisions": calls.decisions,
            "root": calls.root,
            "seconds": calls.seconds,
        }


def _secure(original: Callable[[str, bool], None]) -> Callable[[str, bool], None]:
    """Requests count as encrypted: that they are not is the emulator's way to listen, not the callers' to call."""
    return lambda address, secure: original(address, True)


def _with_agent(original: Callable[..., None]) -> Callable[..., None]:
    """Keep the user agent of the request that is being answered."""

    def pin(method: str, path: str, query: Any, headers: Iterable[tuple[bytes, bytes]], **named: Any) -> None:
        agents = [value.decode("latin-1") for name, value in headers if name.lower() == b"user-agent"]
        _agent.set("".join(agents))
        original(method, path, query, headers, **named)

    return pin


def _with_role_arn(original: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    """``aws:PrincipalArn`` is the role's ARN, not that of its session.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalarn
    """

    def resolve(key: str, context: Any) -> Any:
        if key.lower() == "aws:principalarn":
            return role_arn(context.principal_arn)
        return original(key, context)

    return resolve


def role_arn(session: str) -> str:
    """The role of a session's ARN, with the path that only the role's own ARN has; other ARNs unchanged."""
    parts = session.split(":", 5)
    if len(parts) < 6 or not parts[5].startswith("assumed-role/"):
        return session
    role = iam._roles.get_scoped(parts[4], None, parts[5].split("/")[1])
    return str(role["Arn"]) if role else session


def _with_write_conditions(original: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """The keys by which a bucket demands conditional writes.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
    """

    def context(
        action: str, query: dict[str, Any] | None, path: str = "", headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        found = original(action, query, path, headers)
        if action == "s3:PutObject":
            given = {name.lower(): value for name, value in (headers or {}).items()}
            found |= {f"s3:{name}": given[name] for name in ("if-match", "if-none-match") if name in given}
            found["s3:ObjectCreationOperation"] = str(
                "partNumber" not in (query or {}) and "uploads" not in (query or {})
            ).lower()
        return found

    return context


def _mapped(original: Callable[..., str | None]) -> Callable[..., str | None]:
    def extract(service: str, method: str, path: str, *rest: Any, **named: Any) -> str | None:
        action = original(service, method, path, *rest, **named)
        if action is None and not path.startswith(("/_", "/health")):
            with _lock:
                calls.unmapped.add(f"{service} {method}")
        return action

    return extract


def _noted(original: Callable[..., Any]) -> Callable[..., Any]:
    """Keep the context in which the policies of an identity are evaluated; those of resources come after them."""

    def evaluate(context: Any, policies: Any, *limits: Any) -> Any:
        seen = _evaluated.get()
        if seen is not None:
            seen.append((context, policies))
        return original(context, policies, *limits)

    return evaluate


def _enforced(original: Callable[..., Any]) -> Callable[..., Any]:
    def enforce(
        access_key: str,
        action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: dict[str, Any] | None = None,
    ) -> Any:
        started = time.perf_counter()
        action = _ACTIONS.get(action, action)
        resource = resource_of(action, resource_arn)
        token = _evaluated.set([])
        try:
            result = original(
                access_key, action, service, region, resource_arn=resource, service_context=service_context
            )
            seen = _evaluated.get() or []
        finally:
            _evaluated.reset(token)
        if PROBE not in _agent.get():
            result = _judged(result, seen, action, resource)
        with _lock:
            calls.seconds += time.perf_counter() - started
        return result

    return enforce


def resource_of(action: str, resource: str) -> str:
    """The ARN that AWS decides a call by, where the emulator takes that of the resource around it.

    A call for a stream of a log group names the stream, or any of the group. A call for a node group names the group;
    the emulator knows its cluster only, so that the group is any of the cluster's.

    Public parameters belong to no account.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/iam-access-control-overview-cwl.html
    https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-public-parameters.html
    https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelastickubernetesservice.html
    """
    if action.startswith("logs:") and ":log-group:" in resource and resource.count(":") == 6:
        return f"{resource}:log-stream:"
    if action in _OF_NODE_GROUPS and ":cluster/" in resource:
        return f"{resource.replace(':cluster/', ':nodegroup/')}/any/any"
    return _PUBLIC_PARAMETER.sub(r"\1::\2", resource)


def _judged(result: Any, seen: list[tuple[Any, Any]], action: str, resource: str) -> Any:
    """Note a decision. Returns None if the call passes."""
    with _lock:
        if not seen:
            return _without_policies(result, action, resource)
        calls.decisions += 1
        context, policies = seen[0]
        role = role_arn(context.principal_arn)
        if result is not None and result.decision == "ImplicitDeny":
            for key in _missing_keys(context, policies):
                calls.undecided.add((role, action, key))
                result = None
        if result is None:
            resources = calls.allowed.setdefault(role, {}).setdefault(action, {})
            if resource in resources or len(resources) < _MOST_RESOURCES:
                resources.setdefault(resource, _keys(context))
            return None
        denial = {
            "principal": role,
            "action": action,
            "resource": resource,
            "policy": ", ".join(_policies(role)) or "none",
            "why": "an explicit denial" if result.decision == "Deny" else "no statement allows it",
        }
        if denial not in calls.denied:
            calls.denied.append(denial)
        return result


def _without_policies(result: Any, action: str, resource: str) -> Any:
    """The account's own key, which is unrestricted, or unknown credentials."""
    if result is not None:
        why = f"{getattr(result, 'code', 'refused')}: {getattr(result, 'message', '')}"
        denial = {"principal": "unknown", "action": action, "resource": resource, "policy": "none", "why": why}
        if denial not in calls.denied:
            calls.denied.append(denial)
        return result
    calls.root += 1
    if _LAMBDA in _agent.get():
        calls.as_root.add(f"{action} on {resource}")
    return None


def _missing_keys(context: Any, policies: Iterable[Iterable[Any]]) -> list[str]:
    """Keys without which a statement, which is about the call otherwise, does not allow it here."""
    found: list[str] = []
    for statement in (each for document in policies for each in document):
        keys = [key for block in statement.conditions.values() if isinstance(block, dict) for key in block]
        unfilled = [key for key in keys if key.lower().startswith(_UNFILLED)]
        if statement.effect != "Allow" or not unfilled:
            continue
        kept = {
            operator: {key: value for key, value in block.items() if key not in unfilled}
            for operator, block in statement.conditions.items()
        }
        if (
            iam_evaluator._action_matches(context.action, statement.actions, statement.not_actions)
            and iam_evaluator._resource_matches(context.resource_arn, statement.resources, statement.not_resources)
            and iam_evaluator._conditions_met(kept, context)
        ):
            found += unfilled
    return found


def _keys(context: Any) -> dict[str, str]:
    return {key: str(value) for key, value in context.service_context.items() if isinstance(value, str)}


def _policies(role: str) -> list[str]:
    """Names of the policies that a role has."""
    found = iam._roles.get_scoped(get_account_id(), None, role.rpartition("/")[2])
    return [*found.get("InlinePolicies", {}), *found.get("AttachedPolicies", [])] if found else []
