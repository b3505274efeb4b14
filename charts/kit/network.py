"""NetworkPolicies: which pods take and open connections."""

from collections.abc import Mapping, Sequence
from typing import Any

from charts.kit.objects import Manifest, metadata, selector

ANYWHERE: Manifest = {}
PROFILES: Manifest = {"namespaceSelector": {"matchLabels": {"app.kubernetes.io/part-of": "kubeflow-profile"}}}
"""Pods in the namespaces of all teams, which the profile controller of Kubeflow labels."""
_NAMESPACE = "kubernetes.io/metadata.name"


def pods_of(namespace: str, labels: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Pods of another namespace as a peer: all of them, or those with all of these labels."""
    peer: dict[str, Any] = {"namespaceSelector": {"matchLabels": {_NAMESPACE: namespace}}}
    return {**peer, "podSelector": {"matchLabels": dict(labels)}} if labels else peer


def network_policy(
    name: str,
    namespace: str,
    *,
    pods: Mapping[str, str] | None = None,
    ingress: Sequence[Manifest] | None = None,
    egress: Sequence[Manifest] | None = None,
) -> dict[str, Any]:
    """A NetworkPolicy. An empty list refuses everything of that direction, None leaves the direction alone.

    :param pods: labels of the pods that it holds for. Default: all of the namespace.
    :param ingress: rules from :func:`allow`.
    :param egress: rules from :func:`allow`.
    """
    directions = {key: value for key, value in (("ingress", ingress), ("egress", egress)) if value is not None}
    # An empty list is left out: the API drops it, and would count it as a change at every apply.
    rules = {key: list(value) for key, value in directions.items() if value}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(name, namespace),
        "spec": {
            "podSelector": {"matchLabels": dict(pods)} if pods else {},
            "policyTypes": [key.capitalize() for key in directions],
            **rules,
        },
    }


def allow(
    *peers: Manifest, ports: Sequence[int | str], protocol: str = "TCP", outgoing: bool = False
) -> dict[str, Any]:
    """One rule of a policy.

    :param peers: from :func:`pods_of`, or ``{"ipBlock": ...}``. Default: all peers.
    :param ports: numbers, or names of ports of the selected pods. An empty list stands for all ports.
    :param outgoing: whether the rule is one of ``egress``.
    """
    side = "to" if outgoing else "from"
    sides = {side: [*peers], "ports": [{"port": port, "protocol": protocol} for port in ports]}
    return {key: value for key, value in sides.items() if value}  # the API drops an empty list, as above


def deny_all(namespace: str) -> dict[str, Any]:
    """Refuse every connection to pods of a namespace that no other policy allows."""
    return network_policy("deny-all", namespace, ingress=[])


def takes(name: str, namespace: str, *rules: Manifest) -> dict[str, Any]:
    """Which connections the pods of one workload take; all others are refused."""
    return network_policy(name, namespace, pods=selector(name), ingress=rules)
