from collections.abc import Sequence

from constructs import Construct

from charts.kit.admission import SYSTEM_LABEL
from charts.kit.chart import ComponentChart
from charts.kit.kubeflow import NAMESPACE, admin_role, collecting_role, team_roles
from charts.kit.network import deny_all
from charts.kit.objects import namespace
from charts.kit.rbac import READ, rule

_CHANGE = "create delete deletecollection patch update"


class KubeflowBase(ComponentChart):
    """The namespaces of Kubeflow, closed until a component opens what it needs, and the roles that teams get.

    Owners, contributors and viewers of a team are bound to ``kubeflow-admin``, ``kubeflow-edit`` and ``kubeflow-view``
    in its namespace. Components add to these roles by :func:`charts.kit.kubeflow.team_roles`.

    :param namespaces: of the platform's own pods, with the restricted pod security level and sidecars of the mesh.
    """

    def __init__(self, scope: Construct, id: str, *, namespaces: Sequence[str] = (NAMESPACE,)) -> None:
        super().__init__(scope, id)
        for name in namespaces:
            marks = {SYSTEM_LABEL: "true", "istio-injection": "enabled"}
            self.add(namespace(name, **marks), deny_all(name))
        self.add(
            collecting_role("admin"),
            collecting_role("edit", into="admin"),
            collecting_role("view", into="edit"),
            admin_role(
                "access",
                [
                    rule("authorization.k8s.io", "localsubjectaccessreviews", "create"),
                    rule("rbac.authorization.k8s.io", "roles rolebindings", f"{READ} {_CHANGE}"),
                ],
            ),
            *team_roles("workloads", edit=_EDIT, view=_VIEW),
            *team_roles(
                "routes",
                view=[
                    rule("networking.istio.io", "destinationrules serviceentries virtualservices"),
                    rule("security.istio.io", "authorizationpolicies"),
                ],
            ),
        )


_EDIT = [
    rule("", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy"),
    rule("", "pods pods/attach pods/exec pods/portforward pods/proxy", _CHANGE),
    rule("", "configmaps endpoints persistentvolumeclaims secrets serviceaccounts services services/proxy", _CHANGE),
    rule(
        "apps",
        "daemonsets deployments deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale",
        _CHANGE,
    ),
    rule("autoscaling", "horizontalpodautoscalers", _CHANGE),
    rule("batch", "cronjobs jobs", _CHANGE),
    rule("policy", "poddisruptionbudgets", _CHANGE),
]
_VIEW = [
    rule(
        "",
        "configmaps endpoints events limitranges namespaces namespaces/status persistentvolumeclaims "
        "persistentvolumeclaims/status pods pods/log pods/status resourcequotas resourcequotas/status serviceaccounts "
        "services services/status",
    ),
    rule(
        "apps",
        "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets "
        "replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
    ),
    rule("autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
    rule("batch", "cronjobs cronjobs/status jobs jobs/status"),
    rule("policy", "poddisruptionbudgets poddisruptionbudgets/status"),
    rule("networking.k8s.io", "ingresses ingresses/status networkpolicies"),
]
