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
    [creating] = [one for one in granted(stack) if "sagemaker:CreateTrainingJob" in str(one["Action"])]
    conditions = dict(creating["Condition"])
    assert conditions["Null"] == {"sagemaker:VpcSecurityGroupIds": "false"}
    assert "SecurityGroup" in str(conditions["ForAllValues:StringEquals"]["sagemaker:VpcSecurityGroupIds"])
    assert "sagemaker:VolumeKmsKeyArn" in conditions["ArnEquals"]


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
