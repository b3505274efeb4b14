"""What serves models: Seldon Core, Ambassador and KServe, held to their definitions and to the facts of upstream."""

import copy
import dataclasses
import json
import os
from contextlib import nullcontext as does_not_raise
from typing import Any

import cdk8s
import pytest
from syrupy.assertion import SnapshotAssertion

from charts.catalog import Catalog
from charts.kit.chart import ComponentChart, pod_specs
from charts.kit.listed_images import unlisted_objects
from charts.kit.objects import namespace
from charts.serving.emissary_ingress.objects import EmissaryIngress, Entrance
from charts.serving.keda.objects import ADAPTER, OPERATOR, Keda
from charts.serving.kserve.objects import KServe
from charts.serving.model_namespaces.objects import ModelNamespace, ModelNamespaces
from charts.serving.seldon_core.objects import SeldonCore
from kubernetes_rehearsal.client import ApiClient, ApiFailure
from kubernetes_rehearsal.objects import collection_of
from kubernetes_rehearsal.proofs.components import Component, install
from mlplatform_components import ModelServer as PipelineServer
from mlplatform_constructs import ConfigurationError, serving
from mlplatform_constructs.serving import PrepackagedServer
from tests.charts.monitoring.components import all_objects
from tests.kubernetes_rehearsal.kubernetes_apis import client, cluster, needs_kube_apiserver

CATALOG = Catalog.load()
PLACEMENT = {"nodeSelector": {"mlplatform/purpose": "system"}}
ENTRANCE = Entrance(
    host="models.ml.example.com",
    certificate_arn="arn:aws:acm:eu-west-1:111111111111:certificate/x",
    networks=["10.0.0.0/16"],
)
TEAMS = ("churn", "fraud")
WRITES_ITS_FILES = {"emissary-ingress": "writes Envoy's configuration next to its own programs"}
"""Containers whose file system is writable, each with the reason."""


def charts() -> dict[str, ComponentChart]:
    app = cdk8s.App(outdir=os.devnull)
    return {
        "serving/seldon_core": SeldonCore(app, "Seldon", images=CATALOG.images, placement=PLACEMENT),
        "serving/emissary_ingress": EmissaryIngress(
            app, "Emissary", image=CATALOG.images.reference("emissary"), entrance=ENTRANCE, placement=PLACEMENT
        ),
        "serving/keda": Keda(app, "Keda", images=CATALOG.images, teams=TEAMS, placement=PLACEMENT),
        "serving/kserve": KServe(app, "KServe", images=CATALOG.images, placement=PLACEMENT),
    }


OBJECTS = {name: chart.to_json() for name, chart in charts().items()}
every_component = pytest.mark.parametrize("name", OBJECTS, ids=lambda name: name.partition("/")[2])


def named(name: str, *kinds: str) -> list[Any]:
    return [found for found in OBJECTS[name] if found["kind"] in kinds]


@every_component
def test_objects(name: str, snapshot_json: SnapshotAssertion) -> None:
    assert OBJECTS[name] == snapshot_json


@every_component
def test_the_api_accepts_every_object_of_a_component(api: ApiClient, name: str) -> None:
    with does_not_raise():
        kinds = [*CATALOG.definitions("base/cert_manager"), *CATALOG.definitions(name)]
        install(api, Component(name, kinds, [*map(namespace, TEAMS), *OBJECTS[name]]))


@every_component
@pytest.mark.promise("pinned-images")
def test_every_image_is_listed_wherever_it_stands(name: str) -> None:
    assert list(unlisted_objects(OBJECTS[name], CATALOG.images)) == []


@every_component
@pytest.mark.promise("probes-set", "requests-set")
def test_every_container_has_requests_probes_and_a_restricted_security_context(name: str) -> None:
    for found in named(name, "Deployment"):
        for spec in pod_specs(found):
            assert spec["securityContext"]["runAsNonRoot"] is True
            assert spec["nodeSelector"] == PLACEMENT["nodeSelector"]
            for container in spec["containers"]:
                assert set(container["resources"]["requests"]) == {"cpu", "memory"}
                assert container["resources"]["limits"]["memory"]
                assert {"livenessProbe", "readinessProbe"} <= set(container)
                security = container["securityContext"]
                assert security["allowPrivilegeEscalation"] is False
                assert security["capabilities"] == {"drop": ["ALL"]}
                writable = not security.get("readOnlyRootFilesystem", False)
                assert writable == (container["name"] in WRITES_ITS_FILES), container["name"]


@every_component
def test_every_workload_has_two_replicas_a_budget_and_a_policy_of_its_connections(name: str) -> None:
    budgets = {found["metadata"]["name"] for found in named(name, "PodDisruptionBudget")}
    policies = [found["spec"]["podSelector"] for found in named(name, "NetworkPolicy")]
    assert {} in policies, "the namespace is open"
    for found in named(name, "Deployment"):
        labels = found["spec"]["template"]["metadata"]["labels"]
        assert found["spec"]["replicas"] == 2
        assert found["metadata"]["name"] in budgets
        assert any(policy and policy["matchLabels"].items() <= labels.items() for policy in policies)


