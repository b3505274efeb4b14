"""The values of ServingDefaults, and what they refuse. test_rollout.py shows what each of them is for."""

from typing import Any

import pytest

from mlplatform_constructs import ConfigurationError
from mlplatform_constructs.serving import ServingDefaults


@pytest.mark.promise("rollout-without-failures")
def test_a_pod_outlives_the_pause_and_the_longest_request() -> None:
    defaults = ServingDefaults(request_seconds=120)
    assert defaults.grace_seconds > defaults.drain_seconds + 120
    assert defaults.drain_seconds > ServingDefaults.PROPAGATION_SECONDS


def test_a_model_may_take_as_long_as_it_is_given_to_load() -> None:
    startup = ServingDefaults(start_minutes=20).probes({"tcpSocket": {"port": 1}})["startupProbe"]
    assert startup["failureThreshold"] * startup["periodSeconds"] == 20 * 60


@pytest.mark.promise("fast-health-checks")
def test_the_load_balancer_checks_as_fast_as_the_kubelet() -> None:
    defaults = ServingDefaults(health_seconds=7)
    annotations = defaults.ingress_annotations(health="/ready")
    prefix = "alb.ingress.kubernetes.io"
    assert annotations[f"{prefix}/healthcheck-interval-seconds"] == "7"
    assert int(annotations[f"{prefix}/healthcheck-timeout-seconds"]) < 7
    assert annotations[f"{prefix}/healthcheck-path"] == "/ready"
    assert annotations[f"{prefix}/target-type"] == "ip"


@pytest.mark.promise("zone-balance")
@pytest.mark.parametrize("cross_zone", [True, False])
def test_cross_zone_balancing_is_a_choice(cross_zone: bool) -> None:
    found = ServingDefaults(cross_zone=cross_zone).ingress_annotations(health="/")
    attributes = dict(pair.split("=") for pair in found["alb.ingress.kubernetes.io/target-group-attributes"].split(","))
    assert attributes["load_balancing.cross_zone.enabled"] == str(cross_zone).lower()
    assert attributes["deregistration_delay.timeout_seconds"] == "30"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"drain_seconds": 10}, "drain_seconds must be above 10, the time until a load balancer"),
        ({"request_seconds": 0}, "request_seconds must be 1 to 3600, got 0"),
        ({"stop_seconds": 0}, "stop_seconds must be 1 to 600, got 0"),
        ({"health_seconds": 4}, "health_seconds must be 5 to 300, got 4"),
        ({"health_failures": 1}, "health_failures must be 2 to 10, got 1"),
        ({"start_minutes": 0}, "start_minutes must be 1 to 240, got 0"),
        ({"attempts": 1}, "attempts must be 2 to 10, got 1"),
        ({"surge": 0}, "surge must be 1 to 100, got 0"),
        ({"connect_seconds": 10}, "connect_seconds times attempts must be less than request_seconds, 30, got 30"),
        ({"request_seconds": "30"}, "request_seconds must be a whole number, got '30'"),
    ],
)
def test_times_that_contradict_each_other_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ServingDefaults(**given)
