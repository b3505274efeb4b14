"""A web application behind the gateway."""

from collections.abc import Mapping, Sequence
from typing import Any

from charts.kit import istio, network, workloads
from charts.kit.objects import Manifest
from charts.kit.rbac import access
from charts.kit.security import RESTRICTED_POD


def web_app(
    name: str,
    namespace: str,
    *containers: Manifest,
    port: int,
    gateway: str,
    prefix: str,
    rewrite: str | None = "/",
    cluster: Sequence[Manifest] = (),
    local: Sequence[Manifest] = (),
    callers: Sequence[str] = (),
    replicas: int = 2,
    placement: Manifest | None = None,
    volumes: Mapping[str, Manifest] | None = None,
    security: Manifest = RESTRICTED_POD,
    set_headers: Mapping[str, str] | None = None,
    **pod_fields: Any,
) -> list[Manifest]:
    """Service account, Deployment, Service, disruption budget, route, and the policies that admit only the gateway.

    :param containers: the first one answers; name its port ``http``.
    :param port: of the Service.
    :param gateway: ``<namespace>/<name>`` of the Gateway.
    :param prefix: path prefix at the gateway, such as ``/volumes/``.
    :param rewrite: replacement of the prefix. Default: ``/``; None leaves the path unchanged.
    :param cluster: RBAC rules in the whole cluster. Default: none.
    :param local: RBAC rules in the application's own namespace. Default: none.
    :param callers: service accounts besides the gateway's that may call it, each ``<namespace>/<name>``.
    :param security: security context of the pod. Default: restricted.
    :param set_headers: request headers that the gateway overwrites.
    :param pod_fields: further fields of the pod.
    """
    allowed = [istio.GATEWAY_ACCOUNT, *callers]
    peers = [network.pods_of(account.partition("/")[0]) for account in callers]
    pod = workloads.pod(
        *containers,
        service_account=name,
        placement=placement,
        volumes=volumes,
        security=security,
        **pod_fields,
    )
    return [
        *access(name, namespace, cluster=cluster, local=local),
        workloads.deployment(name, namespace, pod, replicas=replicas, pod_labels={"sidecar.istio.io/inject": "true"}),
        workloads.service(name, namespace, {"http": (port, "http")}),
        *([workloads.disruption_budget(name, namespace)] if replicas > 1 else []),
        istio.virtual_service(
            name, namespace, gateway=gateway, prefix=prefix, port=port, rewrite=rewrite, set_headers=set_headers
        ),
        istio.admits(name, namespace, *allowed),
        network.takes(
            name,
            namespace,
            network.allow(
                network.pods_of(istio.GATEWAY_NAMESPACE, istio.GATEWAY_PODS), *_unique(peers), ports=["http"]
            ),
        ),
    ]


def _unique(peers: Sequence[Manifest]) -> list[Manifest]:
    return [peer for number, peer in enumerate(peers) if peer not in peers[:number]]
