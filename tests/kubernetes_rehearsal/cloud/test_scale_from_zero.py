"""A GPU server scales from zero: KEDA counts messages, Karpenter makes the node, and both end when none waits."""

import time
from dataclasses import dataclass

import cdk8s
import pytest
from aws_cdk import CfnOutput, RemovalPolicy
from aws_cdk import aws_sqs as sqs

from charts.catalog import Catalog
from charts.kit.objects import Manifest, namespace
from charts.serving.keda.objects import NAMESPACE as KEDA
from charts.serving.keda.objects import OPERATOR, Keda
from kubernetes_rehearsal import programs
from kubernetes_rehearsal.proofs.components import Component, install
from kubernetes_rehearsal.proofs.workloads import check_workloads
from mlplatform_constructs import NodeGroupSpec
from mlplatform_constructs.charts import ComponentChart, Resources
from mlplatform_constructs.serving import ModelServer, ScaleFromZero, ServingDefaults, Trigger
from tests.kubernetes_rehearsal.cloud.clouds import REGION, SHELL, CloudCluster, new_stack, pod_role
from tests.kubernetes_rehearsal.cloud.karpenters import (
    GivenCluster,
    KarpenterCluster,
    install_karpenter,
    node_pool,
)

CATALOG = Catalog.load()
IMAGES = [
    CATALOG.images.reference(name) for name in ("keda-operator", "keda-metrics-apiserver", "keda-admission-webhooks")
]
TEAM, SERVER = "churn", "images"
GPU = NodeGroupSpec(
    name="inference-gpu",
    purpose="inference",
    instance_types=("g5.xlarge",),
    ami_type="AL2023_x86_64_NVIDIA",
    max_per_zone=8,
)
POOL = node_pool(
    GPU.name,
    labels=GPU.labels,
    taints=GPU.taints,
    instance_types=GPU.instance_types,
    capacity="on-demand",
    accelerated=True,
)
_DEPLOYMENT = f"/apis/apps/v1/namespaces/{TEAM}/deployments/{SERVER}"
_SECONDS = 240


@dataclass(frozen=True)
class IdleServer:
    """A model server that scales by the messages of a queue.

    :param queue: its URL.
    """

    karpenter: KarpenterCluster
    queue: str

    @property
    def cloud(self) -> CloudCluster:
        """Its cluster, and the AWS around it."""
        return self.karpenter.cloud

    def ready(self) -> int:
        """Replicas that are ready."""
        count: int = self.cloud.api.get(_DEPLOYMENT)["status"].get("readyReplicas", 0)
        return count

    def pods(self) -> list[Manifest]:
        """Its pods, with those that are ending."""
        label = f"labelSelector=app.kubernetes.io%2Fname%3D{SERVER}"
        return self.cloud.api.items(f"/api/v1/namespaces/{TEAM}/pods?{label}")

    def is_idle(self) -> bool:
        """Whether it has neither a pod nor a node."""
        return not self.pods() and not self.karpenter.nodes(GPU.name)

    def reasons(self) -> list[str]:
        """Why it does not scale: conditions of the ScaledObject and of its pods."""
        scaled = self.cloud.api.get(f"/apis/keda.sh/v1alpha1/namespaces/{TEAM}/scaledobjects/{SERVER}")
        return [
            f"{found.get('kind', 'Pod')}: {one['type']} is {one['status']}: {one.get('message', '')}"
            for found in (scaled, *self.pods())
            for one in (found.get("status") or {}).get("conditions") or []
        ]


@pytest.fixture(scope="module")
def server(cloud: CloudCluster) -> IdleServer:
    """KEDA with its role, Karpenter with a pool of GPU nodes, and a model server without a message to work on."""
    if missing := [reason for image in (*IMAGES, SHELL) if (reason := programs.why_missing(image))]:
        pytest.skip("; ".join(missing))
    karpenter = install_karpenter(cloud, [POOL])
    stack = new_stack(KEDA)
    queue = sqs.Queue(stack, "Images", queue_name=f"{TEAM}-images", removal_policy=RemovalPolicy.DESTROY)
    GivenCluster(stack).grant_count_messages(pod_role(stack, f"{KEDA}/{OPERATOR}"), [f"{TEAM}-"])
    CfnOutput(stack, "Queue", value=queue.queue_url)
    url = cloud.deploy(stack)["Queue"]
    keda = Keda(
        cdk8s.App(),
        "Keda",
        images=CATALOG.images,
        teams=[TEAM],
        placement={"nodeSelector": {NodeGroupSpec.PURPOSE_LABEL: NodeGroupSpec.SYSTEM}},
    )
    definitions = [*CATALOG.definitions("serving/keda"), *CATALOG.definitions("base/cert_manager")]
    install(cloud.api, Component(KEDA, definitions, [namespace(TEAM), *keda.to_json()]))
    findings = check_workloads(cloud.api, [KEDA], bound_seconds=_SECONDS).findings
    assert not findings, "\n".join(map(str, findings))
    install(cloud.api, Component("server", (), _server(url)))
    return IdleServer(karpenter, url)


