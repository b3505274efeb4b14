"""A deployment preserves the number of nodes, regardless of changed limits."""

from dataclasses import replace
from typing import Any

import aws_cdk as cdk
import boto3
import pytest
from aws_cdk.assertions import Template
from botocore.stub import Stubber

from mlplatform_constructs._clusters.node_group_sizes_handler import index
from mlplatform_constructs._clusters.node_group_sizes_handler.index import sizes_of
from tests.clusters import GENERAL, GROUPS, SYSTEM, TRAINING, ZONES, cluster, network, properties, the
from tests.compliance import assert_complies
from tests.policies import allows, identity_statements

FOUR_NODES = {"minSize": 0, "maxSize": 10, "desiredSize": 4}


@pytest.fixture
def app(app: cdk.App) -> cdk.App:
    """kubectl and the AWS CLI are 60 MB, which no test here needs a copy of."""
    app.node.set_context("aws:cdk:disable-asset-staging", True)
    return app


def test_every_group_has_the_number_of_nodes_that_was_found(stack: cdk.Stack) -> None:
    cluster(stack)
    (sizes,) = Template.from_stack(stack).find_resources("Custom::NodeGroupSizes")
    asked = {
        group["Key"]: (group["Name"], group["Subnets"]) for group in the(stack, "Custom::NodeGroupSizes")["Groups"]
    }
    groups = properties(stack, "AWS::EKS::Nodegroup")
    assert len(groups) == len(asked)
    for group in groups:
        resource, key = group["ScalingConfig"]["DesiredSize"]["Fn::GetAtt"]
        assert resource == sizes
        assert asked[key] == (group["Labels"]["mlplatform/node-group"], group["Subnets"])


def test_limits_are_asked_for_with_the_groups(stack: cdk.Stack) -> None:
    cluster(stack)
    limits = {g["Name"]: (g["Min"], g["Max"]) for g in the(stack, "Custom::NodeGroupSizes")["Groups"]}
    assert limits == {spec.name: (str(spec.min_per_zone), str(spec.max_per_zone)) for spec in GROUPS}


@pytest.mark.parametrize(
    ("change", "revisions"),
    [
        ({"max_per_zone": 5}, 2),
        ({"disk_gib": 200}, 2),
        ({"instance_types": ("m7i.4xlarge",)}, 2),
        ({"gpu_replicas": 1}, 1),
        ({"ami_type": "AL2023_x86_64_STANDARD"}, 1),  # which it has without a word
    ],
)
def test_numbers_are_read_again_when_a_group_is_replaced_or_has_other_limits(
    change: dict[str, Any], revisions: int
) -> None:
    """Else CloudFormation would send the number of the last time, when other nodes ran."""
    asked = []
    for general in (GENERAL, replace(GENERAL, **change)):
        stack = cdk.Stack(cdk.App(context={"aws:cdk:disable-asset-staging": True}), "Test")
        cluster(stack, node_groups=(SYSTEM, general, TRAINING))
        asked.append(the(stack, "Custom::NodeGroupSizes")["Revision"])
    assert len(set(asked)) == revisions


def test_nothing_is_read_again_without_changes() -> None:
    """Subnets are tokens here, whose numbers depend on the constructs before them."""
    asked = []
    for number in range(2):
        stack = cdk.Stack(cdk.App(context={"aws:cdk:disable-asset-staging": True}), "Test")
        for other in range(number):
            cdk.Token.as_string({"Ref": f"Other{other}"})
        vpc = network(stack, subnet_ids=[cdk.Token.as_string({"Ref": f"Subnet{zone}"}) for zone in ZONES])
        cluster(stack, vpc=vpc)
        asked.append(the(stack, "Custom::NodeGroupSizes")["Revision"])
    assert len(set(asked)) == 1


@pytest.mark.promise("minimal-node-role")
def test_the_function_sees_the_groups_of_its_cluster_and_changes_nothing(stack: cdk.Stack) -> None:
    made = cluster(stack)
    template = Template.from_stack(stack)
    (role,) = [id for id in template.find_resources("AWS::IAM::Role") if "Sizes" in id]
    statements = identity_statements(template, role)
    own = f"arn:aws:eks:eu-west-1:111111111111:nodegroup/{made.cluster_name}/some/1"
    assert allows(statements, "eks:DescribeNodegroup", own)
    assert not allows(statements, "eks:DescribeNodegroup", own.replace(made.cluster_name, "another"))
    for action in ("eks:UpdateNodegroupConfig", "autoscaling:SetDesiredCapacity", "autoscaling:UpdateAutoScalingGroup"):
        assert not allows(statements, action, own)
        assert not allows(statements, action, "*")


def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack) -> None:
    cluster(stack)
    assert_complies(app)


