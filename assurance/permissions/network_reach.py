"""Whether the workloads in a network reach each service that they call, through an endpoint that allows the call.

https://docs.aws.amazon.com/vpc/latest/privatelink/aws-services-privatelink-support.html
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from assurance.permissions.evaluator import Caller, Request, ask
from assurance.permissions.needs import EVERYTHING, Need
from assurance.permissions.roles import Role
from assurance.permissions.world import World
from delivery.gate.policies import Statement
from delivery.gate.templates import Resource

_ENDPOINTS = {
    "cloudwatch": ("monitoring",),
    "ecr": ("ecr.api", "ecr.dkr"),
    "firehose": ("kinesis-firehose",),
    "kinesis": ("kinesis-streams",),
    "sagemaker": ("sagemaker.api",),
}
"""Endpoints of services that are not called as their actions are."""
WITHOUT_ENDPOINT = {
    "acm": "the load balancer controller asks for certificates only where an Ingress names none",
    "cognito-idp": "only for Ingresses that sign people in, which the platform's load balancer does instead",
    "wafv2": "asked only where an Ingress names a web ACL",
}
"""Services that pods call although no endpoint is there, each with the reason."""
BY_NAT = {
    "elasticmapreduce": "a pipeline makes a few calls for each cluster",
    "emr-serverless": "a pipeline makes a few calls for each job",
    "iam": "asked only while an account has no role for Elastic Load Balancing; `make bootstrap` creates it",
    "route53": "external-dns takes the way out; it is not installed in a closed network",
    "sagemaker": "a pipeline makes a few calls for each job",
    "sns": "Alertmanager sends a few notifications; the settings refuse monitoring in a closed network",
}
"""Services that are called by way of a NAT gateway, though the network has endpoints for others."""
_EVERYWHERE = frozenset({"acm", "iam", "route53", "sts"})
"""Services whose endpoint answers for resources of every region, or of none."""


@dataclass(frozen=True)
class Network:
    """The network of an account.

    :param endpoints: policies, by the service's name without its region.
    :param closed: whether it has no route to the internet.
    """

    region: str
    endpoints: Mapping[str, tuple[Statement, ...]]
    closed: bool


class Networks:
    """The networks of all accounts, and the callers inside them."""

    def __init__(self, world: World) -> None:
        self._world = world

    def of(self, account: str) -> Network | None:
        """The network of an account, or None if it has none."""
        return self._networks.get(account)

    def passing(self, need: Need) -> Request:
        """The request of a need, with the policies of the endpoints that it passes inside a network."""
        role = self.inside.get(need.caller.name)
        network = self.of(role.account) if role else None
        if network is None or _is_made_by_aws(need):
            return need.request
        policies = [network.endpoints[name] for name in _wanted(need) if name in network.endpoints]
        return replace(need.request, endpoints=tuple(policies))

    @cached_property
    def inside(self) -> Mapping[str, Role]:
        """Roles of functions in networks, of pods, of nodes and of bastions, by ARN."""
        return {role.arn: role for role in _inside(self._world)}

    @cached_property
    def _networks(self) -> Mapping[str, Network]:
        found = {}
        for vpc in self._world.resources("AWS::EC2::VPC"):
            place = self._world.place(vpc)
            ways_out = (each for each in self._world.resources("AWS::EC2::NatGateway") if each.stack == vpc.stack)
            found[place.account] = Network(place.region, self._endpoints(vpc.stack), not any(ways_out))
        return found

    def _endpoints(self, stack: str) -> Mapping[str, tuple[Statement, ...]]:
        return {
            re.sub(r"^com\.amazonaws\.([a-z0-9-]+-\d\.)?", "", self._world.get(each, "ServiceName")): (
                self._world.policies[self._world.arn(each)]
            )
            for each in self._world.resources("AWS::EC2::VPCEndpoint")
            if each.stack == stack
        }


def unreachable(world: World, needs: Iterable[Need]) -> Iterator[str]:
    """Calls from inside networks that have no endpoint, or that the policy of the endpoint refuses.

    A network with a route to the internet counts only if it has endpoints for other services than S3 and DynamoDB.
    """
    networks = Networks(world)
    told: set[str] = set()
    for need in needs:
        for words in _obstacles(world, networks, need):
            if words not in told:
                told.add(words)
                yield words
    yield from _signed(world, networks)


def _obstacles(world: World, networks: Networks, need: Need) -> Iterator[str]:
    role = networks.inside.get(need.caller.name)
    network = networks.of(role.account) if role else None
    if role is None or network is None or _is_made_by_aws(need):
        return
    service = need.action.partition(":")[0]
    excused = WITHOUT_ENDPOINT if network.closed else {**WITHOUT_ENDPOINT, **BY_NAT}
    has_some = network.endpoints.keys() - {"s3", "dynamodb"}
    missing = [name for name in _wanted(need) if name not in network.endpoints]
    if missing and service not in excused and (network.closed or has_some):
        yield f"{role.path} ({role.account}): {service}: no endpoint for {', '.join(missing)}"
    there = _region(world, need)
    if network.closed and service not in {*excused, *_EVERYWHERE} and there != network.region:
        yield f"{role.path} ({role.account}): {service} in {there}: endpoints lead to {network.region} alone"
    if not missing and ask(world, need.request) and not (decision := ask(world, networks.passing(need))):
        yield f"{role.path} ({role.account}): {need.action} on {need.resource}: {decision.why}"


def _wanted(need: Need) -> tuple[str, ...]:
    service = need.action.partition(":")[0]
    return _ENDPOINTS.get(service, (service,))


def _region(world: World, need: Need) -> str:
    """The target region of a call."""
    resource = world.behind(need.resource)
    parts = need.resource.split(":")
    return (world.place(resource).region if resource else parts[3] if len(parts) > 3 else "") or need.region


def _signed(world: World, networks: Networks) -> Iterator[str]:
    """Requests to buckets that AWS owns, by presigned URLs that AWS returns."""
    for resource, action, bucket, what in (*_layers(world), *_answers(world)):
        place = world.place(resource)
        network = networks.of(place.account)
        if network is None:
            continue
        where = f"{world.path(resource)} ({place.account}): {what}"
        policy = network.endpoints.get("s3")
        if policy is None and network.closed:
            yield f"{where}: no endpoint for s3"
        elif policy is not None:
            signer = Caller("arn:aws:iam::000000000001:role/AWS", "000000000001", EVERYTHING)
            asked = Request(signer, action, f"arn:aws:s3:::{bucket}/x", place.region, endpoints=(policy,))
            if not (decision := ask(world, asked)):
                yield f"{where}: {action} on {asked.resource}: {decision.why}"


def _layers(world: World) -> Iterator[tuple[Resource, str, str, str]]:
    """https://docs.aws.amazon.com/AmazonECR/latest/userguide/vpc-endpoints.html#ecr-setting-up-s3-gateway"""
    for group in world.resources("AWS::EKS::Nodegroup"):
        bucket = f"prod-{world.place(group).region}-starport-layer-bucket"
        yield group, "s3:GetObject", bucket, "layers of images"


