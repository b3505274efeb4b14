from constructs import Construct

from charts.kit.admission import IN_SYSTEM_NAMESPACE, admission_policy, admission_rule
from charts.kit.chart import ComponentChart

SYSTEM_TAINT = "CriticalAddonsOnly"
"""The taint of the nodes on which the platform's own pods run."""


class TenantLimits(ComponentChart):
    """Restrictions of all pods outside the platform's namespaces, regardless of their pod security level.

    Pods of tenants do not run on the platform's nodes, next to controllers with AWS roles, do not mount the file system
    of a node, and do not use a priority that preempts the platform. A toleration of every taint counts as one of the
    platform's taint.
    """

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        self.add(
            *admission_policy(
                "mlplatform-tenant-pods",
                rules=[admission_rule("", "v1", "pods", "CREATE UPDATE")],
                variables={"system": IN_SYSTEM_NAMESPACE},
                expressions={
                    f"only the platform's pods may tolerate the taint {SYSTEM_TAINT}; name the taints that are meant": (
                        "variables.system || object.spec.?tolerations.orValue([]).all(t, "
                        f"t.?key.orValue('') != '' && t.key != '{SYSTEM_TAINT}')"
                    ),
                    "only the platform's pods may mount host paths; use a claim": (
                        "variables.system || object.spec.?volumes.orValue([]).all(v, !has(v.hostPath))"
                    ),
                    "only the platform's pods may have a system priority": (
                        "variables.system || !object.spec.?priorityClassName.orValue('').startsWith('system-')"
                    ),
                },
            )
        )
