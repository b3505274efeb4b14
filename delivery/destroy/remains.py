"""What is left in an account after its stacks were destroyed."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from delivery.assembly import Stack
from delivery.errors import DeliveryError
from delivery.sessions import Reader

_FUNCTION_LOGS = "/aws/lambda/"


@dataclass(frozen=True)
class Deployed:
    """A stack as CloudFormation has it.

    :param arn: by which it can be asked for when it is gone, too.
    :param resources: type and physical id by logical id.
    :param policies: what becomes of each on deletion, by logical id.
    """

    stack: Stack
    arn: str
    resources: dict[str, tuple[str, str]]
    policies: dict[str, str]

    def physical_ids(self, type: str) -> list[str]:
        return [id for of, id in self.resources.values() if of == type]


@dataclass(frozen=True, order=True)
class Left:
    """One thing that is there, and the command or the steps that delete it."""

    what: str
    delete: str


@dataclass
class Remains:
    """Everything that is there, by why it is there."""

    kept: list[Left] = field(default_factory=list)
    by_lambda: list[Left] = field(default_factory=list)
    unexpected: list[Left] = field(default_factory=list)


def take_stock(
    stacks: Iterable[Stack], templates: Mapping[str, Mapping[str, Any]], reader: Reader
) -> tuple[Deployed, ...]:
    """What is deployed of the stacks, with physical ids, before anything is destroyed.

    :param templates: the ones that are deployed, by stack name.
    :raises DeliveryError: where CloudFormation cannot be asked.
    """
    return tuple(_deployed(stack, templates[stack.name], reader) for stack in stacks if stack.name in templates)


def look(destroyed: Sequence[Deployed], reader: Reader) -> Remains:
    """What is left of destroyed stacks: what they keep, what their functions and clusters made, what did not go.

    :raises DeliveryError: where AWS cannot be asked.
    """
    found = Remains()
    try:
        for one in destroyed:
            _of_stack(one, reader, found)
            found.by_lambda += _function_logs(one, reader)
            for cluster in one.physical_ids("AWS::EKS::Cluster"):
                found.unexpected += _of_cluster(cluster, one.stack, reader)
    except (BotoCoreError, ClientError) as error:
        raise DeliveryError(f"what is left cannot be told: {error}") from None
    return found


def _deployed(stack: Stack, template: Mapping[str, Any], reader: Reader) -> Deployed:
    client = reader.client("cloudformation", stack)
    try:
        arn = client.describe_stacks(StackName=stack.name)["Stacks"][0]["StackId"]
        pages = client.get_paginator("list_stack_resources").paginate(StackName=stack.name)
        resources = {
            one["LogicalResourceId"]: (one["ResourceType"], one.get("PhysicalResourceId", ""))
            for page in pages
            for one in page["StackResourceSummaries"]
        }
    except (BotoCoreError, ClientError) as error:
        raise DeliveryError(f"{stack.name}: {error}") from None
    bodies = template.get("Resources", {})
    return Deployed(stack, arn, resources, {id: body.get("DeletionPolicy", "Delete") for id, body in bodies.items()})


def _of_stack(one: Deployed, reader: Reader, found: Remains) -> None:
    """The stack itself where it is still there, and what it kept."""
    client = reader.client("cloudformation", one.stack)
    status = client.describe_stacks(StackName=one.arn)["Stacks"][0]
    if status["StackStatus"] != "DELETE_COMPLETE":
        why = status.get("StackStatusReason", "see its events")
        found.unexpected.append(Left(f"stack {one.stack.name}: {status['StackStatus']}", f"{why}; then destroy again"))
    for id, (type, physical_id) in one.resources.items():
        policy = one.policies.get(id, "Delete")
        if type.startswith("Custom::"):
            continue  # the function behind it is gone, and nothing of it is a resource of the account
        if policy in ("Retain", "RetainExceptOnCreate"):
            found.kept.append(Left(f"{type} {physical_id} in {one.stack.region}", how_to_delete(type, physical_id)))
        elif policy == "Snapshot":
            found.kept.append(Left(f"a snapshot of {type} {physical_id} in {one.stack.region}", "see its service"))


def _function_logs(one: Deployed, reader: Reader) -> Iterator[Left]:
    """Log groups that Lambda made for functions whose template has none."""
    logs = reader.client("logs", one.stack)
    own = one.physical_ids("AWS::Logs::LogGroup")
    for function in one.physical_ids("AWS::Lambda::Function"):
        name = f"{_FUNCTION_LOGS}{function}"
        for group in logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]:
            if group["logGroupName"] == name and name not in own:
                yield Left(f"log group {name} in {one.stack.region}", how_to_delete("AWS::Logs::LogGroup", name))


def _of_cluster(cluster: str, stack: Stack, reader: Reader) -> Iterator[Left]:
    """What controllers of a cluster made in AWS, by the tags that they put on it."""
    for filters in _tags(cluster):
        tagging = reader.client("resourcegroupstaggingapi", stack)
        for page in tagging.get_paginator("get_resources").paginate(TagFilters=[filters]):
            for resource in page["ResourceTagMappingList"]:
                arn = resource["ResourceARN"]
                if _is_there(arn, stack, reader):
                    advice = "made by a controller of the cluster; delete it in its service's console"
                    yield Left(f"{arn} of cluster {cluster}", advice)


def _tags(cluster: str) -> Iterator[dict[str, Any]]:
    """Tags of the load balancer controller, of volumes and nodes, and of the nodes' network interfaces."""
    yield {"Key": "elbv2.k8s.aws/cluster", "Values": [cluster]}
    yield {"Key": f"kubernetes.io/cluster/{cluster}", "Values": ["owned"]}
    yield {"Key": "cluster.k8s.amazonaws.com/name", "Values": [cluster]}


