"""No request is lost with ServingDefaults while pods come and go, and some are as soon as one default is missing."""

import copy
from collections.abc import Callable
from typing import Any

import cdk8s
import pytest

from mlplatform_constructs.charts import ComponentChart
from mlplatform_constructs.serving import ModelServer, Resources, ServingDefaults
from tests.library.serving.rollout import Objects, Outcome, Plan, Simulation, annotations, capacities, shares

Change = Callable[[dict[str, Any]], None]
PREFIX = "alb.ingress.kubernetes.io"


def server(*, edge: bool = True, replicas: int = 2, **defaults: Any) -> dict[str, Any]:
    values = ServingDefaults(**defaults)
    outside: dict[str, Any] = {"host": "churn.example.com", "certificate_arn": "arn", "networks": ["10.0.0.0/16"]}
    found = ModelServer(
        ComponentChart(cdk8s.App(), "churn"),
        "Churn",
        name="churn",
        namespace="growth",
        image="r.io/churn:1",
        port=8080,
        resources=Resources(cpu="1", memory="2Gi"),
        replicas=replicas,
        defaults=values,
        **(outside if edge else {}),
    ).objects()
    return {each["kind"]: copy.deepcopy(each) for each in [values.namespace("growth"), *found]}


def container(objects: Any) -> Any:
    return objects["Deployment"]["spec"]["template"]["spec"]["containers"][0]


def no_pause(objects: dict[str, Any]) -> None:
    del container(objects)["lifecycle"]


