from collections.abc import Sequence

from aws_cdk import aws_ec2 as ec2
from constructs import Construct, IDependable

from charts.definitions import DEFINITIONS
from charts.load_balancer_controller import NAME, NAMESPACE, load_balancer_controller_values
from mlplatform_constructs import ProvidedObjects

from .installer import Allow, Installer

_TAG = "elbv2.k8s.aws/cluster"
_NO_ARN = "these name no resource beforehand"
_TO_COME = "what is yet to come, known by the cluster's tag"


class LoadBalancing(Construct):
    """The AWS Load Balancer Controller: load balancers for Ingresses and Services, and pods as targets of any.

    Its webhooks look at every Service and Ingress that is made, so whatever makes one must come ``after``.

    It may change only what carries the tag ``elbv2.k8s.aws/cluster`` with the cluster's name, which it gives to all
    that it makes. A target group that is made elsewhere needs the tag, too, in order to be bound to pods.

    - ``after``: is there when the controller answers.

    :param before: what makes Services itself and must be there first.
    """

    def __init__(
        self, scope: Construct, id: str, *, installer: Installer, vpc: ec2.IVpc, before: Sequence[IDependable]
    ) -> None:
        super().__init__(scope, id)
        role = installer.role(
            self,
            "Controller",
            NAME,
            namespace=NAMESPACE,
            allow=[
                *_looking(installer),
                *_security_groups(installer, vpc),
                *_load_balancers(installer),
            ],
        )
        release = installer.release(
            self,
            "Release",
            NAME,
            namespace=NAMESPACE,
            values=load_balancer_controller_values(
                images=installer.images,
                cluster_name=installer.cluster.cluster_name,
                region=installer.region,
                vpc_id=vpc.vpc_id,
                placement=installer.placement,
            ),
            after=[*installer.settled(role), *before],
        )
        self.after: IDependable = ProvidedObjects(
            self, "Kinds", cluster=installer.cluster.cluster, by=release, definitions=DEFINITIONS[NAME]
        )


def _looking(installer: Installer) -> list[Allow]:
    """What it must know before it makes or binds anything, and what lets a listener use a certificate or sign-in."""
    describe = (
        "AccountAttributes Addresses AvailabilityZones CoipPools Instances InternetGateways IpamPools "
        "NetworkInterfaces RouteTables SecurityGroups Subnets Tags VpcPeeringConnections Vpcs"
    )
    balancing = (
        "CapacityReservation ListenerAttributes ListenerCertificates Listeners LoadBalancerAttributes LoadBalancers "
        "Rules SSLPolicies Tags TargetGroupAttributes TargetGroups TargetHealth TrustStores"
    )
    return [
        Allow(
            actions=[
                *(f"ec2:Describe{what}" for what in describe.split()),
                *(f"elasticloadbalancing:Describe{what}" for what in balancing.split()),
                "acm:DescribeCertificate",
                "acm:ListCertificates",
                "ec2:GetCoipPoolUsage",
                "ec2:GetSecurityGroupsForVpc",
                "wafv2:GetWebACL",
                "wafv2:GetWebACLForResource",
            ],
            resources=["*"],
            conditions={"StringEquals": {"aws:RequestedRegion": installer.region}},
            why=_NO_ARN,
        ),
        Allow(
            actions=["cognito-idp:DescribeUserPoolClient"],
            resources=[installer.arn("cognito-idp", "userpool/*")],
            why="listeners may sign people in by any pool of the account",
        ),
        Allow(
            actions=["wafv2:AssociateWebACL", "wafv2:DisassociateWebACL"],
            resources=[
                installer.arn("wafv2", "regional/webacl/*/*"),
                installer.arn("elasticloadbalancing", "loadbalancer/app/*/*"),
            ],
            why="Ingresses may name any web ACL of the account",
        ),
        Allow(
            actions=["iam:CreateServiceLinkedRole"],
            resources=[
                f"arn:{installer.partition}:iam::{installer.account}:role/aws-service-role/elasticloadbalancing.amazonaws.com/"
                "AWSServiceRoleForElasticLoadBalancing"
            ],
            conditions={"StringEquals": {"iam:AWSServiceName": "elasticloadbalancing.amazonaws.com"}},
        ),
    ]


