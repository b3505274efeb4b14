import json
import re

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Template

from config.storage import Storage
from config.workloads import Emr, EmrServerless, SageMaker, Workloads
from mlplatform_constructs import Network
from stacks.account.storage import StorageStack
from stacks.account.workloads import WorkloadsStack
from tests.compliance import assert_complies
from tests.policies import flat, many
from tests.protection import protection

ALL = Workloads(emr=Emr(), emr_serverless=EmrServerless(), sagemaker=SageMaker())


def workloads(app: cdk.App, settings: Workloads = ALL) -> WorkloadsStack:
    stage = cdk.Stage(app, "test", env=cdk.Environment(account="111111111111", region="eu-west-1"))
    base = cdk.Stack(stage, "Base")
    protected = protection(base)
    network = Network(base, "Network", availability_zones=["eu-west-1a", "eu-west-1b"])
    storage = StorageStack(stage, "Storage", vpc=network.vpc, settings=Storage(), protection=protected)
    return WorkloadsStack(
        stage,
        "Workloads",
        settings=settings,
        vpc=network.vpc,
        features=storage.features,
        artifacts=storage.artifacts,
        images=storage.images,
        protection=protected,
    )


def team_statements(stack: WorkloadsStack) -> list[dict[str, object]]:
    """What the role of a team in another stack may do."""
    teams = cdk.Stack(stack.node.scope, "Teams")
    role = iam.Role(teams, "churn", assumed_by=iam.ServicePrincipal("pods.eks.amazonaws.com"))
    for jobs in stack.jobs:
        jobs.grant_run(role)
    [policy] = Template.from_stack(teams).find_resources("AWS::IAM::Policy").values()
    statements: list[dict[str, object]] = policy["Properties"]["PolicyDocument"]["Statement"]
    return statements


@pytest.mark.promise("emr-steps", "sagemaker-steps", "component-permissions")
def test_a_team_may_start_every_kind_of_job_and_pass_their_roles_and_no_other(app: cdk.App) -> None:
    statements = team_statements(workloads(app))
    passed = [json.dumps(one["Resource"]) for one in statements if one["Action"] == "iam:PassRole"]
    assert sorted(name for text in passed for name in re.findall(r"FnGetAtt(\w+Role)[0-9A-F]{8}Arn", text)) == [
        "EmrInstanceRole",
        "EmrServerlessJobRole",
        "EmrServiceRole",
        "SageMakerRole",
    ]
    actions = {action for one in statements for action in many(one["Action"])}
    assert {"elasticmapreduce:RunJobFlow", "emr-serverless:StartJobRun", "sagemaker:CreateTrainingJob"} <= actions


def test_a_job_reads_offline_features_and_writes_nowhere_but_to_jobs(app: cdk.App) -> None:
    template = Template.from_stack(workloads(app, Workloads(sagemaker=SageMaker())))
    [policy] = [
        found["Properties"]["PolicyDocument"]["Statement"]
        for id, found in template.find_resources("AWS::IAM::Policy").items()
        if id.startswith("SageMakerRole")
    ]
    written = {
        flat(r).rpartition(">/")[2]
        for one in policy
        if "s3:PutObject" in many(one["Action"])
        for r in many(one["Resource"])
    }
    read = {
        flat(r).rpartition(">/")[2]
        for one in policy
        if "s3:GetObject" in many(one["Action"])
        for r in many(one["Resource"])
    }
    assert (written, read) == ({"*/jobs/*"}, {"*/jobs/*", "offline/*"})


def test_only_what_the_account_file_asks_for_is_created(app: cdk.App) -> None:
    template = Template.from_stack(workloads(app, Workloads(emr_serverless=EmrServerless(max_vcpus=8))))
    template.resource_count_is("AWS::EMRServerless::Application", 1)
    template.resource_count_is("AWS::EMR::SecurityConfiguration", 0)
    assert [id for id in template.find_resources("AWS::IAM::Role") if "SageMaker" in id] == []


def test_complies(app: cdk.App) -> None:
    workloads(app)
    assert_complies(app)
