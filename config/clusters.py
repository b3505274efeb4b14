"""The ``[clusters.<name>]`` sections: Kubernetes clusters, their nodes, and who may do what in them."""

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from config.kubeflow import Kubeflow
from config.monitoring import Monitoring
from config.section import InstanceType, Mistake, Section, key
from config.serving import Serving

_NAME = r"^[a-z]([-a-z0-9]{0,18}[a-z0-9])?$"

Zone = Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d[a-z]$")]
RoleArn = Annotated[str, Field(pattern=r"^arn:aws[-a-z]*:iam::\d{12}:role/[A-Za-z0-9_+=,.@/-]+$")]
PrincipalArn = Annotated[str, Field(pattern=r"^arn:aws[-a-z]*:iam::\d{12}:(role|user)/[A-Za-z0-9_+=,.@/-]+$")]


def _public_cidr(value: str) -> str:
    try:
        block = ipaddress.IPv4Network(value)
    except ValueError as error:
        raise Mistake(f"must be a network such as '203.0.113.0/24', got {value!r}: {error}") from None
    if block.prefixlen < 8:
        raise Mistake(f"{value} is open to the world; name the networks of your offices")
    return value


def _different(values: tuple[str, ...]) -> tuple[str, ...]:
    if twice := sorted({value for value in values if values.count(value) > 1}):
        raise Mistake(f"names {', '.join(twice)} twice; name each once")
    return values


def _service_cidr(value: str) -> str:
    try:
        block = ipaddress.IPv4Network(value)
    except ValueError as error:
        raise Mistake(f"must be a network such as '172.20.0.0/16', got {value!r}: {error}") from None
    private = [ipaddress.IPv4Network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
    if not 12 <= block.prefixlen <= 24 or not any(block.subnet_of(each) for each in private):
        raise Mistake(f"must be /12 to /24 in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16, got {value!r}")
    return value


class NodeGroup(Section):
    """Nodes of one kind. Each zone has its own group, which scales between the two limits."""

    purpose: Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$")] = key(
        "Purpose of its nodes: 'system' for the platform's own pods, 'general' for pods without a purpose, or a name "
        "that pods select ('training', 'inference', 'spark', ...)."
    )
    instance_types: Annotated[tuple[InstanceType, ...], Field(min_length=1)] = key(
        "EC2 instance types, alike in vCPUs, memory and accelerators; several make spot capacity easier to get."
    )
    max_per_zone: Annotated[int, Field(ge=0, le=450)] = key("Maximum nodes in each zone. 0 omits a shipped group.")
    min_per_zone: Annotated[int, Field(ge=0, le=450)] = key(
        "Minimum nodes in each zone. A change of either limit keeps the number of nodes, within the new limits.",
        default=0,
    )
    capacity: Literal["on_demand", "spot"] = key(
        "'spot' costs less, and AWS can reclaim it with two minutes' notice.", default="on_demand"
    )
    availability_zones: tuple[Zone, ...] = key("Zones of the network to run in. Default: all.", default=())
    ami_type: str | None = key(
        "EKS's node image, such as 'AL2023_x86_64_NVIDIA'. Instance types with accelerators need one that has their "
        "driver. Default: Amazon Linux 2023 for the processor.",
        default=None,
    )
    image_id: Annotated[str, Field(pattern=r"^ami-[0-9a-f]{8,17}$")] | None = key(
        "A node image of your own instead, one that starts with nodeadm as Amazon Linux 2023 does.", default=None
    )
    disk_gib: Annotated[int, Field(ge=20, le=16384)] = key("Size of each node's disk, GiB.", default=100)
    disk_throughput_mibps: Annotated[int, Field(ge=125, le=1000)] | None = key(
        "Throughput of that disk, MiB/s. Default: 125, with accelerators 500.", default=None
    )
    efa: bool = key(
        "Elastic Fabric Adapter between the nodes of the group, in a placement group of each zone, for training across "
        "nodes. Pods request vpc.amazonaws.com/efa.",
        default=False,
    )
    max_pods: Annotated[int, Field(ge=4, le=250)] | None = key(
        "Pods on each node at most, with an image of your own or on nodes of Karpenter's; elsewhere EKS sets its own "
        "number over any other. Default: what the instance type allows.",
        default=None,
    )
    gpu_replicas: Annotated[int, Field(ge=1, le=48)] = key(
        "Pods that share one GPU by time-slicing, without isolation of memory or load.", default=1
    )

    @field_validator("min_per_zone")
    @classmethod
    def _limits_are_in_order(cls, least: int, info: ValidationInfo) -> int:
        most = info.data.get("max_per_zone")
        if most is not None and least > most > 0:
            raise Mistake(f"must be max_per_zone or less, got {least} and {most}")
        return least


