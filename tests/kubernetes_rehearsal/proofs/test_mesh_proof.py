"""What istiod says of its proxies is judged: behind, refused, missing."""

from typing import Any

from kubernetes_rehearsal.proofs.mesh import check_proxies

LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"


def _proxy(sent: str, acknowledged: str, error: str = "") -> dict[str, Any]:
    state = {"sent": sent, "acked": acknowledged, **({"lastError": error} if error else {})}
    return {"proxy": "gateway-1.istio-system", "resources": {LISTENER: state}}


def test_proxies_that_have_acknowledged_everything_are_fine() -> None:
    assert check_proxies(lambda: [_proxy("2", "2")], count=1, quiet_seconds=0) == []


def test_a_proxy_that_catches_up_is_waited_for() -> None:
    answers = iter([[], [_proxy("2", "1")], [_proxy("2", "2")]])
    assert check_proxies(lambda: next(answers), count=1, quiet_seconds=0) == []


def test_a_change_that_istiod_has_not_sent_yet_is_waited_for() -> None:
    answers = iter([[_proxy("1", "1")], [_proxy("2", "1", "unknown filter")]])
    (finding,) = check_proxies(lambda: next(answers), count=1, quiet_seconds=1)
    assert "refuses its Listener" in str(finding)


def test_a_refusal_is_one_line_with_the_proxys_reason() -> None:
    (finding,) = check_proxies(lambda: [_proxy("2", "1", "Error adding listener:\n  unknown filter 'x'")], count=1)
    assert str(finding) == (
        "Proxy gateway-1.istio-system: refuses its Listener configuration: Error adding listener: unknown filter 'x'"
    )


def test_a_proxy_that_stays_behind_is_found() -> None:
    (finding,) = check_proxies(lambda: [_proxy("2", "1")], count=1, bound_seconds=0)
    assert "has not acknowledged its Listener" in str(finding)


def test_a_proxy_that_never_connects_is_found() -> None:
    (finding,) = check_proxies(lambda: [_proxy("2", "2")], count=2, bound_seconds=0)
    assert "serves 1 proxies, not 2" in str(finding)
