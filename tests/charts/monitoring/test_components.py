"""The components of monitoring: their objects, rights, connections, and what careless settings are refused for."""

import json
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from charts.kit.chart import pod_specs
from charts.kit.listed_images import unlisted_objects
from charts.monitoring.alertmanager.objects import Receiver
from charts.monitoring.grafana.objects import Entry
from charts.monitoring.prometheus.rule_files import Objectives, Rules
from kubernetes_rehearsal.client import ApiClient, ApiFailure
from kubernetes_rehearsal.objects import collection_of
from mlplatform_constructs import ConfigurationError
from tests.charts.monitoring.components import CATALOG, CHARTS, OPERATOR, all_objects, objects_of
from tests.outlines import outline

OBJECTS = dict(all_objects())
WORKLOADS = {"Deployment", "StatefulSet", "DaemonSet"}
ONE_REPLICA = {
    "prometheus-operator": "it elects no leader, and what it has created runs on without it",
    "kube-state-metrics": "a second one would double every series",
}
SEES_GPUS = "dcgm-exporter"
"""Its container has a capability, which GPU images require of pods that see GPUs without requesting them."""
every_component = pytest.mark.parametrize("name", CHARTS, ids=lambda name: name.partition("/")[2])


def named(objects: list[Any], *kinds: str) -> list[Any]:
    return [one for one in objects if one["kind"] in kinds]


def only(objects: list[Any], kind: str, name: str = "") -> Any:
    (found,) = [one for one in objects if one["kind"] == kind and name in ("", one["metadata"]["name"])]
    return found


def servers() -> list[Any]:
    """The custom resources that the operator turns into StatefulSets."""
    return [only(OBJECTS[f"monitoring/{kind.lower()}"], kind) for kind in ("Prometheus", "Alertmanager")]


@every_component
def test_objects_are_as_reviewed(name: str, snapshot: SnapshotAssertion) -> None:
    objects = [one for one in OBJECTS[name] if not one["metadata"]["name"].startswith("grafana-dashboard-")]
    assert outline([one for one in objects if one["kind"] != "PrometheusRule"]) == snapshot


@pytest.mark.parametrize("definition", CATALOG.definitions(OPERATOR), ids=lambda one: one["spec"]["names"]["plural"])
def test_a_definition_serves_one_version_of_the_operators_group(definition: Any) -> None:
    (version,) = [each for each in definition["spec"]["versions"] if each["storage"]]
    assert version["served"] is True
    assert definition["spec"]["group"] == "monitoring.coreos.com"


def test_the_api_accepts_every_object(api: ApiClient) -> None:
    for objects in OBJECTS.values():
        for one in objects:
            created = api.request("POST", f"{collection_of(api, one)}?fieldValidation=Strict", one)
            assert created["metadata"]["uid"], one["metadata"]["name"]


@pytest.mark.parametrize(
    ("component", "kind", "field", "value"),
    [
        ("prometheus", "Prometheus", "retension", "15d"),
        ("prometheus", "Prometheus", "retention", "fifteen days"),
        ("prometheus", "Prometheus", "replicas", "two"),
        ("alertmanager", "Alertmanager", "configsecret", "other"),
        ("prometheus", "ServiceMonitor", "endpoints", "web"),
        ("prometheus", "PrometheusRule", "groups", [{"name": "a", "rules": [{"alert": "NoExpression"}]}]),
    ],
)
def test_a_wrong_field_is_refused_by_the_definition(
    api: ApiClient, component: str, kind: str, field: str, value: Any
) -> None:
    given = json.loads(json.dumps(only(OBJECTS[f"monitoring/{component}"], kind)))
    given["spec"][field] = value
    with pytest.raises(ApiFailure, match=field):
        api.request("POST", f"{collection_of(api, given)}?dryRun=All&fieldValidation=Strict", given)


@every_component
@pytest.mark.promise("pinned-images")
def test_every_image_of_monitoring_is_listed(name: str) -> None:
    assert list(unlisted_objects(OBJECTS[name], CATALOG.images)) == []
    images = {c["image"] for one in OBJECTS[name] for spec in pod_specs(one) for c in spec["containers"]}
    assert images <= {CATALOG.images.reference(image.name) for image in CATALOG.images}


@every_component
@pytest.mark.promise("probes-set", "requests-set")
def test_every_container_of_monitoring_has_requests_probes_and_no_more_rights_than_it_needs(name: str) -> None:
    for found in named(OBJECTS[name], *WORKLOADS):
        for spec in pod_specs(found):
            assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            for container in spec["containers"]:
                assert set(container["resources"]["requests"]) == {"cpu", "memory"}
                assert container["resources"]["limits"]["memory"]
                assert {"livenessProbe", "readinessProbe"} <= set(container)
                if container["name"] == SEES_GPUS:
                    assert container["securityContext"]["capabilities"] == {"add": ["SYS_ADMIN"], "drop": ["ALL"]}
                else:
                    assert spec["securityContext"]["runAsNonRoot"] is True
                    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
                    assert container["securityContext"]["readOnlyRootFilesystem"] is True


