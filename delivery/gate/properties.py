"""Judges changed properties: by a comparison of their values where a table has one, else by what they are about."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from delivery.gate import decisions
from delivery.gate.changes import Change, Difference, Place
from delivery.gate.findings import Finding, Verdict, finding
from delivery.gate.rules import Rule, rules_at, rules_for
from delivery.gate.shown import shown, words
from delivery.gate.specification import Specification
from delivery.gate.structure import leaves, names_of, pairs_at, structured, without
from delivery.gate.subjects import CHANGED, cosmetic_places, subject_at, subject_of

UNKNOWN = "no table in delivery/gate/subjects says what it is about; add it there, or find out and approve the change"


def judge(change: Change, specification: Specification) -> Iterator[Finding]:
    """Findings for the properties of a resource that both sides have, none if all of its changes are safe."""
    if change.before.type != change.after.type:
        return
    if subject_of(change.after.type) is None:
        yield finding(change.after, Verdict.UNJUDGED, words(change.differences), UNKNOWN, stops=True)
        return
    before, after = (structured(one.properties) for one in (change.before, change.after))
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    compared: set[Place] = set()
    refused: set[Place] = set()
    for rule in sorted(rules_for(change.after.type), key=lambda one: one.verdict != Verdict.FAILING):
        for name in rule.properties:
            place = rule.place(name)
            apart = _judged_apart(rule, place, change.after.type)
            old, new = (without(one, apart) for one in (before, after))
            if place not in refused and rule.applies(name, old, new):
                if rule.verdict != Verdict.INTERRUPTING:
                    compared.add(place)
                if rule.verdict == Verdict.FAILING:
                    refused.add(place)
                what = "; ".join(dict.fromkeys(_shown(place, before, after)))
                yield finding(change.after, rule.verdict, what, rule.why, stops=rule.stops)
    left = [one for one in leaves(before, after) if not _is_compared(change.after.type, names_of(one.place), compared)]
    yield from _by_subject(change, left, specification)


def _judged_apart(rule: Rule, place: Place, type: str) -> list[Place]:
    """The places below a rule's that another rule of the same verdict judges, or that are cosmetic."""
    others = [one.place(name) for one in rules_for(type) if one.verdict == rule.verdict for name in one.properties]
    return [one for one in (*others, *cosmetic_places(type)) if len(one) > len(place) and one[: len(place)] == place]


def _is_compared(type: str, place: Place, compared: set[Place]) -> bool:
    return not decisions.is_free(type, place) and any(place[: len(one)] == one for one in compared)


def _shown(place: Place, before: dict[str, object], after: dict[str, object]) -> Iterator[str]:
    for old, new in pairs_at(before, after, place):
        if old != new:
            yield shown(Difference(place, old, new))


def _compares(rule: Rule, type: str, place: Place) -> bool:
    """Whether the verdict of a rule about a place is complete. That of an interruption is not."""
    return rule.verdict != Verdict.INTERRUPTING and bool(rule.key or not decisions.is_free(type, place))


def _by_subject(change: Change, differences: Iterable[Difference], specification: Specification) -> Iterator[Finding]:
    """One finding for each verdict and reason that the subjects of properties give."""
    found: dict[tuple[Verdict, str], list[Difference]] = defaultdict(list)
    type = change.after.type
    for one in differences:
        place = names_of(one.place)
        if any(_compares(rule, type, place) for rule in rules_at(type, place)):
            continue
        is_replaced = specification.knows(type, place[:1]) and specification.replacement(type, place)
        if specification.is_stateful(type) and is_replaced:
            continue  # the replacement stops
        subject = subject_at(type, place, specification)
        if subject is None:
            found[Verdict.UNJUDGED, UNKNOWN].append(one)
        elif subject in CHANGED:
            found[CHANGED[subject]].append(one)
        elif why := decisions.worse(change.after, one):
            found[Verdict.WIDENING, why].append(one)
    for (verdict, why), all_of_them in found.items():
        yield finding(change.after, verdict, words(all_of_them), why, stops=True)
