import json
from dataclasses import replace
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk.assertions import Template
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import ConfigurationError, EncryptionKeys, NodeGroupSpec
from stacks.app import new_app
from tests import clusters
from tests.clusters import GENERAL, GROUPS, SYSTEM, TRAINING, ZONES, cluster, properties, the
from tests.compliance import assert_complies
from tests.references import may_assume


@pytest.fixture
def app(app: cdk.App) -> cdk.App:
    """kubectl and the AWS CLI are 60 MB, which no test here needs a copy of."""
    app.node.set_context("aws:cdk:disable-asset-staging", True)
    return app


def entries(stack: cdk.Stack) -> dict[str, dict[str, Any]]:
    """Access entries by the logical id of their role."""
    found = properties(stack, "AWS::EKS::AccessEntry")
    return {entry["PrincipalArn"]["Fn::GetAtt"][0]: entry for entry in found}


def test_defaults(stack: cdk.Stack, snapshot_json: SnapshotAssertion) -> None:
    """The EKS resources, without the handlers that the CDK adds."""
    cluster(stack, node_groups=(SYSTEM, TRAINING))
    resources = Template.from_stack(stack).to_json()["Resources"]
    own = {id: r for id, r in resources.items() if r["Type"].startswith(("AWS::EKS::", "AWS::EC2::"))}
    assert own == snapshot_json


@pytest.mark.promise("private-api", "supported-kubernetes")
def test_the_control_plane_is_native_and_private(stack: cdk.Stack) -> None:
    cluster(stack)
    control_plane = the(stack, "AWS::EKS::Cluster")
    assert control_plane["ResourcesVpcConfig"]["EndpointPrivateAccess"] is True
    assert control_plane["ResourcesVpcConfig"]["EndpointPublicAccess"] is False
    assert control_plane["ZonalShiftConfig"] == {"Enabled": True}
    assert [kind for kind in _kinds(stack) if kind.startswith("Custom::")] == ["Custom::NodeGroupSizes"]


@pytest.mark.promise("private-api")
def test_a_public_endpoint_is_open_to_named_networks_only(stack: cdk.Stack) -> None:
    cluster(stack, public_access_cidrs=["203.0.113.0/24"])
    config = the(stack, "AWS::EKS::Cluster")["ResourcesVpcConfig"]
    assert config["EndpointPrivateAccess"] is True
    assert config["PublicAccessCidrs"] == ["203.0.113.0/24"]


@pytest.mark.promise("access-entries", "break-glass")
def test_access_is_by_entries_only_and_not_for_the_deployer(stack: cdk.Stack) -> None:
    cluster(stack)
    assert the(stack, "AWS::EKS::Cluster")["AccessConfig"] == {
        "AuthenticationMode": "API",
        "BootstrapClusterCreatorAdminPermissions": False,
    }


@pytest.mark.promise("encrypted-secrets")
def test_secrets_are_encrypted_from_the_first_synthesis(stack: cdk.Stack) -> None:
    key = kms.Key(stack, "Key", enable_key_rotation=True)
    cluster(stack, secrets_encryption_key=key)
    (config,) = the(stack, "AWS::EKS::Cluster")["EncryptionConfig"]
    assert config == {"Provider": {"KeyArn": stack.resolve(key.key_arn)}, "Resources": ["secrets"]}


@pytest.mark.promise("control-plane-logs")
def test_all_logs_of_the_control_plane_go_to_an_encrypted_group_that_is_there_first(stack: cdk.Stack) -> None:
    keys = EncryptionKeys(stack, "Keys")
    made = cluster(stack, log_encryption_key=keys.logs)
    group = stack.resolve(made.log_group.node.default_child.ref)["Ref"]  # type: ignore[union-attr]
    template = Template.from_stack(stack)
    template.has_resource(
        "AWS::Logs::LogGroup",
        {
            "Properties": {
                "LogGroupName": f"/aws/eks/{made.cluster_name}/cluster",
                "RetentionInDays": 365,
                "KmsKeyId": stack.resolve(keys.logs.key_arn),
            },
            "DeletionPolicy": "RetainExceptOnCreate",
        },
    )
    (control_plane,) = template.find_resources("AWS::EKS::Cluster").values()
    assert control_plane["Properties"]["Name"] == made.cluster_name
    assert group in control_plane["DependsOn"]
    types = [each["Type"] for each in control_plane["Properties"]["Logging"]["ClusterLogging"]["EnabledTypes"]]
    assert sorted(types) == ["api", "audit", "authenticator", "controllerManager", "scheduler"]


