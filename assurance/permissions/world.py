"""Every account of the platform as IAM sees it: principals, their permissions, and the policies of resources."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path

from assurance.permissions.bootstrap_roles import bootstrap_roles
from assurance.permissions.physical import Place, attribute
from assurance.permissions.roles import Role
from delivery.assembly import Stack
from delivery.gate.access import Subject, subjects
from delivery.gate.kubernetes import Objects, objects
from delivery.gate.policies import Names, Statement, statements
from delivery.gate.templates import Resource, Side, side
from delivery.gate.values import Surroundings, Value, canonical, text_of

MANAGED = Path(__file__).with_name("data") / "managed_policies.json"
"""AWS's own policies that roles of the platform have, each with its version and the day of that. Published by AWS:
https://docs.aws.amazon.com/aws-managed-policy/latest/reference/policy-list.html"""
_REFERENCE = re.compile(r"«([^/«»]+)/([A-Za-z0-9]+)(?:\.([^«»]+))?»")
_SELECTED_PART = re.compile(r"\{'fn::select': \['(\d+)', \{'fn::split': \['([^']+)', '([^'«]+)'\]\}\]\}")
"""A part of a text, inside a condition key: the issuer of a cluster without its scheme."""
_POLICY_ARN = re.compile(r"arn:[^:\"]+:iam::(?:aws|\d{12}):policy/[^\"\s]+")


