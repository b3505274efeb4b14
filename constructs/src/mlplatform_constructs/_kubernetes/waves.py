"""The order in which kinds of objects are applied. They are deleted in reverse order."""

from enum import IntEnum

WAVE_ANNOTATION = "mlplatform-constructs/wave"
"""The annotation that overrides the wave of an object. It is not sent to the cluster."""


class Wave(IntEnum):
    """A step of the rollout. Its objects are applied after all earlier waves are applied and as ready as required."""

    DEFINITIONS = 0
    NAMESPACES = 1
    ACCESS = 2
    CONFIGURATION = 3
    WORKLOADS = 4
    WEBHOOKS = 5
    GUARDED = 6

    @property
    def title(self) -> str:
        return self.name.title()


_KINDS = {
    Wave.DEFINITIONS: ["CustomResourceDefinition"],
    Wave.NAMESPACES: ["Namespace"],
    Wave.ACCESS: ["ServiceAccount", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"],
    Wave.WORKLOADS: [
        *("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Pod", "Job", "CronJob"),
        "HorizontalPodAutoscaler",
    ],
    Wave.WEBHOOKS: [
        *("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "APIService"),
        *("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"),
        *("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
    ],
    Wave.GUARDED: ["Ingress"],  # implemented by the load balancer controller, which also has to delete it
}
_OF_KIND = {kind: wave for wave, kinds in _KINDS.items() for kind in kinds}


def wave_of_builtin(kind: str) -> Wave:
    """The wave of a built-in kind. Kinds that other objects refer to are configuration."""
    return _OF_KIND.get(kind, Wave.CONFIGURATION)


def wave_named(name: str) -> Wave | None:
    """The wave that an annotation names, such as ``workloads``."""
    return Wave.__members__.get(name.upper())
