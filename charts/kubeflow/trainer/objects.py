"""Kubeflow Trainer, release 2.2: TrainJobs, and the runtimes that they name.

https://github.com/kubeflow/trainer
"""

import json
from collections.abc import Mapping
from typing import Any

from constructs import Construct

from charts.kit.chart import ComponentChart
from charts.kit.controller import Controller, Webhook, WebhookServer
from charts.kit.images import Images
from charts.kit.objects import Manifest, config_map, metadata
from charts.kit.rbac import ALL, READ, aggregated_role, binding, group_subject, role, rule
from charts.kit.security import RESTRICTED_POD
from charts.kit.workloads import http_probes, resources

NAME = "kubeflow-trainer-controller-manager"
NAMESPACE = "kubeflow-system"
GROUP = "trainer.kubeflow.org"
VERSION = "v1alpha1"

_CONFIGURATION = "kubeflow-trainer-config"
_FILE = "controller_manager_config.yaml"
_LEASE = "trainer.kubeflow.org"
_METRICS, _HEALTH, _WEBHOOK = 8080, 8081, 9443
_PUBLIC = "kubeflow-trainer-public"
_EVERYBODY = "system:authenticated"
_AGGREGATE = "rbac.authorization.kubeflow.org/aggregate-to-kubeflow"
_USER = 1000  # the images of the runtimes have this user; sshd of the MPI runtime needs it
_SSH_PORT = 2222

_CLUSTER_RULES = [
    rule(GROUP, "trainjobs"),
    rule(GROUP, "trainjobs/status", "patch"),
    rule(GROUP, "trainjobs/finalizers", "update"),
    # A runtime that jobs use gets a finalizer.
    rule(GROUP, "trainingruntimes clustertrainingruntimes", f"{READ} patch"),
    rule(GROUP, "trainingruntimes/finalizers clustertrainingruntimes/finalizers", "update"),
    rule("jobset.x-k8s.io", "jobsets", f"{READ} create patch delete"),
    # Host file and keys of MPI runtimes.
    rule("", "configmaps secrets", f"{READ} create patch"),
    rule("", "limitranges"),
    rule("", "events", "create patch"),
    rule("events.k8s.io", "events", "create patch"),
    rule("node.k8s.io", "runtimeclasses"),
]


