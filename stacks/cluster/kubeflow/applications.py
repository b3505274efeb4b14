import cdk8s
from aws_cdk import Stack
from constructs import Construct

from charts.catalog import Catalog
from charts.kit.chart import ComponentChart
from charts.kit.kubeflow import GATEWAY, NAMESPACE
from charts.kit.objects import Manifest
from charts.kubeflow.dashboard.objects import Dashboard, menu_item, menu_section
from charts.kubeflow.jupyter_web_app.objects import Accelerator, JupyterWebApp
from charts.kubeflow.kubeflow_base.objects import KubeflowBase
from charts.kubeflow.kueue.objects import NAMESPACE as QUEUES_NAMESPACE
from charts.kubeflow.model_registry.objects import ModelRegistryPage
from charts.kubeflow.notebook_controller.objects import NotebookController
from charts.kubeflow.pod_defaults.objects import PodDefaults
from charts.kubeflow.profiles.objects import Profiles
from charts.kubeflow.pvcviewer_controller.objects import PvcViewerController
from charts.kubeflow.spark_history_server.objects import HISTORY_PATH
from charts.kubeflow.teams.objects import NAMESPACE_LABELS, PIPELINES, STORAGE
from charts.kubeflow.tensorboard_controller.objects import TensorboardController
from charts.kubeflow.tensorboards_web_app.objects import TensorboardsWebApp
from charts.kubeflow.trainer.objects import NAMESPACE as TRAINER_NAMESPACE
from charts.kubeflow.volumes_web_app.objects import VolumesWebApp
from config.kubeflow import Kubeflow as KubeflowSettings
from mlplatform_constructs import KubernetesCluster
from stacks._wiring.data_protection import DataProtection

from ..._wiring.installer import Installer
from .sign_in import SignIn

_MAKERS = {"nvidia.com/gpu": "NVIDIA", "aws.amazon.com/neuron": "AWS Neuron"}
_MENU = [
    menu_item("Notebooks", "/jupyter/", "book"),
    menu_item("TensorBoards", "/tensorboards/", "assessment"),
    menu_item("Volumes", "/volumes/", "device:storage"),
    menu_item("Katib Experiments", "/katib/", "kubeflow:katib"),
    menu_section(
        "Pipelines",
        "kubeflow:pipeline-centered",
        menu_item("Pipelines", "/pipeline/#/pipelines"),
        menu_item("Experiments", "/pipeline/#/experiments"),
        menu_item("Runs", "/pipeline/#/runs"),
        menu_item("Recurring Runs", "/pipeline/#/recurringruns"),
    ),
]
"""Entries of the dashboard's menu; a component with a page adds a line.

The pages of all artifacts and all executions are left out: they list the records of every team.
"""
_REGISTRIES = menu_item("Model Registry", "/model-registry/", "assignment")
_SPARK = menu_item("Spark History", f"{HISTORY_PATH}/{{ns}}/", "timeline")  # {ns}: the team that a person has selected
_QUICK_LINKS = {
    "Create a notebook": "/jupyter/new",
    "Upload a pipeline": "/pipeline/#/pipelines",
    "See the runs of pipelines": "/pipeline/#/runs",
}
_DEFINING = (
    "kubeflow/notebook_controller",
    "kubeflow/pod_defaults",
    "kubeflow/profiles",
    "kubeflow/pvcviewer_controller",
    "kubeflow/tensorboard_controller",
)


