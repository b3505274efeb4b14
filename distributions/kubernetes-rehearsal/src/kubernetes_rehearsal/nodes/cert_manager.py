"""Does the work of cert-manager, whose programs cannot be built here."""

import base64
from collections.abc import Mapping
from typing import Any

from kubernetes_rehearsal.certificates import CertificateAuthority
from kubernetes_rehearsal.client import APPLY_PATCH, MERGE_PATCH, ApiClient, ApiFailure
from kubernetes_rehearsal.nodes.empty_apis import is_empty

_API = "/apis/cert-manager.io/v1"
_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
_AGGREGATED = "/apis/apiregistration.k8s.io/v1/apiservices"
_WEBHOOKS = ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")
_INJECT = "cert-manager.io/inject-ca-from"
_ALT_NAMES = "cert-manager.io/alt-names"
_MANAGER = "?fieldManager=cert-manager&force=true"

Object = dict[str, Any]


class CertManager:
    """Reconciles certificates of self-signed and other issuers; an authority of this process signs them all.

    A Secret belongs to its Certificate and is deleted with it; cert-manager itself keeps it unless told otherwise.

    :param client: a client with all permissions.
    """

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._authorities: dict[tuple[str, int], str] = {}

    def reconcile(self) -> None:
        """One round. It does nothing until cert-manager's definitions exist."""
        certificates = self._served("certificates")
        if not certificates:
            return
        issuers = set()
        for plural in ("issuers", "clusterissuers"):
            for found in self._served(plural):
                issuers.add((plural, found["metadata"].get("namespace", ""), found["metadata"]["name"]))
                self._report(plural, found, ready=True, message="Signing CA verified")
        authorities: dict[str, str] = {}
        for found in certificates:
            metadata = found["metadata"]
            if _issuer(found) not in issuers:
                reference = found["spec"]["issuerRef"]
                message = f"{reference.get('kind', 'Issuer')} {reference['name']} does not exist"
                self._report("certificates", found, ready=False, message=message)
                continue
            issued = metadata["uid"], metadata["generation"]
            if issued not in self._authorities:
                self._authorities[issued] = self._secret(found)["data"]["ca.crt"]
            authorities[f"{metadata['namespace']}/{metadata['name']}"] = self._authorities[issued]
            self._report("certificates", found, ready=True, message="Certificate is up to date and has not expired")
        for plural in _WEBHOOKS:
            for found in self._client.items(f"{_ADMISSION}/{plural}?resourceVersion=0"):
                self._inject(plural, found, authorities)
        for found in self._client.items(f"{_AGGREGATED}?resourceVersion=0"):
            self._inject_into_api(found, authorities)

    def _served(self, plural: str) -> list[Object]:
        try:
            return self._client.items(f"{_API}/{plural}?resourceVersion=0")
        except ApiFailure as failure:
            if failure.code != 404:
                raise
            return []

    def _secret(self, found: Object) -> Object:
        """The Secret of a Certificate, which is issued unless it exists for the same names."""
        namespace = found["metadata"]["namespace"]
        path = f"/api/v1/namespaces/{namespace}/secrets/{found['spec']['secretName']}"
        try:
            known = self._client.get(path)
            named = (known["metadata"].get("annotations") or {}).get(_ALT_NAMES)
            if named == ",".join(_names(found)) and "ca.crt" in (known.get("data") or {}):
                return known
        except ApiFailure as failure:
            if failure.code != 404:
                raise
        return self._client.request("PATCH", f"{path}{_MANAGER}", secret(found), APPLY_PATCH)

    def _report(self, plural: str, found: Object, *, ready: bool, message: str) -> None:
        status = "True" if ready else "False"
        conditions = (found.get("status") or {}).get("conditions") or []
        if any((one["type"], one["status"], one.get("message")) == ("Ready", status, message) for one in conditions):
            return
        metadata = found["metadata"]
        place = f"namespaces/{metadata['namespace']}/" if "namespace" in metadata else ""
        condition = {"type": "Ready", "status": status, "reason": "Ready" if ready else "Pending", "message": message}
        path = f"{_API}/{place}{plural}/{metadata['name']}/status"
        self._client.request("PATCH", path, {"status": {"conditions": [condition]}}, MERGE_PATCH)

    def _inject(self, plural: str, found: Object, authorities: Mapping[str, str]) -> None:
        authority = authorities.get((found["metadata"].get("annotations") or {}).get(_INJECT, ""))
        webhooks = found.get("webhooks") or []
        if not authority or all(hook["clientConfig"].get("caBundle") == authority for hook in webhooks):
            return
        injected = [{**hook, "clientConfig": {**hook["clientConfig"], "caBundle": authority}} for hook in webhooks]
        seen = {"resourceVersion": found["metadata"]["resourceVersion"]}
        path = f"{_ADMISSION}/{plural}/{found['metadata']['name']}"
        self._client.request("PATCH", path, {"metadata": seen, "webhooks": injected}, MERGE_PATCH)

    def _inject_into_api(self, found: Object, authorities: Mapping[str, str]) -> None:
        authority = authorities.get((found["metadata"].get("annotations") or {}).get(_INJECT, ""))
        if not authority or found["spec"].get("caBundle") == authority or is_empty(found):
            return
        seen = {"resourceVersion": found["metadata"]["resourceVersion"]}
        path = f"{_AGGREGATED}/{found['metadata']['name']}"
        self._client.request("PATCH", path, {"metadata": seen, "spec": {"caBundle": authority}}, MERGE_PATCH)


def secret(found: Mapping[str, Any]) -> Object:
    """The Secret of a Certificate, with a new key."""
    metadata, names = found["metadata"], _names(found)
    authority = CertificateAuthority(metadata["name"])
    issued = authority.issue(names[0], hosts=names)
    data = {"ca.crt": authority.pem.encode(), "tls.crt": issued.certificate, "tls.key": issued.key}
    owner = {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "name": metadata["name"],
        "uid": metadata["uid"],
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": found["spec"]["secretName"],
            "namespace": metadata["namespace"],
            "annotations": {_ALT_NAMES: ",".join(names)},
            "ownerReferences": [owner],
        },
        "type": "kubernetes.io/tls",
        "data": {name: base64.b64encode(content).decode() for name, content in data.items()},
    }


def _names(found: Mapping[str, Any]) -> list[str]:
    spec = found["spec"]
    names: list[str] = spec.get("dnsNames") or [spec["commonName"]]
    return names


def _issuer(found: Mapping[str, Any]) -> tuple[str, str, str]:
    """Plural, namespace and name of a Certificate's issuer."""
    reference = found["spec"]["issuerRef"]
    if reference.get("kind") == "ClusterIssuer":
        return "clusterissuers", "", reference["name"]
    return "issuers", found["metadata"]["namespace"], reference["name"]
