"""Judges the lifecycle rules of buckets: objects that expire sooner than before."""

from collections.abc import Iterator, Mapping
from typing import Any

from delivery.gate.changes import Change
from delivery.gate.findings import Finding, Verdict, finding

_DAYS = {
    "ExpirationInDays": ("ExpirationInDays",),
    "NoncurrentVersionExpiration": ("NoncurrentVersionExpiration", "NoncurrentDays"),
    "NoncurrentVersionExpirationInDays": ("NoncurrentVersionExpirationInDays",),
}
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html"""
_VERSIONS = ("NoncurrentVersionExpiration", "NewerNoncurrentVersions")


def shortened(change: Change) -> Iterator[Finding]:
    """A finding for each rule that deletes objects sooner than any rule did before."""
    if change.after.type != "AWS::S3::Bucket":
        return
    before, after = _rules(change.before.properties), _rules(change.after.properties)
    dates = {(_objects_of(rule), rule.get("ExpirationDate")) for rule in before}
    for rule in after:
        sooner = list(_fewer_versions(before, rule))
        if "ExpirationDate" in rule and (_objects_of(rule), rule["ExpirationDate"]) not in dates:
            sooner.append(f"ExpirationDate: {rule['ExpirationDate']}")
        for what in sooner:
            why = f"objects of {_objects_of(rule) or 'the whole bucket'} are deleted that were kept"
            yield finding(change.after, Verdict.DATA_LOSING, what, why, stops=True)
        for name, place in _DAYS.items():
            days = _days(rule, place)
            known = [_days(old, place) for old in before if _objects_of(old) == _objects_of(rule)]
            if days and not any(old and old <= days for old in known):
                what = f"{name}: {min((old for old in known if old), default='never')} -> {days:g} days"
                why = (
                    f"objects of {_objects_of(rule) or 'the whole bucket'} are deleted sooner, including existing ones"
                )
                yield finding(change.after, Verdict.DATA_LOSING, what, why, stops=True)


def _fewer_versions(before: list[dict[str, Any]], rule: Mapping[str, Any]) -> Iterator[str]:
    """A rule that keeps fewer former versions than each rule for the same objects did."""
    number = _days(rule, _VERSIONS)
    if _days(rule, _DAYS["NoncurrentVersionExpiration"]):
        known = [_days(old, _VERSIONS) for old in before if _objects_of(old) == _objects_of(rule)]
        if known and number < min(known):
            yield f"NewerNoncurrentVersions: {min(known):g} -> {number:g}"


def _rules(properties: Mapping[str, Any]) -> list[dict[str, Any]]:
    rules = properties.get("LifecycleConfiguration", {}).get("Rules", [])
    return [rule for rule in rules if isinstance(rule, dict) and rule.get("Status") == "Enabled"]


def _objects_of(rule: Mapping[str, Any]) -> str:
    """The objects that a rule applies to."""
    return " ".join(str(rule[key]) for key in ("Prefix", "TagFilters", "ObjectSizeGreaterThan") if key in rule)


def _days(rule: Mapping[str, Any], place: tuple[str, ...]) -> float:
    """Days until the deletion; 0 if the rule deletes nothing."""
    value: Any = rule
    for name in place:
        value = value.get(name, {}) if isinstance(value, dict) else {}
    return float(value) if isinstance(value, str) and value.isdigit() else 0
