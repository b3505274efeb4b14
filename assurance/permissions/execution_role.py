"""``python -m assurance.permissions.execution_role``: the permissions that CloudFormation's execution role needs.

CloudFormation's registry publishes the actions that the handlers of each resource type call. The copy is that of
cfn-lint; ``day`` returns its date. A role is passed to the service of the resource type whose property names it.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from assurance.permissions import reference
from delivery.assembly import ASSEMBLY, Stack, read_assembly
from delivery.bootstrap import services
from delivery.execution_policy import FILE, Execution

_SCHEMAS = files("cfnlint") / "data" / "schemas"
_OWN = re.compile(r"^iam:(?!List|PassRole|CreateServiceLinkedRole)\w*(Role|InstanceProfile)\w*$")
"""Actions on roles and instance profiles: these can be limited by name."""
_RENAMED = {
    "s3:DeleteBucketAnalyticsConfiguration": "s3:PutAnalyticsConfiguration",
    "s3:DeleteBucketCors": "s3:PutBucketCORS",
    "s3:DeleteBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:DeleteBucketLifecycle": "s3:PutLifecycleConfiguration",
    "s3:DeleteBucketMetricsConfiguration": "s3:PutMetricsConfiguration",
    "s3:DeleteBucketReplication": "s3:PutReplicationConfiguration",
    "s3:PutBucketReplication": "s3:PutReplicationConfiguration",
    "s3:PutObjectLockConfiguration": "s3:PutBucketObjectLockConfiguration",
}
"""Operations that handlers list by another name than that of the action that allows them.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html"""
WITHOUT_HANDLERS = {
    # A handle is an address that CloudFormation signs itself.
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudformation-waitconditionhandle.html
    "AWS::CloudFormation::WaitConditionHandle": (),
    # https://docs.aws.amazon.com/codebuild/latest/userguide/auth-and-access-control-permissions-reference.html
    "AWS::CodeBuild::Project": (
        "codebuild:BatchGetProjects",
        "codebuild:CreateProject",
        "codebuild:DeleteProject",
        "codebuild:UpdateProject",
    ),
    # https://docs.aws.amazon.com/fsx/latest/LustreGuide/access-control-overview.html
    "AWS::FSx::FileSystem": (
        "ec2:CreateNetworkInterface",
        "ec2:CreateNetworkInterfacePermission",
        "ec2:DescribeSubnets",
        "fsx:CreateFileSystem",
        "fsx:DeleteFileSystem",
        "fsx:DescribeFileSystems",
        "fsx:TagResource",
        "fsx:UntagResource",
        "fsx:UpdateFileSystem",
    ),
}
"""Types that the registry has without handlers, from before it had any."""
PASSED_TO = {
    "AWS::CloudTrail::Trail": "cloudtrail.amazonaws.com",
    "AWS::CodeBuild::Project": "codebuild.amazonaws.com",
    "AWS::CodePipeline::Pipeline": "codepipeline.amazonaws.com",
    "AWS::EC2::FlowLog": "vpc-flow-logs.amazonaws.com",
    "AWS::EKS::Cluster": "eks.amazonaws.com",
    "AWS::EKS::Nodegroup": "eks.amazonaws.com",
    "AWS::EKS::PodIdentityAssociation": "pods.eks.amazonaws.com",
    "AWS::IAM::InstanceProfile": "ec2.amazonaws.com",
    "AWS::KinesisFirehose::DeliveryStream": "firehose.amazonaws.com",
    "AWS::Lambda::Function": "lambda.amazonaws.com",
    "AWS::MWAA::Environment": "airflow.amazonaws.com",
    "AWS::S3::Bucket": "s3.amazonaws.com",
    "AWS::Scheduler::Schedule": "scheduler.amazonaws.com",
    "AWS::StepFunctions::StateMachine": "states.amazonaws.com",
}
"""The service that a type's properties pass a role to.
https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html"""
_LOG_DELIVERY = (
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
)
"""To log the requests to an API.
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging.html"""
_ROLE_PROPERTIES = re.compile(r"(Role|RoleArn|RoleARN|ServiceRole|NodeRole|DeliverLogsPermissionArn|Roles)$")
_NO_PASSING = frozenset(
    {"AWS::IAM::Policy", "AWS::IAM::RolePolicy", "AWS::EKS::AccessEntry", "AWS::Cognito::IdentityPool"}
)
"""Types whose properties name roles without passing them."""


class UnknownTypeError(ValueError):
    """A resource type whose handlers' actions are unknown."""


def day() -> str:
    """The date of the copy of the registry."""
    found: dict[str, str] = json.loads((_SCHEMAS / "version.json").read_text(encoding="utf-8"))
    return found["schema_date"][:10]


