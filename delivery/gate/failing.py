"""Judges updates that AWS refuses: by the step, by what changes together, or by what already exists.

Values that are refused one by one are in ``rules/failing.toml``.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

from delivery.gate import databases
from delivery.gate.changes import Change, Changes
from delivery.gate.findings import Finding, Verdict, finding
from delivery.gate.following import Reference, Replaced
from delivery.gate.specification import Replacement
from delivery.gate.templates import Resource, Side
from delivery.gate.values import text_of

_NODE_VERSION = frozenset({"LaunchTemplate", "ReleaseVersion", "Version"})
_WITH_NODE_VERSION = _NODE_VERSION | {"ForceUpdateEnabled"}
_LISTENER = "AWS::ElasticLoadBalancingV2::Listener"
_RULE = "AWS::ElasticLoadBalancingV2::ListenerRule"
_DOMAIN = "AWS::Cognito::UserPoolDomain"
_MINOR = re.compile(r"(\d+)\.(\d+)")
_NO_PRIORITY = ("", "")
_Key = tuple[str, str]


def judge(
    before: Side,
    after: Side,
    changes: Changes,
    replaced: Mapping[_Key, Replaced],
    updated: Mapping[_Key, list[Reference]],
) -> Iterator[Finding]:
    """A finding for each update that AWS refuses.

    :param replaced: resources that are replaced, which no update refuses.
    :param updated: references of resources that get another value, though their text is the same.
    """
    for change in changes.changed:
        if change.before.type != change.after.type or change.after.key in replaced:
            continue
        for judge_change in _JUDGES.get(change.after.type, ()):
            for what, why in judge_change(change):
                yield finding(change.after, Verdict.FAILING, what, why, stops=True)
        yield from databases.judge(change, after)
    yield from _downgrades(changes)
    yield from _node_groups(after, changes, replaced, updated)
    yield from _zones(before, after, changes)
    yield from _priorities(before, after)
    yield from _domains(before, after, changes, replaced)
    yield from _target_groups(before, after, replaced)


def _growth(change: Change) -> Iterator[tuple[str, str]]:
    """https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_PIOPS.ModifyingExisting.html

    The same holds for FSx: https://docs.aws.amazon.com/fsx/latest/LustreGuide/managing-storage-capacity.html
    """
    is_database = change.after.type == "AWS::RDS::DBInstance"
    name = "AllocatedStorage" if is_database else "StorageCapacity"
    setting = "database.storage_gib" if is_database else "storage.lustre.capacity_gib"
    old, new = _number(change.before, name), _number(change.after, name)
    if old and new and old < new and new * 10 < old * 11:
        least = -(-old * 11 // 10)
        yield f"{name}: {old:g} -> {new:g}", f"storage grows by a tenth at least; set {setting} to {least:g} or more"


def _shards(change: Change) -> Iterator[tuple[str, str]]:
    """https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateShardCount.html"""
    old, new = _number(change.before, "ShardCount"), _number(change.after, "ShardCount")
    if old and new and (new > old * 2 or new < old / 2):
        step = old * 2 if new > old else -(-old // 2)
        why = f"shards at most double or halve in a step; deploy {step:g} first, then go on to {new:g}"
        yield f"ShardCount: {old:g} -> {new:g}", why


def _minor(change: Change) -> Iterator[tuple[str, str]]:
    """https://docs.aws.amazon.com/eks/latest/userguide/update-cluster.html"""
    found = _minor_step(change)
    if not found or abs(found[2]) < 2:
        return
    old, new, step = found
    what = f"Version: {old} -> {new}"
    if step < 0:
        yield what, "a control plane goes back by one minor at most, and for seven days only; create another cluster"
    else:
        major, _, minor = old.partition(".")
        first = f"{major}.{int(minor) + 1}"
        yield what, f'EKS goes one minor at a time; deploy kubernetes = "{first}" first, then the next one'


def _airflow(change: Change) -> Iterator[tuple[str, str]]:
    """https://docs.aws.amazon.com/mwaa/latest/userguide/upgrading-environment.html"""
    old, new = (text_of(one.properties.get("AirflowVersion", "")) for one in (change.before, change.after))
    if old and new and old.partition(".")[0] != new.partition(".")[0]:
        why = (
            "MWAA changes minors in place, but no major; keep workloads.airflow.version, or remove "
            "[workloads.airflow], delete the stack, whose history of runs is lost, and add the table again"
        )
        yield f"AirflowVersion: {old} -> {new}", why