def no_grace(objects: dict[str, Any]) -> None:
    del objects["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]


def no_gate(objects: dict[str, Any]) -> None:
    del objects["Namespace"]["metadata"]["labels"]["elbv2.k8s.aws/pod-readiness-gate-inject"]


def no_probes(objects: dict[str, Any]) -> None:
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        del container(objects)[probe]


def no_startup_probe(objects: dict[str, Any]) -> None:
    del container(objects)["startupProbe"]


def no_budget(objects: dict[str, Any]) -> None:
    del objects["PodDisruptionBudget"]


def no_spread(objects: dict[str, Any]) -> None:
    del objects["Deployment"]["spec"]["template"]["spec"]["topologySpreadConstraints"]


def no_retries(objects: dict[str, Any]) -> None:
    del objects["VirtualService"]["spec"]["http"][0]["retries"]


def no_requests(objects: dict[str, Any]) -> None:
    del container(objects)["resources"]["requests"]


def slow_checks(objects: dict[str, Any]) -> None:
    for key in ("healthcheck-interval-seconds", "unhealthy-threshold-count"):
        del objects["Ingress"]["metadata"]["annotations"][f"{PREFIX}/{key}"]


def rollout(objects: Objects) -> tuple[int, Outcome]:
    """Failed requests of a rollout through the load balancer."""
    return _failures(Simulation(objects, path="edge"), seconds=420)


def rollout_inside(objects: Objects) -> tuple[int, Outcome]:
    """Failed requests of a rollout for callers in the mesh; there is no load balancer, and no readiness gate."""
    return _failures(Simulation(objects, path="mesh"), seconds=420)


def _failures(simulation: Simulation, *, seconds: float) -> tuple[int, Outcome]:
    outcome = simulation.run(seconds, events={30: simulation.roll_out})
    return len(outcome.failed) + simulation.killed_later(), outcome


def drain(objects: Objects) -> int:
    """Failed requests while the nodes of all zones are drained at the same time, as an upgrade does."""
    simulation = Simulation(objects, path="edge")
    outcome = simulation.run(420, events={}, drained=("a", "b"))
    return len(outcome.failed) + simulation.killed_later()


def zone_loss(objects: Objects) -> int:
    """Failed requests of callers in the mesh that began after a zone was lost."""
    simulation = Simulation(objects, path="mesh")
    outcome = simulation.run(120, events={30: lambda: simulation.lose("a")})
    return len([time for time in outcome.failed if time >= 30])


def zone_loss_outside(objects: Objects) -> float:
    """Seconds after the loss of a zone in which the load balancer still sent requests there."""
    simulation = Simulation(objects, path="edge")
    outcome = simulation.run(120, events={30: lambda: simulation.lose("a")})
    return max(outcome.failed, default=30) - 30


@pytest.mark.promise("rollout-without-failures")
@pytest.mark.parametrize("replicas", [1, 2, 5])
def test_a_rollout_with_the_defaults_loses_no_request(replicas: int) -> None:
    failures, outcome = rollout(server(replicas=replicas))
    assert (failures, outcome.completed) == (0, True)
    assert outcome.requests > 800


@pytest.mark.promise("rollout-without-failures")
def test_a_rollout_inside_the_mesh_loses_no_request() -> None:
    failures, outcome = rollout_inside(server(edge=False))
    assert (failures, outcome.completed) == (0, True)


@pytest.mark.promise("rollout-without-failures")
@pytest.mark.parametrize(
    ("missing", "replicas"),
    [(no_pause, 2), (no_grace, 2), (no_gate, 1)],
    ids=["pause", "grace period", "readiness gate"],
)
def test_a_rollout_without_one_of_the_defaults_loses_requests(missing: Change, replicas: int) -> None:
    objects = server(replicas=replicas)
    missing(objects)
    failures, _ = rollout(objects)
    assert failures > 0


@pytest.mark.promise("rollout-without-failures")
def test_a_rollout_without_probes_sends_requests_to_models_that_load() -> None:
    objects = server(edge=False)
    no_probes(objects)
    failures, _ = rollout_inside(objects)
    assert failures > 0


@pytest.mark.promise("rollout-without-failures")
def test_a_rollout_without_a_startup_probe_never_ends_because_loading_models_are_restarted() -> None:
    objects = server()
    no_startup_probe(objects)
    failures, outcome = rollout(objects)
    assert not outcome.completed
    assert failures == 0, "the old version serves on"


@pytest.mark.promise("rollout-without-failures")
def test_a_drain_of_all_nodes_loses_no_request_and_does_without_a_budget() -> None:
    objects = server()
    assert drain(objects) == 0
    no_budget(objects)
    assert drain(objects) > 0


@pytest.mark.promise("rollout-without-failures", "bounded-retries")
@pytest.mark.parametrize("missing", [no_spread, no_retries], ids=lambda missing: missing.__name__)
def test_the_loss_of_a_zone_fails_no_new_request_unless_spread_or_retries_are_missing(missing: Change) -> None:
    objects = server(edge=False)
    assert zone_loss(objects) == 0
    missing(objects)
    assert zone_loss(objects) > 0


@pytest.mark.promise("fast-health-checks")
def test_the_load_balancer_notices_the_loss_of_a_zone_within_seconds() -> None:
    objects = server()
    fast = zone_loss_outside(objects)
    assert 0 < fast <= 12
    slow_checks(objects)
    assert zone_loss_outside(objects) > 2 * fast


@pytest.mark.promise("zone-balance")
def test_without_cross_zone_balancing_the_replica_of_a_small_zone_takes_too_much() -> None:
    """Three replicas, each of which can serve 40 % of the requests."""
    zones = ["a", "a", "b"]
    assert max(shares(Plan.of(server(replicas=3)), zones)) < 0.4
    assert max(shares(Plan.of(server(replicas=3, cross_zone=False)), zones)) > 0.4


def test_without_requests_replicas_share_the_cpu_of_one_node() -> None:
    objects = server()
    assert capacities(Plan.of(objects), nodes=2, node_cpus=1.5) == [1.5, 1.5]
    no_requests(objects)
    assert min(capacities(Plan.of(objects), nodes=2, node_cpus=1.5)) < 1


def test_the_simulation_reads_what_the_objects_say() -> None:
    objects = server()
    plan = Plan.of(objects)
    assert (plan.pause, plan.grace, plan.gate, plan.interval) == (20, 60, True, 5)
    assert annotations(objects)["target-type"] == "ip"
    no_pause(objects)
    assert Plan.of(objects).pause == 0
