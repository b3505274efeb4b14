"""Nodes of clusters, if the Kubernetes of the rehearsal can run nodes.

They are those that the managed node groups ask for, and the instances that an autoscaler launched into a cluster. The
program of the cluster autoscaler cannot be built: groups without nodes grow here, for pods that no node takes.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ministack.services import ec2, eks
from ministack.services.cloudformation import provisioners

from aws_rehearsal.emulator.eks_add_ons import administrator_of
from aws_rehearsal.emulator.instance_types import instance_type
from aws_rehearsal.emulator.node_user_data import NodeBootstrap, read_user_data
from aws_rehearsal.emulator.patching import wrap
from kubernetes_rehearsal.client import ApiFailure
from kubernetes_rehearsal.interface import KubernetesApi, KubernetesError
from kubernetes_rehearsal.nodes.node import NodeSettings
from kubernetes_rehearsal.nodes.node_clusters import NodeClusters
from kubernetes_rehearsal.nodes.node_groups import Instance, NodeGroup, group_for, nodes_for

_INTERVAL_SECONDS = 1
_SCALING_SECONDS = 10
_PATIENCE = timedelta(seconds=20)
"""How long a pod waits before a group grows: an autoscaler whose program runs has the first chance."""
_RESOURCES = {"nvidia": "nvidia.com/gpu", "aws": "aws.amazon.com/neuron"}
_grown: set[tuple[str, str]] = set()
"""Cluster and name of the groups that have grown from no nodes to one."""


def install(kubernetes: KubernetesApi) -> None:
    """Reconcile the nodes of every cluster with its node groups, in a separate thread."""
    wrap(provisioners, "_eks_nodegroup_fields", _with_capacity)
    if isinstance(kubernetes, NodeClusters):
        threading.Thread(target=_keep, args=(kubernetes,), daemon=True).start()
        threading.Thread(target=_scale, daemon=True).start()


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


def _scale() -> None:
    """Let groups without nodes grow, one at a time in each cluster."""
    while True:
        time.sleep(_SCALING_SECONDS)
        for (account, region, name), cluster in list(eks._clusters.all_items()):
            groups = [group for group in _groups(account, region, name) if group.desired < 1 <= group.most]
            if not cluster.get("endpoint") or not groups:
                continue
            with contextlib.suppress(ApiFailure, OSError), administrator_of(cluster) as api:  # it may end meanwhile
                waiting = api.items("/api/v1/pods?fieldSelector=spec.nodeName%3D,status.phase%3DPending")
                found = (group_for(pod, region, groups, instance) for pod in waiting if _has_waited(pod))
                if group := next(filter(None, found), None):
                    _grown.add((f"{account}/{region}/{name}", group.name))


def _has_waited(pod: Mapping[str, Any]) -> bool:
    """Whether no node has taken a pod for a while."""
    return any(
        one["type"] == "PodScheduled"
        and one.get("reason") == "Unschedulable"
        and datetime.now(UTC) - datetime.fromisoformat(one["lastTransitionTime"]) > _PATIENCE
        for one in pod["status"].get("conditions") or []
    )


def _finish(kubernetes: NodeClusters, key: str) -> None:
    """Give new nodes the resources that devices would announce. Callers learn why a node is not ready."""
    with contextlib.suppress(KubernetesError, ApiFailure, OSError):  # a node or the cluster may end meanwhile
        kubernetes.wait_for_nodes(key)


def wanted_nodes() -> dict[str, list[NodeSettings]]:
    """The nodes of each existing cluster, by its key."""
    clusters = [(account, region, name) for (account, region, name), _ in list(eks._clusters.all_items())]
    return {
        f"{account}/{region}/{name}": [
            *nodes_for(region, _groups(account, region, name), instance),
            *launched_nodes(account, region, name),
        ]
        for account, region, name in clusters
    }


def _groups(account: str, region: str, cluster: str) -> list[NodeGroup]:
    """The node groups of a cluster; those that have grown have a node."""
    found = [
        _node_group(group)
        for (owner, place, _), group in list(eks._nodegroups.all_items())
        if (owner, place, group["clusterName"]) == (account, region, cluster)
    ]
    key = f"{account}/{region}/{cluster}"
    return [
        replace(group, desired=1) if group.desired < 1 and (key, group.name) in _grown else group for group in found
    ]


def _node_group(group: Mapping[str, Any]) -> NodeGroup:
    return NodeGroup(
        name=group["nodegroupName"],
        instance_types=group["instanceTypes"],
        labels=group["labels"] or {},
        taints=group["taints"] or [],
        desired=int(group["scalingConfig"].get("desiredSize", 0)),
        zones=_zones(group["subnets"]),
        capacity=group["capacityType"],
        most=int(group["scalingConfig"].get("maxSize", 0)),
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
