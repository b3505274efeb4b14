import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any, ClassVar, Unpack

import cdk8s_plus_34 as kplus
from constructs import Construct

from .._arguments import ConfigurationError, check_fields, is_token
from ..charts._defaults import Resources
from ..charts._workload import TeamWorkload, WorkloadArguments, pods_of
from ..kubeflow._objects import check_environment, check_image, check_name, given, variables
from ._defaults import ServingDefaults
from ._scaling import ScaleFromZero, Scaling

_HOST = re.compile(r"([a-z0-9]([-a-z0-9]*[a-z0-9])?\.)+[a-z]{2,}")
_GIBIBYTES = {"Mi": 1 / 1024, "Gi": 1}
_MODEL_VOLUME = "model"
_SECURITY = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """A container next to the model, such as a proxy or an agent of metrics.

    It is a native sidecar of Kubernetes: it starts before the model and ends after it, so a proxy forwards requests
    until the model has answered the last one.

    :param name: of the container.
    :param image: with a tag or a digest, and not ``latest``.
    :param resources: of each replica.
    :param port: on which it answers. Default: none.
    :param health: path of its health check; needs a port. Default: none.
    :param args: Default: the image's own.
    :param environment: variables. Default: none.
    :raises ConfigurationError: for an unpinned image, or a health check without a port.
    """

    name: str
    image: str
    resources: Resources
    port: int | None = None
    health: str | None = None
    args: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        place = f"Sidecar {self.name!r}"
        check_fields(self, place)
        check_name(place, "name", self.name)
        check_image(place, self.image)
        check_environment(place, self.environment)
        if self.port is not None and not 1024 <= self.port <= 65535:
            raise ConfigurationError(f"{place}: port must be 1024 to 65535, got {self.port}; lower ones need root")
        if self.health is not None and self.port is None:
            raise ConfigurationError(f"{place}: health needs a port; give port")

    def to_json(self, defaults: ServingDefaults, user: int) -> dict[str, Any]:
        """The container."""
        check = {"httpGet": {"path": self.health, "port": self.port}}
        return {
            "name": self.name,
            "image": self.image,
            "restartPolicy": "Always",
            "resources": self.resources.to_json(),
            "securityContext": {**_SECURITY, "runAsNonRoot": True, "runAsUser": user},
            **(defaults.probes(check) if self.health else {}),
            **given(
                args=list(self.args),
                env=variables(self.environment),
                ports=[{"name": self.name[:15].rstrip("-"), "containerPort": self.port}] if self.port else [],
            ),
        }


@dataclass(frozen=True, kw_only=True)
class LocalModel:
    """A version of the model repository that is streamed to the disk of the node before the server starts.

    The disk is the only limit of size: files are written as they arrive, and their checksums are compared.

    :param bucket: name of the repository's bucket.
    :param model: name of the model.
    :param version: its number.
    :param size_gib: size of its files, GiB.
    :param image: with the Python package ``mlplatform-model-repository``.
    :param folder: where the version appears in the container, with ``model/`` and ``feature_extractor/``. Default:
        ``/mnt/model``.
    :raises ConfigurationError: for an unpinned image, or numbers below 1.
    """

    ROOM: ClassVar[float] = 1.1
    """Size of the volume by the size of the model."""

    bucket: str
    model: str
    version: int
    size_gib: float
    image: str
    folder: str = "/mnt/model"

    def __post_init__(self) -> None:
        place = f"LocalModel {self.model!r}"
        check_fields(self, place)
        check_name(place, "model", self.model)
        check_image(place, self.image)
        if self.version < 1:
            raise ConfigurationError(f"{place}: version must be 1 or more, got {self.version}")
        if self.size_gib <= 0:
            raise ConfigurationError(f"{place}: size_gib must be above 0, got {self.size_gib}")
        if not self.folder.startswith("/"):
            raise ConfigurationError(f"{place}: folder must begin with '/', got {self.folder!r}")

    @property
    def volume_gib(self) -> int:
        """Size of the volume, GiB."""
        return math.ceil(self.size_gib * self.ROOM)

    def loader(self, storage: str, user: int) -> dict[str, Any]:
        """The container that fetches the version, and ends.

        :param storage: ephemeral storage of the pod.
        """
        command = ["python", "-m", "model_repository", "fetch", "--bucket", self.bucket, self.model, str(self.version)]
        limits = {"memory": "512Mi", "ephemeral-storage": storage}
        return {
            "name": "load-model",
            "image": self.image,
            "command": [*command, "--to", f"{self.folder}/current"],
            "resources": {"requests": {"cpu": "1", **limits}, "limits": limits},
            "securityContext": {**_SECURITY, "runAsNonRoot": True, "runAsUser": user},
            "volumeMounts": [{"name": _MODEL_VOLUME, "mountPath": self.folder}],
        }


