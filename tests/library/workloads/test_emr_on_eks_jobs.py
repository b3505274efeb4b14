import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Template

from mlplatform_constructs import EmrOnEksJobs
from tests.compliance import assert_complies
from tests.component_calls import calls_of
from tests.library.workloads.test_emr_jobs import actions, granted, pipeline
from tests.policies import flat


def jobs_on_eks(stack: cdk.Stack) -> EmrOnEksJobs:
    role = iam.Role(stack, "Jobs", assumed_by=iam.ServicePrincipal("pods.eks.amazonaws.com"))
    return EmrOnEksJobs(stack, "Emr", cluster_name="training", namespace="emr-jobs", execution_role=role)


@pytest.mark.promise("emr-steps", "component-permissions")
def test_a_pipeline_may_make_the_calls_of_its_component_and_no_other(stack: cdk.Stack) -> None:
    jobs_on_eks(stack).grant_run(pipeline(stack))
    assert actions(granted(stack)) == calls_of("emr_on_eks", "emr_containers", "emr-containers")


@pytest.mark.promise("component-permissions")
def test_jobs_start_with_their_role_and_no_other(stack: cdk.Stack) -> None:
    jobs_on_eks(stack).grant_run(pipeline(stack))
    [starting] = [one for one in granted(stack) if one["Action"] == "emr-containers:StartJobRun"]
    [(operator, keys)] = dict(starting["Condition"]).items()
    assert operator == "ArnEquals"
    assert flat(keys["emr-containers:ExecutionRoleArn"]).startswith("<Jobs")


def test_a_virtual_cluster_is_one_namespace_of_a_cluster(stack: cdk.Stack) -> None:
    jobs_on_eks(stack)
    Template.from_stack(stack).has_resource_properties(
        "AWS::EMRContainers::VirtualCluster",
        {"ContainerProvider": {"Id": "training", "Type": "EKS", "Info": {"EksInfo": {"Namespace": "emr-jobs"}}}},
    )


def test_complies(app: cdk.App, stack: cdk.Stack) -> None:
    jobs_on_eks(stack).grant_run(pipeline(stack))
    assert_complies(app)
