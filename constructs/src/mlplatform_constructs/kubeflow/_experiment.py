import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

from .._arguments import ConfigurationError, check_fields
from ._jobs import MPIJob, PyTorchJob, TFJob, XGBoostJob
from ._objects import check_name, custom_object, given
from ._pods import TrainingPods
from ._train_job import TrainJob

_PLACEHOLDER = re.compile(r"\$\{trialParameters\.([^}]*)\}")
_METRIC = re.compile(r"\S+")
_ENDED = 'status.conditions.#(type=="{0}")#|#(status=="True")#'
_JOB_CONTAINER = "training"


@dataclass(frozen=True)
class Objective:
    """The objective of an experiment: to minimize or maximize a metric that trials print as ``name=value``.

    :param goal: the experiment ends when a trial reaches this value. Default: it ends after its trials.
    :raises ConfigurationError: for a metric name that Katib cannot find in a log.
    """

    direction: Literal["minimize", "maximize"]
    metric: str
    goal: float | None = None

    def __post_init__(self) -> None:
        check_fields(self, "Objective")
        if not _METRIC.fullmatch(self.metric):
            raise ConfigurationError(f"Objective: metric must be a word, got {self.metric!r}")

    @classmethod
    def minimize(cls, metric: str, *, goal: float | None = None) -> Self:
        """Minimize the metric."""
        return cls("minimize", metric, goal)

    @classmethod
    def maximize(cls, metric: str, *, goal: float | None = None) -> Self:
        """Maximize the metric."""
        return cls("maximize", metric, goal)


