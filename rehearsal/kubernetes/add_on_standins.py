"""What EKS add-ons put into a cluster, as far as the platform's own objects rely on it. Nothing runs of it."""

import base64
import time
from typing import Any

from charts.definitions import DEFINITIONS
from rehearsal.kubernetes.client import APPLY_PATCH, ApiClient, ApiFailure

Object = dict[str, Any]

_GONE_SECONDS = 20
_CERTIFICATES = "cert-manager"
_SECRETS = "aws-secrets-store-csi-driver-provider"
_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
_COLLECTIONS = {
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "Deployment": "/apis/apps/v1/namespaces/{namespace}/deployments",
    "MutatingWebhookConfiguration": f"{_ADMISSION}/mutatingwebhookconfigurations",
    "Namespace": "/api/v1/namespaces",
    "ValidatingWebhookConfiguration": f"{_ADMISSION}/validatingwebhookconfigurations",
}


def has_stand_in(add_on: str) -> bool:
    """Whether there is something to put into a cluster."""
    return add_on in _OBJECTS


def install(api: ApiClient, add_on: str) -> None:
    """Put the objects of an add-on into a cluster."""
    for found in _OBJECTS[add_on]:
        api.request("PATCH", f"{_path(found)}?fieldManager=eks&force=true", found, APPLY_PATCH)


def remove(api: ApiClient, add_on: str) -> None:
    """Take the objects out again, and wait until they are gone."""
    for found in reversed(_OBJECTS[add_on]):
        _ask(api, "DELETE", found)
    until = time.monotonic() + _GONE_SECONDS
    while any(_ask(api, "GET", found) for found in _OBJECTS[add_on]) and time.monotonic() < until:
        time.sleep(0.2)


def _ask(api: ApiClient, method: str, found: Object) -> bool:
    """Whether the object is there."""
    try:
        api.request(method, _path(found))
    except ApiFailure as failure:
        if failure.code == 404:
            return False
        raise
    return True


def _path(found: Object) -> str:
    metadata = found["metadata"]
    return f"{_COLLECTIONS[found['kind']].format(**metadata)}/{metadata['name']}"


def _namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _deployment(name: str) -> Object:
    labels = {"app": name}
    containers = [{"name": "nothing", "image": "rehearsal.invalid/nothing:0"}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": _CERTIFICATES},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        },
    }


def _webhook(kind: str) -> Object:
    """Nothing answers it, which is therefore no reason to refuse an object."""
    service = {"name": f"{_CERTIFICATES}-webhook", "namespace": _CERTIFICATES}
    rule = {"apiGroups": ["cert-manager.io"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["*/*"]}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": f"{_CERTIFICATES}-webhook"},
        "webhooks": [
            {
                "name": "webhook.cert-manager.io",
                "admissionReviewVersions": ["v1"],
                "clientConfig": {"service": service, "caBundle": base64.b64encode(b"of the rehearsal").decode()},
                "failurePolicy": "Ignore",
                "rules": [rule],
                "sideEffects": "None",
            }
        ],
    }


_OBJECTS: dict[str, list[Object]] = {
    "amazon-cloudwatch-observability": [_namespace("amazon-cloudwatch")],
    _SECRETS: [dict(found) for found in DEFINITIONS[_SECRETS]],
    _CERTIFICATES: [
        _namespace(_CERTIFICATES),
        *(dict(found) for found in DEFINITIONS[_CERTIFICATES]),
        *(_deployment(f"{_CERTIFICATES}{part}") for part in ("", "-cainjector", "-webhook")),
        *(_webhook(f"{kind}WebhookConfiguration") for kind in ("Mutating", "Validating")),
    ],
    "external-dns": [_namespace("external-dns")],
}
