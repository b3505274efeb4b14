"""Values of the Helm charts that every cluster gets, and the objects that go with them."""

from collections.abc import Iterator
from typing import Any

import cdk8s
import pytest
from syrupy.assertion import SnapshotAssertion

from charts.catalog import Catalog
from charts.edge.istio.objects import Mesh
from charts.edge.istio.values import NAMESPACE, cni_values, gateway_values, istiod_values
from charts.edge.load_balancer_controller.values import load_balancer_controller_values
from charts.kit.images import Images
from charts.nodes.karpenter.values import karpenter_values
from mlplatform_constructs import KubernetesRelease
from tests.schemas import assert_valid

CATALOG = Catalog.load()
IMAGES = CATALOG.images
DEFINITIONS = [found for component in CATALOG.components.values() for found in component.definitions]
REGISTRY = "012345678901.dkr.ecr.eu-west-1.amazonaws.com/mirror"
PLACEMENT = {"nodeSelector": {"mlplatform/purpose": "system"}, "tolerations": [{"key": "system", "operator": "Exists"}]}


def values(images: Images = IMAGES) -> dict[str, dict[str, Any]]:
    """Values of each chart of the list that has pods."""
    return {
        "aws-load-balancer-controller": load_balancer_controller_values(
            images=images,
            cluster_name="training",
            region="eu-west-1",
            vpc_id="vpc-1",
            isolated=False,
            placement=PLACEMENT,
        ),
        "cni": cni_values(images=images),
        "gateway": gateway_values(placement=PLACEMENT),
        "istiod": istiod_values(images=images, placement=PLACEMENT),
        "karpenter": karpenter_values(
            images=images, cluster_name="training", queue_name="notices", isolated=False, placement=PLACEMENT
        ),
    }


def test_values_of_all_charts(snapshot_json: SnapshotAssertion) -> None:
    assert values() == snapshot_json


def test_every_chart_with_pods_has_values_here() -> None:
    assert set(values()) == {chart.name for chart in CATALOG.helm_charts} - {"base", "karpenter-crd"}


def texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for item in value.values():
                yield from texts(item)
        case list():
            for item in value:
                yield from texts(item)


@pytest.mark.promise("own-registry")
def test_every_image_comes_from_the_accounts_registry_where_one_is_set() -> None:
    """The gateway's image is the proxy's, which istiod injects."""
    listed = Catalog.load(registry=REGISTRY).images
    for chart in CATALOG.helm_charts:
        found = list(texts(values(listed).get(chart.name)))
        for key in chart.images:
            upstream = IMAGES.repository(key)
            named = [text for text in found if upstream in text]
            assert named or chart.name == "gateway", f"{chart.name} does not name {upstream}"
            assert all(text.startswith(f"{REGISTRY}/{upstream}") for text in named)


@pytest.mark.promise("gpu-from-zero", "requests-set")
@pytest.mark.parametrize("chart", ["aws-load-balancer-controller", "gateway", "istiod", "karpenter"])
def test_controllers_run_where_they_are_placed_and_say_what_they_need(chart: str) -> None:
    found = values()[chart]
    assert {key: found[key] for key in PLACEMENT} == PLACEMENT
    resources = found["controller"]["resources"] if chart == "karpenter" else found["resources"]
    assert {"cpu", "memory"} <= set(resources["requests"])
    assert "memory" in resources["limits"]


def test_the_plugin_of_the_network_runs_on_every_node() -> None:
    assert not {"nodeSelector", "affinity"} & set(values()["cni"])


def test_load_balancers_send_to_pods() -> None:
    assert values()["aws-load-balancer-controller"]["defaultTargetType"] == "ip"


@pytest.mark.parametrize("isolated", [False, True])
def test_waf_is_asked_where_the_network_reaches_it(isolated: bool) -> None:
    found = load_balancer_controller_values(
        images=IMAGES, cluster_name="training", region="eu-west-1", vpc_id="vpc-1", isolated=isolated, placement={}
    )
    assert (found["enableWafv2"], found["enableWaf"], found["enableShield"]) == (not isolated, False, False)