def needed(stacks: Sequence[Stack]) -> Execution:
    """The permissions to create, update and delete these stacks.

    :raises UnknownTypeError: for a type without handlers that ``WITHOUT_HANDLERS`` does not have, and for a role that
        is passed to a service that ``PASSED_TO`` does not have.
    """
    actions: set[str] = set()
    passed: set[str] = set()
    for stack in stacks:
        for id, resource in stack.template.get("Resources", {}).items():
            actions.update(of_resource(resource))
            passed.update(_passed(f"{stack.id}/{id}", resource))
        actions.update(_of_template(stack.template))
    own = {action for action in actions if _OWN.match(action)}
    rest = actions - own - {"iam:PassRole", "iam:CreateServiceLinkedRole"}
    return Execution(tuple(sorted(rest)), tuple(sorted(own)), tuple(sorted(passed)), tuple(sorted(services(stacks))))


def of_resource(resource: dict[str, Any]) -> Iterator[str]:
    """Actions for one resource. A custom resource is a call of its function."""
    type = resource["Type"]
    if type.startswith("Custom::") or type == "AWS::CloudFormation::CustomResource":
        yield "lambda:InvokeFunction"
        return
    yield from of_type(type)
    if type == "AWS::ApiGatewayV2::Stage" and "AccessLogSettings" in resource.get("Properties", {}):
        yield from _LOG_DELIVERY
    if type == "AWS::Lambda::Function" or type == "AWS::Lambda::LayerVersion":
        yield "s3:GetObject"  # its code, from the bucket for assets


@cache
def of_type(type: str) -> tuple[str, ...]:
    """Actions that the handlers of a type call, except unknown ones."""
    if type in WITHOUT_HANDLERS:
        return WITHOUT_HANDLERS[type]
    digest = _provider().get(type)
    schema = json.loads((_SCHEMAS / "resources" / f"{digest}.json").read_text(encoding="utf-8")) if digest else {}
    handlers = schema.get("handlers", {})
    listed = {
        _RENAMED.get(action, action)
        for name in ("create", "read", "update", "delete")
        for action in handlers.get(name, {}).get("permissions", ())
    }
    if not listed:
        raise UnknownTypeError(
            f"{type}: the registry has no handlers of it; add it to WITHOUT_HANDLERS with its source"
        )
    return tuple(sorted(_cased(action) for action in listed if reference.expanded(action)))


def _cased(action: str) -> str:
    """The spelling of the service reference; a pattern is returned unchanged."""
    known = reference.action(action.lower())
    return known.name if known else action


@cache
def _provider() -> dict[str, str]:
    found: dict[str, str] = json.loads((_SCHEMAS / "providers" / "us-east-1.json").read_text(encoding="utf-8"))
    return found


def _passed(where: str, resource: dict[str, Any]) -> Iterator[str]:
    type = resource["Type"]
    if type in _NO_PASSING or type.startswith("Custom::"):
        return
    if not any(_named_roles(resource.get("Properties", {}))):
        return
    if type not in PASSED_TO:
        raise UnknownTypeError(f"{where}: {type} takes a role; add the service that it is passed to to PASSED_TO")
    yield PASSED_TO[type]


def _named_roles(value: Any, name: str = "") -> Iterator[bool]:
    """Whether a property contains roles."""
    if isinstance(value, dict):
        if _ROLE_PROPERTIES.search(name) and any(key == "Ref" or key.startswith("Fn::") for key in value):
            yield True
        for key, item in value.items():
            yield from _named_roles(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from _named_roles(item, name)
    elif isinstance(value, str) and _ROLE_PROPERTIES.search(name) and ":role/" in value:
        yield True


def _of_template(template: dict[str, Any]) -> Iterator[str]:
    """Values that CloudFormation itself reads: parameters, and secrets that properties name."""
    text = json.dumps(template)
    if any(each.get("Type", "").startswith("AWS::SSM::") for each in template.get("Parameters", {}).values()):
        yield "ssm:GetParameters"
    if "{{resolve:ssm" in text:
        yield "ssm:GetParameters"
    if "{{resolve:secretsmanager" in text:
        yield "secretsmanager:GetSecretValue"


def outside(execution: Execution, stacks: Iterable[Stack]) -> Iterator[str]:
    """Resources that the execution role could not create with these policies, each with the missing permission."""
    allowed = {*execution.actions, *execution.own, "iam:PassRole", "iam:CreateServiceLinkedRole"}
    for stack in stacks:
        for id, resource in stack.template.get("Resources", {}).items():
            lacking = sorted(set(of_resource(resource)) - allowed)
            lacking += sorted(set(_passed(f"{stack.id}/{id}", resource)) - {*execution.passed})
            if lacking:
                yield f"{stack.id}/{stack.paths.get(id, id)}: {resource['Type']} needs {', '.join(lacking)}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m assurance.permissions.execution_role", description=__doc__)
    parser.add_argument("--assembly", type=Path, default=ASSEMBLY, help="folder of the templates; default: cdk.out")
    options = parser.parse_args(arguments)
    execution = needed(read_assembly(options.assembly))
    execution.save()
    print(f"{FILE}: {len(execution.actions) + len(execution.own)} actions, registry of {day()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
