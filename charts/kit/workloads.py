"""Deployments, DaemonSets, their containers, Services and disruption budgets."""

from collections.abc import Mapping, Sequence
from typing import Any

from charts.kit.objects import Manifest, metadata, selector
from charts.kit.security import RESTRICTED_CONTAINER, RESTRICTED_POD

CLUSTER_CRITICAL = "system-cluster-critical"
NODE_CRITICAL = "system-node-critical"
EVERY_NODE: Manifest = {"tolerations": [{"operator": "Exists"}]}
"""Placement of an agent that tolerates all taints and runs on every node."""


def http_probes(
    port: str | int,
    *,
    live: str = "/healthz",
    ready: str | None = "/readyz",
    start_seconds: int | None = None,
    period_seconds: int = 10,
) -> dict[str, Any]:
    """Liveness and readiness probes over HTTP.

    :param ready: path of the readiness probe. Default: ``/readyz``; None for a container without clients.
    :param start_seconds: time that the container may take to start before liveness counts. Default: no startup probe.
    """
    probes: dict[str, Any] = {
        "livenessProbe": {"httpGet": {"path": live, "port": port}, "periodSeconds": period_seconds},
    }
    if ready:
        probes["readinessProbe"] = {"httpGet": {"path": ready, "port": port}, "periodSeconds": period_seconds}
    if start_seconds:
        failures = -(-start_seconds // period_seconds)
        probes["startupProbe"] = {**probes["livenessProbe"], "failureThreshold": failures}
    return probes


def tcp_probes(port: str | int, *, period_seconds: int = 10) -> dict[str, Any]:
    """Liveness and readiness probes that open a connection, for servers without an HTTP health path."""
    probe = {"tcpSocket": {"port": port}, "periodSeconds": period_seconds}
    return {"livenessProbe": probe, "readinessProbe": dict(probe)}


def resources(*, cpu: str, memory: str, memory_limit: str | None = None) -> dict[str, Any]:
    """Requests, and a limit of memory only: a limit of CPU would throttle a container on an idle node.

    :param memory_limit: Default: the request, which keeps other pods of the node safe from it.
    """
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory_limit or memory}}


def container(
    name: str,
    image: str,
    *,
    resources: Manifest,
    command: Sequence[str] = (),
    args: Sequence[str] = (),
    env: Mapping[str, str | Manifest] | None = None,
    ports: Mapping[str, int] | None = None,
    probes: Manifest | None = None,
    mounts: Mapping[str, str] | None = None,
    read_only: Sequence[str] = (),
    security: Manifest = RESTRICTED_CONTAINER,
    **more: Any,
) -> dict[str, Any]:
    """A container.

    :param resources: from :func:`resources`.
    :param env: variables; a value that is not text is a ``valueFrom``, see :func:`from_field` and :func:`from_secret`.
    :param ports: number by name.
    :param probes: from :func:`http_probes` or :func:`tcp_probes`. Default: none.
    :param mounts: name of the volume by path. ``volume/key`` mounts one file of it.
    :param read_only: the paths of ``mounts`` that are read only.
    :param more: additional Kubernetes fields, such as ``lifecycle``.
    """
    fields: dict[str, Any] = {
        "command": list(command),
        "args": list(args),
        "env": [_variable(key, value) for key, value in (env or {}).items()],
        "ports": [{"name": key, "containerPort": number} for key, number in (ports or {}).items()],
        "resources": resources,
        **(probes or {}),
        "securityContext": security,
        "volumeMounts": [_mount(path, volume, path in read_only) for path, volume in (mounts or {}).items()],
        **more,
    }
    return {"name": name, "image": image, **{key: value for key, value in fields.items() if value}}


def _variable(name: str, value: str | Manifest) -> dict[str, Any]:
    return {"name": name, "value": value} if isinstance(value, str) else {"name": name, "valueFrom": value}


def _mount(path: str, volume: str, read_only: bool) -> dict[str, Any]:
    name, _, key = volume.partition("/")
    part = {"subPath": key} if key else {}
    return {"name": name, "mountPath": path, **part, **({"readOnly": True} if read_only else {})}


def from_field(path: str) -> dict[str, Any]:
    """A variable that holds a field of the pod, such as ``spec.nodeName``."""
    return {"fieldRef": {"fieldPath": path}}


def from_secret(name: str, key: str) -> dict[str, Any]:
    """A variable that holds a key of a Secret."""
    return {"secretKeyRef": {"name": name, "key": key}}