@pytest.mark.parametrize(
    ("asked", "on_deletion"),
    [(cdk.RemovalPolicy.RETAIN, "RetainExceptOnCreate"), (cdk.RemovalPolicy.DESTROY, "Delete")],
)
def test_a_first_deployment_that_fails_leaves_no_log_group_that_stops_the_next(
    stack: cdk.Stack, asked: cdk.RemovalPolicy, on_deletion: str
) -> None:
    made = cluster(stack, removal_policy=asked)
    (group,) = (
        Template.from_stack(stack)
        .find_resources(
            "AWS::Logs::LogGroup", {"Properties": {"LogGroupName": f"/aws/eks/{made.cluster_name}/cluster"}}
        )
        .values()
    )
    kept = {"RetainExceptOnCreate": "Retain"}.get(on_deletion, on_deletion)
    assert (group["DeletionPolicy"], group["UpdateReplacePolicy"]) == (on_deletion, kept)


def test_late_logs_of_a_deleted_cluster_create_no_group(stack: cdk.Stack) -> None:
    cluster(stack)
    role = the(stack, "AWS::EKS::Cluster")["RoleArn"]["Fn::GetAtt"][0]
    denied = {"Action": "logs:CreateLogGroup", "Effect": "Deny", "Resource": "*"}
    Template.from_stack(stack).has_resource_properties(
        "AWS::IAM::Policy", {"Roles": [{"Ref": role}], "PolicyDocument": {"Statement": [denied]}}
    )


def test_what_the_kubectl_handler_logs_is_encrypted_and_goes_with_the_cluster(stack: cdk.Stack) -> None:
    keys = EncryptionKeys(stack, "Keys")
    cluster(stack, log_encryption_key=keys.logs)
    groups = Template.from_stack(stack).find_resources("AWS::Logs::LogGroup").values()
    handlers = [group for group in groups if "Fn::Join" in group["Properties"].get("LogGroupName", "")]
    assert len(handlers) == 2
    for group in handlers:
        assert group["DeletionPolicy"] == "Delete"
        assert group["Properties"]["RetentionInDays"] == 30
        assert group["Properties"]["KmsKeyId"] == stack.resolve(keys.logs.key_arn)


def test_the_name_is_new_whenever_the_cluster_would_be_replaced() -> None:
    """It has no fixed name, though it is known at synthesis."""
    names = []
    for key, changes in [
        ("One", {}),
        ("Two", {}),
        ("One", {"service_cidr": "172.21.0.0/16"}),
        ("One", {"version": "1.36"}),
    ]:
        fresh = cdk.Stack(new_app(), "Test")
        names.append(cluster(fresh, secrets_encryption_key=kms.Key(fresh, key), **changes).cluster_name)
    first, other_key, other_services, upgraded = names
    assert len({first, other_key, other_services}) == 3
    assert upgraded == first


def test_the_name_is_the_same_at_every_synthesis() -> None:
    stacks = [cdk.Stack(new_app(), "Test") for _ in range(2)]
    assert len({cluster(stack).cluster_name for stack in stacks}) == 1


@pytest.mark.promise("no-fixed-names")
def test_nothing_else_has_a_fixed_name(stack: cdk.Stack) -> None:
    cluster(stack)
    named = ("RoleName", "NodegroupName", "LaunchTemplateName", "GroupName", "FunctionName", "PolicyName")
    for resource in Template.from_stack(stack).to_json()["Resources"].values():
        if resource["Type"] == "AWS::Lambda::Permission":
            continue  # names the function that it is for
        fixed = set(named) & set(resource.get("Properties", {})) - {"PolicyName"}
        assert not fixed, resource["Type"]


@pytest.mark.parametrize("protection", [True, False])
def test_eks_refuses_to_delete_it_unless_requested(stack: cdk.Stack, protection: bool) -> None:
    cluster(stack, deletion_protection=protection)
    assert the(stack, "AWS::EKS::Cluster")["DeletionProtection"] is protection


@pytest.mark.parametrize(
    ("choice", "support"),
    [({}, "EXTENDED"), ({"upgrade_policy": "extended"}, "EXTENDED"), ({"upgrade_policy": "standard"}, "STANDARD")],
)
def test_eks_upgrades_the_control_plane_by_itself_only_if_requested(
    stack: cdk.Stack, choice: dict[str, str], support: str
) -> None:
    cluster(stack, **choice)
    assert the(stack, "AWS::EKS::Cluster")["UpgradePolicy"] == {"SupportType": support}


