import pytest

from mlplatform_constructs import Readiness


def test_defaults() -> None:
    ready = Readiness.rolled_out("Deployment", "istiod", namespace="istio-system")
    assert (ready.api_version, ready.state, ready.minutes) == ("apps/v1", "RolledOut", 10)
    assert ready.advice.endswith("kubectl -n istio-system describe pods")


@pytest.mark.promise("waits-explain")
def test_each_state_has_advice_for_a_timeout() -> None:
    states = [
        Readiness.rolled_out("StatefulSet", "db", namespace="data"),
        Readiness.condition("Ready", api_version="v1", kind="Node", name="n"),
        Readiness.exists(api_version="v1", kind="Namespace", name="team-a"),
        Readiness.certificate_injected("MutatingWebhookConfiguration", "pods"),
    ]
    assert len({state.advice for state in states}) == len(states)
    assert [state.state for state in states] == ["RolledOut", "Ready", "Exists", "CertificateInjected"]


def test_time_and_advice_can_be_chosen() -> None:
    ready = Readiness.exists(api_version="v1", kind="Namespace", name="team-a").within(2).otherwise("ask the team")
    assert (ready.minutes, ready.advice) == (2, "ask the team")


@pytest.mark.promise("bounded-waits")
@pytest.mark.parametrize("minutes", [0, 15])
def test_fails_on_a_time_that_no_function_lives(minutes: int) -> None:
    with pytest.raises(
        ValueError, match=f"Readiness of Namespace team-a: must be within 1 to 14 minutes, got {minutes}; the handler"
    ):
        Readiness.exists(api_version="v1", kind="Namespace", name="team-a").within(minutes)


def test_fails_on_a_kind_that_does_not_roll_out() -> None:
    with pytest.raises(
        ValueError, match="Readiness of Job import: only a Deployment, StatefulSet or DaemonSet has a rollout"
    ):
        Readiness.rolled_out("Job", "import", namespace="data")
