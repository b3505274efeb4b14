"""The web application for TensorBoards of Kubeflow Notebooks 1.11. https://github.com/kubeflow/notebooks"""

from constructs import Construct

from charts.kit.chart import ComponentChart
from charts.kit.kubeflow import crud_web_app
from charts.kit.objects import Manifest
from charts.kit.rbac import rule

NAME = "tensorboards-web-app"
PREFIX = "/tensorboards"

_CLUSTER_RULES = [
    rule("tensorboard.kubeflow.org", "tensorboards", "get list create delete"),
    rule("", "namespaces", "get list"),
    rule("", "persistentvolumeclaims", "get list"),
    rule("kubeflow.org", "poddefaults"),
    rule("storage.k8s.io", "storageclasses"),
]


class TensorboardsWebApp(ComponentChart):
    """The page on which people start TensorBoards over logs of their team.

    :param image: the application's image.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(self, scope: Construct, id: str, *, image: str, placement: Manifest) -> None:
        super().__init__(scope, id)
        self.add(*crud_web_app(NAME, image=image, prefix=PREFIX, cluster=_CLUSTER_RULES, placement=placement))
