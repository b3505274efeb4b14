"""Applications of teams, written with cdk8s-plus."""

import inspect
import typing
from typing import Any

import aws_cdk as cdk
import cdk8s
import cdk8s_plus_34 as kplus
import kubernetes_validate
import pytest
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import (
    ConfigurationError,
    EncryptionKeys,
    KubernetesCluster,
    KubernetesRelease,
    Network,
    NodeGroupSpec,
    WorkloadIdentity,
)
from mlplatform_constructs.charts import ComponentChart, Resources, TeamWorkload, WebApp
from mlplatform_constructs.serving import ModelServer

DIGEST = "sha256:" + "0" * 64
IMAGE = f"r.io/shop:1@{DIGEST}"
SMALL = Resources(cpu="500m", memory="1Gi")


def new_chart() -> ComponentChart:
    return ComponentChart(cdk8s.App(), "shop")


def web_app(chart: cdk8s.Chart | None = None, **changes: Any) -> WebApp:
    given: dict[str, Any] = {
        "name": "web",
        "namespace": "shop",
        "image": IMAGE,
        "port": 8080,
        "resources": SMALL,
        "path": "/shop/",
        "gateway": "shop/web",
    }
    return WebApp(chart or new_chart(), "Web", **{**given, **changes})


def objects(**changes: Any) -> dict[str, Any]:
    return {found["kind"]: found for found in web_app(**changes).chart.to_json()}


def pod(**changes: Any) -> dict[str, Any]:
    spec: dict[str, Any] = objects(**changes)["Deployment"]["spec"]["template"]["spec"]
    return spec


def test_defaults(snapshot_json: SnapshotAssertion) -> None:
    assert web_app().chart.to_json() == snapshot_json


@pytest.mark.parametrize("release", KubernetesRelease.all(), ids=lambda release: release.minor)
def test_every_object_is_valid(release: KubernetesRelease) -> None:
    found = [item for item in objects().values() if "istio" not in item["apiVersion"]]
    assert len(found) == 5
    for item in found:
        kubernetes_validate.validate(item, release.minor, strict=True)


def test_memory_is_limited_to_the_request_and_cpu_is_not() -> None:
    resources = pod()["containers"][0]["resources"]
    assert resources["requests"]["cpu"] == "500m"
    assert "cpu" not in resources["limits"]
    assert resources["limits"]["memory"] == resources["requests"]["memory"] == "1Gi"


def test_gpus_are_requested_and_limited_alike() -> None:
    resources = pod(resources=Resources(cpu="4", memory="16Gi", gpus=2))["containers"][0]["resources"]
    assert resources["requests"]["nvidia.com/gpu"] == resources["limits"]["nvidia.com/gpu"] == "2"


def test_a_model_has_time_to_load() -> None:
    startup = pod(start_minutes=20)["containers"][0]["startupProbe"]
    assert startup["failureThreshold"] * startup["periodSeconds"] == 20 * 60


def test_a_pod_that_ends_answers_until_nothing_sends_to_it() -> None:
    spec = pod()
    pause = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert spec["terminationGracePeriodSeconds"] > pause > 0


