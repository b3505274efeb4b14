"""Profiles of Kubeflow's dashboard 2: a workspace for each team, and who may use it.

https://github.com/kubeflow/dashboard
"""

from collections.abc import Mapping

from constructs import Construct

from charts.kit import istio, network, workloads
from charts.kit.chart import ComponentChart
from charts.kit.controller import Controller
from charts.kit.kubeflow import (
    DASHBOARD,
    GATEWAY_PRINCIPAL,
    NAMESPACE,
    NOTEBOOK_CONTROLLER,
    PIPELINES_UI,
    USER_HEADER,
)
from charts.kit.objects import Manifest, config_map, selector
from charts.kit.rbac import READ, access, rule
from charts.kit.security import run_as
from charts.kit.workloads import http_probes, resources

CONTROLLER = "profile-controller"
ACCESS = "profiles-kfam"
"""Access management; the dashboard asks it who may use which workspace."""
PORT = 8081

_USER = 65532  # the images name no number
_LABELS = "profile-controller-namespace-labels"
_LABELS_FOLDER = "/etc/profile-controller"
_ROLES = ("kubeflow-admin", "kubeflow-edit", "kubeflow-view")
_RBAC = "rbac.authorization.k8s.io"

_CONTROLLER_RULES = [
    rule("kubeflow.org", "profiles", f"{READ} update patch"),
    rule("kubeflow.org", "profiles/status profiles/finalizers", "update patch"),
    rule("", "namespaces", f"{READ} create update"),
    rule("", "serviceaccounts", f"{READ} create update"),
    rule("", "resourcequotas", f"{READ} create update delete"),
    rule(_RBAC, "rolebindings", f"{READ} create update"),
    rule(_RBAC, "clusterroles", "bind", names=_ROLES),
    rule("security.istio.io", "authorizationpolicies", f"{READ} create update"),
]
_ACCESS_RULES = [
    rule("kubeflow.org", "profiles"),
    rule(_RBAC, "rolebindings", f"{READ} create delete"),
    rule(_RBAC, "clusterroles", "bind", names=_ROLES),
    rule("security.istio.io", "authorizationpolicies", f"{READ} create delete"),
]


class Profiles(ComponentChart):
    """The controller that creates the workspace of each Profile, and access management for the dashboard.

    Both run apart, so that what answers requests cannot change namespaces. Neither may create or delete Profiles: the
    account file names the teams. Nor has the controller any right in AWS: roles of teams come from the account file,
    too.

    :param controller_image: image of the controller.
    :param access_image: image of access management.
    :param namespace_labels: labels that the controller adds to namespaces of teams which lack them.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        controller_image: str,
        access_image: str,
        namespace_labels: Mapping[str, str],
        placement: Manifest,
    ) -> None:
        super().__init__(scope, id)
        user = ["-userid-header", USER_HEADER, "-userid-prefix", ""]
        principals: dict[str, str | Manifest] = {
            "ISTIO_INGRESS_GATEWAY_PRINCIPAL": GATEWAY_PRINCIPAL,
            "KFP_UI_PRINCIPAL": istio.principal(PIPELINES_UI),
        }
        controller = Controller(
            name=CONTROLLER,
            namespace=NAMESPACE,
            image=controller_image,
            command=["/manager", *user],
            args=["--leader-elect", "--health-probe-bind-address=:9876", "--metrics-bind-address=:8080"],
            env={**principals, "NOTEBOOK_CONTROLLER_PRINCIPAL": istio.principal(NOTEBOOK_CONTROLLER)},
            ports={"metrics": 8080, "health": 9876},
            mounts={_LABELS_FOLDER: "namespace-labels"},
            volumes={"namespace-labels": {"configMap": {"name": _LABELS}}},
            resources=resources(cpu="50m", memory="128Mi"),
            cluster=_CONTROLLER_RULES,
            lease="kubeflow-profile-controller",
            security=run_as(_USER),
            placement=placement,
        )
        labels = "".join(f'{key}: "{value}"\n' for key, value in namespace_labels.items())
        self.add(
            config_map(_LABELS, NAMESPACE, {"namespace-labels.yaml": labels}),
            *controller.objects(),
            *self._access_management(access_image, user, principals, placement),
        )

    @staticmethod
    def _access_management(
        image: str, user: list[str], principals: Mapping[str, str | Manifest], placement: Manifest
    ) -> list[Manifest]:
        container = workloads.container(
            ACCESS,
            image,
            command=["/access-management", *user],
            env=principals,
            ports={"http": PORT},
            probes=http_probes("http", live="/metrics", ready="/metrics"),
            resources=resources(cpu="50m", memory="128Mi"),
        )
        pod = workloads.pod(container, service_account=ACCESS, security=run_as(_USER), placement=placement)
        dashboard = DASHBOARD.partition("/")[2]
        return [
            *access(ACCESS, NAMESPACE, cluster=_ACCESS_RULES),
            workloads.deployment(ACCESS, NAMESPACE, pod, pod_labels={"sidecar.istio.io/inject": "true"}),
            workloads.service(ACCESS, NAMESPACE, {"http-kfam": (PORT, "http")}),
            workloads.disruption_budget(ACCESS, NAMESPACE),
            istio.admits(ACCESS, NAMESPACE, DASHBOARD),
            network.takes(
                ACCESS,
                NAMESPACE,
                network.allow({"podSelector": {"matchLabels": selector(dashboard)}}, ports=["http"]),
            ),
        ]