@pytest.mark.promise("private-nodes")
def test_everything_is_in_private_subnets(stack: cdk.Stack) -> None:
    cluster(stack)
    private = {f"subnet-{zone[-1]}" for zone in ZONES}
    subnets = the(stack, "AWS::EKS::Cluster")["ResourcesVpcConfig"]["SubnetIds"]
    assert subnets == ["subnet-a", "subnet-b"]  # whatever zones the VPC gets later
    for group in properties(stack, "AWS::EKS::Nodegroup"):
        assert set(group["Subnets"]) <= private


@pytest.mark.promise("api-for-bastion-only")
def test_only_the_bastion_can_reach_the_api_server(stack: cdk.Stack) -> None:
    vpc = clusters.network(stack)
    bastion = ec2.SecurityGroup(stack, "Bastion", vpc=vpc)
    made = cluster(stack, vpc=vpc)
    made.connections.allow_default_port_from(bastion, "bastion")
    control_plane = the(stack, "AWS::EKS::Cluster")["ResourcesVpcConfig"]["SecurityGroupIds"]
    other, rule = sorted(
        properties(stack, "AWS::EC2::SecurityGroupIngress"), key=lambda rule: rule["Description"] == "bastion"
    )
    assert rule["SourceSecurityGroupId"] == stack.resolve(bastion.security_group_id)
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 443, 443)
    assert [rule["GroupId"]] == control_plane
    for group in properties(stack, "AWS::EC2::SecurityGroup"):
        assert "SecurityGroupIngress" not in group


@pytest.mark.promise("api-for-bastion-only")
def test_without_a_bastion_nothing_can_reach_the_api_server(stack: cdk.Stack) -> None:
    cluster(stack)
    assert the(stack, "AWS::EC2::SecurityGroupIngress")["Description"] == "kubectl handlers"


@pytest.mark.promise("access-entries", "groups-have-rights")
def test_a_group_member_has_its_group_and_no_policy(stack: cdk.Stack) -> None:
    role = iam.Role(stack, "Operators", assumed_by=iam.AccountRootPrincipal())
    made = cluster(stack)
    made.grant_group(role, "mlplatform:operators")
    entry = entries(stack)[stack.resolve(role.role_arn)["Fn::GetAtt"][0]]
    assert entry["KubernetesGroups"] == ["mlplatform:operators"]
    assert "AccessPolicies" not in entry
    assert made.access_groups == {"mlplatform:operators"}


def test_an_admin_has_the_policy_of_eks(stack: cdk.Stack) -> None:
    role = iam.Role.from_role_arn(stack, "Admins", "arn:aws:iam::111111111111:role/Admins")
    cluster(stack).grant_admin(role)
    Template.from_stack(stack).has_resource_properties(
        "AWS::EKS::AccessEntry", {"PrincipalArn": "arn:aws:iam::111111111111:role/Admins"}
    )


def test_a_role_is_mapped_once(stack: cdk.Stack) -> None:
    role = iam.Role.from_role_arn(stack, "One", "arn:aws:iam::111111111111:role/People")
    again = iam.Role.from_role_arn(stack, "Two", "arn:aws:iam::111111111111:role/People")
    made = cluster(stack)
    made.grant_group(role, "mlplatform:viewers")
    with pytest.raises(ValueError, match="Test/Two already has access as mlplatform:viewers; .* grant it once"):
        made.grant_admin(again)


@pytest.mark.parametrize("group", ["", "  "])
def test_an_empty_group_is_refused(stack: cdk.Stack, group: str) -> None:
    role = iam.Role(stack, "Role", assumed_by=iam.AccountRootPrincipal())
    with pytest.raises(ConfigurationError, match="group is empty; name the group that a binding names"):
        cluster(stack).grant_group(role, group)


def test_a_grant_orders_what_needs_the_access_and_lets_the_cluster_be_found(stack: cdk.Stack) -> None:
    role = iam.Role(stack, "Role", assumed_by=iam.AccountRootPrincipal())
    later = cdk.CfnResource(stack, "Later", type="Custom::Later")
    made = cluster(stack)
    grant = made.grant_group(role, "mlplatform:viewers")
    grant.apply_before(later)
    assert grant.success
    template = Template.from_stack(stack)
    (policy,) = template.find_resources("Custom::Later")["Later"]["DependsOn"]
    found = template.find_resources("AWS::IAM::Policy")[policy]
    assert found["Properties"]["Roles"] == [stack.resolve(role.role_name)]
    assert found["Properties"]["PolicyDocument"]["Statement"] == [
        {"Action": "eks:DescribeCluster", "Effect": "Allow", "Resource": stack.resolve(made.cluster_arn)}
    ]
    assert [template.find_resources("AWS::EKS::AccessEntry")[id] for id in found["DependsOn"]]


