from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Template

from mlplatform_constructs import ConfigurationError, KarpenterAccess, WorkloadIdentity
from tests.clusters import SYSTEM, cluster, properties, the
from tests.policies import allows, flat, identity_statements

INSTANCE = "arn:aws:ec2:eu-west-1:111111111111:instance/i-1"


@pytest.fixture
def app(app: cdk.App) -> cdk.App:
    app.node.set_context("aws:cdk:disable-asset-staging", True)
    return app


@pytest.fixture
def statements(stack: cdk.Stack) -> list[dict[str, Any]]:
    """What a role with the access may do, of a cluster in the same stack."""
    own = cluster(stack, node_groups=[SYSTEM], autoscaler="karpenter")
    role = WorkloadIdentity.pod_identity(own).role_for(
        stack, "Controller", namespace="karpenter", service_account="karpenter"
    )
    KarpenterAccess(stack, "Karpenter", cluster=own, role=role)
    id = stack.get_logical_id(role.node.default_child)  # type: ignore[arg-type]
    return identity_statements(Template.from_stack(stack), id)


@pytest.mark.promise("pod-permissions")
def test_karpenter_passes_the_role_of_the_clusters_nodes_and_no_other(statements: list[dict[str, Any]]) -> None:
    (passing,) = [each for each in statements if each["Action"] == "iam:PassRole"]
    assert flat(passing["Resource"]).startswith("<ClusterNodesRole")
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}


@pytest.mark.promise("pod-permissions")
def test_karpenter_terminates_nothing_without_the_clusters_tag(statements: list[dict[str, Any]]) -> None:
    terminating = [each for each in statements if "ec2:TerminateInstances" in each["Action"]]
    (tags,) = [each["Condition"]["StringEquals"] for each in terminating]
    assert list(tags.values()) == ["owned"]
    assert [key.startswith("aws:ResourceTag/kubernetes.io/cluster/Test-Cluster-") for key in tags] == [True]
    assert not allows([each for each in statements if "Condition" not in each], "ec2:TerminateInstances", INSTANCE)


@pytest.mark.promise("drained-before-removal")
def test_only_the_rule_of_interruptions_sends_to_the_queue(stack: cdk.Stack, statements: list[dict[str, Any]]) -> None:
    policy = the(stack, "AWS::SQS::QueuePolicy")
    (sending,) = [each for each in policy["PolicyDocument"]["Statement"] if each["Effect"] == "Allow"]
    assert sending["Principal"] == {"Service": "events.amazonaws.com"}
    assert flat(sending["Condition"]["ArnEquals"]["aws:SourceArn"]).startswith("<KarpenterRule")
    (rule,) = [each for each in properties(stack, "AWS::Events::Rule") if "EventPattern" in each]
    assert "EC2 Spot Instance Interruption Warning" in rule["EventPattern"]["detail-type"]


def test_a_role_of_another_account_is_refused(stack: cdk.Stack) -> None:
    own = cluster(stack, node_groups=[SYSTEM], autoscaler="karpenter")
    foreign = iam.Role.from_role_arn(stack, "Foreign", "arn:aws:iam::999999999999:role/Karpenter")
    with pytest.raises(ConfigurationError, match="is of account 999999999999; grant to a role of account 111111111111"):
        KarpenterAccess(stack, "Karpenter", cluster=own, role=foreign)
