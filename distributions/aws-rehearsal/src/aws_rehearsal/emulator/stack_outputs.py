"""Outputs of stacks, where the emulator differs from AWS.

On AWS, ``Fn::GetStackOutput`` reads other regions, a change set with changes of outputs alone can be executed, and an
update deletes the exports that its template no longer has.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from ministack.core.responses import get_account_id, request_scope
from ministack.services.cloudformation import _exports, _stacks, changesets, engine, handlers, helpers, stacks

from aws_rehearsal.emulator.patching import wrap

_FUNCTION = "Fn::GetStackOutput"
_NO_CHANGES = "The submitted information didn't contain changes."


def install() -> None:
    """Resolve the function in its ``Region``, make change sets executable that change outputs alone, delete exports."""

    def extend(resolve: Callable[..., Any]) -> Callable[..., Any]:
        def in_its_region(value: Any, *context: Any) -> Any:
            if isinstance(value, dict) and isinstance(value.get(_FUNCTION), dict) and value[_FUNCTION].get("Region"):
                region = resolve(value[_FUNCTION]["Region"], *context)
                asked = {name: resolve(item, *context) for name, item in value[_FUNCTION].items() if name != "Region"}
                with request_scope(get_account_id(), region):
                    return resolve({_FUNCTION: asked}, *context)
            return resolve(value, *context)

        return in_its_region

    wrap(engine, "_resolve_refs", extend)
    wrap(stacks, "_deploy_stack_async", _deleting_exports)
    handlers._ACTION_HANDLERS["CreateChangeSet"] = _executable(handlers._ACTION_HANDLERS["CreateChangeSet"])


def _deleting_exports(deploy: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Deploys a stack, then deletes the exports that its outputs no longer have. A failed update keeps all."""

    async def deploying(stack_name: str, stack_id: str, *rest: Any, **named: Any) -> None:
        await deploy(stack_name, stack_id, *rest, **named)
        kept = {output.get("ExportName") for output in (_stacks.get(stack_name) or {}).get("Outputs", [])}
        for name in [name for name, export in _exports.items() if export["StackId"] == stack_id and name not in kept]:
            _exports.pop(name)

    return deploying


def _executable(create: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    """Creates change sets that can be executed if they change outputs alone, in which the emulator finds no change."""

    def creating(request: dict[str, Any]) -> Any:
        answer = create(request)
        stack = handlers._resolve_stack(helpers._p(request, "StackName"))
        named = [stack["StackName"]] if stack else []
        _, change_set = changesets._find_change_set(helpers._p(request, "ChangeSetName"), *named)
        if stack and change_set and change_set["StatusReason"].startswith(_NO_CHANGES):
            before, after = (template.get("Outputs", {}) for template in (stack["_template"], change_set["_template"]))
            if before != after:
                change_set.update(Status="CREATE_COMPLETE", ExecutionStatus="AVAILABLE", StatusReason="")
        return answer

    return creating
