"""What the services of a cluster may do in AWS."""

from typing import Any

import pytest

from tests.cluster_services import Services, arn, with_tag, without
from tests.policies import allows


@pytest.mark.promise("pod-permissions")
def test_no_pod_of_a_service_uses_the_nodes_role(services: Services) -> None:
    associations = services.of_type("AWS::EKS::PodIdentityAssociation").values()
    assert {(found["Namespace"], found["ServiceAccount"]) for found in associations} == {
        ("amazon-cloudwatch", "cloudwatch-agent"),
        ("external-dns", "external-dns"),
        ("kube-system", "aws-load-balancer-controller"),
        ("kube-system", "cluster-autoscaler"),
        ("kube-system", "ebs-csi-controller-sa"),
        ("kube-system", "efs-csi-controller-sa"),
        ("kube-system", "efs-csi-node-sa"),
    }


@pytest.mark.promise("autoscaler-of-choice", "pod-permissions")
@pytest.mark.parametrize("action", ["SetDesiredCapacity", "TerminateInstanceInAutoScalingGroup"])
def test_the_autoscaler_changes_its_own_clusters_groups_only(services: Services, action: str) -> None:
    found = services.statements("cluster-autoscaler")
    group = arn("autoscaling", "autoScalingGroup:1:autoScalingGroupName/eks-x")

    def may(cluster: str) -> bool:
        tag = f"aws:ResourceTag/k8s.io/cluster-autoscaler/{cluster}"
        return any(allows([statement], f"autoscaling:{action}", group) for statement in with_tag(found, tag, "owned"))

    assert may(services.cluster.cluster_name)
    assert not may("another")


def test_the_autoscaler_makes_and_deletes_nothing_else(services: Services) -> None:
    actions = {action for found in services.statements("cluster-autoscaler") for action in found["Action"]}
    changing = {action for action in actions if not action.partition(":")[2].startswith(("Describe", "Get"))}
    assert changing == {"autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"}


LOAD_BALANCER = arn("elasticloadbalancing", "loadbalancer/net/a/1")


@pytest.mark.promise("pod-permissions")
@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("elasticloadbalancing:DeleteLoadBalancer", LOAD_BALANCER),
        ("elasticloadbalancing:ModifyLoadBalancerAttributes", LOAD_BALANCER),
        ("elasticloadbalancing:RegisterTargets", arn("elasticloadbalancing", "targetgroup/a/1")),
        ("elasticloadbalancing:RemoveTags", LOAD_BALANCER),
        ("ec2:DeleteSecurityGroup", arn("ec2", "security-group/sg-1")),
        ("ec2:AuthorizeSecurityGroupIngress", arn("ec2", "security-group/sg-1")),
    ],
)
def test_the_load_balancer_controller_changes_only_what_carries_its_clusters_tag(
    services: Services, action: str, resource: str
) -> None:
    found = services.statements("aws-load-balancer-controller")
    tag = "aws:ResourceTag/elbv2.k8s.aws/cluster"
    assert allows(with_tag(found, tag, services.cluster.cluster_name), action, resource)
    assert not allows(with_tag(found, tag, "another"), action, resource)


@pytest.mark.parametrize("action", ["CreateLoadBalancer", "CreateTargetGroup"])
def test_the_load_balancer_controller_makes_only_what_carries_its_clusters_tag(services: Services, action: str) -> None:
    found = services.statements("aws-load-balancer-controller")
    tag = "aws:RequestTag/elbv2.k8s.aws/cluster"
    assert allows(with_tag(found, tag, services.cluster.cluster_name), f"elasticloadbalancing:{action}", LOAD_BALANCER)
    assert not allows(with_tag(found, tag, "another"), f"elasticloadbalancing:{action}", LOAD_BALANCER)


def test_the_load_balancer_controller_opens_the_nodes_to_what_it_makes(services: Services) -> None:
    found = services.statements("aws-load-balancer-controller")
    (nodes,) = {
        statement["Resource"][0]
        for statement in found
        if "ec2:AuthorizeSecurityGroupIngress" in statement["Action"] and "*" not in statement["Resource"][0]
    }
    assert "ClusterSecurityGroupId" in nodes
    assert allows(found, "ec2:AuthorizeSecurityGroupIngress", nodes)


def may_change(statements: list[dict[str, Any]], zone: str, name: str) -> bool:
    keys = {"NormalizedRecordNames": name, "RecordTypes": "A"}
    context = {f"route53__ChangeResourceRecordSets{key}": value for key, value in keys.items()}
    return allows(statements, "route53:ChangeResourceRecordSets", zone, **context)