def _server(queue: str) -> list[Manifest]:
    made = ModelServer(
        ComponentChart(cdk8s.App(), "models"),
        "Images",
        name=SERVER,
        namespace=TEAM,
        image=SHELL,
        port=8080,
        health="/hostname",
        metrics_path=None,
        resources=Resources(cpu="500m", memory="64Mi", scratch="64Mi", gpus=1),
        replicas=ScaleFromZero(
            most=2, triggers=(Trigger.sqs(queue, per_replica=100, region=REGION),), idle_seconds=5, poll_seconds=2
        ),
        # httpd ignores the request to end, so a pod takes the whole time that it is given.
        defaults=ServingDefaults(drain_seconds=11, request_seconds=4, stop_seconds=1),
        placement={
            "nodeSelector": {NodeGroupSpec.PURPOSE_LABEL: GPU.purpose},
            "tolerations": GPU.tolerations,
        },
    )
    objects = [one for one in made.objects() if "istio" not in one["apiVersion"]]  # no mesh runs here
    (deployment,) = [one for one in objects if one["kind"] == "Deployment"]
    deployment["spec"]["template"]["spec"]["containers"][0]["command"] = ["httpd", "-f", "-p", "8080", "-h", "/etc"]
    return objects


@pytest.mark.promise("idle-servers", "gpu-from-zero")
def test_a_gpu_server_and_its_node_start_for_the_first_message_and_end_after_the_last(server: IdleServer) -> None:
    cloud, sqs = server.cloud, server.cloud.client("sqs")
    cloud.until(server.is_idle, seconds=_SECONDS, what="no pod and no node without messages", why=server.reasons)
    started = time.monotonic()
    sqs.send_message(QueueUrl=server.queue, MessageBody="image 1")
    cloud.until(
        lambda: server.karpenter.nodes(GPU.name), seconds=_SECONDS, what="a node for the server", why=server.reasons
    )
    noded = time.monotonic() - started
    cloud.until(lambda: server.ready() == 1, seconds=_SECONDS, what="a replica for the message", why=server.reasons)
    served = time.monotonic() - started
    (pod,), (node,) = server.pods(), server.karpenter.nodes(GPU.name)
    assert pod["spec"]["nodeName"] == node["metadata"]["name"]
    assert pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == "1"
    assert node["metadata"]["labels"]["node.kubernetes.io/instance-type"] == "g5.xlarge"
    assert {taint["key"] for taint in GPU.taints} <= {taint["key"] for taint in node["spec"]["taints"]}
    # Until a consumer deletes it, a message that it has received is one that counts.
    (received,) = sqs.receive_message(QueueUrl=server.queue, VisibilityTimeout=600)["Messages"]
    time.sleep(10)
    assert server.ready() == 1
    ended = time.monotonic()
    sqs.delete_message(QueueUrl=server.queue, ReceiptHandle=received["ReceiptHandle"])
    cloud.until(lambda: not server.pods(), seconds=_SECONDS, what="no replica after the message", why=server.reasons)
    without_pods = time.monotonic() - ended
    cloud.until(server.is_idle, seconds=_SECONDS, what="no node after the message", why=server.reasons)
    assert server.karpenter.state(node) == "terminated"
    print(
        f"node {noded:.1f} s and replica {served:.1f} s after the first message; "
        f"no pod {without_pods:.1f} s and no node {time.monotonic() - ended:.1f} s after the last"
    )


@pytest.mark.promise("idle-servers", "pod-permissions")
def test_keda_counts_messages_as_its_own_role_and_is_denied_nothing(server: IdleServer) -> None:
    calls = server.cloud.aws.permissions()["allowed"]
    assert "sqs:GetQueueAttributes" in {action for role, made in calls.items() if KEDA in role for action in made}
    findings = check_workloads(server.cloud.api, [KEDA], bound_seconds=_SECONDS).findings
    assert not findings, "\n".join(map(str, findings))
    assert [call for call in server.cloud.denied() if "keda" in str(call).lower()] == []
