"""Mutates pods on creation: a stand-in replaces a container whose image or whose volume driver is unavailable.

The rest of a pod is unchanged: it is scheduled, its volumes are mounted and its security context is enforced.
"""

import base64
import copy
import json
from collections.abc import Callable, Mapping
from typing import Any

from kubernetes_rehearsal.certificates import CertificateAuthority
from kubernetes_rehearsal.listener import Handler, Listener
from kubernetes_rehearsal.nodes import network

STAND_IN_IMAGE = "rehearsal.invalid/stand-in:1"
STORED_ONLY = "rehearsal.invalid/stored-only"
"""Annotation of a pod with the images and the volume drivers that were replaced, separated by commas."""
STANDS_FOR = "rehearsal.invalid/stands-for"
"""Annotation of a stand-in workload, with the images or the add-on that it replaces."""
WEBHOOK = "rehearsal-pods"
_KEPT = {"env", "envFrom", "name", "ports", "resources", "restartPolicy", "securityContext", "volumeMounts"}
_PROGRAM = "/pause"
_PATIENCE = 5
"""Factor for timeouts and failure thresholds of liveness probes."""

Object = dict[str, Any]
Change = Callable[[str, Object, str], Object]
"""Cluster, pod and the pod's namespace in, the changed pod out."""


def with_stand_ins(
    pod: Object, has_image: Callable[[str], bool], find_volume: Callable[[Object], Object | None] = lambda csi: None
) -> Object:
    """The pod, with a stand-in for each container with an unavailable image.

    Containers that must end, which are those of jobs and init containers, end immediately with success. A pod with an
    inline CSI volume consists of stand-ins: no driver runs, and so there is neither the volume nor the Secret that the
    driver would write.

    :param find_volume: takes an inline CSI volume, and returns the source of a volume with the content that its driver
        would write, or None. Default: always None.
    """
    pod = _with_found_volumes(pod, find_volume)
    drivers = {volume["csi"]["driver"] for volume in pod["spec"].get("volumes") or [] if "csi" in volume}
    spec, missing = _without_drivers(pod["spec"]) if drivers else dict(pod["spec"]), set(drivers)
    ends = spec.get("restartPolicy", "Always") != "Always"
    for group in ("initContainers", "containers"):
        containers = []
        for container in spec.get(group) or []:
            if has_image(container["image"]):
                if not drivers:
                    containers.append(container)
                    continue
            else:
                missing.add(container["image"])
            prepares = group == "initContainers" and container.get("restartPolicy") != "Always"
            kept = {name: value for name, value in container.items() if name in _KEPT}
            command = [_PROGRAM, "exit"] if ends or prepares else [_PROGRAM]
            containers.append({**kept, "image": STAND_IN_IMAGE, "command": command})
        if containers:
            spec[group] = containers
    if not missing:
        return pod
    metadata = dict(pod["metadata"])
    metadata["annotations"] = {**(metadata.get("annotations") or {}), STORED_ONLY: ",".join(sorted(missing))}
    return {**pod, "metadata": metadata, "spec": spec}


def with_patient_probes(pod: Object) -> Object:
    """The pod, with liveness probes that wait longer: all programs of a platform share this machine's processors.

    A slow program is not killed; a program that never answers is killed later.
    """
    containers = []
    for container in pod["spec"]["containers"]:
        if probe := container.get("livenessProbe"):
            patient = {
                "timeoutSeconds": _PATIENCE * probe.get("timeoutSeconds", 1),
                "failureThreshold": _PATIENCE * probe.get("failureThreshold", 3),
            }
            container = {**container, "livenessProbe": {**probe, **patient}}
        containers.append(container)
    return {**pod, "spec": {**pod["spec"], "containers": containers}}


def _with_found_volumes(pod: Object, find_volume: Callable[[Object], Object | None]) -> Object:
    volumes = []
    for volume in pod["spec"].get("volumes") or []:
        source = find_volume(volume["csi"]) if "csi" in volume else None
        volumes.append({"name": volume["name"], **source} if source else volume)
    return {**pod, "spec": {**pod["spec"], "volumes": volumes}} if volumes else pod


def _without_drivers(spec: Object) -> Object:
    """The spec with empty folders in place of inline CSI volumes, and with Secrets that may be absent."""
    changed = copy.deepcopy(spec)
    for volume in changed["volumes"]:
        if volume.pop("csi", None):
            volume["emptyDir"] = {}
    for container in [*(changed.get("initContainers") or []), *changed["containers"]]:
        references = [variable.get("valueFrom", {}).get("secretKeyRef") for variable in container.get("env") or []]
        references += [source.get("secretRef") for source in container.get("envFrom") or []]
        for reference in filter(None, references):
            reference["optional"] = True
    return changed


class PodAdmission:
    """The webhook that changes pods, for the clusters of any number of sandboxes.

    :param change: called for each pod that is created.
    """

    def __init__(self, change: Change) -> None:
        self._authority = CertificateAuthority("rehearsal-admission")
        certificate = self._authority.issue("admission", hosts=(network.CONTROL_PLANE,))
        self._listener = Listener(_handler(change), certificate)

    @property
    def port(self) -> int:
        """Of loopback."""
        return self._listener.server_port

    def configuration(self, cluster: str) -> Object:
        """The MutatingWebhookConfiguration of one cluster."""
        url = f"https://{network.CONTROL_PLANE}:{network.ADMISSION_PORT}/{cluster}"
        authority = base64.b64encode(self._authority.pem.encode()).decode()
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": WEBHOOK},
            "webhooks": [
                {
                    "name": f"pods.{WEBHOOK}.invalid",
                    "admissionReviewVersions": ["v1"],
                    "clientConfig": {"url": url, "caBundle": authority},
                    "failurePolicy": "Fail",
                    "reinvocationPolicy": "IfNeeded",  # other webhooks add containers
                    "rules": [
                        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
                    ],
                    "sideEffects": "None",
                    "timeoutSeconds": 30,
                }
            ],
        }

    def stop(self) -> None:
        """Close the port."""
        self._listener.stop()


def review(request: Mapping[str, Any], cluster: str, change: Change) -> Object:
    """The answer to an AdmissionReview of a pod."""
    asked = request["request"]
    pod = asked["object"]
    changed = change(cluster, pod, asked.get("namespace", "default"))
    patch = [
        {"op": "add", "path": f"/{part}", "value": changed[part]}
        for part in ("metadata", "spec")
        if changed[part] != pod[part]
    ]
    response: Object = {"uid": asked["uid"], "allowed": True}
    if patch:
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}


def _handler(change: Change) -> type[Handler]:
    class AdmissionHandler(Handler):
        def do_POST(self) -> None:
            request = json.loads(self.body())
            self.reply(200, json.dumps(review(request, self.path.strip("/").partition("?")[0], change)).encode())

    return AdmissionHandler
