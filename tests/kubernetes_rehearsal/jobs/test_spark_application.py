"""A SparkApplication on a real node: submitted by the real operator, with a driver, two executors and a page."""

import copy
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from charts.kubeflow.spark_history_server.objects import PAGES
from kubernetes_rehearsal.client import ApiClient, ApiFailure
from kubernetes_rehearsal.objects import collection_of
from kubernetes_rehearsal.proofs.components import Component
from mlplatform_constructs.kubeflow import SparkApplication, SparkPods
from rehearsal.components import component
from tests.charts.kubeflow.core import CATALOG
from tests.charts.kubeflow.spark_pages import spark_pages
from tests.kubernetes_rehearsal.jobs.clusters import TEAM, cluster_with, logs, until

SPARK, PROXY = CATALOG.images.reference("spark"), CATALOG.images.reference("spark-pages-proxy")
PROGRAM = SparkApplication(
    name="pi",
    namespace=TEAM,
    image=SPARK,
    spark_version="4.0.1",
    main="local:///opt/spark/examples/src/main/python/pi.py",
    arguments=("100",),
    driver=SparkPods(memory="512m"),
    executor=SparkPods(memory="512m", instances=2),
)
_PROXIED = f"/api/v1/namespaces/{TEAM}/services/{PAGES}:http/proxy"
_SECONDS = 900


def operator() -> Component:
    """The operator as deployed. It submits with Spark, which the image of its program alone does not have here."""
    found = component("kubeflow/spark_operator", CATALOG)
    objects = copy.deepcopy([*found.objects])
    for one in objects:
        if one["kind"] == "Deployment":
            [container] = one["spec"]["template"]["spec"]["containers"]
            container |= {"image": SPARK, "command": ["/usr/bin/spark-operator"]}
    return Component(found.name, found.definitions, objects, [], [], found.unavailable)


def pages() -> list[Any]:
    """The proxy to running drivers, without what the mesh adds."""
    kinds = ("ServiceAccount", "ConfigMap", "Deployment", "Service")
    return [one for one in spark_pages(TEAM) if one["kind"] in kinds and one["metadata"]["name"] == PAGES]


@pytest.fixture(scope="module")
def api() -> Iterator[ApiClient]:
    with cluster_with(operator(), *pages(), images=[SPARK, PROXY]) as found:
        yield found


def page(api: ApiClient, path: str) -> str:
    """What the proxy answers; empty while the driver does not."""
    with suppress(ApiFailure):
        return api.text(f"{_PROXIED}{PROGRAM.page}{path}")
    return ""


@pytest.mark.promise("spark-on-kubernetes", "spark-interfaces")
def test_a_program_runs_on_two_executors_and_shows_its_page_while_it_runs(api: ApiClient) -> None:
    content = PROGRAM.to_json()
    path = f"{collection_of(api, content)}/pi"
    api.request("POST", path.rpartition("/")[0], content)

    def state() -> dict[str, Any]:
        found: dict[str, Any] = api.get(path).get("status", {})
        return found

    def described() -> str:
        return f"{state()}\n{logs(api)}"

    def ended() -> bool:
        return state().get("applicationState", {}).get("state") in ("COMPLETED", "FAILED", "SUBMISSION_FAILED")

    def shown(path: str, words: str) -> bool:
        """Whether a page shows these words by now. Spark asks for patience while it starts."""
        return words in page(api, path) or ended()

    until(lambda: shown("jobs/", f"{PROGRAM.page}stages/"), described, seconds=_SECONDS)
    assert not ended(), described()
    assert 'src="/static/' not in page(api, "jobs/"), "a link that leads past the proxy"
    until(lambda: shown("metrics/executors/prometheus", "metrics_executor_"), described, seconds=_SECONDS)
    assert not ended(), described()
    with pytest.raises(ApiFailure) as refused:
        api.text(f"{_PROXIED}{PROGRAM.page}jobs/job/kill/?id=0")
    assert refused.value.code == 403

    until(ended, described, seconds=_SECONDS)
    assert state()["applicationState"]["state"] == "COMPLETED", described()
    assert len(state()["executorState"]) == 2
    driver = api.text(f"/api/v1/namespaces/{TEAM}/pods/pi-driver/log")
    assert "Pi is roughly 3.1" in driver
