"""The Spark operator, release 2.5: Spark programs as objects, once or by a schedule.

https://github.com/kubeflow/spark-operator
"""

from collections.abc import Sequence

from constructs import Construct

from charts.kit.chart import ComponentChart
from charts.kit.controller import Controller, Webhook, WebhookServer
from charts.kit.objects import Manifest
from charts.kit.rbac import ALL, READ, aggregated_role, rule
from charts.kit.security import run_as
from charts.kit.workloads import resources

NAMESPACE = "kubeflow"
GROUP = "sparkoperator.k8s.io"
USER = 185
"""User of the images of Spark, and of the operator."""

_CONTROLLER, _WEBHOOK = "spark-operator-controller", "spark-operator-webhook"
_SECRET = "spark-operator-webhook-certs"
_SERVICE = "spark-operator-webhook-svc"
_METRICS, _PORT = 8080, 9443
_AGGREGATE = "rbac.authorization.kubeflow.org/aggregate-to-kubeflow"
_ADMISSION = "mutatingwebhookconfigurations validatingwebhookconfigurations"
_KINDS = "sparkapplications scheduledsparkapplications sparkconnects"
_STATUS = " ".join(f"{kind}/status" for kind in _KINDS.split())
_FINALIZERS = " ".join(f"{kind}/finalizers" for kind in _KINDS.split())
_COMMON = [
    "--zap-log-level=info",
    "--namespaces=",  # all
    "--enable-metrics=true",
    f"--metrics-bind-address=:{_METRICS}",
    "--metrics-labels=app_type",
    "--leader-election=true",
    f"--leader-election-lock-namespace={NAMESPACE}",
]


class SparkOperator(ComponentChart):
    """The controller, which submits programs, and the webhook, which completes and checks them and their pods.

    Drivers run under the service account that the SparkApplication names, with the rights of that account: the
    operator creates pods for it. It exposes no page of a program by an Ingress, and has no right to.

    The webhook makes its certificate itself, into a Secret that starts empty: with one from cert-manager it would keep
    the first until it restarts.

    :param image: the operator's image, with Spark.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(self, scope: Construct, id: str, *, image: str, placement: Manifest) -> None:
        super().__init__(scope, id)
        self.add(
            *_controller(image, placement),
            *_webhook_server(image, placement),
            aggregated_role(
                "kubeflow-spark-edit", [rule(GROUP, _KINDS, ALL), rule(GROUP, _STATUS, "get")], to=f"{_AGGREGATE}-edit"
            ),
            aggregated_role(
                "kubeflow-spark-view", [rule(GROUP, _KINDS), rule(GROUP, _STATUS, "get")], to=f"{_AGGREGATE}-view"
            ),
        )


def _controller(image: str, placement: Manifest) -> list[Manifest]:
    lease = f"{_CONTROLLER}-lock"
    return Controller(
        name=_CONTROLLER,
        namespace=NAMESPACE,
        image=image,
        args=["controller", "start", *_COMMON, f"--leader-election-lock-name={lease}", "--enable-ui-service=true"],
        # Each submission is a JVM of some 200 MB.
        resources=resources(cpu="100m", memory="512Mi", memory_limit="1Gi"),
        cluster=[
            rule(GROUP, _KINDS, f"{READ} create update delete"),
            rule(GROUP, _STATUS, "update"),
            rule(GROUP, _FINALIZERS, "update"),
            rule("", "pods configmaps services", f"{READ} create update patch delete"),
            rule("", "persistentvolumeclaims", f"{READ} create"),
            rule("", "events", "create patch"),
        ],
        lease=lease,
        mounts={"/tmp": "scratch"},
        volumes={"scratch": {"emptyDir": {"sizeLimit": "1Gi"}}},
        security=run_as(USER),
        placement=placement,
    ).objects()


def _webhook_server(image: str, placement: Manifest) -> list[Manifest]:
    lease = f"{_WEBHOOK}-lock"
    return Controller(
        name=_WEBHOOK,
        namespace=NAMESPACE,
        image=image,
        args=[
            "webhook",
            "start",
            *_COMMON,
            f"--leader-election-lock-name={lease}",
            f"--webhook-secret-name={_SECRET}",
            f"--webhook-secret-namespace={NAMESPACE}",
            f"--webhook-svc-name={_SERVICE}",
            f"--webhook-svc-namespace={NAMESPACE}",
            f"--webhook-port={_PORT}",
            f"--mutating-webhook-name={_WEBHOOK}",
            f"--validating-webhook-name={_WEBHOOK}",
        ],
        resources=resources(cpu="50m", memory="128Mi"),
        cluster=[
            rule(GROUP, "sparkapplications scheduledsparkapplications"),
            rule("", "resourcequotas"),
            rule("admissionregistration.k8s.io", _ADMISSION),
            rule("admissionregistration.k8s.io", _ADMISSION, "update", names=[_WEBHOOK]),
        ],
        local=[rule("", "secrets", "get update", names=[_SECRET])],
        lease=lease,
        webhook=WebhookServer(
            webhooks=[
                *_webhooks("mutate", ("v1beta2", "sparkapplication"), ("v1beta2", "scheduledsparkapplication")),
                *_webhooks("mutate", ("v1alpha1", "sparkconnect")),
                *_webhooks("validate", ("v1beta2", "sparkapplication"), ("v1beta2", "scheduledsparkapplication")),
                *_webhooks("validate", ("v1alpha1", "sparkconnect")),
                Webhook(
                    name=f"mutate--v1-pod.{GROUP}",
                    path="/mutate--v1-pod",
                    group="",
                    versions="v1",
                    resources="pods",
                    operations="CREATE",
                    mutating=True,
                    objects={"matchLabels": {f"{GROUP}/launched-by-spark-operator": "true"}},
                ),
            ],
            port=_PORT,
            mount="/etc/k8s-webhook-server/serving-certs",
            self_managed=True,
            written=True,
            service=_SERVICE,
            secret=_SECRET,
        ),
        security=run_as(USER),
        placement=placement,
    ).objects()


def _webhooks(what: str, *kinds: tuple[str, str]) -> Sequence[Webhook]:
    return [
        Webhook(
            name=f"{what}-sparkoperator-k8s-io-{version}-{kind}.{GROUP}",
            path=f"/{what}-sparkoperator-k8s-io-{version}-{kind}",
            group=GROUP,
            versions=version,
            resources=f"{kind}s",
            mutating=what == "mutate",
        )
        for version, kind in kinds
    ]