def _is_there(arn: str, stack: Stack, reader: Reader) -> bool:
    """EC2 lists instances for an hour after they are gone."""
    _, _, name = arn.partition(":instance/")
    if not name:
        return True
    found = reader.client("ec2", stack).describe_instances(Filters=[{"Name": "instance-id", "Values": [name]}])
    states = [one["State"]["Name"] for group in found["Reservations"] for one in group["Instances"]]
    return any(state not in ("shutting-down", "terminated") for state in states)


def how_to_delete(type: str, id: str) -> str:
    """The command that deletes a resource, with what has to be done first."""
    if type in _BY_COMMAND:
        return _BY_COMMAND[type](id)
    return f"aws cloudcontrol delete-resource --type-name {type} --identifier '{id}'"


_BY_COMMAND: dict[str, Callable[[str], str]] = {
    "AWS::Cognito::UserPool": lambda id: (
        f"aws cognito-idp update-user-pool --user-pool-id {id} --deletion-protection INACTIVE, "
        f"then aws cognito-idp delete-user-pool --user-pool-id {id}"
    ),
    "AWS::DynamoDB::Table": lambda id: (
        f"aws dynamodb update-table --table-name {id} --no-deletion-protection-enabled, "
        f"then aws dynamodb delete-table --table-name {id}"
    ),
    "AWS::ECR::Repository": lambda id: f"aws ecr delete-repository --repository-name {id} --force",
    "AWS::KMS::Key": lambda id: (
        f"aws kms schedule-key-deletion --key-id {id} --pending-window-in-days 30, "
        "after everything that it encrypts: nothing can read that any more"
    ),
    "AWS::Logs::LogGroup": lambda id: f"aws logs delete-log-group --log-group-name '{id}'",
    "AWS::Logs::LogStream": lambda id: "it goes with its log group",
    "AWS::RDS::DBInstance": lambda id: (
        f"aws rds modify-db-instance --db-instance-identifier {id} --no-deletion-protection, then "
        f"aws rds delete-db-instance --db-instance-identifier {id} --final-db-snapshot-identifier {id}-last"
    ),
    "AWS::S3::Bucket": lambda id: f"empty it, versions included, then aws s3api delete-bucket --bucket {id}",
    "AWS::SecretsManager::Secret": lambda id: f"aws secretsmanager delete-secret --secret-id {id}",
}
