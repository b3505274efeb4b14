"""Training and processing on SageMaker, for bursts that the platform's own nodes cannot take."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from mlplatform_components.errors import ComponentError, JobFailed
from mlplatform_components.json_values import whole_numbers
from mlplatform_components.waiting import Patience

_ENDED = ("Completed", "Failed", "Stopped")
_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
LOCAL_DISKS = (
    "ml.*d.*",
    "ml.*dn.*",
    "ml.*de.*",
    "ml.g5.*",
    "ml.g6.*",
    "ml.g6e.*",
    "ml.p5.*",
    "ml.p5e.*",
    "ml.p5en.*",
    "ml.p6*",
    "ml.trn1.*",
    "ml.trn1n.*",
    "ml.trn2.*",
)
"""Instance types whose own disks encrypt by hardware. SageMaker refuses a job that names a key for them.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ResourceConfig.html
"""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where the instances of a job are.

    :param role_arn: execution role of the job.
    :param subnet_ids: private subnets.
    :param security_group_ids: security groups.
    :param key_arn: KMS key of volumes and outputs. Instance types of ``LOCAL_DISKS`` encrypt their disks by hardware.
    """

    role_arn: str
    subnet_ids: tuple[str, ...]
    security_group_ids: tuple[str, ...]
    key_arn: str

    def __post_init__(self) -> None:
        for name in ("subnet_ids", "security_group_ids"):
            if not getattr(self, name):
                raise ComponentError(f"placement: {name} is empty; give at least one")

    @property
    def vpc(self) -> dict[str, list[str]]:
        """``VpcConfig`` of SageMaker."""
        return {"Subnets": list(self.subnet_ids), "SecurityGroupIds": list(self.security_group_ids)}


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """A training job, by default on managed spot capacity with checkpoints.

    :param name: of one run; a repeated call with the same name follows the job that exists.
    :param image: of the algorithm.
    :param instance_type: such as ``ml.g5.xlarge``.
    :param instances: how many. Default: 1.
    :param volume_gib: disk of each instance. Default: 50.
    :param inputs: S3 prefix by channel, such as ``{"train": "s3://bucket/prepared/"}``.
    :param output: S3 prefix of the model.
    :param hyperparameters: any JSON values. Default: none.
    :param spot: whether AWS may interrupt and resume the job for a lower price. Default: yes.
    :param checkpoints: S3 prefix that ``/opt/ml/checkpoints`` is kept in; needed for spot.
    :param max_seconds: of training. Default: one day.
    :param max_wait_seconds: of training and waiting for capacity together. Default: twice ``max_seconds``.
    :param placement: role, network and key.
    :raises ComponentError: for values that SageMaker refuses, or spot without checkpoints.
    """

    name: str
    image: str
    instance_type: str
    inputs: Mapping[str, str]
    output: str
    placement: Placement
    instances: int = 1
    volume_gib: int = 50
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    spot: bool = True
    checkpoints: str | None = None
    max_seconds: int = 24 * 3600
    max_wait_seconds: int | None = None

    def __post_init__(self) -> None:
        place = f"training job {self.name!r}"
        _check_name(place, self.name)
        for what, uri in {
            **{f"inputs[{name!r}]": uri for name, uri in self.inputs.items()},
            "output": self.output,
        }.items():
            _check_uri(place, what, uri)
        if self.spot and not self.checkpoints:
            raise ComponentError(
                f"{place}: checkpoints is required with spot, or an interruption starts it anew; give an S3 prefix"
            )
        if self.checkpoints:
            _check_uri(place, "checkpoints", self.checkpoints)
        if self.max_wait_seconds is not None and self.max_wait_seconds < self.max_seconds:
            raise ComponentError(
                f"{place}: max_wait_seconds must be {self.max_seconds} or more, which is max_seconds, got "
                f"{self.max_wait_seconds}"
            )
        if self.instances < 1 or self.volume_gib < 1 or self.max_seconds < 1:
            raise ComponentError(f"{place}: instances, volume_gib and max_seconds must be 1 or more")

    def to_request(self) -> dict[str, Any]:
        """The arguments of ``CreateTrainingJob``."""
        stopping = {"MaxRuntimeInSeconds": self.max_seconds}
        if self.spot:
            stopping["MaxWaitTimeInSeconds"] = self.max_wait_seconds or 2 * self.max_seconds
        request: dict[str, Any] = {
            "TrainingJobName": self.name,
            "AlgorithmSpecification": {"TrainingImage": self.image, "TrainingInputMode": "FastFile"},
            "RoleArn": self.placement.role_arn,
            "InputDataConfig": [
                {
                    "ChannelName": name,
                    "DataSource": {
                        "S3DataSource": {
                            "S3DataType": "S3Prefix",
                            "S3Uri": uri,
                            "S3DataDistributionType": "FullyReplicated",
                        }
                    },
                }
                for name, uri in self.inputs.items()
            ],
            "OutputDataConfig": {"S3OutputPath": self.output, "KmsKeyId": self.placement.key_arn},
            "ResourceConfig": _instances(self),
            "StoppingCondition": stopping,
            "HyperParameters": {key: _text(value) for key, value in self.hyperparameters.items()},
            "VpcConfig": self.placement.vpc,
            "EnableManagedSpotTraining": self.spot,
            "EnableInterContainerTrafficEncryption": self.instances > 1,
        }
        if self.checkpoints:
            request["CheckpointConfig"] = {"S3Uri": self.checkpoints}
        return request


