"""Istio objects: routes through the gateway, and who may call a workload."""

from collections.abc import Mapping, Sequence
from typing import Any

from charts.kit.objects import Manifest, metadata, selector

GATEWAY_NAMESPACE = "istio-system"
GATEWAY_PODS: Mapping[str, str] = {"istio": "ingressgateway"}
GATEWAY_ACCOUNT = "istio-system/istio-ingressgateway"
"""Namespace and service account of the gateway's pods."""

_CONNECTION_MANAGER = "envoy.filters.network.http_connection_manager"

SIGN_IN_PROVIDER = "kubeflow-sign-in"
"""Extension provider of the mesh that the gateway asks who calls, where no load balancer has signed people in."""


def principal(account: str, *, trust_domain: str = "cluster.local") -> str:
    """The identity of pods in the mesh.

    :param account: ``<namespace>/<service account>``.
    """
    namespace, _, name = account.partition("/")
    return f"{trust_domain}/ns/{namespace}/sa/{name}"


def virtual_service(
    name: str,
    namespace: str,
    *,
    gateway: str,
    prefix: str,
    port: int,
    service: str | None = None,
    rewrite: str | None = "/",
    hosts: Sequence[str] = ("*",),
    timeout: str | None = None,
    set_headers: Mapping[str, str] | None = None,
    more: Sequence[Manifest] = (),
) -> dict[str, Any]:
    """A route from the gateway to a Service.

    :param gateway: ``<namespace>/<name>`` of the Gateway.
    :param prefix: path prefix, such as ``/jupyter/``.
    :param port: of the Service.
    :param service: Default: the Service of the route's own name.
    :param rewrite: replacement of the prefix. Default: ``/``; None leaves the path unchanged.
    :param timeout: such as ``300s``. Default: Istio's own, none.
    :param set_headers: request headers that are overwritten.
    :param more: additional HTTP routes in Istio's format, which are matched first.
    """
    route: dict[str, Any] = {
        "match": [{"uri": {"prefix": prefix}}],
        "route": [
            {"destination": {"host": f"{service or name}.{namespace}.svc.cluster.local", "port": {"number": port}}}
        ],
    }
    if rewrite is not None:
        route["rewrite"] = {"uri": rewrite}
    if timeout:
        route["timeout"] = timeout
    if set_headers:
        route["headers"] = {"request": {"set": dict(set_headers)}}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": metadata(name, namespace),
        "spec": {"gateways": [gateway], "hosts": list(hosts), "http": [*more, route]},
    }


def authorization_policy(
    name: str,
    namespace: str,
    *rules: Manifest,
    pods: Mapping[str, str] | None = None,
    action: str = "ALLOW",
) -> dict[str, Any]:
    """An AuthorizationPolicy. Without a rule, ``ALLOW`` refuses every call.

    :param rules: from :func:`from_accounts`, or in Istio's format.
    :param pods: labels of the selected pods. Default: all pods of the namespace.
    """
    spec: dict[str, Any] = {"action": action, "rules": [*rules]}
    if pods:
        spec["selector"] = {"matchLabels": dict(pods)}
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": metadata(name, namespace),
        "spec": spec,
    }


def from_accounts(*accounts: str, to: Sequence[Manifest] = ()) -> dict[str, Any]:
    """A rule that allows calls of service accounts, authenticated by mutual TLS.

    :param accounts: each ``<namespace>/<service account>``.
    :param to: operations in Istio's format, such as ``{"methods": ["GET"]}``. Default: all.
    """
    rule: dict[str, Any] = {"from": [{"source": {"principals": [principal(account) for account in accounts]}}]}
    return {**rule, "to": [{"operation": operation} for operation in to]} if to else rule


def admits(name: str, namespace: str, *accounts: str) -> dict[str, Any]:
    """Only these service accounts may call the pods of one workload."""
    return authorization_policy(name, namespace, from_accounts(*accounts), pods=selector(name))