def test_controllers_are_told_what_pods_cannot_ask_a_node() -> None:
    found = values()["aws-load-balancer-controller"]
    assert (found["region"], found["vpcId"], found["clusterName"]) == ("eu-west-1", "vpc-1", "training")


def test_no_pod_of_the_mesh_changes_its_own_network() -> None:
    """The plugin on the node does."""
    assert values()["istiod"]["pilot"]["cni"]["enabled"] is True


def test_the_gateway_has_no_rights_and_opens_low_ports_all_the_same() -> None:
    found = values()["gateway"]
    assert found["securityContext"]["runAsNonRoot"] is True
    assert found["containerSecurityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert found["securityContext"]["sysctls"] == [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]


def test_no_load_balancer_is_made_for_the_gateway() -> None:
    assert values()["gateway"]["service"]["type"] == "ClusterIP"


def test_the_way_in_and_the_controllers_outlive_one_node() -> None:
    found = values()
    assert found["istiod"]["autoscaleMin"] == 2
    assert found["gateway"]["autoscaling"]["minReplicas"] == 2
    assert found["karpenter"]["replicas"] == 2
    assert found["aws-load-balancer-controller"]["replicaCount"] == 2


@pytest.mark.promise("mutual-tls")
def test_pods_of_the_mesh_take_calls_over_mutual_tls_only() -> None:
    policy, *_ = Mesh(cdk8s.App(), "Mesh").to_json()
    assert policy["kind"] == "PeerAuthentication"
    assert (policy["metadata"]["namespace"], policy["metadata"]["name"]) == (NAMESPACE, "default")
    assert policy["spec"] == {"mtls": {"mode": "STRICT"}}


def test_the_mesh_logs_failed_requests_and_all_where_asked() -> None:
    _, errors, *_ = Mesh(cdk8s.App(), "Mesh").to_json()
    _, every, *_ = Mesh(cdk8s.App(), "Mesh", access_log="all").to_json()
    assert errors["spec"]["accessLogging"] == [
        {"providers": [{"name": "envoy"}], "filter": {"expression": "response.code >= 400"}}
    ]
    assert every["spec"]["accessLogging"] == [{"providers": [{"name": "envoy"}]}]
    assert "accessLogFile" not in values()["istiod"]["meshConfig"]


@pytest.mark.promise("mesh-authorization")
def test_the_mesh_denies_what_no_policy_allows() -> None:
    *_, policy, _ = Mesh(cdk8s.App(), "Mesh").to_json()
    assert (policy["kind"], policy["metadata"]["namespace"]) == ("AuthorizationPolicy", NAMESPACE)
    assert policy["spec"] == {"action": "ALLOW", "rules": []}


def test_the_gateway_refuses_header_names_with_underscores_and_policies_see_normalized_paths() -> None:
    *_, patch = Mesh(cdk8s.App(), "Mesh").to_json()
    assert patch["spec"]["workloadSelector"] == {"labels": {"istio": "ingressgateway"}}
    assert "'headers_with_underscores_action': 'REJECT_REQUEST'" in str(patch["spec"]["configPatches"])
    settings = values()["istiod"]["meshConfig"]
    assert settings["pathNormalization"] == {"normalization": "DECODE_AND_MERGE_SLASHES"}


@pytest.mark.parametrize("release", KubernetesRelease.all(), ids=lambda release: release.minor)
def test_every_definition_is_valid(release: KubernetesRelease) -> None:
    assert_valid(DEFINITIONS, release.minor)


def test_every_kind_is_defined_once_with_one_stored_version() -> None:
    names = [definition["metadata"]["name"] for definition in DEFINITIONS]
    assert len(names) == len(set(names))
    for definition in DEFINITIONS:
        assert [version["storage"] for version in definition["spec"]["versions"]].count(True) == 1
        assert definition["metadata"]["name"] == (
            f"{definition['spec']['names']['plural']}.{definition['spec']['group']}"
        )
