from ._batch import BatchPredictions
from ._defaults import ServingDefaults
from ._graph import Explainer, GraphStep, ModelContainer, PrepackagedServer
from ._inference import InferenceService, InferenceSplit
from ._model_server import LocalModel, ModelServer, Sidecar
from ._scaling import Metric, ScaleFromZero, Scaling, Trigger
from ._seldon import Predictor, SeldonDeployment
from ._served import ModelSource, Resources, ServedModel

__all__ = [
    "BatchPredictions",
    "Explainer",
    "GraphStep",
    "InferenceService",
    "InferenceSplit",
    "LocalModel",
    "Metric",
    "ModelContainer",
    "ModelServer",
    "ModelSource",
    "Predictor",
    "PrepackagedServer",
    "Resources",
    "ScaleFromZero",
    "Scaling",
    "SeldonDeployment",
    "ServedModel",
    "ServingDefaults",
    "Sidecar",
    "Trigger",
]
