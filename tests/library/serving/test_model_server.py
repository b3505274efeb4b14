"""A model in a container of your own."""

from collections.abc import Callable
from typing import Any

import cdk8s
import kubernetes_validate
import pytest
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import ConfigurationError
from mlplatform_constructs.charts import ComponentChart
from mlplatform_constructs.serving import (
    LocalModel,
    Metric,
    ModelServer,
    Resources,
    ScaleFromZero,
    Scaling,
    ServingDefaults,
    Sidecar,
    Trigger,
)

SMALL = Resources(cpu="1", memory="2Gi")
TINY = Resources(cpu="100m", memory="64Mi")
PROXY = Sidecar(name="proxy", image="r.io/envoy:1", resources=TINY, port=8443, health="/ready")
AGENT = Sidecar(name="metrics", image="r.io/agent:1", resources=TINY, port=9102, args=("--statsd",))
LARGE = LocalModel(bucket="models", model="language", version=3, size_gib=40, image="r.io/loader:1")
OUTSIDE: dict[str, Any] = {
    "host": "churn.ml.example.com",
    "certificate_arn": "arn:aws:acm:eu-west-1:111111111111:certificate/x",
    "networks": ["10.0.0.0/16"],
}


def server(**changes: Any) -> ModelServer:
    given = {"name": "churn", "namespace": "growth", "image": "r.io/churn:1", "port": 8080, "resources": SMALL}
    return ModelServer(ComponentChart(cdk8s.App(), "churn"), "Churn", **{**given, **changes})


def objects(**changes: Any) -> dict[str, Any]:
    return {found["kind"]: found for found in server(**changes).objects()}


def pod(**changes: Any) -> dict[str, Any]:
    spec: dict[str, Any] = objects(**changes)["Deployment"]["spec"]["template"]["spec"]
    return spec


def everything() -> dict[str, Any]:
    return {"proxy": PROXY, "metrics_agent": AGENT, "model": LARGE, "callers": ["shop"], **OUTSIDE}


def test_objects(snapshot_json: SnapshotAssertion) -> None:
    assert server(**everything()).objects() == snapshot_json


def test_every_object_is_valid(offer: Callable[[Any], None]) -> None:
    for found in server(**everything(), replicas=Scaling(most=4)).objects():
        if "istio" in found["apiVersion"]:
            offer(found)
        else:
            kubernetes_validate.validate(found, "1.35", strict=True)


@pytest.mark.promise("autoscaled-servers", "scaling-by-metrics")
@pytest.mark.parametrize(
    ("replicas", "kind"),
    [
        (Scaling(most=4, metrics=(Metric.business("autoscaling_orders", 5),)), "HorizontalPodAutoscaler"),
        (
            ScaleFromZero(most=4, triggers=(Trigger.prometheus("x", per_replica=1, server="http://p"),)),
            "ScaledObject",
        ),
    ],
)
def test_an_autoscaler_owns_the_replicas(replicas: Any, kind: str) -> None:
    found = objects(replicas=replicas)
    assert "replicas" not in found["Deployment"]["spec"]
    assert found[kind]["spec"]["scaleTargetRef"]["name"] == found["Deployment"]["metadata"]["name"]
    assert objects(replicas=3)["Deployment"]["spec"]["replicas"] == 3


@pytest.mark.promise("rollout-without-failures")
def test_a_rollout_takes_no_replica_away_before_a_new_one_is_ready() -> None:
    assert objects()["Deployment"]["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
    }


@pytest.mark.promise("fast-health-checks")
def test_the_load_balancer_sends_to_the_pods_themselves() -> None:
    found = objects(**OUTSIDE)["Ingress"]
    annotations = found["metadata"]["annotations"]
    assert annotations["alb.ingress.kubernetes.io/target-type"] == "ip"
    assert annotations["alb.ingress.kubernetes.io/scheme"] == "internal"
    assert (
        objects(**OUTSIDE, public=True)["Ingress"]["metadata"]["annotations"]["alb.ingress.kubernetes.io/scheme"]
        == "internet-facing"
    )
    assert found["spec"]["rules"][0]["host"] == "churn.ml.example.com"
    assert "Ingress" not in objects()


@pytest.mark.promise("bounded-retries")
def test_callers_in_the_mesh_try_another_replica_only_before_work_began() -> None:
    found = objects(defaults=ServingDefaults(attempts=4, request_seconds=20))
    (route,) = found["VirtualService"]["spec"]["http"]
    assert (route["timeout"], route["retries"]["attempts"]) == ("20s", 3)
    assert set(route["retries"]["retryOn"].split(",")) == {
        "connect-failure",
        "refused-stream",
        "reset-before-request",
        "503",
    }
    assert found["DestinationRule"]["spec"]["trafficPolicy"]["connectionPool"]["tcp"]["connectTimeout"] == "1s"