@dataclass(frozen=True)
class Trained:
    """A finished training job.

    :param model: S3 address of the model archive.
    :param seconds: of training.
    :param billed_seconds: of which AWS bills; fewer on spot capacity.
    """

    model: str
    seconds: int
    billed_seconds: int

    @property
    def savings(self) -> float:
        """The saved share of the on-demand price, 0 to 1."""
        return 1 - self.billed_seconds / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, kw_only=True)
class ProcessingJob:
    """A container that reads prefixes of S3 and writes others.

    :param name: of one run; a repeated call with the same name follows the job that exists.
    :param image: of the program.
    :param command: Default: the image's own.
    :param arguments: Default: none.
    :param instance_type: such as ``ml.m5.xlarge``.
    :param instances: how many. Default: 1.
    :param volume_gib: disk of each instance. Default: 50.
    :param inputs: S3 prefix by name; it appears in ``/opt/ml/processing/<name>``. Default: none.
    :param outputs: S3 prefix by name; filled from ``/opt/ml/processing/<name>``. Default: none.
    :param environment: variables. Default: none.
    :param max_seconds: Default: one day.
    :param placement: role, network and key.
    :raises ComponentError: for values that SageMaker refuses.
    """

    name: str
    image: str
    instance_type: str
    placement: Placement
    command: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    instances: int = 1
    volume_gib: int = 50
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    max_seconds: int = 24 * 3600

    def __post_init__(self) -> None:
        place = f"processing job {self.name!r}"
        _check_name(place, self.name)
        for kind, uris in (("inputs", self.inputs), ("outputs", self.outputs)):
            for name, uri in uris.items():
                _check_uri(place, f"{kind}[{name!r}]", uri)
        if twice := sorted(self.inputs.keys() & self.outputs.keys()):
            raise ComponentError(f"{place}: {twice[0]!r} is an input and an output; name them differently")
        if self.instances < 1 or self.volume_gib < 1 or self.max_seconds < 1:
            raise ComponentError(f"{place}: instances, volume_gib and max_seconds must be 1 or more")

    def to_request(self) -> dict[str, Any]:
        """The arguments of ``CreateProcessingJob``."""
        application: dict[str, Any] = {"ImageUri": self.image}
        if self.command:
            application["ContainerEntrypoint"] = list(self.command)
        if self.arguments:
            application["ContainerArguments"] = list(self.arguments)
        return {
            "ProcessingJobName": self.name,
            "AppSpecification": application,
            "Environment": dict(self.environment),
            "RoleArn": self.placement.role_arn,
            "NetworkConfig": {
                "EnableInterContainerTrafficEncryption": self.instances > 1,
                "VpcConfig": self.placement.vpc,
            },
            "ProcessingInputs": [
                {
                    "InputName": name,
                    "S3Input": {
                        "S3Uri": uri,
                        "LocalPath": f"/opt/ml/processing/{name}",
                        "S3DataType": "S3Prefix",
                        "S3InputMode": "File",
                    },
                }
                for name, uri in self.inputs.items()
            ],
            "ProcessingOutputConfig": {
                "KmsKeyId": self.placement.key_arn,
                "Outputs": [
                    {
                        "OutputName": name,
                        "S3Output": {
                            "S3Uri": uri,
                            "LocalPath": f"/opt/ml/processing/{name}",
                            "S3UploadMode": "EndOfJob",
                        },
                    }
                    for name, uri in self.outputs.items()
                ],
            },
            "ProcessingResources": {"ClusterConfig": _instances(self)},
            "StoppingCondition": {"MaxRuntimeInSeconds": self.max_seconds},
        }


