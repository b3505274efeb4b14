from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from mlplatform_constructs import ConfigurationError, DataBucket, EmrServerlessJobs, Network
from tests.compliance import assert_complies
from tests.component_calls import calls_of
from tests.library.workloads.test_emr_jobs import actions, granted, pipeline
from tests.policies import flat


def serverless_jobs(stack: cdk.Stack, **options: Any) -> EmrServerlessJobs:
    network = Network(stack, "Network", availability_zones=["eu-west-1a", "eu-west-1b"])
    return EmrServerlessJobs(
        stack,
        "Spark",
        **{"vpc": network.vpc, "logs": DataBucket(stack, "Artifacts"), "release": "emr-7.10.0", **options},
    )


@pytest.mark.promise("emr-steps", "component-permissions")
def test_a_pipeline_may_make_the_calls_of_its_component_and_no_other(stack: cdk.Stack) -> None:
    serverless_jobs(stack).grant_run(pipeline(stack))
    assert actions(granted(stack)) == calls_of("emr_serverless", "emr_serverless", "emr-serverless") | {"iam:PassRole"}


@pytest.mark.promise("component-permissions")
def test_a_pipeline_passes_the_role_of_jobs_to_emr_serverless_and_no_other_role(stack: cdk.Stack) -> None:
    serverless_jobs(stack).grant_run(pipeline(stack))
    [passing] = [one for one in granted(stack) if one["Action"] == "iam:PassRole"]
    assert "JobRole" in flat(passing["Resource"])
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "emr-serverless.amazonaws.com"}}


def test_an_application_is_bounded_and_stops_when_it_is_idle(stack: cdk.Stack) -> None:
    serverless_jobs(stack, max_vcpus=32, idle_minutes=5)
    Template.from_stack(stack).has_resource_properties(
        "AWS::EMRServerless::Application",
        {
            "Type": "SPARK",
            "MaximumCapacity": {"Cpu": "32 vCPU", "Memory": "256 GB"},
            "AutoStopConfiguration": {"Enabled": True, "IdleTimeoutMinutes": 5},
        },
    )


def test_complies(app: cdk.App, stack: cdk.Stack) -> None:
    serverless_jobs(stack).grant_run(pipeline(stack))
    assert_complies(app)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"release": "7.10"}, "release must be such as 'emr-7.10.0', got '7.10'"),
        ({"max_vcpus": 0}, "max_vcpus must be 1 or more, got 0"),
        ({"log_prefix": "emr-serverless"}, "log_prefix must be such as 'emr/', got 'emr-serverless'"),
        ({"idle_minutes": 0}, "idle_minutes must be 1 or more, got 0"),
    ],
)
def test_refuses_an_application_that_emr_would_refuse(stack: cdk.Stack, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        serverless_jobs(stack, **options)
