"""Judges what becomes of resources: made, removed, replaced, interrupted, without what protects their data."""

from collections.abc import Iterator, Sequence

from delivery.gate.changes import Change, Changes, Difference
from delivery.gate.findings import Finding, Verdict, finding
from delivery.gate.following import Reference, Replaced, references_to, replacements, updates
from delivery.gate.kubernetes import MANIFEST
from delivery.gate.lifecycle import shortened
from delivery.gate.rules import at, rules_for
from delivery.gate.shown import shown
from delivery.gate.specification import Replacement, Specification
from delivery.gate.templates import Resource, Side

_KEPT = {"Delete": 0, "Snapshot": 1, "RetainExceptOnCreate": 2, "Retain": 2}
"""How much a removal policy keeps."""
_BECOMES = {
    "Delete": "it is deleted with all that it holds",
    "Snapshot": "a snapshot stays, and the platform goes on without its data",
    "Retain": "it stays in the account, no longer managed, and the platform goes on without its data",
    "RetainExceptOnCreate": "it stays in the account, no longer managed, and the platform goes on without its data",
}
_FOUNDATIONS = frozenset({"AWS::EC2::Subnet", "AWS::EC2::VPC"})
FOLLOWS = "follows another resource"
_MOST_SHOWN = 3
_JUDGED_BY_OBJECT = frozenset({MANIFEST, "Custom::KubernetesInventory", "Custom::KubernetesReadiness"})
"""What brings Kubernetes objects and waits for them: each of the objects is judged instead."""


def judge(before: Side, after: Side, changes: Changes, specification: Specification) -> Iterator[Finding]:
    """Findings for each resource that is not the same, one at least for each."""
    for found in _judge(before, after, changes, specification):
        if found.verdict != Verdict.SAFE or found.type not in _JUDGED_BY_OBJECT:
            yield found


def _judge(before: Side, after: Side, changes: Changes, specification: Specification) -> Iterator[Finding]:
    came_from = {old.key: after.by_key[key] for key, old in changes.renamed.items()}
    for resource in changes.added:
        yield from _added(resource)
    for resource in changes.removed:
        yield from _removed(resource, came_from.get(resource.key), specification)
    references = references_to(before, after)
    replaced = replacements(changes.changed, references, specification)
    for change in changes.changed:
        yield from _changed(change, specification, is_replaced=change.after.key in replaced)
    differences = {change.after.key: change.differences for change in changes.changed}
    for key, one in replaced.items():
        yield _replaced(one, differences.get(key, ()), before, specification)
    for reference, cause in updates(changes.changed, replaced, references):
        yield from _updated(reference, cause, is_replaced=cause.key in replaced)


def _added(resource: Resource) -> Iterator[Finding]:
    yield finding(resource, Verdict.SAFE, "new")
    for rule in rules_for(resource.type):
        if rule.verdict == Verdict.WIDENING and rule.when == "on":
            for name in rule.properties:
                if rule.applies(name, {}, resource.properties):
                    yield finding(resource, rule.verdict, f"{name}: true", rule.why, stops=True)


def _removed(resource: Resource, successor: Resource | None, specification: Specification) -> Iterator[Finding]:
    what = f"removed, and made anew as {successor.id}" if successor else "removed"
    if specification.is_stateful(resource.type):
        why = _BECOMES[resource.deletion]
        if successor:
            why = f"another logical id is another resource: {why}"
        yield finding(resource, Verdict.DATA_LOSING, what, why, stops=True)
        return
    removals = [rule for rule in rules_for(resource.type) if rule.when == "removed"]
    if removals and not successor:
        stops = removals[0].verdict in (Verdict.WIDENING, Verdict.DATA_LOSING)
        yield finding(resource, removals[0].verdict, what, removals[0].why, stops=stops)
    else:
        yield finding(resource, Verdict.SAFE, what)


