import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from .._arguments import ConfigurationError, check_fields, is_token
from ..kubeflow._objects import check_name, given

_BUSINESS = "autoscaling_"
"""Prefix of the series that the platform's Prometheus adapter serves."""
_DATADOG = "datadogmetric@"
"""Prefix by which Datadog's cluster agent recognizes a DatadogMetric."""

_QUEUE = re.compile(r"https?://[^/]+/[0-9]{12}/[A-Za-z0-9_-]+(\.fifo)?")


def _quantity(value: float) -> str:
    """A number as Kubernetes writes it: whole, or in thousandths."""
    return str(int(value)) if value == int(value) else f"{round(value * 1000)}m"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What a HorizontalPodAutoscaler compares with a target. Use the constructors.

    :raises ConfigurationError: for a target that is not above 0, or a share above 100 %.
    """

    kind: Literal["cpu", "memory", "pods", "object", "external"]
    name: str
    target: float
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        place = f"Metric {self.name!r}"
        check_fields(self, place)
        if self.target < 0.001:
            raise ConfigurationError(f"{place}: target must be 0.001 or more, got {self.target}")
        if self.kind in ("cpu", "memory") and (self.target > 100 or self.target != int(self.target)):
            raise ConfigurationError(f"{place}: target must be a whole percentage up to 100, got {self.target}")

    @classmethod
    def cpu(cls, percent: int) -> Self:
        """CPU of the pods, as a percentage of their requests."""
        return cls(kind="cpu", name="cpu", target=percent)

    @classmethod
    def memory(cls, percent: int) -> Self:
        """Memory of the pods, as a percentage of their requests."""
        return cls(kind="memory", name="memory", target=percent)

    @classmethod
    def response_time(cls, seconds: float, *, name: str = "model_response_time_p95_seconds") -> Self:
        """The 95th percentile of a replica's response time, from Prometheus."""
        return cls(kind="pods", name=name, target=seconds)

    @classmethod
    def in_flight(cls, requests: float, *, name: str = "model_requests_in_flight") -> Self:
        """Requests that a replica works on at the same time, from Prometheus."""
        return cls(kind="pods", name=name, target=requests)

    @classmethod
    def business(cls, name: str, per_replica: float, *, labels: Mapping[str, str] | None = None) -> Self:
        """A business metric from Prometheus, such as open orders: a metric of the server's namespace.

        :param name: of the series, ``autoscaling_*``. The platform's Prometheus adapter serves no other.
        :param per_replica: value of the metric that one replica can handle.
        :param labels: of the series. Default: all series of that name in the namespace.
        :raises ConfigurationError: for another name.
        """
        if not name.startswith(_BUSINESS):
            raise ConfigurationError(
                f"Metric {name!r}: name must start with {_BUSINESS!r}, because autoscalers see no other series; record "
                f"it as '{_BUSINESS}{name}'"
            )
        return cls(kind="object", name=name, target=per_replica, labels=labels or {})

    @classmethod
    def datadog(cls, namespace: str, name: str, per_replica: float) -> Self:
        """A metric of Datadog: the DatadogMetric of this name, which its cluster agent serves as an external metric."""
        check_name(f"Metric {name!r}", "namespace", namespace)
        return cls(kind="external", name=f"{_DATADOG}{namespace}:{name}", target=per_replica)

    def to_json(self, namespace: str) -> dict[str, Any]:
        """The metric in the format of ``autoscaling/v2``.

        :param namespace: of the autoscaler.
        """
        if self.kind in ("cpu", "memory"):
            target = {"type": "Utilization", "averageUtilization": int(self.target)}
            return {"type": "Resource", "resource": {"name": self.kind, "target": target}}
        metric = {"name": self.name, **({"selector": {"matchLabels": dict(self.labels)}} if self.labels else {})}
        target = {"type": "AverageValue", "averageValue": _quantity(self.target)}
        of = {"describedObject": {"apiVersion": "v1", "kind": "Namespace", "name": namespace}}
        about = of if self.kind == "object" else {}
        return {"type": self.kind.capitalize(), self.kind: {**about, "metric": metric, "target": target}}


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """A HorizontalPodAutoscaler, which owns the number of replicas: no workload says ``replicas`` next to it.

    :param least: replicas at least. 2 survive the loss of a node. Default: 2.
    :param most: replicas at most.
    :param metrics: of several, the one that asks for most replicas decides. Default: 70 % of the CPU request.
    :param calm_seconds: replicas are taken away only when the load was lower for so long. Default: 300.
    :raises ConfigurationError: for limits out of order, or a metric that is listed twice.
    """

    most: int
    least: int = 2
    metrics: tuple[Metric, ...] = (Metric(kind="cpu", name="cpu", target=70),)
    calm_seconds: int = 300

    def __post_init__(self) -> None:
        place = "Scaling"
        check_fields(self, place)
        if self.least < 1:
            raise ConfigurationError(f"{place}: least must be 1 or more, got {self.least}; use ScaleFromZero for 0")
        if self.most < self.least:
            raise ConfigurationError(f"{place}: most must be {self.least} or more, the value of least, got {self.most}")
        if not self.metrics:
            raise ConfigurationError(f"{place}: metrics is empty; give at least one")
        names = [(metric.kind, metric.name, tuple(metric.labels.items())) for metric in self.metrics]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ConfigurationError(f"{place}: metrics: {twice[0][1]!r} is listed twice; remove one")
        if not 0 <= self.calm_seconds <= 3600:
            raise ConfigurationError(f"{place}: calm_seconds must be 0 to 3600, got {self.calm_seconds}")

    def to_json(self, name: str, namespace: str, labels: Mapping[str, str]) -> dict[str, Any]:
        """The object, for a Deployment of the same name."""
        return {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                "minReplicas": self.least,
                "maxReplicas": self.most,
                "metrics": [metric.to_json(namespace) for metric in self.metrics],
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": self.calm_seconds}},
            },
        }


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """What KEDA compares with a threshold. Use the constructors.

    :raises ConfigurationError: for thresholds out of order.
    """

    kind: Literal["prometheus", "datadog", "aws-sqs-queue"]
    query: str
    per_replica: float
    activation: float
    server: str = ""
    region: str = ""

    def __post_init__(self) -> None:
        place = f"Trigger {self.query!r}"
        check_fields(self, place)
        if not self.query.strip():
            raise ConfigurationError("Trigger: query is empty; give the query of one number")
        if self.per_replica <= 0:
            raise ConfigurationError(f"{place}: per_replica must be above 0, got {self.per_replica}")
        if self.activation < 0:
            raise ConfigurationError(f"{place}: activation must be 0 or more, got {self.activation}")
        if self.kind == "prometheus" and not self.server.startswith(("http://", "https://")):
            raise ConfigurationError(f"{place}: server must be the URL of Prometheus, got {self.server!r}")
        if self.kind == "aws-sqs-queue":
            self._check_queue(place)

    def _check_queue(self, place: str) -> None:
        if not is_token(self.query) and not _QUEUE.fullmatch(self.query):
            raise ConfigurationError(f"{place}: url must be the URL of an SQS queue, such as queue.queue_url")
        if not self.region.strip():
            raise ConfigurationError(f"{place}: region is empty; give that of the queue, such as 'eu-west-1'")
        for name in ("per_replica", "activation"):
            if (value := getattr(self, name)) != int(value):
                raise ConfigurationError(f"{place}: {name} must be a whole number of messages, got {value}")

    @classmethod
    def prometheus(cls, query: str, *, per_replica: float, server: str, activation: float = 0) -> Self:
        """A query of Prometheus.

        :param per_replica: of the result, what one replica serves.
        :param server: URL of Prometheus inside the cluster.
        :param activation: the first replica starts above this value. Default: 0.
        """
        return cls(kind="prometheus", query=query, per_replica=per_replica, activation=activation, server=server)

    @classmethod
    def datadog(cls, query: str, *, per_replica: float, activation: float = 0) -> Self:
        """A query of Datadog, by the ClusterTriggerAuthentication ``datadog``, which an administrator creates.

        Its keys are in a Secret of the namespace ``keda``, because KEDA reads no other Secrets.
        """
        return cls(kind="datadog", query=query, per_replica=per_replica, activation=activation)

    @classmethod
    def sqs(cls, url: str, *, per_replica: int, region: str, activation: int = 0) -> Self:
        """The messages of an SQS queue: those that wait, and those that a consumer has received and not deleted.

        KEDA reads their number as its own AWS role, by the ClusterTriggerAuthentication ``aws``. On the platform, that
        role may read the queues whose names begin with the name of a team and a hyphen, such as ``churn-images``.

        :param url: of the queue.
        :param per_replica: messages that one replica works through in good time.
        :param region: of the queue.
        :param activation: the first replica starts above this number. Default: 0.
        """
        return cls(kind="aws-sqs-queue", query=url, per_replica=per_replica, activation=activation, region=region)

    def to_json(self) -> dict[str, Any]:
        """The trigger in KEDA's format, with numbers as strings."""
        per_replica, activation = str(self.per_replica), str(self.activation)
        match self.kind:
            case "prometheus":
                own = {"query": self.query, "serverAddress": self.server, "threshold": per_replica}
                return {"type": self.kind, "metadata": {**own, "activationThreshold": activation}}
            case "datadog":
                own = {"query": self.query, "queryValue": per_replica, "activationQueryValue": activation}
                return {"type": self.kind, "metadata": own, **_signed_in("datadog")}
        own = {"queueURL": self.query, "queueLength": per_replica, "activationQueueLength": activation}
        return {"type": self.kind, "metadata": {**own, "awsRegion": self.region}, **_signed_in("aws")}


