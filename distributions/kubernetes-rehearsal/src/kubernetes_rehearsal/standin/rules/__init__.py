"""What the API server demands of objects beyond their schema, by kind."""

from collections.abc import Callable

from kubernetes_rehearsal.standin.errors import Object, Problems
from kubernetes_rehearsal.standin.rules import (
    access,
    configuration,
    definitions,
    extensions,
    networking,
    pods,
    volumes,
    workloads,
)
from kubernetes_rehearsal.standin.rules.metadata import changeable_metadata, metadata

Rule = Callable[[Object, Problems], None]
Change = Callable[[Object, Object, Problems], None]

_RULES: dict[str, Rule] = {
    "APIService": extensions.api_service,
    "CSIDriver": volumes.csi_driver,
    "ClusterRole": access.cluster_role,
    "ClusterRoleBinding": access.cluster_role_binding,
    "ConfigMap": configuration.config_map,
    "CronJob": workloads.cron_job,
    "CustomResourceDefinition": definitions.definition,
    "DaemonSet": workloads.daemon_set,
    "Deployment": workloads.deployment,
    "EndpointSlice": networking.endpoint_slice,
    "HorizontalPodAutoscaler": workloads.autoscaler,
    "Ingress": networking.ingress,
    "IngressClass": networking.ingress_class,
    "Job": workloads.job,
    "Lease": configuration.lease,
    "LimitRange": configuration.limit_range,
    "MutatingWebhookConfiguration": extensions.webhooks,
    "Namespace": configuration.namespace,
    "NetworkPolicy": networking.network_policy,
    "PersistentVolume": volumes.persistent_volume,
    "PersistentVolumeClaim": volumes.claim,
    "Pod": pods.pod,
    "PodDisruptionBudget": workloads.disruption_budget,
    "PriorityClass": configuration.priority_class,
    "ReplicaSet": workloads.replica_set,
    "ReplicationController": workloads.replication_controller,
    "ResourceQuota": configuration.resource_quota,
    "Role": access.role,
    "RoleBinding": access.role_binding,
    "RuntimeClass": configuration.runtime_class,
    "Secret": configuration.secret,
    "Service": networking.service,
    "StatefulSet": workloads.stateful_set,
    "StorageClass": volumes.storage_class,
    "ValidatingAdmissionPolicy": extensions.admission_policy,
    "ValidatingAdmissionPolicyBinding": extensions.admission_policy_binding,
    "ValidatingWebhookConfiguration": extensions.webhooks,
}
_CREATIONS: dict[str, Rule] = {"Ingress": networking.ingress_creation}
_CHANGES: dict[str, Change] = {
    "CSIDriver": volumes.csi_driver_change,
    "ClusterRoleBinding": access.binding_change,
    "ConfigMap": configuration.immutable_change,
    "CustomResourceDefinition": definitions.definition_change,
    "DaemonSet": workloads.selector_change,
    "Deployment": workloads.selector_change,
    "IngressClass": networking.ingress_class_change,
    "Job": workloads.job_change,
    "PersistentVolume": volumes.persistent_volume_change,
    "PersistentVolumeClaim": volumes.claim_change,
    "Pod": pods.pod_change,
    "PriorityClass": configuration.priority_class_change,
    "ReplicaSet": workloads.selector_change,
    "RoleBinding": access.binding_change,
    "Secret": configuration.secret_change,
    "Service": networking.service_change,
    "StatefulSet": workloads.stateful_set_change,
    "StorageClass": volumes.storage_class_change,
}


def check_built_in(found: Object, old: Object | None, namespaced: bool, problems: Problems) -> None:
    """Check a built-in object.

    :param old: what an update replaces, None on creation.
    """
    kind = found["kind"]
    check_metadata(found, old, namespaced, problems)
    if rule := _RULES.get(kind):
        rule(found, problems)
    if old is None:
        if creation := _CREATIONS.get(kind):
            creation(found, problems)
    elif change := _CHANGES.get(kind):
        change(found, old, problems)


def check_metadata(found: Object, old: Object | None, namespaced: bool, problems: Problems) -> None:
    """Check the metadata of any object."""
    if old is None:
        metadata(found, namespaced, problems)
    else:
        changeable_metadata(found, problems)


def kinds() -> set[str]:
    """The kinds with specific rules."""
    return set(_RULES)
