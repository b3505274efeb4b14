"""Seldon Core 1.17.1, the last release under an open licence: models with canaries, A/B tests, shadows and bandits.

https://github.com/SeldonIO/seldon-core
"""

import json
from typing import Any

from constructs import Construct

from charts.kit.admission import SYSTEM_LABEL
from charts.kit.chart import ComponentChart
from charts.kit.controller import Controller, Webhook, WebhookServer
from charts.kit.images import Images
from charts.kit.network import deny_all
from charts.kit.objects import Manifest, config_map, namespace
from charts.kit.rbac import ALL, rule
from charts.kit.security import run_as
from charts.kit.workloads import from_field, resources, tcp_probes

NAME = "seldon-controller-manager"
NAMESPACE = "seldon-system"
GROUP = "machinelearning.seldon.io"

_LEASE = "a33bd623.machinelearning.seldon.io"
_CONFIGURATION = "seldon-config"  # the operator reads this name
_SERVICE, _SECRET = "seldon-webhook-service", "seldon-webhook-server-cert"
_USER = 8888  # of the image
_METRICS, _WEBHOOK = 8080, 4443
_NOT_OF_ANOTHER_OPERATOR = {"matchExpressions": [{"key": "seldon.io/controller-id", "operator": "DoesNotExist"}]}

_RULES = [
    rule(GROUP, "seldondeployments", "get list watch patch update"),
    rule(GROUP, "seldondeployments/finalizers seldondeployments/status", "get patch update"),
    rule("apps", "deployments", ALL),
    rule("apps", "deployments/status", "get"),
    rule("", "services", ALL),
    rule("", "events", "create patch"),
    rule("", "namespaces"),
    rule("autoscaling", "horizontalpodautoscalers", ALL),
    rule("policy", "poddisruptionbudgets", ALL),
    rule("getambassador.io", "mappings tlscontexts", ALL),
    # The client of the operator caches what it reads: the service account of a server, and the Secret with its storage.
    rule("", "configmaps secrets serviceaccounts"),
]
_KEDA_RULES = [rule("keda.sh", "scaledobjects", ALL)]


