"""Pipelines from Airflow."""
