"""The resource types that the stand-in serves. What it could not check, it does not offer."""

from dataclasses import dataclass, field
from typing import Any

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")

# plural, kind, scope (n: namespaced, c: cluster), short names, category, subresources; below the API version
_BUILT_IN = """
v1
  configmaps                      ConfigMap                      n cm       -              -
  endpoints                       Endpoints                      n ep       -              -
  events                          Event                          n ev       -              -
  limitranges                     LimitRange                     n limits   -              -
  namespaces                      Namespace                      c ns       -              finalize,status
  nodes                           Node                           c no       -              status
  persistentvolumeclaims          PersistentVolumeClaim          n pvc      -              status
  persistentvolumes               PersistentVolume               c pv       -              status
  pods                            Pod                            n po       all            status
  replicationcontrollers          ReplicationController          n rc       all            scale,status
  resourcequotas                  ResourceQuota                  n quota    -              status
  secrets                         Secret                         n -        -              -
  serviceaccounts                 ServiceAccount                 n sa       -              -
  services                        Service                        n svc      all            status
admissionregistration.k8s.io/v1
  mutatingwebhookconfigurations   MutatingWebhookConfiguration   c -        api-extensions -
  validatingadmissionpolicies     ValidatingAdmissionPolicy      c -        api-extensions status
  validatingadmissionpolicybindings ValidatingAdmissionPolicyBinding c -    api-extensions -
  validatingwebhookconfigurations ValidatingWebhookConfiguration c -        api-extensions -
apiextensions.k8s.io/v1
  customresourcedefinitions       CustomResourceDefinition       c crd,crds api-extensions status
apiregistration.k8s.io/v1
  apiservices                     APIService                     c -        api-extensions status
apps/v1
  daemonsets                      DaemonSet                      n ds       all            status
  deployments                     Deployment                     n deploy   all            scale,status
  replicasets                     ReplicaSet                     n rs       all            scale,status
  statefulsets                    StatefulSet                    n sts      all            scale,status
autoscaling/v2
  horizontalpodautoscalers        HorizontalPodAutoscaler        n hpa      all            status
batch/v1
  cronjobs                        CronJob                        n cj       all            status
  jobs                            Job                            n -        all            status
coordination.k8s.io/v1
  leases                          Lease                          n -        -              -
discovery.k8s.io/v1
  endpointslices                  EndpointSlice                  n -        -              -
networking.k8s.io/v1
  ingressclasses                  IngressClass                   c -        -              -
  ingresses                       Ingress                        n ing      -              status
  networkpolicies                 NetworkPolicy                  n netpol   -              -
node.k8s.io/v1
  runtimeclasses                  RuntimeClass                   c -        -              -
policy/v1
  poddisruptionbudgets            PodDisruptionBudget            n pdb      -              status
rbac.authorization.k8s.io/v1
  clusterrolebindings             ClusterRoleBinding             c -        -              -
  clusterroles                    ClusterRole                    c -        -              -
  rolebindings                    RoleBinding                    n -        -              -
  roles                           Role                           n -        -              -
scheduling.k8s.io/v1
  priorityclasses                 PriorityClass                  c pc       -              -
storage.k8s.io/v1
  csidrivers                      CSIDriver                      c -        -              -
  storageclasses                  StorageClass                   c sc       -              -
"""

# Asked and answered, never stored: group, plural, kind, scope.
REVIEWS = {
    ("authentication.k8s.io", "selfsubjectreviews"): ("SelfSubjectReview", False),
    ("authorization.k8s.io", "localsubjectaccessreviews"): ("LocalSubjectAccessReview", True),
    ("authorization.k8s.io", "selfsubjectaccessreviews"): ("SelfSubjectAccessReview", False),
    ("authorization.k8s.io", "subjectaccessreviews"): ("SubjectAccessReview", False),
}


@dataclass(frozen=True)
class ResourceType:
    """A resource type of one API version.

    :param schema: of a custom resource, as its definition has it. Default: a built-in type, known by its kind.
    :param definition: name of the definition behind a custom resource. Default: none.
    :param storage_version: version in which objects are kept. Default: this one.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = VERBS
    singular: str = ""
    list_kind: str = ""
    schema: dict[str, Any] | None = field(default=None, compare=False)
    definition: str = ""
    storage_version: str = ""

    @property
    def api_version(self) -> str:
        """As objects name it: ``apps/v1``, or ``v1`` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version


def built_in_types() -> list[ResourceType]:
    """Every built-in type, reviews included."""
    types = []
    group = version = ""
    for line in _BUILT_IN.strip().split("\n"):
        if not line.startswith(" "):
            group, _, version = line.rpartition("/")
        else:
            plural, kind, scope, *lists = line.split()
            short_names, categories, subresources = (() if text == "-" else tuple(text.split(",")) for text in lists)
            verbs = tuple(verb for verb in VERBS if (plural, verb) != ("namespaces", "deletecollection"))
            types.append(
                ResourceType(
                    group, version, plural, kind, scope == "n", short_names, categories, subresources, verbs,
                    singular=kind.lower(), list_kind=f"{kind}List",
                )
            )  # fmt: skip
    for (group, plural), (kind, namespaced) in REVIEWS.items():
        types.append(ResourceType(group, "v1", plural, kind, namespaced, verbs=("create",), singular=kind.lower()))
    return types
