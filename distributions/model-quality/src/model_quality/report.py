"""The report of a model version: how live predictions differ from the training sample."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from model_quality.drift import Value, kolmogorov_smirnov_distance, percentile, population_stability_index
from model_quality.records import Features, Prediction
from model_quality.store import InputError

MINIMUM = 100
"""Fewer predictions than this give no measure of drift or accuracy: chance alone would look like drift."""
_PERCENT = 95


@dataclass(frozen=True, kw_only=True)
class Report:
    """The quality of a model version in one period.

    :param time: of the report; seconds since 1970.
    :param predictions: number of predictions.
    :param stability: population stability index by feature; empty for fewer than ``MINIMUM`` predictions.
    :param distance: Kolmogorov-Smirnov distance by numeric feature.
    :param labelled: predictions whose outcome is known.
    :param accuracy: share of these that were right. Default: fewer than ``MINIMUM`` outcomes are known.
    :param accuracy_at_training: for comparison. Default: not given.
    :param inference_seconds: 95th percentile of the time of inference. Default: not measured.
    :param sla_seconds: agreed limit of that. Default: none.
    """

    namespace: str
    model: str
    version: str
    time: float
    predictions: int
    stability: Mapping[str, float] = field(default_factory=dict)
    distance: Mapping[str, float] = field(default_factory=dict)
    labelled: int = 0
    accuracy: float | None = None
    accuracy_at_training: float | None = None
    inference_seconds: float | None = None
    sla_seconds: float | None = None

    @property
    def name(self) -> str:
        """Its file: reports of a version sort by time."""
        return f"{self.namespace}/{self.model}/{self.version}/{int(self.time):012d}.json"

    def to_json(self) -> str:
        """Its text."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """Read its text.

        :raises InputError: for text that is not a report.
        """
        try:
            return cls(**json.loads(text))
        except (TypeError, json.JSONDecodeError) as error:
            raise InputError(f"not a report of a model's quality: {error}; write reports with `compare` only") from None


def compare(
    sample: Sequence[Features],
    predictions: Sequence[Prediction],
    *,
    namespace: str,
    model: str,
    version: str,
    time: float,
    accuracy_at_training: float | None = None,
    sla_seconds: float | None = None,
    tolerance: float = 0,
    minimum: int = MINIMUM,
) -> Report:
    """Compare predictions with the training sample.

    :param tolerance: greatest distance from the true outcome at which a number counts as right. Default: it must equal.
    :param minimum: fewest predictions that give a measure.
    :raises InputError: for predictions that lack a feature of the sample altogether.
    """
    names = sorted({name for row in sample for name in row})
    if predictions:
        seen = {name for each in predictions for name in each.features}
        if missing := [name for name in names if name not in seen]:
            raise InputError(
                f"{model} {version}: no prediction has the feature {missing[0]!r}; log the features that the model "
                "sees, under the names of the training sample"
            )
    stability: dict[str, float] = {}
    distance: dict[str, float] = {}
    if len(predictions) >= minimum:
        for name in names:
            before = [row.get(name) for row in sample]
            after = [each.features.get(name) for each in predictions]
            stability[name] = population_stability_index(before, after)
            found = kolmogorov_smirnov_distance(before, after)
            if found is not None:
                distance[name] = found
    labelled = [each for each in predictions if each.label is not None]
    right = sum(_is_right(each.prediction, each.label, tolerance) for each in labelled)
    seconds = [each.seconds for each in predictions if each.seconds is not None]
    return Report(
        namespace=namespace,
        model=model,
        version=version,
        time=time,
        predictions=len(predictions),
        stability=stability,
        distance=distance,
        labelled=len(labelled),
        accuracy=right / len(labelled) if len(labelled) >= minimum else None,
        accuracy_at_training=accuracy_at_training,
        inference_seconds=percentile(seconds, _PERCENT) if len(seconds) >= minimum else None,
        sla_seconds=sla_seconds,
    )


def _is_right(prediction: Value, label: Value, tolerance: float) -> bool:
    if isinstance(prediction, int | float) and isinstance(label, int | float):
        return abs(prediction - label) <= tolerance
    return prediction == label
