"""The Training Operator of Kubeflow, release 1.9, for TFJob, PyTorchJob and XGBoostJob.

https://github.com/kubeflow/trainer/tree/release-1.9
"""

import json
from collections.abc import Mapping

from constructs import Construct

from charts.kit.chart import ComponentChart
from charts.kit.controller import Controller, Webhook, WebhookServer
from charts.kit.objects import Manifest, config_map
from charts.kit.rbac import ALL, READ, aggregated_role, rule
from charts.kit.security import NOBODY, RESTRICTED_CONTAINER, run_as
from charts.kit.workloads import resources

NAME = "training-operator"
NAMESPACE = "kubeflow"
GROUP = "kubeflow.org"
JOBS = ("tfjob", "pytorchjob", "xgboostjob")

_USER = 1000
_ADMISSION = "validator.training-operator.kubeflow.org"  # the operator looks for this name
_CERTIFICATE = "training-operator-webhook-cert"
_INIT_CONTAINER = "training-operator-init-container"
_INIT_CONTAINER_FOLDER = "/etc/config"
_PLURALS = " ".join(f"{job}s" for job in JOBS)
_STATUS = " ".join(f"{job}s/status" for job in JOBS)
_FINALIZERS = " ".join(f"{job}s/finalizers" for job in JOBS)
_AGGREGATE = "rbac.authorization.kubeflow.org/aggregate-to-kubeflow"

_CLUSTER_RULES = [
    rule(GROUP, _PLURALS, f"{READ} delete"),
    rule(GROUP, _STATUS, "update"),
    rule(GROUP, _FINALIZERS, "update"),
    rule("", "pods", f"{READ} create delete patch"),
    rule("", "services", f"{READ} create delete"),
    rule("", "events", "create patch"),
    rule("autoscaling", "horizontalpodautoscalers", f"{READ} create update delete"),
    rule("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    rule("admissionregistration.k8s.io", "validatingwebhookconfigurations", "update", names=[_ADMISSION]),
]
_LOCAL_RULES = [
    rule("", "secrets"),
    rule("", "secrets", "update", names=[_CERTIFICATE]),
]


class TrainingOperator(ComponentChart):
    """The Training Operator: it runs training jobs of TensorFlow, PyTorch and XGBoost as pods that find each other.

    MPIJob is left to the MPI operator, which owns the definition of that name at another version: two operators of one
    definition refuse each other's objects.

    The operator makes the certificate of its webhooks itself, into a Secret that starts empty, and enters the authority
    in the webhook configuration.

    :param image: the operator's image.
    :param shell_image: an image with a shell and ``nslookup``, for the container in which a PyTorch worker waits for
        its master.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(self, scope: Construct, id: str, *, image: str, shell_image: str, placement: Manifest) -> None:
        super().__init__(scope, id)
        controller = Controller(
            name=NAME,
            namespace=NAMESPACE,
            image=image,
            args=[
                *(f"--enable-scheme={job}" for job in JOBS),
                "--leader-elect",
                f"--leader-election-id={NAME}",
                "--zap-log-level=info",
            ],
            resources=resources(cpu="100m", memory="256Mi"),
            cluster=_CLUSTER_RULES,
            local=_LOCAL_RULES,
            webhook=WebhookServer(
                webhooks=[_webhook(job) for job in JOBS],
                self_managed=True,
                configuration=_ADMISSION,
                secret=_CERTIFICATE,
            ),
            mounts={_INIT_CONTAINER_FOLDER: "init-container"},
            volumes={"init-container": {"configMap": {"name": _INIT_CONTAINER}}},
            security=run_as(_USER),
            placement=placement,
        )
        self.add(
            config_map(_INIT_CONTAINER, NAMESPACE, {"initContainer.yaml": _init_container(shell_image)}),
            *controller.objects(),
            aggregated_role(
                "kubeflow-training-edit",
                [rule(GROUP, _PLURALS, ALL), rule(GROUP, _STATUS, "get")],
                to=f"{_AGGREGATE}-edit",
            ),
            aggregated_role(
                "kubeflow-training-view",
                [rule(GROUP, _PLURALS), rule(GROUP, _STATUS, "get")],
                to=f"{_AGGREGATE}-view",
            ),
        )


def _webhook(job: str) -> Webhook:
    return Webhook(
        name=f"validator.{job}.training-operator.kubeflow.org",
        path=f"/validate-kubeflow-org-v1-{job}",
        group=GROUP,
        versions="v1",
        resources=f"{job}s",
    )


def _init_container(image: str) -> str:
    """The template of the container in which a PyTorch worker waits for its master's address.

    The operator's own has no security context, so that namespaces of the ``restricted`` level would refuse the worker.
    It fills in ``MasterAddr`` and ``MaxTries``, and reads YAML, of which JSON is a part.
    """
    # The nslookup of busybox fails if the name is unknown in any search domain, even when another one has it.
    wait = (
        "for i in $(seq {{.MaxTries}}); do nslookup {{.MasterAddr}} | grep '^Name:' && exit 0; "
        "echo waiting for the master; sleep 2; done; exit 1"
    )
    container: Mapping[str, object] = {
        "name": "init-pytorch",
        "image": image,
        "command": ["sh", "-c", wait],
        "resources": resources(cpu="50m", memory="20Mi"),
        "securityContext": {**RESTRICTED_CONTAINER, "runAsNonRoot": True, "runAsUser": NOBODY},
    }
    return json.dumps([container], indent=2)
