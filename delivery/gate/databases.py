"""Judges updates of databases and tables that AWS refuses, or that CloudFormation makes by a replacement."""

from collections.abc import Iterator
from typing import Any

from delivery.gate.changes import Change
from delivery.gate.findings import Finding, Verdict, finding
from delivery.gate.templates import Resource, Side
from delivery.gate.values import text_of

_LEAST_ZONES = 2
_STORAGE = ("AllocatedStorage", "MaxAllocatedStorage")


def judge(change: Change, after: Side) -> Iterator[Finding]:
    """Findings for a change of a database, of the subnets that it may run in, or of a table."""
    match change.after.type:
        case "AWS::DynamoDB::Table":
            yield from _indexes(change)
            yield from _attributes(change)
        case "AWS::RDS::DBInstance":
            yield from _major(change, after)
            yield from _most_storage(change)
        case "AWS::RDS::DBSubnetGroup":
            yield from _subnets(change)


def _indexes(change: Change) -> Iterator[Finding]:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-dynamodb-table.html"""
    old, new = (_named(one, "GlobalSecondaryIndexes", "IndexName") for one in (change.before, change.after))
    if len(old.keys() ^ new.keys()) > 1:
        what = f"GlobalSecondaryIndexes: {', '.join(sorted(old.keys() ^ new.keys()))}"
        yield _failing(change, what, "one index is created or deleted in a deployment; change the others in later ones")
    for name in sorted(old.keys() & new.keys()):
        changed = [key for key in ("KeySchema", "Projection") if old[name].get(key) != new[name].get(key)]
        if changed:
            what = f"GlobalSecondaryIndexes {name}: {', '.join(changed)}"
            yield _failing(change, what, "an index keeps its keys and projection; create one of another name")


def _attributes(change: Change) -> Iterator[Finding]:
    """CloudFormation replaces the table where an attribute has another type, or a local index changes.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-dynamodb-table.html
    """
    old, new = (_named(one, "AttributeDefinitions", "AttributeName") for one in (change.before, change.after))
    edited = [name for name in sorted(old.keys() & new.keys()) if old[name] != new[name]]
    why = "CloudFormation replaces the table, and a new one begins empty; take another name, and copy the items"
    if edited:
        yield finding(change.after, Verdict.DATA_LOSING, f"AttributeDefinitions: {', '.join(edited)}", why, stops=True)
    local = "LocalSecondaryIndexes"
    if change.before.properties.get(local) != change.after.properties.get(local):
        yield finding(change.after, Verdict.DATA_LOSING, local, why, stops=True)


def _major(change: Change, after: Side) -> Iterator[Finding]:
    """https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_UpgradeDBInstance.MySQL.html"""
    old, new = (_major_of(one) for one in (change.before, change.after))
    if not old or not new or old == new:
        return
    what = f"EngineVersion: {'.'.join(old)} -> {'.'.join(new)}"
    if text_of(change.after.properties.get("AllowMajorVersionUpgrade", "false")) != "true":
        yield _failing(change, what, "another major needs AllowMajorVersionUpgrade; set it in the same deployment")
    group = text_of(change.after.properties.get("DBParameterGroupName", ""))
    for key in after.targets(change.after.stack, group):
        family = text_of(after.by_key[key].properties.get("Family", ""))
        if family.endswith(".".join(old)):
            why = f"its parameter group is of the family {family}; give it one of the new major in the same deployment"
            yield _failing(change, what, why)


def _most_storage(change: Change) -> Iterator[Finding]:
    """https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_PIOPS.Autoscaling.html"""
    first, most = (text_of(change.after.properties.get(name, "")) for name in _STORAGE)
    if first.isdigit() and most.isdigit() and int(most) * 10 < int(first) * 11:
        why = f"storage must have room to grow by a tenth; set database.max_storage_gib to {-(-int(first) * 11 // 10)}"
        yield _failing(change, f"MaxAllocatedStorage: {most} for AllocatedStorage {first}", why)


def _subnets(change: Change) -> Iterator[Finding]:
    """https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_VPC.WorkingWithRDSInstanceinaVPC.html"""
    before, subnets = (one.properties.get("SubnetIds", []) for one in (change.before, change.after))
    if isinstance(subnets, list) and len(subnets) < _LEAST_ZONES:
        yield _failing(change, f"SubnetIds: {len(subnets)}", "a database needs subnets in two zones at least")
    elif (
        isinstance(before, list)
        and isinstance(subnets, list)
        and (gone := [one for one in before if one not in subnets])
    ):
        why = (
            "AWS refuses it while the database or its standby is in such a subnet; `aws rds describe-db-instances` "
            "prints both zones"
        )
        what = f"SubnetIds: {len(gone)} removed"
        yield finding(change.after, Verdict.INTERRUPTING, what, why, stops=True)


def _failing(change: Change, what: str, why: str) -> Finding:
    return finding(change.after, Verdict.FAILING, what, why, stops=True)


def _major_of(database: Resource) -> list[str]:
    """The first two numbers of a version of MySQL, such as 8 and 4; nothing for other engines."""
    engine, version = (text_of(database.properties.get(name, "")) for name in ("Engine", "EngineVersion"))
    return version.split(".")[:2] if engine == "mysql" else []


def _named(table: Resource, property: str, name: str) -> dict[str, dict[str, Any]]:
    found = table.properties.get(property, [])
    return {text_of(one.get(name, "")): one for one in found if isinstance(one, dict)}
