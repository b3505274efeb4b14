"""What controllers that cannot run here add to a cluster with real nodes: volumes, addresses, certificates."""

import shutil
from pathlib import Path
from typing import Any

from kubernetes_rehearsal.client import ApiClient
from kubernetes_rehearsal.controllers import Controllers, Step
from kubernetes_rehearsal.nodes.cert_manager import CertManager
from kubernetes_rehearsal.nodes.stood_in_servers import StoodInServers

_CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
_CLAIMS = "/api/v1/persistentvolumeclaims"
_VOLUMES = "/api/v1/persistentvolumes"
_PROVISIONER = "rehearsal.invalid/volumes"
_PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
_SELECTED_NODE = "volume.kubernetes.io/selected-node"
_LOAD_BALANCED = ("/api/v1/services", "/apis/networking.k8s.io/v1/ingresses")

Object = dict[str, Any]


class CloudControllers(Controllers):
    """Provisions volumes as folders that every node sees, reports addresses that never resolve, issues certificates.

    Webhooks whose pods are stand-ins are never called, and their aggregated APIs are empty.

    :param client: a client with all permissions.
    :param volumes: folder of the sandbox for the content of volumes.
    :param empty_api: the part of an APIService's specification that leads to the empty API.
    """

    interval_seconds = 1.0  # real controllers share the processors

    def __init__(self, client: ApiClient, volumes: Path, empty_api: Object) -> None:
        self._volumes = volumes
        self._cert_manager = CertManager(client)
        self._stood_in = StoodInServers(client, self._request, empty_api)
        super().__init__(client, namespaces=False)

    def steps(self) -> tuple[Step, ...]:
        """Stand-ins come first: a webhook that has an authority may be called."""
        return (
            self._stood_in.reconcile,
            self._cert_manager.reconcile,
            self._provision_volumes,
            self._report_addresses,
            self._keep_namespaces,
        )

    def _report_addresses(self) -> None:
        for collection in _LOAD_BALANCED:
            for found in self._client.items(f"{collection}?resourceVersion=0"):
                self._report(collection, found)

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