def _changed(change: Change, specification: Specification, *, is_replaced: bool) -> Iterator[Finding]:
    found = [*_by_rules(change), *_policies(change, specification), *shortened(change)]
    yield from found
    if not found and not is_replaced:
        kept = f"DeletionPolicy: {change.before.deletion} -> {change.after.deletion}"
        yield finding(change.after, Verdict.SAFE, _words(change.differences) or kept)


def _by_rules(change: Change) -> Iterator[Finding]:
    before, after = change.before.properties, change.after.properties
    for rule in rules_for(change.after.type):
        for name in rule.properties:
            if rule.applies(name, before, after):
                what = shown(Difference(tuple(name.split(".")), at(before, name), at(after, name)))
                stops = rule.verdict in (Verdict.WIDENING, Verdict.DATA_LOSING)
                yield finding(change.after, rule.verdict, what, rule.why, stops=stops)


def _policies(change: Change, specification: Specification) -> Iterator[Finding]:
    if not specification.is_stateful(change.after.type):
        return
    pairs = (
        ("DeletionPolicy", change.before.deletion, change.after.deletion),
        ("UpdateReplacePolicy", change.before.on_replacement, change.after.on_replacement),
    )
    for name, old, new in pairs:
        if _KEPT[new] < _KEPT[old]:
            why = "a later removal or replacement no longer keeps its data"
            yield finding(change.after, Verdict.DATA_LOSING, f"{name}: {old} -> {new}", why, stops=True)


def _replaced(
    replaced: Replaced,
    differences: Sequence[Difference],
    before: Side,
    specification: Specification,
) -> Finding:
    resource = replaced.resource
    certain = replaced.certainty == Replacement.YES
    if replaced.follows:
        reasons = [f"{replaced.place} is of {replaced.follows.path}, which {'is' if certain else 'may be'} replaced"]
    elif certain:
        reasons = [f"{replaced.place or 'the type'} cannot change in place"]
    else:
        reasons = [f"only CloudFormation knows whether {replaced.place} changes in place"]
    stops = False
    if specification.is_stateful(resource.type):
        reasons.append(f"a new one begins empty; {_BECOMES[resource.on_replacement].replace('it ', 'the old one ', 1)}")
        stops = True
    if resource.type in _FOUNDATIONS:
        reasons.append("what stands in it cannot move to a new one, so the deployment would fail on its way")
        stops = True
    if names := _fixed_names(before.by_key[resource.key], resource, specification):
        reasons.append(f"no second one of the name {names} can be made beside it, so the deployment would fail")
        stops = True
    if replaced.place == "ServiceToken":
        reasons.append("CloudFormation refuses it; give the custom resource another id")
        stops = True
    verdict = Verdict.REPLACING if certain else Verdict.CONDITIONAL
    what = _words(differences) or FOLLOWS
    return finding(resource, verdict, what, "; ".join(reasons), stops=stops)


def _updated(reference: Reference, cause: Resource, *, is_replaced: bool) -> Iterator[Finding]:
    """An interruption that another value brings, though the text of the template is the same."""
    place = ".".join(reference.place)
    for rule in rules_for(reference.resource.type):
        named = any(f"{place}.".startswith(f"{name}.") for name in rule.properties)
        if named and rule.verdict == Verdict.INTERRUPTING and rule.when == "changed":
            what = f"{place} is of {cause.path}, which {'is replaced' if is_replaced else 'changes'}"
            yield finding(reference.resource, rule.verdict, what, rule.why)


def _fixed_names(before: Resource, after: Resource, specification: Specification) -> str:
    """The name that keeps a second resource from being made, or nothing."""
    names = [name for name in specification.name_properties(after.type) if name in after.properties]
    values = [(before.properties.get(name), after.properties[name]) for name in names]
    if not values or any(old != new for old, new in values):
        return ""
    if any("«" in str(new) for _, new in values) and before.type == after.type:
        return ""  # named after another resource, whose replacement gives another name
    return " ".join(str(new) for _, new in values)


def _words(differences: Sequence[Difference]) -> str:
    words = [shown(one) for one in differences[:_MOST_SHOWN]]
    more = len(differences) - len(words)
    return "; ".join([*words, f"and {more} more"] if more else words)
