"""KServe 0.18 in its standard mode: models as plain Deployments, without Knative.

https://github.com/kserve/kserve
"""

import json
from collections.abc import Mapping
from typing import Any

from constructs import Construct

from charts.kit.admission import SYSTEM_LABEL
from charts.kit.chart import ComponentChart
from charts.kit.controller import Controller, Webhook, WebhookServer
from charts.kit.images import Images
from charts.kit.kubeflow import team_roles
from charts.kit.network import deny_all
from charts.kit.objects import Manifest, config_map, metadata, namespace
from charts.kit.rbac import ALL, rule
from charts.kit.security import RESTRICTED_POD
from charts.kit.workloads import from_field, resources

NAME = "kserve-controller-manager"
NAMESPACE = "kserve"
GROUP = "serving.kserve.io"

_CONFIGURATION = "inferenceservice-config"  # the controller reads this name
_SERVICE, _SECRET = "kserve-webhook-server-service", "kserve-webhook-server-cert"
_KINDS = (
    "clusterservingruntimes clusterstoragecontainers inferencegraphs inferenceservices servingruntimes trainedmodels"
)
_TEAMS_KINDS = "inferencegraphs inferenceservices servingruntimes trainedmodels"
_SERVED = {"serving.kserve.io/inferenceservice": "Exists"}
_RULES = [
    rule(GROUP, _KINDS, "get list watch patch update"),
    rule(GROUP, " ".join(f"{kind}/finalizers" for kind in _TEAMS_KINDS.split()), "update"),
    rule(GROUP, " ".join(f"{kind}/status" for kind in _TEAMS_KINDS.split()), "get patch update"),
    rule(GROUP, "localmodelcaches localmodelnamespacecaches"),
    rule("", "services", ALL),
    rule("", "events", "create patch"),
    rule("", "namespaces pods"),
    rule("", "configmaps", "create get update"),  # of the request logger, in the namespace of a model
    rule("", "secrets serviceaccounts", "get"),  # the storage of a model
    rule("apps", "deployments", ALL),
    rule("autoscaling", "horizontalpodautoscalers", ALL),
    rule("networking.k8s.io", "ingresses", ALL),
]
_KEDA_RULES = [
    rule("keda.sh", "scaledobjects", ALL),
    rule("keda.sh", "scaledobjects/finalizers scaledobjects/status", "get patch update"),
]
_EDIT = [rule(GROUP, _TEAMS_KINDS, "create delete deletecollection patch update")]
_VIEW = [rule(GROUP, _TEAMS_KINDS), rule(GROUP, "clusterservingruntimes")]


