"""Advice on jobs, and runs of jobs in AWS or locally, from notebooks and scripts."""

from mlplatform_notebook.client import Advice, Client, ClientError
from mlplatform_notebook.runs import AwsRun, LocalRun, Phase, Progress, Run, advise, cancel, follow, run, run_function

__all__ = [
    "Advice",
    "AwsRun",
    "Client",
    "ClientError",
    "LocalRun",
    "Phase",
    "Progress",
    "Run",
    "advise",
    "cancel",
    "follow",
    "run",
    "run_function",
]