def test_only_callers_the_load_balancer_and_prometheus_reach_the_pods() -> None:
    metrics, requests = objects(callers=["shop"], metrics_agent=AGENT, **OUTSIDE)["NetworkPolicy"]["spec"]["ingress"]
    assert metrics["ports"] == [{"port": 9102, "protocol": "TCP"}]
    assert requests["ports"] == [{"port": 8080, "protocol": "TCP"}]
    space, network = requests["from"]
    assert space["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "shop"}
    assert network == {"ipBlock": {"cidr": "10.0.0.0/16"}}
    assert len(objects()["NetworkPolicy"]["spec"]["ingress"]) == 1


@pytest.mark.promise("server-sidecars")
def test_proxy_and_agent_are_containers_that_outlive_the_server() -> None:
    spec = pod(proxy=PROXY, metrics_agent=AGENT)
    assert [each["name"] for each in spec["containers"]] == ["churn"]
    assert [(each["name"], each["restartPolicy"]) for each in spec["initContainers"]] == [
        ("proxy", "Always"),
        ("metrics", "Always"),
    ]
    found = objects(proxy=PROXY, metrics_agent=AGENT)
    assert found["Service"]["spec"]["ports"][0]["targetPort"] == 8443
    annotations = found["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == "9102"


@pytest.mark.promise("large-models", "models-from-s3")
def test_a_model_above_30_gib_is_streamed_to_a_disk_that_has_room_for_it() -> None:
    spec = pod(model=LARGE)
    loader, server = spec["initContainers"][0], spec["containers"][0]
    assert loader["command"][-2:] == ["--to", "/mnt/model/current"]
    (volume,) = [each for each in spec["volumes"] if each["name"] == "model"]
    assert volume["emptyDir"] == {"sizeLimit": "44Gi"}
    for container in (loader, server):
        assert container["resources"]["requests"]["ephemeral-storage"] == "45Gi"
    assert loader["resources"]["limits"]["memory"] == "512Mi"
    (mount,) = [each for each in server["volumeMounts"] if each["name"] == "model"]
    assert mount["readOnly"] is True


@pytest.mark.promise("large-models")
def test_a_model_larger_than_the_disk_is_refused_with_the_size_it_needs() -> None:
    with pytest.raises(ConfigurationError, match=r"need 133 GiB, but pods can use 80 GiB .* disk_gib = 167 or more"):
        server(model=LocalModel(bucket="models", model="language", version=3, size_gib=120, image="r.io/loader:1"))
    large = LocalModel(bucket="models", model="language", version=3, size_gib=120, image="r.io/loader:1")
    assert server(model=large, disk_gib=167)


def test_teams_extend_it_with_cdk8s_plus() -> None:
    found = server()
    found.deployment.add_container(name="cache", image="r.io/cache:1")
    (deployment,) = [each for each in found.objects() if each["kind"] == "Deployment"]
    assert [each["name"] for each in deployment["spec"]["template"]["spec"]["containers"]] == ["churn", "cache"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"replicas": 0}, "replicas must be 1 or more, got 0; use ScaleFromZero for 0"),
        ({"proxy": Sidecar(name="proxy", image="r.io/e:1", resources=TINY)}, "proxy 'proxy' needs a port"),
        (
            {"proxy": Sidecar(name="proxy", image="r.io/e:1", resources=TINY, port=8080)},
            "'proxy' and the server both answer on port 8080 of one pod; change one",
        ),
        (
            {"metrics_path": None, "metrics_port": 8082},
            "metrics_path is None, but metrics_port or metrics_agent is given",
        ),
        ({"callers": ["Shop"]}, "callers must be lower-case"),
        ({"host": "churn"}, "host must be a DNS name, got 'churn'"),
        ({"host": "churn.example.com"}, "needs certificate_arn; the load balancer speaks HTTPS only"),
        ({"host": "churn.example.com", "certificate_arn": "arn"}, "needs networks, those of the load balancer's"),
        ({"networks": ["10.0.0.0/33"]}, "networks must be such as '10.0.0.0/16', got '10.0.0.0/33'"),
        ({"image": "r.io/churn"}, "has no version"),
    ],
)
def test_a_server_that_cannot_work_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        server(**given)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sidecar(name="p", image="r.io/e", resources=TINY), "image must have a tag or a digest"),
        (lambda: Sidecar(name="p", image="r.io/e:1", resources=TINY, port=80), "port must be 1024 to 65535, got 80"),
        (lambda: Sidecar(name="p", image="r.io/e:1", resources=TINY, health="/"), "health needs a port; give port"),
        (lambda: LocalModel(bucket="m", model="a", version=0, size_gib=1, image="r.io/l:1"), "version must be 1"),
        (lambda: LocalModel(bucket="m", model="a", version=1, size_gib=0, image="r.io/l:1"), "size_gib must be above"),
        (
            lambda: LocalModel(bucket="m", model="a", version=1, size_gib=1, image="r.io/l:1", folder="x"),
            "folder must begin with '/'",
        ),
    ],
)
def test_a_part_that_cannot_work_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()


@pytest.mark.promise("server-sidecars")
def test_metrics_on_a_port_of_their_own_are_scraped_there_and_admitted_for_prometheus_alone() -> None:
    found = objects(metrics_port=8082)
    annotations = found["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == "8082"
    (rule,) = found["NetworkPolicy"]["spec"]["ingress"]
    assert rule["ports"] == [{"port": 8082, "protocol": "TCP"}]
    with pytest.raises(ConfigurationError, match="metrics_port and metrics_agent exclude each other"):
        server(metrics_port=8082, metrics_agent=AGENT)


def test_a_server_without_metrics_is_neither_scraped_nor_open_to_prometheus() -> None:
    found = objects(metrics_path=None, callers=["shop"])
    assert "annotations" not in found["Deployment"]["spec"]["template"]["metadata"]
    (rule,) = found["NetworkPolicy"]["spec"]["ingress"]
    assert rule["ports"] == [{"port": 8080, "protocol": "TCP"}]
