"""Judges resources that are created, removed, replaced or updated."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from delivery.gate import columns, failing, properties
from delivery.gate.changes import Change, Changes, Difference
from delivery.gate.findings import Finding, Verdict, finding
from delivery.gate.following import Reference, Replaced, references_to, replacements, updates
from delivery.gate.kubernetes import MANIFEST
from delivery.gate.lifecycle import shortened
from delivery.gate.rules import rules_for
from delivery.gate.shown import words
from delivery.gate.specification import Replacement, Specification
from delivery.gate.structure import structured
from delivery.gate.subjects import ADDED, REMOVED, belongs_to, subject_of
from delivery.gate.templates import Resource, Side

_KEPT = {"Delete": 0, "Snapshot": 1, "RetainExceptOnCreate": 2, "Retain": 2}
"""The order of deletion policies by what they keep."""
_BECOMES = {
    "Delete": "it is deleted with its data",
    "Snapshot": "a snapshot remains, and the platform continues without its data",
    "Retain": "it remains in the account, no longer managed, and the platform continues without its data",
    "RetainExceptOnCreate": "it remains in the account, no longer managed, and the platform continues without its data",
}
_ZONE = (
    "it is deleted with all that it holds, but only when no controller's records are left in it; else it remains, no "
    "longer managed: delete Ingresses and Services with names first, and deploy this after their records are gone"
)
_FOUNDATIONS = frozenset({"AWS::EC2::Subnet", "AWS::EC2::VPC"})
FOLLOWS = "follows another resource"
_JUDGED_BY_OBJECT = frozenset({MANIFEST, "Custom::KubernetesInventory", "Custom::KubernetesReadiness"})
"""Custom resources that apply Kubernetes objects and wait for them; the objects are judged instead."""


def judge(before: Side, after: Side, changes: Changes, specification: Specification) -> Iterator[Finding]:
    """Findings for the resources that differ, at least one for each."""
    for found in _judge(before, after, changes, specification):
        if found.verdict != Verdict.SAFE or found.type not in _JUDGED_BY_OBJECT:
            yield found


def _judge(before: Side, after: Side, changes: Changes, specification: Specification) -> Iterator[Finding]:
    came_from = {old.key: after.by_key[key] for key, old in changes.renamed.items()}
    for resource in changes.added:
        yield from _added(resource, before, after, is_renamed=resource.key in changes.renamed)
    for resource in changes.removed:
        yield from _removed(resource, came_from.get(resource.key), specification, before, after)
    references = references_to(before, after)
    replaced = replacements(changes.changed, references, specification)
    for change in changes.changed:
        yield from _changed(change, specification, is_replaced=change.after.key in replaced)
    differences = {change.after.key: change.differences for change in changes.changed}
    for key, one in replaced.items():
        yield _replaced(one, differences.get(key, ()), before, specification)
    updated = tuple(updates(changes.changed, replaced, references))
    by_key: dict[tuple[str, str], list[Reference]] = defaultdict(list)
    for reference, _ in updated:
        by_key[reference.resource.key].append(reference)
    yield from failing.judge(before, after, changes, replaced, by_key)
    for reference, cause in updated:
        yield from _updated(reference, cause, is_replaced=cause.key in replaced)


def _added(resource: Resource, before: Side, after: Side, *, is_renamed: bool) -> Iterator[Finding]:
    subject = subject_of(resource.type)
    if subject is None:
        yield finding(resource, Verdict.UNJUDGED, "new", properties.UNKNOWN, stops=True)
        return
    its = set(after.targets(resource.stack, resource.properties.get(belongs_to(resource.type), "")))
    if subject in ADDED and not is_renamed and (not its or its & before.by_key.keys()):
        verdict, why = ADDED[subject]
        yield finding(resource, verdict, "new", why, stops=True)
    else:
        yield finding(resource, Verdict.SAFE, "new")
    held = structured(resource.properties)
    assert isinstance(held, dict)
    for rule in rules_for(resource.type):
        if rule.verdict == Verdict.WIDENING and rule.when == "on":
            for name in rule.properties:
                if rule.default is None and rule.applies(name, {}, held):
                    yield finding(resource, rule.verdict, f"{name}: true", rule.why, stops=True)


def _removed(
    resource: Resource, successor: Resource | None, specification: Specification, before: Side, after: Side
) -> Iterator[Finding]:
    what = f"removed, and created again as {successor.id}" if successor else "removed"
    subject = subject_of(resource.type)
    its = set(before.targets(resource.stack, resource.properties.get(belongs_to(resource.type), "")))
    removals = [rule for rule in rules_for(resource.type) if rule.when == "removed"]
    if specification.is_stateful(resource.type):
        why = _BECOMES[resource.deletion]
        if resource.type == "AWS::Route53::HostedZone" and resource.deletion == "Delete":
            why = _ZONE
        if successor:
            why = f"a changed logical id means a new resource: {why}"
        yield finding(resource, Verdict.DATA_LOSING, what, why, stops=True)
    elif subject is None:
        yield finding(resource, Verdict.UNJUDGED, what, properties.UNKNOWN, stops=True)
    elif successor:
        yield finding(resource, Verdict.SAFE, what)
    elif removals:
        yield finding(resource, removals[0].verdict, what, removals[0].why, stops=removals[0].stops)
    elif subject in REMOVED and (not its or its & after.by_key.keys()):
        verdict, why = REMOVED[subject]
        yield finding(resource, verdict, what, why, stops=True)
    else:
        yield finding(resource, Verdict.SAFE, what)


def _changed(change: Change, specification: Specification, *, is_replaced: bool) -> Iterator[Finding]:
    found = [
        *properties.judge(change, specification),
        *_policies(change, specification),
        *shortened(change),
        *columns.judge(change),
    ]
    yield from found
    if not found and not is_replaced:
        kept = f"DeletionPolicy: {change.before.deletion} -> {change.after.deletion}"
        yield finding(change.after, Verdict.SAFE, words(change.differences) or kept)


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
        reasons.append(f"the new one is empty; {_BECOMES[resource.on_replacement].replace('it ', 'the old one ', 1)}")
        stops = True
    if resource.type in _FOUNDATIONS:
        reasons.append("its resources cannot move to a new one, so the deployment would fail half-way")
        stops = True
    if names := _fixed_names(before.by_key[resource.key], resource, specification):
        reasons.append(f"the name {names} is in use until the old one is deleted, so the deployment would fail")
        stops = True
    if replaced.place == "ServiceToken":
        reasons.append("CloudFormation refuses it; give the custom resource another id")
        stops = True
    verdict = Verdict.REPLACING if certain else Verdict.CONDITIONAL
    what = words(differences) or FOLLOWS
    return finding(resource, verdict, what, "; ".join(reasons), stops=stops)


def _updated(reference: Reference, cause: Resource, *, is_replaced: bool) -> Iterator[Finding]:
    """An interruption because the value of a reference changes, although the text of the template does not."""
    place = ".".join(reference.place)
    for rule in rules_for(reference.resource.type):
        named = any(f"{place}.".startswith(f"{name}.") for name in rule.properties)
        if named and rule.verdict == Verdict.INTERRUPTING and rule.when == "changed":
            what = f"{place} is of {cause.path}, which {'is replaced' if is_replaced else 'changes'}"
            yield finding(reference.resource, rule.verdict, what, rule.why)


def _fixed_names(before: Resource, after: Resource, specification: Specification) -> str:
    """The name under which a second resource cannot be created, or nothing."""
    names = [name for name in specification.name_properties(after.type) if name in after.properties]
    values = [(before.properties.get(name), after.properties[name]) for name in names]
    if not values or any(old != new for old, new in values):
        return ""
    if any("«" in str(new) for _, new in values) and before.type == after.type:
        return ""  # derived from another resource, whose replacement changes the name
    return " ".join(str(new) for _, new in values)
