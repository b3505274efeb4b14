from constructs import Construct

from charts.kit.chart import ComponentChart
from charts.kit.rbac import binding, group_subject, role, rule

NAME = "mlplatform-teardown"

_VERBS = "get list delete"
_RULES = [
    rule("networking.k8s.io", "ingresses", _VERBS),
    rule("", "services pods persistentvolumeclaims", _VERBS),
    rule("", "persistentvolumes", "get list"),
    rule("elbv2.k8s.aws", "targetgroupbindings", _VERBS),
    rule("karpenter.sh", "nodepools nodeclaims", _VERBS),
    rule("policy", "poddisruptionbudgets", _VERBS),
    rule("apps", "deployments statefulsets replicasets daemonsets", _VERBS),
    rule("batch", "jobs cronjobs", _VERBS),
    rule("kubeflow.org", "notebooks", _VERBS),
]


class TeardownAccess(ComponentChart):
    """Rights of the teardown guard in the cluster: list and delete what controllers made, and what holds it.

    :param group: the Kubernetes group that has them.
    """

    def __init__(self, scope: Construct, id: str, *, group: str) -> None:
        super().__init__(scope, id)
        self.add(role(NAME, _RULES), binding(NAME, group_subject(group)))
