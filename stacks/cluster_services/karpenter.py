from collections.abc import Mapping, Sequence

import cdk8s
from aws_cdk import Acknowledgment, Duration, Validations
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs
from constructs import Construct, IDependable

from charts.definitions import DEFINITIONS
from charts.karpenter import NAME, NAMESPACE, KarpenterNodes, NodePool, NodeSettings, karpenter_values
from mlplatform_constructs import Manifests, NodeGroupSpec, ProvidedObjects, WorkloadRole

from .installer import Allow, Installer
from .karpenter_access import making_nodes

_NOTICES = (
    "AWS Health Event",
    "EC2 Instance Rebalance Recommendation",
    "EC2 Instance State-change Notification",
    "EC2 Spot Instance Interruption Warning",
)


class Karpenter(Construct):
    """Karpenter, with a pool of nodes for each group of the cluster but the platform's own.

    EC2 announces through a queue which instances it takes back, recommends to move or stops; Karpenter then drains the
    node and makes another before it goes. https://karpenter.sh/docs/concepts/disruption/#interruption

    - ``nodes``: the pools; all of Karpenter is there before them.

    :param subnet_tags: tags of the subnets in which to make nodes.
    :param isolated: whether AWS services without an endpoint in the network are out of reach.
    :param balancing: is there when the load balancer controller answers, which looks at each Service that is made.
    :raises ValueError: for a group that must have nodes all the time, which Karpenter does not keep.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        installer: Installer,
        zones: Sequence[str],
        subnet_tags: Mapping[str, str],
        isolated: bool,
        balancing: IDependable,
    ) -> None:
        super().__init__(scope, id)
        cluster = installer.cluster
        pools = [_pool(self, spec, zones) for spec in cluster.node_groups if spec.purpose != NodeGroupSpec.SYSTEM]
        profile = iam.CfnInstanceProfile(self, "NodeProfile", roles=[cluster.node_role.role_name])
        queue = self._queue()
        self._notices(queue)
        role = self._role(installer, queue, profile)
        definitions = installer.release(self, "Definitions", "karpenter-crd", namespace=NAMESPACE, values={})
        release = installer.release(
            self,
            "Release",
            NAME,
            namespace=NAMESPACE,
            values=karpenter_values(
                images=installer.images,
                cluster_name=cluster.cluster_name,
                queue_name=queue.queue_name,
                isolated=isolated,
                placement=installer.placement,
            ),
            after=[definitions, *installer.settled(role), balancing],
        )
        ProvidedObjects(self, "Kinds", cluster=cluster.cluster, by=release, definitions=DEFINITIONS["karpenter-crd"])
        settings = NodeSettings(
            instance_profile=profile.ref,
            security_group_id=cluster.cluster.cluster_security_group.security_group_id,
            subnet_tags=subnet_tags,
        )
        chart = KarpenterNodes(cdk8s.App(), "Nodes", pools=pools, settings=settings)
        self.nodes: Manifests = installer.deliver(self, "Nodes", chart, after=[release])

    def _queue(self) -> sqs.Queue:
        queue = sqs.Queue(
            self,
            "Notices",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.minutes(5),
        )
        Validations.of(queue).acknowledge(
            Acknowledgment(
                id="AwsSolutions-SQS3", reason="a notice that nobody took in five minutes is about a node that is gone"
            )
        )
        return queue

    def _notices(self, queue: sqs.Queue) -> None:
        target = events.CfnRule.TargetProperty(arn=queue.queue_arn, id="Queue")
        pattern = {"source": ["aws.ec2", "aws.health"], "detail-type": list(_NOTICES)}
        rule = events.CfnRule(self, "Rule", event_pattern=pattern, targets=[target])
        queue.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("events.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[queue.queue_arn],
                conditions={"ArnEquals": {"aws:SourceArn": rule.attr_arn}},
            )
        )

    def _role(self, installer: Installer, queue: sqs.Queue, profile: iam.CfnInstanceProfile) -> WorkloadRole:
        return installer.role(
            self,
            "Controller",
            NAME,
            namespace=NAMESPACE,
            allow=[
                *making_nodes(installer),
                Allow(
                    actions=["sqs:DeleteMessage", "sqs:GetQueueUrl", "sqs:ReceiveMessage"], resources=[queue.queue_arn]
                ),
                Allow(
                    actions=["iam:PassRole"],
                    resources=[installer.cluster.node_role.role_arn],
                    conditions={"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
                ),
                Allow(actions=["iam:GetInstanceProfile"], resources=[profile.attr_arn]),
                Allow(actions=["eks:DescribeCluster"], resources=[installer.cluster.cluster.cluster_arn]),
            ],
        )


def _pool(scope: Construct, spec: NodeGroupSpec, zones: Sequence[str]) -> NodePool:
    if spec.min_per_zone:
        raise ValueError(
            f"{scope.node.path}: node group {spec.name!r}: min_per_zone must be 0 with Karpenter, got "
            f"{spec.min_per_zone}; it keeps no nodes for pods that are not there"
        )
    chosen = spec.availability_zones or tuple(zones)
    bottlerocket = (spec.image or "").startswith("BOTTLEROCKET")
    return NodePool(
        name=spec.name,
        labels=spec.labels,
        taints=spec.taints,
        instance_types=spec.instance_types,
        architecture="arm64" if spec.instance.architecture == "arm64" else "amd64",
        capacity="spot" if spec.capacity == "spot" else "on-demand",
        zones=chosen,
        cpus=spec.instance.vcpus * spec.max_per_zone * len(chosen),
        image=spec.image_id or ("bottlerocket" if bottlerocket else "al2023"),
        disk_gib=spec.disk_gib,
        max_pods=spec.max_pods,
        accelerated=bool(spec.device_resource),
    )
