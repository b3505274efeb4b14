"""Istio's proxies take the configuration that istiod makes of a cluster's objects."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kubernetes_rehearsal.proofs.findings import Finding

_POLL_SECONDS = 0.2
_QUIET_SECONDS = 2  # istiod collects changes before it sends them: what was acknowledged just now may be old
_SHOWN_CHARACTERS = 300

Proxies = Sequence[Mapping[str, Any]]
"""What istiod answers at ``/debug/syncz``."""


def check_proxies(
    proxies: Callable[[], Proxies], *, count: int, bound_seconds: float = 30, quiet_seconds: float = _QUIET_SECONDS
) -> list[Finding]:
    """Wait until every proxy has acknowledged the newest of its configuration.

    A proxy that refuses a part keeps the old one and goes on serving, so that nothing else would show it.

    :param proxies: what istiod reports now.
    :param count: number of proxies that must be connected, at least.
    :param quiet_seconds: for this long every proxy must have nothing left to acknowledge.
    :return: a finding for each configuration that is refused, or not acknowledged in time.
    """
    until = time.monotonic() + bound_seconds
    quiet_since = None
    while True:
        found = proxies()
        findings = [finding for proxy in found for finding in _behind(proxy)]
        refused = [finding for finding in findings if "refuses" in finding.what]
        if refused:
            return refused
        quiet_since = quiet_since or time.monotonic() if not findings and len(found) >= count else None
        if quiet_since and time.monotonic() >= quiet_since + quiet_seconds:
            return []
        if not quiet_since and time.monotonic() > until:
            lacking = Finding("istiod", f"serves {len(found)} proxies, not {count}; look at the logs of the others")
            return [*findings, *([lacking] if len(found) < count else [])]
        time.sleep(_POLL_SECONDS)


def _behind(proxy: Mapping[str, Any]) -> list[Finding]:
    """One finding for each kind of configuration that a proxy has not acknowledged."""
    name = str(proxy["proxy"])
    findings = []
    for url, state in sorted((proxy.get("resources") or {}).items()):
        kind, sent, acknowledged = url.rpartition(".")[2], state.get("sent"), state.get("acked")
        reason = " ".join((state.get("lastError") or "").split())[:_SHOWN_CHARACTERS]
        if sent and sent != acknowledged:
            what = f"refuses its {kind} configuration: {reason}" if reason else f"has not acknowledged its {kind}"
            findings.append(Finding(f"Proxy {name}", what))
    return findings
