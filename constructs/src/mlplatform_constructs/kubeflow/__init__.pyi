from ._experiment import Experiment, Objective, Parameter
from ._jobs import MPIJob, PyTorchJob, RunPolicy, TFJob, XGBoostJob
from ._pods import Resources, TrainingPods
from ._spark import SparkApplication, SparkPods
from ._train_job import TrainJob
from ._workspace import Notebook, PodDefault, Profile

__all__ = [
    "Experiment",
    "MPIJob",
    "Notebook",
    "Objective",
    "Parameter",
    "PodDefault",
    "Profile",
    "PyTorchJob",
    "Resources",
    "RunPolicy",
    "SparkApplication",
    "SparkPods",
    "TFJob",
    "TrainJob",
    "TrainingPods",
    "XGBoostJob",
]
