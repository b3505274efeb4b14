"""In which order kinds of objects are applied. They are removed in the reverse order."""

from enum import IntEnum

WAVE_ANNOTATION = "mlplatform-constructs/wave"
"""Names an object's wave where its kind does not tell. It is not delivered."""


class Wave(IntEnum):
    """Objects of a wave are applied when those of all waves before are, and are ready as far as later ones need it."""

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
    Wave.GUARDED: ["Ingress"],  # by the load balancer controller, which also has to take it down again
}
_OF_KIND = {kind: wave for wave, kinds in _KINDS.items() for kind in kinds}


def wave_of_builtin(kind: str) -> Wave:
    """The wave of a kind that Kubernetes itself defines. Whatever others refer to is configuration."""
    return _OF_KIND.get(kind, Wave.CONFIGURATION)


def wave_named(name: str) -> Wave | None:
    """The wave that an annotation names, such as ``workloads``."""
    return Wave.__members__.get(name.upper())
