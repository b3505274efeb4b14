"""EKS, its pods, and instances."""

import re
from collections.abc import Iterator

from assurance.permissions.evaluator import Caller
from assurance.permissions.needs import Need, Table
from assurance.permissions.services.lines import on
from assurance.permissions.world import World
from delivery.gate.templates import Resource


@on("AWS::EKS::Cluster", "https://docs.aws.amazon.com/eks/latest/userguide/cluster-iam-role.html")
def _cluster(world: World, cluster: Resource, table: Table) -> Iterator[Need]:
    role = world.get(cluster, "RoleArn")
    yield from table.assume("eks.amazonaws.com", role, {"aws:SourceArn": world.arn(cluster)})
    yield from table.use(role, "ec2:DescribeInstances ec2:DescribeSubnets ec2:DescribeSecurityGroups ec2:CreateTags")


@on("AWS::EKS::Nodegroup", "https://docs.aws.amazon.com/eks/latest/userguide/create-node-role.html")
def _node_group(world: World, group: Resource, table: Table) -> Iterator[Need]:
    role = world.get(group, "NodeRole")
    yield from table.assume("ec2.amazonaws.com", role)
    yield from table.use(role, "eks:DescribeCluster eks-auth:AssumeRoleForPodIdentity ec2:DescribeInstances")
    pull = "ecr:GetAuthorizationToken ecr:BatchGetImage ecr:GetDownloadUrlForLayer"
    yield from table.use(role, pull)


@on("AWS::EKS::PodIdentityAssociation", "https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html")
def _pod_identity(world: World, association: Resource, table: Table) -> Iterator[Need]:
    role = world.get(association, "RoleArn")
    cluster = _cluster_of(world, association, table)
    tags = {
        "eks-cluster-arn": world.arn(cluster),
        "eks-cluster-name": world.get(association, "ClusterName"),
        "kubernetes-namespace": world.get(association, "Namespace"),
        "kubernetes-service-account": world.get(association, "ServiceAccount"),
    }
    context = {f"aws:RequestTag/{name}": value for name, value in tags.items()}
    yield from table.service("pods.eks.amazonaws.com", "sts:AssumeRole sts:TagSession", role, context)


def _cluster_of(world: World, resource: Resource, table: Table) -> Resource:
    return next(
        each
        for each in world.resources("AWS::EKS::Cluster")
        if world.arn(each).endswith(f"/{world.get(resource, 'ClusterName')}")
        and world.place(each).account == table.account
    )


@on("AWS::EKS::AccessEntry", "https://docs.aws.amazon.com/eks/latest/APIReference/API_DescribeCluster.html")
def _deployer(world: World, entry: Resource, table: Table) -> Iterator[Need]:
    """Pipelines read the address of the cluster into which they deploy."""
    if "mlplatform:deployers:" in world.get(entry, "KubernetesGroups"):
        cluster = _cluster_of(world, entry, table)
        yield from table.use(world.get(entry, "PrincipalArn"), "eks:DescribeCluster", world.arn(cluster))


@on("AWS::EKS::Cluster", "https://docs.aws.amazon.com/eks/latest/userguide/associate-service-account-role.html")
def _annotated_service_accounts(world: World, cluster: Resource, table: Table) -> Iterator[Need]:
    """Pods of a service account with the annotation exchange its token for credentials of the role."""
    issuer = world.issuer(cluster)
    for provider in world.resources("AWS::IAM::OIDCProvider"):
        if world.get(provider, "Url") != f"https://{issuer}":
            continue
        for (namespace, name), role in world.annotated_service_accounts(cluster).items():
            token = {f"{issuer}:aud": "sts.amazonaws.com", f"{issuer}:sub": f"system:serviceaccount:{namespace}:{name}"}
            pod = Caller(world.arn(provider), table.account)
            yield table.need(pod, "sts:AssumeRoleWithWebIdentity", role, token)


@on(
    "AWS::IAM::InstanceProfile",
    "https://docs.aws.amazon.com/systems-manager/latest/userguide/setup-instance-permissions.html",
)
def _instance(world: World, profile: Resource, table: Table) -> Iterator[Need]:
    for name in re.findall(r"[\w+=,.@-]+", world.get(profile, "Roles")):
        for role in (each for each in world.roles.values() if each.name == name and each.account == table.account):
            yield from table.assume("ec2.amazonaws.com", role.arn)
            if role.path.startswith("Workloads/"):  # instances of EMR, which have no sign-in
                continue
            actions = "ssm:UpdateInstanceInformation ssmmessages:CreateControlChannel ssmmessages:OpenDataChannel"
            yield from table.use(role.arn, actions)
