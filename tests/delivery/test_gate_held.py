"""The gate on resources that AWS does not delete, and on values of other stacks that a deployment does not renew."""

from collections.abc import Mapping
from typing import Any

import pytest

from delivery.gate.findings import Finding
from delivery.gate.judgement import judge

ELB = "AWS::ElasticLoadBalancingV2"
NOTHING: dict[str, Any] = {"Topic": {"Type": "AWS::SNS::Topic"}}
Resources = Mapping[str, Any]


def template(resources: Resources, *, outputs: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {
        "Resources": {**NOTHING, **resources},
        "Outputs": {id: {"Value": value} for id, value in (outputs or {}).items()},
    }


def of_identity(output: str) -> dict[str, Any]:
    """A value of the stack Identity."""
    return {"Fn::GetStackOutput": {"StackName": "prod-Identity", "OutputName": output}}


def findings(make_stack: Any, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Finding]:
    """What the gate finds if both stacks are deployed, or only the first remains in the account file."""
    stacks = [make_stack(body, name) for name, body in after.items()]
    gone = {name: body for name, body in before.items() if name not in after}
    found = judge(stacks, before, forgotten=gone).findings
    return [one for one in found if "but in use" in one.what or "but protected" in one.what or one.type == "stack"]


HELD = {
    "AWS::EC2::SecurityGroup": ("AWS::EC2::SecurityGroupIngress", {"GroupId": "sg-1", "SourceSecurityGroupId": "USED"}),
    "AWS::IAM::Role": (
        "AWS::IAM::Policy",
        {"PolicyName": "jobs", "Roles": ["USED"], "PolicyDocument": {"Statement": []}},
    ),
    "AWS::Route53::HostedZone": (
        "AWS::Route53::RecordSet",
        {"HostedZoneId": "USED", "Name": "a.example.com.", "Type": "A"},
    ),
    "AWS::CertificateManager::Certificate": (
        "Custom::AWSCDK-EKS-KubernetesResource",
        {
            "ClusterName": "training",
            "Manifest": {"Fn::Join": ["", ['[{"apiVersion":"v1","kind":"ConfigMap","data":{"a":"', "USED", '"}}]']]},
        },
    ),
    f"{ELB}::TargetGroup": (f"{ELB}::ListenerRule", {"Actions": [{"Type": "forward", "TargetGroupArn": "USED"}]}),
}
"""Resources of each type that another one keeps from being deleted."""


def user(type: str, properties: Any) -> dict[str, Any]:
    """A resource of a later stack that uses the output ``Used`` of the stack Identity."""

    def put(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: put(item) for name, item in value.items()}
        if isinstance(value, list):
            return [put(item) for item in value]
        return of_identity("Used") if value == "USED" else value

    return {"User": {"Type": type, "Properties": put(properties)}}


@pytest.mark.promise("gate")
@pytest.mark.parametrize("type", HELD)
def test_a_removed_resource_that_a_later_stack_uses_is_refused_with_the_order_that_works(
    type: str, make_stack: Any
) -> None:
    identity = template({"Used": {"Type": type}}, outputs={"Used": {"Ref": "Used"}})
    kubeflow = template(user(*HELD[type]))
    (found,) = findings(
        make_stack,
        {"prod-Identity": identity, "prod-Kubeflow": kubeflow},
        {"prod-Identity": template({}), "prod-Kubeflow": template({})},
    )
    assert (found.stack, found.resource, found.verdict, found.stops) == ("prod-Identity", "Used", "failing", True)
    assert "run in this order: `cdk deploy --exclusively prod/Kubeflow`; then deploy everything" in found.why


def test_the_printed_order_works(make_stack: Any) -> None:
    """Once the stack that used the resource is deployed, its removal passes."""
    type = "AWS::EC2::SecurityGroup"
    identity = template({"Used": {"Type": type}}, outputs={"Used": {"Ref": "Used"}})
    before = {"prod-Identity": identity, "prod-Kubeflow": template({})}
    assert not findings(make_stack, before, {"prod-Identity": template({}), "prod-Kubeflow": template({})})


def test_a_stack_that_is_no_longer_part_of_the_account_is_deleted_before_what_it_uses(make_stack: Any) -> None:
    identity = template(
        {"Used": {"Type": "AWS::EC2::SecurityGroup"}, "Other": {"Type": "AWS::IAM::Role"}},
        outputs={"Used": {"Ref": "Used"}},
    )
    kubeflow = template(user(*HELD["AWS::EC2::SecurityGroup"]))
    (found,) = findings(
        make_stack, {"prod-Identity": identity, "prod-Kubeflow": kubeflow}, {"prod-Identity": template({})}
    )
    assert "run in this order: `aws cloudformation delete-stack --stack-name prod-Kubeflow`;" in found.why


def test_stacks_that_use_each_other_after_a_failed_deployment_have_an_order_nevertheless(make_stack: Any) -> None:
    of_kubeflow = {"Fn::GetStackOutput": {"StackName": "prod-Kubeflow", "OutputName": "Own"}}
    back = {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": of_kubeflow}}
    identity = template({"Used": {"Type": "AWS::EC2::SecurityGroup"}, "Back": back}, outputs={"Used": {"Ref": "Used"}})
    kubeflow = template(user(*HELD["AWS::EC2::SecurityGroup"]), outputs={"Own": {"Ref": "Topic"}})
    before = {"prod-Identity": identity, "prod-Kubeflow": kubeflow}
    (found,) = findings(make_stack, before, {"prod-Identity": template({}), "prod-Kubeflow": template({})})
    assert "run in this order: `cdk deploy --exclusively prod/Kubeflow`;" in found.why


@pytest.mark.parametrize(
    ("resources", "uses"),
    [
        (
            {"Type": "AWS::EC2::SecurityGroup"},
            ("AWS::EC2::SecurityGroupIngress", {"GroupId": "USED", "CidrIp": "10.0.0.0/8"}),
        ),
        ({"Type": "AWS::IAM::Role"}, ("AWS::SSM::Parameter", {"Type": "String", "Value": "USED"})),
        ({"Type": "AWS::IAM::Role", "DeletionPolicy": "Retain"}, HELD["AWS::IAM::Role"]),
    ],
    ids=["a rule of the group itself", "a mere mention", "a retained resource"],
)
def test_what_keeps_no_resource_from_being_deleted_is_no_finding(
    resources: Resources, uses: tuple[str, Any], make_stack: Any
) -> None:
    identity = template({"Used": resources}, outputs={"Used": {"Ref": "Used"}})
    before = {"prod-Identity": identity, "prod-Kubeflow": template(user(*uses))}
    assert not findings(make_stack, before, {"prod-Identity": template({}), "prod-Kubeflow": template({})})


def test_a_replaced_resource_that_a_later_stack_uses_remains_and_is_named(make_stack: Any) -> None:
    def zone(name: str) -> dict[str, Any]:
        properties = {"Name": name}
        return template(
            {"Used": {"Type": "AWS::Route53::HostedZone", "Properties": properties}}, outputs={"Used": {"Ref": "Used"}}
        )

    kubeflow = template(user(*HELD["AWS::Route53::HostedZone"]))
    (found, *_) = findings(
        make_stack,
        {"prod-Identity": zone("a.example.com."), "prod-Kubeflow": kubeflow},
        {"prod-Identity": zone("b.example.com."), "prod-Kubeflow": template({})},
    )
    assert (found.verdict, found.what, found.stops) == ("replacing", "replaced, but in use", True)
    assert "delete the old one yourself after the deployment" in found.why


PROTECTED = {
    f"{ELB}::LoadBalancer": {"LoadBalancerAttributes": [{"Key": "deletion_protection.enabled", "Value": "true"}]},
    "AWS::EKS::Cluster": {"DeletionProtection": True},
    "AWS::Cognito::UserPool": {"DeletionProtection": "ACTIVE"},
}


@pytest.mark.parametrize("type", PROTECTED)
def test_a_removed_resource_that_is_protected_against_deletion_stops(type: str, make_stack: Any) -> None:
    before = {"prod-Identity": template({"Used": {"Type": type, "Properties": PROTECTED[type]}})}
    (found,) = findings(make_stack, before, {"prod-Identity": template({})})
    assert (found.what, found.stops) == ("removed, but protected", True)
    assert "switch the protection off" in found.why


def load_balancer(scheme: str, *, group: str = "Group") -> dict[str, Any]:
    """A load balancer that forwards to a target group by a rule of its listener."""
    action = {"Type": "forward", "TargetGroupArn": {"Ref": group}}
    return template(
        {
            "Balancer": {"Type": f"{ELB}::LoadBalancer", "Properties": {"Scheme": scheme}},
            "Listener": {
                "Type": f"{ELB}::Listener",
                "Properties": {"LoadBalancerArn": {"Ref": "Balancer"}, "Port": 443},
            },
            "Rule": {
                "Type": f"{ELB}::ListenerRule",
                "Properties": {"ListenerArn": {"Ref": "Listener"}, "Priority": 1, "Actions": [action]},
            },
            group: {"Type": f"{ELB}::TargetGroup", "Properties": {"Port": 80}},
        }
    )


@pytest.mark.parametrize(("group", "is_refused"), [("Group", True), ("InternalGroup", False)])
def test_a_target_group_cannot_move_to_another_load_balancer(group: str, is_refused: bool, make_stack: Any) -> None:
    after = make_stack(load_balancer("internal", group=group), "prod-Identity")
    found = judge([after], {"prod-Identity": load_balancer("internet-facing")}).findings
    refusals = [one.resource for one in found if "TargetGroupAssociationLimit" in one.why]
    assert refusals == ([group] if is_refused else [])


def lustre(zone: str) -> dict[str, Any]:
    properties = {"FileSystemType": "LUSTRE", "SubnetIds": [zone]}
    return template(
        {"Lustre": {"Type": "AWS::FSx::FileSystem", "Properties": properties}}, outputs={"Used": {"Ref": "Lustre"}}
    )


def reader(value: str) -> dict[str, Any]:
    """A stack that reads the id of the file system."""
    return template(user("AWS::SSM::Parameter", {"Type": "String", "Value": "USED", "Description": value}))


@pytest.mark.promise("gate")
@pytest.mark.parametrize(("description", "is_skipped"), [("one", True), ("two", False)])
def test_a_stack_that_the_cli_skips_although_a_value_of_another_stack_changes_is_named(
    description: str, is_skipped: bool, make_stack: Any
) -> None:
    found = findings(
        make_stack,
        {"prod-Identity": lustre("a"), "prod-Services": reader("one")},
        {"prod-Identity": lustre("b"), "prod-Services": reader(description)},
    )
    assert [(one.stack, str(one.verdict)) for one in found] == (
        [("prod-Services", "interrupting")] if is_skipped else []
    )
    assert all("cdk deploy --force --exclusively prod/Services" in one.why for one in found)


def test_a_stack_whose_values_of_other_stacks_remain_is_not_named(make_stack: Any) -> None:
    before = {"prod-Identity": lustre("a"), "prod-Services": reader("one")}
    assert not findings(make_stack, before, before)
