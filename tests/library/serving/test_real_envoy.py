"""What a real Envoy does with the weights of a SeldonDeployment, and with real servers that roll out under load."""

import http.client
import json
import os
from collections import Counter
from contextlib import ExitStack
from math import sqrt
from pathlib import Path
from typing import Any

import cdk8s
import pytest

from mlplatform_constructs.charts import ComponentChart
from mlplatform_constructs.serving import GraphStep, ModelContainer, ModelServer, Resources, SeldonDeployment
from tests.library.serving.real_envoy import (
    Load,
    Pods,
    bootstrap,
    endpoints,
    envoy,
    free_port,
    model,
    needs_envoy,
    post,
)

SMALL = Resources(cpu="1", memory="1Gi")
STABLE, NEXT = (
    GraphStep(name="churn", runs=ModelContainer(image=f"r.io/churn:{number}", resources=SMALL)) for number in (1, 2)
)
REQUESTS = 2000


def route(deployment: SeldonDeployment) -> dict[str, Any]:
    """The route that Ambassador makes of the Mappings of a SeldonDeployment: one for each predictor, with its weight,
    or as a shadow.
    """
    predictors = deployment.to_json()["spec"]["predictors"]
    weights = [
        {"name": predictor["name"], "weight": predictor["traffic"]}
        for predictor in predictors
        if "traffic" in predictor
    ]
    mirrors = [{"cluster": predictor["name"]} for predictor in predictors if predictor.get("shadow")]
    action = {
        "weighted_clusters": {"clusters": weights},
        "prefix_rewrite": "/",
        **({"request_mirror_policies": mirrors} if mirrors else {}),
    }
    return {"match": {"prefix": f"{deployment.prefix}/"}, "route": action}


@pytest.fixture
def calls() -> Counter[str]:
    return Counter()


def answers(deployment: SeldonDeployment, calls: Counter[str], folder: Path) -> Counter[str]:
    """Who answered ``REQUESTS`` requests at the gateway."""
    port = free_port()
    with ExitStack() as stack:
        clusters = [
            {
                "name": predictor.name,
                "type": "STATIC",
                "connect_timeout": "1s",
                "load_assignment": endpoints(predictor.name, [stack.enter_context(model(predictor.name, calls))]),
            }
            for predictor in deployment.predictors
        ]
        stack.enter_context(envoy(bootstrap(port, [route(deployment)], clusters), port, folder))
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        path = deployment.prediction_url.partition(deployment.GATEWAY)[2]
        found = [post(connection, path) for _ in range(REQUESTS)]
    assert {status for status, _ in found} == {200}
    return Counter(text for _, text in found)


@needs_envoy
@pytest.mark.promise("seldon", "ambassador")
@pytest.mark.parametrize("percent", [10, 50])
def test_a_canary_gets_its_share_of_the_requests(percent: int, calls: Counter[str], tmp_path: Path) -> None:
    """Within four standard deviations, which a right Envoy leaves once in 15,000 runs."""
    deployment = SeldonDeployment.canary("churn", "growth", STABLE, NEXT, percent=percent, region="eu-west-1")
    found = answers(deployment, calls, tmp_path)
    share = percent / 100
    assert abs(found["canary"] - REQUESTS * share) < 4 * sqrt(REQUESTS * share * (1 - share))
    assert found["main"] + found["canary"] == REQUESTS


@needs_envoy
@pytest.mark.promise("seldon", "ambassador")
def test_a_shadow_gets_a_copy_of_every_request_and_answers_none(calls: Counter[str], tmp_path: Path) -> None:
    deployment = SeldonDeployment.shadow("churn", "growth", STABLE, NEXT, region="eu-west-1")
    assert answers(deployment, calls, tmp_path) == {"main": REQUESTS}
    assert calls["main"] == REQUESTS
    assert calls["shadow"] >= 0.99 * REQUESTS, "copies in flight at the end are cut off"


class Endpoints:
    """The addresses that Envoy reads from a file, which is replaced atomically."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "endpoints.json"
        self([])

    def __call__(self, ports: list[int]) -> None:
        resource = {
            "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            **endpoints("model", ports),
        }
        text = json.dumps({"version_info": str(ports), "resources": [resource]})
        draft = self.file.with_suffix(".draft")
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, self.file)

    @property
    def cluster(self) -> dict[str, Any]:
        """The cluster of Envoy that they belong to."""
        source = {"path_config_source": {"path": str(self.file), "watched_directory": {"path": str(self.file.parent)}}}
        return {
            "name": "model",
            "type": "EDS",
            "connect_timeout": "1s",
            "eds_cluster_config": {"eds_config": {**source, "resource_api_version": "V3"}},
        }


def rollout(missing: str | None, folder: Path) -> Load:
    """Replace two replicas by two of a new version while requests go through Envoy; times run ten times as fast."""
    chart = ComponentChart(cdk8s.App(), "churn")
    server = ModelServer(chart, "C", name="churn", namespace="growth", image="r.io/c:1", port=8080, resources=SMALL)
    (deployment,) = [found for found in server.objects() if found["kind"] == "Deployment"]
    spec = deployment["spec"]["template"]["spec"]
    container = {key: value for key, value in spec["containers"][0].items() if key != missing}
    published, port = Endpoints(folder), free_port()
    pods = Pods(container, spec["terminationGracePeriodSeconds"], speed=10, publish=published)
    everything = {"match": {"prefix": "/"}, "route": {"cluster": "model", "timeout": "10s"}}
    try:
        old = [pods.start() for _ in range(2)]
        pods.wait(old)
        with envoy(bootstrap(port, [everything], [published.cluster]), port, folder), Load(port).running() as load:
            for each in old:
                pods.start()
                pods.delete(each)
            pods.settle()
    finally:
        pods.kill()
    return load


@needs_envoy
@pytest.mark.promise("rollout-without-failures")
def test_a_new_version_rolls_out_under_load_through_envoy_without_a_failed_request(tmp_path: Path) -> None:
    load = rollout(None, tmp_path)
    assert load.failed == []
    assert load.sent > 100


@needs_envoy
@pytest.mark.promise("rollout-without-failures")
@pytest.mark.parametrize("missing", ["lifecycle", "readinessProbe"])
def test_without_the_pause_or_the_readiness_probe_requests_fail(missing: str, tmp_path: Path) -> None:
    load = rollout(missing, tmp_path)
    assert load.failed
