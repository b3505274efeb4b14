"""A simulation of requests while pods come and go, from the objects of a model server alone.

It follows what Kubernetes, the AWS Load Balancer Controller, an Application Load Balancer and Istio do, in steps of
half a second:

- A pod that is deleted runs its preStop pause, then gets SIGTERM and takes no new requests, and is killed after its
  grace period with everything in flight. At the same time, and without waiting for each other, it leaves the endpoints
  of its Service after ``ENDPOINT_SECONDS``, and the load balancer after ``TARGET_SECONDS``.
- A pod is ready when its probes succeed, at once without any; with a readiness gate, when it is also a healthy target.
  A liveness probe counts from the start, unless a startup probe waits for the model.
- The load balancer sends to healthy targets, to those that became unhealthy if none is healthy, and never tries twice.
  A sidecar of the mesh sends to endpoints, and tries another one if it could not connect.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

TICK = 0.5
LOAD_SECONDS = 40.0
ENDPOINT_SECONDS = 2.0
TARGET_SECONDS = 10.0
STOP_SECONDS = 3.0
ZONES = ("a", "b")

Objects = Mapping[str, dict[str, Any]]
"""The objects of a server by kind, with its Namespace."""


def annotations(objects: Objects) -> dict[str, str]:
    """Of the Ingress, without their prefix."""
    found = objects.get("Ingress", {}).get("metadata", {}).get("annotations", {})
    return {key.partition("/")[2]: value for key, value in found.items()}


@dataclass(frozen=True)
class Plan:
    """What the objects of a model server say, with the defaults of Kubernetes, AWS and Istio for what they omit."""

    replicas: int
    surge: int
    unavailable: int
    pause: float
    grace: float
    startup: bool
    readiness: float | None
    liveness: float | None
    gate: bool
    disruptions: int | None
    spread: bool
    request: bool
    attempts: int
    interval: float
    unhealthy: int
    cross_zone: bool

    @classmethod
    def of(cls, objects: Objects) -> "Plan":
        """From objects by kind."""
        spec = objects["Deployment"]["spec"]
        pod = spec["template"]["spec"]
        container = pod["containers"][0]
        update = spec["strategy"]["rollingUpdate"]
        given = annotations(objects)
        attributes = dict(pair.split("=") for pair in given.get("target-group-attributes", "x=").split(","))
        live = container.get("livenessProbe")
        ready = container.get("readinessProbe")
        budget = objects.get("PodDisruptionBudget")
        route = objects.get("VirtualService", {}).get("spec", {}).get("http", [{}])[0]
        labels = objects["Namespace"]["metadata"].get("labels", {})
        return cls(
            replicas=spec["replicas"],
            surge=update["maxSurge"],
            unavailable=update["maxUnavailable"],
            pause=container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0),
            grace=pod.get("terminationGracePeriodSeconds", 30),
            startup="startupProbe" in container,
            readiness=ready["periodSeconds"] if ready else None,
            liveness=live["periodSeconds"] * live["failureThreshold"] if live else None,
            gate=bool(given) and labels.get("elbv2.k8s.aws/pod-readiness-gate-inject") == "enabled",
            disruptions=budget["spec"]["maxUnavailable"] if budget else None,
            spread=bool(pod.get("topologySpreadConstraints")),
            request="cpu" in container.get("resources", {}).get("requests", {}),
            attempts=1 + route.get("retries", {}).get("attempts", 0),
            interval=float(given.get("healthcheck-interval-seconds", 15)),
            unhealthy=int(given.get("unhealthy-threshold-count", 2)),
            cross_zone=attributes.get("load_balancing.cross_zone.enabled", "true") == "true",
        )


@dataclass(eq=False)
class Pod:
    """A replica.

    - ``started``: when its container started for the last time.
    - ``deleted``: when it was deleted; None while it is wanted.
    - ``lost``: when its node was lost.
    """

    version: int
    zone: str
    started: float
    deleted: float | None = None
    lost: float | None = None

    def accepts(self, now: float, plan: Plan) -> bool:
        """Whether it takes a new request."""
        stops = None if self.deleted is None else self.deleted + min(plan.pause, plan.grace)
        return self.lost is None and now >= self.started + LOAD_SECONDS and (stops is None or now < stops)

    def killed_at(self, plan: Plan) -> float:
        """When requests in flight end without an answer."""
        ends = [self.lost] if self.lost is not None else []
        ends += [self.deleted + plan.grace] if self.deleted is not None else []
        return min(ends, default=float("inf"))

    def container_ready(self, now: float, plan: Plan) -> bool:
        """By its probes."""
        if self.lost is not None:
            return False
        if not plan.startup and plan.readiness is None:
            return now > self.started
        return now >= self.started + LOAD_SECONDS + (plan.readiness or 0)


@dataclass
class Outcome:
    """What became of the requests.

    - ``failed``: times at which failed requests began.
    - ``completed``: whether all replicas are new and ready at the end.
    """

    requests: int = 0
    failed: list[float] = field(default_factory=list)
    completed: bool = False


class Simulation:
    """A server that is up, and requests to it.

    :param path: through the load balancer, or from a sidecar of the mesh.
    """

    def __init__(self, objects: Objects, *, path: Literal["edge", "mesh"]) -> None:
        self.plan, self.path = Plan.of(objects), path
        self.now = 0.0
        self.version = 1
        self.pods = [Pod(1, self._zone(number), -1000.0) for number in range(self.plan.replicas)]
        self._healthy_since: dict[Pod, float] = dict.fromkeys(self.pods, -900.0)
        self._failing_since: dict[Pod, float] = {}
        self._known = set(self.pods)
        self._pending: list[tuple[Pod, float]] = []
        self._choice = random.Random(1)

    def _zone(self, number: int) -> str:
        return ZONES[number % len(ZONES)] if self.plan.spread else ZONES[0]

    def run(
        self, seconds: float, *, events: Mapping[float, Callable[[], None]], drained: Sequence[str] = ()
    ) -> Outcome:
        """Send two short requests a second, and one that takes 25 seconds.

        :param events: what happens, by time.
        :param drained: zones whose nodes are drained for the rest of the time.
        """
        outcome, due = Outcome(), dict(events)
        while self.now < seconds:
            for time in [time for time in due if time <= self.now]:
                due.pop(time)()
            self._keep_alive()
            self._check_health()
            self._drain(drained)
            self._replace()
            for duration in [0.2, *([25.0] if self.now % 1 == 0 else [])]:
                outcome.requests += 1
                if not self._send(duration):
                    outcome.failed.append(self.now)
            self.now += TICK
        current = [pod for pod in self.pods if pod.deleted is None and pod.version == self.version]
        outcome.completed = len(current) == self.plan.replicas == sum(map(self._ready, current))
        return outcome

    def roll_out(self) -> None:
        """A new version of the model."""
        self.version += 1

    def lose(self, zone: str) -> None:
        """The nodes of a zone are gone."""
        for pod in self.pods:
            if pod.zone == zone:
                pod.lost = self.now

    def _wanted(self) -> list[Pod]:
        return [pod for pod in self.pods if pod.deleted is None and pod.lost is None]

    def _ready(self, pod: Pod) -> bool:
        ready = pod.container_ready(self.now, self.plan)
        return ready and (not self.plan.gate or pod in self._healthy_since)

    def _keep_alive(self) -> None:
        """Liveness restarts a container that loads its model too long, unless a startup probe waits for it."""
        patience = self.plan.liveness
        if patience is None or self.plan.startup:
            return
        for pod in self._wanted():
            if self.now < pod.started + LOAD_SECONDS and self.now >= pod.started + patience:
                pod.started = self.now

    def _check_health(self) -> None:
        """The load balancer registers a pod when its container is ready, and counts checks from then on."""
        plan = self.plan
        for pod in self.pods:
            if pod.accepts(self.now, plan):
                self._failing_since.pop(pod, None)
                ready = pod.started + LOAD_SECONDS + (plan.readiness or 0)
                if self.now >= ready + TARGET_SECONDS + 2 * plan.interval:
                    self._healthy_since.setdefault(pod, self.now)
                    self._known.add(pod)
            else:
                since = self._failing_since.setdefault(pod, self.now)
                if self.now >= since + plan.unhealthy * plan.interval:
                    self._healthy_since.pop(pod, None)

    def _drain(self, zones: Sequence[str]) -> None:
        for pod in self._wanted():
            if pod.zone not in zones or pod.started > 0:
                continue  # replacements come to new nodes
            allowed = self.plan.disruptions
            ready = sum(self._ready(other) for other in self._wanted())
            if allowed is None or ready - 1 >= self.plan.replicas - allowed:
                pod.deleted = self.now

    def _replace(self) -> None:
        """The Deployment: new pods before old ones end, and as many as are wanted."""
        plan, wanted = self.plan, self._wanted()
        new = [pod for pod in wanted if pod.version == self.version]
        while len(new) < plan.replicas and len(wanted) < plan.replicas + (plan.surge if len(new) < len(wanted) else 0):
            pod = Pod(self.version, self._zone(len(self.pods)), self.now)
            self.pods.append(pod)
            new.append(pod)
            wanted.append(pod)
        for pod in [pod for pod in wanted if pod.version != self.version]:
            ready = sum(self._ready(other) for other in wanted)
            if ready - self._ready(pod) >= plan.replicas - plan.unavailable:
                pod.deleted = self.now
                wanted.remove(pod)
                return  # one in a step, as the controller sees what it did

    def _targets(self) -> list[Pod]:
        if self.path == "mesh":
            return [
                pod
                for pod in self.pods
                if (pod.deleted is None and self._ready(pod))
                or (pod.deleted is not None and self.now < pod.deleted + ENDPOINT_SECONDS)
                or (pod.lost is not None and self.now < pod.lost + 40)  # until its node counts as lost
            ]
        registered = [
            pod
            for pod in self.pods
            if (pod.deleted is None and pod.lost is None and pod.container_ready(self.now, self.plan))
            or (pod.deleted is not None and self.now < pod.deleted + TARGET_SECONDS)
            or pod.lost is not None
        ]
        return [pod for pod in registered if pod in self._healthy_since] or [
            pod for pod in registered if pod in self._known
        ]

    def _send(self, duration: float) -> bool:
        tried: list[Pod] = []
        for _ in range(self.plan.attempts if self.path == "mesh" else 1):
            targets = [pod for pod in self._targets() if pod not in tried]
            if not targets:
                return False
            pod = self._choice.choice(targets)
            if pod.accepts(self.now, self.plan):
                return self._survives(pod, duration)
            tried.append(pod)
        return False

    def _survives(self, pod: Pod, duration: float) -> bool:
        """Whether the answer comes before the pod can be killed. A pod that may be deleted later is asked then."""
        ends = self.now + duration
        if pod.deleted is None:
            self._pending.append((pod, ends))
            return True
        return ends <= pod.killed_at(self.plan)

    def killed_later(self) -> int:
        """Requests that were in flight when their pod was killed, long after they began."""
        return sum(ends > pod.killed_at(self.plan) for pod, ends in self._pending)


def shares(plan: Plan, zones: Sequence[str]) -> list[float]:
    """The share of all requests that each replica gets from a load balancer with a node in every zone.

    :param zones: of the replicas.
    """
    if plan.cross_zone:
        return [1 / len(zones)] * len(zones)
    return [1 / len(set(zones)) / zones.count(zone) for zone in zones]


def capacities(plan: Plan, *, nodes: int, node_cpus: float) -> list[float]:
    """The CPUs that each replica can use. The scheduler fills nodes by requests; without, it sees room everywhere.

    :param nodes: nodes, each with room for one replica.
    """
    per_node = 1 if plan.request else plan.replicas
    return [node_cpus / per_node] * min(plan.replicas, nodes * per_node)
