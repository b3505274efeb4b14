"""The pages of Spark programs: who reaches them, and what they can reach."""

import json
from contextlib import nullcontext as does_not_raise

import pytest
from syrupy.assertion import SnapshotAssertion

from charts.kit.chart import pod_specs
from charts.kit.listed_images import unlisted_objects
from charts.kubeflow.spark_history_server.objects import HISTORY, PAGES
from kubernetes_rehearsal.client import ApiClient
from kubernetes_rehearsal.proofs.components import Component, install
from tests.charts.kubeflow.core import CATALOG, charts, of_kind
from tests.charts.kubeflow.spark_pages import spark_pages
from tests.charts.kubeflow.tenancy import GATEWAY, Pod, Tenancy, added_by_controllers
from tests.outlines import outline

OWNERS = {"churn": "ben@example.com", "fraud": "dee@example.com"}
CONTRIBUTOR = "Chi.Li@example.com"

OBJECTS = [
    *(one for chart in charts().values() for one in chart.to_json()),
    *(one for team, owner in OWNERS.items() for one in (*added_by_controllers(team, owner), *spark_pages(team))),
]
TENANCY = Tenancy(OBJECTS)


def pod(team: str, name: str) -> Pod:
    return Pod(team, name, (("app.kubernetes.io/name", name),))


def notebook(team: str) -> Pod:
    return Pod(team, "default-editor", (("notebook-name", "mine"),))


def test_objects(snapshot: SnapshotAssertion) -> None:
    assert outline(spark_pages("churn")) == snapshot


def test_the_api_accepts_every_object(api: ApiClient) -> None:
    namespaces = [one for one in of_kind(OBJECTS, "Namespace") if one["metadata"]["name"] == "churn"]
    with does_not_raise():
        install(api, Component("spark", CATALOG.definitions("edge/istio"), [*namespaces, *spark_pages("churn")]))


@pytest.mark.promise("pinned-images")
def test_every_image_is_listed() -> None:
    assert list(unlisted_objects(spark_pages("churn"), CATALOG.images)) == []


@pytest.mark.promise("probes-set", "requests-set")
def test_every_container_has_requests_probes_and_a_restricted_security_context() -> None:
    deployments = of_kind(spark_pages("churn"), "Deployment")
    assert [one["metadata"]["name"] for one in deployments] == [HISTORY, PAGES]
    for found in deployments:
        (spec,) = pod_specs(found)
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False, "no pod here calls the API server"
        for container in spec["containers"]:
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            assert {"livenessProbe", "readinessProbe"} <= set(container)
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.promise("spark-interfaces", "team-isolation")
def test_only_people_of_a_team_open_its_pages_and_only_through_the_gateway() -> None:
    for team, other in (("churn", "fraud"), ("fraud", "churn")):
        pages = pod(team, PAGES)
        assert TENANCY.connects(GATEWAY, pages)
        assert TENANCY.calls(GATEWAY, pages, user=OWNERS[team])
        assert not TENANCY.calls(GATEWAY, pages, user=OWNERS[other])
        assert not TENANCY.calls(GATEWAY, pages)
        for target in (pages, pod(team, HISTORY)):
            assert not TENANCY.connects(notebook(other), target)
            for user in ("", *OWNERS.values()):
                assert not TENANCY.calls(notebook(other), target, user=user)
                assert not TENANCY.calls(notebook(team), target, user=user), "the gateway has not verified the name"
    assert TENANCY.calls(GATEWAY, pod("churn", PAGES), user=CONTRIBUTOR)


def test_the_history_server_admits_the_proxy_of_its_team_alone() -> None:
    assert TENANCY.calls(pod("churn", PAGES), pod("churn", HISTORY))
    assert not TENANCY.calls(GATEWAY, pod("churn", HISTORY), user=OWNERS["churn"])
    assert not TENANCY.calls(pod("fraud", PAGES), pod("churn", HISTORY))


@pytest.mark.parametrize("name", [PAGES, HISTORY])
def test_without_its_own_policy_any_pod_of_the_team_would_reach_a_server(name: str) -> None:
    weaker = [one for one in OBJECTS if (one["kind"], one["metadata"]["name"]) != ("AuthorizationPolicy", name)]
    assert Tenancy(weaker).calls(notebook("churn"), pod("churn", name))


def test_a_route_leads_to_the_team_that_its_path_names() -> None:
    for team in OWNERS:
        routes = of_kind(spark_pages(team), "VirtualService")
        assert sorted(one["spec"]["http"][0]["match"][0]["uri"]["prefix"] for one in routes) == [
            f"/spark-history/{team}/",
            f"/spark/{team}/",
        ]
        for route in routes:
            (target,) = route["spec"]["http"][0]["route"]
            assert target["destination"]["host"] == f"{PAGES}.{team}.svc.cluster.local"


def test_logs_are_copied_from_the_folder_of_the_team_and_never_written() -> None:
    (found,) = [one for one in of_kind(spark_pages("churn"), "Deployment") if one["metadata"]["name"] == HISTORY]
    server, copied = found["spec"]["template"]["spec"]["containers"]
    (command,) = copied["args"]
    assert "aws s3 sync" in command
    assert command.index("'s3://artifacts/churn/spark-events/'") < command.index("/var/spark-events")
    assert {"name": "events", "mountPath": "/var/spark-events", "readOnly": True} in server["volumeMounts"]
    assert "s3" not in json.dumps(server["env"])
