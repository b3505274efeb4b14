"""EMR clusters: what is asked of EMR, and that no cluster outlives its run, wherever something fails."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlplatform_components import ClusterSpec, ComponentError, Fleet, JobFailed, NotDeleted, SparkStep, TimedOut
from mlplatform_components.emr import (
    create_cluster,
    delete_clusters,
    find_clusters,
    run_steps,
    submit_step,
)
from tests.pipeline_components.conftest import no_time

STEP = SparkStep(name="prepare", program="s3://code/prepare.py", arguments=("s3://data/raw/",))


def spec(name: str = "prepare-run-1", **changes: Any) -> ClusterSpec:
    values: dict[str, Any] = {
        "name": name,
        "release": "emr-7.10.0",
        "primary": Fleet(instance_types=("m6i.xlarge",), on_demand=1),
        "core": Fleet(instance_types=("r6i.2xlarge", "r5.2xlarge"), on_demand=1, spot=4),
        "subnet_ids": ("subnet-1", "subnet-2"),
        "service_role": "emr-service",
        "instance_profile": "emr-instances",
        "log_uri": "s3://logs/emr/",
    }
    return ClusterSpec(**{**values, **changes})


class FaultyEmr:
    """EMR in memory. Call number ``fault`` fails before or after it took effect, or the cluster or step hangs or fails.

    ``calls`` counts all calls, so that every place of failure can be tried.
    """

    def __init__(self, fault: int = -1, kind: str = "before", times: int = 1) -> None:
        self.fault, self.kind, self.times = fault, kind, times
        self.calls = 0
        self.clusters: dict[str, dict[str, str]] = {}
        self.steps: dict[str, str] = {}
        self.hangs = self.breaks = False

    def living(self) -> list[str]:
        return [id for id, cluster in self.clusters.items() if cluster["state"] not in ("TERMINATING", "TERMINATED")]

    def _call(self, effect: Callable[[], Any]) -> Any:
        at, self.calls = self.calls, self.calls + 1
        if self.fault < 0 or not self.fault <= at < self.fault + self.times:
            return effect()
        if self.kind == "before":
            raise ConnectionError("no connection")
        if self.kind == "after":
            effect()
            raise ConnectionError("the answer was lost")
        self.hangs, self.breaks = self.kind == "hangs", self.kind == "breaks"
        return effect()

    def get_paginator(self, operation: str) -> Any:
        assert operation == "list_clusters"
        return self

    def paginate(self, ClusterStates: list[str]) -> Any:
        return self._call(
            lambda: [
                {"Clusters": [{"Id": id, "Name": one["name"]}]}
                for id, one in self.clusters.items()
                if one["state"] in ClusterStates
            ]
        )

    def run_job_flow(self, **request: Any) -> Any:
        def effect() -> Any:
            id = f"j-{len(self.clusters)}"
            self.clusters[id] = {"name": request["Name"], "state": "STARTING"}
            return {"JobFlowId": id}

        return self._call(effect)

    def describe_cluster(self, ClusterId: str) -> Any:
        def effect() -> Any:
            cluster = self.clusters[ClusterId]
            if cluster["state"] == "STARTING" and not self.hangs:
                cluster["state"] = "TERMINATED" if self.breaks else "WAITING"
            return {"Cluster": {"Status": {"State": cluster["state"]}}}

        return self._call(effect)

    def add_job_flow_steps(self, JobFlowId: str, Steps: list[Any]) -> Any:
        def effect() -> Any:
            id = f"s-{len(self.steps)}"
            self.steps[id] = "RUNNING"
            return {"StepIds": [id]}

        return self._call(effect)

    def describe_step(self, ClusterId: str, StepId: str) -> Any:
        def effect() -> Any:
            if not self.hangs:
                self.steps[StepId] = "FAILED" if self.breaks else "COMPLETED"
            return {"Step": {"Status": {"State": self.steps[StepId]}}}

        return self._call(effect)

    def cancel_steps(self, **_: Any) -> Any:
        return self._call(lambda: {})

    def terminate_job_flows(self, JobFlowIds: list[str]) -> Any:
        def effect() -> Any:
            for id in JobFlowIds:
                self.clusters[id]["state"] = "TERMINATING"
            return {}

        return self._call(effect)


@pytest.mark.promise("emr-steps")
@given(
    fault=st.integers(-1, 12),
    kind=st.sampled_from(["before", "after", "hangs", "breaks"]),
    times=st.integers(1, 3),
    steps=st.integers(0, 3),
)
@example(fault=1, kind="after", times=1, steps=1)  # EMR created the cluster, but its answer was lost
@settings(deadline=None, max_examples=400)
def test_no_cluster_outlives_its_steps_wherever_a_call_fails_hangs_or_is_lost(
    fault: int, kind: str, times: int, steps: int
) -> None:
    emr = FaultyEmr(fault, kind, times)
    try:
        run_steps(emr, spec(), [STEP] * steps, no_time())
    except (ConnectionError, ComponentError):
        assert fault >= 0  # without a fault it succeeds
    assert emr.living() == []


@pytest.mark.promise("emr-steps")
@given(fault=st.integers(-1, 6), kind=st.sampled_from(["before", "after", "hangs", "breaks"]), times=st.integers(1, 3))
@settings(deadline=None, max_examples=200)
def test_a_cluster_that_does_not_start_is_deleted_by_the_step_that_created_it(
    fault: int, kind: str, times: int
) -> None:
    emr = FaultyEmr(fault, kind, times)
    try:
        cluster = create_cluster(emr, spec(), no_time())
    except (ConnectionError, ComponentError):
        assert emr.living() == []
    else:
        assert emr.living() == [cluster]


def test_the_test_of_failures_notices_a_cluster_that_remains() -> None:
    emr = FaultyEmr()
    create_cluster(emr, spec(), no_time())
    assert emr.living() == ["j-0"]


def test_a_cluster_that_emr_does_not_delete_is_reported_with_the_command_that_does() -> None:
    emr = FaultyEmr()
    create_cluster(emr, spec(), no_time())
    emr.fault, emr.times = emr.calls, 1000
    with pytest.raises(NotDeleted, match="'prepare-run-1': not deleted: no connection; delete it with `aws emr term"):
        delete_clusters(emr, "prepare-run-1", no_time())


def test_a_repeated_step_continues_with_the_cluster_of_the_first() -> None:
    emr = FaultyEmr()
    assert create_cluster(emr, spec(), no_time()) == create_cluster(emr, spec(), no_time()) == "j-0"


def test_only_clusters_of_this_run_are_deleted() -> None:
    emr = FaultyEmr()
    other = create_cluster(emr, spec("prepare-run-2"), no_time())
    create_cluster(emr, spec("prepare-run-1"), no_time())
    assert delete_clusters(emr, "prepare-run-1", no_time()) == ["j-1"]
    assert emr.living() == [other]


def test_a_step_that_takes_too_long_is_cancelled(recorded: Any) -> None:
    running = {"Step": {"Status": {"State": "RUNNING"}}}
    emr = recorded(
        "emr",
        ("add_job_flow_steps", {"JobFlowId": "j-1", "Steps": [STEP.to_request()]}, {"StepIds": ["s-1"]}),
        *[("describe_step", {"ClusterId": "j-1", "StepId": "s-1"}, running)] * 3,
        (
            "cancel_steps",
            {"ClusterId": "j-1", "StepIds": ["s-1"], "StepCancellationOption": "TERMINATE_PROCESS"},
            {"CancelStepsInfoList": [{"StepId": "s-1", "Status": "SUBMITTED"}]},
        ),
    )
    with pytest.raises(TimedOut, match="waited 20 s for step 'prepare' to end"):
        submit_step(emr, "j-1", STEP, no_time(20))


def test_a_failed_step_is_reported_with_its_reason_and_its_log(recorded: Any) -> None:
    details = {"Reason": "Unknown Error.", "Message": "Table not found", "LogFile": "s3://logs/emr/j-1/steps/s-1/"}
    failed = {"Step": {"Status": {"State": "FAILED", "FailureDetails": details}}}
    emr = recorded(
        "emr",
        ("add_job_flow_steps", {"JobFlowId": "j-1", "Steps": [STEP.to_request()]}, {"StepIds": ["s-1"]}),
        ("describe_step", {"ClusterId": "j-1", "StepId": "s-1"}, failed),
    )
    with pytest.raises(JobFailed, match="FAILED: Table not found; its log is s3://logs/emr/j-1/steps/s-1/"):
        submit_step(emr, "j-1", STEP, no_time())


def test_requests_are_as_emr_describes_them(recorded: Any) -> None:
    secured = spec(
        security_configuration="encrypted",
        log_key_arn="arn:aws:kms:eu-west-1:111111111111:key/x",
        security_groups={"primary": "sg-1", "core": "sg-1", "service": "sg-2"},
        settings={"spark-defaults": {"spark.sql.shuffle.partitions": "64"}},
        tags={"team": "churn"},
    )
    states = ["ClusterStates", ["STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING"]]
    emr = recorded(
        "emr",
        ("list_clusters", dict([states]), {"Clusters": []}),
        ("run_job_flow", secured.to_request(), {"JobFlowId": "j-1"}),
        ("describe_cluster", {"ClusterId": "j-1"}, {"Cluster": {"Status": {"State": "WAITING"}}}),
    )
    assert create_cluster(emr, secured, no_time()) == "j-1"
    request = secured.to_request()
    assert request["LogEncryptionKmsKeyId"] == "arn:aws:kms:eu-west-1:111111111111:key/x"
    assert request["AutoTerminationPolicy"] == {"IdleTimeout": 3600}
    core = request["Instances"]["InstanceFleets"][1]
    assert core["LaunchSpecifications"]["SpotSpecification"]["TimeoutAction"] == "SWITCH_TO_ON_DEMAND"
    assert {"Key": "mlplatform:managed-by", "Value": "pipeline-components"} in request["Tags"]


def test_a_jar_is_submitted_with_its_class_and_its_settings() -> None:
    step = SparkStep(
        name="trees",
        program="s3://code/trees.jar",
        main_class="org.example.Trees",
        arguments=("100",),
        settings={"spark.executor.memory": "8g"},
    )
    assert step.to_request()["HadoopJarStep"]["Args"] == [
        "spark-submit",
        "--deploy-mode",
        "cluster",
        "--conf",
        "spark.executor.memory=8g",
        "--class",
        "org.example.Trees",
        "s3://code/trees.jar",
        "100",
    ]


@pytest.mark.promise("emr-steps")
def test_a_cluster_of_the_emulator_is_created_used_and_deleted(aws: Callable[[str], Any]) -> None:
    emr, name = aws("emr"), f"prepare-{uuid.uuid4()}"
    cluster = create_cluster(emr, spec(name), no_time())
    assert find_clusters(emr, name) == [cluster]
    assert emr.describe_cluster(ClusterId=cluster)["Cluster"]["ReleaseLabel"] == "emr-7.10.0"
    step = emr.add_job_flow_steps(JobFlowId=cluster, Steps=[STEP.to_request()])["StepIds"][0]
    assert emr.describe_step(ClusterId=cluster, StepId=step)["Step"]["Name"] == "prepare"
    assert delete_clusters(emr, name, no_time()) == [cluster]
    assert find_clusters(emr, name) == []
    assert delete_clusters(emr, name, no_time()) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": "a|b"}, "cluster 'a|b': name must be 1 to 256 characters without"),
        ({"subnet_ids": ()}, "subnet_ids is empty"),
        ({"log_uri": "logs"}, "log_uri must start with 's3://', got 'logs'"),
        ({"idle_seconds": 59}, "idle_seconds must be 60 to 604800, got 59"),
        ({"primary": Fleet(instance_types=("m6i.xlarge",), spot=1)}, "primary must be one instance on demand"),
        ({"tags": {"mlplatform:managed-by": "me"}}, "'mlplatform:managed-by' is set by this package"),
        ({"security_groups": {"master": "sg-1"}}, "'master' is unknown; use primary, core and service"),
    ],
)
def test_refuses_a_cluster_that_emr_would_refuse(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ComponentError, match=problem.replace("|", r"\|")):
        spec(**changes)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"instance_types": (), "spot": 1}, "instance_types is empty"),
        ({"instance_types": ("m6i.xlarge", "m6i.xlarge"), "spot": 1}, "names a type twice"),
        ({"instance_types": ("m6i.xlarge",)}, "together 1 or more, got 0 and 0"),
    ],
)
def test_refuses_a_fleet_without_instances(values: dict[str, Any], problem: str) -> None:
    with pytest.raises(ComponentError, match=problem):
        Fleet(**values)


@pytest.mark.parametrize(
    ("program", "main_class", "problem"),
    [
        ("prepare.py", None, r"program must be a .py or .jar in S3, got 'prepare.py'"),
        ("s3://code/prepare.sh", None, "program must be a .py or .jar"),
        ("s3://code/trees.jar", None, "main_class must be given for a .jar"),
        ("s3://code/prepare.py", "Main", "main_class must be given for a .jar and for nothing else"),
    ],
)
def test_refuses_a_program_that_spark_cannot_run(program: str, main_class: str | None, problem: str) -> None:
    with pytest.raises(ComponentError, match=problem):
        SparkStep(name="prepare", program=program, main_class=main_class)
