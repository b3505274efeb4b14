"""Batch predictions: a model version, applied to a data set in S3, each row exactly once."""

from batch_serving.errors import BatchError
from batch_serving.predictor import Predictor, repository_predictor
from batch_serving.run import Run, Summary

__all__ = ["BatchError", "Predictor", "Run", "Summary", "repository_predictor"]