@dataclass(frozen=True)
class World:
    """Accounts, as their templates describe them."""

    side: Side
    places: Mapping[str, Place]
    stages: Mapping[str, str]
    """Account file by name of a stack; empty for stacks of the pipeline."""
    roles: Mapping[str, Role] = field(default_factory=dict)
    policies: Mapping[str, tuple[Statement, ...]] = field(default_factory=dict)
    """Policies of resources by ARN."""

    @classmethod
    def of(cls, stacks: Sequence[Stack]) -> "World":
        """Read the accounts of an assembly."""
        places = {stack.name: Place(stack.account, stack.region) for stack in stacks}
        stages = {stack.name: stack.id.partition("/")[0] if "/" in stack.id else "" for stack in stacks}
        empty = cls(side(stacks), places, stages)
        roles: dict[str, Role] = {}
        guards: dict[str, tuple[Statement, ...]] = {}
        for (name, guarding), subject in subjects(empty.side).items():
            if subject.own and subject.own.type == "AWS::IAM::Role":
                arn = empty.arn(subject.own)
                role = roles.get(arn) or empty._role(subject.own)
                roles[arn] = empty._with(role, subject, guarding)
            elif guarding:
                for arn in empty._guarded(name):
                    guards[arn] = guards.get(arn, ()) + empty._filled(subject)
        tools = next((place.account for name, place in places.items() if not stages[name]), "")
        for place in dict.fromkeys(places.values()):
            for role in bootstrap_roles(place, tools or place.account):
                roles[role.arn] = role
        return replace(empty, roles=roles, policies=guards)

    def resources(self, *types: str) -> Iterator[Resource]:
        return (resource for type in types for resource in self._by_type.get(type, ()))

    @cached_property
    def _by_type(self) -> Mapping[str, tuple[Resource, ...]]:
        found: dict[str, list[Resource]] = {}
        for resource in self.side.resources():
            found.setdefault(resource.type, []).append(resource)
        return {type: tuple(resources) for type, resources in found.items()}

    def arn(self, resource: Resource) -> str:
        if resource.key not in self._arns:
            self._arns[resource.key] = attribute(resource, "Arn", self.places[resource.stack])
        return self._arns[resource.key]

    @cached_property
    def _arns(self) -> dict[tuple[str, str], str]:
        return {}

    def place(self, resource: Resource) -> Place:
        return self.places[resource.stack]

    def text(self, stack: str, value: Value) -> str:
        """A value of a stack's template with every reference replaced by its name or ARN."""
        return self._physical(self.side.resolved(stack, text_of(value)), stack)

    def get(self, resource: Resource, path: str) -> str:
        """A property, by its path with dots, as text. Empty if there is none."""
        value: Value = resource.properties
        for step in path.split("."):
            if not isinstance(value, dict) or step not in value:
                return ""
            value = value[step]
        return self.text(resource.stack, value)

    @cached_property
    def by_arn(self) -> Mapping[str, Resource]:
        return {self.arn(resource): resource for resource in self.side.resources()}

    @cached_property
    def by_path(self) -> Mapping[str, tuple[Role, ...]]:
        found: dict[str, tuple[Role, ...]] = {}
        for role in self.roles.values():
            found[role.path] = (*found.get(role.path, ()), role)
        return found

    def behind(self, arn: str) -> Resource | None:
        """The resource of an ARN. The ARN may be that of a part: an object in a bucket, a stream of a log group."""
        if arn in self.by_arn:
            return self.by_arn[arn]
        bucket = arn.partition("/")[0]
        return self.by_arn.get(bucket) if bucket.startswith("arn:aws:s3:::") else None

    def key_of(self, resource: Resource) -> str | None:
        """ARN of the customer managed key that encrypts a resource, or none."""
        for path in _KEYS.get(resource.type, ()):
            if found := re.search(r"arn:[^:]+:kms:[^\"\]},]+", self.get(resource, path)):
                alias = self.by_arn.get(found.group(0))
                target = self.get(alias, "TargetKeyId") if alias and alias.type == "AWS::KMS::Alias" else ""
                return target or found.group(0)
            named = re.search(r"[\w-]+Key[\w]*", self.get(resource, path))
            for key in self.resources("AWS::KMS::Key"):
                if named and attribute(key, "", self.place(key)) == named.group(0):
                    return self.arn(key)
        return None

    def construct(self, path: str, account: str) -> str:
        """ARN of a resource of an account by its construct path. Empty if the account has none."""
        return self._constructs.get((path, account), "")

    @cached_property
    def _constructs(self) -> Mapping[tuple[str, str], str]:
        return {(self.path(one), self.place(one).account): self.arn(one) for one in self.side.resources()}

    @property
    def pipeline_account(self) -> str:
        """The account of the pipeline. Empty if there is none."""
        return next((place.account for name, place in self.places.items() if not self.stages[name]), "")

    def delivers(self, stage: str) -> bool:
        """Whether the pipeline delivers a stage: it has a role that reads it."""
        return f"Pipeline/{stage}Reader" in self.by_path

    def path(self, resource: Resource) -> str:
        stack = resource.stack
        stage = self.stages[stack]
        return f"{stack.removeprefix(f'{stage}-') if stage else stack}/{resource.path}"

    def issuer(self, cluster: Resource) -> str:
        """The issuer of a cluster's service account tokens, without the scheme, as condition keys have it."""
        return attribute(cluster, "OpenIdConnectIssuerUrl", self.place(cluster)).removeprefix("https://")

    def annotated_service_accounts(self, cluster: Resource) -> Mapping[tuple[str, str], str]:
        """The role in the annotation of each service account of a cluster, by namespace and name."""
        found = {}
        for (token, _), one in self._delivered.items():
            role = one.body.get("metadata", {}).get("annotations", {}).get("eks.amazonaws.com/role-arn", "")
            if role and one.kind == "ServiceAccount" and token == f"«{cluster.stack}/{cluster.id}»":
                metadata = one.body["metadata"]
                found[metadata["namespace"], metadata["name"]] = self.text(one.by.stack, role)
        return found

    @cached_property
    def _delivered(self) -> Objects:
        return objects(self.side)

    def _role(self, resource: Resource) -> Role:
        place = self.place(resource)
        return Role(self.arn(resource), self.path(resource), place.account, place.region, (), ())

    def _with(self, role: Role, subject: Subject, guarding: bool) -> Role:
        filled = self._filled(subject)
        if guarding:
            return replace(role, trust=filled)
        arns = tuple(arn for name in sorted(subject.names) for arn in _POLICY_ARN.findall(name))
        given = tuple(one for arn in arns for one in managed_statements(arn))
        boundary = managed_statements(subject.boundary) if subject.boundary else None
        return replace(role, statements=filled + given, managed=arns, own=len(filled), boundary=boundary)

    def _guarded(self, name: str) -> Iterator[str]:
        match = _REFERENCE.match(name)
        own = self.side.by_key.get((match.group(1), match.group(2))) if match else None
        yield self.arn(own) if own else self._physical(name, "")

    def _filled(self, subject: Subject) -> tuple[Statement, ...]:
        stack = subject.own.stack if subject.own else ""
        return tuple(self._statement(one, stack) for one in subject.statements)

    def _statement(self, one: Statement, stack: str) -> Statement:
        def filled(names: Names) -> Names:
            return replace(names, patterns=tuple(self._physical(text, stack) for text in names.patterns))

        return replace(
            one,
            resources=filled(one.resources),
            principals=filled(one.principals) if one.principals else None,
            conditions=tuple(
                (
                    operator,
                    _evaluated(self._physical(key, stack).lower()),
                    tuple(self._physical(value, stack) for value in values),
                )
                for operator, key, values in one.conditions
            ),
        )

    def _physical(self, text: str, stack: str) -> str:
        def put(match: re.Match[str]) -> str:
            own, id, name = match.groups()
            resource = self.side.by_key.get((own, id))
            return attribute(resource, name or "", self.places[own]) if resource else match.group(0)

        text = _REFERENCE.sub(put, text)
        if "«AWS::StackId»" in text and stack in self.places:
            place = self.places[stack]
            text = text.replace(
                "«AWS::StackId»", f"arn:aws:cloudformation:{place.region}:{place.account}:stack/{stack}/0"
            )
        return text