class Aws:
    """EKS and Auto Scaling that expect calls in order."""

    def __init__(self) -> None:
        self.eks, self.autoscaling = (
            boto3.client(name, region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
            for name in ("eks", "autoscaling")
        )
        self.stubs = [Stubber(self.eks), Stubber(self.autoscaling)]
        for stub in self.stubs:
            stub.activate()

    def has(self, *groups: dict[str, Any]) -> None:
        names = [f"group-{number}" for number in range(len(groups))]
        self.stubs[0].add_response("list_nodegroups", {"nodegroups": names}, {"clusterName": "training"})
        for name, group in zip(names, groups, strict=True):
            asked = {"clusterName": "training", "nodegroupName": name}
            self.stubs[0].add_response("describe_nodegroup", {"nodegroup": group}, asked)

    def scaled(self, name: str, desired: int) -> None:
        group: dict[str, Any] = {
            "AutoScalingGroupName": name,
            "MinSize": 0,
            "MaxSize": 10,
            "DesiredCapacity": desired,
            "DefaultCooldown": 1,
            "AvailabilityZones": [],
            "HealthCheckType": "EC2",
            "CreatedTime": 0,
        }
        self.stubs[1].add_response(
            "describe_auto_scaling_groups", {"AutoScalingGroups": [group]}, {"AutoScalingGroupNames": [name]}
        )

    def sizes(self, *groups: dict[str, Any]) -> dict[str, int]:
        return sizes_of(list(groups), "training", self.eks, self.autoscaling)


def there(name: str, subnet: str, **more: Any) -> dict[str, Any]:
    """A node group as EKS describes it."""
    return {"labels": {"mlplatform/node-group": name}, "subnets": [subnet], "scalingConfig": FOUR_NODES, **more}


def wanted(name: str, subnet: str, least: int = 0, most: int = 10) -> dict[str, Any]:
    """A node group of the template, as it arrives: numbers are text."""
    return {
        "Key": f"{name}{subnet}",
        "Name": name,
        "Revision": "new",
        "Subnets": [subnet],
        "Min": str(least),
        "Max": str(most),
        "StartAtMinimum": "false",
    }


def test_a_running_group_keeps_its_nodes_when_its_limits_change() -> None:
    aws = Aws()
    aws.has(there("gpu", "a"))
    assert aws.sizes(wanted("gpu", "a", most=20)) == {"gpua": 4}


@pytest.mark.parametrize(("least", "most", "nodes"), [(6, 10, 6), (0, 2, 2), (4, 4, 4)])
def test_limits_beyond_what_runs_win(least: int, most: int, nodes: int) -> None:
    """EKS refuses a number outside of the limits."""
    aws = Aws()
    aws.has(there("gpu", "a"))
    assert aws.sizes(wanted("gpu", "a", least, most)) == {"gpua": nodes}


def test_a_new_group_starts_with_its_minimum() -> None:
    aws = Aws()
    aws.has(there("gpu", "a"), there("cpu", "b"), {"subnets": ["b"], "scalingConfig": FOUR_NODES})
    assert aws.sizes(wanted("gpu", "b", least=1)) == {"gpub": 1}


def test_a_group_that_replaces_another_takes_over_its_number() -> None:
    aws = Aws()
    aws.has(there("gpu", "a", tags={"mlplatform/revision": "old"}))
    assert aws.sizes(wanted("gpu", "a")) == {"gpua": 4}


def test_its_own_number_counts_while_the_group_that_it_replaced_still_exists() -> None:
    aws = Aws()
    own = there("gpu", "a", tags={"mlplatform/revision": "new"}) | {"scalingConfig": {**FOUR_NODES, "desiredSize": 1}}
    aws.has(there("gpu", "a", tags={"mlplatform/revision": "old"}), own)
    assert aws.sizes(wanted("gpu", "a")) == {"gpua": 1}


def test_accelerators_that_replace_others_start_with_their_minimum() -> None:
    """Twice the capacity is rarely available; the autoscaler adds what pods request."""
    aws = Aws()
    aws.has(there("gpu", "a", tags={"mlplatform/revision": "old"}))
    assert aws.sizes(wanted("gpu", "a", least=1) | {"StartAtMinimum": "true"}) == {"gpua": 1}
    aws = Aws()
    aws.has(there("gpu", "a", tags={"mlplatform/revision": "new"}))
    assert aws.sizes(wanted("gpu", "a", least=1) | {"StartAtMinimum": "true"}) == {"gpua": 4}


def test_the_size_of_auto_scaling_takes_precedence_over_that_of_eks() -> None:
    aws = Aws()
    aws.has(there("gpu", "a", resources={"autoScalingGroups": [{"name": "eks-gpu-1"}]}))
    aws.scaled("eks-gpu-1", desired=7)
    assert aws.sizes(wanted("gpu", "a")) == {"gpua": 7}


def answer_of(request_type: str, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str, str, Any]:
    """What CloudFormation hears: status, physical id, reason and data."""
    heard: list[tuple[str, str, str, Any]] = []

    def answer(event: dict[str, Any], status: str, physical_id: str, reason: str, data: Any = None) -> None:
        heard.append((status, physical_id, reason, data))

    monkeypatch.setattr(index, "answer", answer)
    monkeypatch.setattr(index.boto3, "client", lambda name: getattr(aws, name))
    properties = {"ClusterName": "training", "Groups": [wanted("gpu", "a", least=1)]}
    event = {"RequestType": request_type, "LogicalResourceId": "Sizes", "ResourceProperties": properties}
    index.handler(event, None)
    (only,) = heard
    return only


def test_cloudformation_hears_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    aws = Aws()
    aws.has()
    assert answer_of("Create", aws, monkeypatch) == ("SUCCESS", "Sizes", "done", {"gpua": 1})


def test_a_failed_read_is_reported_to_cloudformation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers that are guessed would take nodes away."""
    aws = Aws()
    aws.stubs[0].add_client_error("list_nodegroups", "AccessDeniedException", "not allowed")
    status, _, reason, data = answer_of("Update", aws, monkeypatch)
    assert (status, data) == ("FAILED", None)
    assert "not allowed" in reason


def test_nothing_is_read_when_the_cluster_is_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    aws = Aws()  # a call that it does not expect fails
    assert answer_of("Delete", aws, monkeypatch) == ("SUCCESS", "Sizes", "done", {})
