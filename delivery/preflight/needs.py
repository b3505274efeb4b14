"""The amount of each quota that templates use."""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from delivery.errors import DeliveryError
from delivery.preflight import quotas
from delivery.preflight.executions import executions
from delivery.preflight.quotas import GLOBAL_REGION, Quota
from delivery.preflight.template import Template

_INSTANCE_TYPES = Path(__file__).parents[2] / "constructs/src/mlplatform_constructs/_clusters/instance_types.csv"
_ONE_OF_EACH: dict[str, Quota] = {
    "AWS::EC2::VPC": quotas.VPCS,
    "AWS::EC2::InternetGateway": quotas.INTERNET_GATEWAYS,
    "AWS::EC2::EIP": quotas.ADDRESSES,
    "AWS::EC2::SecurityGroup": quotas.SECURITY_GROUPS,
    "AWS::EFS::FileSystem": quotas.FILE_SYSTEMS,
    "AWS::EKS::Cluster": quotas.CLUSTERS,
    "AWS::IAM::Role": quotas.ROLES,
}


Needs = dict[tuple[str, Quota], int]
"""Amount by Region and quota; for a quota per VPC or cluster, the largest amount."""


def needs_of(templates: Iterable[Template]) -> Needs:
    """The amount of each quota that these templates use with every node group at its maximum size during an update.

    Resources that controllers create in a running cluster are not included: load balancers of Ingresses and Services,
    volumes.

    :raises DeliveryError: for an instance type without a known quota.
    """
    templates = tuple(templates)
    needed: Needs = Counter()
    for template in templates:
        for quota, amount in _amounts(template):
            needed[_region(template, quota), quota] += amount
    for region in {template.region for template in templates}:
        here = [template for template in templates if template.region == region]
        for quota, amounts in _amounts_of_each(here):
            if amounts:
                needed[region, quota] = max(amounts.values())
        if at_once := executions(here):
            needed[region, quotas.EXECUTIONS] = at_once
    return dict(needed)


def _region(template: Template, quota: Quota) -> str:
    return GLOBAL_REGION if quota.is_global else template.region


def _amounts(template: Template) -> Iterator[tuple[Quota, int]]:
    for kind, quota in _ONE_OF_EACH.items():
        yield from ((quota, 1) for _ in template.resources(kind))
    for _, balancer in template.resources("AWS::ElasticLoadBalancingV2::LoadBalancer"):
        if balancer.get("Type", "application") == "application":
            yield quotas.LOAD_BALANCERS, 1
    for _, database in template.resources("AWS::RDS::DBInstance"):
        yield quotas.DATABASES, 1
        yield quotas.DATABASE_STORAGE, int(database.get("MaxAllocatedStorage", database["AllocatedStorage"]))
    for _, files in template.resources("AWS::FSx::FileSystem"):
        if files.get("LustreConfiguration", {}).get("DeploymentType") == "PERSISTENT_2":
            yield quotas.LUSTRE, 1
            yield quotas.LUSTRE_STORAGE, int(files["StorageCapacity"])
    yield from _instances(template)


def _instances(template: Template) -> Iterator[tuple[Quota, int]]:
    for name, group in template.resources("AWS::EKS::Nodegroup"):
        most = _nodes_at_most(group)
        capacity = str(group.get("CapacityType", "ON_DEMAND")).lower()
        cpus = max(_vcpus(kind, f"{template.stack}/{name}") for kind in group["InstanceTypes"])
        yield _instance_quota(group["InstanceTypes"][0], capacity, f"{template.stack}/{name}"), most * cpus
    hosts = dict(template.resources("AWS::EC2::LaunchTemplate"))
    for name, group in template.resources("AWS::AutoScaling::AutoScalingGroup"):
        launched = hosts[group["LaunchTemplate"]["LaunchTemplateId"]["Ref"]]
        kind = launched["LaunchTemplateData"]["InstanceType"]
        place = f"{template.stack}/{name}"
        yield _instance_quota(kind, "on_demand", place), int(group["MaxSize"]) * _vcpus(kind, place)
    for pool in _objects(template, "NodePool"):
        wanted = {one["key"]: one["values"] for one in pool["spec"]["template"]["spec"]["requirements"]}
        capacity = wanted["karpenter.sh/capacity-type"][0].replace("-", "_")
        kind = wanted["node.kubernetes.io/instance-type"][0]
        place = f"{template.stack}: NodePool {pool['metadata']['name']}"
        yield _instance_quota(kind, capacity, place), int(pool["spec"]["limits"]["cpu"])


