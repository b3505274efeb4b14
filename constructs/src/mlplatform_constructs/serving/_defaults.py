from dataclasses import dataclass
from typing import Any, ClassVar

from .._arguments import ConfigurationError, check_fields
from ..charts._defaults import spread


@dataclass(frozen=True, kw_only=True)
class ServingDefaults:
    """What keeps a served model available while pods, nodes and versions change.

    The defaults lose no request of up to ``request_seconds`` in a rollout or a drain of nodes, and callers in the mesh
    lose no request that begins after the loss of a zone. Each of them is needed: the simulation in the library's tests
    loses requests without it.

    :param drain_seconds: a terminating pod serves that long before it stops, until no load balancer or proxy sends it
        new requests. The load balancer controller needs about ten seconds for that. Default: 20.
    :param request_seconds: the longest request. Default: 30.
    :param stop_seconds: time of the server to stop after its last request. Default: 10.
    :param health_seconds: period of readiness probes, and of the load balancer's health checks, which allow 5 to 300.
        Default: 5.
    :param health_failures: failed checks in a row after which a replica receives no requests. Default: 2.
    :param start_minutes: how long a model may take to load before liveness counts. Default: 10.
    :param attempts: how often a caller in the mesh tries a request, each time at another replica. Default: 3.
    :param connect_seconds: how long a caller waits for a connection before it tries another replica. Default: 1.
    :param surge: replicas that a rollout adds before it takes an old one away. Default: 1.
    :param cross_zone: whether each load balancer node sends to replicas in all zones. An Application Load Balancer
        does not bill that traffic. Without it, replicas of a zone with few of them take more than their share.
        Default: True.
    :raises ConfigurationError: for times that contradict each other.
    """

    PROPAGATION_SECONDS: ClassVar[int] = 10
    """Seconds until a load balancer stops sending requests to a pod that is being deleted."""
    NAMESPACE_LABELS: ClassVar[dict[str, str]] = {"elbv2.k8s.aws/pod-readiness-gate-inject": "enabled"}
    """Labels of a namespace whose pods become ready only when the load balancer finds them healthy."""

    drain_seconds: int = 20
    request_seconds: int = 30
    stop_seconds: int = 10
    health_seconds: int = 5
    health_failures: int = 2
    start_minutes: int = 10
    attempts: int = 3
    connect_seconds: int = 1
    surge: int = 1
    cross_zone: bool = True

    def __post_init__(self) -> None:
        place = "ServingDefaults"
        check_fields(self, place)
        for name, least, most in (
            ("request_seconds", 1, 3600),
            ("stop_seconds", 1, 600),
            ("health_seconds", 5, 300),
            ("health_failures", 2, 10),
            ("start_minutes", 1, 240),
            ("attempts", 2, 10),
            ("connect_seconds", 1, 60),
            ("surge", 1, 100),
        ):
            if not least <= (value := getattr(self, name)) <= most:
                raise ConfigurationError(f"{place}: {name} must be {least} to {most}, got {value}")
        if self.drain_seconds <= self.PROPAGATION_SECONDS:
            raise ConfigurationError(
                f"{place}: drain_seconds must be above {self.PROPAGATION_SECONDS}, the time until a load balancer "
                f"stops sending requests, got {self.drain_seconds}"
            )
        if self.connect_seconds * self.attempts >= self.request_seconds:
            raise ConfigurationError(
                f"{place}: connect_seconds times attempts must be less than request_seconds, {self.request_seconds}, "
                f"got {self.connect_seconds * self.attempts}; a caller would give up before its last attempt"
            )

    @property
    def grace_seconds(self) -> int:
        """``terminationGracePeriodSeconds``: the pause, then the longest request, then the server's own end."""
        return self.drain_seconds + self.request_seconds + self.stop_seconds

    @property
    def pre_stop(self) -> dict[str, Any]:
        """The lifecycle of a container, by the kubelet's own sleep, which needs no shell in the image."""
        return {"preStop": {"sleep": {"seconds": self.drain_seconds}}}

    @property
    def rollout(self) -> dict[str, Any]:
        """The strategy of a Deployment: a new replica is ready before an old one ends."""
        return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": self.surge, "maxUnavailable": 0}}

    def spread(self, labels: dict[str, str]) -> dict[str, Any]:
        """Replicas in different Availability Zones, where that is possible."""
        return spread(labels)

    def probes(self, check: dict[str, Any]) -> dict[str, Any]:
        """Startup, readiness and liveness probes.

        :param check: ``{"httpGet": ...}`` or ``{"tcpSocket": ...}``.
        """
        period = {**check, "periodSeconds": self.health_seconds, "timeoutSeconds": self.health_seconds}
        return {
            "startupProbe": {**period, "failureThreshold": -(-60 * self.start_minutes // self.health_seconds)},
            "readinessProbe": {**period, "failureThreshold": self.health_failures},
            # Slower than readiness: a restart helps a server that hangs, not one that is busy.
            "livenessProbe": {**period, "failureThreshold": 3 * self.health_failures},
        }

    def ingress_annotations(self, *, health: str) -> dict[str, str]:
        """Annotations of an Ingress for the AWS Load Balancer Controller.

        :param health: path of the health check.
        """
        attributes = {
            "deregistration_delay.timeout_seconds": self.request_seconds,
            "load_balancing.cross_zone.enabled": str(self.cross_zone).lower(),
            "load_balancing.algorithm.type": "least_outstanding_requests",
        }
        prefix = "alb.ingress.kubernetes.io"
        return {
            f"{prefix}/target-type": "ip",
            f"{prefix}/healthcheck-path": health,
            f"{prefix}/healthcheck-interval-seconds": str(self.health_seconds),
            f"{prefix}/healthcheck-timeout-seconds": str(max(2, self.health_seconds - 1)),
            f"{prefix}/healthy-threshold-count": "2",
            f"{prefix}/unhealthy-threshold-count": str(self.health_failures),
            f"{prefix}/load-balancer-attributes": f"idle_timeout.timeout_seconds={self.request_seconds + 1}",
            f"{prefix}/target-group-attributes": ",".join(f"{key}={value}" for key, value in attributes.items()),
        }

    def namespace(self, name: str) -> dict[str, Any]:
        """A Namespace of the ``restricted`` pod security level, with readiness gates of the load balancer."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted", **self.NAMESPACE_LABELS}
        return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