def _signed_in(name: str) -> dict[str, Any]:
    return {"authenticationRef": {"kind": "ClusterTriggerAuthentication", "name": name}}


@dataclass(frozen=True, kw_only=True)
class ScaleFromZero:
    """A ScaledObject of KEDA: no replica, and no GPU node, while there is nothing to do.

    A HorizontalPodAutoscaler cannot do that, because a Kubernetes of EKS does not enable its feature gate. The first
    request waits until a node is up and the model is loaded: minutes.

    :param most: replicas at most.
    :param triggers: of several, the one that asks for most replicas decides. Metrics of the pods themselves, such as
        CPU, have no value at zero replicas and cannot start one.
    :param idle_seconds: the last replica ends when there was nothing to do for so long. Default: 600.
    :param poll_seconds: period of the queries. Default: 15.
    :raises ConfigurationError: for numbers out of range.
    """

    most: int
    triggers: tuple[Trigger, ...]
    idle_seconds: int = 600
    poll_seconds: int = 15

    def __post_init__(self) -> None:
        place = "ScaleFromZero"
        check_fields(self, place)
        if not self.triggers:
            raise ConfigurationError(f"{place}: triggers is empty; give at least one")
        for name in ("most", "idle_seconds", "poll_seconds"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{place}: {name} must be 1 or more, got {getattr(self, name)}")

    def spec(self) -> dict[str, Any]:
        """What a ScaledObject and a SeldonDeployment have in common."""
        return given(
            maxReplicaCount=self.most,
            cooldownPeriod=self.idle_seconds,
            pollingInterval=self.poll_seconds,
            triggers=[trigger.to_json() for trigger in self.triggers],
        ) | {"minReplicaCount": 0}

    def to_json(self, name: str, namespace: str, labels: Mapping[str, str]) -> dict[str, Any]:
        """The object, for a Deployment of the same name."""
        return {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
            "spec": {"scaleTargetRef": {"name": name}, **self.spec()},
        }
