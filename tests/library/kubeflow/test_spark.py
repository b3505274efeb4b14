"""Spark programs."""

from collections.abc import Callable
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import ConfigurationError
from mlplatform_constructs.kubeflow import SparkApplication, SparkPods


def program(**changes: Any) -> SparkApplication:
    return SparkApplication(
        **{
            "name": "features",
            "namespace": "vision",
            "image": "r.io/spark:4.0.1",
            "spark_version": "4.0.1",
            "main": "local:///opt/app/main.py",
            "executor": SparkPods(cores=4, memory="8g", instances=2, max_instances=10, purpose="spark"),
            **changes,
        }
    )


def test_object(snapshot_json: SnapshotAssertion) -> None:
    assert program().to_json() == snapshot_json


@pytest.mark.parametrize(
    "given",
    [
        {"retries": 2, "settings": {"spark.sql.shuffle.partitions": "64"}, "arguments": ["2026-11-30"]},
        {"main": "s3a://jobs/etl.jar", "main_class": "org.example.Main"},
        {"main": "local:///opt/app/main.R", "executor": SparkPods()},
    ],
)
def test_the_api_accepts_a_program(offer: Callable[[Any], None], given: dict[str, Any]) -> None:
    offer(program(**given).to_json())


def test_executors_come_and_go_only_where_a_maximum_is_named() -> None:
    assert program().to_json()["spec"]["dynamicAllocation"]["maxExecutors"] == 10
    assert "dynamicAllocation" not in program(executor=SparkPods(instances=3)).to_json()["spec"]


SPOT = {
    "driver": SparkPods(capacity="on_demand"),
    "executor": SparkPods(capacity="spot", instances=4),
    "main": "s3a://jobs/etl.py",
    "event_log": "s3a://jobs/events",
}


@pytest.mark.promise("spark-on-kubernetes")
def test_the_driver_is_on_demand_and_executors_on_spot_of_either_kind_of_nodes() -> None:
    spec = program(**SPOT).to_json()["spec"]
    for part, eks, karpenter in (("driver", "ON_DEMAND", "on-demand"), ("executor", "SPOT", "spot")):
        required = spec[part]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        values = [term["matchExpressions"][0]["values"] for term in required["nodeSelectorTerms"]]
        assert values == [[eks], [karpenter]]


@pytest.mark.promise("spark-on-kubernetes")
def test_executors_on_spot_hand_their_data_on_when_their_node_is_reclaimed() -> None:
    settings = program(**SPOT).to_json()["spec"]["sparkConf"]
    assert settings["spark.decommission.enabled"] == "true"
    assert settings["spark.storage.decommission.rddBlocks.enabled"] == "true"
    on_demand = program(executor=SparkPods(capacity="on_demand")).to_json()["spec"]
    assert not [key for key in on_demand["sparkConf"] if "decommission" in key]


@pytest.mark.promise("spark-on-kubernetes")
def test_addresses_in_s3_are_read_with_the_role_of_the_service_account_and_no_key() -> None:
    settings = program(**SPOT).to_json()["spec"]["sparkConf"]
    providers = settings["spark.hadoop.fs.s3a.aws.credentials.provider"].split(",")
    assert [name.rpartition(".")[2] for name in providers] == [
        "ContainerCredentialsProvider",
        "WebIdentityTokenFileCredentialsProvider",
    ]
    assert not [key for key in settings if "access.key" in key or "secret.key" in key]


def test_the_history_of_a_program_is_kept_in_s3() -> None:
    settings = program(**SPOT).to_json()["spec"]["sparkConf"]
    assert (settings["spark.eventLog.enabled"], settings["spark.eventLog.dir"]) == ("true", "s3a://jobs/events")


def test_the_folder_of_the_history_is_created_before_the_driver_starts() -> None:
    driver = program(**SPOT).to_json()["spec"]["driver"]
    (made,) = driver["initContainers"]
    assert made["args"][-3:] == ["-mkdir", "-p", "s3a://jobs/events"]
    assert made["image"] == "r.io/spark:4.0.1"
    assert made["securityContext"] == driver["securityContext"]
    assert "initContainers" not in program().to_json()["spec"]["driver"]


@pytest.mark.promise("spark-interfaces")
def test_events_go_to_the_folder_that_the_history_server_of_the_team_reads() -> None:
    found = SparkApplication.events_of("s3://artifacts/vision/")
    assert found == "s3a://artifacts/vision/spark-events"
    assert program(event_log=found).event_log == found
    with pytest.raises(ConfigurationError, match="artifacts must start with 's3://', got '/tmp'"):
        SparkApplication.events_of("/tmp")


@pytest.mark.promise("spark-interfaces")
def test_a_running_program_has_a_page_at_the_gateway_and_metrics_for_prometheus() -> None:
    assert program().page == "/spark/vision/features/"
    assert program().to_json()["spec"]["sparkConf"]["spark.ui.prometheus.enabled"] == "true"


def test_the_api_accepts_a_program_on_spot(offer: Callable[[Any], None]) -> None:
    offer(program(**SPOT).to_json())


def test_driver_and_executors_pass_the_restricted_level() -> None:
    spec = program().to_json()["spec"]
    for part in (spec["driver"], spec["executor"]):
        assert part["securityContext"]["runAsNonRoot"] is True
        assert part["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "f" * 51}, "name must have at most 50 characters"),
        ({"image": "spark"}, "image must have a tag or a digest"),
        ({"spark_version": "4"}, "spark_version must have three numbers such as '4.0.1', got '4'"),
        ({"main": "local:///opt/app/main"}, "main must be a .py, .jar or .R file"),
        ({"main": "local:///opt/app.jar"}, "main_class must be given for a .jar and for nothing else"),
        ({"main_class": "org.example.Main"}, "main_class must be given for a .jar and for nothing else"),
        ({"driver": SparkPods(instances=2)}, "driver: there is one; leave instances and max_instances out"),
        ({"settings": {"spark.executor.memory": "4g"}}, "'spark.executor.memory' follows from executor; use that"),
        ({"settings": {"spark.sql.shuffle.partitions": 64}}, "settings"),
        ({"driver": SparkPods(capacity="spot")}, "driver: capacity must be 'on_demand' or 'any'"),
        ({"event_log": "/tmp/events"}, "event_log must start with 's3a://', got '/tmp/events'"),
        ({"retries": -1}, "retries must be 0 or more, got -1"),
    ],
)
def test_what_cannot_work_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"SparkApplication .*: .*{message}"):
        program(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cores": 0}, "cores must be 1 or more, got 0"),
        ({"cores": 1.5}, "cores"),
        ({"memory": "4Gi"}, "memory must be as Spark writes it, such as '4g', got '4Gi'"),
        ({"instances": 0}, "instances must be 1 or more, got 0"),
        ({"instances": 3, "max_instances": 2}, "max_instances must be 3 or more, the number of instances, got 2"),
        ({"environment": {"a b": "1"}}, "environment: 'a b' is not a valid name"),
    ],
)
def test_pods_that_cannot_work_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"SparkPods: {message}"):
        SparkPods(**given)
