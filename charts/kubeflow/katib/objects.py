"""Katib, release 0.19: experiments that search hyperparameters.

https://github.com/kubeflow/katib
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from constructs import Construct

from charts.kit import istio, network, workloads
from charts.kit.chart import ComponentChart
from charts.kit.controller import Controller, Webhook, WebhookServer
from charts.kit.images import Images
from charts.kit.objects import Manifest, config_map, selector
from charts.kit.rbac import ALL, READ, aggregated_role, rule, service_account
from charts.kit.security import RESTRICTED_POD, run_as
from charts.kit.stores import Database
from charts.kit.web_app import web_app

NAMESPACE = "kubeflow"
GROUP = "kubeflow.org"
INJECTED = {"katib.kubeflow.org/metrics-collector-injection": "enabled"}
"""Label of the namespaces whose trials get a container that collects their metrics."""

_CONTROLLER, _MANAGER, _UI = "katib-controller", "katib-db-manager", "katib-ui"
_CONFIGURATION, _FILE = "katib-config", "katib-config.yaml"
_TEMPLATES = "trial-templates"
_MANAGER_PORT, _UI_PORT = 6789, 8080
_METRICS, _HEALTH, _WEBHOOK = 8080, 18080, 8443
_USER = 1000
_OUTSIDE_THE_MESH = "The controller and the pods of trials run without a sidecar."
_AGGREGATE = "rbac.authorization.kubeflow.org/aggregate-to-kubeflow"
_ALGORITHMS = {
    "bayesianoptimization": "skopt",
    "cmaes": "goptuna",
    "darts": "darts",
    "enas": "enas",
    "grid": "optuna",
    "hyperband": "hyperband",
    "multivariate-tpe": "optuna",
    "random": "hyperopt",
    "sobol": "goptuna",
    "tpe": "hyperopt",
}
"""The program of each search algorithm."""
_NEEDS_SHARED_VOLUME = {"pbt": "pbt"}
_SUGGESTION_MEMORY = {"darts": "512Mi", "enas": "1Gi"}


@dataclass(frozen=True)
class TrialKind:
    """A kind of job that a trial may run.

    :param plural: as the API server knows it.
    """

    kind: str
    version: str
    group: str
    plural: str

    @property
    def configured(self) -> str:
        """As Katib names it."""
        return f"{self.kind}.{self.version}.{self.group}"


JOB = TrialKind("Job", "v1", "batch", "jobs")
TRAIN_JOB = TrialKind("TrainJob", "v1alpha1", "trainer.kubeflow.org", "trainjobs")
TRAINING_JOBS = (
    TrialKind("TFJob", "v1", GROUP, "tfjobs"),
    TrialKind("PyTorchJob", "v1", GROUP, "pytorchjobs"),
    TrialKind("XGBoostJob", "v1", GROUP, "xgboostjobs"),
    TrialKind("MPIJob", "v2beta1", GROUP, "mpijobs"),  # the version of the MPI operator; Katib's own default is v1
)


class Katib(ComponentChart):
    """Katib: the controller with its webhooks, the manager of observations, and the web page.

    Every program that Katib starts in the namespace of a team passes the ``restricted`` pod security level: algorithms
    by their configuration, collectors of metrics by the security context of the trial's first container. Early stopping
    is left out: Katib gives its container no security context, so teams' namespaces would refuse it, and its controller
    would need the right to create roles. An experiment that asks for it is refused with the name of the algorithm.

    :param images: of the catalog.
    :param database: where the manager keeps observations.
    :param gateway: ``<namespace>/<name>`` of the Gateway of the web page.
    :param kinds: what trials may run. Their definitions must be in the cluster. Default: Job, and the jobs of the
        training operator and of the MPI operator.
    :param shared_storage_class: a StorageClass of volumes that many pods write, for population based training.
        Default: none, and the algorithm ``pbt`` is not offered.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        images: Images,
        database: Database,
        gateway: str,
        kinds: Sequence[TrialKind] = (JOB, *TRAINING_JOBS),
        shared_storage_class: str | None = None,
        placement: Manifest,
    ) -> None:
        super().__init__(scope, id)
        self.add(
            config_map(
                _CONFIGURATION,
                NAMESPACE,
                {_FILE: json.dumps(_configuration(images, kinds, shared_storage_class), indent=2)},
            ),
            config_map(
                _TEMPLATES,
                NAMESPACE,
                {"job": json.dumps(_trial_template(images.reference("katib-pytorch-mnist")), indent=2)},
                labels={"katib.kubeflow.org/component": "trial-templates"},
            ),
            *_controller(images.reference("katib-controller"), kinds, placement),
            *_manager(images.reference("katib-db-manager"), database, placement),
            *_web_page(images.reference("katib-ui"), gateway, placement),
            aggregated_role(
                "kubeflow-katib-edit",
                [
                    rule(GROUP, "experiments trials suggestions", ALL),
                    # The web page shows the log of a trial to users who may read it.
                    rule("", "pods", "list"),
                    rule("", "pods/log", "get"),
                ],
                to=f"{_AGGREGATE}-edit",
            ),
            aggregated_role(
                "kubeflow-katib-view", [rule(GROUP, "experiments trials suggestions")], to=f"{_AGGREGATE}-view"
            ),
        )


