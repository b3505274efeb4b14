"""Pipelines: iterative training, and the way from raw data to a served model."""
