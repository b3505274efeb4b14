"""What the AWS Load Balancer Controller of a cluster needs."""

from .._security.account_grant import Arns, Permission

_TAG = "elbv2.k8s.aws/cluster"
_NO_ARN = "these actions support no resource-level permissions"
_TO_COME = "resources that do not exist yet, known by the cluster's tag"


def manage_load_balancers(
    arns: Arns, cluster_name: str, *, vpc_id: str, node_security_group_id: str
) -> list[Permission]:
    """To create load balancers, target groups and security groups with the cluster's tag, and to change such ones."""
    return [
        *_describe(arns),
        *_security_groups(arns, cluster_name, vpc_id, node_security_group_id),
        *_load_balancers(arns, cluster_name),
    ]


def _describe(arns: Arns) -> list[Permission]:
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
        Permission(
            actions=[
                *(f"ec2:Describe{what}" for what in describe.split()),
                *(f"elasticloadbalancing:Describe{what}" for what in balancing.split()),
                "acm:DescribeCertificate",
                "acm:ListCertificates",
                "ec2:GetCoipPoolUsage",
                "ec2:GetSecurityGroupsForVpc",
                "elasticloadbalancing:SetWebAcl",  # which no resource can limit
                "wafv2:GetWebACL",
                "wafv2:GetWebACLForResource",
            ],
            resources=["*"],
            conditions={"StringEquals": {"aws:RequestedRegion": arns.region}},
            why=_NO_ARN,
        ),
        Permission(
            actions=["cognito-idp:DescribeUserPoolClient"],
            resources=[arns.regional("cognito-idp", "userpool/*")],
            why="listeners may sign people in by any pool of the account",
        ),
        Permission(
            actions=["wafv2:AssociateWebACL", "wafv2:DisassociateWebACL"],
            resources=[
                arns.regional("wafv2", "regional/webacl/*/*"),
                arns.regional("elasticloadbalancing", "loadbalancer/app/*/*"),
            ],
            why="Ingresses may name any web ACL of the account",
        ),
        Permission(
            actions=["iam:CreateServiceLinkedRole"],
            resources=[
                arns.iam(
                    "role/aws-service-role/elasticloadbalancing.amazonaws.com/AWSServiceRoleForElasticLoadBalancing"
                )
            ],
            conditions={"StringEquals": {"iam:AWSServiceName": "elasticloadbalancing.amazonaws.com"}},
        ),
    ]


def _security_groups(arns: Arns, cluster_name: str, vpc_id: str, node_security_group_id: str) -> list[Permission]:
    """Its own security groups in the cluster's network, and rules from them to the nodes."""
    group = arns.regional("ec2", "security-group/*")
    nodes = arns.regional("ec2", f"security-group/{node_security_group_id}")
    rules = ["ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"]
    ours = {f"aws:ResourceTag/{_TAG}": cluster_name}
    asked = {f"aws:RequestTag/{_TAG}": cluster_name}
    return [
        Permission(actions=rules, resources=[nodes]),
        Permission(actions=["ec2:CreateSecurityGroup"], resources=[arns.regional("ec2", f"vpc/{vpc_id}")]),
        Permission(
            actions=["ec2:CreateSecurityGroup"],
            resources=[group],
            conditions={"StringEquals": asked},
            why=_TO_COME,
        ),
        Permission(
            actions=["ec2:CreateTags"],
            resources=[group],
            conditions={"StringEquals": {**asked, "ec2:CreateAction": "CreateSecurityGroup"}},
            why=_TO_COME,
        ),
        Permission(
            actions=["ec2:CreateTags", "ec2:DeleteTags"],
            resources=[group],
            conditions={"StringEquals": ours, "Null": {f"aws:RequestTag/{_TAG}": "true"}},
            why=_TO_COME,
        ),
        Permission(
            actions=[*rules, "ec2:DeleteSecurityGroup"],
            resources=[group],
            conditions={"StringEquals": ours},
            why=_TO_COME,
        ),
    ]


def _load_balancers(arns: Arns, cluster_name: str) -> list[Permission]:
    kinds = ("listener-rule/*", "listener/*", "loadbalancer/*", "targetgroup/*")
    everything = [arns.regional("elasticloadbalancing", kind) for kind in kinds]
    ours = {f"aws:ResourceTag/{_TAG}": cluster_name}
    asked = {f"aws:RequestTag/{_TAG}": cluster_name}
    made = ["CreateListener", "CreateLoadBalancer", "CreateRule", "CreateTargetGroup"]
    changing = (
        "AddListenerCertificates CreateListener CreateRule DeleteListener DeleteLoadBalancer DeleteRule "
        "DeleteTargetGroup DeregisterTargets ModifyCapacityReservation ModifyIpPools ModifyListener "
        "ModifyListenerAttributes ModifyLoadBalancerAttributes ModifyRule ModifyTargetGroup "
        "ModifyTargetGroupAttributes RegisterTargets RemoveListenerCertificates SetIpAddressType SetRulePriorities "
        "SetSecurityGroups SetSubnets"
    )
    return [
        Permission(
            actions=["elasticloadbalancing:CreateLoadBalancer", "elasticloadbalancing:CreateTargetGroup"],
            resources=everything,
            conditions={"StringEquals": asked},
            why=_TO_COME,
        ),
        Permission(
            actions=["elasticloadbalancing:AddTags"],
            resources=everything,
            conditions={"StringEquals": {**asked, "elasticloadbalancing:CreateAction": made}},
            why=_TO_COME,
        ),
        Permission(
            actions=["elasticloadbalancing:AddTags", "elasticloadbalancing:RemoveTags"],
            resources=everything,
            conditions={"StringEquals": ours, "Null": {f"aws:RequestTag/{_TAG}": "true"}},
            why=_TO_COME,
        ),
        Permission(
            actions=[f"elasticloadbalancing:{action}" for action in changing.split()],
            resources=everything,
            conditions={"StringEquals": ours},
            why=_TO_COME,
        ),
    ]
