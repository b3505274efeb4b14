"""Judges resources that AWS does not delete: they are protected, or a stack that is updated later still uses them.

CloudFormation deletes what a template no longer has at the end of the update of its own stack, before it updates the
stacks that refer to it. If AWS refuses the deletion, the update nevertheless succeeds, and the resource remains in the
account, no longer managed:
https://repost.aws/knowledge-center/cloudformation-update-complete-cleanup
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Set
from graphlib import CycleError, TopologicalSorter
from typing import Any

from delivery.gate.changes import Changes, Key
from delivery.gate.findings import Finding, Verdict, finding
from delivery.gate.following import Replaced, leaves
from delivery.gate.specification import Replacement
from delivery.gate.templates import Resource, Side
from delivery.gate.values import Surroundings, canonical, references

_OBJECTS = r"Custom::AWSCDK-EKS-\w+\.\w+"
"""Objects of a cluster, from which controllers make listeners, rules and network interfaces."""
_HOLDERS = {
    type: re.compile(f"({'|'.join(places)})(\\..*)?")
    for type, places in {
        "AWS::CertificateManager::Certificate": (
            _OBJECTS,
            r"AWS::ApiGateway(V2)?::DomainName\.\w+",
            r"AWS::Cognito::UserPoolDomain\.CustomDomainConfig",
            r"AWS::ElasticLoadBalancingV2::Listener(Certificate)?\.Certificates",
        ),
        "AWS::Cognito::UserPool": (r"AWS::Cognito::UserPoolDomain\.UserPoolId",),
        "AWS::EC2::SecurityGroup": (_OBJECTS, r"[\w:]+\.(.*\.)?(\w*SecurityGroup\w*|GroupSet)"),
        "AWS::EFS::FileSystem": (r"AWS::EFS::MountTarget\.FileSystemId",),
        "AWS::EKS::Cluster": (r"AWS::EKS::(FargateProfile|Nodegroup)\.ClusterName",),
        "AWS::ElasticLoadBalancingV2::TargetGroup": (
            r"AWS::ElasticLoadBalancingV2::(Listener|ListenerRule)\.(Default)?Actions",
        ),
        "AWS::IAM::ManagedPolicy": (r"AWS::IAM::(Group|Role|User)\.ManagedPolicyArns",),
        "AWS::IAM::Role": (
            r"AWS::IAM::(InstanceProfile|ManagedPolicy|Policy)\.Roles",
            r"AWS::IAM::RolePolicy\.RoleName",
        ),
        "AWS::RDS::DBParameterGroup": (r"AWS::RDS::DBInstance\.DBParameterGroupName",),
        "AWS::RDS::DBSubnetGroup": (r"AWS::RDS::DBInstance\.DBSubnetGroupName",),
        "AWS::Route53::HostedZone": (
            r"AWS::CertificateManager::Certificate\.DomainValidationOptions",
            r"AWS::Route53::RecordSet(Group)?\.HostedZoneId",
        ),
        "AWS::SSO::PermissionSet": (r"AWS::SSO::Assignment\.PermissionSetArn",),
        "AWS::WAFv2::IPSet": (r"AWS::WAFv2::(RuleGroup|WebACL)\.Rules",),
        "AWS::WAFv2::WebACL": (r"AWS::WAFv2::WebACLAssociation\.WebACLArn",),
    }.items()
}
"""Types, and places of references to them that keep AWS from deleting them, as the API reference of each deletion
states (DependencyViolation, DeleteConflict, ResourceInUse, HostedZoneNotEmpty ...)."""
_PROTECTION = frozenset({"DeletionProtection", "DeletionProtectionEnabled"})
_ATTRIBUTE = {"Key": "deletion_protection.enabled", "Value": "true"}
"""https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-load-balancer-attributes.html"""


def judge(
    before: Side,
    after: Side,
    changes: Changes,
    replaced: Mapping[Key, Replaced],
    forgotten: Mapping[str, Mapping[str, Any]],
    ids: Mapping[str, str],
) -> Iterator[Finding]:
    """A finding for each resource that is to be deleted, and that is protected, or used by a stack updated later.

    :param forgotten: deployed templates of stacks that are no longer part of the account, by name.
    :param ids: the ids of the stacks in the CDK CLI, by name, in the order of deployment.
    """
    deleted = {one.key: one for one in changes.removed if one.deletion == "Delete"}
    for key, replacement in replaced.items():
        if replacement.certainty == Replacement.YES and before.by_key[key].on_replacement == "Delete":
            deleted[key] = before.by_key[key]
    for key, one in deleted.items():
        if _is_protected(one):
            yield _protected(after.by_key.get(key, one), is_replaced=key in replaced)
    holders = _holders(before, {key: one for key, one in deleted.items() if one.type in _HOLDERS}, forgotten)
    users = {name for key in holders.keys() - replaced.keys() for name in holders[key]}
    steps = _steps(before, users, forgotten, ids) if users else ""
    for key, stacks in sorted(holders.items()):
        why = (
            f"AWS refuses to delete it while {' and '.join(sorted(stacks))} {'uses' if len(stacks) == 1 else 'use'} "
            "it, and it remains in the account, no longer managed; "
        )
        if key in replaced:
            why += "delete the old one yourself after the deployment"
            yield finding(after.by_key[key], Verdict.REPLACING, "replaced, but in use", why, stops=True)
        else:
            yield finding(deleted[key], Verdict.FAILING, "removed, but in use", why + steps, stops=True)


def _protected(resource: Resource, *, is_replaced: bool) -> Finding:
    what = f"{'replaced' if is_replaced else 'removed'}, but protected"
    why = (
        "AWS refuses to delete it while its deletion protection is on, and it remains in the account, no longer "
        "managed; switch the protection off with the AWS CLI right before the deployment"
    )
    return finding(resource, Verdict.INTERRUPTING, what, why, stops=True)


def _is_protected(resource: Resource) -> bool:
    attributes = resource.properties.get("LoadBalancerAttributes", [])
    if isinstance(attributes, list) and _ATTRIBUTE in attributes:
        return True
    return any(resource.properties.get(name) in ("true", "ACTIVE") for name in _PROTECTION)


def _steps(before: Side, holders: Set[str], forgotten: Mapping[str, Mapping[str, Any]], ids: Mapping[str, str]) -> str:
    """The commands that update or delete each stack before those whose resources it uses."""
    users: dict[str, set[str]] = {name: set() for name in [*ids, *forgotten]}
    for user, _, reference in _references(before, forgotten):
        producer = reference.split(":")[1]  # CDK names an export <stack>:<output>
        if producer in users and producer != user:
            users[producer].add(user)
    try:
        order = list(TopologicalSorter(users).static_order())
    except CycleError:  # possible between templates of two releases, after a deployment that failed half-way
        order = [*forgotten, *reversed(list(ids))]
    involved = holders if holders <= ids.keys() else holders | forgotten.keys()
    commands = [
        f"cdk deploy --exclusively {ids[name]}"
        if name in ids
        else f"aws cloudformation delete-stack --stack-name {name}"
        for name in order
        if name in involved
    ]
    return f"run in this order: {', '.join(f'`{command}`' for command in commands)}; then deploy everything"


def _holders(
    before: Side, deleted: Mapping[Key, Resource], forgotten: Mapping[str, Mapping[str, Any]]
) -> dict[Key, set[str]]:
    """The other stacks that keep each resource from being deleted."""
    found: dict[Key, set[str]] = defaultdict(set)
    if deleted:
        for stack, place, reference in _references(before, forgotten):
            for key in before.targets(stack, f"«{reference}»"):
                if key in deleted and key[0] != stack and _HOLDERS[deleted[key].type].fullmatch(place):
                    found[key].add(stack)
    return found


def _references(before: Side, forgotten: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Each reference to another stack: the stack that has it, its type and place, and the reference."""
    resources = [(one.stack, one.type, one.properties) for one in before.resources()]
    for stack, template in forgotten.items():
        around = Surroundings.of(template, account=before.account, region="", stack=stack)
        for body in template.get("Resources", {}).values():
            properties = canonical(body.get("Properties", {}), around)
            assert isinstance(properties, dict)
            resources.append((stack, body["Type"], properties))
    for stack, type, properties in resources:
        for place, text in leaves(properties):
            for reference in references(text):
                if reference.startswith(("import:", "output:")):
                    yield stack, ".".join((type, *place)), reference
