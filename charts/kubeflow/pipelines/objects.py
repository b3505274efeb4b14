"""Kubeflow Pipelines, release 2.16, for many users.

https://github.com/kubeflow/pipelines/tree/2.16.1
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from constructs import Construct

from charts.kit import istio, network
from charts.kit.chart import ComponentChart
from charts.kit.controller import Controller, Webhook, WebhookServer
from charts.kit.images import Images as CatalogImages
from charts.kit.kubeflow import (
    METADATA_PROXY,
    METADATA_PROXY_PORT,
    NAMESPACE,
    PIPELINES_AUDIENCE,
    USER_HEADER,
    team_roles,
)
from charts.kit.objects import Manifest, config_map, selector
from charts.kit.rbac import ALL, READ, access, rule
from charts.kit.security import RESTRICTED_CONTAINER, run_as
from charts.kit.stores import ArtifactStore, Database
from charts.kit.web_app import web_app
from charts.kit.workloads import (
    container,
    deployment,
    disruption_budget,
    from_field,
    http_probes,
    pod,
    resources,
    service,
    tcp_probes,
)

API = "ml-pipeline"
UI = "ml-pipeline-ui"
PERSISTENCE_AGENT = "ml-pipeline-persistenceagent"
SCHEDULER = "ml-pipeline-scheduledworkflow"
VIEWER = "ml-pipeline-viewer-crd"
CACHE = "kubeflow-pipelines-cache"
RUNNER = "default-editor"
"""The service account of a profile as which the steps of its runs call AWS."""
ARTIFACT_PROXY = "ml-pipeline-ui-artifact"
"""The Service of each profile that reads its artifacts with its own role."""

_HTTP, _GRPC, _UI_PORT, _CACHE_PORT = 8888, 8887, 3000, 8443
_USER = 1000  # of all images of the project
_HEALTH = "/apis/v1beta1/healthz"
_TOKENS = "/var/run/secrets/kubeflow/tokens"
_SCRATCH: Manifest = {"emptyDir": {}}
_WORKFLOWS, _SCHEDULES = "workflows", "scheduledworkflows"
_OUTSIDE_THE_MESH = "The steps of pipelines ask for cached results, and run without a sidecar."

_IN_MESH = {"sidecar.istio.io/inject": "true"}
_API_RULES = [
    rule("", "pods pods/log", "get list delete"),
    rule("argoproj.io", _WORKFLOWS, ALL),
    rule("kubeflow.org", _SCHEDULES, "create get list update patch delete"),
    rule("kubeflow.org", f"{_SCHEDULES}/finalizers", "update"),
    rule("authorization.k8s.io", "subjectaccessreviews", "create"),
    rule("authentication.k8s.io", "tokenreviews", "create"),
]
_UI_RULES = [
    rule("", "pods pods/log", "get"),
    rule("", "events", "list"),
    rule("kubeflow.org", "viewers", f"{READ} create delete"),
    rule("argoproj.io", _WORKFLOWS, "get list"),
]
_AGENT_RULES = [
    rule("argoproj.io", _WORKFLOWS),
    rule("kubeflow.org", _SCHEDULES),
    rule("pipelines.kubeflow.org", "scheduledworkflows workflows", "report"),
    rule("pipelines.kubeflow.org", "runs", "reportMetrics readArtifact"),
]
_SCHEDULER_RULES = [
    rule("argoproj.io", _WORKFLOWS, ALL),
    rule("kubeflow.org", f"{_SCHEDULES} {_SCHEDULES}/finalizers", ALL),
    rule("pipelines.kubeflow.org", "runs", "create"),
    rule("", "events", "create patch"),
]
_VIEWER_RULES = [
    rule("apps", "deployments", ALL),
    rule("", "services", ALL),
    rule("kubeflow.org", "viewers viewers/finalizers", ALL),
]
_CACHE_RULES = [rule("", "pods", f"{READ} update patch"), rule("argoproj.io", _WORKFLOWS, f"{READ} update patch")]
_EDIT = [
    rule("pipelines.kubeflow.org", "pipelines pipelineversions", "get list create update delete"),
    rule("pipelines.kubeflow.org", "experiments", "get list create delete archive unarchive"),
    rule(
        "pipelines.kubeflow.org",
        "runs",
        "get list create delete archive unarchive retry terminate reportMetrics readArtifact",
    ),
    rule("pipelines.kubeflow.org", "jobs", "get list create delete enable disable"),
    rule("kubeflow.org", _SCHEDULES, ALL),
]
_VIEW = [
    rule("pipelines.kubeflow.org", "pipelines pipelineversions experiments jobs", "get list"),
    rule("pipelines.kubeflow.org", "runs", "get list readArtifact"),
    rule("kubeflow.org", "viewers", "get create delete"),
]


@dataclass(frozen=True, kw_only=True)
class Images:
    """Images of all programs; ``driver``, ``launcher`` and ``cached_step`` run in the namespaces of profiles."""

    api: str
    ui: str
    persistence_agent: str
    scheduler: str
    viewer: str
    cache: str
    driver: str
    launcher: str
    cached_step: str

    @classmethod
    def of(cls, catalog: CatalogImages) -> Self:
        """The images of the catalog."""
        image = catalog.reference
        return cls(
            api=image("kfp-api-server"),
            ui=image("kfp-frontend"),
            persistence_agent=image("kfp-persistence-agent"),
            scheduler=image("kfp-scheduled-workflow-controller"),
            viewer=image("kfp-viewer-crd-controller"),
            cache=image("kfp-cache-server"),
            driver=image("kfp-driver"),
            launcher=image("kfp-launcher"),
            cached_step=image("kfp-cached-step"),
        )


class Pipelines(ComponentChart):
    """API server, web page, and the controllers that run schedules, record results and answer from the cache.

    Three parts of the project are not installed. The visualization server runs Python code of all users in one process.
    The metadata writer serves only pipelines written in the first version of the language. The profile controller
    creates access keys for a store inside the cluster; here each profile has a role and prefixes of its own.

    :param images: of all programs.
    :param database: of runs, experiments and pipelines.
    :param cache: the database of cached results of pipelines written in the first version of the language.
    :param artifacts: the bucket.
    :param gateway: ``<namespace>/<name>`` of the Gateway.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        images: Images,
        database: Database,
        cache: Database,
        artifacts: ArtifactStore,
        gateway: str,
        placement: Manifest,
    ) -> None:
        super().__init__(scope, id)
        self.add(
            *_api(images, database, artifacts, placement),
            *_ui(images, artifacts, gateway, placement),
            *_agent(
                PERSISTENCE_AGENT,
                images.persistence_agent,
                env={"TTL_SECONDS_AFTER_WORKFLOW_FINISH": "86400", "NUM_WORKERS": "2"},
                rules=_AGENT_RULES,
                token="persistenceagent-sa-token",
                placement=placement,
            ),
            *_agent(
                SCHEDULER,
                images.scheduler,
                env={"CRON_SCHEDULE_TIMEZONE": "UTC", "CLIENT_QPS": "10", "CLIENT_BURST": "20"},
                rules=_SCHEDULER_RULES,
                token="scheduledworkflow-sa-token",
                placement=placement,
            ),
            *_viewer(images.viewer, placement),
            *_cache(images, cache, placement),
            *team_roles("pipelines", edit=_EDIT, view=_VIEW),
        )


