"""The values that the API server fills in, by the type that they belong to."""

import copy
from collections.abc import Callable
from typing import Any

from kubernetes_rehearsal.standin.errors import Object

RBAC = "rbac.authorization.k8s.io"

# Plain values of fields that are absent. Objects inside are copied.
_VALUES: dict[str, Object] = {
    "ConfigMapVolumeSource": {"defaultMode": 0o644},
    "Container": {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"},
    "ContainerPort": {"protocol": "TCP"},
    "CronJobSpec": {
        "concurrencyPolicy": "Allow",
        "failedJobsHistoryLimit": 1,
        "successfulJobsHistoryLimit": 3,
        "suspend": False,
    },
    "CSIDriverSpec": {
        "attachRequired": True,
        "fsGroupPolicy": "ReadWriteOnceWithFSType",
        "podInfoOnMount": False,
        "requiresRepublish": False,
        "storageCapacity": False,
        "volumeLifecycleModes": ["Persistent"],
    },
    "DaemonSetSpec": {"revisionHistoryLimit": 10, "updateStrategy": {"type": "RollingUpdate"}},
    "DaemonSetUpdateStrategy": {"type": "RollingUpdate"},
    "DeploymentSpec": {
        "progressDeadlineSeconds": 600,
        "replicas": 1,
        "revisionHistoryLimit": 10,
        "strategy": {"type": "RollingUpdate"},
    },
    "DeploymentStrategy": {"type": "RollingUpdate"},
    "DownwardAPIVolumeSource": {"defaultMode": 0o644},
    "HorizontalPodAutoscalerSpec": {
        "minReplicas": 1,
        "metrics": [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
            }
        ],
    },
    "HostPathVolumeSource": {"type": ""},
    "HTTPGetAction": {"path": "/", "scheme": "HTTP"},
    "IngressClassParametersReference": {"scope": "Cluster"},
    "MatchResources": {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}},
    "MutatingWebhook": {
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "namespaceSelector": {},
        "objectSelector": {},
        "reinvocationPolicy": "Never",
        "timeoutSeconds": 10,
    },
    "NetworkPolicyPort": {"protocol": "TCP"},
    "ObjectFieldSelector": {"apiVersion": "v1"},
    "PersistentVolumeClaimSpec": {"volumeMode": "Filesystem"},
    "PersistentVolumeSpec": {"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"},
    "PodSpec": {
        "dnsPolicy": "ClusterFirst",
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
    },
    "PriorityClass": {"preemptionPolicy": "PreemptLowerPriority", "value": 0},
    "Probe": {"failureThreshold": 3, "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1},
    "ProjectedVolumeSource": {"defaultMode": 0o644},
    "ReplicaSetSpec": {"replicas": 1},
    "ReplicationControllerSpec": {"replicas": 1},
    "RoleRef": {"apiGroup": RBAC},
    "RuleWithOperations": {"scope": "*"},
    "Secret": {"type": "Opaque"},
    "SecretVolumeSource": {"defaultMode": 0o644},
    "ServiceAccountTokenProjection": {"expirationSeconds": 3600},
    "StatefulSetSpec": {
        "podManagementPolicy": "OrderedReady",
        "replicas": 1,
        "revisionHistoryLimit": 10,
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
    },
    "StatefulSetPersistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
    "StorageClass": {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"},
    "ValidatingAdmissionPolicySpec": {"failurePolicy": "Fail"},
    "ValidatingWebhook": {
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "namespaceSelector": {},
        "objectSelector": {},
        "timeoutSeconds": 10,
    },
}
_NULL = (None,)
_EMPTY = (None, "")
_ZERO = (None, "", 0)  # absent, for numbers that the server does not keep apart from absence


# Of these an empty text is a value, and a wrong one.
_OPTIONAL = {
    "CSIDriverSpec",
    "MutatingWebhook",
    "NetworkPolicyPort",
    "PriorityClass",
    "RuleWithOperations",
    "StorageClass",
    "ValidatingWebhook",
}


def set_defaults(definition: str, found: Object) -> None:
    """Fill in what ``found``, an object of a definition such as ``PodSpec``, leaves out."""
    absent = _ZERO if definition == "Probe" else _NULL if definition in _OPTIONAL else _EMPTY
    for name, value in _VALUES.get(definition, {}).items():
        if found.get(name) in absent:
            found[name] = copy.deepcopy(value)
    if rule := _RULES.get(definition):
        rule(found)


def _container(found: Object) -> None:
    if not found.get("imagePullPolicy"):
        name = found.get("image", "").rpartition("/")[2]
        latest = "@" not in name and (":" not in name or name.endswith(":latest"))
        found["imagePullPolicy"] = "Always" if latest else "IfNotPresent"


def _rolling_update(surge: Any, unavailable: Any) -> Callable[[Object], None]:
    def fill(found: Object) -> None:
        if found["type"] == "RollingUpdate":
            update = found.setdefault("rollingUpdate", {})
            update.setdefault("maxSurge", surge)
            update.setdefault("maxUnavailable", unavailable)

    return fill


def _job(found: Object) -> None:
    """Defaults of a Job; the template of a CronJob has none."""
    spec = found.get("spec", {})
    labels = spec.get("template", {}).get("metadata", {}).get("labels")
    if labels and not found.get("metadata", {}).get("labels"):
        found.setdefault("metadata", {})["labels"] = dict(labels)
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", 2**31 - 1 if "backoffLimitPerIndex" in spec else 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("manualSelector", False)
    spec.setdefault("podReplacementPolicy", "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed")


def _limit_range_item(found: Object) -> None:
    if found.get("type") == "Container":
        limits = found.setdefault("default", {})
        requests = found.setdefault("defaultRequest", {})
        for target, source in ((limits, found.get("max")), (requests, limits), (requests, found.get("min"))):
            for name, value in (source or {}).items():
                target.setdefault(name, value)


def _network_policy_spec(found: Object) -> None:
    if not found.get("policyTypes"):
        found["policyTypes"] = ["Ingress", "Egress"] if found.get("egress") else ["Ingress"]


def _pod(found: Object) -> None:
    spec = found.get("spec", {})
    spec.setdefault("enableServiceLinks", True)
    spec.setdefault("serviceAccountName", "default")
    for container in spec.get("containers", []) + spec.get("initContainers", []):
        resources = container.get("resources", {})
        for name, value in resources.get("limits", {}).items():
            resources.setdefault("requests", {}).setdefault(name, value)


def _pod_spec(found: Object) -> None:
    account = found.get("serviceAccountName") or found.get("serviceAccount")
    if account:
        found["serviceAccountName"] = found["serviceAccount"] = account
    if found.get("hostNetwork"):
        for container in found.get("containers", []) + found.get("initContainers", []):
            for port in container.get("ports", []):
                port.setdefault("hostPort", port.get("containerPort", 0))


def _replication_controller_spec(found: Object) -> None:
    labels = found.get("template", {}).get("metadata", {}).get("labels")
    if labels and not found.get("selector"):
        found["selector"] = dict(labels)


def _service_spec(found: Object) -> None:
    if not found.get("type"):
        found["type"] = "ClusterIP"
    if not found.get("sessionAffinity"):
        found["sessionAffinity"] = "None"
    for port in found.get("ports", []):
        if not port.get("protocol"):
            port["protocol"] = "TCP"
        if port.get("targetPort") in _ZERO:
            port["targetPort"] = port.get("port", 0)
    if found["type"] in ("NodePort", "LoadBalancer"):
        found.setdefault("externalTrafficPolicy", "Cluster")
    if found["type"] != "ExternalName":
        found.setdefault("internalTrafficPolicy", "Cluster")
    if found["type"] == "LoadBalancer":
        found.setdefault("allocateLoadBalancerNodePorts", True)


def _stateful_set_spec(found: Object) -> None:
    found.setdefault("persistentVolumeClaimRetentionPolicy", {"whenDeleted": "Retain", "whenScaled": "Retain"})
    strategy = found["updateStrategy"]
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        strategy.setdefault("rollingUpdate", {})
    if "rollingUpdate" in strategy:
        strategy["rollingUpdate"].setdefault("partition", 0)


def _subject(found: Object) -> None:
    if not found.get("apiGroup") and found.get("kind") in ("User", "Group"):
        found["apiGroup"] = RBAC


def _volume(found: Object) -> None:
    if not found.keys() - {"name"}:
        found["emptyDir"] = {}


def _webhook_service(found: Object) -> None:
    found.setdefault("port", 443)


_deployment_update = _rolling_update("25%", "25%")
_daemon_update = _rolling_update(0, 1)
_RULES: dict[str, Callable[[Object], None]] = {
    "Container": _container,
    "DaemonSetSpec": lambda found: _daemon_update(found["updateStrategy"]),
    "DeploymentSpec": lambda found: _deployment_update(found["strategy"]),
    "Job": _job,
    "LimitRangeItem": _limit_range_item,
    "NetworkPolicySpec": _network_policy_spec,
    "Pod": _pod,
    "PodSpec": _pod_spec,
    "ReplicationControllerSpec": _replication_controller_spec,
    "ServiceReference": _webhook_service,
    "ServiceSpec": _service_spec,
    "StatefulSetSpec": _stateful_set_spec,
    "Subject": _subject,
    "Volume": _volume,
}
