"""A controller, with the webhooks that the API server calls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from charts.kit import network, workloads
from charts.kit.objects import Manifest, metadata
from charts.kit.rbac import access, lease_rules, rule
from charts.kit.security import RESTRICTED_POD

_ADMISSION = "admissionregistration.k8s.io/v1"
_GROUP = 65532
"""Of the certificate, for a program whose image names its user: only root and this group can read the files."""


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """One webhook of a controller.

    :param name: a DNS name, such as ``validator.pytorchjob.training.example.org``.
    :param path: where the server answers it.
    :param group: API group of the resources; versions and resources are separated by spaces.
    :param operations: separated by spaces.
    :param mutating: whether it changes objects. Default: it accepts or refuses them.
    :param fail: whether an object is refused if the webhook does not respond. Default: True.
    :param namespaces: selector of the namespaces. Default: all.
    :param objects: selector of the objects. Default: all.
    :param review: version of the review that the server answers. A server that names no version in its answers knows
        only ``v1beta1``: the API server takes such an answer as a failure of ``v1``. Default: ``v1``.
    """

    name: str
    path: str
    group: str
    versions: str
    resources: str
    operations: str = "CREATE UPDATE"
    mutating: bool = False
    fail: bool = True
    namespaces: Manifest | None = None
    objects: Manifest | None = None
    review: str = "v1"

    def to_json(self, service: str, namespace: str) -> dict[str, Any]:
        """The API object, without the certificate authority, which the issuer of the certificate adds."""
        selectors = {"namespaceSelector": self.namespaces, "objectSelector": self.objects}
        address = {"name": service, "namespace": namespace, "path": self.path, "port": 443}
        return {
            "name": self.name,
            "admissionReviewVersions": [self.review],
            "clientConfig": {"service": address},
            "failurePolicy": "Fail" if self.fail else "Ignore",
            "rules": [
                {
                    "apiGroups": [self.group],
                    "apiVersions": self.versions.split(),
                    "operations": self.operations.split(),
                    "resources": self.resources.split(),
                }
            ],
            "sideEffects": "None",
            "timeoutSeconds": 10,
            **{key: value for key, value in selectors.items() if value},
        }


@dataclass(frozen=True, kw_only=True)
class WebhookServer:
    """Where a controller answers the API server, and who makes its certificate.

    :param webhooks: the webhooks that it serves.
    :param port: number of the container's port.
    :param mount: folder in which the controller finds ``tls.crt`` and ``tls.key``.
    :param self_managed: whether the controller writes its own certificate into the Secret and the authority into the
        webhooks. Default: cert-manager does both.
    :param written: whether the controller writes the files into an empty folder at ``mount``. Default: the folder shows
        the Secret.
    :param service: name of the Service. Default: the controller's.
    :param secret: name of the Secret. Default: ``<service>-certificate``.
    :param configuration: name of the webhook configurations. Default: the controller's.
    """

    webhooks: Sequence[Webhook]
    port: int = 9443
    mount: str = "/tmp/k8s-webhook-server/serving-certs"
    self_managed: bool = False
    written: bool = False
    service: str | None = None
    secret: str | None = None
    configuration: str | None = None

    def names(self, controller: str) -> tuple[str, str]:
        """Of the Service and the Secret."""
        service = self.service or controller
        return service, self.secret or f"{service}-certificate"


@dataclass(frozen=True, kw_only=True)
class Controller:
    """A Deployment that watches the API server, with its account, rights, budget, metrics and webhooks.

    Two replicas elect a leader; the second takes over when a node fails. A controller that cannot elect one has
    ``replicas=1`` and no budget.

    :param image: from the list of images.
    :param resources: from :func:`charts.kit.workloads.resources`.
    :param cluster: RBAC rules in the whole cluster.
    :param local: RBAC rules in its own namespace, besides those of the election.
    :param lease: name of the lease of the election. Default: the controller's name; None: it elects no leader.
    :param elects_by_config_map: whether the election also needs a ConfigMap of the lease's name, as in controllers on
        controller-runtime 0.11 and older. Without the right to it no replica ever leads.
    :param ports: number by name, such as ``{"metrics": 8080, "health": 8081}``. A port ``metrics`` gets a Service.
    :param probes: from :func:`charts.kit.workloads.http_probes`.
    :param mounts: name of the volume by path.
    :param volumes: source of the volume by name.
    :param read_only: the paths of ``mounts`` that are read only.
    :param user: numeric user, where the image names none.
    :param metrics_scheme: ``https`` for a program that serves its metrics over TLS.
    :param scraped_from: namespaces whose pods may read the metrics.
    :param labels: labels of its pods besides the selector's. Default: no sidecar of the mesh, because the API server
        calls its webhooks from outside.
    :param annotations: annotations of its pods.
    """

    name: str
    namespace: str
    image: str
    resources: Manifest
    cluster: Sequence[Manifest] = ()
    local: Sequence[Manifest] = ()
    lease: str | None = ""
    elects_by_config_map: bool = False
    command: Sequence[str] = ()
    args: Sequence[str] = ()
    env: Mapping[str, str | Manifest] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=lambda: {"metrics": 8080, "health": 8081})
    probes: Manifest = field(default_factory=lambda: workloads.http_probes("health"))
    webhook: WebhookServer | None = None
    mounts: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, Manifest] = field(default_factory=dict)
    read_only: Sequence[str] = ()
    placement: Manifest = field(default_factory=dict)
    priority: str | None = workloads.CLUSTER_CRITICAL
    security: Manifest | None = None
    replicas: int = 2
    metrics_scheme: str = "http"
    scraped_from: Sequence[str] = ("monitoring",)
    labels: Mapping[str, str] = field(default_factory=lambda: {"sidecar.istio.io/inject": "false"})
    annotations: Mapping[str, str] = field(default_factory=dict)
    pod_fields: Mapping[str, Any] = field(default_factory=dict)

    def objects(self) -> list[Manifest]:
        """Everything of the controller. Its custom resources are data of the component."""
        election = [] if self.lease is None else self._election(self.lease or self.name)
        deployment = workloads.deployment(
            self.name,
            self.namespace,
            self._pod(),
            replicas=self.replicas,
            pod_labels=self.labels,
            pod_annotations=self.annotations,
        )
        return [
            *access(self.name, self.namespace, cluster=self.cluster, local=[*election, *self.local]),
            deployment,
            *([workloads.disruption_budget(self.name, self.namespace)] if self.replicas > 1 else []),
            *self._services(),
            *self._network(),
            *(self._admission(self.webhook) if self.webhook else []),
        ]

    def _election(self, lease: str) -> list[Manifest]:
        config_map = [rule("", "configmaps", "create"), rule("", "configmaps", "get update", names=[lease])]
        return [*lease_rules(lease), *(config_map if self.elects_by_config_map else [])]

    def _pod(self) -> dict[str, Any]:
        ports, mounts, volumes = dict(self.ports), dict(self.mounts), dict(self.volumes)
        read_only = [*self.read_only]
        security = self.security or RESTRICTED_POD
        if self.webhook:
            ports["webhook"] = self.webhook.port
            mounts[self.webhook.mount] = "certificate"
            secret = self.webhook.names(self.name)[1]
            if self.webhook.written:
                volumes["certificate"] = {"emptyDir": {}}
            else:
                read_only.append(self.webhook.mount)
                volumes["certificate"] = {"secret": {"secretName": secret, "defaultMode": 0o440}}
                security = {"fsGroup": _GROUP, **security}
        container = workloads.container(
            self.name,
            self.image,
            command=self.command,
            args=self.args,
            env=self.env,
            ports=ports,
            probes=self.probes,
            mounts=mounts,
            read_only=read_only,
            resources=self.resources,
        )
        return workloads.pod(
            container,
            service_account=self.name,
            volumes=volumes,
            placement=self.placement,
            priority=self.priority,
            security=security,
            **self.pod_fields,
        )

    def _services(self) -> list[Manifest]:
        """One Service for both; the API server asks at 443."""
        ports: dict[str, int | tuple[int, int | str]] = {}
        if "metrics" in self.ports:
            ports[f"{self.metrics_scheme}-metrics"] = (self.ports["metrics"], "metrics")
        found: list[Manifest] = []
        if self.webhook and self.webhook.names(self.name)[0] != self.name:
            name = self.webhook.names(self.name)[0]
            found.append(workloads.service(name, self.namespace, {"https-webhook": (443, "webhook")}, of=self.name))
        elif self.webhook:
            ports["https-webhook"] = (443, "webhook")
        return [*found, *([workloads.service(self.name, self.namespace, ports)] if ports else [])]

    def _network(self) -> list[Manifest]:
        """The API server has addresses of the control plane, which no selector names."""
        rules: list[Manifest] = []
        if self.webhook:
            rules.append(network.allow(ports=["webhook"]))
        if "metrics" in self.ports:
            scrapers = [network.pods_of(namespace) for namespace in self.scraped_from]
            rules.append(network.allow(*scrapers, ports=["metrics"]))
        return [network.takes(self.name, self.namespace, *rules)]

    def _admission(self, server: WebhookServer) -> list[Manifest]:
        service, secret = server.names(self.name)
        if server.self_managed:  # an empty Secret, which the controller fills
            marks: dict[str, str] = {}
            objects: list[Manifest] = [
                {"apiVersion": "v1", "kind": "Secret", "metadata": metadata(secret, self.namespace)}
            ]
        else:
            marks = {"cert-manager.io/inject-ca-from": f"{self.namespace}/{service}"}
            objects = certificate(service, self.namespace, secret=secret)
        for kind, mutating in (("Mutating", True), ("Validating", False)):
            hooks = [hook for hook in server.webhooks if hook.mutating is mutating]
            if hooks:
                objects.append(
                    {
                        "apiVersion": _ADMISSION,
                        "kind": f"{kind}WebhookConfiguration",
                        "metadata": metadata(server.configuration or self.name, annotations=marks),
                        "webhooks": [hook.to_json(service, self.namespace) for hook in hooks],
                    }
                )
        return objects


def certificate(
    service: str, namespace: str, *, secret: str, also: Sequence[str] = (), of_clients: bool = False
) -> list[Manifest]:
    """A certificate for a Service, issued by its own self-signed issuer and renewed by cert-manager.

    :param also: further Services of the namespace that have the same certificate.
    :param of_clients: whether programs also prove themselves to servers by it.
    """
    issuer = f"{service}-self-signed"
    names = [f"{name}.{namespace}.svc{domain}" for name in (service, *also) for domain in ("", ".cluster.local")]
    uses = ["digital signature", "key encipherment", "server auth", "client auth"]
    return [
        {
            "apiVersion": "cert-manager.io/v1",
            "kind": "Issuer",
            "metadata": metadata(issuer, namespace),
            "spec": {"selfSigned": {}},
        },
        {
            "apiVersion": "cert-manager.io/v1",
            "kind": "Certificate",
            "metadata": metadata(service, namespace),
            "spec": {
                "secretName": secret,
                "dnsNames": names,
                "issuerRef": {"name": issuer, "kind": "Issuer"},
                "privateKey": {"rotationPolicy": "Always"},
                **({"usages": uses} if of_clients else {}),
            },
        },
    ]


def api_service(group: str, version: str, *, service: str, namespace: str) -> Manifest:
    """An API group that a Service answers in place of the API server, with the authority of :func:`certificate`."""
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": metadata(
            f"{version}.{group}", annotations={"cert-manager.io/inject-ca-from": f"{namespace}/{service}"}
        ),
        "spec": {
            "group": group,
            "version": version,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "service": {"name": service, "namespace": namespace, "port": 443},
        },
    }