class KServe(ComponentChart):
    """The controller of KServe, with its webhooks, the servers by model format, and how they fetch models.

    A model is reached at the Service of its predictor; KServe makes no Ingress. Servers read S3 as their service
    account. Left out are Knative, caches of models on nodes, and the controller of language models across nodes.

    :param images: of controller, servers, router and storage initializer.
    :param keda: whether the cluster has KEDA. The controller then watches ScaledObjects, and ends if it may not.
        Default: False.
    :param teams: whether teams of Kubeflow get rights to its objects. Default: False.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        images: Images,
        keda: bool = False,
        teams: bool = False,
        placement: Manifest,
    ) -> None:
        super().__init__(scope, id)
        controller = Controller(
            name=NAME,
            namespace=NAMESPACE,
            image=images.reference("kserve-controller"),
            command=["/manager"],
            args=["--metrics-addr=:8080", "--leader-elect"],
            env={"POD_NAMESPACE": from_field("metadata.namespace"), "SECRET_NAME": _SECRET},
            resources=resources(cpu="100m", memory="512Mi"),
            cluster=[*_RULES, *(_KEDA_RULES if keda else [])],
            local=[
                rule("", "configmaps", "get list watch", names=[_CONFIGURATION]),
                rule(
                    "coordination.k8s.io", "leases", "get update patch", names=["kserve-controller-manager-leader-lock"]
                ),
            ],
            webhook=WebhookServer(webhooks=_webhooks(), service=_SERVICE, secret=_SECRET),
            placement=placement,
        )
        self.add(
            namespace(NAMESPACE, **{SYSTEM_LABEL: "true"}),
            deny_all(NAMESPACE),
            config_map(_CONFIGURATION, NAMESPACE, _configuration(images)),
            *controller.objects(),
            *_runtimes(images),
            _storage(images),
            *(team_roles("models", edit=_EDIT, view=_VIEW) if teams else []),
        )


def _webhooks() -> list[Webhook]:
    name = "kserve-webhook-server"

    def validator(kind: str, version: str) -> Webhook:
        path = f"/validate-serving-kserve-io-{version}-{kind}"
        return Webhook(name=f"{kind}.{name}.validator", path=path, group=GROUP, versions=version, resources=f"{kind}s")

    return [
        Webhook(
            name=f"inferenceservice.{name}.defaulter",
            path="/mutate-serving-kserve-io-v1beta1-inferenceservice",
            group=GROUP,
            versions="v1beta1",
            resources="inferenceservices",
            mutating=True,
        ),
        Webhook(
            name=f"inferenceservice.{name}.pod-mutator",
            path="/mutate-pods",
            group="",
            versions="v1",
            resources="pods",
            operations="CREATE",
            mutating=True,
            objects={"matchExpressions": [{"key": key, "operator": operator} for key, operator in _SERVED.items()]},
        ),
        validator("clusterservingruntime", "v1alpha1"),
        validator("inferencegraph", "v1alpha1"),
        validator("inferenceservice", "v1beta1"),
        validator("servingruntime", "v1alpha1"),
        validator("trainedmodel", "v1alpha1"),
    ]


def _configuration(images: Images) -> dict[str, str]:
    def container(name: str, memory: str) -> dict[str, str]:
        return {
            "image": images.reference(name),
            "cpuRequest": "100m",
            "cpuLimit": "1",
            "memoryRequest": memory,
            "memoryLimit": memory,
        }

    parts: dict[str, Mapping[str, Any]] = {
        "agent": container("kserve-agent", "256Mi"),
        "batcher": {**container("kserve-agent", "1Gi"), "maxBatchSize": "32", "maxLatency": "5000"},
        "credentials": {
            "storageSpecSecretName": "storage-config",
            "s3": {"s3AccessKeyIDName": "AWS_ACCESS_KEY_ID", "s3SecretAccessKeyName": "AWS_SECRET_ACCESS_KEY"},
        },
        "deploy": {"defaultDeploymentMode": "Standard"},
        "explainers": {},
        "inferenceService": {
            "resource": {"cpuRequest": "1", "cpuLimit": "1", "memoryRequest": "2Gi", "memoryLimit": "2Gi"}
        },
        "ingress": {
            "enableGatewayApi": False,
            "disableIngressCreation": True,
            "disableIstioVirtualHost": True,
            "kserveIngressGateway": f"{NAMESPACE}/none",  # is required, and not read without ingresses
            "ingressGateway": f"{NAMESPACE}/none",
            "localGateway": f"{NAMESPACE}/none",
            "localGatewayService": "none",
            "ingressDomain": "cluster.local",
            "domainTemplate": "{{ .Name }}.{{ .Namespace }}.svc.{{ .IngressDomain }}",
            "urlScheme": "http",
        },
        "localModel": {"enabled": False},
        "logger": container("kserve-agent", "256Mi"),
        "metricsAggregator": {"enableMetricAggregation": "false", "enablePrometheusScraping": "true"},
        "router": container("kserve-router", "256Mi"),
        "security": {"autoMountServiceAccountToken": False},
        "storageInitializer": {**container("kserve-storage-initializer", "1Gi"), "enableModelcar": False},
    }
    return {name: json.dumps(part, indent=2) for name, part in parts.items()}


def _runtimes(images: Images) -> list[dict[str, Any]]:
    """The servers by model format. The highest priority wins where two know a format."""
    own = ["--model_name={{.Name}}", "--model_dir=/mnt/models", "--http_port=8080"]
    mlserver = {
        "MLSERVER_MODEL_IMPLEMENTATION": "{{.Labels.modelClass}}",
        "MLSERVER_HTTP_PORT": "8080",
        "MLSERVER_GRPC_PORT": "9000",
    }
    return [
        _runtime("kserve-sklearn", images.reference("kserve-sklearn-server"), {"sklearn": "1"}, args=own),
        _runtime("kserve-xgboost", images.reference("kserve-xgboost-server"), {"xgboost": "2"}, args=own),
        _runtime("kserve-lightgbm", images.reference("kserve-lightgbm-server"), {"lightgbm": "4"}, args=own),
        _runtime(
            "kserve-huggingface",
            images.reference("kserve-huggingface-server"),
            {"huggingface": "1"},
            args=["--model_name={{.Name}}"],
        ),
        _runtime(
            "kserve-mlserver",
            images.reference("kserve-mlserver"),
            {"mlflow": "2", "sklearn": "1", "xgboost": "2", "lightgbm": "4"},
            environment=mlserver,
            metrics_port=8082,  # it serves them apart from requests
            priority=2,
        ),
    ]


def _runtime(
    name: str,
    image: str,
    formats: Mapping[str, str],
    *,
    args: list[str] | None = None,
    environment: Mapping[str, str] | None = None,
    metrics_port: int = 8080,
    priority: int = 1,
) -> dict[str, Any]:
    container = {
        "name": "kserve-container",
        "image": image,
        **({"args": args} if args else {}),
        **({"env": [{"name": key, "value": value} for key, value in environment.items()]} if environment else {}),
        "resources": resources(cpu="1", memory="2Gi"),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "runAsNonRoot": True,
            "seccompProfile": RESTRICTED_POD["seccompProfile"],
        },
    }
    spec = {
        "annotations": {"prometheus.kserve.io/path": "/metrics", "prometheus.kserve.io/port": str(metrics_port)},
        "containers": [container],
        "protocolVersions": ["v2"] if environment else ["v1", "v2"],
        "supportedModelFormats": [
            {"name": key, "version": version, "autoSelect": True, "priority": priority}
            for key, version in formats.items()
        ],
    }
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "ClusterServingRuntime",
        "metadata": metadata(name),
        "spec": spec,
    }


def _storage(images: Images) -> dict[str, Any]:
    container = {
        "name": "storage-initializer",
        "image": images.reference("kserve-storage-initializer"),
        "resources": resources(cpu="100m", memory="1Gi"),
    }
    spec = {
        "container": container,
        "supportedUriFormats": [{"prefix": "s3://"}, {"prefix": "hf://"}, {"regex": "https?://(.+)/(.+)"}],
        "workloadType": "initContainer",
    }
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "ClusterStorageContainer",
        "metadata": metadata("default"),
        "spec": spec,
    }
