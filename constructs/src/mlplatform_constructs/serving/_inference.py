from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .._arguments import ConfigurationError, check_fields
from ..kubeflow._objects import check_environment, check_name, custom_object, given, variables
from ..kubeflow._pods import placement
from ._defaults import ServingDefaults
from ._scaling import Scaling
from ._served import ModelSource, Resources

Format = Literal["huggingface", "lightgbm", "mlflow", "onnx", "sklearn", "tensorflow", "xgboost"]
_MODE = {"serving.kserve.io/deploymentMode": "Standard"}


@dataclass(frozen=True, kw_only=True)
class InferenceService:
    """A model served by KServe as a plain Deployment, with the Open Inference Protocol.

    :param model_format: by which KServe chooses the server.
    :param model: the files.
    :param resources: of each replica.
    :param replicas: how many pods, or the autoscaler that owns the number. KServe's own autoscaler knows one metric,
        CPU or memory. Default: 2.
    :param purpose: ``purpose`` of the node groups in the account file. Default: ``general``.
    :param environment: variables of the server. Default: none.
    :param defaults: what keeps it available. Default: those of :class:`ServingDefaults`.
    :param service_account: with access to the model repository. Default: ``model-server``.
    :raises ConfigurationError: for a metric that KServe does not know, or GPUs on nodes without.
    """

    name: str
    namespace: str
    model_format: Format
    model: ModelSource
    resources: Resources
    replicas: int | Scaling = 2
    purpose: str = "general"
    environment: Mapping[str, str] = field(default_factory=dict)
    defaults: ServingDefaults = field(default_factory=ServingDefaults)
    service_account: str = "model-server"

    def __post_init__(self) -> None:
        place = f"InferenceService {self.name!r}"
        check_fields(self, place)
        check_name(place, "name", self.name, longest=50)
        for each in ("namespace", "purpose", "service_account"):
            check_name(place, each, getattr(self, each))
        check_environment(place, self.environment)
        if isinstance(self.replicas, int) and self.replicas < 1:
            raise ConfigurationError(f"{place}: replicas must be 1 or more, got {self.replicas}")
        if isinstance(self.replicas, Scaling):
            kinds = [metric.kind for metric in self.replicas.metrics]
            if len(kinds) != 1 or kinds[0] not in ("cpu", "memory"):
                raise ConfigurationError(
                    f"{place}: replicas: KServe's autoscaler takes one metric, cpu or memory, got {', '.join(kinds)}; "
                    "use SeldonDeployment or ModelServer for others"
                )
        if self.resources.gpus and self.purpose == "general":
            raise ConfigurationError(f"{place}: GPUs need nodes that have some; give purpose, such as 'inference'")

    @property
    def prediction_url(self) -> str:
        """Address of the Service inside the cluster."""
        return f"http://{self.name}-predictor.{self.namespace}.svc.cluster.local/v2/models/{self.name}/infer"

    def _replicas(self) -> dict[str, Any]:
        if isinstance(self.replicas, int):
            return {"minReplicas": self.replicas, "maxReplicas": self.replicas}
        (metric,) = self.replicas.metrics
        return {
            "minReplicas": self.replicas.least,
            "maxReplicas": self.replicas.most,
            "scaleMetric": metric.kind,
            "scaleTarget": int(metric.target),
            "scaleMetricType": "Utilization",
        }

    def to_json(self) -> dict[str, Any]:
        """The object of KServe."""
        check = {"httpGet": {"path": f"/v2/models/{self.name}/ready", "port": 8080}}
        model = {
            "modelFormat": {"name": self.model_format},
            "protocolVersion": "v2",
            "storageUri": self.model.uri,
            "resources": self.resources.to_json(),
            "lifecycle": self.defaults.pre_stop,
            **self.defaults.probes(check),
            **given(env=variables(self.environment)),
        }
        labels = {"serving.kserve.io/inferenceservice": self.name}
        predictor = {
            **self._replicas(),
            "model": model,
            "serviceAccountName": self.service_account,
            "terminationGracePeriodSeconds": self.defaults.grace_seconds,
            "timeout": self.defaults.request_seconds,
            "deploymentStrategy": self.defaults.rollout,
            "topologySpreadConstraints": [self.defaults.spread(labels)],
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            **placement(self.purpose, self.resources.gpus),
        }
        return custom_object(
            "serving.kserve.io/v1beta1",
            "InferenceService",
            self.name,
            self.namespace,
            {"predictor": predictor},
            annotations={**_MODE, "serving.kserve.io/autoscalerClass": self._autoscaler},
        )

    @property
    def _autoscaler(self) -> str:
        return "hpa" if isinstance(self.replicas, Scaling) else "none"

    def objects(self) -> list[dict[str, Any]]:
        """The InferenceService, and its disruption budget."""
        budget = {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {
                "maxUnavailable": 1,
                "selector": {"matchLabels": {"serving.kserve.io/inferenceservice": self.name}},
            },
        }
        return [self.to_json(), budget]


@dataclass(frozen=True, kw_only=True)
class InferenceSplit:
    """A canary or A/B test of KServe: an InferenceGraph that divides requests between InferenceServices by weight.

    :param weights: percentage by name of the InferenceService.
    :raises ConfigurationError: for weights that do not sum to 100.
    """

    name: str
    namespace: str
    weights: Mapping[str, int]

    def __post_init__(self) -> None:
        place = f"InferenceSplit {self.name!r}"
        check_fields(self, place)
        check_name(place, "name", self.name, longest=50)
        check_name(place, "namespace", self.namespace)
        for service, weight in self.weights.items():
            check_name(place, "weights", service)
            if not 0 < weight <= 100:
                raise ConfigurationError(f"{place}: weights[{service!r}] must be 1 to 100, got {weight}")
        if sum(self.weights.values()) != 100:
            written = ", ".join(f"{name}={weight}" for name, weight in self.weights.items())
            raise ConfigurationError(
                f"{place}: weights must sum to 100, got {sum(self.weights.values())} ({written or 'none'})"
            )
        if self.name in self.weights:
            raise ConfigurationError(f"{place}: name is also that of an InferenceService; choose another")

    @property
    def prediction_url(self) -> str:
        """Address of the router inside the cluster."""
        return f"http://{self.name}.{self.namespace}.svc.cluster.local"

    def to_json(self) -> dict[str, Any]:
        """The object of KServe."""
        steps = [
            {"name": service, "serviceName": service, "weight": weight} for service, weight in self.weights.items()
        ]
        spec = {"nodes": {"root": {"routerType": "Splitter", "steps": steps}}}
        return custom_object(
            "serving.kserve.io/v1alpha1", "InferenceGraph", self.name, self.namespace, spec, annotations=_MODE
        )

    def objects(self) -> list[dict[str, Any]]:
        """The InferenceGraph."""
        return [self.to_json()]
