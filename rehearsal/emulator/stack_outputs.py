"""``Fn::GetStackOutput`` across regions, which the emulator looks up in the region of the reading stack only."""

from collections.abc import Callable
from typing import Any

from ministack.core.responses import get_account_id, request_scope
from ministack.services.cloudformation import engine

from rehearsal.emulator.patching import wrap

_FUNCTION = "Fn::GetStackOutput"


def install() -> None:
    """Resolve the function where its ``Region`` says."""

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
