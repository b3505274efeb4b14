from aws_cdk import RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from .installer import Allow, Installer

_NAME = "amazon-cloudwatch-observability"
_KINDS = ("application", "dataplane", "host", "performance")


class PodLogs(Construct):
    """What pods and nodes write goes to CloudWatch, and stays there when they are gone, with metrics of both.

    The log groups have the names that the agents use. They are made here, encrypted and with an end, and the agents may
    not make any: late logs of a cluster that goes would make new ones. Those that are kept go with a first deployment
    that fails, since they would stop every further attempt by their names.

    :param encryption_key: encrypts the logs; its policy lets CloudWatch Logs in.
    :param retention: how long they are kept.
    :param removal_policy: what becomes of them when the stack goes.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        installer: Installer,
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
        role = installer.role(
            self,
            "Agent",
            "cloudwatch-agent",
            namespace="amazon-cloudwatch",
            allow=[
                Allow(
                    actions=["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
                    resources=[installer.arn("logs", f"log-group:{prefix}/{kind}:*") for kind in _KINDS],
                    why="streams that are yet to come, of one log group",
                ),
                Allow(
                    actions=["cloudwatch:PutMetricData"],
                    resources=["*"],
                    conditions={"StringEquals": {"cloudwatch:namespace": ["CWAgent", "ContainerInsights"]}},
                    why="metrics have no ARN; the namespaces are named",
                ),
                Allow(
                    actions=["ec2:DescribeTags", "ec2:DescribeVolumes"],
                    resources=["*"],
                    why="EC2 knows no narrower one",
                ),
            ],
        )
        installer.add_on(
            self, _NAME, configuration=_configuration(installer), after=[*installer.settled(role), *groups]
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
