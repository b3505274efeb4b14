"""Conditions that objects of one wave must meet before the next wave is applied, derived from the objects."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from .objects import CRD, Key, KubernetesObject, each, part
from .readiness import Readiness
from .waves import Wave

WEBHOOKS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
_ROLLING = ("Deployment", "StatefulSet", "DaemonSet")


def gates(objects: Sequence[KubernetesObject]) -> dict[Wave, list[Readiness]]:
    """The conditions to wait for at the end of each wave.

    - Definitions are established: the API server serves their kinds.
    - The workloads behind webhooks and aggregated APIs are rolled out before they are registered with the API server.
    - Webhooks have a CA bundle, and aggregated APIs are available, before the next wave.
    """
    servers = set(_servers(objects))
    return {
        Wave.DEFINITIONS: [_condition("Established", one) for one in objects if one.key.kind == CRD],
        Wave.WORKLOADS: [
            Readiness.rolled_out(one.key.kind, one.key.name, namespace=one.key.namespace)
            for one in objects
            if one.key.kind in _ROLLING and one.key in servers
        ],
        Wave.WEBHOOKS: [
            *(
                Readiness.certificate_injected(one.key.kind, one.key.name)
                for one in objects
                if one.key.kind in WEBHOOKS and _lacks_certificate(one)
            ),
            *(_condition("Available", one) for one in objects if one.key.kind == "APIService"),
        ],
    }


def guards(objects: Iterable[Mapping[str, Any]]) -> set[str]:
    """The API groups that the webhooks among ``objects`` intercept; ``*`` means every group."""
    return {
        group
        for body in objects
        if body["kind"] in WEBHOOKS
        for webhook in each(body, "webhooks")
        for rule in each(webhook, "rules")
        for group in rule.get("apiGroups") or ()
    }


def _servers(objects: Sequence[KubernetesObject]) -> Iterator[Key]:
    """The workloads behind the services that the API server will call."""
    called = {(service.get("namespace"), service.get("name")) for one in objects for service in _called(one)}
    for service in objects:
        if service.key.kind == "Service" and (service.key.namespace, service.key.name) in called:
            selector = part(service.body, "spec", "selector")
            for one in objects:
                if selector and one.key.namespace == service.key.namespace and selector.items() <= _labels(one).items():
                    yield one.key


def _called(one: KubernetesObject) -> Iterator[Mapping[str, Any]]:
    """The services that the API server calls on behalf of an object."""
    if one.key.kind in WEBHOOKS:
        for webhook in each(one.body, "webhooks"):
            yield part(webhook, "clientConfig", "service")
    elif one.key.kind == "APIService":
        yield part(one.body, "spec", "service")
    elif one.key.kind == CRD:
        yield part(one.body, "spec", "conversion", "webhook", "clientConfig", "service")


def _labels(one: KubernetesObject) -> Mapping[str, str]:
    """Labels of the pods that a workload creates."""
    return part(one.body, "spec", "template", "metadata", "labels")


def _lacks_certificate(one: KubernetesObject) -> bool:
    clients = [part(webhook, "clientConfig") for webhook in each(one.body, "webhooks")]
    return any("service" in client and not client.get("caBundle") for client in clients)


def _condition(type: str, one: KubernetesObject) -> Readiness:
    return Readiness.condition(type, api_version=one.api_version, kind=one.key.kind, name=one.key.name)