@pytest.mark.parametrize("server", servers(), ids=lambda one: one["kind"])
def test_a_server_is_a_pair_with_volumes_in_different_zones(server: Any) -> None:
    spec = server["spec"]
    assert spec["replicas"] == 2
    assert spec["storage"]["volumeClaimTemplate"]["spec"]["resources"]["requests"]["storage"]
    assert [each["topologyKey"] for each in spec["topologySpreadConstraints"]] == ["topology.kubernetes.io/zone"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["resources"]["limits"]["memory"] == spec["resources"]["requests"]["memory"]


def test_every_workload_has_two_replicas_and_a_budget_or_a_reason_for_one() -> None:
    for objects in OBJECTS.values():
        budgets = {one["metadata"]["name"] for one in named(objects, "PodDisruptionBudget")}
        for found in named(objects, "Deployment"):
            name = found["metadata"]["name"]
            assert (found["spec"]["replicas"] == 1) == (name in ONE_REPLICA), name
            assert (name in budgets) == (name not in ONE_REPLICA), name
    for server in servers():
        assert only(OBJECTS[f"monitoring/{server['kind'].lower()}"], "PodDisruptionBudget")


def test_nothing_connects_to_a_pod_unless_a_policy_names_it() -> None:
    base = OBJECTS["monitoring/monitoring_base"]
    closed = {one["metadata"]["namespace"] for one in named(base, "NetworkPolicy") if not one["spec"]["podSelector"]}
    assert closed == {"monitoring", "monitoring-nodes"}
    for objects in OBJECTS.values():
        for policy in named(objects, "NetworkPolicy"):
            for rule in policy["spec"].get("ingress", []):
                webhook_or_api = policy["metadata"]["name"] == "prometheus-adapter"
                assert rule.get("from") or webhook_or_api, policy["metadata"]["name"]
                assert rule["ports"], policy["metadata"]["name"]


@every_component
def test_no_right_in_monitoring_is_a_wildcard(name: str) -> None:
    for found in named(OBJECTS[name], "Role", "ClusterRole"):
        for rule in found["rules"]:
            listed = [*rule.get("apiGroups", []), *rule.get("resources", []), *rule["verbs"]]
            assert "*" not in listed, found["metadata"]["name"]


@every_component
def test_nothing_in_monitoring_reads_secrets_of_other_namespaces(name: str) -> None:
    for found in named(OBJECTS[name], "ClusterRole"):
        for rule in found["rules"]:
            assert "secrets" not in rule.get("resources", []), found["metadata"]["name"]


def test_node_agents_are_the_only_pods_below_the_restricted_level() -> None:
    base = OBJECTS["monitoring/monitoring_base"]
    levels = {
        one["metadata"]["name"]: one["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        for one in named(base, "Namespace")
    }
    assert levels == {"monitoring": "restricted", "monitoring-nodes": "privileged"}
    for objects in OBJECTS.values():
        for found in named(objects, *WORKLOADS):
            is_agent = found["metadata"]["namespace"] == "monitoring-nodes"
            assert is_agent == (found["kind"] == "DaemonSet")


def test_a_teams_monitor_and_rule_see_series_of_the_teams_namespace_only() -> None:
    spec = only(OBJECTS["monitoring/prometheus"], "Prometheus")["spec"]
    assert spec["enforcedNamespaceLabel"] == "namespace"
    assert spec["ignoreNamespaceSelectors"] is True
    assert spec["arbitraryFSAccessThroughSMs"] == {"deny": True}
    assert {each["namespace"] for each in spec["excludedFromEnforcement"]} == {"monitoring"}
    assert "probeSelector" not in spec
    assert "scrapeConfigSelector" not in spec


def test_samples_leave_the_cluster_only_for_a_workspace_signed_and_without_duplicates() -> None:
    spec = only(OBJECTS["monitoring/prometheus"], "Prometheus")["spec"]
    (target,) = spec["remoteWrite"]
    assert target["url"].endswith("/workspaces/ws-1/api/v1/remote_write")
    assert target["sigv4"] == {"region": "eu-west-1"}
    assert (spec["replicaExternalLabelName"], spec["externalLabels"]) == ("__replica__", {"cluster": "training"})
    alone = only(objects_of("monitoring/prometheus", remote_write=None), "Prometheus")["spec"]
    assert "remoteWrite" not in alone


def test_certificates_of_kubelets_are_verified_unless_a_caller_says_otherwise() -> None:
    def kubelet(**changes: Any) -> Any:
        secret = only(objects_of("monitoring/prometheus", **changes), "Secret")
        jobs = json.loads(secret["stringData"]["scrapes.yaml"])
        return next(job["tls_config"] for job in jobs if job["job_name"] == "kubelet")

    assert kubelet() == {"ca_file": "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"}
    assert kubelet(kubelet_authority=None) == {"insecure_skip_verify": True}


def configuration(**changes: Any) -> Any:
    secret = only(objects_of("monitoring/alertmanager", **changes), "Secret")
    return json.loads(secret["stringData"]["alertmanager.yaml"])


def test_alerts_go_to_the_topic_of_the_account_and_to_routes_by_label() -> None:
    found = configuration()
    default, churn = found["receivers"]
    assert default["sns_configs"][0]["topic_arn"].endswith(":alarms")
    assert default["sns_configs"][0]["sigv4"] == {"region": "eu-west-1"}
    assert churn["sns_configs"][0]["topic_arn"].endswith(":alarms-churn")
    first, last = found["route"]["routes"]
    assert first == {"receiver": "churn", "matchers": ['namespace="churn"'], "continue": True}
    assert last == {"receiver": "default"}


def test_a_receiver_can_be_a_web_hook() -> None:
    found = configuration(receiver=Receiver.webhook("http://10.0.0.1:8080/alerts"), routes=())
    assert found["receivers"] == [{"name": "default", "webhook_configs": [{"url": "http://10.0.0.1:8080/alerts"}]}]


@pytest.mark.promise("identity-in-mesh")
def test_only_the_gateway_calls_grafana_and_nothing_else_can_say_who_a_person_is() -> None:
    objects = OBJECTS["monitoring/grafana"]
    deployment = only(objects, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert labels["sidecar.istio.io/inject"] == "true"
    (rule,) = only(objects, "AuthorizationPolicy")["spec"]["rules"]
    gateway = "cluster.local/ns/istio-system/sa/istio-ingressgateway"
    assert rule == {"from": [{"source": {"principals": [gateway]}}]}
    ini = only(objects, "ConfigMap", "grafana")["data"]["grafana.ini"]
    assert "header_name = kubeflow-userid" in ini
    assert "[auth.anonymous]" not in ini


def test_without_a_gateway_no_pod_reaches_grafana_and_people_forward_a_port() -> None:
    objects = objects_of("monitoring/grafana", entry=Entry.forwarded_port(), managed=None)
    (rule,) = only(objects, "NetworkPolicy")["spec"]["ingress"]
    (peer,) = rule["from"]
    assert peer["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "prometheus"}
    assert not named(objects, "VirtualService", "AuthorizationPolicy")
    ini = only(objects, "ConfigMap", "grafana")["data"]["grafana.ini"]
    assert "[auth.anonymous]\nenabled = true\norg_role = Viewer" in ini


def test_grafana_has_no_administrator_no_password_and_no_session() -> None:
    ini = only(OBJECTS["monitoring/grafana"], "ConfigMap", "grafana")["data"]["grafana.ini"]
    for line in (
        "disable_initial_admin_creation = true",
        "disable_login_form = true",
        "auto_assign_org_role = Viewer",
        "enable_login_token = false",
    ):
        assert line in ini.splitlines()


def test_grafana_itself_signs_the_requests_to_a_managed_workspace() -> None:
    """From version 13 on, a plugin does, which is no part of the image."""
    sources = json.loads(only(OBJECTS["monitoring/grafana"], "ConfigMap", "grafana")["data"]["datasources.yaml"])
    (managed,) = [each for each in sources["datasources"] if each["jsonData"].get("sigV4Auth")]
    assert managed["type"] == "prometheus"
    assert int(CATALOG.images.tag("grafana").split(".")[0]) < 13


def test_every_dashboard_is_mounted() -> None:
    objects = OBJECTS["monitoring/grafana"]
    maps = {one["metadata"]["name"] for one in named(objects, "ConfigMap")} - {"grafana"}
    (pod,) = pod_specs(only(objects, "Deployment"))
    (volume,) = [each for each in pod["volumes"] if each["name"] == "dashboards"]
    assert {source["configMap"]["name"] for source in volume["projected"]["sources"]} == maps
    assert len(maps) == 10


def test_the_adapter_answers_for_custom_metrics_alone_with_a_verified_certificate() -> None:
    objects = OBJECTS["monitoring/prometheus_adapter"]
    apis = named(objects, "APIService")
    assert {one["spec"]["group"] for one in apis} == {"custom.metrics.k8s.io"}
    certificates = {f"monitoring/{one['metadata']['name']}" for one in named(objects, "Certificate")}
    for one in apis:
        assert one["metadata"]["annotations"]["cert-manager.io/inject-ca-from"] in certificates
        assert "insecureSkipTLSVerify" not in one["spec"]


def test_an_autoscaler_sees_business_metrics_of_its_own_namespace_only() -> None:
    data = only(OBJECTS["monitoring/prometheus_adapter"], "ConfigMap")["data"]
    (business,) = [rule for rule in json.loads(data["config.yaml"])["rules"] if "autoscaling_" in rule["seriesQuery"]]
    assert business["resources"] == {"overrides": {"namespace": {"resource": "namespace"}}}
    assert business["seriesQuery"] == '{__name__=~"^autoscaling_.*",namespace!=""}'


@pytest.mark.parametrize(
    ("objectives", "message"),
    [
        ({"availability": 100}, "availability must be 50 or more and below 100, got 100"),
        ({"fast_enough": 10}, "fast_enough must be 50 or more and below 100, got 10"),
        ({"latency_milliseconds": 300}, "latency_milliseconds must be one of 50, 100, .*, got 300; requests are"),
    ],
)
def test_an_objective_that_cannot_be_measured_is_refused(objectives: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Rules(objectives=Objectives(**objectives))