class Trainer(ComponentChart):
    """Trainer: it makes a JobSet of each TrainJob, from a runtime that the platform or a team provides.

    It needs :class:`charts.kubeflow.jobset.objects.JobSet` in the cluster. The platform provides the runtimes
    ``torch-distributed``, ``xgboost-distributed`` and ``deepspeed-distributed``. Their pods pass the ``restricted`` pod
    security level and stay out of the mesh, whose sidecar would keep a finished job running.

    :param images: of the catalog.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(self, scope: Construct, id: str, *, images: Images, placement: Manifest) -> None:
        super().__init__(scope, id)
        controller = Controller(
            name=NAME,
            namespace=NAMESPACE,
            image=images.reference("trainer"),
            args=[f"--config=/{_FILE}", "--zap-log-level=info"],
            resources=resources(cpu="50m", memory="128Mi"),
            cluster=_CLUSTER_RULES,
            lease=_LEASE,
            ports={"metrics": _METRICS, "health": _HEALTH},
            probes=http_probes("health"),
            webhook=WebhookServer(
                webhooks=[
                    _webhook("trainjob", mutating=True),
                    *(_webhook(kind) for kind in ("clustertrainingruntime", "trainingruntime", "trainjob")),
                ],
                port=_WEBHOOK,
                secret="kubeflow-trainer-webhook-cert",
            ),
            mounts={f"/{_FILE}": f"configuration/{_FILE}"},
            volumes={"configuration": {"configMap": {"name": _CONFIGURATION}}},
            placement=placement,
        )
        self.add(
            config_map(_CONFIGURATION, NAMESPACE, {_FILE: json.dumps(_configuration(), indent=2)}),
            *controller.objects(),
            *_public(images.tag("trainer")),
            aggregated_role(
                "kubeflow-trainer-edit",
                [rule(GROUP, "trainjobs trainingruntimes", ALL), rule(GROUP, "trainjobs/status", "get")],
                to=f"{_AGGREGATE}-edit",
            ),
            aggregated_role(
                "kubeflow-trainer-view",
                [rule(GROUP, "trainjobs trainingruntimes"), rule(GROUP, "trainjobs/status", "get")],
                to=f"{_AGGREGATE}-view",
            ),
            _torch(images.reference("trainer-torch")),
            _xgboost(images.reference("trainer-xgboost")),
            _deepspeed(images.reference("trainer-deepspeed")),
        )


def _configuration() -> dict[str, Any]:
    """cert-manager makes the certificate of the webhooks, so the controller needs no right to change them."""
    return {
        "apiVersion": "config.trainer.kubeflow.org/v1alpha1",
        "kind": "Configuration",
        "health": {
            "healthProbeBindAddress": f":{_HEALTH}",
            "livenessEndpointName": "healthz",
            "readinessEndpointName": "readyz",
        },
        "metrics": {"bindAddress": f":{_METRICS}", "secureServing": False},
        "webhook": {"port": _WEBHOOK},
        "leaderElection": {
            "leaderElect": True,
            "resourceName": _LEASE,
            "resourceLock": "leases",
            "leaseDuration": "15s",
            "renewDeadline": "10s",
            "retryPeriod": "2s",
        },
        "certManagement": {"enable": False},
    }


def _webhook(kind: str, *, mutating: bool = False) -> Webhook:
    what = "defaulter" if mutating else "validator"
    return Webhook(
        name=f"{what}.{kind}.{GROUP}",
        path=f"/{'mutate' if mutating else 'validate'}-trainer-kubeflow-org-{VERSION}-{kind}",
        group=GROUP,
        versions=VERSION,
        resources=f"{kind}s",
        mutating=mutating,
    )


def _public(version: str) -> list[Manifest]:
    """What everybody who is signed in may read: the release, which the Python client asks for, and the runtimes."""
    everybody = group_subject(_EVERYBODY)
    return [
        config_map(_PUBLIC, NAMESPACE, {"kubeflow_trainer_version": version}),
        role(_PUBLIC, [rule("", "configmaps", names=[_PUBLIC])], namespace=NAMESPACE),
        binding(_PUBLIC, everybody, namespace=NAMESPACE),
        role("kubeflow-trainer-view-cluster-runtimes", [rule(GROUP, "clustertrainingruntimes")]),
        binding("kubeflow-trainer-view-cluster-runtimes", everybody),
    ]


def _torch(image: str) -> Manifest:
    return _runtime("torch-distributed", "torch", {"torch": {}}, [_job("node", image)])


def _xgboost(image: str) -> Manifest:
    return _runtime("xgboost-distributed", "xgboost", {"xgboost": {}}, [_job("node", image)])


def _deepspeed(image: str) -> Manifest:
    """The launcher starts programs on the other pods over SSH, with keys that Trainer makes for each job."""
    mpi = {
        "mpiImplementation": "OpenMPI",
        "numProcPerNode": 1,
        "runLauncherAsNode": True,
        "sshAuthMountPath": "/home/mpiuser/.ssh",
    }
    daemon = {
        "command": ["/usr/sbin/sshd"],
        "args": ["-De", "-f", "/home/mpiuser/.sshd_config"],
        "readinessProbe": {"tcpSocket": {"port": _SSH_PORT}, "initialDelaySeconds": 5},
    }
    return _runtime(
        "deepspeed-distributed",
        "deepspeed",
        {"mpi": mpi},
        [_job("launcher", image), _job("node", image, trains=False, **daemon)],
        network={"publishNotReadyAddresses": True},
        successPolicy={"operator": "All", "targetReplicatedJobs": ["launcher"]},
    )


def _runtime(
    name: str, framework: str, policy: Mapping[str, Any], jobs: list[dict[str, Any]], **more: Any
) -> dict[str, Any]:
    """A ClusterTrainingRuntime.

    :param policy: how the processes of the framework find each other.
    :param more: further fields of the JobSet.
    """
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "ClusterTrainingRuntime",
        "metadata": metadata(name, labels={f"{GROUP}/framework": framework}),
        "spec": {
            "mlPolicy": {"numNodes": 1, **policy},
            "template": {"spec": {"replicatedJobs": jobs, **more}},
        },
    }


def _job(name: str, image: str, *, trains: bool = True, **more: Any) -> dict[str, Any]:
    """A job of a runtime. Its files stay writable, because training programs cache and compile next to themselves.

    :param trains: whether it gets the command, image and resources of the TrainJob.
    """
    container = {
        "name": "node",
        "image": image,
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        **more,
    }
    template = {
        "metadata": {"labels": {"sidecar.istio.io/inject": "false"}},
        "spec": {"securityContext": {**RESTRICTED_POD, "runAsUser": _USER}, "containers": [container]},
    }
    step = {"labels": {f"{GROUP}/trainjob-ancestor-step": "trainer"}} if trains else {}
    return {"name": name, "template": {**({"metadata": step} if step else {}), "spec": {"template": template}}}
