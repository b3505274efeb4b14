"""Permissions of controllers in AWS, which a cluster grants."""

from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk.assertions import Template

from mlplatform_constructs import ConfigurationError, KubernetesCluster
from tests.clusters import SYSTEM, cluster
from tests.policies import allows, identity_statements

Grant = Callable[[KubernetesCluster, iam.IGrantable], iam.Grant]
WORKSPACE = "arn:aws:aps:eu-west-1:111111111111:workspace/ws-1"
GRANTS: dict[str, Grant] = {
    "write_logs": lambda own, grantee: own.grant_write_logs(grantee, [log_group(own)]),
    "write_metrics": lambda own, grantee: own.grant_write_metrics(grantee, WORKSPACE),
    "query_metrics": lambda own, grantee: own.grant_query_metrics(grantee, WORKSPACE),
    "count_messages": lambda own, grantee: own.grant_count_messages(grantee, ["churn-"]),
    "scale_node_groups": KubernetesCluster.grant_scale_node_groups,
    "manage_load_balancers": KubernetesCluster.grant_manage_load_balancers,
}
PREFIX = "arn:aws"


@pytest.fixture
def app(app: cdk.App) -> cdk.App:
    app.node.set_context("aws:cdk:disable-asset-staging", True)
    return app


def log_group(own: KubernetesCluster) -> logs.LogGroup:
    return logs.LogGroup(cdk.Stack.of(own), "PodLogs")


@pytest.fixture
def own(stack: cdk.Stack) -> KubernetesCluster:
    return cluster(stack, node_groups=[SYSTEM])


def statements(own: KubernetesCluster, grant: Grant) -> list[dict[str, Any]]:
    stack = cdk.Stack.of(own)
    role = iam.Role(stack, "Controller", assumed_by=iam.ServicePrincipal("pods.eks.amazonaws.com"))
    grant(own, role).assert_success()
    return identity_statements(Template.from_stack(stack), stack.get_logical_id(role.node.default_child))  # type: ignore[arg-type]


@pytest.mark.promise("pod-permissions")
def test_group_sizes_are_changed_by_the_clusters_tag_only(own: KubernetesCluster) -> None:
    found = statements(own, GRANTS["scale_node_groups"])
    (changing,) = [each for each in found if "autoscaling:SetDesiredCapacity" in each["Action"]]
    tag = f"aws:ResourceTag/k8s.io/cluster-autoscaler/{own.cluster_name}"
    assert changing["Condition"] == {"StringEquals": {tag: "owned"}}
    groups = f"{PREFIX}:eks:eu-west-1:111111111111:nodegroup"
    assert allows(found, "eks:DescribeNodegroup", f"{groups}/{own.cluster_name}/system/1")
    assert not allows(found, "eks:DescribeNodegroup", f"{groups}/another/system/1")


@pytest.mark.promise("pod-permissions")
def test_security_groups_are_created_in_the_clusters_vpc_only(own: KubernetesCluster) -> None:
    found = statements(own, GRANTS["manage_load_balancers"])
    assert allows(found, "ec2:CreateSecurityGroup", f"{PREFIX}:ec2:eu-west-1:111111111111:vpc/vpc-1")
    assert not allows(found, "ec2:CreateSecurityGroup", f"{PREFIX}:ec2:eu-west-1:111111111111:vpc/vpc-2")


@pytest.mark.promise("no-leftovers")
def test_agents_write_to_the_given_log_groups_and_create_none(own: KubernetesCluster) -> None:
    found = statements(own, GRANTS["write_logs"])
    assert allows(found, "logs:PutLogEvents", "<PodLogs17A126C3.Arn>")
    assert not allows(found, "logs:PutLogEvents", "<ClusterLogGroup.Arn>")
    assert not allows(found, "logs:CreateLogGroup", "*")


@pytest.mark.promise("pod-permissions")
def test_a_program_that_sends_samples_cannot_read_them_and_the_other_way_round(own: KubernetesCluster) -> None:
    writing = statements(own, GRANTS["write_metrics"])
    assert allows(writing, "aps:RemoteWrite", WORKSPACE)
    assert not allows(writing, "aps:QueryMetrics", WORKSPACE)


@pytest.mark.promise("pod-permissions")
def test_a_program_that_queries_metrics_changes_none(own: KubernetesCluster) -> None:
    reading = statements(own, GRANTS["query_metrics"])
    assert allows(reading, "aps:QueryMetrics", WORKSPACE)
    assert not allows(reading, "aps:RemoteWrite", WORKSPACE)
    assert not allows(reading, "aps:QueryMetrics", f"{WORKSPACE}0")


@pytest.mark.promise("pod-permissions")
def test_an_autoscaler_counts_messages_of_the_named_queues_and_receives_none(own: KubernetesCluster) -> None:
    counting = statements(own, GRANTS["count_messages"])
    queues = f"{PREFIX}:sqs:eu-west-1:111111111111"
    assert allows(counting, "sqs:GetQueueAttributes", f"{queues}:churn-orders")
    assert not allows(counting, "sqs:GetQueueAttributes", f"{queues}:fraud-orders")
    assert not allows(counting, "sqs:ReceiveMessage", f"{queues}:churn-orders")


@pytest.mark.parametrize("grant", GRANTS.values(), ids=GRANTS.keys())
def test_a_role_of_another_account_is_refused(own: KubernetesCluster, grant: Grant) -> None:
    foreign = iam.Role.from_role_arn(own, "Foreign", "arn:aws:iam::999999999999:role/Controller")
    with pytest.raises(ConfigurationError, match="is of account 999999999999; grant to a role of account 111111111111"):
        grant(own, foreign)


def test_grants_need_no_exception_in_the_compliance_pack(own: KubernetesCluster, app: cdk.App) -> None:
    role = iam.Role(own, "Controller", assumed_by=iam.ServicePrincipal("pods.eks.amazonaws.com"))
    for grant in GRANTS.values():
        grant(own, role)
    app.synth()