@pytest.mark.promise("pod-permissions")
def test_names_are_written_in_the_two_zones_of_the_platform_only(services: Services) -> None:
    found = services.statements("external-dns")
    zones = [f"arn:aws:route53:::hostedzone/{id}" for id in services.templates.resources("AWS::Route53::HostedZone")]
    assert len(zones) == 2
    for zone in zones:
        assert may_change(found, zone, "app.ml.example.com")
        for name in ("ml.example.com", "_acme.ml.example.com", "kubeflow.ml.example.com", "auth.ml.example.com"):
            assert not may_change(found, zone, name), name
    assert not may_change(found, "arn:aws:route53:::hostedzone/Z1", "app.ml.example.com")
    assert not allows(found, "route53:CreateHostedZone", "*")
    values = services.add_on_values("external-dns")
    assert values["domainFilters"] == ["ml.example.com", "internal.ml.example.com"]
    assert values["txtOwnerId"] == services.cluster.cluster_name
    assert values["policy"] == "sync"


def test_two_clusters_do_not_take_each_others_names(shipped: dict[str, Services]) -> None:
    owners = {services.add_on_values("external-dns")["txtOwnerId"] for services in shipped.values()}
    assert len(owners) == 2


@pytest.mark.promise("shared-workspaces", "pod-permissions")
def test_the_shared_file_system_is_the_workspaces_one(services: Services) -> None:
    found = services.statements("efs-csi-controller-sa")
    (workspaces,) = [f"{id}.Arn" for id in services.templates.resources("AWS::EFS::FileSystem")]
    context = {"aws:RequestTag/efs.csi.aws.com/cluster": "true"}
    ((key, value),) = context.items()
    asked = with_tag(found, key, value)
    assert allows(asked, "elasticfilesystem:CreateAccessPoint", workspaces)
    other = arn("elasticfilesystem", "file-system/fs-1")
    assert not allows(asked, "elasticfilesystem:CreateAccessPoint", other)
    assert not allows(found, "elasticfilesystem:DeleteAccessPoint", arn("elasticfilesystem", "access-point/a"))
    assert not [s for s in found for action in s["Action"] if action.startswith("elasticfilesystem:Client")]


@pytest.mark.promise("key-per-domain")
def test_disks_are_encrypted_with_the_accounts_key(services: Services) -> None:
    found = services.statements("ebs-csi-controller-sa")
    (key,) = {resource for statement in found for resource in statement["Resource"]}
    assert key in {f"{id}.Arn" for id in services.templates.resources("AWS::KMS::Key")}
    by_ec2 = "ec2.eu-west-1.amazonaws.com"
    assert allows(found, "kms:CreateGrant", key, kms__GrantIsForAWSResource="true", kms__ViaService=by_ec2)
    assert not allows(found, "kms:CreateGrant", key, kms__ViaService=by_ec2)
    assert allows(found, "kms:Decrypt", key, kms__ViaService=by_ec2)
    assert not allows(found, "kms:Decrypt", key, kms__ViaService="s3.eu-west-1.amazonaws.com")
    assert not allows(found, "kms:Decrypt", key)


@pytest.mark.promise("pod-permissions")
def test_karpenter_gives_nodes_the_role_of_nodes_only(karpenter: Services) -> None:
    found = karpenter.statements("karpenter")
    (resource,) = [s["Resource"][0] for s in found if s["Action"] == ["iam:PassRole"]]
    assert "NodesRole" in resource
    assert allows(found, "iam:PassRole", resource, iam__PassedToService="ec2.amazonaws.com")
    assert not allows(found, "iam:PassRole", resource, iam__PassedToService="lambda.amazonaws.com")
    assert not allows(found, "iam:PassRole", "arn:aws:iam::333333333333:role/Admin")


def test_karpenter_may_look_for_unused_instance_profiles(karpenter: Services) -> None:
    """As its own policy lets it: https://karpenter.sh/v1.14/reference/cloudformation/"""
    assert allows(karpenter.statements("karpenter"), "iam:ListInstanceProfiles", "*")


@pytest.mark.promise("pod-permissions")
def test_karpenter_ends_its_own_clusters_instances_only(karpenter: Services) -> None:
    found = karpenter.statements("karpenter")
    instance = arn("ec2", "instance/i-1")
    pool = {"aws:ResourceTag/karpenter.sh/nodepool": "*"}

    def may(cluster: str) -> bool:
        tagged = with_tag(found, f"aws:ResourceTag/kubernetes.io/cluster/{cluster}", "owned")
        return allows(without(tagged, "StringLike", pool), "ec2:TerminateInstances", instance)

    assert may(karpenter.cluster.cluster_name)
    assert not may("another")
