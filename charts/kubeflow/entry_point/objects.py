from collections.abc import Sequence

from constructs import Construct

from charts.kit.chart import ComponentChart
from charts.kit.istio import GATEWAY_ACCOUNT, GATEWAY_NAMESPACE, gateway
from charts.kit.kubeflow import GATEWAY_NAME, NAMESPACE
from charts.kit.objects import Manifest, metadata


class EntryPoint(ComponentChart):
    """What stands between the load balancer and Kubeflow: the gateway's listener, and the gate that verifies callers.

    :param hosts: names under which Kubeflow is called.
    :param gate: objects that admit only requests with a verified identity, such as those of
        :func:`charts.kit.identity_gate.identity_gate`.
    :param target_group_arn: target group of the load balancer, which the gateway's pods join. Default: there is no load
        balancer; people reach the gateway through the API server.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        hosts: Sequence[str],
        gate: Sequence[Manifest],
        target_group_arn: str | None = None,
    ) -> None:
        super().__init__(scope, id)
        self.add(gateway(GATEWAY_NAME, NAMESPACE, hosts=hosts), *gate)
        if target_group_arn:
            self.add(_targets(target_group_arn))


def _targets(arn: str) -> Manifest:
    """The gateway's pods as targets. The security groups are opened where the load balancer's own is known."""
    name = GATEWAY_ACCOUNT.partition("/")[2]  # the chart calls Service and account alike
    return {
        "apiVersion": "elbv2.k8s.aws/v1beta1",
        "kind": "TargetGroupBinding",
        "metadata": metadata(GATEWAY_NAME, GATEWAY_NAMESPACE),
        "spec": {"serviceRef": {"name": name, "port": 80}, "targetGroupARN": arn, "targetType": "ip"},
    }
