"""Nodes follow their control plane and get new images, one group at a time, without CloudFormation."""

import json
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Match, Template

from mlplatform_constructs._clusters.kubernetes_release import AMI_TYPES
from mlplatform_constructs._clusters.node_group_updates_handler import index
from tests.clusters import cluster
from tests.policies import allows, identity_statements

NEWEST = {"/images/1.36/standard": "1.36.1-20261120", "/images/1.36/nvidia": "1.36.1-20261121"}
PARAMETERS = {"AL2023_x86_64_STANDARD": "/images/{minor}/standard", "AL2023_x86_64_NVIDIA": "/images/{minor}/nvidia"}


class Aws:
    """EKS and Parameter Store with some node groups."""

    def __init__(self, **groups: dict[str, Any]) -> None:
        self.groups = groups
        self.started: list[dict[str, Any]] = []

    def client(self, name: str) -> "Aws":
        return self

    def get_paginator(self, name: str) -> "Aws":
        assert name == "list_nodegroups"
        return self

    def paginate(self, **asked: str) -> list[dict[str, Any]]:
        return [{"nodegroups": [name]} for name in self.groups]

    def describe_nodegroup(self, clusterName: str, nodegroupName: str) -> dict[str, Any]:
        return {"nodegroup": self.groups[nodegroupName]}

    def describe_cluster(self, name: str) -> dict[str, Any]:
        return {"cluster": {"version": "1.36"}}

    def get_parameter(self, Name: str) -> dict[str, Any]:
        return {"Parameter": {"Value": NEWEST[Name]}}

    def update_nodegroup_version(self, **asked: Any) -> None:
        self.started.append(asked)


def group(release: str = "1.36.1-20261120", **more: Any) -> dict[str, Any]:
    return {
        "amiType": "AL2023_x86_64_STANDARD",
        "version": release[:4],
        "releaseVersion": release,
        "status": "ACTIVE",
        **more,
    }


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER", "training")
    monkeypatch.setenv("RELEASE_PARAMETERS", json.dumps(PARAMETERS))
    monkeypatch.setenv("METRIC_NAMESPACE", "Nodes")
    monkeypatch.setenv("METRIC", "Outdated")


def call(aws: Aws, monkeypatch: pytest.MonkeyPatch, *, update: bool = True) -> list[dict[str, Any]]:
    monkeypatch.setattr(index.boto3, "client", aws.client)
    index.handler({"update": update}, None)
    return aws.started


@pytest.mark.parametrize("release", ["1.35.9-20261120", "1.36.1-20261101"], ids=["older minor", "older image"])
def test_an_outdated_group_is_moved_to_the_control_planes_minor_and_its_newest_image(
    release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (started,) = call(Aws(old=group(release), new=group()), monkeypatch)
    assert started == {
        "clusterName": "training",
        "nodegroupName": "old",
        "version": "1.36",
        "releaseVersion": "1.36.1-20261120",
        "force": False,  # disruption budgets hold
    }


def test_each_image_has_its_own_releases(monkeypatch: pytest.MonkeyPatch) -> None:
    (started,) = call(Aws(gpu=group(amiType="AL2023_x86_64_NVIDIA"), cpu=group()), monkeypatch)
    assert (started["nodegroupName"], started["releaseVersion"]) == ("gpu", "1.36.1-20261121")


def test_one_group_is_changed_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    old = group("1.35.9-20261120")
    assert len(call(Aws(a=old, b=old), monkeypatch)) == 1
    assert not call(Aws(a=old, b=group(status="UPDATING")), monkeypatch)


def test_a_group_that_cannot_be_drained_does_not_keep_the_others_back(monkeypatch: pytest.MonkeyPatch) -> None:
    old = group("1.35.9-20261120")
    aws = Aws(a=old, b=old)  # a's update fails each time, so it stays old
    for _ in range(60):
        call(aws, monkeypatch)
    assert {started["nodegroupName"] for started in aws.started} == {"a", "b"}


def test_nothing_is_started_where_nothing_is_old_or_the_image_is_the_users_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not call(Aws(a=group(), b=group("1.30.0-1", amiType="CUSTOM")), monkeypatch)


def test_what_is_outdated_is_counted_every_day_without_an_update(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not call(Aws(a=group("1.35.9-20261120"), b=group()), monkeypatch, update=False)
    metric = json.loads(capsys.readouterr().out)
    assert (metric["Cluster"], metric["Outdated"]) == ("training", 1)
    assert metric["_aws"]["CloudWatchMetrics"] == [
        {"Namespace": "Nodes", "Dimensions": [["Cluster"]], "Metrics": [{"Name": "Outdated"}]}
    ]


def test_every_image_has_a_parameter_with_its_newest_release() -> None:
    for name, image in AMI_TYPES.items():
        path = image.release_parameter.format(minor="1.36")
        assert path.startswith(("/aws/service/eks/optimized-ami/1.36/", "/aws/service/bottlerocket/aws-k8s-1.36")), name
        assert ("arm64" in path) == ("ARM_64" in name)
        assert ("nvidia" in path) == ("NVIDIA" in name)


def test_a_cluster_updates_its_nodes_on_sundays_and_reports_every_day(stack: cdk.Stack) -> None:
    stack.node.set_context("aws:cdk:disable-asset-staging", True)
    made = cluster(stack)
    template = Template.from_stack(stack)
    for expression, update in (("cron(0/30 1-6 ? * SUN *)", "true"), ("cron(0 12 * * ? *)", "false")):
        target = Match.object_like({"Input": f'{{"update":{update}}}'})
        template.has_resource_properties(
            "AWS::Events::Rule", {"ScheduleExpression": expression, "Targets": Match.array_with([target])}
        )
    (role,) = [id for id in template.find_resources("AWS::IAM::Role") if "UpdatesRole" in id]
    statements = identity_statements(template, role)
    own = f"arn:aws:eks:eu-west-1:111111111111:nodegroup/{made.cluster_name}/some/1"
    assert allows(statements, "eks:UpdateNodegroupVersion", own)
    assert not allows(statements, "eks:UpdateNodegroupVersion", own.replace(made.cluster_name, "another"))
    for action in ("eks:UpdateNodegroupConfig", "eks:DeleteNodegroup", "iam:PassRole"):
        assert not allows(statements, action, own)
    (launch,) = [one for one in statements if "ec2:RunInstances" in one["Action"]]
    templates = launch["Condition"]["ArnEquals"]["ec2:LaunchTemplate"]
    assert len(templates) == 4
    assert launch["Condition"]["Bool"] == {"ec2:IsLaunchTemplateResource": "true"}


def test_without_a_schedule_nodes_are_not_updated(stack: cdk.Stack) -> None:
    stack.node.set_context("aws:cdk:disable-asset-staging", True)
    made = cluster(stack, node_update_schedule=None)
    assert made.node_updates is None
    Template.from_stack(stack).resource_count_is("AWS::Events::Rule", 0)


def test_alarms_report_outdated_nodes_and_a_failing_function(stack: cdk.Stack) -> None:
    stack.node.set_context("aws:cdk:disable-asset-staging", True)
    topic = sns.Topic(stack, "Topic", enforce_ssl=True)
    cluster(stack, alarm_topic=topic)
    template = Template.from_stack(stack)
    for name, days in (("OutdatedNodeGroups", 7), ("Errors", 1)):  # an alarm looks at a week at most
        template.has_resource_properties(
            "AWS::CloudWatch::Alarm",
            {
                "MetricName": name,
                "EvaluationPeriods": 1,
                "Period": days * 86400,
                "AlarmActions": [stack.resolve(topic.topic_arn)],
            },
        )
