"""The MPI operator, release 0.8, for MPIJob ``v2beta1``: programs that find each other by MPI, such as Horovod.

https://github.com/kubeflow/mpi-operator
"""

from constructs import Construct

from charts.kit.chart import ComponentChart
from charts.kit.controller import Controller
from charts.kit.objects import Manifest
from charts.kit.rbac import ALL, aggregated_role, rule
from charts.kit.security import run_as
from charts.kit.workloads import http_probes, resources

NAME = "mpi-operator"
NAMESPACE = "kubeflow"
GROUP = "kubeflow.org"

_USER = 65532  # the image names no user and would run as root
_HEALTH, _METRICS = 8080, 8081  # the program does not let the first be chosen
_AGGREGATE = "rbac.authorization.kubeflow.org/aggregate-to-kubeflow"

_CLUSTER_RULES = [
    rule(GROUP, "mpijobs"),
    rule(GROUP, "mpijobs/status mpijobs/finalizers", "update"),
    rule("", "configmaps secrets services", "list watch create update"),
    rule("", "pods", "list watch create delete"),
    rule("", "events", "create patch"),
    rule("batch", "jobs", "list watch create update"),
    rule("batch", "jobs/status", "update"),
    rule("scheduling.k8s.io", "priorityclasses", "list watch"),
]


class MpiOperator(ComponentChart):
    """The MPI operator: it runs a launcher and its workers, with a host file and keys of SSH that it generates.

    It owns the definition ``mpijobs.kubeflow.org`` at version ``v2beta1``. The Training Operator has an older MPIJob
    ``v1`` under the same name, which the platform leaves out: a definition has one owner, and its API refuses to lose a
    version that it has stored.

    The operator has no webhook. What it would only report in the status of a job, such as a second launcher, the
    definition refuses.

    :param image: the operator's image.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(self, scope: Construct, id: str, *, image: str, placement: Manifest) -> None:
        super().__init__(scope, id)
        controller = Controller(
            name=NAME,
            namespace=NAMESPACE,
            image=image,
            args=[f"--lock-namespace={NAMESPACE}", f"--monitoring-port={_METRICS}"],
            resources=resources(cpu="50m", memory="128Mi"),
            cluster=_CLUSTER_RULES,
            ports={"metrics": _METRICS, "health": _HEALTH},
            probes=http_probes("health", ready="/healthz"),
            security=run_as(_USER),
            placement=placement,
        )
        self.add(
            *controller.objects(),
            aggregated_role(
                "kubeflow-mpijobs-edit",
                [rule(GROUP, "mpijobs", ALL), rule(GROUP, "mpijobs/status", "get")],
                to=f"{_AGGREGATE}-edit",
            ),
            aggregated_role(
                "kubeflow-mpijobs-view",
                [rule(GROUP, "mpijobs"), rule(GROUP, "mpijobs/status", "get")],
                to=f"{_AGGREGATE}-view",
            ),
        )