def _api(images: Images, database: Database, artifacts: ArtifactStore, placement: Manifest) -> list[Manifest]:
    env: dict[str, str | Manifest] = {
        "POD_NAMESPACE": from_field("metadata.namespace"),
        "MULTIUSER": "true",
        "KUBEFLOW_USERID_HEADER": USER_HEADER,
        "KUBEFLOW_USERID_PREFIX": "",
        "DEFAULTPIPELINERUNNERSERVICEACCOUNT": RUNNER,
        "CLUSTER_DOMAIN": "cluster.local",
        "LOG_LEVEL": "info",
        "AUTO_UPDATE_PIPELINE_DEFAULT_VERSION": "true",
        # Namespaces of profiles refuse root, and most images of steps name no user.
        "DEFAULT_SECURITY_CONTEXT_RUN_AS_USER": str(_USER),
        "DEFAULT_SECURITY_CONTEXT_RUN_AS_GROUP": "0",
        "DEFAULT_SECURITY_CONTEXT_RUN_AS_NON_ROOT": "true",
        # The program does not start without an address of the visualization server, which is not installed.
        "ML_PIPELINE_VISUALIZATIONSERVER_SERVICE_HOST": "visualization.invalid",
        "ML_PIPELINE_VISUALIZATIONSERVER_SERVICE_PORT": "8888",
        "V2_DRIVER_IMAGE": images.driver,
        "V2_LAUNCHER_IMAGE": images.launcher,
        "DB_DRIVER_NAME": "mysql",
        "DBCONFIG_CONMAXLIFETIME": "120s",
        "DBCONFIG_MYSQLCONFIG_HOST": database.host,
        "DBCONFIG_MYSQLCONFIG_PORT": str(database.port),
        "DBCONFIG_MYSQLCONFIG_DBNAME": database.name,
        "DBCONFIG_MYSQLCONFIG_USER": database.username,
        "DBCONFIG_MYSQLCONFIG_PASSWORD": database.password,
        **({"DBCONFIG_MYSQLCONFIG_EXTRAPARAMS": _encryption(database)} if database.authorities else {}),
        **database.go_authorities,
        "OBJECTSTORECONFIG_HOST": artifacts.address,
        "OBJECTSTORECONFIG_PORT": str(artifacts.port or ""),
        "OBJECTSTORECONFIG_REGION": artifacts.region,
        "OBJECTSTORECONFIG_SECURE": str(artifacts.secure).lower(),
        "OBJECTSTORECONFIG_BUCKETNAME": artifacts.bucket,
        # The image's own defaults are the keys of a demonstration: empty texts make it use the role of the pod.
        "OBJECTSTORECONFIG_ACCESSKEY": artifacts.access_key,
        "OBJECTSTORECONFIG_SECRETACCESSKEY": artifacts.secret_key,
    }
    main = container(
        "api-server",
        images.api,
        env=env,
        ports={"http": _HTTP, "grpc": _GRPC},
        probes=http_probes("http", live=_HEALTH, ready=_HEALTH, start_seconds=360),
        mounts={**database.mounts, "/tmp": "scratch"},
        read_only=[*database.mounts],
        resources=resources(cpu="250m", memory="512Mi", memory_limit="2Gi"),
    )
    spec = pod(
        main,
        service_account=API,
        volumes={**database.volumes, "scratch": _SCRATCH},
        security=run_as(_USER),
        placement=placement,
    )
    accounts = [f"{NAMESPACE}/{name}" for name in (UI, PERSISTENCE_AGENT, SCHEDULER)]
    return [
        *access(API, NAMESPACE, cluster=_API_RULES),
        deployment(API, NAMESPACE, spec, pod_labels=_IN_MESH),
        disruption_budget(API, NAMESPACE),
        service(API, NAMESPACE, {"http": (_HTTP, "http"), "grpc": (_GRPC, "grpc")}),
        istio.plaintext_ports(API, NAMESPACE, _HTTP, _GRPC, reason=_OUTSIDE_THE_MESH),
        istio.authorization_policy(
            API,
            NAMESPACE,
            istio.from_accounts(*accounts),
            {"when": [{"key": f"request.headers[{USER_HEADER}]", "notValues": ["*"]}]},  # a token says who calls
            pods=selector(API),
        ),
        network.takes(
            API,
            NAMESPACE,
            network.allow(network.PROFILES, network.pods_of(NAMESPACE), ports=["http", "grpc"]),
            network.allow(network.pods_of("monitoring"), ports=["http"]),
        ),
    ]


