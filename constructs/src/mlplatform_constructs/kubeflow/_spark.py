import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, ClassVar, Literal

from .._arguments import ConfigurationError, check_fields
from ._objects import check_environment, check_image, check_name, custom_object, given, variables
from ._pods import TrainingPods

_MEMORY = re.compile(r"[1-9][0-9]*[mg]")
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_USER = 185  # of the images of Spark
_DECOMMISSIONING = (
    "spark.decommission.enabled",
    "spark.storage.decommission.enabled",
    "spark.storage.decommission.rddBlocks.enabled",
    "spark.storage.decommission.shuffleBlocks.enabled",
)
_CREDENTIALS = (
    "software.amazon.awssdk.auth.credentials.ContainerCredentialsProvider",  # Pod Identity
    "software.amazon.awssdk.auth.credentials.WebIdentityTokenFileCredentialsProvider",  # IRSA
)
_FILE_SYSTEM = "spark.hadoop.fs.s3a.aws.credentials.provider"
_CONTAINER = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": _USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}
_KINDS = {".py": "Python", ".jar": "Java", ".r": "R"}


@dataclass(frozen=True, kw_only=True)
class SparkPods:
    """The driver, or the executors.

    :param cores: of each pod. Default: 1.
    :param memory: heap of each pod in Spark's words, such as ``4g`` or ``512m``; the pod gets a part more. Default:
        ``1g``.
    :param instances: how many executors at first; there is one driver. Default: 1.
    :param max_instances: executors at most, when Spark adds and removes them by itself. Default: it does not.
    :param purpose: ``purpose`` of the node groups in the account file. Default: ``general``.
    :param capacity: ``spot`` or ``on_demand`` nodes only, of node groups and of Karpenter alike. Default: ``any``.
    :param environment: variables. Default: none.
    :raises ConfigurationError: for numbers out of range.
    """

    cores: int = 1
    memory: str = "1g"
    instances: int = 1
    max_instances: int | None = None
    purpose: str = TrainingPods.GENERAL
    capacity: Literal["any", "on_demand", "spot"] = "any"
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        place = type(self).__name__
        check_fields(self, place)
        check_name(place, "purpose", self.purpose)
        check_environment(place, self.environment)
        for name in ("cores", "instances"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{place}: {name} must be 1 or more, got {getattr(self, name)}")
        if not _MEMORY.fullmatch(self.memory):
            raise ConfigurationError(f"{place}: memory must be as Spark writes it, such as '4g', got {self.memory!r}")
        if self.max_instances is not None and self.max_instances < self.instances:
            raise ConfigurationError(
                f"{place}: max_instances must be {self.instances} or more, the number of instances, got "
                f"{self.max_instances}"
            )

    def to_json(self) -> dict[str, Any]:
        """What driver and executors share."""
        placement: dict[str, Any] = {}
        if self.purpose != TrainingPods.GENERAL:
            taint = {"key": TrainingPods.PURPOSE_LABEL, "value": self.purpose, "effect": "NoSchedule"}
            placement = {
                "nodeSelector": {TrainingPods.PURPOSE_LABEL: self.purpose},
                "tolerations": [{"operator": "Equal", **taint}],
            }
        if self.capacity != "any":
            placement["affinity"] = _on_capacity(self.capacity)
        return {
            "cores": self.cores,
            "memory": self.memory,
            **given(env=variables(self.environment)),
            "labels": {"sidecar.istio.io/inject": "false"},
            "securityContext": dict(_CONTAINER),
            **placement,
        }


def _on_capacity(capacity: str) -> dict[str, Any]:
    """EKS and Karpenter label nodes each in their own way."""
    labels = {
        "eks.amazonaws.com/capacityType": capacity.upper(),
        "karpenter.sh/capacity-type": capacity.replace("_", "-"),
    }
    terms = [{"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]} for key, value in labels.items()]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


@dataclass(frozen=True, kw_only=True)
class SparkApplication:
    """A Spark program, which the Spark operator submits.

    Executors on spot capacity hand their cached and shuffled data to others when AWS reclaims their node. Addresses in
    S3 are read with the role of the service account, for which the image needs ``hadoop-aws``. The driver serves the
    metrics of executors to Prometheus at its port ``spark-ui``.

    - ``page``: path of the pages of the running program, at the gateway of a Kubeflow with ``spark_history``. The pages
      are read-only; to stop the program, delete the object.

    :param image: with Spark; a tag or a digest, and not ``latest``.
    :param spark_version: of the image, such as ``4.0.1``.
    :param main: the program: a ``.py``, ``.jar`` or ``.R`` file in the image (``local:///opt/app/main.py``) or at an
        address that Spark can read (``s3a://...``).
    :param main_class: of a ``.jar``.
    :param arguments: of the program. Default: none.
    :param driver: Default: one core, 1 GiB.
    :param executor: Default: one executor with one core and 1 GiB.
    :param settings: properties of Spark, such as ``{"spark.sql.shuffle.partitions": "64"}``. Default: none.
    :param event_log: folder for the history of the program, which an init container of the driver creates. The history
        server of a team reads ``s3a://<bucket>/<team>/spark-events`` (:meth:`events_of`). Default: none is kept.
    :param retries: how often a failed program is submitted again. Default: 0.
    :param service_account: of the driver, with the right to create pods. Default: ``default-editor``.
    :raises ConfigurationError: for a program that is none, a class without a jar, or settings that the fields decide.
    """

    OWN_SETTINGS: ClassVar[Mapping[str, str]] = {
        "spark.executor.instances": "executor",
        "spark.executor.cores": "executor",
        "spark.executor.memory": "executor",
        "spark.driver.cores": "driver",
        "spark.driver.memory": "driver",
        "spark.dynamicAllocation.enabled": "executor",
    }
    EVENTS: ClassVar[str] = "spark-events"
    """Folder of event logs that the history server of a team reads, below the team's prefix of the bucket."""

    name: str
    namespace: str
    image: str
    spark_version: str
    main: str
    main_class: str | None = None
    arguments: tuple[str, ...] = ()
    driver: SparkPods = field(default_factory=SparkPods)
    executor: SparkPods = field(default_factory=SparkPods)
    settings: Mapping[str, str] = field(default_factory=dict)
    event_log: str | None = None
    retries: int = 0
    service_account: str = "default-editor"

    def __post_init__(self) -> None:
        place = f"SparkApplication {self.name!r}"
        check_fields(self, place)
        # The Service of the driver is called <name>-<...>-driver-svc, and labels hold the name.
        check_name(place, "name", self.name, longest=50)
        check_name(place, "namespace", self.namespace)
        check_image(place, self.image)
        if not _VERSION.fullmatch(self.spark_version):
            raise ConfigurationError(
                f"{place}: spark_version must have three numbers such as '4.0.1', got {self.spark_version!r}"
            )
        if self._suffix not in _KINDS:
            raise ConfigurationError(f"{place}: main must be a .py, .jar or .R file, got {self.main!r}")
        if bool(self.main_class) != (self._suffix == ".jar"):
            raise ConfigurationError(f"{place}: main_class must be given for a .jar and for nothing else")
        if self.driver.instances != 1 or self.driver.max_instances is not None:
            raise ConfigurationError(f"{place}: driver: there is one; leave instances and max_instances out")
        for key in self.settings:
            if key in self.OWN_SETTINGS:
                raise ConfigurationError(f"{place}: settings: {key!r} follows from {self.OWN_SETTINGS[key]}; use that")
        if self.driver.capacity == "spot":
            raise ConfigurationError(
                f"{place}: driver: capacity must be 'on_demand' or 'any', because the program ends with its driver, "
                "got 'spot'"
            )
        if self.event_log is not None and not self.event_log.startswith("s3a://"):
            raise ConfigurationError(f"{place}: event_log must start with 's3a://', got {self.event_log!r}")
        if self.retries < 0:
            raise ConfigurationError(f"{place}: retries must be 0 or more, got {self.retries}")

    @classmethod
    def events_of(cls, artifacts: str) -> str:
        """The folder of event logs that the history server of a team reads, for ``event_log``.

        :param artifacts: address of the team's artifacts, as its pods have it in ``MLPLATFORM_ARTIFACTS``, such as
            ``s3://bucket/churn/``.
        :raises ConfigurationError: for anything but an address in S3.
        """
        if not artifacts.startswith("s3://"):
            raise ConfigurationError(f"{cls.__name__}: artifacts must start with 's3://', got {artifacts!r}")
        return f"s3a://{artifacts.removeprefix('s3://').rstrip('/')}/{cls.EVENTS}"

    @property
    def page(self) -> str:
        """Path of the pages of the running program."""
        return f"/spark/{self.namespace}/{self.name}/"

    @property
    def _suffix(self) -> str:
        return PurePosixPath(self.main).suffix.lower()

    def to_json(self) -> dict[str, Any]:
        """The object."""
        restart: dict[str, Any] = {"type": "Never"}
        if self.retries:
            restart = {
                "type": "OnFailure",
                "onFailureRetries": self.retries,
                "onFailureRetryInterval": 30,
                "onSubmissionFailureRetries": self.retries,
                "onSubmissionFailureRetryInterval": 30,
            }
        spec = {
            "type": _KINDS[self._suffix],
            "mode": "cluster",
            "image": self.image,
            "sparkVersion": self.spark_version,
            "mainApplicationFile": self.main,
            **given(
                mainClass=self.main_class,
                arguments=list(self.arguments),
                sparkConf={**self._own_settings(), **self.settings},
            ),
            "restartPolicy": restart,
            "driver": {
                **self.driver.to_json(),
                "serviceAccount": self.service_account,
                **given(initContainers=self._folder_of_events()),
            },
            "executor": {**self.executor.to_json(), "instances": self.executor.instances},
            **self._dynamic(),
        }
        return custom_object("sparkoperator.k8s.io/v1beta2", "SparkApplication", self.name, self.namespace, spec)

    def _own_settings(self) -> dict[str, str]:
        """https://spark.apache.org/docs/4.0.1/configuration.html

        https://hadoop.apache.org/docs/r3.4.1/hadoop-aws/tools/hadoop-aws/authentication.html
        """
        found = {"spark.ui.prometheus.enabled": "true"}
        if self.executor.capacity == "spot":
            found |= dict.fromkeys(_DECOMMISSIONING, "true")
        if any(address.startswith("s3a://") for address in (self.main, self.event_log or "", *self.arguments)):
            found[_FILE_SYSTEM] = ",".join(_CREDENTIALS)
        if self.event_log:
            found |= {
                "spark.eventLog.enabled": "true",
                "spark.eventLog.dir": self.event_log,
                "spark.eventLog.rolling.enabled": "true",
            }
        return found

    def _folder_of_events(self) -> list[dict[str, Any]]:
        """The init container that creates the folder of the event log.

        Spark fails if the folder does not exist, and a folder in S3 does not exist before its first file.
        """
        if self.event_log is None:
            return []
        providers = f"-D{_FILE_SYSTEM.removeprefix('spark.hadoop.')}={','.join(_CREDENTIALS)}"
        return [
            {
                "name": "event-log",
                "image": self.image,
                "command": ["/opt/spark/bin/spark-class", "org.apache.hadoop.fs.FsShell"],
                "args": [providers, "-mkdir", "-p", self.event_log],
                "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "512Mi"}},
                "securityContext": dict(_CONTAINER),
            }
        ]

    def _dynamic(self) -> dict[str, Any]:
        if self.executor.max_instances is None:
            return {}
        return {
            "dynamicAllocation": {
                "enabled": True,
                "initialExecutors": self.executor.instances,
                "minExecutors": self.executor.instances,
                "maxExecutors": self.executor.max_instances,
                "shuffleTrackingEnabled": True,  # there is no external shuffle service on Kubernetes
            }
        }
