"""Deploying a model version and moving traffic to it without a failed request.

The new version starts next to the old one. Only when all its pods are ready does the Service select them, in one
change, and only after the last requests to the old pods can have ended are these deleted. If the new version does not
become ready, it is deleted, and the old one continues to serve.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlplatform_components.errors import ComponentError, JobFailed, TimedOut
from mlplatform_components.json_values import whole_numbers
from mlplatform_components.kubernetes import KubernetesApi
from mlplatform_components.waiting import Patience

SERVER_LABEL = "mlplatform/model-server"
VERSION_LABEL = "mlplatform/model-version"

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,39}[a-z0-9])?")
_APPS = "apps/v1"
_DIGEST_OR_TAG = re.compile(r".+(@sha256:[0-9a-f]{64}|:(?!latest$)[\w][\w.-]*)")


@dataclass(frozen=True, kw_only=True)
class ModelServer:
    """A version of a model and the container that serves it.

    :param name: of the server; the Service of this name gets the traffic.
    :param namespace: of the server.
    :param image: with a tag or a digest, and not ``latest``.
    :param model_uri: S3 prefix of the model; the container finds it in the variable ``MODEL_URI``.
    :param version: of the model.
    :param port: of the container, and its path for readiness. Default: 8080 and ``/v2/health/ready``.
    :param replicas: pods. Default: 2.
    :param cpu: of each pod. Default: 1.
    :param memory: of each pod. Default: ``2Gi``.
    :param service_account: whose role may read the model. Default: ``model-server``, which the platform creates in
        each namespace of models.
    :param drain_seconds: for which a pod still answers after it left the load balancer. Default: 20.
    :param grace_seconds: for the longest request, after draining. Default: 40.
    :raises ComponentError: for values that Kubernetes refuses.
    """

    name: str
    namespace: str
    image: str
    model_uri: str
    version: int
    port: int = 8080
    ready_path: str = "/v2/health/ready"
    replicas: int = 2
    cpu: str = "1"
    memory: str = "2Gi"
    service_account: str = "model-server"
    drain_seconds: int = 20
    grace_seconds: int = 40

    def __post_init__(self) -> None:
        place = f"model server {self.name!r}"
        for what in ("name", "namespace"):
            if not _NAME.fullmatch(getattr(self, what)):
                raise ComponentError(
                    f"{place}: {what} must be 1 to 41 lower-case letters, digits and hyphens, got "
                    f"{getattr(self, what)!r}"
                )
        if not _DIGEST_OR_TAG.fullmatch(self.image):
            raise ComponentError(f"{place}: image must have a digest, or a tag other than latest, got {self.image!r}")
        if self.version < 1 or self.replicas < 1:
            raise ComponentError(f"{place}: version and replicas must be 1 or more")
        if min(self.drain_seconds, self.grace_seconds) < 1:
            raise ComponentError(f"{place}: drain_seconds and grace_seconds must be 1 or more")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, version: int, uri: str) -> "ModelServer":
        """A server from JSON.

        :raises ComponentError: for unknown or missing keys.
        """
        try:
            return cls(**whole_numbers(dict(values)), version=version, model_uri=uri)
        except TypeError as error:
            raise ComponentError(
                f"model server {values.get('name')!r}: {error}; see ModelServer for its keys"
            ) from None

    @property
    def deployment_name(self) -> str:
        """Name of the Deployment of this version."""
        return f"{self.name}-{self.version}"

    @property
    def labels(self) -> dict[str, str]:
        """Of the pods."""
        return {SERVER_LABEL: self.name, VERSION_LABEL: str(self.version)}

    def deployment(self) -> dict[str, Any]:
        """The pods of this version, within the ``restricted`` pod security level."""
        probe = {"httpGet": {"path": self.ready_path, "port": self.port}}
        container = {
            "name": "server",
            "image": self.image,
            "env": [
                {"name": "MODEL_URI", "value": self.model_uri},
                {"name": "MODEL_VERSION", "value": str(self.version)},
            ],
            "ports": [{"name": "http", "containerPort": self.port}],
            "resources": {
                "requests": {"cpu": self.cpu, "memory": self.memory},
                "limits": {"memory": self.memory},
            },
            "startupProbe": {**probe, "periodSeconds": 5, "failureThreshold": 120},
            "readinessProbe": {**probe, "periodSeconds": 5, "failureThreshold": 2},
            "livenessProbe": {"tcpSocket": {"port": self.port}, "periodSeconds": 10, "failureThreshold": 6},
            "lifecycle": {"preStop": {"sleep": {"seconds": self.drain_seconds}}},
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            },
            "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],
        }
        spread = {
            "maxSkew": 1,
            "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": self.labels},
        }
        pod = {
            "serviceAccountName": self.service_account,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": self.drain_seconds + self.grace_seconds,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "topologySpreadConstraints": [spread],
            "containers": [container],
            "volumes": [{"name": "scratch", "emptyDir": {}}],
        }
        return {
            "apiVersion": _APPS,
            "kind": "Deployment",
            "metadata": {"name": self.deployment_name, "namespace": self.namespace, "labels": self.labels},
            "spec": {
                "replicas": self.replicas,
                "selector": {"matchLabels": self.labels},
                "template": {"metadata": {"labels": self.labels}, "spec": pod},
            },
        }

    def service(self) -> dict[str, Any]:
        """The Service that selects this version."""
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": self.name, "namespace": self.namespace, "labels": {SERVER_LABEL: self.name}},
            "spec": {
                "selector": self.labels,
                "ports": [{"name": "http", "port": 80, "targetPort": self.port, "protocol": "TCP"}],
            },
        }


def deploy_model(api: KubernetesApi, server: ModelServer, patience: Patience) -> None:
    """Start a version next to the one that serves, and wait until all its pods are ready. Traffic stays where it is.

    :raises JobFailed: if Kubernetes gives up on it.
    :raises TimedOut: if it is not ready in time. In both cases it is deleted, unless it has the traffic already.
    """
    try:
        api.apply(server.deployment())
        patience.until(
            lambda: _progress(api, server), lambda state: state == "ready", f"{server.deployment_name} to be ready"
        )
    except (JobFailed, TimedOut):
        if serving_version(api, server.namespace, server.name) != server.version:
            api.delete("Deployment", _APPS, server.namespace, server.deployment_name)
        raise


def switch_traffic(api: KubernetesApi, server: ModelServer, patience: Patience) -> int | None:
    """Move all traffic to a version that is ready, then delete the others when their last requests have ended.

    :return: the version that served before, or None.
    :raises ComponentError: if the version is not ready; traffic stays where it is.
    """
    if _progress(api, server) != "ready":
        raise ComponentError(f"{server.deployment_name}: not ready; traffic stays where it is. Deploy it first")
    before = serving_version(api, server.namespace, server.name)
    api.apply(server.service())
    others = [
        found["metadata"]["name"]
        for found in api.list("Deployment", _APPS, server.namespace, {SERVER_LABEL: server.name})
        if found["metadata"]["name"] != server.deployment_name
    ]
    if others:
        # Every proxy and load balancer knows the change by then; the pods themselves drain once more when deleted.
        patience.sleep(server.drain_seconds)
    for name in others:
        api.delete("Deployment", _APPS, server.namespace, name)
    return before if before != server.version else None


def serving_version(api: KubernetesApi, namespace: str, name: str) -> int | None:
    """The version that has the traffic of a server, or None."""
    service = api.get("Service", "v1", namespace, name)
    selected = service["spec"].get("selector", {}).get(VERSION_LABEL) if service else None
    return int(selected) if selected else None


def _progress(api: KubernetesApi, server: ModelServer) -> str:
    found = api.get("Deployment", _APPS, server.namespace, server.deployment_name)
    if not found:
        return "missing"
    status: Mapping[str, Any] = found.get("status", {})
    if status.get("observedGeneration", 0) < found["metadata"].get("generation", 1):
        return "pending"
    for condition in status.get("conditions", ()):
        if condition["type"] == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            raise JobFailed(f"{server.deployment_name}: not ready: {condition.get('message', '')}")
    wanted = found["spec"].get("replicas", 1)
    ready = min(status.get("updatedReplicas", 0), status.get("availableReplicas", 0)) >= wanted
    return "ready" if ready else f"{status.get('availableReplicas', 0)} of {wanted} pods ready"
