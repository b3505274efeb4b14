"""Restrictions of operators that RBAC cannot express."""

from typing import Any

from charts.kit.admission import IN_SYSTEM_NAMESPACE, admission_policy, admission_rule

_RESTARTED = "kubectl.kubernetes.io/restartedAt"
"""The annotation of a pod template that ``kubectl rollout restart`` sets."""
_SAME_METADATA = " && ".join(
    f"object.metadata.?{field} == oldObject.metadata.?{field}"
    for field in ("labels", "annotations", "ownerReferences", "finalizers")
)


def policies(group: str) -> list[dict[str, Any]]:
    """The admission policies for a group of operators. Administrators, controllers and deployments are not affected.

    A user who can change a pod template runs any image with any service account, host path or secret of the namespace.
    """
    operators = {"operators": f"'{group}' in request.userInfo.groups"}
    return [
        *admission_policy(
            "mlplatform-operators-restart",
            rules=[admission_rule("apps", "v1", "daemonsets deployments statefulsets", "UPDATE")],
            when=operators,
            variables={
                "before": "oldObject.spec.template.?metadata.?annotations.orValue({})",
                "after": "object.spec.template.?metadata.?annotations.orValue({})",
            },
            expressions={
                "operators may restart and scale a workload, and change nothing else of its pods": (
                    "object.spec.template.spec == oldObject.spec.template.spec && "
                    "object.spec.template.?metadata.?labels == oldObject.spec.template.?metadata.?labels"
                ),
                f"operators may set the annotation {_RESTARTED} of pods and no other": (
                    f"variables.after.all(k, k == '{_RESTARTED}' || "
                    "(k in variables.before && variables.before[k] == variables.after[k])) && "
                    f"variables.before.all(k, k == '{_RESTARTED}' || k in variables.after)"
                ),
                "operators may not change labels, annotations, owners or finalizers of a workload": _SAME_METADATA,
            },
        ),
        *admission_policy(
            "mlplatform-operators-suspend",
            rules=[admission_rule("batch", "v1", "cronjobs", "UPDATE")],
            when=operators,
            expressions={
                "operators may suspend and resume a schedule, and change nothing else of it": (
                    "object.spec.jobTemplate == oldObject.spec.jobTemplate && "
                    "object.spec.schedule == oldObject.spec.schedule && " + _SAME_METADATA
                )
            },
        ),
        *admission_policy(
            "mlplatform-operators-cordon",
            rules=[admission_rule("", "v1", "nodes", "UPDATE")],
            when=operators,
            expressions={
                "operators may cordon a node, and change nothing else of it": (
                    "object.spec.?taints == oldObject.spec.?taints && " + _SAME_METADATA
                )
            },
        ),
        *admission_policy(
            "mlplatform-operators-system",
            rules=[
                admission_rule("", "v1", "pods", "DELETE"),
                admission_rule("apps", "v1", "daemonsets deployments statefulsets */scale", "UPDATE"),
                admission_rule("batch", "v1", "cronjobs jobs", "UPDATE DELETE"),
            ],
            when=operators,
            expressions={"system namespaces belong to the platform; ask an administrator": f"!({IN_SYSTEM_NAMESPACE})"},
        ),
    ]