def _evaluated(key: str) -> str:
    """A condition key in which ``Fn::Select`` of an ``Fn::Split`` is replaced by its result."""
    return _SELECTED_PART.sub(lambda match: match.group(3).split(match.group(2))[int(match.group(1))], key)


_KEYS = {
    "AWS::S3::Bucket": ("BucketEncryption",),
    "AWS::SecretsManager::Secret": ("KmsKeyId",),
    "AWS::SQS::Queue": ("KmsMasterKeyId",),
    "AWS::SNS::Topic": ("KmsMasterKeyId",),
    "AWS::Kinesis::Stream": ("StreamEncryption",),
    "AWS::DynamoDB::Table": ("SSESpecification",),
    "AWS::Logs::LogGroup": ("KmsKeyId",),
    "AWS::EFS::FileSystem": ("KmsKeyId",),
    "AWS::FSx::FileSystem": ("KmsKeyId",),
    "AWS::RDS::DBInstance": ("KmsKeyId",),
    "AWS::CloudTrail::Trail": ("KMSKeyId",),
    "AWS::KinesisFirehose::DeliveryStream": ("DeliveryStreamEncryptionConfigurationInput",),
    "AWS::CodeBuild::Project": ("EncryptionKey",),
    "AWS::CodeArtifact::Domain": ("EncryptionKey",),
    "AWS::EKS::Cluster": ("EncryptionConfig",),
    "AWS::ECR::Repository": ("EncryptionConfiguration",),
}
"""Properties that name the key of a resource."""


@cache
def managed_statements(arn: str) -> tuple[Statement, ...]:
    """The statements of an AWS managed policy.

    :raises LookupError: for a policy that is not in the data; it would seem to grant nothing.
    """
    known = json.loads(MANAGED.read_text(encoding="utf-8"))
    if arn not in known:
        raise LookupError(f"{arn}: not in {MANAGED.name}; add its document with version and date")
    return tuple(statements(canonical(known[arn]["document"], Surroundings({}))))
