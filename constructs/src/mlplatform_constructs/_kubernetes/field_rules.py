"""What the API server refuses in single fields, beyond what its schemas tell.

https://github.com/kubernetes/kubernetes/tree/master/pkg/apis
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .checks import (
    Check,
    absolute,
    at_least,
    between,
    choice,
    cidr,
    domain_path,
    growing_share,
    host,
    https,
    ip,
    label,
    not_negative,
    pod_field,
    port,
    qualified,
    relative,
    resource_field,
    share,
    subdomain,
    trimmed,
    variable,
    without_dots,
)
from .tokens import is_token

Body = Mapping[str, Any]
Place = tuple[str, Any]
_ID = between(0, 2**31 - 1)
_MODE = between(0, 0o777)
_PROTOCOL = choice("TCP", "UDP", "SCTP")
_SECCOMP = choice("Localhost", "RuntimeDefault", "Unconfined")
_ACCESS = choice("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_WEIGHTS = "preferredDuringSchedulingIgnoredDuringExecution.*"
_TERMS = "requiredDuringSchedulingIgnoredDuringExecution.*"

POD: dict[str, Check] = {
    "activeDeadlineSeconds": between(1, 2**31 - 1),
    "hostname": label,
    "subdomain": label,
    "nodeName": subdomain,
    "hostAliases.*.ip": ip,
    "readinessGates.*.conditionType": qualified,
    "securityContext.runAsUser": _ID,
    "securityContext.runAsGroup": _ID,
    "securityContext.fsGroup": _ID,
    "securityContext.fsGroupChangePolicy": choice("Always", "OnRootMismatch"),
    "securityContext.seccompProfile.type": _SECCOMP,
    "securityContext.sysctls.*.name": qualified,
    "tolerations.*.operator": choice("Equal", "Exists"),
    f"affinity.nodeAffinity.{_WEIGHTS}.weight": between(1, 100),
    f"affinity.podAffinity.{_WEIGHTS}.weight": between(1, 100),
    f"affinity.podAntiAffinity.{_WEIGHTS}.weight": between(1, 100),
    "topologySpreadConstraints.*.maxSkew": at_least(1),
    "topologySpreadConstraints.*.minDomains": at_least(1),
    "volumes.*.name": label,
    "volumes.*.hostPath.path": without_dots,
    "volumes.*.hostPath.type": choice(
        "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"
    ),
    "volumes.*.nfs.path": absolute,
    "volumes.*.emptyDir.sizeLimit": not_negative,
    "volumes.*.downwardAPI.items.*.path": relative,
    "volumes.*.projected.sources.*.serviceAccountToken.path": relative,
    "volumes.*.projected.sources.*.serviceAccountToken.expirationSeconds": at_least(600),
    "volumes.*.projected.sources.*.downwardAPI.items.*.path": relative,
    "volumes.*.projected.defaultMode": _MODE,
    **{f"volumes.*.{source}.defaultMode": _MODE for source in ("configMap", "secret", "downwardAPI")},
    **{f"volumes.*.{source}.items.*.mode": _MODE for source in ("configMap", "secret", "downwardAPI")},
    **{f"volumes.*.{source}.items.*.path": relative for source in ("configMap", "secret")},
    **{f"volumes.*.projected.sources.*.{source}.items.*.path": relative for source in ("configMap", "secret")},
}
CONTAINER: dict[str, Check] = {
    "image": trimmed,
    "terminationMessagePolicy": choice("File", "FallbackToLogsOnError"),
    "env.*.name": variable,
    "env.*.valueFrom.fieldRef.fieldPath": pod_field,
    "env.*.valueFrom.resourceFieldRef.resource": resource_field,
    "securityContext.runAsUser": _ID,
    "securityContext.runAsGroup": _ID,
    "securityContext.seccompProfile.type": _SECCOMP,
    "volumeMounts.*.mountPropagation": choice("Bidirectional", "HostToContainer", "None"),
    "volumeMounts.*.subPath": relative,
    "volumeMounts.*.subPathExpr": relative,
    **{
        f"{handler}.{field}": check
        for handler in ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle.postStart", "lifecycle.preStop")
        for field, check in {
            "httpGet.scheme": choice("HTTP", "HTTPS"),
            "httpGet.port": port,
            "tcpSocket.port": port,
            "initialDelaySeconds": at_least(0),
            "timeoutSeconds": at_least(0),
            "periodSeconds": at_least(0),
            "successThreshold": at_least(0),
            "failureThreshold": at_least(0),
            "terminationGracePeriodSeconds": at_least(1),
        }.items()
    },
}
_JOB: dict[str, Check] = {
    "activeDeadlineSeconds": at_least(0),
    "completionMode": choice("Indexed", "NonIndexed"),
    "podReplacementPolicy": choice("Failed", "TerminatingOrFailed"),
    "ttlSecondsAfterFinished": at_least(0),
    "backoffLimitPerIndex": at_least(0),
}
_WEBHOOK: dict[str, Check] = {
    "webhooks.*.clientConfig.url": https,
    "webhooks.*.timeoutSeconds": between(1, 30),
}
KINDS: dict[str, dict[str, Check]] = {
    "CSIDriver": {"spec.fsGroupPolicy": choice("File", "None", "ReadWriteOnceWithFSType")},
    "ClusterRoleBinding": {"roleRef.kind": choice("ClusterRole")},
    "CronJob": {
        "spec.concurrencyPolicy": choice("Allow", "Forbid", "Replace"),
        "spec.failedJobsHistoryLimit": at_least(0),
        "spec.startingDeadlineSeconds": at_least(0),
        "spec.successfulJobsHistoryLimit": at_least(0),
        **{f"spec.jobTemplate.spec.{field}": check for field, check in _JOB.items()},
    },
    "DaemonSet": {
        "spec.minReadySeconds": at_least(0),
        "spec.revisionHistoryLimit": at_least(0),
        "spec.updateStrategy.rollingUpdate.maxSurge": share,
        "spec.updateStrategy.rollingUpdate.maxUnavailable": share,
    },
    "Deployment": {
        "spec.minReadySeconds": at_least(0),
        "spec.progressDeadlineSeconds": at_least(0),
        "spec.revisionHistoryLimit": at_least(0),
        "spec.strategy.rollingUpdate.maxSurge": growing_share,
        "spec.strategy.rollingUpdate.maxUnavailable": share,
    },
    "HorizontalPodAutoscaler": {
        "spec.metrics.*.type": choice("ContainerResource", "External", "Object", "Pods", "Resource"),
        **{
            f"spec.metrics.*.{source}.target.averageUtilization": at_least(1)
            for source in ("containerResource", "resource")
        },
        **{
            f"spec.behavior.{way}.{field}": check
            for way in ("scaleDown", "scaleUp")
            for field, check in {
                "policies.*.periodSeconds": between(1, 1800),
                "policies.*.type": choice("Percent", "Pods"),
                "policies.*.value": at_least(1),
                "selectPolicy": choice("Disabled", "Max", "Min"),
                "stabilizationWindowSeconds": between(0, 3600),
            }.items()
        },
    },
    "Ingress": {
        "spec.rules.*.host": host,
        "spec.rules.*.http.paths.*.pathType": choice("Exact", "ImplementationSpecific", "Prefix"),
        "spec.tls.*.hosts.*": host,
    },
    "IngressClass": {"spec.controller": domain_path},
    "Job": {f"spec.{field}": check for field, check in _JOB.items()},
    "Lease": {"spec.leaseDurationSeconds": at_least(1)},
    "LimitRange": {"spec.limits.*.type": choice("Container", "PersistentVolumeClaim", "Pod")},
    "MutatingWebhookConfiguration": _WEBHOOK,
    "Namespace": {"spec.finalizers.*": choice("kubernetes")},
    "NetworkPolicy": {
        "spec.policyTypes.*": choice("Egress", "Ingress"),
        **{
            f"spec.{way}.*.{field}": check
            for way in ("egress", "ingress")
            for field, check in {
                "from.*.ipBlock.cidr": cidr,
                "from.*.ipBlock.except.*": cidr,
                "ports.*.port": port,
                "ports.*.protocol": _PROTOCOL,
                "to.*.ipBlock.cidr": cidr,
                "to.*.ipBlock.except.*": cidr,
            }.items()
        },
    },
    "PersistentVolume": {
        "spec.accessModes.*": _ACCESS,
        "spec.hostPath.path": without_dots,
        "spec.nfs.path": absolute,
        "spec.storageClassName": subdomain,
        "spec.volumeMode": choice("Block", "Filesystem"),
    },
    "PersistentVolumeClaim": {
        "spec.accessModes.*": _ACCESS,
        "spec.storageClassName": subdomain,
        "spec.volumeMode": choice("Block", "Filesystem"),
    },
    "PodDisruptionBudget": {
        "spec.maxUnavailable": share,
        "spec.minAvailable": share,
        "spec.unhealthyPodEvictionPolicy": choice("AlwaysAllow", "IfHealthyBudget"),
    },
    "PriorityClass": {"preemptionPolicy": choice("Never", "PreemptLowerPriority")},
    "ResourceQuota": {
        "spec.scopes.*": choice(
            "BestEffort",
            "CrossNamespacePodAffinity",
            "NotBestEffort",
            "NotTerminating",
            "PriorityClass",
            "Terminating",
            "VolumeAttributesClass",
        ),
    },
    "RoleBinding": {"roleRef.kind": choice("ClusterRole", "Role")},
    "RuntimeClass": {"handler": label},
    "Service": {
        "spec.externalIPs.*": ip,
        "spec.externalName": subdomain,
        "spec.ipFamilyPolicy": choice("PreferDualStack", "RequireDualStack", "SingleStack"),
        "spec.loadBalancerClass": qualified,
        "spec.loadBalancerSourceRanges.*": cidr,
        "spec.ports.*.appProtocol": qualified,
        "spec.ports.*.name": label,
        "spec.ports.*.targetPort": port,
        "spec.sessionAffinity": choice("ClientIP", "None"),
        "spec.sessionAffinityConfig.clientIP.timeoutSeconds": between(1, 86_400),
    },
    "StatefulSet": {
        "spec.minReadySeconds": at_least(0),
        "spec.podManagementPolicy": choice("OrderedReady", "Parallel"),
        "spec.revisionHistoryLimit": at_least(0),
        "spec.updateStrategy.rollingUpdate.partition": at_least(0),
    },
    "StorageClass": {"provisioner": qualified},
    "ValidatingAdmissionPolicyBinding": {"spec.validationActions.*": choice("Audit", "Deny", "Warn")},
    "ValidatingWebhookConfiguration": _WEBHOOK,
}
"""Checks of fields by kind and path, in which ``*`` stands for every element of a list."""

POD_NEEDS: tuple[tuple[str, str], ...] = (
    *((f"affinity.{way}.{_TERMS}", "topologyKey") for way in ("podAffinity", "podAntiAffinity")),
    *((f"affinity.{way}.{_WEIGHTS}.podAffinityTerm", "topologyKey") for way in ("podAffinity", "podAntiAffinity")),
    ("volumes.*.configMap", "name"),
    ("volumes.*.csi", "driver"),
    ("volumes.*.ephemeral", "volumeClaimTemplate"),
    ("volumes.*.hostPath", "path"),
    ("volumes.*.nfs", "server"),
    ("volumes.*.persistentVolumeClaim", "claimName"),
    ("volumes.*.secret", "secretName"),
)
CONTAINER_NEEDS: tuple[tuple[str, str], ...] = (
    ("env.*", "name"),
    ("volumeMounts.*", "mountPath"),
    *((f"{probe}.exec", "command") for probe in ("livenessProbe", "readinessProbe", "startupProbe")),
    *((f"lifecycle.{when}.exec", "command") for when in ("postStart", "preStop")),
)
NEEDS: dict[str, tuple[tuple[str, str], ...]] = {
    "ClusterRoleBinding": (("roleRef", "name"),),
    "HorizontalPodAutoscaler": (("spec.scaleTargetRef", "kind"), ("spec.scaleTargetRef", "name")),
    "PersistentVolume": (
        ("spec", "accessModes"),
        ("spec", "capacity"),
        ("spec.csi", "driver"),
        ("spec.csi", "volumeHandle"),
    ),
    "RoleBinding": (("roleRef", "name"),),
    "StorageClass": (("", "provisioner"),),
    "ValidatingAdmissionPolicy": (("spec", "matchConstraints"),),
    "ValidatingAdmissionPolicyBinding": (("spec", "validationActions"), ("spec", "policyName")),
}
"""Fields that may not be empty where what holds them exists: the path of that, and the field."""

CONTAINER_ONE: dict[str, tuple[str, ...]] = {
    "env.*.valueFrom": ("configMapKeyRef", "fieldRef", "fileKeyRef", "resourceFieldRef", "secretKeyRef"),
    "envFrom.*": ("configMapRef", "secretRef"),
    "lifecycle.postStart": ("exec", "httpGet", "sleep", "tcpSocket"),
    "lifecycle.preStop": ("exec", "httpGet", "sleep", "tcpSocket"),
}
_HOOKS: dict[str, tuple[str, ...]] = {"webhooks.*.clientConfig": ("service", "url")}
_BACKEND = ("resource", "service")
ONE: dict[str, dict[str, tuple[str, ...]]] = {
    "Ingress": {
        "spec.defaultBackend": _BACKEND,
        "spec.defaultBackend.service.port": ("name", "number"),
        "spec.rules.*.http.paths.*.backend": _BACKEND,
        "spec.rules.*.http.paths.*.backend.service.port": ("name", "number"),
    },
    "MutatingWebhookConfiguration": _HOOKS,
    "ValidatingWebhookConfiguration": _HOOKS,
}
"""What must have exactly one of some fields, by its path."""


def field_problems(
    body: Any,
    at: str,
    checks: Mapping[str, Check],
    needs: Sequence[tuple[str, str]] = (),
    one: Mapping[str, tuple[str, ...]] | None = None,
) -> Iterator[str]:
    """What is wrong with fields below a place, each with its own place. Empty text counts as none."""
    for path, check in checks.items():
        for place, value in values(body, at, path):
            if value not in (None, "") and not is_token(value) and (problem := check(value)):
                yield f"{place}: {problem}"
    for path, field in needs:
        for place, value in values(body, at, path):
            if isinstance(value, Mapping) and not value.get(field):
                yield f"{place}.{field}: required; it may not be empty".removeprefix(".")
    for path, fields in (one or {}).items():
        for place, value in values(body, at, path):
            if isinstance(value, Mapping):
                having = [field for field in fields if value.get(field) is not None]
                if len(having) != 1:
                    yield f"{place}: must have one of {', '.join(fields)}, has {' and '.join(having) or 'none'}"


def values(body: Any, at: str, path: str) -> Iterator[Place]:
    """The values at a path, each with its place; none below a token."""
    first, _, rest = path.partition(".")
    if not path:
        yield at, body
    elif first == "*":
        for index, item in enumerate(body) if isinstance(body, list | tuple) else ():
            yield from values(item, f"{at}[{index}]", rest)
    elif isinstance(body, Mapping) and first in body:
        yield from values(body[first], f"{at}.{first}" if at else first, rest)
