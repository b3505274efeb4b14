import re
from dataclasses import dataclass
from typing import Any

from .._arguments import ConfigurationError, check_fields
from ..kubeflow._objects import check_image, check_name, custom_object
from ..kubeflow._pods import placement
from ._served import Resources

_ADDRESS = re.compile(r"s3://[^/\s]+/\S+")
_CRON = re.compile(r"\S+( \S+){4}")


@dataclass(frozen=True, kw_only=True)
class BatchPredictions:
    """A job that applies a model version to a data set, and writes the predictions for later use.

    It runs ``mlplatform-batch-serving``, which continues where an interrupted run stopped and writes each row once. All
    pods of one Job are the same run; each time of the schedule is a new one.

    :param image: with the Python package ``mlplatform-batch-serving`` and the libraries of the model.
    :param resources: of its pod.
    :param models: name of the model repository's bucket.
    :param model: name of the model.
    :param version: its number. Default: the newest when the run starts.
    :param data: ``s3://`` address of a data set, a file or a folder of JSON lines.
    :param predictions: ``s3://`` address of the folder below which each run has one of its own.
    :param table: DynamoDB table that gets the predictions, too. Default: none.
    :param database: name of a secret of Secrets Manager, in the form of RDS. The MySQL database that it describes gets
        the predictions, too. Default: none.
    :param database_authority: file in the image with the certificates of RDS. Default: the authorities of the image.
    :param schedule: five fields of cron, in ``time_zone``. Default: none; the Job runs once, when it is created.
    :param time_zone: Default: ``Etc/UTC``.
    :param retries: how often a failed pod is replaced. Default: 6.
    :param max_seconds: time limit of a run. Default: six hours.
    :param purpose: ``purpose`` of the node groups in the account file. Default: ``general``.
    :param service_account: with access to model, data and predictions. Default: ``batch-serving``.
    :raises ConfigurationError: for addresses or a schedule of another form.
    """

    name: str
    namespace: str
    image: str
    resources: Resources
    models: str
    model: str
    data: str
    predictions: str
    version: int | None = None
    table: str | None = None
    database: str | None = None
    database_authority: str | None = None
    schedule: str | None = None
    time_zone: str = "Etc/UTC"
    retries: int = 6
    max_seconds: int = 6 * 3600
    purpose: str = "general"
    service_account: str = "batch-serving"

    def __post_init__(self) -> None:
        place = f"BatchPredictions {self.name!r}"
        check_fields(self, place)
        # A Job of a schedule is called <name>-<eight digits>.
        check_name(place, "name", self.name, longest=52)
        for each in ("namespace", "model", "purpose", "service_account"):
            check_name(place, each, getattr(self, each))
        check_image(place, self.image)
        for each in ("data", "predictions"):
            if not _ADDRESS.fullmatch(getattr(self, each)):
                raise ConfigurationError(f"{place}: {each} must be s3://BUCKET/PATH, got {getattr(self, each)!r}")
        if self.version is not None and self.version < 1:
            raise ConfigurationError(f"{place}: version must be 1 or more, got {self.version}")
        if self.schedule is not None and not _CRON.fullmatch(self.schedule):
            raise ConfigurationError(
                f"{place}: schedule must be five fields such as '0 3 * * *', got {self.schedule!r}"
            )
        if self.database_authority is not None and not (self.database and self.database_authority.startswith("/")):
            raise ConfigurationError(
                f"{place}: database_authority must be an absolute path, next to database, got "
                f"{self.database_authority!r}"
            )
        for name, least in (("retries", 0), ("max_seconds", 1)):
            if getattr(self, name) < least:
                raise ConfigurationError(f"{place}: {name} must be {least} or more, got {getattr(self, name)}")

    def _job(self) -> dict[str, Any]:
        options = {
            "--models": self.models,
            "--model": self.model,
            "--data": self.data,
            "--predictions": self.predictions,
            "--run": "$(RUN)",
            **({"--version": str(self.version)} if self.version else {}),
            **({"--table": self.table} if self.table else {}),
            **({"--database": self.database} if self.database else {}),
            **({"--database-authority": self.database_authority} if self.database_authority else {}),
        }
        run = {"fieldRef": {"fieldPath": "metadata.labels['batch.kubernetes.io/job-name']"}}
        container = {
            "name": "predict",
            "image": self.image,
            "command": ["python", "-m", "batch_serving"],
            "args": [part for option in options.items() for part in option],
            "env": [{"name": "RUN", "valueFrom": run}],
            "resources": self.resources.to_json(),
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            },
            "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],
        }
        pod = {
            "restartPolicy": "Never",
            "serviceAccountName": self.service_account,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "fsGroup": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": self.resources.scratch}}],
            **placement(self.purpose, self.resources.gpus),
        }
        labels = {"app.kubernetes.io/name": self.name, "sidecar.istio.io/inject": "false"}
        return {
            "backoffLimit": self.retries,
            "activeDeadlineSeconds": self.max_seconds,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        }

    def to_json(self) -> dict[str, Any]:
        """A CronJob, or a Job where there is no schedule."""
        if self.schedule is None:
            return custom_object("batch/v1", "Job", self.name, self.namespace, self._job())
        spec = {
            "schedule": self.schedule,
            "timeZone": self.time_zone,
            "concurrencyPolicy": "Forbid",
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {"spec": self._job()},
        }
        return custom_object("batch/v1", "CronJob", self.name, self.namespace, spec)
