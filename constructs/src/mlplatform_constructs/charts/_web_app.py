import re
from typing import Any, Unpack

from constructs import Construct

from .._arguments import ConfigurationError
from ._defaults import Resources
from ._workload import TeamWorkload, WorkloadArguments, pods_of

_GATEWAY_ACCOUNT = "istio-system/istio-ingressgateway"
_GATEWAY = re.compile(r"[a-z0-9][-a-z0-9]*/[a-z0-9][-a-z0-9.]*")


class WebApp(TeamWorkload):
    """A team's own web application behind the platform's gateway, next to Kubeflow.

    Everything of :class:`TeamWorkload`, and: a route from the gateway, and policies by which only the gateway and the
    named callers reach the pods, over mutual TLS. The gateway has signed people in.

    :param workload: ``name``, ``namespace``, ``image``, and where they differ from the defaults ``health``,
        ``environment``, ``placement``, ``identity``, ``user``, as :class:`TeamWorkload` takes them.
    :param path: prefix at the gateway, such as ``/churn/``. The application sees paths without it.
    :param gateway: ``<namespace>/<name>`` of the Istio Gateway.
    :param callers: further service accounts that may call it, each ``<namespace>/<name>``. Default: none.
    :param timeout_seconds: how long a request may take. Default: 60.
    :raises ConfigurationError: as :class:`TeamWorkload`, and for a path, gateway or caller of another form.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        port: int,
        resources: Resources,
        path: str,
        gateway: str,
        callers: tuple[str, ...] | list[str] = (),
        timeout_seconds: int = 60,
        start_minutes: int = 10,
        replicas: int | None = 2,
        **workload: Unpack[WorkloadArguments],
    ) -> None:
        super().__init__(
            scope, id, port=port, resources=resources, start_minutes=start_minutes, replicas=replicas, **workload
        )
        if not (path.startswith("/") and path.endswith("/")):
            raise ConfigurationError(f"{self.node.path}: path must begin and end with '/', got {path!r}")
        if not _GATEWAY.fullmatch(gateway):
            raise ConfigurationError(f"{self.node.path}: gateway must be '<namespace>/<name>', got {gateway!r}")
        for caller in callers:
            if not _GATEWAY.fullmatch(caller):
                raise ConfigurationError(
                    f"{self.node.path}: callers must be '<namespace>/<service account>' each, got {caller!r}"
                )
        self.deployment.pod_metadata.add_label("sidecar.istio.io/inject", "true")
        allowed = [_GATEWAY_ACCOUNT, *callers]
        self.chart.add(
            self._route(path, gateway, timeout_seconds),
            self._authorization(allowed),
            self._network(sorted({account.partition("/")[0] for account in allowed}), port),
        )

    def _route(self, path: str, gateway: str, timeout_seconds: int) -> dict[str, Any]:
        host = f"{self.name}.{self.namespace}.svc.cluster.local"
        route = {
            "match": [{"uri": {"prefix": path}}],
            "rewrite": {"uri": "/"},
            "route": [{"destination": {"host": host, "port": {"number": 80}}}],
            "timeout": f"{timeout_seconds}s",
        }
        spec = {"gateways": [gateway], "hosts": ["*"], "http": [route]}
        return self._object("networking.istio.io/v1", "VirtualService", spec)

    def _authorization(self, accounts: list[str]) -> dict[str, Any]:
        principals = ["cluster.local/ns/{}/sa/{}".format(*account.split("/")) for account in accounts]
        spec = {
            "action": "ALLOW",
            "selector": {"matchLabels": self.labels},
            "rules": [{"from": [{"source": {"principals": principals}}]}],
        }
        return self._object("security.istio.io/v1", "AuthorizationPolicy", spec)

    def _network(self, namespaces: list[str], port: int) -> dict[str, Any]:
        return self._admit(
            {"from": [pods_of(name) for name in namespaces], "ports": [{"port": port, "protocol": "TCP"}]}
        )
