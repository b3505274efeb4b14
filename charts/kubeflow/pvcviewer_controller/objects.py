"""The controller of volume viewers of Kubeflow Notebooks 1.11, for PVCViewer. https://github.com/kubeflow/notebooks"""

from constructs import Construct

from charts.kit.chart import ComponentChart
from charts.kit.controller import Controller, Webhook, WebhookServer
from charts.kit.kubeflow import GATEWAY, NAMESPACE
from charts.kit.objects import Manifest
from charts.kit.rbac import READ, rule
from charts.kit.security import run_as
from charts.kit.workloads import resources

NAME = "pvcviewer-controller"

_USER = 65532  # the image names no number
_CLUSTER_RULES = [
    rule("kubeflow.org", "pvcviewers", f"{READ} update patch"),
    rule("kubeflow.org", "pvcviewers/status pvcviewers/finalizers", "get update patch"),
    rule("", "persistentvolumeclaims pods"),
    rule("", "services", f"{READ} create update"),
    rule("apps", "deployments", f"{READ} create update"),
    rule("networking.istio.io", "virtualservices", f"{READ} create update"),
]


class PvcViewerController(ComponentChart):
    """The controller that runs a file browser for a volume, where the volume is, behind the gateway.

    :param image: the controller's image.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(self, scope: Construct, id: str, *, image: str, placement: Manifest) -> None:
        super().__init__(scope, id)
        controller = Controller(
            name=NAME,
            namespace=NAMESPACE,
            image=image,
            command=["/manager"],
            args=["--leader-elect", "--health-probe-bind-address=:8081", "--metrics-bind-address=:8080"],
            env={"ISTIO_GATEWAY": GATEWAY},
            resources=resources(cpu="50m", memory="128Mi"),
            cluster=_CLUSTER_RULES,
            lease="57a72bdf.kubeflow.org",
            webhook=WebhookServer(webhooks=[_webhook("mutate"), _webhook("validate")]),
            security=run_as(_USER),
            placement=placement,
        )
        self.add(*controller.objects())


def _webhook(what: str) -> Webhook:
    return Webhook(
        name=f"{what}.pvcviewer.kubeflow.org",
        path=f"/{what}-kubeflow-org-v1alpha1-pvcviewer",
        group="kubeflow.org",
        versions="v1alpha1",
        resources="pvcviewers",
        mutating=what == "mutate",
    )
