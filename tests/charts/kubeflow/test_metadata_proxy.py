"""The proxy of the metadata store with its own configuration, as a real Envoy: which methods a browser reaches."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from charts.kubeflow.metadata_store.objects import BROWSER_METHODS
from tests.charts.kubeflow import runs
from tests.library.serving.real_envoy import envoy, free_port, needs_envoy, post

SERVICE = "/ml_metadata.MetadataStoreService"
NO_ROUTE, NO_SERVER = 404, 503
"""Envoy's answers without a route, and with a route to a server that does not listen."""

pytestmark = needs_envoy


def configuration(port: int) -> Any:
    """What the proxy mounts, with ports of this machine, and a server that does not listen."""
    chart = runs.charts(runs.BUCKET, runs.rds)["metadata"]
    [found] = [one for one in chart.to_json() if one["metadata"]["name"] == "metadata-envoy-configmap"]
    mounted = json.loads(found["data"]["envoy.json"])
    [listener] = mounted["static_resources"]["listeners"]
    [cluster] = mounted["static_resources"]["clusters"]
    [server] = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    for each, number in ((mounted["admin"], free_port()), (listener, port), (server["endpoint"], free_port())):
        each["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": number}
    return mounted


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[http.client.HTTPConnection]:
    port = free_port()
    with envoy(configuration(port), port, tmp_path_factory.mktemp("envoy")):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        yield connection
        connection.close()


def test_a_browser_reaches_the_methods_of_the_pages(browser: http.client.HTTPConnection) -> None:
    assert {post(browser, f"{SERVICE}/{method}")[0] for method in BROWSER_METHODS} == {NO_SERVER}


@pytest.mark.promise("team-isolation")
@pytest.mark.parametrize(
    "path",
    [
        "/",
        f"{SERVICE}/GetArtifacts",
        f"{SERVICE}/GetContexts",
        f"{SERVICE}/GetExecutions",
        f"{SERVICE}/PutExecution",
        f"{SERVICE}/GetExecutionsByID/../PutExecution",
        f"{SERVICE}/%50utExecution",
        f"/{SERVICE}/PutExecution",
        f"{SERVICE}/GetExecutions?GetExecutionsByID",
        f"{SERVICE}/getexecutionsbyid",
    ],
)
def test_a_browser_reaches_no_method_that_lists_or_changes(browser: http.client.HTTPConnection, path: str) -> None:
    assert post(browser, path)[0] == NO_ROUTE
