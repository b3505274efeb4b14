from typing import Any

import aws_cdk as cdk
import pytest

from mlplatform_constructs import ConfigurationError, EncryptionKeys, Network, SageMakerJobs
from tests.compliance import assert_complies
from tests.component_calls import calls_of
from tests.library.workloads.test_emr_jobs import actions, granted, pipeline
from tests.policies import flat, many


def sagemaker_jobs(stack: cdk.Stack, **options: Any) -> SageMakerJobs:
    network, keys = (
        Network(stack, "Network", availability_zones=["eu-west-1a", "eu-west-1b"]),
        EncryptionKeys(stack, "Keys"),
    )
    return SageMakerJobs(stack, "SageMaker", vpc=network.vpc, encryption_key=keys.data, **options)


@pytest.mark.promise("sagemaker-steps", "component-permissions")
def test_a_pipeline_may_make_the_calls_of_its_components_and_no_other(stack: cdk.Stack) -> None:
    sagemaker_jobs(stack).grant_run(pipeline(stack))
    disks = {"kms:CreateGrant"}  # SageMaker attaches encrypted disks by the caller's permission
    assert actions(granted(stack)) == calls_of("sagemaker", "sagemaker", "sagemaker") | disks | {"iam:PassRole"}


@pytest.mark.promise("component-permissions")
def test_a_pipeline_passes_the_role_of_jobs_to_sagemaker_and_no_other_role(stack: cdk.Stack) -> None:
    sagemaker_jobs(stack).grant_run(pipeline(stack))
    [passing] = [one for one in granted(stack) if one["Action"] == "iam:PassRole"]
    assert flat(passing["Resource"]).startswith("<SageMakerRole")
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}


@pytest.mark.promise("component-permissions")
def test_a_job_outside_of_the_network_or_with_plain_disks_is_denied(stack: cdk.Stack) -> None:
    sagemaker_jobs(stack).grant_run(pipeline(stack))
    creating = [one for one in granted(stack) if "sagemaker:CreateTrainingJob" in str(one["Action"])]
    disks = []
    for statement in creating:
        conditions = dict(statement["Condition"])
        assert conditions["Null"].pop("sagemaker:VpcSecurityGroupIds") == "false"
        assert "SecurityGroup" in str(conditions.pop("ForAllValues:StringEquals")["sagemaker:VpcSecurityGroupIds"])
        disks.append({key: value for key, value in conditions.items() if value})
    types = {"sagemaker:InstanceTypes": [*SageMakerJobs.LOCAL_DISKS]}
    assert {"ForAllValues:StringLike": types, "Null": {"sagemaker:InstanceTypes": "false"}} in disks
    encrypted = [each["ArnEquals"] for each in disks if "ArnEquals" in each]
    assert [key for each in encrypted for key in each] == ["sagemaker:VolumeKmsKeyArn", "sagemaker:VolumeKmsKey"]
    assert len(disks) == 3


@pytest.mark.promise("team-isolation")
def test_jobs_whose_names_have_another_prefix_are_out_of_reach(stack: cdk.Stack) -> None:
    sagemaker_jobs(stack, name_prefix="churn--").grant_run(pipeline(stack))
    jobs = [
        flat(resource).rpartition(":")[2]
        for one in granted(stack)
        if "sagemaker:" in str(one["Action"])
        for resource in many(one["Resource"])
    ]
    assert set(jobs) == {"training-job/churn--*", "processing-job/churn--*"}


def test_refuses_a_prefix_that_no_arn_of_a_job_has(stack: cdk.Stack) -> None:
    with pytest.raises(ConfigurationError, match="SageMaker: name_prefix must have lower-case .*, got 'Churn-'"):
        sagemaker_jobs(stack, name_prefix="Churn-")


def test_complies(app: cdk.App, stack: cdk.Stack) -> None:
    sagemaker_jobs(stack).grant_run(pipeline(stack))
    assert_complies(app)
