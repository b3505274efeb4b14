"""What remains in an account after its stacks were destroyed."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from delivery.assembly import Stack
from delivery.errors import DeliveryError
from delivery.sessions import Reader

_FUNCTION_LOGS = "/aws/lambda/"
_LOG_GROUP = "AWS::Logs::LogGroup"
_GUARD = "Custom::TeardownGuard"
_VOLUME = ":volume/"
_BY_CONTROLLER = "created by a controller of the cluster; delete it in its service's console"


@dataclass(frozen=True)
class Deployed:
    """A deployed stack.

    :param arn: identifies the stack even after its deletion.
    :param resources: type and physical id by logical id.
    :param policies: deletion policy by logical id.
    :param keeps_volumes: whether the teardown guard retains the disks of claims, as it does where data is retained.
    """

    stack: Stack
    arn: str
    resources: dict[str, tuple[str, str]]
    policies: dict[str, str]
    keeps_volumes: bool = False

    def physical_ids(self, type: str) -> list[str]:
        return [id for of, id in self.resources.values() if of == type]


@dataclass(frozen=True, order=True)
class Left:
    """A remaining resource, and the command or the steps that delete it."""

    what: str
    delete: str


@dataclass
class Remains:
    """All remaining resources, by the reason why they exist."""

    kept: list[Left] = field(default_factory=list)
    by_lambda: list[Left] = field(default_factory=list)
    by_eks: list[Left] = field(default_factory=list)
    unexpected: list[Left] = field(default_factory=list)


def take_stock(
    stacks: Iterable[Stack], templates: Mapping[str, Mapping[str, Any]], reader: Reader
) -> tuple[Deployed, ...]:
    """Record the deployed resources of the stacks, with physical ids, before anything is destroyed.

    :param templates: the deployed templates, by stack name.
    :raises DeliveryError: if CloudFormation cannot be called.
    """
    keeps = any(
        body["Type"] == _GUARD and str(body["Properties"].get("DeleteVolumes")).lower() != "true"
        for template in templates.values()
        for body in template.get("Resources", {}).values()
    )
    return tuple(_deployed(stack, templates[stack.name], reader, keeps) for stack in stacks if stack.name in templates)


def look(destroyed: Sequence[Deployed], reader: Reader) -> Remains:
    """Find what remains of destroyed stacks: retained resources, those that functions and clusters created, and
    resources whose deletion failed.

    :raises DeliveryError: if AWS cannot be called.
    """
    found = Remains()
    try:
        for one in destroyed:
            _of_stack(one, reader, found)
            found.by_lambda += _function_logs(one, reader)
            for cluster in one.physical_ids("AWS::EKS::Cluster"):
                for arn in _of_cluster(cluster, one.stack, reader):
                    _, is_volume, id = arn.partition(_VOLUME)
                    if is_volume and one.keeps_volumes:
                        what = f"disk {id} of a claim of cluster {cluster} in {one.stack.region}"
                        found.kept.append(Left(what, f"aws ec2 delete-volume --volume-id {id}"))
                    else:
                        found.unexpected.append(Left(f"{arn} of cluster {cluster}", _BY_CONTROLLER))
                found.by_eks += _cluster_logs(cluster, one, reader)
    except (BotoCoreError, ClientError) as error:
        raise DeliveryError(f"cannot determine what remains: {error}") from None
    return found


def _deployed(stack: Stack, template: Mapping[str, Any], reader: Reader, keeps_volumes: bool) -> Deployed:
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
    policies = {id: body.get("DeletionPolicy", "Delete") for id, body in bodies.items()}
    return Deployed(stack, arn, resources, policies, keeps_volumes)


def _of_stack(one: Deployed, reader: Reader, found: Remains) -> None:
    """The stack itself if it still exists, and its retained resources."""
    client = reader.client("cloudformation", one.stack)
    status = client.describe_stacks(StackName=one.arn)["Stacks"][0]
    if status["StackStatus"] != "DELETE_COMPLETE":
        why = status.get("StackStatusReason", "check its events")
        found.unexpected.append(Left(f"stack {one.stack.name}: {status['StackStatus']}", f"{why}; then destroy again"))
    for id, (type, physical_id) in one.resources.items():
        policy = one.policies.get(id, "Delete")
        if type.startswith("Custom::"):
            continue  # its function is deleted, and a custom resource itself is not a resource of the account
        if policy in ("Retain", "RetainExceptOnCreate"):
            found.kept.append(Left(f"{type} {physical_id} in {one.stack.region}", how_to_delete(type, physical_id)))
        elif policy == "Snapshot":
            snapshot = f"a snapshot of {type} {physical_id} in {one.stack.region}"
            found.kept.append(Left(snapshot, "delete it in its service's console"))


def _function_logs(one: Deployed, reader: Reader) -> Iterator[Left]:
    """Log groups that Lambda created for functions whose template has none."""
    logs = reader.client("logs", one.stack)
    own = one.physical_ids(_LOG_GROUP)
    for function in one.physical_ids("AWS::Lambda::Function"):
        name = f"{_FUNCTION_LOGS}{function}"
        for group in logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]:
            if group["logGroupName"] == name and name not in own:
                yield Left(f"log group {name} in {one.stack.region}", how_to_delete(_LOG_GROUP, name))


def _cluster_logs(cluster: str, one: Deployed, reader: Reader) -> Iterator[Left]:
    """The group that EKS makes again for late entries of a deleted cluster, where the stack does not keep it.

    The next deployment of the cluster would meet it.
    """
    name = f"/aws/eks/{cluster}/cluster"
    policies = {one.policies.get(id, "Delete") for id, of in one.resources.items() if of == (_LOG_GROUP, name)}
    if policies <= {"Delete"}:
        for group in reader.client("logs", one.stack).describe_log_groups(logGroupNamePrefix=name)["logGroups"]:
            if group["logGroupName"] == name:
                yield Left(f"log group {name} in {one.stack.region}", how_to_delete(_LOG_GROUP, name))


def _of_cluster(cluster: str, stack: Stack, reader: Reader) -> Iterator[str]:
    """ARNs of AWS resources that controllers of a cluster created, by their tags, each once."""
    told: set[str] = set()
    for filters in _tags(cluster):
        tagging = reader.client("resourcegroupstaggingapi", stack)
        for page in tagging.get_paginator("get_resources").paginate(TagFilters=[filters]):
            for resource in page["ResourceTagMappingList"]:
                arn = resource["ResourceARN"]
                if arn not in told and _exists(arn, stack, reader):
                    told.add(arn)
                    yield arn


def _tags(cluster: str) -> Iterator[dict[str, Any]]:
    """Tags of the load balancer controller, of volumes and nodes, and of the nodes' network interfaces."""
    yield {"Key": "elbv2.k8s.aws/cluster", "Values": [cluster]}
    yield {"Key": f"kubernetes.io/cluster/{cluster}", "Values": ["owned"]}
    yield {"Key": "cluster.k8s.amazonaws.com/name", "Values": [cluster]}
    yield {"Key": "ebs.csi.aws.com/cluster-name", "Values": [cluster]}