@dataclass(frozen=True)
class Parameter:
    """A parameter of an experiment. Trials read it as ``${trialParameters.<name>}``.

    Use :meth:`double`, :meth:`integer` or :meth:`choice`.
    """

    name: str
    kind: Literal["double", "int", "categorical"]
    low: float | None = None
    high: float | None = None
    step: float | None = None
    scale: Literal["uniform", "logUniform"] = "uniform"
    values: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        place = f"Parameter {self.name!r}"
        check_fields(self, place)
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", self.name):
            raise ConfigurationError(f"{place}: the name must be letters, digits, '_' and '-', beginning with a letter")
        if self.kind == "categorical":
            if len(set(self.values)) < 2:
                raise ConfigurationError(f"{place}: needs two different values or more, got {list(self.values)}")
            return
        assert self.low is not None
        assert self.high is not None
        if not self.low < self.high:
            raise ConfigurationError(f"{place}: low must be less than high, got {self.low} and {self.high}")
        if self.step is not None and not 0 < self.step <= self.high - self.low:
            raise ConfigurationError(f"{place}: step must be above 0 and fit between low and high, got {self.step}")
        if self.scale == "logUniform" and self.low <= 0:
            raise ConfigurationError(f"{place}: low must be above 0 on a logarithmic scale, got {self.low}")

    @classmethod
    def double(
        cls, name: str, low: float, high: float, *, step: float | None = None, logarithmic: bool = False
    ) -> Self:
        """A real number from ``low`` to ``high``."""
        return cls(name, "double", low, high, step, "logUniform" if logarithmic else "uniform")

    @classmethod
    def integer(cls, name: str, low: int, high: int, *, step: int | None = None) -> Self:
        """A whole number from ``low`` to ``high``."""
        for value in (low, high, step):
            if isinstance(value, float):
                raise ConfigurationError(f"Parameter {name!r}: must have whole numbers, got {value}")
        return cls(name, "int", low, high, step)

    @classmethod
    def choice(cls, name: str, *values: str) -> Self:
        """One of some values."""
        return cls(name, "categorical", values=values)

    def to_json(self) -> dict[str, Any]:
        """The parameter in Katib's format, with numbers as strings."""
        space: dict[str, Any] = {"list": list(self.values)}
        if self.kind != "categorical":
            numbers = {"min": self.low, "max": self.high, "step": self.step}
            space = {key: str(value) for key, value in numbers.items() if value is not None}
            if self.scale != "uniform":
                space["distribution"] = self.scale
        return {"name": self.name, "parameterType": self.kind, "feasibleSpace": space}


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A hyperparameter search: Katib runs the trial repeatedly with different values.

    :param objective: the metric to optimize.
    :param parameters: the parameters, each of which the trial must use.
    :param trial: the workload of a trial: pods for a plain Job, or a job of another kind, whose name is ignored.
    :param algorithm: the search algorithm. Default: ``tpe``, which learns from previous trials.
    :param settings: settings of the algorithm. Default: Katib's defaults.
    :param max_trials: number of trials after which the experiment ends. Default: 12.
    :param parallel_trials: number of concurrent trials. Default: 3.
    :param max_failed_trials: number of failed trials after which the experiment fails. Default: 3, or
        ``max_trials``, which it cannot exceed.
    :param metrics_file: file to which the trial writes its metrics. Default: it prints them.
    :raises ConfigurationError: for parameters and placeholders that do not match, or numbers out of range.
    """

    ALGORITHMS: ClassVar[tuple[str, ...]] = (
        "bayesianoptimization",
        "cmaes",
        "grid",
        "hyperband",
        "multivariate-tpe",
        "random",
        "sobol",
        "tpe",
    )

    name: str
    namespace: str
    objective: Objective
    parameters: tuple[Parameter, ...]
    trial: TrainingPods | TFJob | PyTorchJob | XGBoostJob | MPIJob | TrainJob
    algorithm: str = "tpe"
    settings: Mapping[str, str] = field(default_factory=dict)
    max_trials: int = 12
    parallel_trials: int = 3
    max_failed_trials: int | None = None
    metrics_file: str | None = None

    def __post_init__(self) -> None:
        place = f"Experiment {self.name!r}"
        check_fields(self, place)
        # Katib calls trials <name>-<eight characters>, and their pods have the longest suffix of their kind.
        check_name(place, "name", self.name, longest=40)
        check_name(place, "namespace", self.namespace)
        if self.algorithm not in self.ALGORITHMS:
            raise ConfigurationError(
                f"{place}: algorithm must be one of {', '.join(self.ALGORITHMS)}, got {self.algorithm!r}"
            )
        for each, least in (("max_trials", 1), ("parallel_trials", 1), ("max_failed_trials", 0)):
            value = getattr(self, each)
            if value is None:
                continue
            if value < least:
                raise ConfigurationError(f"{place}: {each} must be {least} or more, got {value}")
            if value > self.max_trials:
                raise ConfigurationError(f"{place}: {each} must not exceed max_trials, {self.max_trials}, got {value}")
        self._check_parameters(place)

    def _check_parameters(self, place: str) -> None:
        names = [parameter.name for parameter in self.parameters]
        if not names:
            raise ConfigurationError(f"{place}: parameters is empty; give at least one")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigurationError(f"{place}: parameter {twice[0]!r} is defined twice; remove one")
        used = set(_PLACEHOLDER.findall(json.dumps(self._trial()[0])))
        if unknown := sorted(used - set(names)):
            raise ConfigurationError(
                f"{place}: trial: ${{trialParameters.{unknown[0]}}} is not a parameter; use one of {', '.join(names)}"
            )
        if unused := sorted(set(names) - used):
            raise ConfigurationError(
                f"{place}: trial: does not use parameter {unused[0]!r}; write ${{trialParameters.{unused[0]}}} into "
                "its arguments"
            )

    def _trial(self) -> tuple[dict[str, Any], str, dict[str, str]]:
        """The job without its name, the container that reports metrics, and the labels of its pod."""
        if isinstance(self.trial, TrainingPods):
            template = self.trial.template(_JOB_CONTAINER, restartPolicy="Never")
            spec = {"backoffLimit": 0, "template": template}
            return {"apiVersion": "batch/v1", "kind": "Job", "spec": spec}, _JOB_CONTAINER, {}
        found = self.trial.to_json()
        job = {**found, "metadata": given(labels=found["metadata"].get("labels", {}))}
        if not job["metadata"]:
            del job["metadata"]
        if isinstance(self.trial, TrainJob):
            first = {"batch.kubernetes.io/job-completion-index": "0"}
            return job, "node", {"jobset.sigs.k8s.io/replicatedjob-name": self.trial.job, **first}
        labels = {"training.kubeflow.org/job-role": self.trial.PRIMARY}
        return job, self.trial.CONTAINER, labels

    def to_json(self) -> dict[str, Any]:
        """The object."""
        job, container, labels = self._trial()
        completes = job["kind"] in ("Job", "TrainJob")
        collector = {
            "collector": {"kind": "File"},
            "source": {"fileSystemPath": {"path": self.metrics_file, "kind": "File"}},
        }
        spec = {
            "objective": {
                "type": self.objective.direction,
                "objectiveMetricName": self.objective.metric,
                **({} if self.objective.goal is None else {"goal": self.objective.goal}),
            },
            "algorithm": {
                "algorithmName": self.algorithm,
                **given(algorithmSettings=[{"name": key, "value": value} for key, value in self.settings.items()]),
            },
            "parameters": [parameter.to_json() for parameter in self.parameters],
            "maxTrialCount": self.max_trials,
            "parallelTrialCount": self.parallel_trials,
            "maxFailedTrialCount": min(3, self.max_trials)
            if self.max_failed_trials is None
            else self.max_failed_trials,
            **({"metricsCollectorSpec": collector} if self.metrics_file else {}),
            "trialTemplate": {
                "primaryContainerName": container,
                **given(primaryPodLabels=labels),
                "successCondition": _ENDED.format("Complete" if completes else "Succeeded"),
                "failureCondition": _ENDED.format("Failed"),
                "trialParameters": [
                    {"name": parameter.name, "reference": parameter.name} for parameter in self.parameters
                ],
                "trialSpec": job,
            },
        }
        return custom_object("kubeflow.org/v1beta1", "Experiment", self.name, self.namespace, spec)