def _encryption(database: Database) -> str:
    """Parameters of the MySQL client: verify the server's certificate and name."""
    return json.dumps({"tls": "true"})


def _ui(images: Images, artifacts: ArtifactStore, gateway: str, placement: Manifest) -> list[Manifest]:
    env: dict[str, str | Manifest] = {
        "DEPLOYMENT": "KUBEFLOW",
        "ENABLE_AUTHZ": "true",
        "KUBEFLOW_USERID_HEADER": USER_HEADER,
        "KUBEFLOW_USERID_PREFIX": "",
        "FRONTEND_SERVER_NAMESPACE": from_field("metadata.namespace"),
        # By name: the variables that the kubelet adds are missing in a pod that starts before the Services exist.
        "ML_PIPELINE_SERVICE_HOST": f"{API}.{NAMESPACE}.svc.cluster.local",
        "ML_PIPELINE_SERVICE_PORT": str(_HTTP),
        "METADATA_ENVOY_SERVICE_SERVICE_HOST": f"{METADATA_PROXY}.{NAMESPACE}.svc.cluster.local",
        "METADATA_ENVOY_SERVICE_SERVICE_PORT": str(METADATA_PROXY_PORT),
        "ALLOW_CUSTOM_VISUALIZATIONS": "false",
        "DISABLE_GKE_METADATA": "true",
        "VIEWER_TENSORBOARD_POD_TEMPLATE_SPEC_PATH": "/etc/config/viewer-pod-template.json",
        # Artifacts are read by the profile's own proxy with the profile's role, archived logs by this role.
        "ARTIFACTS_SERVICE_PROXY_ENABLED": "true",
        "ARTIFACTS_SERVICE_PROXY_NAME": ARTIFACT_PROXY,
        "ARTIFACTS_SERVICE_PROXY_PORT": "80",
        **_log_archive(artifacts),
        **_object_store(artifacts),
    }
    main = container(
        "ui",
        images.ui,
        env=env,
        ports={"http": _UI_PORT},
        probes=http_probes("http", live=_HEALTH, ready=_HEALTH),
        mounts={"/etc/config": "configuration", "/tmp": "scratch"},
        read_only=["/etc/config"],
        resources=resources(cpu="20m", memory="128Mi", memory_limit="512Mi"),
    )
    name = "ml-pipeline-ui-configmap"
    return [
        config_map(name, NAMESPACE, {"viewer-pod-template.json": json.dumps(_viewer_pod())}),
        *web_app(
            UI,
            NAMESPACE,
            main,
            port=80,
            gateway=gateway,
            prefix="/pipeline",
            rewrite=None,
            cluster=_UI_RULES,
            volumes={"configuration": {"configMap": {"name": name}}, "scratch": _SCRATCH},
            security=run_as(_USER),
            placement=placement,
        ),
    ]