def _configuration(images: Images, kinds: Sequence[TrialKind], shared_storage_class: str | None) -> dict[str, Any]:
    """cert-manager makes the certificate of the webhooks, so the controller needs no right to change them."""
    algorithms = {**_ALGORITHMS, **(_NEEDS_SHARED_VOLUME if shared_storage_class else {})}
    return {
        "apiVersion": "config.kubeflow.org/v1beta1",
        "kind": "KatibConfig",
        "init": {
            "controller": {
                "enableLeaderElection": True,
                "leaderElectionID": _CONTROLLER,
                "healthzAddr": f":{_HEALTH}",
                "metricsAddr": f":{_METRICS}",
                "webhookPort": _WEBHOOK,
                "injectSecurityContext": True,
                "trialResources": [kind.configured for kind in kinds],
            },
            "certGenerator": {"enable": False},
        },
        "runtime": {
            "metricsCollectors": [
                _collector("StdOut", images.reference("katib-file-metrics-collector"), "128Mi"),
                _collector("File", images.reference("katib-file-metrics-collector"), "128Mi"),
                _collector("TensorFlowEvent", images.reference("katib-tfevent-metrics-collector"), "1Gi"),
            ],
            "suggestions": [
                _suggestion(algorithm, program, images, shared_storage_class)
                for algorithm, program in sorted(algorithms.items())
            ],
        },
    }


def _collector(kind: str, image: str, memory: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "resources": workloads.resources(cpu="10m", memory="64Mi", memory_limit=memory),
    }


def _suggestion(algorithm: str, program: str, images: Images, shared_storage_class: str | None) -> dict[str, Any]:
    """The container of an algorithm. Its image names no user; group 0 owns the files, so that any user can run them."""
    memory = _SUGGESTION_MEMORY.get(algorithm, "256Mi")
    found: dict[str, Any] = {
        "algorithmName": algorithm,
        "image": images.reference(f"katib-suggestion-{program}"),
        "imagePullPolicy": "IfNotPresent",
        "resources": workloads.resources(cpu="50m", memory=memory),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsUser": _USER,
            "runAsGroup": 0,
            **RESTRICTED_POD,
        },
    }
    if algorithm in _NEEDS_SHARED_VOLUME:
        found["persistentVolumeClaimSpec"] = {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": shared_storage_class,
            "resources": {"requests": {"storage": "5Gi"}},
        }
    return found


