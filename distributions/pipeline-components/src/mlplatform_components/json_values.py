"""Values that come from the parameters of a pipeline."""

from typing import Any


def whole_numbers(value: Any) -> Any:
    """The same value with whole numbers as integers: Kubeflow Pipelines passes every number in an object as a float."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {key: whole_numbers(inner) for key, inner in value.items()}
        case list() | tuple():
            return [whole_numbers(inner) for inner in value]
    return value