def _log_archive(artifacts: ArtifactStore) -> dict[str, str]:
    return {
        "ARGO_ARCHIVE_LOGS": "true",
        "ARGO_ARCHIVE_ARTIFACTORY": "minio" if artifacts.keys else "s3",
        "ARGO_ARCHIVE_BUCKETNAME": artifacts.bucket,
        "ARGO_KEYFORMAT": artifacts.LOG_KEYS,
    }


def _object_store(artifacts: ArtifactStore) -> dict[str, str | Manifest]:
    """Variables of the web page's program: with keys it speaks to a store of the cluster, without them to AWS."""
    if artifacts.keys:
        return {
            "MINIO_HOST": artifacts.address,
            "MINIO_NAMESPACE": "",
            "MINIO_PORT": str(artifacts.port or ""),
            "MINIO_SSL": str(artifacts.secure).lower(),
            "MINIO_ACCESS_KEY": artifacts.access_key,
            "MINIO_SECRET_KEY": artifacts.secret_key,
        }
    return {"AWS_REGION": artifacts.region, "AWS_S3_ENDPOINT": artifacts.address, "AWS_SSL": "true"}


def _agent(
    name: str, image: str, *, env: Mapping[str, str], rules: Sequence[Manifest], token: str, placement: Manifest
) -> list[Manifest]:
    """A controller that reports to the API server. It elects no leader: a second replica would do everything twice."""
    main = container(
        name,
        image,
        env={"NAMESPACE": "", "LOG_LEVEL": "info", **env},
        mounts={_TOKENS: "token", "/tmp": "scratch"},
        read_only=[_TOKENS],
        resources=resources(cpu="100m", memory="256Mi", memory_limit="512Mi"),
    )
    source = {"serviceAccountToken": {"path": token, "audience": PIPELINES_AUDIENCE, "expirationSeconds": 3600}}
    spec = pod(
        main,
        service_account=name,
        volumes={"token": {"projected": {"sources": [source]}}, "scratch": _SCRATCH},
        security=run_as(_USER),
        placement=placement,
    )
    return [
        *access(name, NAMESPACE, cluster=rules),
        deployment(name, NAMESPACE, spec, replicas=1, pod_labels=_IN_MESH),
        network.takes(name, NAMESPACE),
    ]