def _exists(arn: str, stack: Stack, reader: Reader) -> bool:
    """Exclude terminated instances, which EC2 lists for an hour."""
    _, _, name = arn.partition(":instance/")
    if not name:
        return True
    found = reader.client("ec2", stack).describe_instances(Filters=[{"Name": "instance-id", "Values": [name]}])
    states = [one["State"]["Name"] for group in found["Reservations"] for one in group["Instances"]]
    return any(state not in ("shutting-down", "terminated") for state in states)


def how_to_delete(type: str, id: str) -> str:
    """The command that deletes a resource, and the steps that must precede it."""
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
        "after everything that it encrypts, because that data becomes unreadable"
    ),
    "AWS::Logs::LogGroup": lambda id: f"aws logs delete-log-group --log-group-name '{id}'",
    "AWS::Logs::LogStream": lambda id: "it is deleted with its log group",
    "AWS::RDS::DBInstance": lambda id: (
        f"aws rds modify-db-instance --db-instance-identifier {id} --no-deletion-protection, then "
        f"aws rds delete-db-instance --db-instance-identifier {id} --final-db-snapshot-identifier {id}-last"
    ),
    "AWS::S3::Bucket": lambda id: f"empty it, including all versions, then aws s3api delete-bucket --bucket {id}",
    "AWS::SecretsManager::Secret": lambda id: f"aws secretsmanager delete-secret --secret-id {id}",
}
