import aws_cdk as cdk
import pytest

from mlplatform_constructs import EncryptionKeys, Network, SageMakerJobs
from tests.compliance import assert_complies
from tests.component_calls import calls_of
from tests.library.workloads.test_emr_jobs import actions, granted, pipeline
from tests.policies import flat


def sagemaker_jobs(stack: cdk.Stack) -> SageMakerJobs:
    network = Network(stack, "Network", availability_zones=["eu-west-1a", "eu-west-1b"])
    return SageMakerJobs(stack, "SageMaker", vpc=network.vpc, encryption_key=EncryptionKeys(stack, "Keys").data)


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


def test_complies(app: cdk.App, stack: cdk.Stack) -> None:
    sagemaker_jobs(stack).grant_run(pipeline(stack))
    assert_complies(app)
