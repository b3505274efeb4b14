"""Decides what a template's policies allow, by the rules of IAM within one account: allowed somewhere, denied nowhere.

Knows what the tests need: identity policies of roles, policies of buckets, and the conditions that they use. What it
does not know is an error, never an answer.
"""

from fnmatch import fnmatchcase
from typing import Any

from aws_cdk.assertions import Template

Statement = dict[str, Any]


def flat(value: Any) -> str:
    """A CloudFormation value as one line: ``<Logical.Arn>/prefix``."""
    match value:
        case str():
            return value
        case {"Fn::Join": [delimiter, items]}:
            return delimiter.join(map(flat, items))
        case {"Fn::GetAtt": [resource, attribute]}:
            return f"<{resource}.{attribute}>"
        case {"Fn::ImportValue": name}:
            return f"<{name}>"
        case {"Fn::GetStackOutput": {"StackName": stack, "OutputName": output}}:
            return f"<{stack}.{output}>"
        case {"Ref": name}:
            return f"<{name}>"
    raise AssertionError(f"cannot read {value}")


def many(value: Any) -> list[Any]:
    """IAM writes a list of one as the one."""
    return value if isinstance(value, list) else [value]


def identity_statements(template: Template, role: str) -> list[Statement]:
    """The policy statements of the role with this logical id."""
    assert role in template.find_resources("AWS::IAM::Role"), f"no role {role}"
    return [
        statement
        for policy in template.find_resources("AWS::IAM::Policy").values()
        if {"Ref": role} in policy["Properties"]["Roles"]
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    ]


def bucket_statements(template: Template, bucket: str) -> list[Statement]:
    """The policy statements of the bucket with this logical id."""
    assert bucket in template.find_resources("AWS::S3::Bucket"), f"no bucket {bucket}"
    return [
        statement
        for policy in template.find_resources("AWS::S3::BucketPolicy").values()
        if policy["Properties"]["Bucket"] == {"Ref": bucket}
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    ]


def allows(statements: list[Statement], action: str, resource: str, principal: str = "*", **context: str) -> bool:
    """Whether ``principal`` may do ``action`` on ``resource``, in a request with these condition keys.

    :param principal: an ARN, for policies of resources.
    :param context: condition keys, ``:`` and ``-`` written as ``__`` and ``_``.
    """
    keys = {name.replace("__", ":").replace("_", "-"): value for name, value in context.items()}
    hits = [each for each in statements if _applies(each, action, resource, principal, keys)]
    return any(each["Effect"] == "Allow" for each in hits) and not any(each["Effect"] == "Deny" for each in hits)


def _applies(statement: Statement, action: str, resource: str, principal: str, keys: dict[str, str]) -> bool:
    return (
        any(fnmatchcase(action, pattern) for pattern in many(statement["Action"]))
        and any(fnmatchcase(resource, flat(pattern)) for pattern in many(statement["Resource"]))
        and _names(statement.get("Principal", "*"), principal)
        and all(
            _holds(operator, key, list(map(flat, many(wanted))), keys)
            for operator, tests in statement.get("Condition", {}).items()
            for key, wanted in tests.items()
        )
    )


def _names(principals: Any, principal: str) -> bool:
    if principals == "*":
        return True
    return any(flat(each) in ("*", principal) for kind in principals.values() for each in many(kind))


def _holds(operator: str, key: str, wanted: list[str], keys: dict[str, str]) -> bool:
    there = keys.get(key)
    operator = operator.removeprefix("ForAllValues:")  # of a request with one value, or none
    match operator:
        case "Null":
            return (there is None) == (wanted == ["true"])
        case "StringEquals" | "ArnEquals" | "Bool":
            return there in wanted
        case "StringEqualsIfExists":
            return there is None or there in wanted
        case "StringNotEquals" | "ArnNotEquals":
            return there not in wanted
        case "StringNotLike":
            return there is None or not any(fnmatchcase(there, pattern) for pattern in wanted)
        case "StringLike" | "ArnLike":
            return there is not None and any(fnmatchcase(there, pattern) for pattern in wanted)
    raise AssertionError(f"cannot decide {operator}")