def test_what_is_used_often_has_a_direct_name(stack: cdk.Stack) -> None:
    made = cluster(stack)
    role = iam.Role(stack, "Role", assumed_by=iam.AccountRootPrincipal())
    assert made.grant_find(role).success
    assert made.cluster_arn == made.cluster.cluster_arn
    assert made.endpoint == made.cluster.cluster_endpoint
    assert made.security_group.security_group_id == made.cluster.cluster_security_group_id


def test_a_stack_whose_role_may_find_a_cluster_does_not_depend_on_it(app: cdk.App, stack: cdk.Stack) -> None:
    made = cluster(stack)
    first = cdk.Stack(app, "First", env=cdk.Environment(account=stack.account, region=stack.region))
    role = iam.Role(first, "Role", assumed_by=iam.AccountRootPrincipal())
    made.grant_find(role)
    (policy,) = Template.from_stack(first).find_resources("AWS::IAM::Policy").values()
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Action"] == "eks:DescribeCluster"
    assert f":cluster/{made.cluster_name}" in json.dumps(statement["Resource"])
    assert first.dependencies == []


def test_a_reserved_group_is_refused(stack: cdk.Stack) -> None:
    role = iam.Role.from_role_arn(stack, "One", "arn:aws:iam::111111111111:role/People")
    with pytest.raises(ValueError, match="group 'system:masters' is reserved by EKS"):
        cluster(stack).grant_group(role, "system:masters")


@pytest.mark.promise("access-entries", "groups-have-rights")
def test_a_person_is_known_by_name(stack: cdk.Stack) -> None:
    """The entry has a group, or only the rights that RBAC binds to the name."""
    made = cluster(stack)
    for name in ("ana", "ben", "chi"):
        role = iam.Role.from_role_arn(stack, name, f"arn:aws:iam::111111111111:role/{name}")
        match name:
            case "ana":
                made.grant_admin(role, username="ana@example.com")
            case "ben":
                made.grant_group(role, "mlplatform:viewers", username="ben@example.com")
            case "chi":
                made.grant_user(role, "chi@example.com")
    found = Template.from_stack(stack).find_resources("AWS::EKS::AccessEntry").values()
    known = {each["Properties"]["Username"]: each["Properties"] for each in found if "Username" in each["Properties"]}
    assert set(known) == {"ana@example.com", "ben@example.com", "chi@example.com"}
    assert known["ben@example.com"]["KubernetesGroups"] == ["mlplatform:viewers"]
    assert not {"KubernetesGroups", "AccessPolicies"} & set(known["chi@example.com"])
    assert made.access_groups == {"mlplatform:viewers"}


def test_a_reserved_name_is_refused(stack: cdk.Stack) -> None:
    role = iam.Role.from_role_arn(stack, "One", "arn:aws:iam::111111111111:role/People")
    with pytest.raises(ValueError, match="username 'system:admin' is reserved by EKS; choose another"):
        cluster(stack).grant_user(role, "system:admin")


configurations = st.fixed_dictionaries(
    {
        "version": st.sampled_from(["1.34", "1.35", "1.36"]),
        "upgrade_policy": st.sampled_from(["standard", "extended"]),
        "autoscaler": st.sampled_from(["cluster_autoscaler", "karpenter"]),
        "public_access_cidrs": st.sampled_from([(), ("203.0.113.0/24",)]),
        "break_glass_principals": st.sampled_from([(), ("arn:aws:iam::111111111111:user/keeper",)]),
        "deletion_protection": st.booleans(),
        "node_groups": st.sampled_from([(SYSTEM,), GROUPS]),
    }
)


@pytest.mark.promise("break-glass")
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(configuration=configurations, people=st.integers(0, 3))
def test_the_emergency_role_administers_whatever_the_configuration(configuration: dict[str, Any], people: int) -> None:
    stack = cdk.Stack(new_app(), "Test", env=cdk.Environment(account="111111111111", region="eu-west-1"))
    made = cluster(stack, **configuration)
    for number in range(people):
        made.grant_group(iam.Role(stack, f"Role{number}", assumed_by=iam.AccountRootPrincipal()), "mlplatform:viewers")
    entry = entries(stack)[stack.resolve(made.break_glass_role.role_arn)["Fn::GetAtt"][0]]
    (policy,) = entry["AccessPolicies"]
    assert policy["AccessScope"] == {"Type": "cluster"}
    assert policy["PolicyArn"] == "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"


