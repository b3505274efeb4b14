"""Karpenter itself makes, replaces and ends nodes, by our values, node pools and policy."""

import json
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
from tests.kubernetes_rehearsal.cloud.clouds import (
    CLUSTER,
    REGION,
    CloudCluster,
    deployment,
    new_stack,
    pod_role,
)
from tests.kubernetes_rehearsal.helm_releases import ChartSource

IMAGE = "public.ecr.aws/karpenter/controller:1.14.1"
PURPOSE = "mlplatform/purpose"
TRAINING = {"key": PURPOSE, "value": "training", "effect": "NoSchedule"}
GPU = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
# One replica, because there is one node of the platform's own; idle nodes end sooner than on the platform.
REHEARSAL_VALUES = {"replicas": 1}
IDLE = "3s"
_SECONDS = 120


def _pool(name: str, **changes: Any) -> NodePool:
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


POOLS = (
    _pool(
        "training",
        taints=[TRAINING, GPU],
        instance_types=("g5.xlarge",),
        capacity="on-demand",
        accelerated=True,
    ),
    _pool("spark", instance_types=("m5.large", "m5.xlarge"), capacity="spot"),
    _pool("serving", instance_types=("m5.large",), capacity="on-demand", image="bottlerocket"),
)


class _GivenCluster(KubernetesCluster):
    """The names of the cluster, for a construct that needs no more of it."""

    def __init__(self, stack: Stack) -> None:
        Construct.__init__(self, stack, "Cluster")
        self.cluster_name = CLUSTER
        self.node_role = iam.Role.from_role_name(self, "NodeRole", "nodes")

    @property
    def cluster_arn(self) -> str:
        stack = Stack.of(self)
        return f"arn:aws:eks:{stack.region}:{stack.account}:cluster/{CLUSTER}"


@dataclass(frozen=True)
class KarpenterCluster:
    """A cluster with Karpenter and its pools.

    :param queue: name of the queue of interruptions.
    """

    cloud: CloudCluster
    queue: str


@pytest.fixture(scope="module")
def karpenter(cloud: CloudCluster) -> KarpenterCluster:
    """The cluster with Karpenter and its pools."""
    if reason := programs.why_missing(IMAGE):
        pytest.skip(f"{IMAGE}: {reason}")
    stack = new_stack(NAME)
    role = pod_role(stack, f"{NAMESPACE}/{NAME}")
    access = KarpenterAccess(stack, "Access", cluster=_GivenCluster(stack), role=role)
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
    for found in KarpenterNodes(cdk8s.App(), "Nodes", pools=POOLS, settings=settings).to_json():
        if found["kind"] == "NodePool":
            found["spec"]["disruption"]["consolidateAfter"] = IDLE
        cloud.apply(found)
    cloud.until(
        lambda: len(_ready_pools(cloud)) == len(POOLS),
        seconds=_SECONDS,
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


def _nodes(cloud: CloudCluster, pool: str) -> list[dict[str, Any]]:
    return cloud.api.items(f"/api/v1/nodes?labelSelector=karpenter.sh%2Fnodepool%3D{pool}")


def _running(cloud: CloudCluster, app: str) -> list[dict[str, Any]]:
    pods = cloud.api.items(f"/api/v1/namespaces/default/pods?labelSelector=app%3D{app}")
    return [pod for pod in pods if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]]


def _instance(node: dict[str, Any]) -> str:
    provider: str = node["spec"]["providerID"]
    return provider.rpartition("/")[2]


def _state(cloud: CloudCluster, instance: str) -> str:
    found = cloud.client("ec2").describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    state: str = found["State"]["Name"]
    return state


@pytest.mark.promise("gpu-from-zero", "autoscaler-of-choice")
def test_a_pending_gpu_pod_gets_a_node_of_its_pool_which_ends_once_it_is_idle(karpenter: KarpenterCluster) -> None:
    cloud = karpenter.cloud
    assert _nodes(cloud, "training") == []
    job = deployment(
        "trainer",
        resources={"limits": {"nvidia.com/gpu": 1}},
        nodeSelector={PURPOSE: "training"},
        tolerations=[{"key": PURPOSE, "value": "training"}, {"key": "nvidia.com/gpu", "operator": "Exists"}],
    )
    cloud.apply(job)
    (pod,) = cloud.until(lambda: _running(cloud, "trainer"), seconds=_SECONDS, what="the GPU pod runs")
    (node,) = _nodes(cloud, "training")
    assert pod["spec"]["nodeName"] == node["metadata"]["name"]
    labels = node["metadata"]["labels"]
    assert (labels["node.kubernetes.io/instance-type"], labels["karpenter.sh/capacity-type"]) == (
        "g5.xlarge",
        "on-demand",
    )
    assert [TRAINING["key"], GPU["key"]] == [taint["key"] for taint in node["spec"]["taints"]][:2]
    instance = cloud.client("ec2").describe_instances(InstanceIds=[_instance(node)])["Reservations"][0]["Instances"][0]
    assert [group["GroupId"] for group in instance["SecurityGroups"]] == [cloud.security_group]
    cloud.delete(job)
    cloud.until(lambda: not _nodes(cloud, "training"), seconds=_SECONDS, what="the idle node ends")
    assert _state(cloud, _instance(node)) == "terminated"


@pytest.mark.promise("spot")
def test_a_spot_node_is_replaced_before_ec2_takes_it_back(karpenter: KarpenterCluster) -> None:
    cloud = karpenter.cloud
    cloud.apply(deployment("executor", resources={"requests": {"cpu": "500m"}}, nodeSelector={PURPOSE: "spark"}))
    cloud.until(lambda: _running(cloud, "executor"), seconds=_SECONDS, what="the pod runs on spot capacity")
    (node,) = _nodes(cloud, "spark")
    assert node["metadata"]["labels"]["karpenter.sh/capacity-type"] == "spot"
    notice = {
        "version": "0",
        "id": "1",
        "source": "aws.ec2",
        "detail-type": "EC2 Spot Instance Interruption Warning",
        "account": "000000000000",
        "region": REGION,
        "time": "2026-01-01T00:00:00Z",
        "detail": {"instance-id": _instance(node), "instance-action": "terminate"},
    }
    sqs = cloud.client("sqs")
    url = sqs.get_queue_url(QueueName=karpenter.queue)["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps(notice))

    def replaced() -> bool:
        nodes = {found["metadata"]["name"] for found in _nodes(cloud, "spark")}
        pods = _running(cloud, "executor")
        return bool(pods) and node["metadata"]["name"] not in nodes and pods[0]["spec"]["nodeName"] in nodes

    cloud.until(replaced, seconds=_SECONDS, what="another node runs the pod")
    assert _state(cloud, _instance(node)) == "terminated"
    cloud.delete(deployment("executor"))


def test_a_node_of_bottlerocket_joins_with_the_labels_of_its_pool(karpenter: KarpenterCluster) -> None:
    cloud = karpenter.cloud
    cloud.apply(deployment("model", nodeSelector={PURPOSE: "serving"}))
    cloud.until(lambda: _running(cloud, "model"), seconds=_SECONDS, what="the pod runs on Bottlerocket")
    cloud.delete(deployment("model"))


@pytest.mark.promise("pod-permissions")
def test_karpenters_policy_allows_every_call_that_it_makes(karpenter: KarpenterCluster) -> None:
    assert [call for call in karpenter.cloud.denied() if NAME in str(call)] == []
