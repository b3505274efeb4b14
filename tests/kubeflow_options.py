"""An account with Kubeflow in each of its deployment options, synthesized."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.account_files import DISPOSABLE, synthesized
from tests.manifests import Delivered
from tests.references import Templates

OPTIONS = ("vanilla", "cognito", "rds-s3", "cognito-rds-s3")
STACKS = (
    "TrainingServices",
    "TrainingKubeflow",
    "TrainingKubeflowTraining",
    "TrainingKubeflowPipelines",
    "TrainingKubeflowTeams",
)
IN_AWS = ("rds-s3", "cognito-rds-s3")
ACCOUNT = (
    DISPOSABLE
    + """
[storage.lustre]
[identity.load_balancer]
{identity}
[people.ana]
email = "ana@example.com"
[people.ben]
email = "ben@example.com"
[teams.churn]
owner = "ana"
members = ["ben"]
gpu_quota = 3
[teams.fraud]
owner = "ben"
[teams.risk]
owner = "ana"
[clusters.training]
workload_identity = "{workload_identity}"
[clusters.training.kubeflow]
deployment = "{deployment}"
idle_notebook_minutes = 45
notebook_storage_gib = 7
trainer = {more}
kueue = {more}
model_registry = {more}
spark_history = {more}
"""
)
TEAMS = ("churn", "fraud", "risk")
IDENTITIES = dict(zip(OPTIONS, ("kube2iam", "irsa", "pod_identity", "pod_identity"), strict=True))
"""Each option with a strategy for AWS roles, so that all of these are seen."""
WITH_MORE = ("cognito", "rds-s3")
"""Options that are seen with Trainer, Kueue, model registries and the history of Spark."""


class Platform:
    """An account with Kubeflow, synthesized."""

    def __init__(self, folder: Path, deployment: str, *, identity: str | None = None, more: bool | None = None) -> None:
        """
        :param identity: strategy for AWS roles. Default: that of ``IDENTITIES``.
        :param more: whether Trainer, Kueue, model registries and the history of Spark are installed. Default: with
            ``WITH_MORE``.
        """
        text = ACCOUNT.format(
            deployment=deployment,
            identity="[identity.cognito]" if deployment.startswith("cognito") else "",
            workload_identity=identity or IDENTITIES[deployment],
            more=str(deployment in WITH_MORE if more is None else more).lower(),
        )
        self.synthesis = synthesized(folder, text)
        self.stacks = {stack.name.removeprefix("some-"): stack for stack in self.synthesis.templates}
        self.templates = Templates({stack.name: stack.template for stack in self.synthesis.templates})

    def objects(self, stack: str) -> list[Any]:
        return list(Delivered(self.stacks[stack].template).objects())

    def of_kind(self, stack: str, kind: str) -> dict[str, Any]:
        return {found["metadata"]["name"]: found for found in self.objects(stack) if found["kind"] == kind}

    def resources(self, stack: str, kind: str) -> dict[str, Any]:
        prefix = f"some-{stack}//"
        found = self.templates.resources(kind).items()
        return {name.removeprefix(prefix): each for name, each in found if name.startswith(prefix)}


Option = Callable[[str], Platform]
"""The account with an option, synthesized once."""
