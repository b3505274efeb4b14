import cdk8s
from aws_cdk import Stack
from constructs import Construct

from charts.catalog import Catalog
from charts.kit.chart import ComponentChart
from charts.kubeflow.jobset.objects import JobSet
from charts.kubeflow.kueue.objects import JOB, JOB_SET, TRAIN_JOB, TRAINING_JOBS, Kueue
from charts.kubeflow.mpi_operator.objects import MpiOperator
from charts.kubeflow.spark_operator.objects import SparkOperator
from charts.kubeflow.trainer.objects import Trainer
from charts.kubeflow.training_operator.objects import TrainingOperator
from charts.serving.kserve.objects import KServe
from config.kubeflow import Kubeflow as KubeflowSettings
from mlplatform_constructs import KubernetesCluster
from stacks._wiring.data_protection import DataProtection

from ..._wiring.installer import Installer


class KubeflowTrainingStack(Stack):
    """The operators of Kubeflow that run training jobs and Spark programs, the queues of these jobs, and KServe.

    :param settings: of Kubeflow.
    :param applications: the stack with the namespaces of Kubeflow, which is deployed first.
    :param protection: its keys encrypt logs.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: KubeflowSettings,
        cluster: KubernetesCluster,
        applications: Stack,
        catalog: Catalog,
        protection: DataProtection,
    ) -> None:
        super().__init__(scope, id)
        self.add_stack_dependency(applications)
        self._installer = Installer(self, cluster=cluster, catalog=catalog, protection=protection)
        components = self._components(settings)
        self._installer.deliver(self, "Operators", *components.values(), definitions=list(components))

    def _components(self, settings: KubeflowSettings) -> dict[str, ComponentChart]:
        """The charts by the name of their component in the catalog, which has their definitions."""
        charts = cdk8s.App()
        images, placement = self._installer.images, self._installer.placement
        found: dict[str, ComponentChart] = {
            "kubeflow/training_operator": TrainingOperator(
                charts,
                "TrainingOperator",
                image=images.reference("training-operator"),
                shell_image=images.reference("busybox"),
                placement=placement,
            ),
            "kubeflow/mpi_operator": MpiOperator(
                charts, "MpiOperator", image=images.reference("mpi-operator"), placement=placement
            ),
            "kubeflow/spark_operator": SparkOperator(
                charts, "SparkOperator", image=images.reference("spark-operator"), placement=placement
            ),
        }
        if settings.trainer:
            found["kubeflow/jobset"] = JobSet(charts, "JobSet", image=images.reference("jobset"), placement=placement)
            found["kubeflow/trainer"] = Trainer(charts, "Trainer", images=images, placement=placement)
        if settings.kueue:
            kinds = [JOB, *TRAINING_JOBS, *([JOB_SET, TRAIN_JOB] if settings.trainer else [])]
            image = images.reference("kueue")
            found["kubeflow/kueue"] = Kueue(charts, "Kueue", image=image, kinds=kinds, placement=placement)
        if settings.kserve:
            found["serving/kserve"] = KServe(charts, "KServe", images=images, teams=True, placement=placement)
        return found
