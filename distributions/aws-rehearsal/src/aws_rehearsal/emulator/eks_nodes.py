"""Nodes of clusters, if the Kubernetes of the rehearsal can run nodes.

They are those that the managed node groups ask for, and the instances that an autoscaler launched into a cluster.
"""

import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ministack.services import ec2, eks
from ministack.services.cloudformation import provisioners

from aws_rehearsal.emulator.instance_types import instance_type
from aws_rehearsal.emulator.node_user_data import NodeBootstrap, read_user_data
from aws_rehearsal.emulator.patching import wrap
from kubernetes_rehearsal.client import ApiFailure
from kubernetes_rehearsal.interface import KubernetesApi, KubernetesError
from kubernetes_rehearsal.nodes.node import NodeSettings
from kubernetes_rehearsal.nodes.node_clusters import NodeClusters
from kubernetes_rehearsal.nodes.node_groups import Instance, NodeGroup, nodes_for

_INTERVAL_SECONDS = 1
_RESOURCES = {"nvidia": "nvidia.com/gpu", "aws": "aws.amazon.com/neuron"}


def install(kubernetes: KubernetesApi) -> None:
    """Reconcile the nodes of every cluster with its node groups, in a separate thread."""
    wrap(provisioners, "_eks_nodegroup_fields", _with_capacity)
    if isinstance(kubernetes, NodeClusters):
        threading.Thread(target=_keep, args=(kubernetes,), daemon=True).start()


def _with_capacity(fields: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    """Add the capacity type of a group, which the emulator omits and a label of its nodes contains."""
    return lambda properties: {"capacityType": properties.get("CapacityType", "ON_DEMAND"), **fields(properties)}


def _keep(kubernetes: NodeClusters) -> None:
    known: dict[str, list[NodeSettings]] = {}
    before: dict[str, list[NodeSettings]] = {}
    pause = threading.Event()
    while not pause.wait(_INTERVAL_SECONDS):
        settled, before = before, wanted_nodes()
        for key, nodes in before.items():
            # Groups that share a node are created one after the other. Its size is that of all of them.
            if known.get(key, []) != nodes and settled.get(key) == nodes:
                try:
                    kubernetes.set_nodes(key, nodes)
                except KubernetesError:  # the cluster is starting, or has ended
                    continue
                known[key] = nodes
                threading.Thread(target=_finish, args=(kubernetes, key), daemon=True).start()


def _finish(kubernetes: NodeClusters, key: str) -> None:
    """Give new nodes the resources that devices would announce. Callers learn why a node is not ready."""
    with contextlib.suppress(KubernetesError, ApiFailure, OSError):  # a node or the cluster may end meanwhile
        kubernetes.wait_for_nodes(key)


def wanted_nodes() -> dict[str, list[NodeSettings]]:
    """The nodes of each cluster that there is, by its key."""
    clusters = [(account, region, name) for (account, region, name), _ in list(eks._clusters.all_items())]
    groups = [(account, region, group) for (account, region, _), group in list(eks._nodegroups.all_items())]
    return {
        f"{account}/{region}/{name}": [
            *nodes_for(
                region,
                [
                    _node_group(group)
                    for owner, place, group in groups
                    if (owner, place, group["clusterName"]) == (account, region, name)
                ],
                instance,
            ),
            *launched_nodes(account, region, name),
        ]
        for account, region, name in clusters
    }


def _node_group(group: Mapping[str, Any]) -> NodeGroup:
    return NodeGroup(
        name=group["nodegroupName"],
        instance_types=group["instanceTypes"],
        labels=group["labels"] or {},
        taints=group["taints"] or [],
        desired=int(group["scalingConfig"].get("desiredSize", 0)),
        zones=_zones(group["subnets"]),
        capacity=group["capacityType"],
    )


def _zones(subnets: Iterable[str]) -> list[str]:
    found = {key[-1]: subnet for key, subnet in list(ec2._subnets.all_items())}
    return sorted(found[subnet]["AvailabilityZone"] for subnet in subnets if subnet in found) or ["unknown"]


def instance(name: str) -> Instance:
    """What an instance type gives to a node, as far as the table knows."""
    found = instance_type(name)
    resource = _RESOURCES.get(found.accelerator.partition("-")[0])
    return Instance(found.vcpus, found.memory_mib, {resource: found.accelerators} if resource else {})


def launched_nodes(account: str, region: str, cluster: str) -> list[NodeSettings]:
    """A node for each running instance whose user data name the cluster."""
    return [
        _launched(region, found, bootstrap)
        for owner, place, found in ((key[0], key[1], found) for key, found in list(ec2._instances.all_items()))
        if (owner, place, found["State"]["Name"]) == (account, region, "running")
        and (bootstrap := read_user_data(found.get("UserData") or "")).cluster == cluster
    ]


def _launched(region: str, found: Mapping[str, Any], bootstrap: NodeBootstrap) -> NodeSettings:
    zone = found["Placement"]["AvailabilityZone"]
    has = instance(found["InstanceType"])
    return NodeSettings(
        name=found["PrivateDnsName"],
        labels={
            **bootstrap.labels,
            "node.kubernetes.io/instance-type": found["InstanceType"],
            "topology.kubernetes.io/region": region,
            "topology.kubernetes.io/zone": zone,
        },
        taints=bootstrap.taints,
        cpus=has.cpus,
        memory_mib=has.memory_mib,
        extended_resources=has.extended_resources,
        provider_id=f"aws:///{zone}/{found['InstanceId']}",
    )
