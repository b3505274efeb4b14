"""The templates of one account on one side of the comparison: deployed, or about to be."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from delivery.assembly import Stack
from delivery.gate.values import TOKEN, Surroundings, Value, canonical, references, text_of

_MAY_BE_KNOWN = re.compile("«(import|output):|{{resolve:ssm:")
_PARAMETER = re.compile(r"\{\{resolve:ssm:([^:}]+)(?::\d+)?\}\}")
_LOCAL = re.compile(r"^([A-Za-z0-9]+)(?:\.(.+))?$")


@dataclass(frozen=True)
class Resource:
    """One resource of a template, its values in the one form.

    :param deletion: its deletion policy: ``Delete``, ``Retain``, ``Snapshot``.
    :param on_replacement: the same, when another takes its place.
    """

    stack: str
    id: str
    path: str
    type: str
    properties: dict[str, Value]
    deletion: str
    on_replacement: str

    @property
    def key(self) -> tuple[str, str]:
        return self.stack, self.id


@dataclass(frozen=True)
class Template:
    """One stack's template."""

    stack: str
    region: str
    resources: dict[str, Resource]
    outputs: dict[str, str]
    exports: dict[str, str]


@dataclass(frozen=True)
class Side:
    """All templates of an account, by the name of their stack."""

    account: str = ""
    templates: dict[str, Template] = field(default_factory=dict)

    def resources(self) -> Iterator[Resource]:
        for template in self.templates.values():
            yield from template.resources.values()

    @cached_property
    def by_key(self) -> dict[tuple[str, str], Resource]:
        return {resource.key: resource for resource in self.resources()}

    @cached_property
    def exports(self) -> dict[str, tuple[str, str]]:
        """Stack and value of each export."""
        return {
            name: (template.stack, value)
            for template in self.templates.values()
            for name, value in template.exports.items()
        }

    def targets(self, stack: str, value: Value) -> Iterator[tuple[str, str]]:
        """Keys of the resources that a value of ``stack`` refers to, through exports and outputs of other stacks."""
        for reference in references(value):
            yield from self._target(stack, reference)

    def resolved(self, stack: str, text: str) -> str:
        """A text with every reference in it written with the stack that has the resource: one name for one thing."""

        def put(match: re.Match[str]) -> str:
            reference = match.group(1)
            if reference.startswith("import:") and (found := self.exports.get(reference[7:])):
                return self.resolved(*found)
            if reference.startswith("output:") and (found := self._output(reference)):
                return self.resolved(*found)
            return f"«{stack}/{reference}»" if _LOCAL.match(reference) else match.group(0)

        return re.sub(r"«([^«»]*)»", put, text)

    def literal(self, reference: str) -> str | None:
        """The value of an import or an output of another stack that is written out, or None."""
        found = None
        if reference.startswith("import:"):
            found = self.exports.get(reference.removeprefix("import:"))
        elif reference.startswith("output:"):
            found = self._output(reference)
        return found[1] if found and not TOKEN.search(found[1]) else None

    def _output(self, reference: str) -> tuple[str, str] | None:
        _, stack, name = reference.partition("@")[0].split(":", 2)
        template = self.templates.get(stack)
        return (stack, template.outputs[name]) if template and name in template.outputs else None

    def _target(self, stack: str, reference: str) -> Iterator[tuple[str, str]]:
        if reference.startswith("import:"):
            found = self.exports.get(reference.removeprefix("import:"))
        elif reference.startswith("output:"):
            found = self._output(reference)
        else:
            local = _LOCAL.match(reference)
            if local and local.group(1) in self.templates[stack].resources:
                yield stack, local.group(1)
            return
        if found:
            yield from self.targets(*found)


def side(stacks: Iterable[Stack], templates: Mapping[str, Mapping[str, Any]] | None = None) -> Side:
    """The templates of an account's stacks.

    :param templates: the ones to read, by stack name; a stack without one is not deployed.
        Default: those of the assembly.
    """
    found: dict[str, Template] = {}
    account = ""
    for stack in stacks:
        account = stack.account
        source = stack.template if templates is None else templates.get(stack.name)
        if source is not None:
            found[stack.name] = _read(stack, source)
    return _with_known_values(Side(account, found))


def _with_known_values(side: Side) -> Side:
    """The same with every value of another stack's output, or of a parameter of Systems Manager, where it is used.

    Only what the templates write out is known; what refers to a resource stays a reference.
    """
    parameters = {
        text_of(one.properties["Name"]): text_of(one.properties.get("Value", ""))
        for one in side.resources()
        if one.type == "AWS::SSM::Parameter" and "Name" in one.properties
    }
    templates = {
        name: replace(
            template,
            resources={
                id: replace(
                    one, properties={key: _known(side, parameters, item) for key, item in one.properties.items()}
                )
                for id, one in template.resources.items()
            },
        )
        for name, template in side.templates.items()
    }
    return Side(side.account, templates)


def _known(side: Side, parameters: Mapping[str, str], value: Value) -> Value:
    if isinstance(value, dict):
        return {key: _known(side, parameters, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_known(side, parameters, item) for item in value]

    def of_output(match: re.Match[str]) -> str:
        found = side.literal(match.group(1))
        return match.group(0) if found is None else found

    def of_parameter(match: re.Match[str]) -> str:
        return parameters.get(match.group(1), match.group(0))

    return _PARAMETER.sub(of_parameter, TOKEN.sub(of_output, value)) if _MAY_BE_KNOWN.search(value) else value


def _read(stack: Stack, source: Mapping[str, Any]) -> Template:
    around = Surroundings.of(source, account=stack.account, region=stack.region, stack=stack.name)
    resources: dict[str, Resource] = {}
    for id, body in source.get("Resources", {}).items():
        properties = canonical(body.get("Properties", {}), around)
        assert isinstance(properties, dict)
        if "Condition" in body:  # whether it is there at all
            properties["(condition)"] = canonical({"Condition": body["Condition"]}, around)
        resources[id] = Resource(
            stack=stack.name,
            id=id,
            path=stack.paths.get(id, id),
            type=body["Type"],
            properties=properties,
            deletion=body.get("DeletionPolicy", _default_deletion(body)),
            on_replacement=body.get("UpdateReplacePolicy", "Delete"),
        )
    outputs = {id: text_of(canonical(body["Value"], around)) for id, body in source.get("Outputs", {}).items()}
    exports = {
        text_of(canonical(body["Export"]["Name"], around)): outputs[id]
        for id, body in source.get("Outputs", {}).items()
        if "Export" in body
    }
    return Template(stack.name, stack.region, resources, outputs, exports)


def _default_deletion(body: Mapping[str, Any]) -> str:
    """What CloudFormation does where the template says nothing.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-deletionpolicy.html
    """
    of_cluster = "DBClusterIdentifier" in body.get("Properties", {})
    snapshot = body["Type"] == "AWS::RDS::DBCluster" or (body["Type"] == "AWS::RDS::DBInstance" and not of_cluster)
    return "Snapshot" if snapshot else "Delete"
