"""Judges values of other stacks that change while the template of the stack that reads them does not.

``Fn::GetStackOutput`` is resolved when the stack that reads it is updated, and the CDK CLI skips a stack whose template
has not changed:
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-getstackoutput.html
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from delivery.assembly import Stack
from delivery.gate.changes import Key
from delivery.gate.findings import Finding, Verdict
from delivery.gate.following import Replaced
from delivery.gate.templates import Side


def judge(
    stacks: Iterable[Stack],
    deployed: Mapping[str, Mapping[str, Any]],
    before: Side,
    after: Side,
    replaced: Mapping[Key, Replaced],
) -> Iterator[Finding]:
    """A finding for each stack that a deployment skips although a value that it reads changes.

    :param deployed: templates that are deployed, by stack name.
    """
    for stack in stacks:
        if stack.template == deployed.get(stack.name):
            changed = sorted({name for name in _outputs(stack.template) if _changes(*name, before, after, replaced)})
            if changed:
                values: dict[str, list[str]] = defaultdict(list)
                for producer, output in changed:
                    values[producer].append(output)
                what = "; ".join(f"{', '.join(names)} of {producer} changes" for producer, names in values.items())
                why = (
                    "the CDK CLI skips a stack whose template is unchanged, so that it keeps the old values; deploy "
                    f"everything, then run `cdk deploy --force --exclusively {stack.id}`"
                )
                yield Finding(
                    stack.name, "outputs of other stacks", "outputs", "stack", Verdict.INTERRUPTING, what, why
                )


def _changes(stack: str, output: str, before: Side, after: Side, replaced: Mapping[Key, Replaced]) -> bool:
    """Whether the value of an output changes, as far as the templates show."""
    old, new = (
        side.templates[stack].outputs.get(output) if stack in side.templates else None for side in (before, after)
    )
    if old is None or new is None:
        return False
    return old != new or any(key in replaced for key in after.targets(stack, new))


def _outputs(value: Any) -> Iterator[tuple[str, str]]:
    """Stack and name of every output that a template reads."""
    if isinstance(value, dict):
        if isinstance(reference := value.get("Fn::GetStackOutput"), dict):
            yield str(reference.get("StackName")), str(reference.get("OutputName"))
        for item in value.values():
            yield from _outputs(item)
    elif isinstance(value, list):
        for item in value:
            yield from _outputs(item)
