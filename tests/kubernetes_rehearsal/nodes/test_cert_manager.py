"""Certificates are issued into Secrets, and webhooks get the authority that signed them, as by cert-manager."""

import base64
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography import x509

from charts.catalog import Catalog
from kubernetes_rehearsal.client import MERGE_PATCH, ApiClient, ApiFailure
from kubernetes_rehearsal.nodes.cert_manager import CertManager
from tests.kubernetes_rehearsal.kubernetes_apis import client, cluster

API = "/apis/cert-manager.io/v1/namespaces/default"
CERTIFICATE = f"{API}/certificates/work"
SECRET = "/api/v1/namespaces/default/secrets/work-certificate"
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


@pytest.fixture
def api() -> Iterator[ApiClient]:
    """A cluster with cert-manager's definitions and a Certificate, whose issuer does not exist yet."""
    with cluster("stand-in") as access:
        made = client(access)
        for definition in Catalog.load().definitions("base/cert_manager"):
            made.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
        spec = {"secretName": "work-certificate", "dnsNames": ["work.default.svc"], "issuerRef": {"name": "own"}}
        _create(made, f"{API}/certificates", "Certificate", {"metadata": {"name": "work"}, "spec": spec})
        yield made


def _create(api: ApiClient, collection: str, kind: str, content: dict[str, Any]) -> None:
    api.request("POST", collection, {"apiVersion": "cert-manager.io/v1", "kind": kind, **content})


def _issued(api: ApiClient) -> dict[str, str]:
    _create(api, f"{API}/issuers", "Issuer", {"metadata": {"name": "own"}, "spec": {"selfSigned": {}}})
    CertManager(api).reconcile()
    data = api.get(SECRET)["data"]
    return {name: base64.b64decode(content).decode() for name, content in data.items()}


def _names(certificate: str) -> list[str]:
    found = x509.load_pem_x509_certificate(certificate.encode())
    return found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)


def test_a_certificate_is_issued_into_its_secret(api: ApiClient) -> None:
    files = _issued(api)
    assert "work.default.svc" in _names(files["tls.crt"])
    ssl.create_default_context(cadata=files["ca.crt"])
    (condition,) = api.get(CERTIFICATE)["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("Ready", "True")
    assert api.get(SECRET)["metadata"]["ownerReferences"][0]["kind"] == "Certificate"


def test_a_certificate_whose_issuer_does_not_exist_is_not_issued(api: ApiClient) -> None:
    CertManager(api).reconcile()
    with pytest.raises(ApiFailure, match="404"):
        api.get(SECRET)
    (condition,) = api.get(CERTIFICATE)["status"]["conditions"]
    assert (condition["status"], condition["message"]) == ("False", "Issuer own does not exist")


def test_a_certificate_is_kept_until_its_names_change(api: ApiClient) -> None:
    before = _issued(api)["tls.crt"]
    CertManager(api).reconcile()
    assert api.get(SECRET)["data"]["tls.crt"] == base64.b64encode(before.encode()).decode()
    api.request("PATCH", CERTIFICATE, {"spec": {"dnsNames": ["other.default.svc"]}}, MERGE_PATCH)
    CertManager(api).reconcile()
    assert "other.default.svc" in _names(base64.b64decode(api.get(SECRET)["data"]["tls.crt"]).decode())


def test_a_webhook_gets_the_authority_of_the_certificate_that_it_names(api: ApiClient) -> None:
    service = {"name": "work", "namespace": "default"}
    webhook = {
        "name": "v.work.org",
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": service},
        "sideEffects": "None",
    }
    for name, certificate in (("work", "default/work"), ("lost", "default/none")):
        marks = {"cert-manager.io/inject-ca-from": certificate}
        api.request("POST", WEBHOOKS, {"metadata": {"name": name, "annotations": marks}, "webhooks": [webhook]})
    authority = base64.b64encode(_issued(api)["ca.crt"].encode()).decode()
    assert api.get(f"{WEBHOOKS}/work")["webhooks"][0]["clientConfig"]["caBundle"] == authority
    assert api.get(f"{WEBHOOKS}/lost")["webhooks"][0]["clientConfig"].get("caBundle") != authority


def test_an_aggregated_api_gets_the_authority_of_the_certificate_that_it_names(api: ApiClient) -> None:
    path = "/apis/apiregistration.k8s.io/v1/apiservices"
    spec = {
        "group": "work.org",
        "version": "v1",
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "service": {"name": "work", "namespace": "default"},
    }
    marks = {"cert-manager.io/inject-ca-from": "default/work"}
    api.request("POST", path, {"metadata": {"name": "v1.work.org", "annotations": marks}, "spec": spec})
    authority = base64.b64encode(_issued(api)["ca.crt"].encode()).decode()
    assert api.get(f"{path}/v1.work.org")["spec"]["caBundle"] == authority


def test_a_cluster_without_the_definitions_is_left_alone() -> None:
    with cluster("stand-in") as access:
        CertManager(client(access)).reconcile()
        assert client(access).items("/api/v1/secrets") == []