class SeldonCore(ComponentChart):
    """The operator of Seldon Core, with its webhook and the configuration of its servers.

    It writes Mappings of ``getambassador.io/v2`` for Ambassador; see :mod:`charts.serving.emissary_ingress`.

    :param images: of operator, executor, storage initializer, servers and explainers.
    :param keda: whether KEDA is in the cluster, whose ScaledObjects the operator then writes.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(self, scope: Construct, id: str, *, images: Images, keda: bool = False, placement: Manifest) -> None:
        super().__init__(scope, id)
        webhook = Webhook(
            name="v1.vseldondeployment.kb.io",
            path="/validate-machinelearning-seldon-io-v1-seldondeployment",
            group=GROUP,
            versions="v1",
            resources="seldondeployments",
            namespaces=_NOT_OF_ANOTHER_OPERATOR,
            objects=_NOT_OF_ANOTHER_OPERATOR,
        )
        controller = Controller(
            name=NAME,
            namespace=NAMESPACE,
            image=images.reference("seldon-operator"),
            command=["/manager"],
            args=[
                "--enable-leader-election",
                f"--leader-election-id={_LEASE}",
                "--leader-election-resource-lock=leases",
                f"--webhook-port={_WEBHOOK}",
                f"--metrics-addr=:{_METRICS}",
                "--create-resources=false",  # the platform delivers definition and webhook
                "--log-level=INFO",
            ],
            env=_environment(images, keda=keda),
            resources=resources(cpu="100m", memory="256Mi", memory_limit="512Mi"),
            cluster=[*_RULES, *(_KEDA_RULES if keda else [])],
            lease=_LEASE,
            ports={"metrics": _METRICS},
            probes=tcp_probes("webhook"),  # the operator has no health path
            webhook=WebhookServer(webhooks=[webhook], port=_WEBHOOK, service=_SERVICE, secret=_SECRET),
            security=run_as(_USER),
            placement=placement,
        )
        self.add(
            namespace(NAMESPACE, **{SYSTEM_LABEL: "true"}),
            deny_all(NAMESPACE),
            config_map(_CONFIGURATION, NAMESPACE, _configuration(images)),
            *controller.objects(),
        )


def _environment(images: Images, *, keda: bool) -> dict[str, str | Manifest]:
    """The operator has no defaults for these, and exits if some of them are missing."""
    related = {
        "EXECUTOR": "seldon-executor",
        "STORAGE_INITIALIZER": "seldon-storage-initializer",
        "SKLEARNSERVER": "seldon-sklearn-server",
        "SKLEARNSERVER_V2": "mlserver-sklearn",
        "XGBOOSTSERVER": "seldon-xgboost-server",
        "XGBOOSTSERVER_V2": "mlserver-xgboost",
        "MLFLOWSERVER": "seldon-mlflow-server",
        "MLFLOWSERVER_V2": "mlserver-mlflow",
        "TFPROXY": "seldon-tensorflow-proxy",
        "TENSORFLOW": "tensorflow-serving",
        "EXPLAINER": "seldon-explainer",
        "EXPLAINER_V2": "mlserver-explain",
    }
    return {
        "POD_NAMESPACE": from_field("metadata.namespace"),
        "WATCH_NAMESPACE": "",
        "CONTROLLER_ID": "",
        "AMBASSADOR_ENABLED": "true",
        "AMBASSADOR_VERSION": "v2",
        "AMBASSADOR_SINGLE_NAMESPACE": "false",
        "ISTIO_ENABLED": "false",
        "KEDA_ENABLED": str(keda).lower(),
        "USE_EXECUTOR": "true",
        "EXECUTOR_CONTAINER_IMAGE_AND_VERSION": images.reference("seldon-executor"),
        "EXECUTOR_CONTAINER_IMAGE_PULL_POLICY": "IfNotPresent",
        "EXECUTOR_CONTAINER_SERVICE_ACCOUNT_NAME": "default",
        "EXECUTOR_CONTAINER_USER": str(_USER),
        "EXECUTOR_PROMETHEUS_PATH": "/prometheus",
        "EXECUTOR_SERVER_METRICS_PORT_NAME": "metrics",
        "EXECUTOR_SERVER_PORT": "8000",
        "EXECUTOR_REQUEST_LOGGER_DEFAULT_ENDPOINT": "",
        "EXECUTOR_REQUEST_LOGGER_WORK_QUEUE_SIZE": "10000",
        "EXECUTOR_REQUEST_LOGGER_WRITE_TIMEOUT_MS": "2000",
        "EXECUTOR_DEFAULT_CPU_REQUEST": "100m",
        "EXECUTOR_DEFAULT_CPU_LIMIT": "1",
        "EXECUTOR_DEFAULT_MEMORY_REQUEST": "256Mi",
        "EXECUTOR_DEFAULT_MEMORY_LIMIT": "256Mi",
        "EXECUTOR_FULL_HEALTH_CHECKS": "true",
        "DEFAULT_USER_ID": str(_USER),
        "DEPLOYMENT_NAME_AS_PREFIX": "false",
        "PREDICTIVE_UNIT_HTTP_SERVICE_PORT": "9000",
        "PREDICTIVE_UNIT_GRPC_SERVICE_PORT": "9500",
        "PREDICTIVE_UNIT_METRICS_PORT_NAME": "metrics",
        "PREDICTIVE_UNIT_DEFAULT_ENV_SECRET_REF_NAME": "",
        **{f"RELATED_IMAGE_{key}": images.reference(name) for key, name in related.items()},
    }


def _configuration(images: Images) -> dict[str, str]:
    """The servers by protocol. An image is named whole, so the operator adds no version to it."""

    def servers(**by_protocol: str) -> dict[str, Any]:
        return {"protocols": {key: {"image": images.reference(name)} for key, name in by_protocol.items()}}

    initializer = {
        "image": images.reference("seldon-storage-initializer"),
        "cpuRequest": "100m",
        "cpuLimit": "1",
        "memoryRequest": "512Mi",
        "memoryLimit": "512Mi",
    }
    explainers = {
        "image": images.reference("seldon-explainer"),
        "image_v2": images.reference("mlserver-explain"),
    }
    parts = {
        "credentials": {
            "gcs": {"gcsCredentialFileName": "gcloud-application-credentials.json"},
            "s3": {"s3AccessKeyIDName": "awsAccessKeyID", "s3SecretAccessKeyName": "awsSecretAccessKey"},
        },
        "explainer": explainers,
        "predictor_servers": {
            "HUGGINGFACE_SERVER": servers(v2="mlserver-huggingface"),
            "MLFLOW_SERVER": servers(seldon="seldon-mlflow-server", v2="mlserver-mlflow"),
            "SKLEARN_SERVER": servers(seldon="seldon-sklearn-server", v2="mlserver-sklearn"),
            "TENSORFLOW_SERVER": servers(seldon="seldon-tensorflow-proxy", tensorflow="tensorflow-serving"),
            "TRITON_SERVER": servers(v2="triton-server"),
            "XGBOOST_SERVER": servers(seldon="seldon-xgboost-server", v2="mlserver-xgboost"),
        },
        "storageInitializer": initializer,
    }
    return {name: json.dumps(part, indent=2) for name, part in parts.items()}
