"""Tasks of state machines call other services by the role of their state machine, and each call is decided.

https://docs.aws.amazon.com/step-functions/latest/dg/procedure-create-iam-role.html
"""

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import stepfunctions

from aws_rehearsal.emulator.patching import wrap
from aws_rehearsal.emulator.sessions import session_of, trusts

INVOKE = "arn:aws:states:::lambda:invoke"
_PRINCIPAL = "states.amazonaws.com"
_role: ContextVar[str] = ContextVar("role of the state machine")
Action = tuple[str, str]
"""An action and the ARN of what it is about."""


def install() -> None:
    """Know the role of each task, and decide calls of functions, which the emulator makes without one."""
    wrap(stepfunctions, "_execute_task", _with_role)
    wrap(stepfunctions, "_invoke_resource", _with_functions)


def authorize(calls: Iterable[Action]) -> None:
    """Decide calls of the current task.

    :raises ministack.services.stepfunctions._ExecutionError: for the first that is denied.
    """
    account, region, role = get_account_id(), get_region(), _role.get()
    if not trusts(account, role, _PRINCIPAL, "sts:AssumeRole"):
        raise stepfunctions._ExecutionError("States.Permissions", f"{role} does not trust {_PRINCIPAL}")
    key = session_of(role, "states").key
    for action, arn in calls:
        service = action.partition(":")[0]
        if iam_evaluator.enforce(key, action, service, region, resource_arn=arn) is not None:
            raise stepfunctions._ExecutionError("States.TaskFailed", f"{role} may not {action} on {arn}")


def _with_role(original: Callable[..., Any]) -> Callable[..., Any]:
    def execute(state: Any, text: Any, execution: Mapping[str, Any], context: Any) -> Any:
        machine = stepfunctions._state_machines.get(execution["stateMachineArn"])
        token = _role.set(machine["roleArn"] if machine else "")
        try:
            return original(state, text, execution, context)
        finally:
            _role.reset(token)

    return execute


def _with_functions(original: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    def invoke(resource: str, arguments: Any) -> Any:
        if resource == INVOKE:
            authorize([("lambda:InvokeFunction", arguments["FunctionName"])])
        return original(resource, arguments)

    return invoke
