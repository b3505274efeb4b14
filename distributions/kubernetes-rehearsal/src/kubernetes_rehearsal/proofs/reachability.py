"""Network policies are enforced: connections that they allow are made, all others are not."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kubernetes_rehearsal.proofs.findings import Finding

_POLL_SECONDS = 0.3

Connect = Callable[[str, str, str, int], bool]
"""Namespace and name of a pod, address and port in; whether a TCP connection from there is made."""


@dataclass(frozen=True)
class Connection:
    """A connection that a policy decides about.

    :param namespace: of the pod that connects.
    :param address: IP address of a pod or of a Service.
    """

    namespace: str
    pod: str
    address: str
    port: int
    allowed: bool


def check_connections(
    connect: Connect, connections: Iterable[Connection], *, bound_seconds: float = 15
) -> list[Finding]:
    """Try each connection until it has the expected result, because policies take effect with a delay."""
    findings = []
    for one in connections:
        until = time.monotonic() + bound_seconds
        while (made := connect(one.namespace, one.pod, one.address, one.port)) != one.allowed:
            if time.monotonic() > until:
                what = "is made, which no policy allows" if made else "is not made, which a policy allows"
                place = f"Pod {one.namespace}/{one.pod}"
                findings.append(Finding(place, f"a connection to {one.address}:{one.port} {what}"))
                break
            time.sleep(_POLL_SECONDS)
    return findings