@every_component
def test_no_right_of_a_service_account_is_a_wildcard_and_none_changes_webhooks(name: str) -> None:
    for found in named(name, "Role", "ClusterRole"):
        for rule in found["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert not any("webhookconfigurations" in resource for resource in rule["resources"])


@every_component
def test_every_webhook_fails_closed_and_has_an_authority(name: str) -> None:
    certificates = {
        f"{found['metadata']['namespace']}/{found['metadata']['name']}" for found in named(name, "Certificate")
    }
    for found in named(name, "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        assert found["metadata"]["annotations"]["cert-manager.io/inject-ca-from"] in certificates
        assert {hook["failurePolicy"] for hook in found["webhooks"]} == {"Fail"}


@pytest.mark.promise("seldon")
def test_the_operator_of_seldon_core_is_the_last_one_under_an_open_licence() -> None:
    release = CATALOG.components["serving/seldon_core"].release
    assert {image.tag for image in release.images if "seldon-core" in image.image} == {"1.17.1"}


@pytest.mark.promise("seldon")
def test_the_operator_knows_every_server_that_a_team_can_ask_for_by_protocol() -> None:
    (configuration,) = named("serving/seldon_core", "ConfigMap")
    servers = json.loads(configuration["data"]["predictor_servers"])
    assert {name: tuple(found["protocols"]) for name, found in servers.items()} == PrepackagedServer.PROTOCOLS


def test_the_operator_writes_routes_for_ambassador_and_has_the_right_to() -> None:
    (deployment,) = named("serving/seldon_core", "Deployment")
    environment = {
        each["name"]: each.get("value") for each in deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    }
    assert (environment["AMBASSADOR_ENABLED"], environment["AMBASSADOR_VERSION"]) == ("true", "v2")
    (role,) = named("serving/seldon_core", "ClusterRole")
    (rule,) = [found for found in role["rules"] if found["apiGroups"] == ["getambassador.io"]]
    assert "mappings" in rule["resources"]
    assert "create" in rule["verbs"]


@pytest.mark.parametrize("operator", [SeldonCore, KServe])
def test_an_operator_touches_scaledobjects_only_where_keda_is(operator: type[SeldonCore] | type[KServe]) -> None:
    """Both watch them as soon as the cluster knows the kind, and end if they may not."""

    def groups(keda: bool) -> set[str]:
        app = cdk8s.App(outdir=os.devnull)
        found = operator(app, "Operator", images=CATALOG.images, keda=keda, placement={}).to_json()
        return {
            group
            for each in found
            if each["kind"] == "ClusterRole"
            for rule in each["rules"]
            for group in rule["apiGroups"]
        }

    assert groups(keda=True) - groups(keda=False) == {"keda.sh"}


def rights(account: str, *kinds: str) -> dict[str, set[str]]:
    """Resources by the namespace in which a service account of KEDA has rights to them, empty for the whole cluster."""
    found: dict[str, set[str]] = {}
    for each in named("serving/keda", *kinds):
        if each["metadata"]["name"] == account:
            listed = {resource for rule in each["rules"] for resource in rule["resources"]}
            found[each["metadata"].get("namespace", "")] = listed
    return found


@pytest.mark.promise("idle-servers")
def test_keda_scales_workloads_of_teams_alone_and_reads_no_secret_of_them() -> None:
    local, everywhere = rights(OPERATOR, "Role"), rights(OPERATOR, "ClusterRole")[""]
    assert set(local) == {"keda", "default", *TEAMS}
    assert local["default"] == {"events"}  # about objects of the cluster
    for team in TEAMS:
        assert {"deployments/scale", "scaledobjects", "horizontalpodautoscalers"} <= local[team]
        assert not {"secrets", "jobs", "pods"} & local[team]
    assert "secrets" in local["keda"]
    assert {resource.partition("/")[0] for resource in everywhere} == {
        "clustercloudeventsources",
        "clustertriggerauthentications",
    }
    (operator,) = [each for each in named("serving/keda", "Deployment") if each["metadata"]["name"] == OPERATOR]
    variables = {each["name"]: each.get("value") for each in next(iter(pod_specs(operator)))["containers"][0]["env"]}
    assert variables["WATCH_NAMESPACE"] == "churn,fraud"
    assert variables["KEDA_RESTRICT_SECRET_ACCESS"] == "true"


def test_keda_without_a_team_is_refused_because_it_would_watch_every_namespace() -> None:
    with pytest.raises(ConfigurationError, match="Keda: teams is empty; .* add one"):
        Keda(cdk8s.App(outdir=os.devnull), "Keda", images=CATALOG.images, teams=(), placement={})


def test_keda_answers_for_external_metrics_and_the_adapter_of_prometheus_for_custom_ones() -> None:
    """An API has one server: of two that register it, the API server asks the last one only."""
    objects = [*OBJECTS["serving/keda"], *(one for _, found in all_objects() for one in found)]
    servers = {
        each["spec"]["group"]: each["spec"]["service"]["name"] for each in objects if each["kind"] == "APIService"
    }
    assert servers == {"custom.metrics.k8s.io": "prometheus-adapter", "external.metrics.k8s.io": ADAPTER}
    assert len([each for each in objects if each["kind"] == "APIService"]) == len(servers)


def test_the_operator_of_keda_and_its_server_of_metrics_prove_themselves_to_each_other() -> None:
    (shared,) = [each for each in named("serving/keda", "Certificate") if each["metadata"]["name"] == ADAPTER]
    assert {"server auth", "client auth"} <= set(shared["spec"]["usages"])
    mounted = {
        each["metadata"]["name"]
        for each in named("serving/keda", "Deployment")
        for spec in pod_specs(each)
        for volume in spec["volumes"]
        if volume.get("secret", {}).get("secretName") == shared["spec"]["secretName"]
    }
    assert mounted == {OPERATOR, ADAPTER}
    (adapter,) = [each for each in named("serving/keda", "Deployment") if each["metadata"]["name"] == ADAPTER]
    arguments = dict(each.split("=", 1) for each in next(iter(pod_specs(adapter)))["containers"][0]["args"])
    assert arguments["--metrics-service-address"].rpartition(":")[0] in shared["spec"]["dnsNames"]


SELDON_MAPPING: dict[str, Any] = {
    "apiVersion": "getambassador.io/v2",
    "kind": "Mapping",
    "metadata": {"name": "seldon-growth-churn-main-http", "namespace": "growth"},
    "spec": {
        "prefix": "/seldon/growth/churn/",
        "rewrite": "/",
        "service": "churn-main.growth:8000",
        "timeout_ms": 30000,
        "weight": 90,
        "retry_policy": {"retry_on": "gateway-error", "num_retries": 2},
    },
}
"""What the operator of Seldon Core writes, by the facts of its release."""


@pytest.mark.promise("ambassador")
@needs_kube_apiserver
def test_a_mapping_that_seldon_writes_is_read_by_ambassador_with_every_field_and_a_host() -> None:
    """By kube-apiserver itself, which sets defaults of the stored version."""
    wrong = copy.deepcopy(SELDON_MAPPING)
    wrong["metadata"]["name"], wrong["spec"]["weigth"] = "wrong", 90
    with cluster("kube-apiserver") as access:
        api = client(access)
        install(api, Component("emissary", CATALOG.definitions("serving/emissary_ingress"), [namespace("growth")]))
        collection = collection_of(api, SELDON_MAPPING)
        api.request("POST", f"{collection}?fieldValidation=Strict", SELDON_MAPPING)
        path = f"{collection.replace('/v2/', '/v3alpha1/')}/{SELDON_MAPPING['metadata']['name']}"
        assert api.request("GET", path)["spec"] == {**SELDON_MAPPING["spec"], "hostname": "*"}
        with pytest.raises(ApiFailure, match="unknown field"):
            api.request("POST", f"{collection}?fieldValidation=Strict", wrong)


@pytest.mark.promise("ambassador")
def test_ambassador_listens_for_every_host_behind_a_load_balancer_that_ends_tls() -> None:
    listener, host = named("serving/emissary_ingress", "Listener")[0], named("serving/emissary_ingress", "Host")[0]
    (deployment,) = named("serving/emissary_ingress", "Deployment")
    ports = {
        each["name"]: each["containerPort"] for each in deployment["spec"]["template"]["spec"]["containers"][0]["ports"]
    }
    assert listener["spec"]["port"] == ports["http"]
    assert (listener["spec"]["securityModel"], listener["spec"]["l7Depth"]) == ("XFP", 1)
    assert host["spec"]["hostname"] == "*"
    (ingress,) = named("serving/emissary_ingress", "Ingress")
    annotations = ingress["metadata"]["annotations"]
    assert annotations["alb.ingress.kubernetes.io/target-type"] == "ip"
    assert annotations["alb.ingress.kubernetes.io/scheme"] == "internal"
    assert annotations["alb.ingress.kubernetes.io/healthcheck-port"] == str(ports["admin"])


def test_without_a_name_outside_the_cluster_ambassador_has_no_load_balancer() -> None:
    app = cdk8s.App(outdir=os.devnull)
    found = EmissaryIngress(app, "Emissary", image="r.io/e:1", placement={}).to_json()
    assert "Ingress" not in {each["kind"] for each in found}
    text = json.dumps([each for each in found if each["kind"] == "NetworkPolicy"])
    assert "ipBlock" not in text


@pytest.mark.promise("rollout-without-failures")
def test_ambassador_itself_drains_before_it_ends() -> None:
    (deployment,) = named("serving/emissary_ingress", "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    pause = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > pause + 60
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


@pytest.mark.promise("kserve")
def test_kserve_needs_no_knative_and_makes_no_ingress() -> None:
    (configuration,) = named("serving/kserve", "ConfigMap")
    data = {name: json.loads(text) for name, text in configuration["data"].items()}
    assert data["deploy"]["defaultDeploymentMode"] == "Standard"
    assert data["ingress"]["disableIngressCreation"] is True
    assert "knative" not in json.dumps(OBJECTS["serving/kserve"]).lower()


@pytest.mark.promise("kserve")
def test_kserve_has_a_server_for_every_format_that_it_prefers() -> None:
    best: dict[str, tuple[int, str]] = {}
    for runtime in named("serving/kserve", "ClusterServingRuntime"):
        for supported in runtime["spec"]["supportedModelFormats"]:
            entry = (supported["priority"], runtime["metadata"]["name"])
            best[supported["name"]] = max(best.get(supported["name"], entry), entry)
    assert {name: server for name, (_, server) in best.items()} == {
        "huggingface": "kserve-huggingface",
        "lightgbm": "kserve-mlserver",
        "mlflow": "kserve-mlserver",
        "sklearn": "kserve-mlserver",
        "xgboost": "kserve-mlserver",
    }


@pytest.mark.promise("kserve")
def test_the_servers_of_kserve_pass_the_restricted_level_and_tell_where_their_metrics_are() -> None:
    ports = {}
    for runtime in named("serving/kserve", "ClusterServingRuntime"):
        (container,) = runtime["spec"]["containers"]
        assert container["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        ports[runtime["metadata"]["name"]] = runtime["spec"]["annotations"]["prometheus.kserve.io/port"]
    assert ports.pop("kserve-mlserver") == "8082"
    assert set(ports.values()) == {"8080"}


def test_teams_of_kubeflow_get_rights_to_models_where_there_is_kubeflow() -> None:
    def roles(teams: bool) -> set[str]:
        app = cdk8s.App(outdir=os.devnull)
        found = KServe(app, "KServe", images=CATALOG.images, teams=teams, placement={}).to_json()
        return {each["metadata"]["name"] for each in found if each["kind"] == "ClusterRole"}

    assert roles(teams=True) - roles(teams=False) == {"kubeflow-models-edit", "kubeflow-models-view"}


def namespaces(**more: Any) -> list[Any]:
    team = ModelNamespace(name="churn", server={"role": "server"}, batch={"role": "batch"})
    return ModelNamespaces(cdk8s.App(outdir=os.devnull), "Teams", teams=[team], **more).to_json()


def test_the_namespace_of_a_teams_models_is_closed_to_other_teams() -> None:
    deny, allow = [
        found for found in namespaces(gateway=("emissary", "ambassador")) if found["kind"] == "NetworkPolicy"
    ]
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress"]}
    own, monitoring, gateway = allow["spec"]["ingress"][0]["from"]
    assert own == {"podSelector": {}}
    assert monitoring["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "monitoring"}
    assert gateway["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "ambassador"}
    assert len(namespaces()[2]["spec"]["ingress"][0]["from"]) == 2


def test_pods_of_a_team_are_ready_only_when_the_load_balancer_finds_them_healthy() -> None:
    labels = namespaces(level="baseline")[0]["metadata"]["labels"]
    assert labels["elbv2.k8s.aws/pod-readiness-gate-inject"] == "enabled"
    assert labels["pod-security.kubernetes.io/enforce"] == "baseline"
    assert namespaces()[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_servers_and_batch_jobs_of_a_team_have_a_role_each() -> None:
    accounts = {
        found["metadata"]["name"]: found["metadata"]["annotations"]
        for found in namespaces()
        if found["kind"] == "ServiceAccount"
    }
    assert accounts == {"model-server": {"role": "server"}, "batch-serving": {"role": "batch"}}


def test_every_service_account_that_a_builder_names_by_default_exists_in_the_namespace_of_a_teams_models() -> None:
    builders = [*(getattr(serving, name) for name in serving.__all__), PipelineServer]
    named_by_default = {
        f"{builder.__module__}.{builder.__name__}": each.default
        for builder in builders
        if dataclasses.is_dataclass(builder)
        for each in dataclasses.fields(builder)
        if each.name == "service_account"
    }
    assert len(named_by_default) >= 4
    created = {each["metadata"]["name"] for each in namespaces() if each["kind"] == "ServiceAccount"}
    assert {name: account for name, account in named_by_default.items() if account not in created} == {}