def _security_groups(installer: Installer, vpc: ec2.IVpc) -> list[Allow]:
    """Groups of its own, in the cluster's network; and the way from them to the nodes."""
    cluster = installer.cluster.cluster_name
    group = installer.arn("ec2", "security-group/*")
    nodes = installer.arn("ec2", f"security-group/{installer.cluster.cluster.cluster_security_group.security_group_id}")
    rules = ["ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"]
    ours = {f"aws:ResourceTag/{_TAG}": cluster}
    asked = {f"aws:RequestTag/{_TAG}": cluster}
    return [
        Allow(actions=rules, resources=[nodes]),
        Allow(actions=["ec2:CreateSecurityGroup"], resources=[installer.arn("ec2", f"vpc/{vpc.vpc_id}")]),
        Allow(
            actions=["ec2:CreateSecurityGroup"],
            resources=[group],
            conditions={"StringEquals": asked},
            why=_TO_COME,
        ),
        Allow(
            actions=["ec2:CreateTags"],
            resources=[group],
            conditions={"StringEquals": {**asked, "ec2:CreateAction": "CreateSecurityGroup"}},
            why=_TO_COME,
        ),
        Allow(
            actions=["ec2:CreateTags", "ec2:DeleteTags"],
            resources=[group],
            conditions={"StringEquals": ours, "Null": {f"aws:RequestTag/{_TAG}": "true"}},
            why=_TO_COME,
        ),
        Allow(
            actions=[*rules, "ec2:DeleteSecurityGroup"],
            resources=[group],
            conditions={"StringEquals": ours},
            why=_TO_COME,
        ),
    ]


def _load_balancers(installer: Installer) -> list[Allow]:
    cluster = installer.cluster.cluster_name
    kinds = ("listener-rule/*", "listener/*", "loadbalancer/*", "targetgroup/*")
    everything = [installer.arn("elasticloadbalancing", kind) for kind in kinds]
    ours = {f"aws:ResourceTag/{_TAG}": cluster}
    asked = {f"aws:RequestTag/{_TAG}": cluster}
    made = ["CreateListener", "CreateLoadBalancer", "CreateRule", "CreateTargetGroup"]
    changing = (
        "AddListenerCertificates CreateListener CreateRule DeleteListener DeleteLoadBalancer DeleteRule "
        "DeleteTargetGroup DeregisterTargets ModifyCapacityReservation ModifyIpPools ModifyListener "
        "ModifyListenerAttributes ModifyLoadBalancerAttributes ModifyRule ModifyTargetGroup "
        "ModifyTargetGroupAttributes RegisterTargets RemoveListenerCertificates SetIpAddressType SetRulePriorities "
        "SetSecurityGroups SetSubnets SetWebAcl"
    )
    return [
        Allow(
            actions=["elasticloadbalancing:CreateLoadBalancer", "elasticloadbalancing:CreateTargetGroup"],
            resources=everything,
            conditions={"StringEquals": asked},
            why=_TO_COME,
        ),
        Allow(
            actions=["elasticloadbalancing:AddTags"],
            resources=everything,
            conditions={"StringEquals": {**asked, "elasticloadbalancing:CreateAction": made}},
            why=_TO_COME,
        ),
        Allow(
            actions=["elasticloadbalancing:AddTags", "elasticloadbalancing:RemoveTags"],
            resources=everything,
            conditions={"StringEquals": ours, "Null": {f"aws:RequestTag/{_TAG}": "true"}},
            why=_TO_COME,
        ),
        Allow(
            actions=[f"elasticloadbalancing:{action}" for action in changing.split()],
            resources=everything,
            conditions={"StringEquals": ours},
            why=_TO_COME,
        ),
    ]