def destination_rule(name: str, namespace: str, *, service: str | None = None, mode: str = "ISTIO_MUTUAL") -> Manifest:
    """How the mesh calls a Service.

    :param mode: ``ISTIO_MUTUAL``, or ``DISABLE`` for a Service whose pods have no sidecar.
    """
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": metadata(name, namespace),
        "spec": {
            "host": f"{service or name}.{namespace}.svc.cluster.local",
            "trafficPolicy": {"tls": {"mode": mode}},
        },
    }


def plaintext_ports(name: str, namespace: str, *ports: int, reason: str) -> dict[str, Any]:
    """Ports at which the pods of one workload take calls without mutual TLS as well. All others stay strict.

    :param reason: why callers outside the mesh are allowed, as an annotation of the object.
    """
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": metadata(name, namespace, annotations={"mlplatform/reason": reason}),
        "spec": {
            "selector": {"matchLabels": selector(name)},
            "mtls": {"mode": "STRICT"},
            "portLevelMtls": {str(port): {"mode": "PERMISSIVE"} for port in ports},
        },
    }


def gateway(
    name: str, namespace: str, *, hosts: Sequence[str], port: int = 80, pods: Mapping[str, str] = GATEWAY_PODS
) -> dict[str, Any]:
    """A listener of the gateway for plain HTTP: the load balancer in front ends TLS.

    :param hosts: names that it answers for. Routes of every namespace may name it.
    :param pods: labels of the gateway's pods.
    """
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": metadata(name, namespace),
        "spec": {
            "selector": dict(pods),
            "servers": [{"port": {"number": port, "name": "http", "protocol": "HTTP"}, "hosts": list(hosts)}],
        },
    }


def envoy_filter(
    name: str, namespace: str, *patches: Manifest, pods: Mapping[str, str] = GATEWAY_PODS
) -> dict[str, Any]:
    """Changes of what istiod makes for proxies, for settings that Istio has no field for.

    :param patches: from :func:`http_filter`, :func:`removed_headers` or :func:`http_settings`.
    :param pods: labels of the pods whose proxies change.
    """
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": metadata(name, namespace),
        "spec": {"workloadSelector": {"labels": dict(pods)}, "configPatches": [dict(patch) for patch in patches]},
    }


def http_filter(added: Manifest, *, before: str = "", after: str = "") -> dict[str, Any]:
    """A patch that adds an HTTP filter of Envoy to the gateway.

    :param added: the filter, with ``name`` and ``typed_config``.
    :param before: name of the filter that follows it. Where that is missing, nothing is added.
    :param after: instead of ``before``, name of the filter that it follows.
    """
    found = {"name": _CONNECTION_MANAGER, "subFilter": {"name": before or after}}
    return {
        "applyTo": "HTTP_FILTER",
        "match": {"context": "GATEWAY", "listener": {"filterChain": {"filter": found}}},
        "patch": {"operation": "INSERT_BEFORE" if before else "INSERT_AFTER", "value": dict(added)},
    }


def removed_headers(*names: str) -> dict[str, Any]:
    """A patch by which the gateway removes request headers on every route."""
    return {
        "applyTo": "ROUTE_CONFIGURATION",
        "match": {"context": "GATEWAY"},
        "patch": {"operation": "MERGE", "value": {"request_headers_to_remove": list(names)}},
    }


def http_settings(settings: Manifest) -> dict[str, Any]:
    """A patch of the gateway's handling of HTTP.

    :param settings: fields of Envoy's HTTP connection manager.
        https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto
    """
    return {
        "applyTo": "NETWORK_FILTER",
        "match": {"context": "GATEWAY", "listener": {"filterChain": {"filter": {"name": _CONNECTION_MANAGER}}}},
        "patch": {
            "operation": "MERGE",
            "value": {
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
                    ".HttpConnectionManager",
                    **settings,
                }
            },
        },
    }
