from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Template

from mlplatform_constructs import ConfigurationError, DataBucket, EmrJobs, EncryptionKeys, Network
from tests.compliance import assert_complies
from tests.component_calls import calls_of
from tests.policies import flat, identity_statements, many


def emr_jobs(stack: cdk.Stack, **options: Any) -> EmrJobs:
    network = Network(stack, "Network", availability_zones=["eu-west-1a", "eu-west-1b"])
    keys = EncryptionKeys(stack, "Keys")
    logs = DataBucket(stack, "Artifacts")
    return EmrJobs(stack, "Emr", vpc=network.vpc, encryption_key=keys.data, logs=logs, **options)


def pipeline(stack: cdk.Stack) -> iam.Role:
    return iam.Role(stack, "Pipeline", assumed_by=iam.ServicePrincipal("pods.eks.amazonaws.com"))


def granted(stack: cdk.Stack) -> list[dict[str, object]]:
    template = Template.from_stack(stack)
    [role] = [id for id in template.find_resources("AWS::IAM::Role") if id.startswith("Pipeline")]
    return identity_statements(template, role)


def actions(statements: list[dict[str, object]]) -> set[str]:
    return {action for statement in statements for action in many(statement["Action"])}


@pytest.mark.promise("emr-steps", "component-permissions")
def test_a_pipeline_may_make_the_calls_of_its_components_and_no_other(stack: cdk.Stack) -> None:
    emr_jobs(stack).grant_run(pipeline(stack))
    tagging = {"elasticmapreduce:AddTags"}  # by RunJobFlow
    assert actions(granted(stack)) == calls_of("emr", "emr", "elasticmapreduce") | tagging | {"iam:PassRole"}


@pytest.mark.promise("component-permissions")
def test_a_pipeline_passes_each_role_of_a_cluster_to_one_service_and_no_other_role(stack: cdk.Stack) -> None:
    emr_jobs(stack).grant_run(pipeline(stack))
    passed = {
        flat(statement["Resource"]): statement["Condition"]
        for statement in granted(stack)
        if statement["Action"] == "iam:PassRole"
    }
    [service, instances] = [role for name in ("ServiceRole", "InstanceRole") for role in passed if name in role]
    assert len(passed) == 2
    assert passed[service] == {"StringEquals": {"iam:PassedToService": "elasticmapreduce.amazonaws.com"}}
    assert passed[instances] == {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}


@pytest.mark.promise("component-permissions")
def test_clusters_without_the_tag_are_out_of_reach(stack: cdk.Stack) -> None:
    emr_jobs(stack).grant_run(pipeline(stack))
    for statement in granted(stack):
        if set(many(statement["Action"])) - {"elasticmapreduce:ListClusters", "iam:PassRole"}:
            assert "mlplatform:managed-by" in str(statement["Condition"]), statement


@pytest.mark.promise("team-isolation")
def test_clusters_of_another_team_are_out_of_reach(stack: cdk.Stack) -> None:
    emr_jobs(stack, team="churn").grant_run(pipeline(stack))
    for statement in granted(stack):
        if set(many(statement["Action"])) - {"elasticmapreduce:ListClusters", "iam:PassRole"}:
            conditions = dict(statement["Condition"])
            teams = [keys[key] for keys in conditions.values() for key in keys if key.endswith("Tag/team")]
            assert set(teams) == {"churn"}, statement


def test_logs_have_the_prefix_that_they_are_given(stack: cdk.Stack) -> None:
    jobs = emr_jobs(stack, log_prefix="churn/logs/")
    assert jobs.log_uri.endswith("/churn/logs/")
    template = Template.from_stack(stack)
    [role] = [id for id in template.find_resources("AWS::IAM::Role") if "InstanceRole" in id]
    written = [one["Resource"] for one in identity_statements(template, role) if "s3:PutObject" in one["Action"]]
    assert [flat(each).rpartition(">")[2] for each in written] == ["/churn/logs/*"]


@pytest.mark.parametrize("prefix", ["", "emr", "/emr/", "*/"])
def test_refuses_a_prefix_of_logs_that_includes_other_folders(stack: cdk.Stack, prefix: str) -> None:
    with pytest.raises(ConfigurationError, match=r"Test/Emr: log_prefix must be such as 'emr/', got"):
        emr_jobs(stack, log_prefix=prefix)


def test_emr_passes_only_the_role_of_instances(stack: cdk.Stack) -> None:
    emr_jobs(stack)
    template = Template.from_stack(stack)
    [service] = [id for id in template.find_resources("AWS::IAM::Role") if "ServiceRole" in id]
    passed = [one for one in identity_statements(template, service) if one["Action"] == "iam:PassRole"]
    assert [("InstanceRole" in flat(one["Resource"])) for one in passed] == [True]


def test_emr_may_add_the_rules_that_it_misses_to_the_groups_of_clusters_and_to_no_other(stack: cdk.Stack) -> None:
    emr_jobs(stack)
    template = Template.from_stack(stack)
    [service] = [id for id in template.find_resources("AWS::IAM::Role") if "ServiceRole" in id]
    changing = [
        one for one in identity_statements(template, service) if "ec2:AuthorizeSecurityGroupIngress" in one["Action"]
    ]
    [statement] = changing
    assert set(many(statement["Action"])) == {
        f"ec2:{verb}SecurityGroup{way}" for verb in ("Authorize", "Revoke") for way in ("Egress", "Ingress")
    }
    groups = sorted(flat(each).rpartition("/")[2] for each in many(statement["Resource"]))
    assert ["ClusterGroup" in groups[0], "ServiceGroup" in groups[1], len(groups)] == [True, True, 2], groups


def test_the_instance_profile_has_the_name_of_its_role(stack: cdk.Stack) -> None:
    emr_jobs(stack)
    [profile] = Template.from_stack(stack).find_resources("AWS::IAM::InstanceProfile").values()
    assert profile["Properties"]["InstanceProfileName"] == profile["Properties"]["Roles"][0]
    assert "InstanceRole" in profile["Properties"]["InstanceProfileName"]["Ref"]


def test_disks_and_logs_are_encrypted_and_metadata_needs_a_session(stack: cdk.Stack) -> None:
    emr_jobs(stack)
    [security] = Template.from_stack(stack).find_resources("AWS::EMR::SecurityConfiguration").values()
    found = security["Properties"]["SecurityConfiguration"]
    at_rest = found["EncryptionConfiguration"]["AtRestEncryptionConfiguration"]
    assert at_rest["LocalDiskEncryptionConfiguration"]["EnableEbsEncryption"] is True
    assert at_rest["S3EncryptionConfiguration"]["EncryptionMode"] == "SSE-KMS"
    assert found["InstanceMetadataServiceConfiguration"] == {
        "MinimumInstanceMetadataServiceVersion": 2,
        "HttpPutResponseHopLimit": 1,
    }


def test_complies(app: cdk.App, stack: cdk.Stack) -> None:
    emr_jobs(stack).grant_run(pipeline(stack))
    assert_complies(app)
