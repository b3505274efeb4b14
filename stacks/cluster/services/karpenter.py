from collections.abc import Mapping, Sequence

import cdk8s
from constructs import Construct, IDependable

from charts.nodes.karpenter.objects import KarpenterNodes, NodePool, NodeSettings
from charts.nodes.karpenter.values import NAME, NAMESPACE, karpenter_values
from mlplatform_constructs import ConfigurationError, KarpenterAccess, Manifests, NodeGroupSpec, ProvidedObjects

from ..._wiring.installer import Installer


class Karpenter(Construct):
    """Karpenter, with a pool of nodes for each group of the cluster but the platform's own.

    - ``nodes``: the pools, deployed after the controller.

    :param subnet_tags: tags of the subnets in which to make nodes.
    :param isolated: whether AWS services without an endpoint in the network are out of reach.
    :param balancing: the load balancer controller, whose webhooks admit every Service.
    :raises ConfigurationError: for a group that must have nodes all the time, which Karpenter does not keep.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        installer: Installer,
        zones: Sequence[str],
        subnet_tags: Mapping[str, str],
        isolated: bool,
        balancing: IDependable,
    ) -> None:
        super().__init__(scope, id)
        cluster = installer.cluster
        pools = [_pool(self, spec, zones) for spec in cluster.node_groups if spec.purpose != NodeGroupSpec.SYSTEM]
        role = installer.role(self, "Controller", "karpenter-controller")
        access = KarpenterAccess(self, "Access", cluster=cluster, role=role)
        definitions = installer.release(self, "Definitions", "karpenter-crd", namespace=NAMESPACE, values={})
        release = installer.release(
            self,
            "Release",
            NAME,
            namespace=NAMESPACE,
            values=karpenter_values(
                images=installer.images,
                cluster_name=cluster.cluster_name,
                queue_name=access.queue.queue_name,
                isolated=isolated,
                placement=installer.placement,
            ),
            after=[definitions, *installer.settled(role), balancing],
        )
        ProvidedObjects(
            self,
            "Kinds",
            cluster=cluster.cluster,
            by=release,
            definitions=installer.catalog.definitions("nodes/karpenter"),
        )
        settings = NodeSettings(
            cluster_name=cluster.cluster_name,
            instance_profile=access.instance_profile.ref,
            security_group_id=cluster.security_group.security_group_id,
            subnet_tags=subnet_tags,
        )
        chart = KarpenterNodes(cdk8s.App(), "Nodes", pools=pools, settings=settings)
        self.nodes: Manifests = installer.deliver(self, "Nodes", chart, after=[release])


def _pool(scope: Construct, spec: NodeGroupSpec, zones: Sequence[str]) -> NodePool:
    if spec.min_per_zone:
        raise ConfigurationError(
            f"{scope.node.path}: node group {spec.name!r}: min_per_zone must be 0 with Karpenter, got "
            f"{spec.min_per_zone}; it keeps no nodes without pods"
        )
    chosen = spec.availability_zones or tuple(zones)
    bottlerocket = (spec.image or "").startswith("BOTTLEROCKET")
    return NodePool(
        name=spec.name,
        labels=spec.labels,
        taints=spec.taints,
        instance_types=spec.instance_types,
        architecture="arm64" if spec.instance.architecture == "arm64" else "amd64",
        capacity="spot" if spec.capacity == "spot" else "on-demand",
        zones=chosen,
        cpus=spec.instance.vcpus * spec.max_per_zone * len(chosen),
        image=spec.image_id or ("bottlerocket" if bottlerocket else "al2023"),
        disk_gib=spec.disk_gib,
        disk_throughput=spec.disk_throughput,
        max_pods=spec.max_pods,
        accelerated=bool(spec.device_resource),
    )