def _instances(job: TrainingJob | ProcessingJob) -> dict[str, Any]:
    """Instances and disks of a job. Disks are encrypted with the key, or by the hardware of the instance."""
    found: dict[str, Any] = {
        "InstanceType": job.instance_type,
        "InstanceCount": job.instances,
        "VolumeSizeInGB": job.volume_gib,
    }
    if not any(fnmatchcase(job.instance_type, pattern) for pattern in LOCAL_DISKS):
        found["VolumeKmsKeyId"] = job.placement.key_arn
    return found


def training_job(values: Mapping[str, Any]) -> TrainingJob:
    """A training job from JSON.

    :raises ComponentError: for unknown or missing keys.
    """
    return _from_json(TrainingJob, values, ())


def processing_job(values: Mapping[str, Any]) -> ProcessingJob:
    """A processing job from JSON.

    :raises ComponentError: for unknown or missing keys.
    """
    return _from_json(ProcessingJob, values, ("command", "arguments"))


def train(sagemaker: Any, job: TrainingJob, patience: Patience) -> Trained:
    """Train, and wait until the job ends. It is stopped if anything else ends the wait.

    :param sagemaker: a boto3 client of ``sagemaker``.
    :raises JobFailed: if training fails or was stopped.
    :raises TimedOut: if it takes too long.
    """
    found = _run(
        create=lambda: sagemaker.create_training_job(**job.to_request()),
        read=lambda: sagemaker.describe_training_job(TrainingJobName=job.name),
        stop=lambda: sagemaker.stop_training_job(TrainingJobName=job.name),
        in_use=sagemaker.exceptions.ResourceInUse,
        status="TrainingJobStatus",
        what=f"training job {job.name!r}",
        patience=patience,
    )
    seconds = int(found.get("TrainingTimeInSeconds", 0))
    return Trained(
        model=found["ModelArtifacts"]["S3ModelArtifacts"],
        seconds=seconds,
        billed_seconds=int(found.get("BillableTimeInSeconds", seconds)),
    )


def process(sagemaker: Any, job: ProcessingJob, patience: Patience) -> str:
    """Run a container, and wait until it ends. It is stopped if anything else ends the wait.

    :param sagemaker: a boto3 client of ``sagemaker``.
    :return: the ARN of the job.
    :raises JobFailed: if the container fails or was stopped.
    :raises TimedOut: if it takes too long.
    """
    found = _run(
        create=lambda: sagemaker.create_processing_job(**job.to_request()),
        read=lambda: sagemaker.describe_processing_job(ProcessingJobName=job.name),
        stop=lambda: sagemaker.stop_processing_job(ProcessingJobName=job.name),
        in_use=sagemaker.exceptions.ResourceInUse,
        status="ProcessingJobStatus",
        what=f"processing job {job.name!r}",
        patience=patience,
    )
    return str(found["ProcessingJobArn"])


def _run(
    *, create: Any, read: Any, stop: Any, in_use: type[Exception], status: str, what: str, patience: Patience
) -> Mapping[str, Any]:
    try:
        with suppress(in_use):  # this step was started again; the job of the first start goes on
            create()
        found: Mapping[str, Any] = patience.until(read, lambda found: found[status] in _ENDED, f"{what} to end")
    except BaseException:
        with suppress(Exception):
            stop()
        raise
    if found[status] != "Completed":
        why = found.get("FailureReason") or found.get("ExitMessage") or "no reason given"
        raise JobFailed(f"{what}: {found[status]}: {why}")
    return found


_Job = TypeVar("_Job", TrainingJob, ProcessingJob)


def _from_json(kind: type[_Job], values: Mapping[str, Any], many: tuple[str, ...]) -> _Job:
    values = whole_numbers(dict(values))
    try:
        placement = dict(values["placement"])
        lists = {name: tuple(placement[name]) for name in ("subnet_ids", "security_group_ids") if name in placement}
        given = {**values, "placement": Placement(**{**placement, **lists})}
        return kind(**{**given, **{name: tuple(given[name]) for name in many if name in given}})
    except (TypeError, KeyError) as error:
        raise ComponentError(f"job {values.get('name')!r}: {error}; see {kind.__name__} for its keys") from None


def _check_name(place: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ComponentError(f"{place}: name must be 1 to 63 letters, digits and hyphens, got {name!r}")


def _check_uri(place: str, what: str, uri: str) -> None:
    if not re.fullmatch(r"s3://[^/]+/.+", uri):
        raise ComponentError(f"{place}: {what} must be a prefix in S3 such as 's3://bucket/prefix/', got {uri!r}")


def _text(value: Any) -> str:
    """Hyperparameters are text; SageMaker's own containers read it as JSON."""
    return value if isinstance(value, str) else json.dumps(value)
