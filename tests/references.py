"""Reads several templates as one: references between resources, within a stack or across, become readable names."""

import json
from collections.abc import Mapping
from typing import Any

from tests.policies import allows


class Templates:
    """Templates of stacks that refer to each other.

    ``{"Ref": "X"}`` and ``{"Fn::GetAtt": ["X", "Arn"]}`` of a stack read as ``<stack>//X`` and ``<stack>//X.Arn``, in
    whatever stack they are imported. A reference to a resource that its own template does not have is an error.
    """

    def __init__(self, templates: Mapping[str, Mapping[str, Any]]) -> None:
        self._templates = templates

    def resources(self, kind: str) -> dict[str, Any]:
        """The properties of all resources of a type, by their names, with all references replaced."""
        return {
            f"{stack}//{id}": self._value(stack, resource["Properties"])
            for stack, template in self._templates.items()
            for id, resource in template.get("Resources", {}).items()
            if resource["Type"] == kind
        }

    def assert_references_resolve(self) -> None:
        """Every reference is to a resource or an output of one of the templates."""
        for stack, template in self._templates.items():
            assert self._value(stack, template["Resources"]), f"{stack} has no resource"

    def _value(self, stack: str, value: Any) -> Any:
        match value:
            case {"Ref": "AWS::Partition"}:
                return "aws"
            case {"Ref": "AWS::StackId"}:
                return f"arn:aws:cloudformation:eu-west-1:111111111111:stack/{stack}/{stack}-id"
            case {"Ref": str(id)} if not id.startswith("AWS::"):
                return self._resource(stack, id)
            case {"Fn::GetAtt": [str(id), str(attribute)]}:
                return f"{self._resource(stack, id)}.{attribute}"
            case {"Fn::ImportValue": str(name)}:
                producer = name.partition(":")[0]
                return self._value(producer, self._output(producer, name))
            case {"Fn::GetStackOutput": {"StackName": str(producer), "OutputName": str(output)}}:
                return self._value(producer, self._templates[producer]["Outputs"][output]["Value"])
            case {"Fn::Join": [str(separator), list(parts)]}:
                return separator.join(str(self._value(stack, part)) for part in parts)
            case {"Fn::Split": [str(separator), text]}:
                return self._value(stack, text).split(separator)
            case {"Fn::Select": [index, items]}:
                return self._value(stack, items)[int(index)]
            case dict():
                return {key: self._value(stack, item) for key, item in value.items()}
            case list():
                return [self._value(stack, item) for item in value]
        return value

    def _resource(self, stack: str, id: str) -> str:
        assert id in self._templates[stack]["Resources"], f"{stack} refers to {id}, which it does not have"
        return f"{stack}//{id}"

    def _output(self, stack: str, name: str) -> Any:
        outputs = self._templates[stack]["Outputs"].values()
        return next(output["Value"] for output in outputs if output.get("Export", {}).get("Name") == name)


def may_assume(trust: Any, action: str, principal: str, context: Mapping[str, str]) -> bool:
    """Whether a trust policy, which a template may hold as text, lets ``principal`` take the role."""
    document = json.loads(trust) if isinstance(trust, str) else trust
    statements = [{**statement, "Resource": "*"} for statement in document["Statement"]]
    keys = {name.replace(":", "__").replace("-", "_"): value for name, value in context.items()}
    return allows(statements, action, "*", principal, **keys)
