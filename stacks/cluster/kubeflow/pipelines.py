import cdk8s
from aws_cdk import Stack
from constructs import Construct

from charts.base.storage_classes.objects import SHARED_CLASS
from charts.catalog import Catalog
from charts.kit.chart import ComponentChart
from charts.kit.kubeflow import GATEWAY
from charts.kubeflow.argo_workflows.objects import ArgoWorkflows
from charts.kubeflow.katib.objects import JOB, TRAIN_JOB, TRAINING_JOBS, Katib
from charts.kubeflow.metadata_store.objects import MetadataStore
from charts.kubeflow.pipelines.objects import Images as PipelinesImages
from charts.kubeflow.pipelines.objects import Pipelines
from config.kubeflow import Kubeflow as KubeflowSettings
from mlplatform_constructs import KubernetesCluster
from stacks._wiring.data_protection import DataProtection

from ..._wiring.installer import Installer
from .state import State, StateCharts

_DEFINING = ("kubeflow/argo_workflows", "kubeflow/pipelines", "kubeflow/katib")


class KubeflowPipelinesStack(Stack):
    """Pipelines with the workflow controller and the metadata store, Katib, and the place of their state.

    - ``state``: where they keep it, which the workspaces of teams refer to.

    :param settings: of Kubeflow.
    :param training: the stack of the operators whose jobs Katib runs as trials, which is deployed first.
    :param protection: its keys encrypt logs.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: KubeflowSettings,
        cluster: KubernetesCluster,
        training: Stack,
        state: State,
        catalog: Catalog,
        protection: DataProtection,
    ) -> None:
        super().__init__(scope, id)
        self.add_stack_dependency(training)
        self._installer = Installer(self, cluster=cluster, catalog=catalog, protection=protection)
        charts = cdk8s.App()
        self.state: StateCharts = state.charts(self, self._installer, charts)
        self._installer.deliver(
            self,
            "Pipelines",
            *self.state.charts,
            *self._pipelines(charts),
            self._katib(charts, settings),
            definitions=_DEFINING,
            after=self.state.after,
        )

    def _pipelines(self, charts: cdk8s.App) -> list[ComponentChart]:
        image, placement = self._installer.images.reference, self._installer.placement
        databases, artifacts = self.state.databases, self.state.artifacts
        return [
            ArgoWorkflows(
                charts,
                "ArgoWorkflows",
                controller_image=image("argo-workflow-controller"),
                executor_image=image("argo-executor"),
                artifacts=artifacts,
                placement=placement,
            ),
            MetadataStore(
                charts,
                "MetadataStore",
                server_image=image("ml-metadata"),
                proxy_image=image("metadata-envoy"),
                database=databases["metadata"],
                gateway=GATEWAY,
                placement=placement,
            ),
            Pipelines(
                charts,
                "Pipelines",
                images=PipelinesImages.of(self._installer.images),
                database=databases["pipelines"],
                cache=databases["cache"],
                artifacts=artifacts,
                gateway=GATEWAY,
                placement=placement,
            ),
        ]

    def _katib(self, charts: cdk8s.App, settings: KubeflowSettings) -> Katib:
        return Katib(
            charts,
            "Katib",
            images=self._installer.images,
            database=self.state.databases["katib"],
            gateway=GATEWAY,
            kinds=[JOB, *TRAINING_JOBS, *([TRAIN_JOB] if settings.trainer else [])],
            shared_storage_class=SHARED_CLASS,
            placement=self._installer.placement,
        )
