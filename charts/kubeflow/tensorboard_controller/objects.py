"""The TensorBoard controller of Kubeflow Notebooks 1.11, for Tensorboard. https://github.com/kubeflow/notebooks"""

from constructs import Construct

from charts.kit.chart import ComponentChart
from charts.kit.controller import Controller
from charts.kit.kubeflow import GATEWAY, NAMESPACE, team_roles
from charts.kit.objects import Manifest
from charts.kit.rbac import ALL, READ, rule
from charts.kit.security import run_as
from charts.kit.workloads import resources

NAME = "tensorboard-controller"
GROUP = "tensorboard.kubeflow.org"

_USER = 999
_CLUSTER_RULES = [
    rule(GROUP, "tensorboards", f"{READ} update patch"),
    rule(GROUP, "tensorboards/status tensorboards/finalizers", "get update patch"),
    rule("", "persistentvolumeclaims pods"),
    rule("", "services", f"{READ} create update"),
    rule("apps", "deployments", f"{READ} create update"),
    rule("networking.istio.io", "virtualservices", f"{READ} create update"),
]


class TensorboardController(ComponentChart):
    """The controller that runs TensorBoard over a folder of a volume or of S3, behind the gateway.

    :param image: the controller's image.
    :param server_image: image of the TensorBoard that it runs in the team's namespace.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(self, scope: Construct, id: str, *, image: str, server_image: str, placement: Manifest) -> None:
        super().__init__(scope, id)
        controller = Controller(
            name=NAME,
            namespace=NAMESPACE,
            image=image,
            command=["/manager"],
            args=["--leader-elect", "--health-probe-bind-address=:8081", "--metrics-bind-address=:8080"],
            env={
                "ISTIO_GATEWAY": GATEWAY,
                "ISTIO_HOST": "*",
                "RWO_PVC_SCHEDULING": "True",
                "TENSORBOARD_IMAGE": server_image,
            },
            resources=resources(cpu="50m", memory="128Mi"),
            cluster=_CLUSTER_RULES,
            lease="kubeflow-tensorboard-controller",
            elects_by_config_map=True,
            security=run_as(_USER),
            placement=placement,
        )
        self.add(
            *controller.objects(),
            *team_roles(
                "tensorboards",
                edit=[rule(GROUP, "tensorboards", f"{ALL} deletecollection")],
                view=[rule(GROUP, "tensorboards"), rule(GROUP, "tensorboards/status", "get")],
            ),
        )