def _downgrades(changes: Changes) -> Iterator[Finding]:
    """https://docs.aws.amazon.com/eks/latest/userguide/update-cluster.html"""
    for change in changes.changed:
        if change.after.type == "AWS::EKS::Cluster" and (step := _minor_step(change)) and step[2] == -1:
            what = f"Version: {step[0]} -> {step[1]}"
            why = (
                "EKS takes back an upgrade within seven days only, and refuses it while a node is of the newer minor; "
                "compare `kubectl get nodes` before the deployment"
            )
            yield finding(change.after, Verdict.INTERRUPTING, what, why, stops=True)


def _minor_step(change: Change) -> tuple[str, str, int] | None:
    """Both minors of a cluster and the number of minors between them; None if one is known only at deployment."""
    old, new = (_MINOR.fullmatch(text_of(one.properties.get("Version", ""))) for one in (change.before, change.after))
    return (old.group(0), new.group(0), int(new.group(2)) - int(old.group(2))) if old and new else None


def _required_attributes(change: Change) -> Iterator[tuple[str, str]]:
    """https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/API_AddCustomAttributes.html"""
    old, new = (change.before.properties.get("Schema", []), change.after.properties.get("Schema", []))
    known = {text_of(one.get("Name", "")) for one in old if isinstance(one, dict)}
    for one in (one for one in new if isinstance(one, dict)):
        name = text_of(one.get("Name", ""))
        if name not in known and text_of(one.get("Required", "false")) == "true":
            yield f"Schema {name}: new", "an attribute that a user pool gains cannot be required; leave Required out"


def _endpoints(change: Change) -> Iterator[tuple[str, str]]:
    """https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html"""
    config = change.after.properties.get("ResourcesVpcConfig", {})
    given = config if isinstance(config, dict) else {}
    private = text_of(given.get("EndpointPrivateAccess", "false"))
    public = text_of(given.get("EndpointPublicAccess", "true"))
    if private == public == "false":
        yield "ResourcesVpcConfig: no endpoint", "a cluster has a private or a public endpoint; keep the private one"


def _health_checks(change: Change) -> Iterator[tuple[str, str]]:
    """https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_ModifyTargetGroup.html"""
    properties = change.after.properties
    if properties.get("HealthCheckEnabled") == "false" and properties.get("TargetType") != "lambda":
        yield "HealthCheckEnabled: false", "only targets that are functions have no health checks; leave it out"


def _node_groups(
    after: Side, changes: Changes, replaced: Mapping[_Key, Replaced], updated: Mapping[_Key, list[Reference]]
) -> Iterator[Finding]:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-eks-nodegroup.html"""
    names: dict[_Key, set[str]] = defaultdict(set)
    for change in changes.changed:
        names[change.after.key] |= {one.place[0] for one in change.differences}
    for key, references in updated.items():
        names[key] |= {one.place[0] for one in references}
    for key, changed in names.items():
        group = after.by_key[key]
        if group.type != "AWS::EKS::Nodegroup" or key in replaced:
            continue
        version, others = sorted(changed & _NODE_VERSION), sorted(changed - _WITH_NODE_VERSION)
        if version and others:
            why = (
                f"EKS refuses {' and '.join(version)} together with anything else; deploy the change of "
                f"{', '.join(others)} first, and the other one after it"
            )
            yield finding(group, Verdict.FAILING, f"{', '.join(version)} with {', '.join(others)}", why, stops=True)


def _zones(before: Side, after: Side, changes: Changes) -> Iterator[Finding]:
    """https://docs.aws.amazon.com/eks/latest/userguide/network-reqs.html"""
    for change in changes.changed:
        if change.after.type == "AWS::EKS::Cluster" and change.before.type == change.after.type:
            old, new = _zones_of(before, change.before), _zones_of(after, change.after)
            if old and (more := new - old):
                what = f"ResourcesVpcConfig.SubnetIds: subnets in {', '.join(sorted(more))}"
                why = (
                    "a control plane stays in the zones that it was created with; leave its subnets as they are, and "
                    "use the new zone for nodes alone"
                )
                yield finding(change.after, Verdict.FAILING, what, why, stops=True)


def _zones_of(side: Side, cluster: Resource) -> set[str]:
    config = cluster.properties.get("ResourcesVpcConfig", {})
    subnets = config.get("SubnetIds", []) if isinstance(config, dict) else []
    keys = side.targets(cluster.stack, subnets)
    zones = (side.by_key[key].properties.get("AvailabilityZone") for key in keys if key in side.by_key)
    return {text_of(zone) for zone in zones if zone is not None}