class KubeflowStack(Stack):
    """The dashboard of Kubeflow, its notebooks, volumes and TensorBoards, behind one gateway that verifies who calls.

    Its services find the load balancer and the user pool by output, so that these stacks can change by themselves.

    :param settings: of Kubeflow.
    :param services: the stack with the services of the cluster, which is deployed first.
    :param protection: its keys encrypt logs.
    :param sign_in: how people sign in.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: KubeflowSettings,
        cluster: KubernetesCluster,
        services: Stack,
        catalog: Catalog,
        protection: DataProtection,
        sign_in: SignIn,
    ) -> None:
        super().__init__(scope, id)
        self.add_stack_dependency(services)
        self._installer = Installer(self, cluster=cluster, catalog=catalog, protection=protection)
        charts = cdk8s.App()
        entry = sign_in.charts(self, self._installer, charts)
        self.applications = self._installer.deliver(
            self,
            "Applications",
            KubeflowBase(charts, "Base", namespaces=[NAMESPACE, *_needed(settings), *entry.namespaces]),
            *entry.charts,
            *self._components(charts, settings, cluster, entry.sign_out),
            definitions=[*_DEFINING, *entry.definitions],
            after=entry.after,
        )
        if sign_in.load_balancer:
            sign_in.load_balancer.allow_to_targets(Construct(self, "Targets"), cluster.security_group)

    def _components(
        self, charts: cdk8s.App, settings: KubeflowSettings, cluster: KubernetesCluster, sign_out: str
    ) -> list[ComponentChart]:
        images, placement = self._installer.images, self._installer.placement
        return [
            Profiles(
                charts,
                "Profiles",
                controller_image=images.reference("profile-controller"),
                access_image=images.reference("access-management"),
                namespace_labels=NAMESPACE_LABELS,
                placement=placement,
            ),
            Dashboard(
                charts,
                "Dashboard",
                image=images.reference("kubeflow-dashboard"),
                menu=_menu(settings),
                quick_links=_QUICK_LINKS,
                sign_out=sign_out,
                placement=placement,
            ),
            PodDefaults(charts, "PodDefaults", image=images.reference("poddefaults-webhook"), placement=placement),
            NotebookController(
                charts,
                "NotebookController",
                image=images.reference("notebook-controller"),
                idle_minutes=settings.idle_notebook_minutes,
                placement=placement,
            ),
            JupyterWebApp(
                charts,
                "JupyterWebApp",
                images=images,
                accelerators=_accelerators(cluster),
                storage_gib=settings.notebook_storage_gib,
                defaults=[STORAGE, PIPELINES],
                placement=placement,
            ),
            PvcViewerController(
                charts, "PvcViewerController", image=images.reference("pvcviewer-controller"), placement=placement
            ),
            VolumesWebApp(
                charts,
                "VolumesWebApp",
                image=images.reference("volumes-web-app"),
                viewer_image=images.reference("file-browser"),
                placement=placement,
            ),
            TensorboardController(
                charts,
                "TensorboardController",
                image=images.reference("tensorboard-controller"),
                server_image=images.reference("tensorboard"),
                placement=placement,
            ),
            TensorboardsWebApp(
                charts, "TensorboardsWebApp", image=images.reference("tensorboards-web-app"), placement=placement
            ),
            *([self._page_of_registries(charts)] if settings.model_registry else []),
        ]

    def _page_of_registries(self, charts: cdk8s.App) -> ModelRegistryPage:
        return ModelRegistryPage(
            charts,
            "ModelRegistryPage",
            image=self._installer.images.reference("model-registry-ui"),
            gateway=GATEWAY,
            placement=self._installer.placement,
        )


def _menu(settings: KubeflowSettings) -> list[Manifest]:
    return [
        *_MENU,
        *([_REGISTRIES] if settings.model_registry else []),
        *([_SPARK] if settings.spark_history else []),
    ]


def _needed(settings: KubeflowSettings) -> list[str]:
    """Namespaces of operators, which the stack of the operators finds."""
    return [*([TRAINER_NAMESPACE] if settings.trainer else []), *([QUEUES_NAMESPACE] if settings.kueue else [])]


def _accelerators(cluster: KubernetesCluster) -> list[Accelerator]:
    """One for each purpose of nodes with accelerators."""
    found: dict[str, Accelerator] = {}
    for spec in cluster.node_groups:
        if spec.device_resource:
            place = cluster.placement(spec.purpose)
            found[spec.purpose] = Accelerator(
                purpose=spec.purpose,
                resource=spec.device_resource,
                maker=_MAKERS[spec.device_resource],
                node_labels=place["nodeSelector"],
                tolerations=place["tolerations"],
            )
    return list(found.values())