def _viewer_pod() -> dict[str, Any]:
    """What the pods of TensorBoards of runs have besides image and arguments, which their controller sets.

    TensorBoard writes its own files.
    """
    security = {**RESTRICTED_CONTAINER, "readOnlyRootFilesystem": False}
    server = {"name": "tensorboard", "resources": resources(cpu="50m", memory="1Gi"), "securityContext": security}
    return {"spec": {"serviceAccountName": RUNNER, "securityContext": run_as(_USER), "containers": [server]}}


def _viewer(image: str, placement: Manifest) -> list[Manifest]:
    """Starts a TensorBoard for a run. It elects no leader."""
    return Controller(
        name=VIEWER,
        namespace=NAMESPACE,
        image=image,
        env={"NAMESPACE": "", "MAX_NUM_VIEWERS": "50"},
        resources=resources(cpu="20m", memory="64Mi", memory_limit="256Mi"),
        cluster=_VIEWER_RULES,
        lease=None,
        replicas=1,
        ports={},
        probes={},
        mounts={"/tmp": "scratch"},
        volumes={"scratch": _SCRATCH},
        security=run_as(_USER),
        placement=placement,
    ).objects()


def _cache(images: Images, database: Database, placement: Manifest) -> list[Manifest]:
    """Answers for steps whose inputs were seen before. Failures of its webhook are ignored, so that runs continue."""
    name = "cache-server"
    return Controller(
        name=CACHE,
        namespace=NAMESPACE,
        image=images.cache,
        args=[
            "--db_driver=mysql",
            f"--db_host={database.host}",
            f"--db_port={database.port}",
            f"--db_name={database.name}",
            "--db_user=$(USERNAME)",
            "--db_password=$(PASSWORD)",
            *([f"--db_extra_params={_encryption(database)}"] if database.authorities else []),
            "--namespace_to_watch=",
            f"--listen_port={_CACHE_PORT}",
            "--tls_cert_filename=tls.crt",
            "--tls_key_filename=tls.key",
        ],
        env={
            "USERNAME": database.username,
            "PASSWORD": database.password,
            "CACHE_IMAGE": images.cached_step,
            "CACHE_NODE_RESTRICTIONS": "false",
            **database.go_authorities,
        },
        resources=resources(cpu="50m", memory="128Mi", memory_limit="256Mi"),
        cluster=_CACHE_RULES,
        lease=None,
        replicas=1,  # it watches pods without electing a leader
        ports={},
        probes=tcp_probes("webhook"),
        labels=_IN_MESH,  # a database in the cluster admits it by its service account
        annotations={"traffic.sidecar.istio.io/excludeInboundPorts": str(_CACHE_PORT)},  # the API server has no sidecar
        mounts={**database.mounts, "/tmp": "scratch"},
        read_only=[*database.mounts],
        volumes={**database.volumes, "scratch": _SCRATCH},
        webhook=WebhookServer(
            webhooks=[
                Webhook(
                    name="cache-server.kubeflow.svc",
                    path="/mutate",
                    group="",
                    versions="v1",
                    resources="pods",
                    operations="CREATE",
                    mutating=True,
                    fail=False,
                    objects={"matchLabels": {"pipelines.kubeflow.org/cache_enabled": "true"}},
                    review="v1beta1",
                )
            ],
            port=_CACHE_PORT,
            mount="/etc/webhook/certs",
            service=name,
            configuration="cache-webhook-kubeflow",
        ),
        security=run_as(_USER),
        placement=placement,
    ).objects()