def _trial_template(image: str) -> dict[str, Any]:
    """A template that the web page offers: one Job with two parameters."""
    container = {
        "name": "training-container",
        "image": image,
        "command": ["python3", "/opt/pytorch-mnist/mnist.py"],
        "args": [
            "--epochs=1",
            "--batch-size=16",
            "--lr=${trialParameters.learningRate}",
            "--momentum=${trialParameters.momentum}",
        ],
        "resources": workloads.resources(cpu="500m", memory="1Gi", memory_limit="2Gi"),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec = {
        "restartPolicy": "Never",
        "securityContext": {**RESTRICTED_POD, "runAsUser": _USER},
        "containers": [container],
    }
    pod = {"metadata": {"labels": {"sidecar.istio.io/inject": "false"}}, "spec": spec}
    return {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": pod}}


def _controller(image: str, kinds: Sequence[TrialKind], placement: Manifest) -> list[Manifest]:
    controller = Controller(
        name=_CONTROLLER,
        namespace=NAMESPACE,
        image=image,
        command=["./katib-controller"],
        args=[f"--katib-config=/{_FILE}"],
        env={"KATIB_CORE_NAMESPACE": workloads.from_field("metadata.namespace")},
        resources=workloads.resources(cpu="100m", memory="256Mi"),
        cluster=[
            rule(GROUP, "experiments", f"{READ} update"),
            rule(GROUP, "suggestions trials", f"{READ} create update delete"),
            rule(GROUP, "experiments/status suggestions/status trials/status", "update"),
            rule(GROUP, "experiments/finalizers suggestions/finalizers trials/finalizers", "update"),
            *(rule(kind.group, kind.plural, f"{READ} create delete") for kind in kinds),
            rule("apps", "deployments", f"{READ} create delete"),
            rule("", "services", f"{READ} create delete"),
            rule("", "persistentvolumeclaims", f"{READ} create"),
            rule("", "configmaps namespaces"),
            rule("", "pods", "get"),
            rule("", "events", "create patch"),
        ],
        ports={"metrics": _METRICS, "health": _HEALTH},
        webhook=WebhookServer(
            webhooks=[
                _webhook("defaulter.experiment", "/mutate-experiment", mutating=True),
                _webhook("validator.experiment", "/validate-experiment"),
                # Without an answer a pod starts without its collector, which its trial reports; a refusal would stop
                # every pod of every team.
                Webhook(
                    name="mutator.pod.katib.kubeflow.org",
                    path="/mutate-pod",
                    group="",
                    versions="v1",
                    resources="pods",
                    operations="CREATE",
                    mutating=True,
                    fail=False,
                    namespaces={"matchLabels": INJECTED},
                ),
            ],
            port=_WEBHOOK,
            mount="/tmp/cert",
            secret="katib-webhook-cert",
            configuration="katib.kubeflow.org",
        ),
        mounts={f"/{_FILE}": f"configuration/{_FILE}"},
        volumes={"configuration": {"configMap": {"name": _CONFIGURATION}}},
        security=run_as(_USER),
        placement=placement,
    )
    return controller.objects()


def _webhook(name: str, path: str, *, mutating: bool = False) -> Webhook:
    return Webhook(
        name=f"{name}.katib.kubeflow.org",
        path=path,
        group=GROUP,
        versions="v1beta1",
        resources="experiments",
        mutating=mutating,
    )


def _manager(image: str, database: Database, placement: Manifest) -> list[Manifest]:
    """It keeps no state itself. It is ready while the database answers, and does not restart when the database fails.

    In the mesh, because a database in the cluster admits it by its service account. Trials and the controller are
    outside of the mesh, so its own port takes what the network policy lets through, encrypted or not, from any caller.
    """
    container = workloads.container(
        _MANAGER,
        image,
        command=["./katib-db-manager"],
        env={
            "DB_NAME": "mysql",  # of the driver
            "DB_USER": database.username,
            "DB_PASSWORD": database.password,
            "KATIB_MYSQL_DB_HOST": database.host,
            "KATIB_MYSQL_DB_PORT": str(database.port),
            "KATIB_MYSQL_DB_DATABASE": _database_name(database),
            **database.go_authorities,
        },
        ports={"api": _MANAGER_PORT},
        probes={
            "startupProbe": {"tcpSocket": {"port": "api"}, "periodSeconds": 5, "failureThreshold": 60},
            "livenessProbe": {"tcpSocket": {"port": "api"}, "periodSeconds": 20},
            "readinessProbe": {"grpc": {"port": _MANAGER_PORT}, "periodSeconds": 10, "timeoutSeconds": 5},
        },
        mounts=database.mounts,
        read_only=[*database.mounts],
        resources=workloads.resources(cpu="50m", memory="64Mi"),
    )
    pod = workloads.pod(
        container,
        service_account=_MANAGER,
        volumes=database.volumes,
        security=run_as(_USER),
        placement=placement,
    )
    callers = [network.pods_of(NAMESPACE, {"app.kubernetes.io/name": name}) for name in (_CONTROLLER, _UI)]
    collectors: Manifest = {"namespaceSelector": {"matchLabels": INJECTED}}
    return [
        service_account(_MANAGER, NAMESPACE),
        workloads.deployment(
            _MANAGER,
            NAMESPACE,
            {**pod, "automountServiceAccountToken": False},
            pod_labels={"sidecar.istio.io/inject": "true"},
        ),
        istio.plaintext_ports(_MANAGER, NAMESPACE, _MANAGER_PORT, reason=_OUTSIDE_THE_MESH),
        istio.authorization_policy(
            _MANAGER, NAMESPACE, {"to": [{"operation": {"ports": [str(_MANAGER_PORT)]}}]}, pods=selector(_MANAGER)
        ),
        workloads.service(_MANAGER, NAMESPACE, {"grpc-api": (_MANAGER_PORT, "api")}),
        workloads.disruption_budget(_MANAGER, NAMESPACE),
        network.takes(_MANAGER, NAMESPACE, network.allow(*callers, collectors, ports=["api"])),
    ]


def _database_name(database: Database) -> str:
    """The name with the encryption of the connection.

    Katib writes its own parameter ``?timeout=5s`` behind the name. In the list of character sets, of which the client
    takes the first that the server knows, it does no harm to ours.
    """
    if not database.authorities:
        return database.name
    return f"{database.name}?tls=true&timeout=5s&charset=utf8mb4,utf8"


def _web_page(image: str, gateway: str, placement: Manifest) -> list[Manifest]:
    """It acts with its own rights, after the API server has confirmed that the person may do the same.

    It may not write ConfigMaps, so templates of trials come from the platform or from ``kubectl``: Katib would need
    that right in the whole cluster.
    """
    container = workloads.container(
        _UI,
        image,
        command=["./katib-ui"],
        args=[f"--port={_UI_PORT}", f"--db-manager-address={_MANAGER}.{NAMESPACE}:{_MANAGER_PORT}"],
        env={"KATIB_CORE_NAMESPACE": workloads.from_field("metadata.namespace"), "APP_DISABLE_AUTH": "false"},
        ports={"http": _UI_PORT},
        probes=workloads.http_probes("http", live="/katib/", ready="/katib/"),
        resources=workloads.resources(cpu="20m", memory="64Mi"),
    )
    return web_app(
        _UI,
        NAMESPACE,
        container,
        port=80,
        gateway=gateway,
        prefix="/katib/",
        rewrite=None,
        cluster=[
            rule(GROUP, "experiments", "get list create delete"),
            rule(GROUP, "trials suggestions", "get list"),
            rule("", "namespaces configmaps", "get list"),
            rule("", "pods", "list"),
            rule("", "pods/log", "get"),
            rule("authorization.k8s.io", "subjectaccessreviews", "create"),
        ],
        security=run_as(_USER),
        placement=placement,
    )
