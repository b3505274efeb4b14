"""Karpenter itself makes, replaces and ends nodes, by our values, node pools and policy."""

import json
from typing import Any

import pytest

from charts.nodes.karpenter.values import NAME
from tests.kubernetes_rehearsal.cloud.clouds import REGION, CloudCluster, deployment
from tests.kubernetes_rehearsal.cloud.karpenters import (
    PURPOSE,
    SECONDS,
    KarpenterCluster,
    install_karpenter,
    node_pool,
)

TRAINING = {"key": PURPOSE, "value": "training", "effect": "NoSchedule"}
GPU = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
POOLS = (
    node_pool(
        "training",
        taints=[TRAINING, GPU],
        instance_types=("g5.xlarge",),
        capacity="on-demand",
        accelerated=True,
    ),
    node_pool("spark", instance_types=("m5.large", "m5.xlarge"), capacity="spot"),
    node_pool("serving", instance_types=("m5.large",), capacity="on-demand", image="bottlerocket"),
)


@pytest.fixture(scope="module")
def karpenter(cloud: CloudCluster) -> KarpenterCluster:
    """The cluster with Karpenter and its pools."""
    return install_karpenter(cloud, POOLS)


def _running(cloud: CloudCluster, app: str) -> list[dict[str, Any]]:
    pods = cloud.api.items(f"/api/v1/namespaces/default/pods?labelSelector=app%3D{app}")
    return [pod for pod in pods if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]]


@pytest.mark.promise("gpu-from-zero", "autoscaler-of-choice")
def test_a_pending_gpu_pod_gets_a_node_of_its_pool_which_ends_once_it_is_idle(karpenter: KarpenterCluster) -> None:
    cloud = karpenter.cloud
    assert karpenter.nodes("training") == []
    job = deployment(
        "trainer",
        resources={"limits": {"nvidia.com/gpu": 1}},
        nodeSelector={PURPOSE: "training"},
        tolerations=[{"key": PURPOSE, "value": "training"}, {"key": "nvidia.com/gpu", "operator": "Exists"}],
    )
    cloud.apply(job)
    (pod,) = cloud.until(lambda: _running(cloud, "trainer"), seconds=SECONDS, what="the GPU pod runs")
    (node,) = karpenter.nodes("training")
    assert pod["spec"]["nodeName"] == node["metadata"]["name"]
    labels = node["metadata"]["labels"]
    assert (labels["node.kubernetes.io/instance-type"], labels["karpenter.sh/capacity-type"]) == (
        "g5.xlarge",
        "on-demand",
    )
    assert [TRAINING["key"], GPU["key"]] == [taint["key"] for taint in node["spec"]["taints"]][:2]
    groups = karpenter.instance(node)["SecurityGroups"]
    assert [group["GroupId"] for group in groups] == [cloud.security_group]
    cloud.delete(job)
    cloud.until(lambda: not karpenter.nodes("training"), seconds=SECONDS, what="the idle node ends")
    assert karpenter.state(node) == "terminated"


@pytest.mark.promise("spot")
def test_a_spot_node_is_replaced_before_ec2_takes_it_back(karpenter: KarpenterCluster) -> None:
    cloud = karpenter.cloud
    cloud.apply(deployment("executor", resources={"requests": {"cpu": "500m"}}, nodeSelector={PURPOSE: "spark"}))
    cloud.until(lambda: _running(cloud, "executor"), seconds=SECONDS, what="the pod runs on spot capacity")
    (node,) = karpenter.nodes("spark")
    assert node["metadata"]["labels"]["karpenter.sh/capacity-type"] == "spot"
    notice = {
        "version": "0",
        "id": "1",
        "source": "aws.ec2",
        "detail-type": "EC2 Spot Instance Interruption Warning",
        "account": "000000000000",
        "region": REGION,
        "time": "2026-01-01T00:00:00Z",
        "detail": {"instance-id": karpenter.instance(node)["InstanceId"], "instance-action": "terminate"},
    }
    sqs = cloud.client("sqs")
    url = sqs.get_queue_url(QueueName=karpenter.queue)["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps(notice))

    def replaced() -> bool:
        nodes = {found["metadata"]["name"] for found in karpenter.nodes("spark")}
        pods = _running(cloud, "executor")
        return bool(pods) and node["metadata"]["name"] not in nodes and pods[0]["spec"]["nodeName"] in nodes

    cloud.until(replaced, seconds=SECONDS, what="another node runs the pod")
    assert karpenter.state(node) == "terminated"
    cloud.delete(deployment("executor"))


def test_a_node_of_bottlerocket_joins_with_the_labels_of_its_pool(karpenter: KarpenterCluster) -> None:
    cloud = karpenter.cloud
    cloud.apply(deployment("model", nodeSelector={PURPOSE: "serving"}))
    cloud.until(lambda: _running(cloud, "model"), seconds=SECONDS, what="the pod runs on Bottlerocket")
    cloud.delete(deployment("model"))


@pytest.mark.promise("pod-permissions")
def test_karpenters_policy_allows_every_call_that_it_makes(karpenter: KarpenterCluster) -> None:
    assert [call for call in karpenter.cloud.denied() if NAME in str(call)] == []