def _priorities(before: Side, after: Side) -> Iterator[Finding]:
    """https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-rules.html"""
    owners = {place: rule for rule in before.resources() if (place := _priority(before, rule)) != _NO_PRIORITY}
    for rule in after.resources():
        owner = owners.get(_priority(after, rule))
        if owner and owner.key != rule.key and rule.stack in before.templates:
            priority = text_of(rule.properties["Priority"])
            why = (
                f"PriorityInUse: {owner.path} has priority {priority} until the end of the update; deploy once with "
                "both rules at priorities that no rule has, or without the old one"
            )
            yield finding(rule, Verdict.FAILING, f"Priority: {priority}", why, stops=True)


def _priority(side: Side, rule: Resource) -> tuple[str, str]:
    """The listener of a rule and its priority."""
    if rule.type != _RULE or "Priority" not in rule.properties:
        return _NO_PRIORITY
    listener = side.resolved(rule.stack, text_of(rule.properties.get("ListenerArn", "")))
    return listener, text_of(rule.properties["Priority"])


def _domains(before: Side, after: Side, changes: Changes, replaced: Mapping[_Key, Replaced]) -> Iterator[Finding]:
    """https://docs.aws.amazon.com/cognito/latest/developerguide/cognito-user-pools-add-custom-domain.html"""
    old = {_kind_of_domain(before, one): one for one in before.resources() if one.type == _DOMAIN}
    new = [after.by_key[key] for key in replaced] + list(changes.added)
    for domain in (one for one in new if one.type == _DOMAIN):
        owner = old.get(_kind_of_domain(after, domain))
        if owner:
            name = text_of(owner.properties.get("Domain", ""))
            why = (
                "a user pool has one domain of a kind, and CloudFormation creates the new one first (User pool already "
                f"has a domain configured); delete the old one right before the deployment, during which no user "
                f"can sign in: aws cognito-idp delete-user-pool-domain --domain {name} --user-pool-id <pool>"
            )
            what = f"Domain: {name} -> {text_of(domain.properties.get('Domain', ''))}"
            yield finding(domain, Verdict.FAILING, what, why, stops=True)


def _kind_of_domain(side: Side, domain: Resource) -> tuple[str, bool]:
    """The user pool of a domain, and whether the domain is a custom one."""
    pool = side.resolved(domain.stack, text_of(domain.properties.get("UserPoolId", "")))
    return pool, "CustomDomainConfig" in domain.properties


def _target_groups(before: Side, after: Side, replaced: Mapping[_Key, Replaced]) -> Iterator[Finding]:
    """https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html"""
    old, new = _load_balancers(before), _load_balancers(after)
    for key in old.keys() & new.keys() - replaced.keys():
        moves = {one for one in new[key] if one not in old[key] or _is_certain(replaced.get(one))}
        if moves and old[key]:
            why = (
                "TargetGroupAssociationLimit: a target group belongs to one load balancer, and the old one exists "
                "until the end of the update; give the target group another construct id in the same deployment"
            )
            names = ", ".join(sorted(after.by_key[one].path for one in moves))
            yield finding(after.by_key[key], Verdict.FAILING, f"used by {names}, which is new", why, stops=True)


def _load_balancers(side: Side) -> dict[_Key, set[_Key]]:
    """The load balancers of each target group."""
    found: dict[_Key, set[_Key]] = defaultdict(set)
    for one in side.resources():
        if one.type in (_RULE, _LISTENER):
            balancers = _owners(side, one)
            for key in side.targets(
                one.stack, [one.properties.get("Actions", []), one.properties.get("DefaultActions", [])]
            ):
                if side.by_key[key].type == "AWS::ElasticLoadBalancingV2::TargetGroup":
                    found[key] |= balancers
    return found


def _owners(side: Side, one: Resource) -> set[_Key]:
    """The load balancer of a listener, or of the listener of a rule."""
    if one.type == _LISTENER:
        return set(side.targets(one.stack, one.properties.get("LoadBalancerArn", "")))
    listeners = side.targets(one.stack, one.properties.get("ListenerArn", ""))
    return {owner for key in listeners for owner in _owners(side, side.by_key[key])}


def _is_certain(replaced: Replaced | None) -> bool:
    return replaced is not None and replaced.certainty == Replacement.YES


def _number(resource: Resource, name: str) -> float:
    """The number that a property has; 0 where it has none, or where it is known only when it is deployed."""
    try:
        return float(text_of(resource.properties.get(name, "0")))
    except ValueError:
        return 0


_JUDGES = {
    "AWS::Cognito::UserPool": (_required_attributes,),
    "AWS::EKS::Cluster": (_minor, _endpoints),
    "AWS::ElasticLoadBalancingV2::TargetGroup": (_health_checks,),
    "AWS::FSx::FileSystem": (_growth,),
    "AWS::Kinesis::Stream": (_shards,),
    "AWS::MWAA::Environment": (_airflow,),
    "AWS::RDS::DBInstance": (_growth,),
}
"""What is compared of each type."""
