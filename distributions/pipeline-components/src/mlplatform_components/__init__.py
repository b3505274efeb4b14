"""Components of Kubeflow Pipelines for the platform, and the functions behind them.

The functions take boto3 clients and need no Kubeflow, so notebooks, Airflow and tests use them, too. Pipelines take
:class:`mlplatform_components.components.Components`, which needs the extra ``pipelines``.
"""

from mlplatform_components.emr import ClusterSpec, Fleet, SparkStep
from mlplatform_components.emr_on_eks import SparkJobOnEks
from mlplatform_components.emr_serverless import ServerlessSparkJob
from mlplatform_components.errors import ComponentError, JobFailed, NotDeleted, TimedOut
from mlplatform_components.kubernetes import KubernetesApi
from mlplatform_components.runs import MachineClient, PipelinesApi
from mlplatform_components.sagemaker import Placement, ProcessingJob, TrainingJob
from mlplatform_components.serving import ModelServer
from mlplatform_components.waiting import Patience

__all__ = [
    "ClusterSpec",
    "ComponentError",
    "Fleet",
    "JobFailed",
    "KubernetesApi",
    "MachineClient",
    "ModelServer",
    "NotDeleted",
    "Patience",
    "PipelinesApi",
    "Placement",
    "ProcessingJob",
    "ServerlessSparkJob",
    "SparkJobOnEks",
    "SparkStep",
    "TimedOut",
    "TrainingJob",
]
