import json
import re
from collections.abc import Sequence
from typing import cast

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Template

from config.storage import Storage
from config.workloads import MOST_TEAMS, Emr, EmrServerless, SageMaker, Workloads
from mlplatform_components.emr import ClusterSpec
from mlplatform_components.emr_serverless import ServerlessSparkJob
from mlplatform_components.sagemaker import Placement
from mlplatform_constructs import Network
from stacks.account.storage import StorageStack
from stacks.account.workloads import WorkloadsStack
from tests.compliance import assert_complies
from tests.policies import flat, many
from tests.protection import protection

ALL = Workloads(emr=Emr(), emr_serverless=EmrServerless(), sagemaker=SageMaker())


def workloads(app: cdk.App, settings: Workloads = ALL, teams: Sequence[str] = ("churn",)) -> WorkloadsStack:
    stage = cdk.Stage(app, "test", env=cdk.Environment(account="111111111111", region="eu-west-1"))
    base = cdk.Stack(stage, "Base")
    protected = protection(base)
    network = Network(base, "Network", availability_zones=["eu-west-1a", "eu-west-1b"])
    storage = StorageStack(stage, "Storage", vpc=network.vpc, settings=Storage(), protection=protected)
    return WorkloadsStack(
        stage,
        "Workloads",
        settings=settings,
        teams=teams,
        vpc=network.vpc,
        features=storage.features,
        artifacts=storage.artifacts,
        images=storage.images,
        protection=protected,
    )


def pipelines_of(stack: WorkloadsStack) -> cdk.Stack:
    """Another stack, with the role of each team's pipelines."""
    stage = stack.node.scope
    assert stage
    pipelines = cdk.Stack(cast(cdk.Stage, stage), "Pipelines")
    for team, kinds in stack.jobs.items():
        role = iam.Role(pipelines, team, assumed_by=iam.ServicePrincipal("pods.eks.amazonaws.com"))
        for jobs in kinds:
            jobs.grant_run(role)
    return pipelines


@pytest.mark.promise("emr-steps", "sagemaker-steps", "component-permissions")
def test_a_team_may_start_every_kind_of_job_and_pass_their_roles_and_no_other(app: cdk.App) -> None:
    teams = Template.from_stack(pipelines_of(workloads(app)))
    [policy] = teams.find_resources("AWS::IAM::Policy").values()
    statements = policy["Properties"]["PolicyDocument"]["Statement"]
    passed = [json.dumps(one["Resource"]) for one in statements if one["Action"] == "iam:PassRole"]
    assert sorted(name for text in passed for name in re.findall(r"Teamschurn(\w+Role)[0-9A-F]{8}Arn", text)) == [
        "EmrInstanceRole",
        "EmrServerlessJobRole",
        "EmrServiceRole",
        "SageMakerRole",
    ]
    actions = {action for one in statements for action in many(one["Action"])}
    assert {"elasticmapreduce:RunJobFlow", "emr-serverless:StartJobRun", "sagemaker:CreateTrainingJob"} <= actions


def test_the_outputs_of_a_team_are_what_the_components_take(app: cdk.App) -> None:
    """With the names of the resources in place of references."""
    outputs = Template.from_stack(workloads(app, teams=["churn-eu"])).to_json()["Outputs"]
    emr, serverless, sagemaker = (
        json.loads(flat(outputs[f"ChurnEu{kind}"]["Value"])) for kind in ("Emr", "EmrServerless", "SageMaker")
    )
    fleet = {"instance_types": ["m6i.xlarge"], "on_demand": 1}
    spec = ClusterSpec.from_dict({"name": "x", "release": "emr-7.10.0", "primary": fleet, "core": fleet, **emr})
    assert spec.tags == {"team": "churn-eu"}
    assert spec.log_uri.endswith("/churn-eu/job-logs/emr/")
    assert "Key" in str(spec.log_key_arn)  # that of the bucket, which refuses EMR's own encryption
    job = ServerlessSparkJob(name="x", program="s3://artifacts/churn-eu/jobs/x.py", **serverless)
    assert job.log_uri.endswith("/churn-eu/job-logs/emr-serverless/")
    assert "SageMakerRole" in Placement(**sagemaker).role_arn


def test_only_what_the_account_file_asks_for_is_created(app: cdk.App) -> None:
    template = Template.from_stack(workloads(app, Workloads(emr_serverless=EmrServerless(max_vcpus=8))))
    template.resource_count_is("AWS::EMRServerless::Application", 1)
    template.resource_count_is("AWS::EMR::SecurityConfiguration", 0)
    assert [id for id in template.find_resources("AWS::IAM::Role") if "SageMaker" in id] == []


def test_a_template_has_room_for_the_most_teams_that_the_settings_accept(app: cdk.App) -> None:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html"""
    stack = workloads(app, teams=[f"team-{number}" for number in range(MOST_TEAMS)])
    pipelines_of(stack)
    template = Template.from_stack(stack).to_json()
    assert len(template["Resources"]) <= 500
    assert len(template["Outputs"]) <= 200


def test_complies(app: cdk.App) -> None:
    workloads(app)
    assert_complies(app)
