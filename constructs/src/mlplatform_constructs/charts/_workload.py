import re
from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

import cdk8s
import cdk8s_plus_34 as kplus
from constructs import Construct

from .._arguments import ConfigurationError
from .._clusters.workload_identity import WorkloadRole
from ._chart import ComponentChart
from ._defaults import Resources, spread

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,51}[a-z0-9])?")
_DRAIN_SECONDS = 10  # until no load balancer or proxy sends requests to a terminating pod
_STOP_SECONDS = 60


class WorkloadArguments(TypedDict):
    """Keyword arguments that every kind of :class:`TeamWorkload` hands on to it."""

    name: str
    namespace: str
    image: str
    health: NotRequired[str]
    environment: NotRequired[Mapping[str, str] | None]
    placement: NotRequired[Mapping[str, Any] | None]
    identity: NotRequired[WorkloadRole | None]
    user: NotRequired[int]


class TeamWorkload(Construct):
    """A server that a team runs on the platform: Deployment, Service, service account and disruption budget.

    The platform sets what is easy to get wrong; the rest is cdk8s-plus.

    - The pods satisfy the ``restricted`` pod security level: no root, no capabilities, a read-only file system except
      ``/tmp``.
    - Memory is limited to the request, CPU is not limited.
    - A startup probe gives the container ``start_minutes`` to load a model before liveness counts.
    - A terminating pod serves requests for ten more seconds, until it receives none, then has 60 seconds to finish.
    - Replicas are spread over Availability Zones, and a drain evicts one at a time.

    - ``deployment``, ``service``, ``service_account``: of cdk8s-plus, to be extended. Fields that cdk8s-plus does not
      know are set by :meth:`ComponentChart.change_pods`.

    :param scope: a :class:`ComponentChart`, or below one.
    :param name: of all its objects.
    :param namespace: of the team.
    :param image: with its digest, or at least a tag.
    :param port: on which the container answers HTTP.
    :param resources: of one replica.
    :param health: path that answers 200 when the server can serve. Default: ``/healthz``.
    :param start_minutes: how long the container may take to start, such as to load a model. Default: 10.
    :param replicas: None if a HorizontalPodAutoscaler of cdk8s-plus owns the number. Default: 2.
    :param environment: variables of the container. Default: none.
    :param placement: node selection and tolerations, from ``cluster.placement(purpose)``. Default: any node without
        taints.
    :param identity: AWS role of the pods, for this namespace and the service account ``name``. Default: none.
    :param user: number of the user that the container runs as. Default: 1000.
    :param service_port: port of the pod that receives requests, such as that of a proxy. Default: ``port``.
    :param strategy: of the Deployment. Default: that of cdk8s-plus, which replaces a quarter of the pods at a time.
    :raises ConfigurationError: for a chart of another kind, a name or image that cannot work, or a role of another
        service account.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        namespace: str,
        image: str,
        port: int,
        resources: Resources,
        health: str = "/healthz",
        start_minutes: int = 10,
        replicas: int | None = 2,
        environment: Mapping[str, str] | None = None,
        placement: Mapping[str, Any] | None = None,
        identity: WorkloadRole | None = None,
        user: int = 1000,
        service_port: int | None = None,
        strategy: kplus.DeploymentStrategy | None = None,
    ) -> None:
        super().__init__(scope, id)
        self.chart = self._chart(name=name, image=image, port=port, health=health, user=user)
        self.name, self.namespace = name, namespace
        self._health, self._user = health, user
        self.labels = {"app.kubernetes.io/name": name}
        if identity and (identity.namespace, identity.service_account) != (namespace, name):
            raise ConfigurationError(
                f"{self.node.path}: identity is for service account {identity.namespace}/{identity.service_account}, "
                f"must be for {namespace}/{name}; ask WorkloadIdentity.role_for for that"
            )
        self.service_account = kplus.ServiceAccount(
            self,
            "ServiceAccount",
            metadata=self._metadata(dict(identity.service_account_annotations) if identity else {}),
        )
        self.deployment = self._deployment(
            image=image,
            port=port,
            resources=resources,
            health=health,
            start_minutes=start_minutes,
            replicas=replicas,
            environment=environment or {},
            annotations=dict(identity.pod_annotations) if identity else {},
            user=user,
            strategy=strategy,
        )
        # By the label, not by the hash of a construct's path that cdk8s-plus would select by.
        pods = kplus.Pods.select(self, "Pods", labels=self.labels)
        self.service = kplus.Service(
            self,
            "Service",
            metadata=self._metadata(),
            selector=pods,
            ports=[kplus.ServicePort(name="http", port=80, target_port=service_port or port)],
        )
        self.chart.add(self._budget())
        self._change_pods(resources, placement or {}, several=replicas != 1)

    def _chart(self, *, name: str, image: str, port: int, health: str, user: int) -> ComponentChart:
        place = self.node.path
        if not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"{place}: name must be up to 53 lower-case letters, digits, hyphens, got {name!r}"
            )
        if ":" not in image.rpartition("/")[2]:
            raise ConfigurationError(f"{place}: image {image!r} has no version; add a tag or, better, a digest")
        if not 1024 <= port <= 65535:
            raise ConfigurationError(f"{place}: port must be 1024 to 65535, got {port}; lower ones need root")
        if not health.startswith("/"):
            raise ConfigurationError(f"{place}: health must be a path, got {health!r}; begin it with '/'")
        if user < 1:
            raise ConfigurationError(f"{place}: user must be 1 or more, got {user}; 0 is root")
        chart = cdk8s.Chart.of(self)
        if not isinstance(chart, ComponentChart):
            raise ConfigurationError(f"{place}: belongs to a {type(chart).__name__}; put it below a ComponentChart")
        return chart

    def _metadata(self, annotations: dict[str, str] | None = None) -> cdk8s.ApiObjectMetadata:
        return cdk8s.ApiObjectMetadata(
            name=self.name, namespace=self.namespace, labels=self.labels, annotations=annotations or None
        )

    def _deployment(
        self,
        *,
        image: str,
        port: int,
        resources: Resources,
        health: str,
        start_minutes: int,
        replicas: int | None,
        environment: Mapping[str, str],
        annotations: dict[str, str],
        user: int,
        strategy: kplus.DeploymentStrategy | None,
    ) -> kplus.Deployment:
        probe = kplus.Probe.from_http_get(health, port=port, period_seconds=cdk8s.Duration.seconds(10))
        start = kplus.Probe.from_http_get(
            health, port=port, period_seconds=cdk8s.Duration.seconds(10), failure_threshold=6 * start_minutes
        )
        container = kplus.ContainerProps(
            name=self.name,
            image=image,
            ports=[kplus.ContainerPort(name="http", number=port)],
            env_variables={key: kplus.EnvValue.from_value(value) for key, value in environment.items()},
            image_pull_policy=kplus.ImagePullPolicy.IF_NOT_PRESENT,
            liveness=probe,
            readiness=probe,
            startup=start,
            resources=kplus.ContainerResources(cpu=kplus.CpuResources(request=kplus.Cpu.millis(resources.millicpus))),
            security_context=kplus.ContainerSecurityContextProps(user=user, group=user),
        )
        deployment = kplus.Deployment(
            self,
            "Deployment",
            metadata=self._metadata(),
            replicas=replicas,
            strategy=strategy,
            select=False,  # else a hash of the construct's path, which moving code would change
            service_account=self.service_account,
            automount_service_account_token=False,
            security_context=kplus.PodSecurityContextProps(user=user, group=user, fs_group=user),
            termination_grace_period=cdk8s.Duration.seconds(_STOP_SECONDS + _DRAIN_SECONDS),
            pod_metadata=cdk8s.ApiObjectMetadata(labels=self.labels, annotations=annotations or None),
            containers=[container],
        )
        deployment.select(kplus.LabelSelector.of(labels=self.labels))
        return deployment

    def _object(self, api_version: str, kind: str, spec: Mapping[str, Any]) -> dict[str, Any]:
        """An object with the name and the labels of the workload."""
        about = {"name": self.name, "namespace": self.namespace, "labels": self.labels}
        return {"apiVersion": api_version, "kind": kind, "metadata": about, "spec": spec}

    def _budget(self) -> dict[str, Any]:
        spec = {"maxUnavailable": 1, "selector": {"matchLabels": self.labels}}
        return self._object("policy/v1", "PodDisruptionBudget", spec)

    def _admit(self, *rules: Mapping[str, Any]) -> dict[str, Any]:
        """A network policy that admits to the pods only the traffic of these ingress rules."""
        spec = {"podSelector": {"matchLabels": self.labels}, "policyTypes": ["Ingress"], "ingress": list(rules)}
        return self._object("networking.k8s.io/v1", "NetworkPolicy", spec)

    def _change_pods(self, resources: Resources, placement: Mapping[str, Any], *, several: bool) -> None:
        """Settings that cdk8s-plus does not support."""

        def change(pod: dict[str, Any]) -> None:
            container = pod["containers"][0]
            container["resources"] = resources.to_json()
            container["lifecycle"] = {"preStop": {"sleep": {"seconds": _DRAIN_SECONDS}}}
            container["securityContext"]["capabilities"] = {"drop": ["ALL"]}
            container.setdefault("volumeMounts", []).append({"name": "scratch", "mountPath": "/tmp"})
            pod["securityContext"]["seccompProfile"] = {"type": "RuntimeDefault"}
            pod.setdefault("volumes", []).append({"name": "scratch", "emptyDir": {"sizeLimit": resources.scratch}})
            if several:
                pod["topologySpreadConstraints"] = [spread(self.labels)]
            pod.update(placement)

        self.chart.change_pods(change, of=self.name)


def pods_of(namespace: str) -> dict[str, Any]:
    """A peer of network policies: all pods of a namespace."""
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
