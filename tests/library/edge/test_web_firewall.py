import re
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_kms as kms
from aws_cdk.assertions import Template
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import WebFirewall
from tests.compliance import assert_complies
from tests.sign_in import load_balancer


def firewall(stack: cdk.Stack, **options: Any) -> WebFirewall:
    return WebFirewall(stack, "Firewall", load_balancer=load_balancer(stack).load_balancer, **options)


def properties(template: Template, type: str) -> dict[str, Any]:
    (found,) = template.find_resources(type).values()
    result: dict[str, Any] = found["Properties"]
    return result


def test_defaults(stack: cdk.Stack, snapshot_json: SnapshotAssertion) -> None:
    firewall(stack)
    template = Template.from_stack(stack).to_json()["Resources"]
    assert {id: each for id, each in template.items() if id.startswith("Firewall")} == snapshot_json


def test_it_is_associated_with_the_load_balancer(stack: cdk.Stack) -> None:
    firewall(stack)
    template = Template.from_stack(stack)
    (balancer,) = template.find_resources("AWS::ElasticLoadBalancingV2::LoadBalancer")
    assert properties(template, "AWS::WAFv2::WebACLAssociation")["ResourceArn"] == {"Ref": balancer}


def test_people_may_write_code_and_open_files(stack: cdk.Stack) -> None:
    """The common rules about bodies, file names and long sessions only count; the others block."""
    firewall(stack)
    rules = properties(Template.from_stack(stack), "AWS::WAFv2::WebACL")["Rules"]
    (common,) = [rule for rule in rules if rule["Name"] == "AWSManagedRulesCommonRuleSet"]
    assert common["OverrideAction"] == {"None": {}}
    overrides = common["Statement"]["ManagedRuleGroupStatement"]["RuleActionOverrides"]
    assert all(each["ActionToUse"] == {"Count": {}} for each in overrides)
    names = {each["Name"] for each in overrides}
    assert names - {name for name in names if name.endswith("_BODY")} == {
        "RestrictedExtensions_QUERYARGUMENTS",
        "RestrictedExtensions_URIPATH",
        "SizeRestrictions_Cookie_HEADER",
    }
    assert len(names) == 8


def test_no_metric_has_a_name_that_aws_keeps_for_itself(stack: cdk.Stack) -> None:
    """https://docs.aws.amazon.com/waf/latest/APIReference/API_VisibilityConfig.html"""
    firewall(stack)
    acl = properties(Template.from_stack(stack), "AWS::WAFv2::WebACL")
    metrics = {each["VisibilityConfig"]["MetricName"] for each in (acl, *acl["Rules"])}
    assert len(metrics) == 1 + len(acl["Rules"])
    assert not metrics & {"All", "Default_Action"}


def test_a_flood_from_one_address_is_refused(stack: cdk.Stack) -> None:
    firewall(stack, requests_per_address=500)
    (flood, *_) = properties(Template.from_stack(stack), "AWS::WAFv2::WebACL")["Rules"]
    assert flood["Action"] == {"Block": {}}
    assert flood["Statement"]["RateBasedStatement"]["Limit"] == 500


@pytest.mark.promise("every-entry-traced")
def test_refusals_are_logged_without_what_opens_doors(stack: cdk.Stack) -> None:
    """AWS WAF writes to log groups whose name begins with aws-waf-logs- only, by an ARN without asterisk."""
    firewall(stack, log_encryption_key=kms.Key(stack, "Logs", enable_key_rotation=True))
    template = Template.from_stack(stack)
    logging = properties(template, "AWS::WAFv2::LoggingConfiguration")
    assert {field["SingleHeader"]["Name"] for field in logging["RedactedFields"]} == {"authorization", "cookie"}
    (destination,) = logging["LogDestinationConfigs"]
    *_, name = destination["Fn::Join"][1]
    group = template.find_resources("AWS::Logs::LogGroup")[name["Ref"]]["Properties"]
    beginning, stack_id = group["LogGroupName"]["Fn::Join"][1]
    assert re.fullmatch(r"aws-waf-logs-Test-Firewall-[0-9a-f]{8}-", beginning)
    assert stack_id == {"Fn::Select": [2, {"Fn::Split": ["/", {"Ref": "AWS::StackId"}]}]}  # a stack's second life
    assert "KmsKeyId" in group


def test_refuses_a_limit_that_aws_does_not_count(stack: cdk.Stack) -> None:
    with pytest.raises(ValueError, match="Test/Firewall: requests_per_address must be 10 or more, got 9"):
        firewall(stack, requests_per_address=9)


def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack) -> None:
    firewall(stack)
    assert_complies(app)
