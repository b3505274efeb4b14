"""Judges exports that would go, or change, while a deployed stack still imports them.

CloudFormation refuses both, and the stack that has the export is updated before the one that uses it:
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-stack-exports.html
"""

from collections.abc import Iterator, Mapping
from typing import Any

from delivery.gate.findings import Finding, Verdict
from delivery.gate.templates import Side
from delivery.gate.values import references

_ADVICE = (
    "CloudFormation refuses it, because {users} still uses it; deploy first without the use and with the export "
    "(`export_value` of the stack), then without the export"
)


def judge(before: Side, after: Side, forgotten: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """A finding for each export that is in the way of its own stack.

    :param forgotten: deployed templates of stacks that are no longer part of the account, by name.
    """
    users = _users(before, forgotten)
    for name, (stack, value) in before.exports.items():
        if stack not in after.templates or not users.get(name):
            continue
        now = after.templates[stack].exports.get(name)
        if now != value:
            why = _ADVICE.format(users=", ".join(sorted(users[name])))
            what = "removed" if now is None else f"{value} -> {now}"
            yield Finding(stack, f"export {name}", name, "export", Verdict.FAILING, what, why, stops=True)


def _users(before: Side, forgotten: Mapping[str, Mapping[str, Any]]) -> dict[str, set[str]]:
    """Stacks by the export that they import."""
    found: dict[str, set[str]] = {}
    for resource in before.resources():
        for reference in references(list(resource.properties.values())):
            if reference.startswith("import:"):
                found.setdefault(reference.removeprefix("import:"), set()).add(resource.stack)
    for stack, template in forgotten.items():
        for name in _imports(template):
            found.setdefault(name, set()).add(stack)
    return found


def _imports(value: Any) -> Iterator[str]:
    """Names of exports anywhere inside a template."""
    if isinstance(value, dict):
        if isinstance(value.get("Fn::ImportValue"), str):
            yield value["Fn::ImportValue"]
        for item in value.values():
            yield from _imports(item)
    elif isinstance(value, list):
        for item in value:
            yield from _imports(item)
