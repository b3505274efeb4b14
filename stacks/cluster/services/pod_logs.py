from aws_cdk import RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct, IDependable

from ..._wiring.installer import Installer

_NAME = "amazon-cloudwatch-observability"
_KINDS = ("application", "dataplane", "host", "performance")


class PodLogs(Construct):
    """Logs and metrics of pods and nodes in CloudWatch, which outlive both.

    The log groups have the names that the agents use. They are created here, with encryption and retention, and the
    agents may not create any: late logs of a cluster that is being deleted would create new ones. Retained log groups
    are deleted with a first deployment that fails, because their names would make every further attempt fail.

    :param namespaces: exist before the add-on, which would create its own without a pod security level.
    :param encryption_key: encrypts the logs; its policy must admit CloudWatch Logs.
    :param retention: how long they are kept.
    :param removal_policy: removal policy of the log groups.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        installer: Installer,
        namespaces: IDependable,
        encryption_key: kms.IKey,
        retention: logs.RetentionDays,
        removal_policy: RemovalPolicy,
    ) -> None:
        super().__init__(scope, id)
        prefix = f"/aws/containerinsights/{installer.cluster.cluster_name}"
        keep = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
        groups = [
            logs.LogGroup(
                self,
                kind.capitalize(),
                log_group_name=f"{prefix}/{kind}",
                encryption_key=encryption_key,
                retention=retention,
                removal_policy=keep if removal_policy is RemovalPolicy.RETAIN else removal_policy,
            )
            for kind in _KINDS
        ]
        role = installer.role(self, "Agent", "cloudwatch-agent")
        installer.cluster.grant_write_logs(role, groups)
        installer.add_on(
            self, _NAME, configuration=_configuration(installer), after=[namespaces, *installer.settled(role), *groups]
        )


def _configuration(installer: Installer) -> dict[str, object]:
    """Agents on every node, whatever its taints; their manager with the platform's own pods; no tracing of programs."""
    kubernetes = {"enhanced_container_insights": True}
    return {
        "tolerations": [{"operator": "Exists"}],
        "manager": installer.placement,
        "containerLogs": {"enabled": True},
        "agent": {"config": {"logs": {"metrics_collected": {"kubernetes": kubernetes}}}},
        "applicationSignals": {"enabled": False},
        "otelContainerInsights": {"enabled": False},
    }
