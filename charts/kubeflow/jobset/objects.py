"""JobSet, release 0.11: groups of Jobs that start, succeed and fail together. Trainer runs its jobs as these.

https://github.com/kubernetes-sigs/jobset
"""

import json

from constructs import Construct

from charts.kit.chart import ComponentChart
from charts.kit.controller import Controller, Webhook, WebhookServer
from charts.kit.objects import Manifest, config_map
from charts.kit.rbac import ALL, READ, aggregated_role, rule
from charts.kit.workloads import http_probes, resources

NAME = "jobset-controller-manager"
NAMESPACE = "kubeflow-system"
GROUP = "jobset.x-k8s.io"

_CONFIGURATION = "jobset-manager-config"
_FILE = "controller_manager_config.yaml"
_LEASE = "jobset"
_METRICS, _HEALTH = 8443, 8081
_AGGREGATE = "rbac.authorization.kubeflow.org/aggregate-to-kubeflow"
_OF_A_JOB_SET: Manifest = {"matchExpressions": [{"key": "jobset.sigs.k8s.io/jobset-name", "operator": "Exists"}]}

_CLUSTER_RULES = [
    rule(GROUP, "jobsets", f"{READ} delete"),
    rule(GROUP, "jobsets/status jobsets/finalizers", "update"),
    rule("batch", "jobs", f"{READ} create update delete"),
    rule("batch", "jobs/status", "update"),
    rule("", "pods", f"{READ} delete"),
    rule("", "pods/status", "update"),
    rule("", "services persistentvolumeclaims", f"{READ} create"),
    rule("", "nodes"),
    rule("", "events", "create patch"),
    # Who reads the metrics is asked of the API server.
    rule("authentication.k8s.io", "tokenreviews", "create"),
    rule("authorization.k8s.io", "subjectaccessreviews", "create"),
]


class JobSet(ComponentChart):
    """The controller of JobSets, with webhooks that complete and check them and their pods.

    :param image: the controller's image.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(self, scope: Construct, id: str, *, image: str, placement: Manifest) -> None:
        super().__init__(scope, id)
        controller = Controller(
            name=NAME,
            namespace=NAMESPACE,
            image=image,
            args=[f"--config=/{_FILE}", "--zap-log-level=info"],
            resources=resources(cpu="50m", memory="128Mi"),
            cluster=_CLUSTER_RULES,
            lease=_LEASE,
            ports={"metrics": _METRICS, "health": _HEALTH},
            metrics_scheme="https",
            probes=http_probes("health"),
            webhook=WebhookServer(
                webhooks=[
                    _webhook("mjobset.kb.io", "/mutate-jobset-x-k8s-io-v1alpha2-jobset", "CREATE", mutating=True),
                    _webhook("vjobset.kb.io", "/validate-jobset-x-k8s-io-v1alpha2-jobset", "CREATE UPDATE"),
                    _pod_webhook("mpod.kb.io", "/mutate--v1-pod", mutating=True),
                    _pod_webhook("vpod.kb.io", "/validate--v1-pod"),
                ],
                service="jobset-webhook-service",
                secret="jobset-webhook-server-cert",
            ),
            mounts={f"/{_FILE}": f"configuration/{_FILE}"},
            volumes={"configuration": {"configMap": {"name": _CONFIGURATION}}},
            placement=placement,
        )
        self.add(
            config_map(_CONFIGURATION, NAMESPACE, {_FILE: json.dumps(_configuration(), indent=2)}),
            *controller.objects(),
            aggregated_role("kubeflow-jobsets-edit", [rule(GROUP, "jobsets", ALL)], to=f"{_AGGREGATE}-edit"),
            aggregated_role("kubeflow-jobsets-view", [rule(GROUP, "jobsets")], to=f"{_AGGREGATE}-view"),
        )


def _configuration() -> dict[str, object]:
    """cert-manager makes the certificate of the webhooks, so the controller needs no right to change them."""
    return {
        "apiVersion": "config.jobset.x-k8s.io/v1alpha1",
        "kind": "Configuration",
        "leaderElection": {"leaderElect": True, "resourceName": _LEASE},
        "internalCertManagement": {"enable": False},
        "metrics": {"bindAddress": f":{_METRICS}"},
        "health": {"healthProbeBindAddress": f":{_HEALTH}"},
    }


def _webhook(name: str, path: str, operations: str, *, mutating: bool = False) -> Webhook:
    return Webhook(
        name=name,
        path=path,
        group=GROUP,
        versions="v1alpha2",
        resources="jobsets",
        operations=operations,
        mutating=mutating,
    )


def _pod_webhook(name: str, path: str, *, mutating: bool = False) -> Webhook:
    return Webhook(
        name=name,
        path=path,
        group="",
        versions="v1",
        resources="pods",
        operations="CREATE",
        mutating=mutating,
        objects=_OF_A_JOB_SET,
    )