class ModelServer(TeamWorkload):
    """A model in a container of your own, which is not Seldon's or KServe's, that loses no request.

    Everything of :class:`TeamWorkload` with the values of :class:`ServingDefaults`, and:

    - an Application Load Balancer for a host name, which sends to the pods themselves and checks them fast,
    - retries at another replica, and timeouts, for callers in the mesh,
    - an autoscaler, which then owns the number of replicas,
    - separate containers for proxy and agent of metrics,
    - a model of any size on the disk of the node, compared with the size of that disk.

    Its pods stay out of the mesh, because the load balancer connects to them directly; the network policy names who
    may. Put it into a namespace with the labels of ``defaults.namespace(name)``.

    :param workload: ``name``, ``namespace``, ``image``, and where they differ from the defaults ``health``,
        ``environment``, ``placement``, ``identity``, ``user``, as :class:`TeamWorkload` takes them.
    :param replicas: how many, or the autoscaler that owns the number. Default: 2.
    :param defaults: Default: those of :class:`ServingDefaults`.
    :param model: version of the model repository on the node's disk, in ``<folder>/current``. Default: the image has
        the model.
    :param disk_gib: disk of the nodes, ``disk_gib`` of the node group. Default: 100.
    :param proxy: receives the requests in front of the server; needs a port. Default: none.
    :param metrics_agent: Default: none; Prometheus reads the server's own metrics.
    :param metrics_path: path of the metrics at the server. Default: ``/metrics``; None: there are none.
    :param metrics_port: port of the metrics at the server, such as 8082 of MLServer. Default: ``port``.
    :param host: DNS name at the load balancer. Default: none; it is reached inside the cluster.
    :param certificate_arn: certificate of the host name.
    :param public: whether the load balancer has public addresses. Default: False.
    :param networks: networks of the load balancer's subnets, from which the pods take connections.
    :param callers: namespaces whose pods may call it. Default: none.
    :raises ConfigurationError: as :class:`TeamWorkload`, and for a model that does not fit on the disk, ports that
        collide, or a host without certificate and networks.
    """

    USABLE_DISK: ClassVar[float] = 0.8
    """Share of a node's disk that pods can use; the rest is the system's, images, and the kubelet's reserve."""
    MONITORING: ClassVar[str] = "monitoring"
    """Namespace of Prometheus."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        port: int,
        resources: Resources,
        replicas: int | Scaling | ScaleFromZero = 2,
        defaults: ServingDefaults | None = None,
        model: LocalModel | None = None,
        disk_gib: int = 100,
        proxy: Sidecar | None = None,
        metrics_agent: Sidecar | None = None,
        metrics_path: str | None = "/metrics",
        metrics_port: int | None = None,
        host: str | None = None,
        certificate_arn: str | None = None,
        public: bool = False,
        networks: tuple[str, ...] | list[str] = (),
        callers: tuple[str, ...] | list[str] = (),
        **workload: Unpack[WorkloadArguments],
    ) -> None:
        self.defaults = defaults or ServingDefaults()
        place = f"{scope.node.path}/{id}".lstrip("/")
        _check_sidecars(place, port, proxy, metrics_agent)
        if metrics_port is not None and metrics_agent:
            raise ConfigurationError(
                f"{place}: metrics_port and metrics_agent exclude each other, because Prometheus reads one of them; "
                "remove one"
            )
        if metrics_path is None and (metrics_port is not None or metrics_agent):
            raise ConfigurationError(
                f"{place}: metrics_path is None, but metrics_port or metrics_agent is given; remove one"
            )
        _check_host(place, host, certificate_arn, networks)
        _check_disk(place, resources, model, disk_gib)
        number = replicas if isinstance(replicas, int) else None
        if number is not None and number < 1:
            raise ConfigurationError(f"{place}: replicas must be 1 or more, got {number}; use ScaleFromZero for 0")
        self._entry = proxy.port if proxy and proxy.port else port
        super().__init__(
            scope,
            id,
            port=port,
            resources=resources,
            start_minutes=self.defaults.start_minutes,
            replicas=number,
            service_port=self._entry,
            strategy=kplus.DeploymentStrategy.rolling_update(
                max_surge=kplus.PercentOrAbsolute.absolute(self.defaults.surge),
                max_unavailable=kplus.PercentOrAbsolute.absolute(0),
            ),
            **workload,
        )
        self.host = host
        pods = self.deployment.pod_metadata
        pods.add_label("sidecar.istio.io/inject", "false")
        scraped_port = metrics_agent.port if metrics_agent and metrics_agent.port else metrics_port or port
        if metrics_path is not None:
            pods.add_annotation("prometheus.io/scrape", "true")
            pods.add_annotation("prometheus.io/port", str(scraped_port))
            pods.add_annotation("prometheus.io/path", metrics_path)
        for caller in callers:
            check_name(place, "callers", caller)
        self.chart.add(*self._mesh(), self._policy(callers, networks, None if metrics_path is None else scraped_port))
        if isinstance(replicas, (Scaling, ScaleFromZero)):
            self.deployment.mark_has_autoscaler()  # else cdk8s-plus would write two
            self.chart.add(replicas.to_json(self.name, self.namespace, self.labels))
        if host:
            self.chart.add(self._ingress(host, certificate_arn or "", public))
        self._serve(port, resources, model, [each for each in (proxy, metrics_agent) if each])

    @property
    def prediction_url(self) -> str:
        """Address of the Service inside the cluster; the path of predictions is the server's own."""
        return f"http://{self.name}.{self.namespace}.svc.cluster.local"

    def objects(self) -> list[dict[str, Any]]:
        """All objects of its chart."""
        found: list[dict[str, Any]] = self.chart.to_json()
        return found

    def _serve(self, port: int, resources: Resources, model: LocalModel | None, sidecars: list[Sidecar]) -> None:
        storage = f"{(model.volume_gib if model else 0) + math.ceil(_gibibytes(resources.scratch))}Gi"

        def change(pod: dict[str, Any]) -> None:
            container = pod["containers"][0]
            container["lifecycle"] = self.defaults.pre_stop
            container.update(self.defaults.probes({"httpGet": {"path": self._health, "port": port}}))
            pod["terminationGracePeriodSeconds"] = self.defaults.grace_seconds
            pod["topologySpreadConstraints"] = [self.defaults.spread(self.labels)]
            first: list[dict[str, Any]] = []
            if model:
                for side in ("requests", "limits"):
                    container["resources"][side] = {**container["resources"][side], "ephemeral-storage": storage}
                mount = {"name": _MODEL_VOLUME, "mountPath": model.folder, "readOnly": True}
                container["volumeMounts"].append(mount)
                pod["volumes"].append({"name": _MODEL_VOLUME, "emptyDir": {"sizeLimit": f"{model.volume_gib}Gi"}})
                first.append(model.loader(storage, self._user))
            first += [each.to_json(self.defaults, self._user) for each in sidecars]
            if first:
                pod["initContainers"] = [*pod.get("initContainers", []), *first]

        self.chart.change_pods(change, of=self.name)

    def _mesh(self) -> list[dict[str, Any]]:
        """How sidecars of callers treat the Service. Only failures before the server worked on a request are retried:
        a prediction may cost money.
        """
        host = f"{self.name}.{self.namespace}.svc.cluster.local"
        defaults = self.defaults
        route = {
            "route": [{"destination": {"host": host}}],
            "timeout": f"{defaults.request_seconds}s",
            "retries": {
                "attempts": defaults.attempts - 1,
                "retryOn": "connect-failure,refused-stream,reset-before-request,503",
                "retryRemoteLocalities": True,
            },
        }
        policy = {
            "connectionPool": {"tcp": {"connectTimeout": f"{defaults.connect_seconds}s"}},
            "outlierDetection": {
                "consecutive5xxErrors": defaults.health_failures,
                "interval": f"{defaults.health_seconds}s",
                "baseEjectionTime": f"{2 * defaults.health_seconds}s",
                "maxEjectionPercent": 50,
            },
        }
        return [
            self._object("networking.istio.io/v1", "VirtualService", {"hosts": [host], "http": [route]}),
            self._object("networking.istio.io/v1", "DestinationRule", {"host": host, "trafficPolicy": policy}),
        ]

    def _policy(
        self, callers: tuple[str, ...] | list[str], networks: tuple[str, ...] | list[str], metrics_port: int | None
    ) -> dict[str, Any]:
        senders: list[dict[str, Any]] = [pods_of(caller) for caller in sorted(callers)]
        senders += [{"ipBlock": {"cidr": network}} for network in networks]
        openings = [([pods_of(self.MONITORING)], metrics_port), (senders, self._entry)]
        rules = [
            {"from": peers, "ports": [{"port": port, "protocol": "TCP"}]} for peers, port in openings if peers and port
        ]
        return self._admit(*rules)

    def _ingress(self, host: str, certificate_arn: str, public: bool) -> dict[str, Any]:
        prefix = "alb.ingress.kubernetes.io"
        annotations = {
            **self.defaults.ingress_annotations(health=self._health),
            f"{prefix}/scheme": "internet-facing" if public else "internal",
            f"{prefix}/certificate-arn": certificate_arn,
            f"{prefix}/listen-ports": json.dumps([{"HTTPS": 443}]),
            f"{prefix}/ssl-policy": "ELBSecurityPolicy-TLS13-1-2-2021-06",
        }
        backend = {"service": {"name": self.name, "port": {"number": 80}}}
        paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
        found = self._object(
            "networking.k8s.io/v1",
            "Ingress",
            {"ingressClassName": "alb", "rules": [{"host": host, "http": {"paths": paths}}]},
        )
        return {**found, "metadata": {**found["metadata"], "annotations": annotations}}


