"""The notebook controller of Kubeflow Notebooks 1.11, for Notebook. https://github.com/kubeflow/notebooks"""

from constructs import Construct

from charts.kit.chart import ComponentChart
from charts.kit.controller import Controller
from charts.kit.kubeflow import GATEWAY, NAMESPACE, NOTEBOOK_CONTROLLER, team_roles
from charts.kit.objects import Manifest
from charts.kit.rbac import ALL, READ, rule
from charts.kit.security import run_as
from charts.kit.workloads import resources

NAME = NOTEBOOK_CONTROLLER.partition("/")[2]

_USER = 1000
_METRICS = 8080
_CLUSTER_RULES = [
    rule("kubeflow.org", "notebooks", f"{READ} update patch"),
    rule("kubeflow.org", "notebooks/status notebooks/finalizers", "update patch"),
    rule("apps", "statefulsets", f"{READ} create update"),
    rule("", "services", f"{READ} create update"),
    rule("", "pods"),
    rule("", "events", f"{READ} create patch"),
    rule("networking.istio.io", "virtualservices", f"{READ} create update"),
]


class NotebookController(ComponentChart):
    """The notebook controller: it runs each Notebook as a StatefulSet of one pod behind the gateway.

    It stops every notebook that has been idle, whatever its kind, and so releases its GPUs. It asks Jupyter's own
    server for busy kernels; other servers have none, and are stopped that long after their start. Because it asks
    through the mesh, its pods have a sidecar, which leaves the port of the metrics alone.

    :param image: the controller's image.
    :param idle_minutes: after which a notebook is stopped.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(self, scope: Construct, id: str, *, image: str, idle_minutes: int, placement: Manifest) -> None:
        super().__init__(scope, id)
        controller = Controller(
            name=NAME,
            namespace=NAMESPACE,
            image=image,
            command=["/manager"],
            args=["--enable-leader-election", f"--metrics-addr=:{_METRICS}", "--probe-addr=:8081"],
            env={
                "CLUSTER_DOMAIN": "cluster.local",
                "CULL_IDLE_TIME": str(idle_minutes),
                "ENABLE_CULLING": "true",
                "IDLENESS_CHECK_PERIOD": "5",
                "ISTIO_GATEWAY": GATEWAY,
                "ISTIO_HOST": "*",
                "USE_ISTIO": "true",
            },
            ports={"metrics": _METRICS, "health": 8081},
            resources=resources(cpu="50m", memory="256Mi"),
            cluster=_CLUSTER_RULES,
            lease="kubeflow-notebook-controller",
            labels={"sidecar.istio.io/inject": "true"},
            annotations={"traffic.sidecar.istio.io/excludeInboundPorts": str(_METRICS)},
            security=run_as(_USER),
            placement=placement,
        )
        self.add(
            *controller.objects(),
            *team_roles(
                "notebooks",
                edit=[rule("kubeflow.org", "notebooks", f"{ALL} deletecollection")],
                view=[rule("kubeflow.org", "notebooks"), rule("kubeflow.org", "notebooks/status", "get")],
            ),
        )