class Addresses(Section):
    """How many addresses of the network nodes keep ready for pods."""

    warm_ip_target: Annotated[int, Field(ge=1)] = key(
        "Addresses kept free on each node beyond those in use.", default=5
    )
    minimum_ip_target: Annotated[int, Field(ge=1)] = key("Minimum addresses that each node holds.", default=10)
    prefix_delegation: bool = key(
        "Take addresses in blocks of 16, so that small instance types run up to 110 pods.", default=False
    )


class Access(Section):
    """IAM roles with access to the cluster. A role must exist before the cluster, and is listed once."""

    admins: tuple[RoleArn, ...] = key("Roles with all permissions.", default=())
    operators: tuple[RoleArn, ...] = key(
        "Roles that can read everything except secrets, drain nodes, and restart and scale workloads.", default=()
    )
    viewers: tuple[RoleArn, ...] = key("Roles that can read everything except secrets.", default=())

    @model_validator(mode="after")
    def _each_role_once(self) -> "Access":
        places: dict[str, list[str]] = {}
        for level in Access.model_fields:
            for role in getattr(self, level):
                places.setdefault(role, []).append(level)
        for role, levels in places.items():
            if len(levels) > 1:
                raise Mistake(f"{role} is named {len(levels)} times ({', '.join(levels)}); name each role once")
        return self


_SYSTEM = {"purpose": "system", "instance_types": ("m7i.xlarge",), "min_per_zone": 1, "max_per_zone": 4}
_CPU = {"purpose": "general", "instance_types": ("m7i.2xlarge",), "max_per_zone": 10}
_SHIPPED: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "training": {
        "system": _SYSTEM,
        "cpu": _CPU,
        "training-gpu": {
            "purpose": "training",
            "instance_types": ("p4d.24xlarge",),
            "ami_type": "AL2023_x86_64_NVIDIA",
            "disk_gib": 500,
            "max_per_zone": 2,
        },
        "spark": {
            "purpose": "spark",
            "instance_types": ("r6i.2xlarge", "r5.2xlarge", "r5a.2xlarge"),
            "capacity": "spot",
            "max_per_zone": 20,
        },
    },
    "inference": {
        "system": _SYSTEM,
        "cpu": _CPU,
        "inference-gpu": {
            "purpose": "inference",
            "instance_types": ("g5.xlarge",),
            "ami_type": "AL2023_x86_64_NVIDIA",
            "disk_gib": 200,
            "max_per_zone": 8,
        },
    },
}


class Cluster(Section):
    """A Kubernetes cluster. 'training' and 'inference' are shipped; name as many as you like."""

    purpose: Literal["training", "inference"] = key(
        "Purpose of the cluster, which selects its shipped node groups. Default: its name, if that is one of these."
    )
    kubernetes: Annotated[str, Field(pattern=r"^1\.\d{2}$")] | None = key(
        'Kubernetes minor, in quotes, such as "1.35". Default: the platform\'s.', default=None
    )
    upgrade_policy: Literal["standard", "extended"] = key(
        "What happens when EKS's standard support of the Kubernetes minor ends, 14 months after it began. 'extended': "
        "the cluster is unchanged for another 12 months, at $0.60 an hour instead of $0.10. 'standard': EKS upgrades "
        "the control plane automatically; add-ons, nodes and this file remain a minor behind.",
        default="extended",
    )
    public_access_cidrs: Annotated[
        tuple[Annotated[str, AfterValidator(_public_cidr)], ...], Field(max_length=40), AfterValidator(_different)
    ] = key(
        "Public networks with access to the API server. Default: none; it is accessible only inside the VPC.",
        default=(),
    )
    service_cidr: Annotated[str, AfterValidator(_service_cidr)] | None = key(
        "Addresses of Kubernetes Services, /12 to /24 in a private range. They may not overlap with the network, nor "
        "with networks that pods reach. A change replaces the cluster. Default: 172.20.0.0/16, or 10.100.0.0/16 where "
        "the network overlaps with that.",
        default=None,
    )
    access: Access = key("IAM roles with access.", default=Access())
    break_glass_principals: tuple[PrincipalArn, ...] = key(
        "Users and roles that may assume the emergency role, with a second factor. Default: every principal that IAM "
        "allows, with a second factor.",
        default=(),
    )
    workload_identity: Literal["pod_identity", "irsa", "kube2iam"] = key(
        "How pods of applications get AWS roles. 'irsa' for clients that do not know EKS Pod Identity; 'kube2iam' is a "
        "legacy choice with a warning.",
        default="pod_identity",
    )
    kubeflow: Kubeflow | None = key("Kubeflow on this cluster. Default: none.", default=None)
    serving: Serving | None = key("Servers of models on this cluster. Default: none.", default=None)
    monitoring: Monitoring | None = key("Monitoring of this cluster. Default: none.", default=None)
    autoscaler: Literal["cluster_autoscaler", "karpenter"] = key(
        "What adds and removes nodes. With 'karpenter' only 'system' groups are made ahead.",
        default="cluster_autoscaler",
    )
    addresses: Addresses = key("Addresses that nodes keep ready.", default=Addresses())
    node_groups: dict[Annotated[str, Field(pattern=_NAME)], NodeGroup] = key(
        "Node groups by name. A shipped group takes the keys that you give and keeps the rest; others are added.",
        default_factory=dict,
    )

    @model_validator(mode="before")
    @classmethod
    def _start_from_shipped_groups(cls, given: Any) -> Any:
        if not isinstance(given, dict) or not isinstance(given.get("node_groups", {}), dict):
            return given
        shipped = _SHIPPED.get(str(given.get("purpose")), {})
        changes = given.get("node_groups", {})
        groups = {name: _merged(shipped.get(name, {}), changes.get(name, {})) for name in {**shipped, **changes}}
        return {**given, "node_groups": groups}

    @model_validator(mode="after")
    def _pods_are_limited(self) -> "Cluster":
        for name, group in self.node_groups.items():
            managed = self.autoscaler != "karpenter" or group.purpose == "system"
            if group.max_pods and managed and not group.image_id:
                raise Mistake(
                    f"node_groups.{name}.max_pods: EKS sets its own number on its own images; leave it out, or give "
                    "image_id"
                )
        return self

    @property
    def groups(self) -> dict[str, NodeGroup]:
        """The node groups that are made: all but those left out."""
        return {name: group for name, group in self.node_groups.items() if group.max_per_zone}


