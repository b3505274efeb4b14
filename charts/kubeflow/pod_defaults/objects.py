"""PodDefaults of Kubeflow's dashboard 2: settings that pods of a team get by label.

https://github.com/kubeflow/dashboard
"""

from constructs import Construct

from charts.kit.chart import ComponentChart
from charts.kit.controller import Controller, Webhook, WebhookServer
from charts.kit.kubeflow import NAMESPACE, TEAM_LABEL, team_roles
from charts.kit.objects import Manifest
from charts.kit.rbac import ALL, rule
from charts.kit.security import run_as
from charts.kit.workloads import resources, tcp_probes

NAME = "poddefaults-webhook"

_USER = 65532
_CERTIFICATES = "/etc/webhook/certs"


class PodDefaults(ComponentChart):
    """The webhook that adds to pods of teams what the PodDefaults of their namespace say, as they are created.

    While it does not answer, no pod of a team is created. Two PodDefaults that contradict each other refuse the pod.

    :param image: the webhook's image.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(self, scope: Construct, id: str, *, image: str, placement: Manifest) -> None:
        super().__init__(scope, id)
        controller = Controller(
            name=NAME,
            namespace=NAMESPACE,
            image=image,
            args=[f"--tlsCertFile={_CERTIFICATES}/tls.crt", f"--tlsKeyFile={_CERTIFICATES}/tls.key"],
            ports={},
            probes=tcp_probes("webhook"),
            resources=resources(cpu="50m", memory="128Mi"),
            cluster=[rule("kubeflow.org", "poddefaults")],
            lease=None,  # every replica answers
            webhook=WebhookServer(
                webhooks=[
                    Webhook(
                        name="poddefaults.kubeflow.org",
                        path="/apply-poddefault",
                        group="",
                        versions="v1",
                        resources="pods",
                        operations="CREATE",
                        mutating=True,
                        namespaces={"matchLabels": TEAM_LABEL},
                        review="v1beta1",
                    )
                ],
                port=4443,
                mount=_CERTIFICATES,
            ),
            security=run_as(_USER),
            placement=placement,
        )
        self.add(
            *controller.objects(),
            *team_roles(
                "poddefaults",
                edit=[rule("kubeflow.org", "poddefaults", f"{ALL} deletecollection")],
                view=[rule("kubeflow.org", "poddefaults")],
            ),
        )
