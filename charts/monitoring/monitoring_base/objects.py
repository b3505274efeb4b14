from collections.abc import Sequence

from constructs import Construct

from charts.kit.admission import SYSTEM_LABEL
from charts.kit.chart import ComponentChart
from charts.kit.kubeflow import team_roles
from charts.kit.monitoring import GROUP, NAMESPACE, NODES_NAMESPACE, platform_monitor
from charts.kit.network import deny_all
from charts.kit.objects import namespace
from charts.kit.rbac import ALL, rule

_KINDS = "podmonitors prometheusrules servicemonitors"


class MonitoringBase(ComponentChart):
    """The namespaces of monitoring, closed until a component opens what it needs, and the rights of teams.

    Agents of nodes have a namespace of their own, because they mount folders of the node: ``monitoring`` itself
    enforces the restricted pod security level. Teams create monitors and rules in their namespaces; Prometheus limits
    both to the series of that namespace.

    :param controllers: namespaces with controllers of the platform, which exist already. Default: none.
    """

    def __init__(self, scope: Construct, id: str, *, controllers: Sequence[str] = ()) -> None:
        super().__init__(scope, id)
        self.add(
            namespace(NAMESPACE, **{SYSTEM_LABEL: "true"}),
            namespace(NODES_NAMESPACE, security="privileged", **{SYSTEM_LABEL: "true"}),
            deny_all(NAMESPACE),
            deny_all(NODES_NAMESPACE),
            *team_roles("monitoring", edit=[rule(GROUP, _KINDS, ALL)], view=[rule(GROUP, _KINDS)]),
            *map(platform_monitor, controllers),
        )
