"""Compares live predictions of a model with its training sample, and publishes the result as metrics."""

from model_quality.drift import kolmogorov_smirnov_distance, percentile, population_stability_index
from model_quality.exporter import exposition, serve
from model_quality.records import Prediction, read_predictions, read_sample
from model_quality.report import Report, compare
from model_quality.store import InputError, store_at

__all__ = [
    "InputError",
    "Prediction",
    "Report",
    "compare",
    "exposition",
    "kolmogorov_smirnov_distance",
    "percentile",
    "population_stability_index",
    "read_predictions",
    "read_sample",
    "serve",
    "store_at",
]