def test_nothing_is_selected_by_the_path_of_a_construct() -> None:
    """Moving code would cut a running application off its Service."""
    found = objects()
    labels = {"app.kubernetes.io/name": "web"}
    assert found["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert found["Service"]["spec"]["selector"] == labels
    assert found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels


def test_one_replica_is_not_spread() -> None:
    assert "topologySpreadConstraints" in pod()
    assert "topologySpreadConstraints" not in pod(replicas=1)


def test_an_autoscaler_of_cdk8s_plus_may_own_the_replicas() -> None:
    chart = new_chart()
    app = web_app(chart, replicas=None)
    load = kplus.Metric.resource_cpu(kplus.MetricTarget.average_utilization(70))
    kplus.HorizontalPodAutoscaler(chart, "Scale", target=app.deployment, max_replicas=5, metrics=[load])
    (deployment,) = [found for found in chart.to_json() if found["kind"] == "Deployment"]
    assert "replicas" not in deployment["spec"]


def test_only_the_gateway_and_the_callers_reach_it() -> None:
    found = objects(callers=["jobs/nightly"])
    (rule,) = found["AuthorizationPolicy"]["spec"]["rules"]
    assert rule["from"][0]["source"]["principals"] == [
        "cluster.local/ns/istio-system/sa/istio-ingressgateway",
        "cluster.local/ns/jobs/sa/nightly",
    ]
    (ingress,) = found["NetworkPolicy"]["spec"]["ingress"]
    names = [peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for peer in ingress["from"]]
    assert names == ["istio-system", "jobs"]
    assert ingress["ports"] == [{"port": 8080, "protocol": "TCP"}]


def test_placement_and_the_teams_own_changes_reach_the_pod() -> None:
    chart = new_chart()
    web_app(chart, placement={"nodeSelector": {"mlplatform/purpose": "serving"}})
    chart.change_pods(lambda spec: spec.update(hostname="shop"), of="web")
    chart.change_pods(lambda spec: spec.update(hostname="other"), of="another")
    (deployment,) = [found for found in chart.to_json() if found["kind"] == "Deployment"]
    spec = deployment["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {"mlplatform/purpose": "serving"}
    assert spec["hostname"] == "shop"


def test_the_cdk8s_plus_objects_can_be_extended() -> None:
    chart = new_chart()
    app = web_app(chart)
    app.deployment.add_container(name="agent", image="r.io/agent:1")
    (deployment,) = [found for found in chart.to_json() if found["kind"] == "Deployment"]
    assert [container["name"] for container in deployment["spec"]["template"]["spec"]["containers"]] == ["web", "agent"]


def test_a_workload_without_a_route_is_a_base_to_build_on() -> None:
    chart = new_chart()
    TeamWorkload(chart, "Model", name="model", namespace="shop", image=IMAGE, port=8080, resources=SMALL)
    kinds = {found["kind"] for found in chart.to_json()}
    assert kinds == {"Deployment", "PodDisruptionBudget", "Service", "ServiceAccount"}


@pytest.mark.parametrize("kind", [WebApp, ModelServer])
def test_every_kind_of_workload_hands_on_arguments_of_the_types_and_with_the_need_that_the_workload_has(
    kind: type[TeamWorkload],
) -> None:
    taken = inspect.signature(TeamWorkload.__init__).parameters
    required = {name for name, parameter in taken.items() if parameter.default is inspect.Parameter.empty}
    (handed,) = typing.get_args(typing.get_type_hints(kind.__init__)["workload"])
    hints, known = typing.get_type_hints(handed), typing.get_type_hints(TeamWorkload.__init__)
    assert hints == {name: known[name] for name in hints}
    own = set(inspect.signature(kind.__init__).parameters)
    assert handed.__required_keys__ == required - own
    assert set(hints) == set(taken) - own - {"start_minutes", "service_port", "strategy"}


def test_an_unknown_argument_and_a_missing_one_are_named_by_python() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'prot'"):
        web_app(prot=1)
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'image'"):
        WebApp(new_chart(), "Web", name="web", namespace="shop", port=8080, resources=SMALL, path="/", gateway="a/b")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "Web"}, "name must be up to 53 lower-case letters, digits, hyphens, got 'Web'"),
        ({"image": "r.io:5000/shop"}, "image 'r.io:5000/shop' has no version; add a tag or, better, a digest"),
        ({"port": 80}, "port must be 1024 to 65535, got 80; lower ones need root"),
        ({"health": "healthz"}, "health must be a path, got 'healthz'; begin it with '/'"),
        ({"user": 0}, "user must be 1 or more, got 0; 0 is root"),
        ({"path": "/shop"}, "path must begin and end with '/', got '/shop'"),
        ({"gateway": "web"}, "gateway must be '<namespace>/<name>', got 'web'"),
        ({"callers": ["nightly"]}, "callers must be '<namespace>/<service account>' each, got 'nightly'"),
        ({"chart": cdk8s.Chart(cdk8s.App(), "plain")}, "belongs to a Chart; put it below a ComponentChart"),
    ],
)
def test_what_cannot_work_is_refused_with_the_value_and_the_fix(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=f"/Web: {said}"):
        web_app(**changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cpu": "a lot"}, "cpu must be a quantity such as '500m' or '2', got 'a lot'"),
        ({"memory": "4G"}, "memory must be a quantity such as '4Gi', got '4G'"),
        ({"scratch": "0"}, "scratch must be a quantity such as '4Gi', got '0'"),
        ({"gpus": -1}, "gpus must be 0 or more, got -1"),
    ],
)
def test_a_quantity_that_is_none_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=f"Resources: {said}"):
        Resources(**{"cpu": "1", "memory": "1Gi", **changes})


def test_a_role_of_another_service_account_is_refused(stack: cdk.Stack) -> None:
    system = NodeGroupSpec(
        name="system", purpose="system", instance_types=("m7i.large",), min_per_zone=1, max_per_zone=3
    )
    cluster = KubernetesCluster(
        stack,
        "Cluster",
        vpc=Network(stack, "Network", availability_zones=["eu-west-1a", "eu-west-1b"]).vpc,
        secrets_encryption_key=EncryptionKeys(stack, "Keys").cluster_secrets,
        node_groups=[system],
    )
    identity = WorkloadIdentity.pod_identity(cluster)
    role = identity.role_for(stack, "Role", namespace="shop", service_account="other")
    with pytest.raises(ConfigurationError, match="identity is for service account shop/other, must be for shop/web"):
        web_app(identity=role)
    web_app(identity=identity.role_for(stack, "Own", namespace="shop", service_account="web"))
