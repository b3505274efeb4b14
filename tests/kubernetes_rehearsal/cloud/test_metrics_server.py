"""metrics-server itself reads what pods and nodes use, with the platform's settings."""

import pytest

from kubernetes_rehearsal import programs
from tests.kubernetes_rehearsal.cloud.clouds import CloudCluster, deployment
from tests.kubernetes_rehearsal.helm_releases import ChartSource

IMAGE = "registry.k8s.io/metrics-server/metrics-server:v0.9.0"
# The image of EKS's add-on is not to be had.
REHEARSAL_VALUES = {"image": {"repository": IMAGE.rpartition(":")[0], "tag": IMAGE.rpartition(":")[2]}}
_SECONDS = 240


def test_kubectl_top_answers_for_nodes_and_pods(cloud: CloudCluster) -> None:
    if reason := programs.why_missing(IMAGE):
        pytest.skip(f"{IMAGE}: {reason}")
    cloud.apply(deployment("measured"))
    chart = ChartSource("metrics-server", "sigs.k8s.io/metrics-server").chart("charts/metrics-server")
    values = [{"nodeSelector": {"mlplatform/purpose": "system"}}, REHEARSAL_VALUES]
    cloud.helm.install("metrics-server", chart, namespace="kube-system", values=values)

    def top(*arguments: str) -> list[str]:
        return cloud.helm.kubectl("top", *arguments, "--no-headers").split()

    node, cores, *_ = cloud.until(lambda: top("nodes"), seconds=_SECONDS, what="kubectl top nodes answers")
    assert node in {found["metadata"]["name"] for found in cloud.api.items("/api/v1/nodes")}
    assert cores.endswith("m")
    pod, *_ = cloud.until(
        lambda: top("pods", "--namespace=default", "--selector=app=measured"),
        seconds=_SECONDS,
        what="kubectl top pods answers",
    )
    assert pod.startswith("measured-")
    cloud.delete(deployment("measured"))
