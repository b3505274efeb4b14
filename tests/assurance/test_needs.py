"""AWS services and the platform's workloads have the permissions that they need, and others do not."""

from collections.abc import Callable

import pytest

from assurance.permissions import reference, rehearsed, services, workloads
from assurance.permissions.needs import Need, judge
from assurance.permissions.world import World

Changed = Callable[[str, Callable[[str], str]], World]
ANYBODY = '"aws:SecureTransport": "true"'
SYNTHESIZED = 1500
"""Fewer needs than this mean that the table has lost its hold on the templates."""


def test_every_need_is_met_and_refused_to_others(world: World) -> None:
    needs = _all(world)
    assert len(needs) > SYNTHESIZED
    assert list(judge(world, needs)) == []


def test_every_statement_names_actions_keys_and_resources_that_aws_has(world: World) -> None:
    found = {
        f"{role.path}: {mistake}"
        for role in world.roles.values()
        for statement in (*role.statements[: role.own], *role.trust)
        for mistake in reference.mistakes(statement)
    }
    assert sorted(found) == []


def test_every_line_of_the_table_meets_a_role(world: World) -> None:
    """A line for a role that was renamed would prove nothing any more."""
    met = {line.role for line in workloads.lines() if any(workloads.is_of(line, path) for path in world.by_path)}
    assert {line.role for line in workloads.lines()} == met


@pytest.mark.parametrize(
    ("stack", "old", "new", "expected"),
    [
        ("prod-Data", '"firehose.amazonaws.com"', '"ec2.amazonaws.com"', "sts:AssumeRole"),
        ("prod-Data", '"s3:PutObject"', '"s3:PutObjectAcl"', "s3:PutObject"),
        ("prod-Data", '"glue:GetTableVersions"', '"glue:GetTags"', "glue:GetTableVersions"),
        ("prod-Data", '"states:StartExecution"', '"states:StopExecution"', "states:StartExecution"),
        ("prod-Storage", '"s3:ReplicateObject"', '"s3:GetObjectAcl"', "s3:ReplicateObject"),
        ("prod-Storage", '"kms:GenerateDataKey"', '"kms:Verify"', "kms:GenerateDataKey"),
        ("prod-Storage", '"logging.s3.amazonaws.com"', '"logs.amazonaws.com"', "s3:PutObject"),
        ("prod-Metadata", '"secretsmanager:UpdateSecretVersionStage"', '"secretsmanager:TagResource"', "UpdateSecret"),
        ("prod-Metadata", '"secretsmanager.amazonaws.com"', '"ec2.amazonaws.com"', "lambda:InvokeFunction"),
        ("prod-Security", '"cloudtrail.amazonaws.com"', '"config.amazonaws.com"', "kms:GenerateDataKey"),
        ("prod-Security", '"cloudwatch.amazonaws.com"', '"ec2.amazonaws.com"', "sns:Publish"),
        ("prod-Audit", '"s3:GetBucketAcl"', '"s3:GetBucketCORS"', "s3:GetBucketAcl"),
        ("prod-Network", '"vpc-flow-logs.amazonaws.com"', '"ec2.amazonaws.com"', "sts:AssumeRole"),
        ("prod-Identity", '"cognito-idp.amazonaws.com"', '"ec2.amazonaws.com"', "lambda:InvokeFunction"),
        (
            "prod-TrainingServices",
            'kubernetes-namespace": "external-dns"',
            'kubernetes-namespace": "x"',
            "sts:AssumeRole",
        ),
        ("prod-TrainingServices", '"autoscaling:SetDesiredCapacity"', '"autoscaling:SetInstanceHealth"', "SetDesired"),
        ("prod-TrainingServices", '"elasticfilesystem:ClientMount"', '"elasticfilesystem:Backup"', "ClientMount"),
        ("Pipeline", '"codebuild.amazonaws.com"', '"ec2.amazonaws.com"', "sts:AssumeRole"),
        ("local-InferenceServing", "churn:model-server", "churn:other", "sts:AssumeRoleWithWebIdentity"),
        ("local-InferenceServing", "AssumeRoleWithWebIdentity", "AssumeRole", "sts:AssumeRoleWithWebIdentity"),
        ("local-InferenceServing", "Federated", "AWS", "sts:AssumeRoleWithWebIdentity"),
    ],
)
def test_a_removed_permission_is_detected(changed: Changed, stack: str, old: str, new: str, expected: str) -> None:
    world = changed(stack, lambda text: text.replace(old, new))
    refused = (one for one in judge(world, _all(world)) if "refused" in one)
    assert any(expected in one for one in refused)


@pytest.mark.parametrize(
    ("stack", "old", "new", "expected"),
    [
        ("prod-Security", '"aws:SourceAccount": "333333333333"', ANYBODY, "the service for another account"),
        ("prod-Storage", '"aws:SourceAccount": "333333333333"', ANYBODY, "the service for another account"),
        ("prod-Security", '"Service": "cloudwatch.amazonaws.com"', '"AWS": "*"', "a role without rights"),
        ("Pipeline", '"NotResource"', '"Resource"', "its role on another key"),
    ],
)
def test_a_right_that_others_have_too_is_found(changed: Changed, stack: str, old: str, new: str, expected: str) -> None:
    world = changed(stack, lambda text: text.replace(old, new))
    assert any("allowed to" in one and expected in one for one in judge(world, _all(world)))


@pytest.mark.promise("pod-roles")
@pytest.mark.parametrize(
    ("old", "new", "token"),
    [
        ("sts.amazonaws.com", "*", ":aud other"),
        ("churn:batch-serving", "churn:*", ":sub system:serviceaccount:churn:other"),
        ("churn:batch-serving", "*:batch-serving", ":sub system:serviceaccount:other:batch-serving"),
    ],
)
def test_a_role_that_trusts_tokens_of_other_pods_is_found(changed: Changed, old: str, new: str, token: str) -> None:
    world = changed("local-InferenceServing", lambda text: text.replace("StringEquals", "StringLike").replace(old, new))
    found = [one for one in judge(world, _all(world)) if "AssumeRoleWithWebIdentity" in one]
    assert any(f"{token}, too" in one for one in found)


def _all(world: World) -> list[Need]:
    return [*services.needs(world), *workloads.needs(world), *rehearsed.needs(world)]