def _check_sidecars(place: str, port: int, proxy: Sidecar | None, agent: Sidecar | None) -> None:
    if proxy and proxy.port is None:
        raise ConfigurationError(f"{place}: proxy {proxy.name!r} needs a port, on which it receives requests")
    owners = {port: "the server"}
    for sidecar in (each for each in (proxy, agent) if each and each.port):
        assert sidecar.port
        if sidecar.port in owners:
            raise ConfigurationError(
                f"{place}: {sidecar.name!r} and {owners[sidecar.port]} both answer on port {sidecar.port} of one pod; "
                "change one"
            )
        owners[sidecar.port] = repr(sidecar.name)


def _check_host(
    place: str, host: str | None, certificate_arn: str | None, networks: tuple[str, ...] | list[str]
) -> None:
    for network in networks:
        try:
            IPv4Network(network)
        except ValueError:
            if not is_token(network):
                raise ConfigurationError(f"{place}: networks must be such as '10.0.0.0/16', got {network!r}") from None
    if host is None:
        return
    if not is_token(host) and not _HOST.fullmatch(host):
        raise ConfigurationError(f"{place}: host must be a DNS name, got {host!r}")
    if not certificate_arn:
        raise ConfigurationError(f"{place}: host {host!r} needs certificate_arn; the load balancer speaks HTTPS only")
    if not networks:
        raise ConfigurationError(
            f"{place}: host {host!r} needs networks, those of the load balancer's subnets; the network policy would "
            "refuse its requests and health checks"
        )


def _check_disk(place: str, resources: Resources, model: LocalModel | None, disk_gib: int) -> None:
    needed = (model.volume_gib if model else 0) + _gibibytes(resources.scratch)
    usable = disk_gib * ModelServer.USABLE_DISK
    if needed > usable:
        least = math.ceil(needed / ModelServer.USABLE_DISK)
        raise ConfigurationError(
            f"{place}: model and scratch need {needed:g} GiB, but pods can use {usable:g} GiB of a disk of {disk_gib} "
            f"GiB; give the node group disk_gib = {least} or more, and the same here"
        )


def _gibibytes(size: str) -> float:
    return int(size[:-2]) * _GIBIBYTES[size[-2:]]