@pytest.mark.promise("break-glass")
def test_the_emergency_role_takes_a_second_factor_and_a_named_principal(stack: cdk.Stack) -> None:
    keeper = "arn:aws:iam::111111111111:user/keeper"
    cluster(stack, break_glass_principals=[keeper])
    trust = _trust(stack, "BreakGlass")
    account = "arn:aws:iam::111111111111:root"
    for principal, factor, expected in [
        (keeper, "true", True),
        (keeper, "false", False),
        (f"{keeper}2", "true", False),
    ]:
        context = {"aws:MultiFactorAuthPresent": factor, "aws:PrincipalArn": principal}
        assert may_assume(trust, "sts:AssumeRole", account, context) is expected
    assert not may_assume(trust, "sts:AssumeRole", account, {"aws:PrincipalArn": keeper})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"version": "1.33"}, r"version: Kubernetes 1\.33 is not supported; choose 1\.34, 1\.35, 1\.36"),
        ({"public_access_cidrs": ["0.0.0.0/0"]}, r"public_access_cidrs: 0\.0\.0\.0/0 is open to the world"),
        ({"public_access_cidrs": ["128.0.0.0/1"]}, r"public_access_cidrs: 128\.0\.0\.0/1 is open to the world"),
        ({"public_access_cidrs": ["10.0.0.0/16"]}, r"public_access_cidrs: 10\.0\.0\.0/16 is private"),
        ({"public_access_cidrs": ["office"]}, "public_access_cidrs: must be networks such as"),
        ({"node_groups": (SYSTEM, SYSTEM)}, "node_groups has system twice; name each group once"),
        ({"node_groups": (GENERAL,)}, "node_groups needs one with purpose 'system'"),
        (
            {"autoscaler": "karpenter", "node_groups": (SYSTEM, replace(TRAINING, efa=True))},
            "node_groups has efa in training-gpu; leave it out, or use the Cluster Autoscaler",
        ),
        ({"service_cidr": "172.20.0.1/16"}, "service_cidr must be a network such as"),
        ({"service_cidr": "172.20.0.0/28"}, "service_cidr must be a private network of /12 to /24"),
        (
            {"autoscaler": "cluster-autoscaler"},
            "autoscaler must be 'cluster_autoscaler' or 'karpenter', got",
        ),
        ({"upgrade_policy": None}, "upgrade_policy must be 'standard' or 'extended', got None"),
        ({"public_access_cidrs": "203.0.113.0/24"}, "public_access_cidrs must be a list, got '203.0.113.0/24'"),
        ({"node_groups": SYSTEM}, "node_groups must be a list"),
        ({"deletion_protection": "no"}, "deletion_protection must be True or False, got 'no'"),
        ({"break_glass_principals": ["ana"]}, "break_glass_principals must be an ARN such as .*, got 'ana'"),
        ({"break_glass_principals": ["arn:aws:s3:::b"]}, "break_glass_principals must be an ARN such as"),
        ({"service_cidr": "10.0.0.0/20"}, r"service_cidr 10\.0\.0\.0/20 overlaps subnet 10\.0\.0\.0/19"),
        (
            {
                "node_groups": (
                    SYSTEM,
                    NodeGroupSpec(
                        name="far",
                        purpose="far",
                        instance_types=("m7i.large",),
                        availability_zones=("eu-west-1f",),
                        max_per_zone=1,
                    ),
                )
            },
            "node group 'far': no private subnet in eu-west-1f; choose from eu-west-1a, eu-west-1b, eu-west-1c",
        ),
    ],
)
def test_refusals_come_before_anything_is_created(stack: cdk.Stack, arguments: dict[str, Any], message: str) -> None:
    vpc = clusters.network(stack)
    key = kms.Key(stack, "Key", enable_key_rotation=True)
    with pytest.raises(ValueError, match=f"Test/Cluster: {message}"):
        cluster(stack, vpc=vpc, secrets_encryption_key=key, **arguments)
    assert _kinds(stack) == {"AWS::KMS::Key"}


def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack) -> None:
    cluster(stack)
    assert_complies(app)


def _kinds(stack: cdk.Stack) -> set[str]:
    return {resource["Type"] for resource in Template.from_stack(stack).to_json()["Resources"].values()}


def _trust(stack: cdk.Stack, part: str) -> Any:
    roles = Template.from_stack(stack).find_resources("AWS::IAM::Role")
    (role,) = [role for id, role in roles.items() if part in id]
    return role["Properties"]["AssumeRolePolicyDocument"]