def _answers(world: World) -> Iterator[tuple[Resource, str, str, str]]:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cfn-vpce-bucketnames.html"""
    tokens = {world.get(one, "ServiceToken") for one in world.side.resources() if one.type.startswith("Custom::")}
    for function in world.resources("AWS::Lambda::Function"):
        if world.get(function, "VpcConfig") and world.arn(function) in tokens:
            region = world.place(function).region.replace("-", "")
            bucket = f"cloudformation-custom-resource-response-{region}"
            yield function, "s3:PutObject", bucket, "answers to CloudFormation"


def _is_made_by_aws(need: Need) -> bool:
    """Calls on a caller's behalf from outside its network: use of keys, assuming its role, interfaces of functions."""
    if any(key.lower() == "kms:viaservice" for key in need.context):
        return True
    return need.action.startswith("sts:Assume") or "lambda/latest/dg" in need.source


def _inside(world: World) -> Iterator[Role]:
    for function in world.resources("AWS::Lambda::Function"):
        if world.get(function, "VpcConfig"):
            yield world.roles[world.get(function, "Role")]
    for association in world.resources("AWS::EKS::PodIdentityAssociation"):
        yield world.roles[world.get(association, "RoleArn")]
    for group in world.resources("AWS::EKS::Nodegroup"):
        yield world.roles[world.get(group, "NodeRole")]
    for profile in world.resources("AWS::IAM::InstanceProfile"):
        for name in re.findall(r"[\w+=,.@-]+", world.get(profile, "Roles")):
            account = world.place(profile).account
            yield from (each for each in world.roles.values() if each.name == name and each.account == account)