def pod(
    *containers: Manifest,
    service_account: str | None = None,
    volumes: Mapping[str, Manifest] | None = None,
    placement: Manifest | None = None,
    priority: str | None = None,
    security: Manifest = RESTRICTED_POD,
    **more: Any,
) -> dict[str, Any]:
    """A pod spec.

    :param service_account: Default: none; no token of the API server is mounted then.
    :param volumes: the source of each volume by name: ``{"scratch": {"emptyDir": {}}}``.
    :param placement: node selection, affinity and tolerations.
    :param more: additional Kubernetes fields.
    """
    identity = {"serviceAccountName": service_account} if service_account else {"automountServiceAccountToken": False}
    fields = {
        "priorityClassName": priority,
        "volumes": [{"name": name, **source} for name, source in (volumes or {}).items()],
        **more,
    }
    return {
        **identity,
        "securityContext": security,
        "containers": [*containers],
        **{key: value for key, value in fields.items() if value},
        **(placement or {}),
    }


def spread(name: str) -> dict[str, Any]:
    """Replicas in different Availability Zones, where that is possible."""
    return {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": selector(name)},
    }


def deployment(
    name: str,
    namespace: str,
    pod: Manifest,
    *,
    replicas: int | None = 2,
    pod_labels: Mapping[str, str] | None = None,
    pod_annotations: Mapping[str, str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A Deployment; several replicas are spread over Availability Zones.

    :param replicas: None if an autoscaler owns the number.
    :param pod_labels: labels of pods besides the selector's, such as ``sidecar.istio.io/inject``.
    :param more: further fields of the spec, such as ``strategy``.
    """
    spec = pod if replicas == 1 else {**pod, "topologySpreadConstraints": [spread(name)]}
    count = {} if replicas is None else {"replicas": replicas}
    return _workload("Deployment", name, namespace, spec, pod_labels, pod_annotations, {**count, **more})


def daemon_set(
    name: str,
    namespace: str,
    pod: Manifest,
    *,
    pod_labels: Mapping[str, str] | None = None,
    pod_annotations: Mapping[str, str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A DaemonSet, updated one node at a time."""
    update = {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}}
    return _workload("DaemonSet", name, namespace, pod, pod_labels, pod_annotations, {**update, **more})


def stateful_set(
    name: str,
    namespace: str,
    pod: Manifest,
    *,
    replicas: int,
    claims: Mapping[str, str] | None = None,
    pod_labels: Mapping[str, str] | None = None,
    pod_annotations: Mapping[str, str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A StatefulSet behind the headless Service of its name.

    :param claims: size of the volume by name, such as ``{"data": "20Gi"}``; each pod gets its own.
    """
    templates = [
        {
            "metadata": {"name": claim},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
        }
        for claim, size in (claims or {}).items()
    ]
    spec = {
        "replicas": replicas,
        "serviceName": name,
        **({"volumeClaimTemplates": templates} if templates else {}),
        **more,
    }
    spread_pod = pod if replicas == 1 else {**pod, "topologySpreadConstraints": [spread(name)]}
    return _workload("StatefulSet", name, namespace, spread_pod, pod_labels, pod_annotations, spec)


def _workload(
    kind: str,
    name: str,
    namespace: str,
    pod: Manifest,
    labels: Mapping[str, str] | None,
    annotations: Mapping[str, str] | None,
    spec: Manifest,
) -> dict[str, Any]:
    about: dict[str, Any] = {"labels": {**selector(name), **(labels or {})}}
    if annotations:
        about["annotations"] = dict(annotations)
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": metadata(name, namespace),
        "spec": {**spec, "selector": {"matchLabels": selector(name)}, "template": {"metadata": about, "spec": pod}},
    }


def service(
    name: str,
    namespace: str,
    ports: Mapping[str, int | tuple[int, int | str]],
    *,
    of: str | None = None,
    headless: bool = False,
    **more: Any,
) -> dict[str, Any]:
    """A Service inside the cluster.

    :param ports: port by name, or port and target port; Istio reads the protocol from the name (``http-web``).
    :param of: name of the workload that answers. Default: the Service's own.
    :param more: further metadata, such as ``annotations``.
    """
    listed = []
    for port, number in ports.items():
        outside, target = number if isinstance(number, tuple) else (number, number)
        listed.append({"name": port, "port": outside, "targetPort": target})
    spec: dict[str, Any] = {"selector": selector(of or name), "ports": listed}
    if headless:
        spec["clusterIP"] = "None"
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata(name, namespace, **more), "spec": spec}


def disruption_budget(name: str, namespace: str, *, max_unavailable: int | str = 1) -> dict[str, Any]:
    """A PodDisruptionBudget: how many replicas a drain may evict at a time."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(name, namespace),
        "spec": {"maxUnavailable": max_unavailable, "selector": {"matchLabels": selector(name)}},
    }
