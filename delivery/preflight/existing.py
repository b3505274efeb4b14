"""Log groups that a deployment would create, and that exist already without a stack.

EKS writes the last entries of a deleted cluster into a new group of the same name, and ``removal_policy = "retain"``
keeps groups on purpose. CloudFormation refuses to create either again.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from delivery.assembly import Stack
from delivery.errors import DeliveryError
from delivery.sessions import Reader

_GROUP = "AWS::Logs::LogGroup"


def problems(stacks: Sequence[Stack], deployed: Mapping[str, Mapping[str, Any]], reader: Reader) -> Iterator[str]:
    """One line for each such group, with the commands that help.

    :param deployed: templates that are deployed, by stack name.
    :raises DeliveryError: where the account cannot be asked.
    """
    for stack in stacks:
        has = set(_names(deployed.get(stack.name, {})))
        for name in sorted(set(_names(stack.template)) - has):
            if _exists(name, stack, reader):
                yield (
                    f"{stack.name}: log group {name} exists in {stack.region}, so CloudFormation refuses to create it; "
                    f"delete it: aws logs delete-log-group --region {stack.region} --log-group-name {name}, or keep "
                    f"its entries: cdk deploy {stack.id} --import-existing-resources"
                )


def _names(template: Mapping[str, Any]) -> Iterator[str]:
    """Names that a template writes out."""
    for body in template.get("Resources", {}).values():
        name = body.get("Properties", {}).get("LogGroupName") if body["Type"] == _GROUP else None
        if isinstance(name, str):
            yield name


def _exists(name: str, stack: Stack, reader: Reader) -> bool:
    try:
        found = reader.client("logs", stack).describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    except (BotoCoreError, ClientError) as error:
        raise DeliveryError(f"{stack.name}: log group {name} cannot be looked up: {error}") from None
    return any(group["logGroupName"] == name for group in found)