def _nodes_at_most(group: Mapping[str, Any]) -> int:
    """Nodes of a group at its maximum size during an update.

    An update adds up to two nodes for each Availability Zone, or as many as may be unavailable at a time, before it
    drains the old ones. With the strategy MINIMAL it adds none.
    https://docs.aws.amazon.com/eks/latest/userguide/managed-node-update-behavior.html
    """
    most = int(group["ScalingConfig"]["MaxSize"])
    update = group.get("UpdateConfig", {})
    if update.get("UpdateStrategy") == "MINIMAL":
        return most
    return most + max(2 * len(group.get("Subnets", ())), int(update.get("MaxUnavailable", 0)))


def _objects(template: Template, kind: str) -> Iterator[dict[str, Any]]:
    """Kubernetes objects of a kind in the template."""
    for _, request in template.resources("Custom::AWSCDK-EKS-KubernetesResource"):
        manifest = request["Manifest"]
        parts = [manifest] if isinstance(manifest, str) else manifest["Fn::Join"][1]
        objects = json.loads("".join(part if isinstance(part, str) else "token" for part in parts))
        yield from (one for one in objects if one["kind"] == kind)


def _amounts_of_each(templates: list[Template]) -> Iterator[tuple[Quota, Counter[str]]]:
    """The amounts of quotas that apply to each VPC, zone, cluster or security group."""
    nat, endpoints, inbound, outbound, groups, nodes = (Counter[str]() for _ in range(6))
    for template in templates:
        subnets = dict(template.resources("AWS::EC2::Subnet"))
        for _, gateway in template.resources("AWS::EC2::NatGateway"):
            nat[str(subnets[gateway["SubnetId"]["Ref"]]["AvailabilityZone"])] += 1
        for _, endpoint in template.resources("AWS::EC2::VPCEndpoint"):
            endpoints[_same(template, endpoint["VpcId"])] += endpoint.get("VpcEndpointType") == "Interface"
        for name, group in template.resources("AWS::EC2::SecurityGroup"):
            itself = _same(template, {"Fn::GetAtt": [name, "GroupId"]})
            inbound[itself] += len(group.get("SecurityGroupIngress", []))
            outbound[itself] += len(group.get("SecurityGroupEgress", []))
        for _, rule in template.resources("AWS::EC2::SecurityGroupIngress"):
            inbound[_same(template, rule["GroupId"])] += 1
        for _, rule in template.resources("AWS::EC2::SecurityGroupEgress"):
            outbound[_same(template, rule["GroupId"])] += 1
        for name, group in template.resources("AWS::EKS::Nodegroup"):
            groups[_same(template, group["ClusterName"])] += 1
            nodes[f"{template.stack}/{name}"] = _nodes_at_most(group)
    exported = _exports(templates)
    yield quotas.NAT_GATEWAYS, nat
    yield quotas.ENDPOINTS, _merged(endpoints, exported)
    yield quotas.RULES, _merged(inbound, exported) | _merged(outbound, exported)
    yield quotas.NODE_GROUPS, _merged(groups, exported)
    yield quotas.NODES, nodes


def _same(template: Template, reference: Any) -> str:
    """A key for the resource that a property refers to, equal for all references to it."""
    if isinstance(reference, dict) and "Fn::ImportValue" in reference:
        return str(reference["Fn::ImportValue"])
    return f"{template.stack} {json.dumps(reference)}"


def _exports(templates: Iterable[Template]) -> dict[str, str]:
    """The keys of exported resources, by the name of the export."""
    return {
        output["Export"]["Name"]: _same(template, output["Value"])
        for template in templates
        for output in template.body.get("Outputs", {}).values()
        if "Export" in output
    }


def _merged(amounts: Counter[str], exported: Mapping[str, str]) -> Counter[str]:
    merged: Counter[str] = Counter()
    for word, amount in amounts.items():
        merged[exported.get(word, word)] += amount
    return merged


def _instance_quota(instance_type: str, capacity: str, place: str) -> Quota:
    quota = quotas.instance_quota(instance_type, capacity)
    if quota is None:
        raise DeliveryError(
            f"{place}: no quota is known for {instance_type} as {capacity}; add it to delivery/preflight/quotas.py"
        )
    return quota


def _vcpus(instance_type: str, place: str) -> int:
    table = _instance_types()
    if instance_type not in table:
        raise DeliveryError(f"{place}: {instance_type} is not in {_INSTANCE_TYPES.name}; add its line there")
    return table[instance_type]


@cache
def _instance_types() -> Mapping[str, int]:
    """vCPUs by instance type, from the library's table."""
    with _INSTANCE_TYPES.open(encoding="utf-8") as table:
        return {row["instance_type"]: int(row["vcpus"]) for row in csv.DictReader(table)}
