"""Karpenter on a cluster in the embedded AWS, by our values, node pools and policy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cdk8s
import pytest
from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from charts.catalog import Catalog
from charts.nodes.karpenter.objects import KarpenterNodes, NodePool, NodeSettings
from charts.nodes.karpenter.values import NAME, NAMESPACE, karpenter_values
from kubernetes_rehearsal import programs
from kubernetes_rehearsal.proofs.examples import has_condition
from mlplatform_constructs import KarpenterAccess, KubernetesCluster
from tests.kubernetes_rehearsal.cloud.clouds import CLUSTER, REGION, CloudCluster, new_stack, pod_role
from tests.kubernetes_rehearsal.helm_releases import ChartSource

IMAGE = "public.ecr.aws/karpenter/controller:1.14.1"
PURPOSE = "mlplatform/purpose"
# One replica, because there is one node of the platform's own; idle nodes end sooner than on the platform.
REHEARSAL_VALUES = {"replicas": 1}
IDLE = "3s"
SECONDS = 120


@dataclass(frozen=True)
class KarpenterCluster:
    """A cluster with Karpenter and its pools.

    :param queue: name of the queue of interruptions.
    """

    cloud: CloudCluster
    queue: str

    def nodes(self, pool: str) -> list[dict[str, Any]]:
        """The nodes of a pool."""
        return self.cloud.api.items(f"/api/v1/nodes?labelSelector=karpenter.sh%2Fnodepool%3D{pool}")

    def state(self, node: dict[str, Any]) -> str:
        """State of the instance of a node, which may be gone."""
        state: str = self.instance(node)["State"]["Name"]
        return state

    def instance(self, node: dict[str, Any]) -> dict[str, Any]:
        """The instance of a node, as EC2 describes it."""
        id = node["spec"]["providerID"].rpartition("/")[2]
        found = self.cloud.client("ec2").describe_instances(InstanceIds=[id])
        instance: dict[str, Any] = found["Reservations"][0]["Instances"][0]
        return instance


class GivenCluster(KubernetesCluster):
    """The names of the cluster, for a construct that needs no more of it."""

    def __init__(self, stack: Stack) -> None:
        Construct.__init__(self, stack, "Cluster")
        self.cluster_name = CLUSTER
        self.node_role = iam.Role.from_role_name(self, "NodeRole", "nodes")

    @property
    def cluster_arn(self) -> str:
        stack = Stack.of(self)
        return f"arn:aws:eks:{stack.region}:{stack.account}:cluster/{CLUSTER}"


def node_pool(name: str, **changes: Any) -> NodePool:
    """A pool of nodes without accelerators, with changes."""
    given: dict[str, Any] = {
        "labels": {PURPOSE: name},
        "taints": [],
        "architecture": "amd64",
        "zones": [f"{REGION}a", f"{REGION}b"],
        "cpus": 64,
        "image": "al2023",
        "disk_gib": 100,
        "disk_throughput": 125,
        "max_pods": None,
        "accelerated": False,
        **changes,
    }
    return NodePool(name=name, **given)


def install_karpenter(cloud: CloudCluster, pools: Sequence[NodePool]) -> KarpenterCluster:
    """Karpenter with its pools, once they are ready. A test is skipped where its program is not built."""
    if reason := programs.why_missing(IMAGE):
        pytest.skip(f"{IMAGE}: {reason}")
    stack = new_stack(NAME)
    role = pod_role(stack, f"{NAMESPACE}/{NAME}")
    access = KarpenterAccess(stack, "Access", cluster=GivenCluster(stack), role=role)
    CfnOutput(stack, "Queue", value=access.queue.queue_name)
    CfnOutput(stack, "Profile", value=access.instance_profile.ref)
    created = cloud.deploy(stack)
    charts = ChartSource("joint", "github.com/aws/karpenter-provider-aws")
    cloud.helm.install("karpenter-crd", charts.chart("charts/karpenter-crd"), namespace=NAMESPACE)
    values = karpenter_values(
        images=Catalog.load().images,
        cluster_name=CLUSTER,
        queue_name=created["Queue"],
        isolated=False,
        placement={"nodeSelector": {PURPOSE: "system"}},
    )
    cloud.helm.install(NAME, charts.chart("charts/karpenter"), namespace=NAMESPACE, values=[values, REHEARSAL_VALUES])
    settings = NodeSettings(
        cluster_name=CLUSTER,
        instance_profile=created["Profile"],
        security_group_id=cloud.security_group,
        subnet_tags={"mlplatform/network": "tests"},
    )
    for found in KarpenterNodes(cdk8s.App(), "Nodes", pools=pools, settings=settings).to_json():
        if found["kind"] == "NodePool":
            found["spec"]["disruption"]["consolidateAfter"] = IDLE
        cloud.apply(found)
    cloud.until(
        lambda: len(_ready_pools(cloud)) == len(pools),
        seconds=SECONDS,
        what="the pools are ready",
        why=lambda: [*_conditions(cloud), *cloud.logs(NAMESPACE, "app.kubernetes.io/name=karpenter").splitlines()[-5:]],
    )
    return KarpenterCluster(cloud, created["Queue"])


def _ready_pools(cloud: CloudCluster) -> list[str]:
    pools = cloud.api.items("/apis/karpenter.sh/v1/nodepools")
    return [pool["metadata"]["name"] for pool in pools if has_condition(pool, "Ready")]


def _conditions(cloud: CloudCluster) -> list[str]:
    """Why pools and their node classes are not ready."""
    found = [
        *cloud.api.items("/apis/karpenter.sh/v1/nodepools"),
        *cloud.api.items("/apis/karpenter.k8s.aws/v1/ec2nodeclasses"),
    ]
    return [
        f"{one['metadata']['name']}: {condition['type']} is {condition['status']}: {condition['message']}"
        for one in found
        for condition in one.get("status", {}).get("conditions", [])
        if condition["status"] != "True"
    ]
