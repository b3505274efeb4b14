"""What nodes and cloud controllers report on AWS, reported here without them: nothing runs, so nothing else would.

Waits for a rollout, a job, a bound volume or a load balancer's address therefore end as soon as the object is accepted.
Whether an image starts, a probe passes or a job succeeds cannot be learned from it.
"""

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

Object = dict[str, Any]
AGGREGATED = "/apis/apiregistration.k8s.io/v1/apiservices"
"""The collection of aggregated APIs."""
_UNREACHABLE = "rehearsal.invalid"  # a name that never resolves, RFC 6761


def deployment(found: Object, now: str) -> Object:
    """All replicas up to date and available."""
    replicas = found["spec"].get("replicas", 1)
    ready = {
        "replicas": replicas,
        "updatedReplicas": replicas,
        "readyReplicas": replicas,
        "availableReplicas": replicas,
    }
    return {
        **ready,
        "observedGeneration": found["metadata"]["generation"],
        "conditions": [
            _condition(found, "Available", "MinimumReplicasAvailable", now),
            _condition(found, "Progressing", "NewReplicaSetAvailable", now),
        ],
    }


def stateful_set(found: Object, now: str) -> Object:
    """All replicas of the newest revision."""
    replicas = found["spec"].get("replicas", 1)
    revision = f"{found['metadata']['name']}-{found['metadata']['generation']}"
    return {
        "observedGeneration": found["metadata"]["generation"],
        "replicas": replicas,
        "readyReplicas": replicas,
        "availableReplicas": replicas,
        "currentReplicas": replicas,
        "updatedReplicas": replicas,
        "currentRevision": revision,
        "updateRevision": revision,
    }


def daemon_set(found: Object, now: str) -> Object:
    """One node, with its pod ready."""
    return {
        "observedGeneration": found["metadata"]["generation"],
        "desiredNumberScheduled": 1,
        "currentNumberScheduled": 1,
        "updatedNumberScheduled": 1,
        "numberReady": 1,
        "numberAvailable": 1,
        "numberMisscheduled": 0,
    }


def job(found: Object, now: str) -> Object:
    """Finished, unless it is suspended."""
    if found["spec"].get("suspend"):
        return {}
    status = found.get("status") or {}
    start = status.get("startTime", now)
    return {
        "startTime": start,
        "completionTime": status.get("completionTime", now),
        "succeeded": found["spec"].get("completions") or 1,
        "conditions": [
            _condition(found, "SuccessCriteriaMet", "CompletionsReached", now),
            _condition(found, "Complete", "CompletionsReached", now),
        ],
    }


def volume_claim(found: Object, now: str) -> Object:
    """Bound, to a volume of the requested size."""
    storage = found["spec"].get("resources", {}).get("requests", {}).get("storage")
    return {"phase": "Bound", "capacity": {"storage": storage}}


def load_balanced(found: Object, now: str) -> Object:
    """An address that never resolves, for an Ingress or a Service of type LoadBalancer."""
    if found["kind"] == "Service" and found["spec"].get("type") != "LoadBalancer":
        return {}
    metadata = found["metadata"]
    return {"loadBalancer": {"ingress": [{"hostname": f"{metadata['name']}.{metadata['namespace']}.{_UNREACHABLE}"}]}}


def aggregated_api(found: Object, now: str) -> Object:
    """An API that a Service answers: available."""
    if not found["spec"].get("service"):
        return {}
    return {"conditions": [_condition(found, "Available", "Passed", now)]}


def certified(configuration: Object) -> list[Object] | None:
    """The webhooks of a configuration with a certificate authority for those that lack one, or None if none does.

    On AWS cert-manager fills it in, or the component itself. It is not a certificate: nothing calls a webhook here.
    """
    webhooks = configuration.get("webhooks") or []
    if all(hook["clientConfig"].get("caBundle") for hook in webhooks):
        return None
    authority = base64.b64encode(b"filled in by the rehearsal; nothing calls this webhook").decode()
    return [{**hook, "clientConfig": {"caBundle": authority, **hook["clientConfig"]}} for hook in webhooks]


REPORTS: dict[str, tuple[str, Callable[[Object, str], Object]]] = {
    "/apis/apps/v1/deployments": ("Deployment", deployment),
    "/apis/apps/v1/statefulsets": ("StatefulSet", stateful_set),
    "/apis/apps/v1/daemonsets": ("DaemonSet", daemon_set),
    "/apis/batch/v1/jobs": ("Job", job),
    "/api/v1/persistentvolumeclaims": ("PersistentVolumeClaim", volume_claim),
    "/api/v1/services": ("Service", load_balanced),
    "/apis/networking.k8s.io/v1/ingresses": ("Ingress", load_balanced),
    AGGREGATED: ("APIService", aggregated_api),
}


def missing_status(collection: str, found: Object, now: datetime | None = None) -> Object:
    """The part of the status that the object does not have yet; empty if nothing changed.

    :param collection: path of the object's collection, a key of ``REPORTS``.
    """
    kind, report = REPORTS[collection]
    stamp = (now or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
    status = found.get("status") or {}
    wanted = report({**found, "kind": kind}, stamp)
    return {name: value for name, value in wanted.items() if status.get(name) != value}


def _condition(found: Object, kind: str, reason: str, now: str) -> Object:
    """A condition that is true, since when it first was."""
    for condition in (found.get("status") or {}).get("conditions") or []:
        if (condition["type"], condition["status"], condition.get("reason")) == (kind, "True", reason):
            had: Object = condition
            return had
    message = "reported by the rehearsal; nothing runs"
    return {"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now}
