"""Judges changes of access in AWS: permissions of roles, trust policies, resource policies, cluster access entries."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from delivery.gate.findings import Finding, Verdict, finding
from delivery.gate.policies import Names, Statement, reaches_outside, statements, widened
from delivery.gate.templates import Resource, Side
from delivery.gate.values import Value, policy_document, text_of

_IDENTITIES = {"AWS::IAM::Role": "Roles", "AWS::IAM::User": "Users", "AWS::IAM::Group": "Groups"}
_IDENTITY_POLICIES = frozenset({"AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy"})
_EVERYTHING = Statement(True, Names(("*",)), Names(("*",)), Names(("AWS:*",)), ())
_OWN = re.compile(r"^«([^/«»]+)/([^.«»]+)")


@dataclass
class Subject:
    """A principal with permissions, or a resource with a policy.

    :param own: its resource, if a template of this side contains it.
    :param guards: whether the statements define who may access it, rather than what it may do.
    :param names: managed policies and other grants that are compared by name.
    :param boundary: its permissions boundary, or none.
    """

    own: Resource | None
    guards: bool
    statements: list[Statement] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    boundary: str = ""


Subjects = dict[tuple[str, bool], Subject]


def judge(before: Side, after: Side) -> Iterator[Finding]:
    """A finding for each subject that has more permissions, or grants more access, than before.

    A subject of a stack that is not deployed yet widens nothing. Neither does a subject that replaces a removed one and
    has no more permissions. A new resource policy is judged only by whether it grants access outside this account.
    """
    old, new = subjects(before), subjects(after)
    removed = {name for name, _ in old.keys() - new.keys()}
    for key, subject in new.items():
        own = subject.own
        if own is None or own.stack not in before.templates:
            continue
        if key in old:
            more = _more(old[key], subject)
        elif subject.guards and own.key not in before.by_key:
            more = [str(one) for one in subject.statements if reaches_outside(one, after.account)]
        elif any(_could_as_much(old, name, new, key[0]) for name in removed):
            more = []
        else:
            more = _more(Subject(None, subject.guards), subject)
        why = "it grants more access" if subject.guards else "it has more permissions"
        for words in more:
            yield finding(own, Verdict.WIDENING, words, why, stops=True)
    yield from _unguarded(before, after, old, new)


def _could_as_much(old: Subjects, name: str, new: Subjects, successor: str) -> bool:
    """Whether a removed subject had all permissions of its successor, and granted all of its access."""
    return not any(
        _more(old.get((name, guards), Subject(None, guards)), new[successor, guards])
        for guards in (True, False)
        if (successor, guards) in new
    )


def _more(old: Subject, new: Subject) -> list[str]:
    more = widened(old.statements, new.statements) + sorted(new.names - old.names)
    if old.boundary not in ("", new.boundary):
        more.append(f"permissions boundary: {old.boundary} -> {new.boundary or 'none'}")
    return more


def _unguarded(before: Side, after: Side, old: Subjects, new: Subjects) -> Iterator[Finding]:
    """Removed policies with a deny statement on resources that still exist."""
    for key, subject in old.items():
        if key in new or not subject.own or subject.own.key not in after.by_key:
            continue
        for denied in (one for one in subject.statements if not one.allows):
            yield finding(subject.own, Verdict.WIDENING, f"no longer: {denied}", "its denial is removed", stops=True)


def subjects(side: Side) -> Subjects:
    """All principals with permissions on a side, and all resources with a policy."""
    found: Subjects = {}
    for resource in side.resources():
        if resource.type in _IDENTITIES:
            _identity(side, resource, found)
        elif resource.type in _IDENTITY_POLICIES:
            _attached(side, resource, found)
        elif resource.type == "AWS::SSO::PermissionSet":
            _permission_set(side, resource, found)
        elif resource.type == "AWS::Lambda::Permission":
            _invocation(side, resource, found)
        elif resource.type == "AWS::EKS::AccessEntry":
            _cluster_access(side, resource, found)
        elif resource.type in ("AWS::EKS::PodIdentityAssociation", "AWS::SSO::Assignment"):
            _assigned(side, resource, found)
        else:
            _guarded(side, resource, found)
    return found


def _at(side: Side, name: str, found: Subjects, *, guards: bool, fallback: Resource) -> Subject:
    """The subject of a name. Its resource is the one that the name refers to, or else the one that mentions it."""
    match = _OWN.match(name)
    own = side.by_key.get((match.group(1), match.group(2))) if match else None
    key = f"«{match.group(1)}/{match.group(2)}»" if match else name
    return found.setdefault((key, guards), Subject(own or fallback, guards))


def _itself(resource: Resource) -> str:
    return f"«{resource.stack}/{resource.id}»"


def _identity(side: Side, role: Resource, found: Subjects) -> None:
    subject = _at(side, _itself(role), found, guards=False, fallback=role)
    for policy in _list(role.properties.get("Policies")):
        subject.statements += _statements(side, role, policy.get("PolicyDocument", ""))
    for arn in _list(role.properties.get("ManagedPolicyArns")):
        own = [side.by_key[key] for key in side.targets(role.stack, arn)]
        if own:
            subject.statements += _statements(side, own[0], own[0].properties.get("PolicyDocument", ""))
        else:
            subject.names.add(f"has {side.resolved(role.stack, text_of(arn))}")
    subject.boundary = side.resolved(role.stack, text_of(role.properties.get("PermissionsBoundary", "")))
    if "AssumeRolePolicyDocument" in role.properties:
        trust = _at(side, _itself(role), found, guards=True, fallback=role)
        trust.statements += _statements(side, role, role.properties["AssumeRolePolicyDocument"])


def _attached(side: Side, policy: Resource, found: Subjects) -> None:
    granted = _statements(side, policy, policy.properties.get("PolicyDocument", ""))
    names = [name for key in _IDENTITIES.values() for name in _list(policy.properties.get(key))]
    names += [policy.properties[key] for key in ("RoleName",) if key in policy.properties]
    for name in names:
        holder = side.resolved(policy.stack, text_of(name))
        _at(side, holder, found, guards=False, fallback=policy).statements += granted


def _permission_set(side: Side, own: Resource, found: Subjects) -> None:
    subject = _at(side, _itself(own), found, guards=False, fallback=own)
    subject.names |= {f"has {text_of(arn)}" for arn in _list(own.properties.get("ManagedPolicies"))}
    subject.statements += _statements(side, own, own.properties.get("InlinePolicy", ""))


def _invocation(side: Side, permission: Resource, found: Subjects) -> None:
    properties = permission.properties
    function = side.resolved(permission.stack, text_of(properties.get("FunctionName", "")))
    who = text_of(properties.get("Principal", "*"))
    kind = "Service" if who.endswith(".amazonaws.com") else "AWS"
    conditions = tuple(
        ("ArnLike", f"aws:{key.lower()}", (side.resolved(permission.stack, text_of(properties[key])),))
        for key in ("SourceAccount", "SourceArn", "PrincipalOrgID", "EventSourceToken")
        if key in properties
    )
    action = Names((text_of(properties.get("Action", "lambda:InvokeFunction")),), any_case=True)
    statement = Statement(True, action, Names((function,)), Names((f"{kind}:{who}",)), conditions)
    _at(side, function, found, guards=True, fallback=permission).statements.append(statement)


def _cluster_access(side: Side, entry: Resource, found: Subjects) -> None:
    who = side.resolved(entry.stack, text_of(entry.properties.get("PrincipalArn", "")))
    cluster = side.resolved(entry.stack, text_of(entry.properties.get("ClusterName", "")))
    name = f"access of {who} to {cluster}"
    subject = found.setdefault((name, False), Subject(entry, False))
    subject.names.add(f"{who} has access to the cluster")
    subject.names |= {f"is in group {text_of(one)}" for one in _list(entry.properties.get("KubernetesGroups"))}
    for policy in _list(entry.properties.get("AccessPolicies")):
        scope = policy.get("AccessScope", {})
        where = scope.get("Namespaces", ["*"]) if scope.get("Type") == "namespace" else ["*"]
        subject.statements += [
            Statement(True, Names((f"use {text_of(policy.get('PolicyArn', ''))}",)), Names((text_of(one),)), None, ())
            for one in where
        ]


def _assigned(side: Side, own: Resource, found: Subjects) -> None:
    """Principals to which a separate resource assigns a role or permission set."""
    keys = (
        ("ClusterName", "Namespace", "ServiceAccount", "RoleArn", "TargetRoleArn")
        if own.type == "AWS::EKS::PodIdentityAssociation"
        else ("PrincipalType", "PrincipalId", "PermissionSetArn", "TargetId")
    )
    words = [side.resolved(own.stack, text_of(own.properties[key])) for key in keys if key in own.properties]
    subject = found.setdefault((f"{own.type} {' '.join(words[:3])}", False), Subject(own, False))
    subject.names.add("holds " + " ".join(words))


def _guarded(side: Side, resource: Resource, found: Subjects) -> None:
    """Policies of resources: inline ones, and separate policy resources."""
    documents = list(_documents(resource.properties))
    is_endpoint = resource.type == "AWS::EC2::VPCEndpoint"
    if not documents and not is_endpoint:
        return
    granted = [one for document in documents for one in _statements(side, resource, document)]
    if is_endpoint and not documents:  # https://docs.aws.amazon.com/vpc/latest/privatelink/vpc-endpoints-access.html
        granted = [_EVERYTHING]
    names = [_itself(resource)]
    if resource.type.endswith("Policy"):
        others = [text_of(value) for value in resource.properties.values() if not list(_documents(value))]
        names = [side.resolved(resource.stack, found) for other in others for found in _each_text(other)]
    for name in names:
        _at(side, name, found, guards=True, fallback=resource).statements += granted


def _each_text(text: str) -> list[str]:
    """The strings of a JSON list, or the text itself."""
    if not text.startswith("["):
        return [text]
    return [text_of(one) for one in json.loads(text)]


def _documents(value: Value) -> Iterator[Value]:
    """Policy documents anywhere inside a value."""
    if isinstance(value, dict):
        if isinstance(value.get("Statement"), list) and any(isinstance(one, dict) for one in value["Statement"]):
            yield value
            return
        for item in value.values():
            yield from _documents(item)
    elif isinstance(value, list):
        for item in value:
            yield from _documents(item)


def _statements(side: Side, resource: Resource, document: Value) -> list[Statement]:
    """The statements of a document, with each resource under one name regardless of the stack that refers to it."""
    if isinstance(document, str):
        if not document.startswith("{"):
            return []
        document = policy_document(document)
    return statements(_resolved(side, resource.stack, document))


def _resolved(side: Side, stack: str, value: Value) -> Value:
    if isinstance(value, str):
        return side.resolved(stack, value)
    if isinstance(value, dict):
        return {side.resolved(stack, key): _resolved(side, stack, item) for key, item in value.items()}
    return [_resolved(side, stack, item) for item in value]


def _list(value: Value | None) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []
