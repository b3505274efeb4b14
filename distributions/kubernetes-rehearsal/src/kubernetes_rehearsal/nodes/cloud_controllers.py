"""What controllers that cannot run here add to a cluster with real nodes: volumes, addresses, certificates."""

import shutil
from pathlib import Path
from typing import Any

from kubernetes_rehearsal.client import MERGE_PATCH, ApiClient
from kubernetes_rehearsal.controllers import Controllers
from kubernetes_rehearsal.nodes.admission import STORED_ONLY
from kubernetes_rehearsal.nodes.cert_manager import CertManager
from kubernetes_rehearsal.reports import certified

_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
_CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
_CLAIMS = "/api/v1/persistentvolumeclaims"
_VOLUMES = "/api/v1/persistentvolumes"
_PROVISIONER = "rehearsal.invalid/volumes"
_PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
_SELECTED_NODE = "volume.kubernetes.io/selected-node"
_LOAD_BALANCED = ("/api/v1/services", "/apis/networking.k8s.io/v1/ingresses")
_NEVER = {"name": "stored-only", "expression": "false"}

Object = dict[str, Any]


class CloudControllers(Controllers):
    """Provisions volumes as folders that every node sees, reports addresses that never resolve, issues certificates.

    A webhook whose pods are stand-ins is never called, since no program would answer or write its certificate.

    :param client: a client with all permissions.
    :param volumes: folder of the sandbox for the content of volumes.
    """

    def __init__(self, client: ApiClient, volumes: Path) -> None:
        self._volumes = volumes
        self._cert_manager = CertManager(client)
        super().__init__(client, namespaces=False)

    def reconcile(self) -> None:
        """One round."""
        for collection in _LOAD_BALANCED:
            for found in self._client.items(f"{collection}?resourceVersion=0"):
                self._report(collection, found)
        self._provision_volumes()
        self._cert_manager.reconcile()
        for plural in ("mutatingwebhookconfigurations", "validatingwebhookconfigurations"):
            for found in self._client.items(f"{_ADMISSION}/{plural}?resourceVersion=0"):
                self._skip_stand_ins(plural, found)
        self._keep_namespaces()

    def _provision_volumes(self) -> None:
        claims = [claim for claim in self._client.items(_CLAIMS) if not claim["spec"].get("volumeName")]
        classes = {found["metadata"]["name"]: found for found in self._client.items(_CLASSES)} if claims else {}
        for claim in claims:
            name = claim["spec"].get("storageClassName")
            if name in classes and _is_due(claim, classes[name]):
                folder = self._volumes / str(claim["metadata"]["uid"])
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(0o777)
                self._request("POST", _VOLUMES, volume(claim, folder))
        for found in self._client.items(_VOLUMES):
            annotations = found["metadata"].get("annotations") or {}
            if annotations.get(_PROVISIONED_BY) == _PROVISIONER and found["status"].get("phase") == "Released":
                self._request("DELETE", f"{_VOLUMES}/{found['metadata']['name']}")
                shutil.rmtree(found["spec"]["local"]["path"], ignore_errors=True)

    def _skip_stand_ins(self, plural: str, found: Object) -> None:
        webhooks = found.get("webhooks") or []
        idle = [
            _NEVER not in (hook.get("matchConditions") or []) and self._is_stood_in(hook["clientConfig"])
            for hook in webhooks
        ]
        if any(idle):
            authorized = certified(found) or webhooks  # waits for certificates end
            changed = [
                {**whole, "matchConditions": [_NEVER]} if stood_in else hook
                for hook, whole, stood_in in zip(webhooks, authorized, idle, strict=True)
            ]
            seen = {"resourceVersion": found["metadata"]["resourceVersion"]}
            path = f"{_ADMISSION}/{plural}/{found['metadata']['name']}"
            self._request("PATCH", path, {"metadata": seen, "webhooks": changed}, MERGE_PATCH)

    def _is_stood_in(self, target: Object) -> bool:
        """Whether a webhook's Service has pods, all of which are stand-ins."""
        service = target.get("service")
        if not service:
            return False
        namespace = f"/api/v1/namespaces/{service['namespace']}"
        services = self._client.items(f"{namespace}/services?fieldSelector=metadata.name={service['name']}")
        selector = services[0]["spec"].get("selector") if services else None
        if not selector:
            return False
        labels = ",".join(f"{name}%3D{value}" for name, value in selector.items())
        pods = self._client.items(f"{namespace}/pods?labelSelector={labels}")
        return bool(pods) and all(STORED_ONLY in (pod["metadata"].get("annotations") or {}) for pod in pods)


def _is_due(claim: Object, storage_class: Object) -> bool:
    """Whether a claim's volume is to be made now; some classes wait until the scheduler has chosen a node."""
    waits = storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"
    return not waits or _SELECTED_NODE in (claim["metadata"].get("annotations") or {})


def volume(claim: Object, folder: Path) -> Object:
    """A volume for one claim: a folder, owned by the group of the pod that mounts it, as a disk is."""
    metadata, spec = claim["metadata"], claim["spec"]
    anywhere = {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"pvc-{metadata['uid']}", "annotations": {_PROVISIONED_BY: _PROVISIONER}},
        "spec": {
            "accessModes": spec["accessModes"],
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "claimRef": {"namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]},
            "local": {"path": str(folder)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [anywhere]}]}},
            "persistentVolumeReclaimPolicy": "Retain",  # deleted here, with its folder
            "storageClassName": spec["storageClassName"],
            "volumeMode": spec.get("volumeMode", "Filesystem"),
        },
    }
