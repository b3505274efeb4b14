"""The base of charts and its builders."""

from typing import Any

import cdk8s
import cdk8s_plus_34 as kplus
import kubernetes_validate
import pytest

from charts.kit import istio, network, rbac, workloads
from charts.kit.chart import ComponentChart, pod_specs
from charts.kit.controller import Controller, Webhook, WebhookServer
from charts.kit.objects import config_map, identity, namespace
from charts.kit.security import run_as
from charts.kit.web_app import web_app
from mlplatform_constructs import KubernetesRelease
from tests.schemas import assert_valid

IMAGE = "r.io/a:1"
RESOURCES = workloads.resources(cpu="100m", memory="64Mi")
MINOR = KubernetesRelease.all()[0].minor
HOOK = Webhook(name="v.example.org", path="/validate", group="example.org", versions="v1 v1beta1", resources="things")


def kplus_deployment(chart: cdk8s.Chart) -> kplus.Deployment:
    return kplus.Deployment(chart, "web", containers=[kplus.ContainerProps(image=IMAGE)])


def by_kind(objects: list[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for item in objects:
        found.setdefault(item["kind"], []).append(item)
    return found


def controller(**changes: Any) -> dict[str, list[Any]]:
    given = {"name": "c", "namespace": "n", "image": IMAGE, "resources": RESOURCES, **changes}
    return by_kind(Controller(**given).objects())


def test_a_chart_hands_over_data_and_constructs_without_hashes_in_names() -> None:
    chart = ComponentChart(cdk8s.App(), "team")
    kplus_deployment(chart)
    chart.add(config_map("settings", "n", {"a": "b"}))
    assert [identity(item) for item in chart.to_json()] == ["ConfigMap n/settings", "Deployment team-web"]


def test_what_a_chart_hands_over_reaches_cdk8s_too() -> None:
    app = cdk8s.App()
    ComponentChart(app, "team").add(config_map("settings", "n", {"a": "b"}))
    assert "name: settings" in app.synth_yaml()


def test_an_object_that_is_there_twice_is_refused() -> None:
    chart = ComponentChart(cdk8s.App(), "team")
    chart.add(config_map("settings", "n", {}))
    with pytest.raises(ValueError, match="team: ConfigMap n/settings already exists; remove one of the two"):
        chart.add(config_map("settings", "n", {}))


def test_a_construct_that_makes_an_object_of_the_data_is_refused() -> None:
    chart = ComponentChart(cdk8s.App(), "team", namespace="n")
    kplus_deployment(chart)
    chart.add(workloads.deployment("team-web", "n", workloads.pod()))
    with pytest.raises(ValueError, match="team: Deployment n/team-web already exists"):
        chart.to_json()


def test_pods_of_data_and_constructs_are_changed_after_synthesis() -> None:
    chart = ComponentChart(cdk8s.App(), "team")
    kplus_deployment(chart)
    data = workloads.deployment("own", "n", workloads.pod(workloads.container("c", IMAGE, resources=RESOURCES)))
    chart.add(data)
    chart.change_pods(lambda pod: pod["containers"][0]["resources"]["limits"].update({"nvidia.com/gpu": "1"}))
    for item in chart.to_json():
        (spec,) = pod_specs(item)
        assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in str(data)


def test_a_patch_on_a_typed_object_is_refused_because_it_loses_fields() -> None:
    chart = ComponentChart(cdk8s.App(), "team")
    typed = cdk8s.ApiObject.of(kplus_deployment(chart))
    path = "/spec/template/spec/containers/0/resources/limits"
    with pytest.raises(
        ValueError, match="team/web/Resource: a JSON patch on a typed object loses fields; use change_pods"
    ):
        typed.add_json_patch(cdk8s.JsonPatch.add(path, {"nvidia.com/gpu": "1"}))


def test_a_patch_of_other_objects_is_accepted() -> None:
    other = cdk8s.Chart(cdk8s.App(), "other")
    cdk8s.ApiObject.of(kplus_deployment(other)).add_json_patch(cdk8s.JsonPatch.add("/metadata/labels", {"a": "b"}))
    plain = cdk8s.ApiObject(ComponentChart(cdk8s.App(), "own"), "o", api_version="v1", kind="ConfigMap")
    plain.add_json_patch(cdk8s.JsonPatch.add("/data", {"a": "b"}))
    assert other.to_json()[0]["metadata"]["labels"] == {"a": "b"}


@pytest.mark.parametrize("kind", ["Pod", "Deployment", "CronJob"])
def test_the_pod_of_a_workload_is_found_whatever_its_kind(kind: str) -> None:
    spec: dict[str, Any] = {"containers": [{"name": "c"}]}
    workload: dict[str, Any] = spec if kind == "Pod" else {"template": {"spec": spec}}
    workload = {"jobTemplate": {"spec": workload}} if kind == "CronJob" else workload
    assert list(pod_specs({"kind": kind, "spec": workload})) == [spec]


def test_everything_of_a_controller_is_valid() -> None:
    server = WebhookServer(webhooks=[HOOK])
    found = Controller(name="c", namespace="n", image=IMAGE, resources=RESOURCES, webhook=server).objects()
    assert_valid([item for item in found if "cert-manager" not in item["apiVersion"]], MINOR)


def test_a_controller_has_two_replicas_a_budget_and_a_lease_of_its_own() -> None:
    found = controller()
    (deployment,) = found["Deployment"]
    assert deployment["spec"]["replicas"] == 2
    assert len(found["PodDisruptionBudget"]) == 1
    (role,) = found["Role"]
    assert [rule["resourceNames"] for rule in role["rules"] if "resourceNames" in rule] == [["c"]]
    assert "ClusterRole" not in found


def test_a_controller_that_elects_no_leader_has_no_lease() -> None:
    found = controller(lease=None, replicas=1)
    assert not {"Role", "PodDisruptionBudget"} & set(found)


def test_a_controller_is_restricted_and_takes_nothing_but_what_it_serves() -> None:
    found = controller()
    (spec,) = pod_specs(found["Deployment"][0])
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    (policy,) = found["NetworkPolicy"]
    assert [rule["ports"][0]["port"] for rule in policy["spec"]["ingress"]] == ["metrics"]
    assert policy["spec"]["ingress"][0]["from"] == [network.pods_of("monitoring")]


def test_a_webhook_gets_its_certificate_from_cert_manager() -> None:
    found = controller(webhook=WebhookServer(webhooks=[HOOK]))
    (configuration,) = found["ValidatingWebhookConfiguration"]
    assert configuration["metadata"]["annotations"] == {"cert-manager.io/inject-ca-from": "n/c"}
    (certificate,) = found["Certificate"]
    assert certificate["spec"]["dnsNames"][0] == "c.n.svc"
    (spec,) = pod_specs(found["Deployment"][0])
    assert {"name": "certificate", "secret": {"secretName": "c-certificate", "defaultMode": 0o440}} in spec["volumes"]
    (service,) = found["Service"]
    assert {"name": "https-webhook", "port": 443, "targetPort": "webhook"} in service["spec"]["ports"]


@pytest.mark.parametrize(("security", "group"), [(None, 65532), (run_as(999), 999)])
def test_a_controller_that_is_not_root_can_read_its_certificate(security: Any, group: int) -> None:
    found = controller(webhook=WebhookServer(webhooks=[HOOK]), security=security)
    (spec,) = pod_specs(found["Deployment"][0])
    assert spec["securityContext"]["fsGroup"] == group  # the files are readable for root and this group only


def test_a_controller_may_manage_its_certificate_itself() -> None:
    server = WebhookServer(webhooks=[HOOK], self_managed=True, service="hook", secret="hook-cert")
    found = controller(webhook=server)
    assert not {"Certificate", "Issuer"} & set(found)
    assert [item["metadata"]["name"] for item in found["Secret"]] == ["hook-cert"]
    (configuration,) = found["ValidatingWebhookConfiguration"]
    assert "annotations" not in configuration["metadata"]
    assert {item["metadata"]["name"] for item in found["Service"]} == {"c", "hook"}


def test_mutating_and_validating_webhooks_have_a_configuration_each() -> None:
    mutating = Webhook(
        name="m.example.org",
        path="/mutate",
        group="example.org",
        versions="v1",
        resources="things",
        mutating=True,
        fail=False,
        namespaces={"matchLabels": {"a": "b"}},
    )
    found = controller(webhook=WebhookServer(webhooks=[HOOK, mutating]))
    (hook,) = found["MutatingWebhookConfiguration"][0]["webhooks"]
    assert (hook["failurePolicy"], hook["namespaceSelector"]) == ("Ignore", {"matchLabels": {"a": "b"}})
    assert found["ValidatingWebhookConfiguration"][0]["webhooks"][0]["failurePolicy"] == "Fail"


def test_a_web_app_is_reached_through_the_gateway_only() -> None:
    container = workloads.container("web", IMAGE, ports={"http": 8080}, resources=RESOURCES)
    found = by_kind(web_app("web", "n", container, port=80, gateway="n/g", prefix="/web/", callers=["m/jobs"]))
    (policy,) = found["AuthorizationPolicy"]
    assert policy["spec"]["rules"][0]["from"][0]["source"]["principals"] == [
        "cluster.local/ns/istio-system/sa/istio-ingressgateway",
        "cluster.local/ns/m/sa/jobs",
    ]
    (ingress,) = found["NetworkPolicy"][0]["spec"]["ingress"]
    assert ingress["from"] == [network.pods_of("istio-system", istio.GATEWAY_PODS), network.pods_of("m")]
    (route,) = found["VirtualService"][0]["spec"]["http"]
    assert route["route"][0]["destination"] == {"host": "web.n.svc.cluster.local", "port": {"number": 80}}
    assert route["rewrite"] == {"uri": "/"}
    for item in (item for kind in found.values() for item in kind if "istio" not in item["apiVersion"]):
        kubernetes_validate.validate(item, MINOR, strict=True)


def test_access_binds_a_role_of_the_cluster_and_one_of_the_namespace() -> None:
    found = by_kind(rbac.access("a", "n", cluster=[rbac.rule("", "pods")], local=[rbac.rule("", "secrets", "get")]))
    assert set(found) == {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
    assert found["ClusterRole"][0]["rules"] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}
    ]
    assert found["RoleBinding"][0]["subjects"] == [{"kind": "ServiceAccount", "name": "a", "namespace": "n"}]


def test_a_namespace_refuses_pods_below_its_level_and_warns_of_the_rest() -> None:
    labels = namespace("n", security="baseline", istio_injection="enabled")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "baseline"
    assert labels["pod-security.kubernetes.io/warn"] == "restricted"
    assert labels["istio-injection"] == "enabled"


def test_a_stateful_set_gives_each_pod_its_own_volume() -> None:
    container = workloads.container("db", IMAGE, resources=RESOURCES, mounts={"/data": "data"})
    found = workloads.stateful_set("db", "n", workloads.pod(container), replicas=1, claims={"data": "20Gi"})
    kubernetes_validate.validate(found, MINOR, strict=True)
    assert found["spec"]["volumeClaimTemplates"][0]["spec"]["resources"] == {"requests": {"storage": "20Gi"}}


def test_a_container_may_mount_one_file_of_a_volume() -> None:
    found = workloads.container(
        "c", IMAGE, resources=RESOURCES, mounts={"/etc/a.yaml": "config/a.yaml"}, read_only=["/etc/a.yaml"]
    )
    assert found["volumeMounts"] == [
        {"name": "config", "mountPath": "/etc/a.yaml", "subPath": "a.yaml", "readOnly": True}
    ]


def test_a_slow_start_counts_before_liveness() -> None:
    probes = workloads.http_probes("http", start_seconds=95)
    assert probes["startupProbe"]["failureThreshold"] == 10