def _merged(shipped: Mapping[str, Any], changes: Any) -> Any:
    return {**shipped, **changes} if isinstance(changes, dict) else changes


def named_for_their_purpose(clusters: Any) -> Any:
    """A cluster's name is its default purpose, if it is one."""
    if not isinstance(clusters, dict):
        return clusters
    return {
        name: {"purpose": name, **cluster} if name in _SHIPPED and isinstance(cluster, dict) else cluster
        for name, cluster in clusters.items()
    }


def shipped_clusters() -> dict[str, Cluster]:
    """The clusters of an account file that names none."""
    return {name: Cluster.model_validate({"purpose": name}) for name in _SHIPPED}


def problems_of_accounts(clusters: Mapping[str, Cluster], account: str) -> Iterator[str]:
    """Principals of other accounts, which cannot assume an emergency role, one line each."""
    for name, cluster in clusters.items():
        if foreign := [arn for arn in cluster.break_glass_principals if arn.split(":")[4] != account]:
            yield (
                f"{name}.break_glass_principals: {', '.join(foreign)} not in account {account}; "
                "list users and roles of this account"
            )


def problems_of_addresses(clusters: Mapping[str, Cluster], cidr: str) -> Iterator[str]:
    """Clusters whose Services would have addresses of the network, one line each."""
    network = ipaddress.IPv4Network(cidr)
    for name, cluster in clusters.items():
        if cluster.service_cidr and network.overlaps(ipaddress.IPv4Network(cluster.service_cidr)):
            yield (
                f"{name}.service_cidr: {cluster.service_cidr} overlaps with network.cidr {cidr}; choose another "
                "private range, such as 10.100.0.0/16"
            )


def problems_of_zones(
    clusters: Mapping[str, Cluster], zones: tuple[str, ...], offered: Mapping[str, tuple[str, ...]]
) -> Iterator[str]:
    """What does not fit the network's zones and the instance types that they offer, one line each."""
    for cluster_name, cluster in clusters.items():
        for name, group in cluster.groups.items():
            place = f"{cluster_name}.node_groups.{name}"
            if foreign := [zone for zone in group.availability_zones if zone not in zones]:
                yield (
                    f"{place}.availability_zones: {', '.join(foreign)} not in network.availability_zones; "
                    f"choose from {', '.join(zones)}"
                )
                continue
            for instance_type in group.instance_types:
                chosen = group.availability_zones or zones
                if missing := [zone for zone in chosen if instance_type not in offered.get(zone, (instance_type,))]:
                    having = [zone for zone in zones if instance_type in offered.get(zone, ())]
                    fix = f"set availability_zones = {having}" if having else "choose another type"
                    yield (
                        f"{place}.instance_types: {instance_type} is not offered in {', '.join(missing)}; "
                        f"{fix}, or renew [offerings]"
                    )
