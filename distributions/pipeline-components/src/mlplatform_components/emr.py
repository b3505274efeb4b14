"""EMR clusters that live as long as the jobs they run: create, submit, delete."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from mlplatform_components.errors import ComponentError, JobFailed, NotDeleted, TimedOut
from mlplatform_components.json_values import whole_numbers
from mlplatform_components.spark_program import check_program
from mlplatform_components.waiting import Patience

_LIVING = ("STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING")
_READY = ("RUNNING", "WAITING")
_GONE = ("TERMINATING", "TERMINATED", "TERMINATED_WITH_ERRORS")
_STEP_ENDED = ("COMPLETED", "CANCELLED", "FAILED", "INTERRUPTED")
_ATTEMPTS = 5

MANAGED_TAG = "mlplatform:managed-by"
"""Tag of every cluster. The policy of a pipeline admits only clusters that carry it."""

MANAGED = "pipeline-components"


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """An instance fleet of a cluster: EMR takes what is cheapest and available of several types.

    :param instance_types: of the same number of vCPUs and a like amount of memory.
    :param on_demand: instances that AWS does not interrupt. Default: 0.
    :param spot: instances at the spot price. Default: 0.
    :param disk_gib: gp3 storage of each instance. Default: 64.
    :raises ComponentError: for a fleet without types or instances.
    """

    instance_types: tuple[str, ...]
    on_demand: int = 0
    spot: int = 0
    disk_gib: int = 64

    def __post_init__(self) -> None:
        if not self.instance_types:
            raise ComponentError("fleet: instance_types is empty; give at least one")
        if len(set(self.instance_types)) != len(self.instance_types):
            raise ComponentError(f"fleet: {', '.join(self.instance_types)} names a type twice; name each once")
        if min(self.on_demand, self.spot) < 0 or self.on_demand + self.spot < 1:
            raise ComponentError(
                f"fleet: on_demand and spot must be 0 or more and together 1 or more, got {self.on_demand} and "
                f"{self.spot}"
            )

    def to_request(self, kind: str) -> dict[str, Any]:
        """The fleet in the words of ``RunJobFlow``.

        If there is no spot capacity for 10 minutes, EMR takes on-demand instances, because a job that waits for ever
        costs more than the difference.
        """
        volumes = [{"VolumeSpecification": {"VolumeType": "gp3", "SizeInGB": self.disk_gib}, "VolumesPerInstance": 1}]
        types = [
            {"InstanceType": each, "WeightedCapacity": 1, "EbsConfiguration": {"EbsBlockDeviceConfigs": volumes}}
            for each in self.instance_types
        ]
        request: dict[str, Any] = {
            "Name": kind.capitalize(),
            "InstanceFleetType": kind,
            "TargetOnDemandCapacity": self.on_demand,
            "TargetSpotCapacity": self.spot,
            "InstanceTypeConfigs": types,
        }
        if self.spot:
            spot = {
                "TimeoutDurationMinutes": 10,
                "TimeoutAction": "SWITCH_TO_ON_DEMAND",
                "AllocationStrategy": "price-capacity-optimized",
            }
            request["LaunchSpecifications"] = {"SpotSpecification": spot}
        return request


@dataclass(frozen=True, kw_only=True)
class ClusterSpec:
    """A cluster. Everything that differs between accounts is here, as data.

    :param name: of one run of a pipeline and of nothing else: by it the cluster is found again and deleted.
    :param release: of EMR, such as ``emr-7.10.0``.
    :param primary: the fleet with the driver; one instance on demand.
    :param core: the fleet with the executors.
    :param subnet_ids: private subnets; EMR chooses one.
    :param service_role: name of EMR's own role.
    :param instance_profile: name of the instance profile of the instances.
    :param log_uri: where logs go, such as ``s3://bucket/emr/``.
    :param log_key_arn: KMS key of the logs. Default: EMR encrypts them with AES-256, which a bucket may refuse.
    :param security_configuration: name of the security configuration. Default: none.
    :param security_groups: ids for ``primary``, ``core`` and ``service``. Default: EMR creates them.
    :param applications: Default: Spark.
    :param settings: configuration by classification, such as ``{"spark-defaults": {...}}``. Default: none.
    :param idle_seconds: after which EMR deletes an idle cluster by itself, if nothing else could: 60 to 604800.
        Default: one hour.
    :param tags: further tags. Default: none.
    :raises ComponentError: for values that EMR refuses.
    """

    name: str
    release: str
    primary: Fleet
    core: Fleet
    subnet_ids: tuple[str, ...]
    service_role: str
    instance_profile: str
    log_uri: str
    log_key_arn: str | None = None
    security_configuration: str | None = None
    security_groups: Mapping[str, str] = field(default_factory=dict)
    applications: tuple[str, ...] = ("Spark",)
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    idle_seconds: int = 3600
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        place = f"cluster {self.name!r}"
        if not self.name or len(self.name) > 256 or any(letter in self.name for letter in "<>$|`\r\n\t"):
            raise ComponentError(f"{place}: name must be 1 to 256 characters without <, >, $, | and `")
        if not self.subnet_ids:
            raise ComponentError(f"{place}: subnet_ids is empty; give at least one private subnet")
        if not self.log_uri.startswith("s3://"):
            raise ComponentError(f"{place}: log_uri must start with 's3://', got {self.log_uri!r}")
        if not 60 <= self.idle_seconds <= 604800:
            raise ComponentError(f"{place}: idle_seconds must be 60 to 604800, got {self.idle_seconds}")
        if (self.primary.on_demand, self.primary.spot) != (1, 0):
            raise ComponentError(f"{place}: primary must be one instance on demand; an interruption ends the cluster")
        if MANAGED_TAG in self.tags:
            raise ComponentError(f"{place}: tags: {MANAGED_TAG!r} is set by this package; leave it out")
        if unknown := set(self.security_groups) - {"primary", "core", "service"}:
            raise ComponentError(
                f"{place}: security_groups: {sorted(unknown)[0]!r} is unknown; use primary, core and service"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ClusterSpec":
        """A cluster from JSON: lists for tuples, objects for fleets.

        :raises ComponentError: for unknown or missing keys.
        """
        try:
            given = whole_numbers(dict(values))
            for fleet in ("primary", "core"):
                if fleet in given:
                    parts = given[fleet]
                    given[fleet] = Fleet(**{**parts, "instance_types": tuple(parts["instance_types"])})
            for many in ("subnet_ids", "applications"):
                if many in given:
                    given[many] = tuple(given[many])
            return cls(**given)
        except (TypeError, KeyError) as error:
            raise ComponentError(f"cluster {values.get('name')!r}: {error}; see ClusterSpec for its keys") from None

    def to_request(self) -> dict[str, Any]:
        """The arguments of ``RunJobFlow``."""
        names = {
            "primary": "EmrManagedMasterSecurityGroup",
            "core": "EmrManagedSlaveSecurityGroup",
            "service": "ServiceAccessSecurityGroup",
        }
        request: dict[str, Any] = {
            "Name": self.name,
            "ReleaseLabel": self.release,
            "LogUri": self.log_uri,
            "Applications": [{"Name": name} for name in self.applications],
            "Configurations": [
                {"Classification": name, "Properties": dict(values)} for name, values in self.settings.items()
            ],
            "ServiceRole": self.service_role,
            "JobFlowRole": self.instance_profile,
            "VisibleToAllUsers": True,
            "AutoTerminationPolicy": {"IdleTimeout": self.idle_seconds},
            "Tags": [{"Key": key, "Value": value} for key, value in {**self.tags, MANAGED_TAG: MANAGED}.items()],
            "Instances": {
                "InstanceFleets": [self.primary.to_request("MASTER"), self.core.to_request("CORE")],
                "Ec2SubnetIds": list(self.subnet_ids),
                "KeepJobFlowAliveWhenNoSteps": True,
                "TerminationProtected": False,
                **{names[use]: group for use, group in self.security_groups.items()},
            },
        }
        if self.log_key_arn:
            request["LogEncryptionKmsKeyId"] = self.log_key_arn
        if self.security_configuration:
            request["SecurityConfiguration"] = self.security_configuration
        return request


@dataclass(frozen=True, kw_only=True)
class SparkStep:
    """A Spark program that runs on a cluster.

    :param name: of the step.
    :param program: a ``.py`` or ``.jar`` file in S3.
    :param main_class: of a ``.jar``.
    :param arguments: of the program. Default: none.
    :param settings: properties of Spark. Default: none.
    :raises ComponentError: for a program that is not in S3, or a class without a jar.
    """

    name: str
    program: str
    main_class: str | None = None
    arguments: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_program(f"step {self.name!r}", self.program, self.main_class)

    def to_request(self) -> dict[str, Any]:
        """The step in the words of ``AddJobFlowSteps``. A failed step leaves the cluster to the caller."""
        command = ["spark-submit", "--deploy-mode", "cluster"]
        for key, value in self.settings.items():
            command += ["--conf", f"{key}={value}"]
        command += ["--class", self.main_class] if self.main_class else []
        arguments = [*command, self.program, *self.arguments]
        return {
            "Name": self.name,
            "ActionOnFailure": "CONTINUE",
            "HadoopJarStep": {"Jar": "command-runner.jar", "Args": arguments},
        }


def find_clusters(emr: Any, name: str) -> list[str]:
    """Ids of the clusters of this name that are not being deleted."""
    pages = emr.get_paginator("list_clusters").paginate(ClusterStates=list(_LIVING))
    return [cluster["Id"] for page in pages for cluster in page["Clusters"] if cluster["Name"] == name]


def create_cluster(emr: Any, spec: ClusterSpec, patience: Patience) -> str:
    """Create a cluster and wait until it accepts steps. If anything fails, no cluster of this name remains.

    A repeated call continues with the cluster that an earlier one created.

    :param emr: a boto3 client of ``emr``.
    :return: the id of the cluster.
    :raises JobFailed: if EMR ends the cluster while it starts.
    :raises TimedOut: if it does not start in time.
    """
    try:
        found = find_clusters(emr, spec.name)
        cluster = found[0] if found else emr.run_job_flow(**spec.to_request())["JobFlowId"]
        state = patience.until(
            lambda: _state(emr, cluster), lambda state: state in (*_READY, *_GONE), f"cluster {cluster} to start"
        )
        if state in _GONE:
            raise JobFailed(f"cluster {cluster}: {state} while it started: {_reason(emr, cluster)}")
    except BaseException:
        with suppress(NotDeleted):  # what went wrong first is what matters; EMR deletes an idle cluster by itself
            delete_clusters(emr, spec.name, Patience(900, patience.interval, patience.clock, patience.sleep))
        raise
    return str(cluster)


def submit_step(emr: Any, cluster: str, step: SparkStep, patience: Patience) -> str:
    """Run a program on a cluster and wait until it ends.

    :param cluster: id of the cluster.
    :return: the id of the step.
    :raises JobFailed: if the program fails, or the cluster ends before it.
    :raises TimedOut: if it takes too long; the step is then cancelled.
    """
    [id] = emr.add_job_flow_steps(JobFlowId=cluster, Steps=[step.to_request()])["StepIds"]

    def read() -> Mapping[str, Any]:
        status: Mapping[str, Any] = emr.describe_step(ClusterId=cluster, StepId=id)["Step"]["Status"]
        return status

    try:
        status = patience.until(read, lambda status: status["State"] in _STEP_ENDED, f"step {step.name!r} to end")
    except TimedOut:
        emr.cancel_steps(ClusterId=cluster, StepIds=[id], StepCancellationOption="TERMINATE_PROCESS")
        raise
    if status["State"] != "COMPLETED":
        details = status.get("FailureDetails", {})
        why = details.get("Message") or details.get("Reason") or "no reason given"
        logs = f"; its log is {details['LogFile']}" if details.get("LogFile") else ""
        raise JobFailed(f"step {step.name!r} of cluster {cluster}: {status['State']}: {why}{logs}")
    return str(id)


def delete_clusters(emr: Any, name: str, patience: Patience) -> list[str]:
    """Delete every cluster of this name, and wait until EMR has begun to.

    It tries several times, also if EMR does not answer, because a cluster that remains costs money.

    :return: the ids of the deleted clusters; none if there was none.
    :raises NotDeleted: if a cluster remains.
    """
    deleted: list[str] = []
    problem: Exception | None = None
    deadline = patience.clock() + patience.seconds
    for attempt in range(_ATTEMPTS):
        try:
            if not (found := find_clusters(emr, name)):
                return deleted
            deleted = list(dict.fromkeys([*deleted, *found]))
            emr.terminate_job_flows(JobFlowIds=found)
            problem = None
        except Exception as error:
            problem = error
        if patience.clock() >= deadline:
            break
        patience.sleep(min(patience.interval, 2**attempt))
    with suppress(Exception):
        if not find_clusters(emr, name):
            return deleted
    reason = problem or f"{', '.join(deleted)} did not begin to end"
    raise NotDeleted(f"cluster {name!r}: not deleted: {reason}; delete it with `aws emr terminate-clusters`")


@contextmanager
def temporary_cluster(emr: Any, spec: ClusterSpec, patience: Patience) -> Iterator[str]:
    """A cluster for the time of a ``with`` block, whatever happens in it."""
    cluster = create_cluster(emr, spec, patience)
    try:
        yield cluster
    finally:
        delete_clusters(emr, spec.name, Patience(900, patience.interval, patience.clock, patience.sleep))


def run_steps(emr: Any, spec: ClusterSpec, steps: Sequence[SparkStep], patience: Patience) -> list[str]:
    """Create a cluster, run programs one after the other, and delete it, whatever happens.

    :param patience: for the start of the cluster, and for each step.
    :return: the ids of the steps.
    """
    with temporary_cluster(emr, spec, patience) as cluster:
        return [submit_step(emr, cluster, step, patience) for step in steps]


def _state(emr: Any, cluster: str) -> str:
    return str(emr.describe_cluster(ClusterId=cluster)["Cluster"]["Status"]["State"])


def _reason(emr: Any, cluster: str) -> str:
    reason = emr.describe_cluster(ClusterId=cluster)["Cluster"]["Status"].get("StateChangeReason", {})
    return str(reason.get("Message") or reason.get("Code") or "no reason given")
