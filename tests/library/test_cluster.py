import json
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk.assertions import Annotations, Match, Template
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import EncryptionKeys, NodeGroupSpec, VpcCni
from stacks.app import new_app
from tests import clusters
from tests.clusters import GENERAL, GROUPS, SPARK, SYSTEM, TRAINING, ZONES, cluster
from tests.references import may_assume


@pytest.fixture
def app(app: cdk.App) -> cdk.App:
    """kubectl and the AWS CLI are 60 MB, which no test here needs a copy of."""
    app.node.set_context("aws:cdk:disable-asset-staging", True)
    return app


def properties(stack: cdk.Stack, kind: str) -> list[dict[str, Any]]:
    return [found["Properties"] for found in Template.from_stack(stack).find_resources(kind).values()]


def the(stack: cdk.Stack, kind: str) -> dict[str, Any]:
    (one,) = properties(stack, kind)
    return one


def entries(stack: cdk.Stack) -> dict[str, dict[str, Any]]:
    """Access entries by the logical id of their role."""
    found = properties(stack, "AWS::EKS::AccessEntry")
    return {entry["PrincipalArn"]["Fn::GetAtt"][0]: entry for entry in found}


def test_defaults(stack: cdk.Stack, snapshot_json: SnapshotAssertion) -> None:
    """What EKS is asked for; the handlers that the CDK adds are its own matter."""
    cluster(stack, node_groups=(SYSTEM, TRAINING))
    resources = Template.from_stack(stack).to_json()["Resources"]
    own = {id: r for id, r in resources.items() if r["Type"].startswith(("AWS::EKS::", "AWS::EC2::"))}
    assert own == snapshot_json


def test_the_control_plane_is_native_and_private(stack: cdk.Stack) -> None:
    """Rows 10, 22."""
    cluster(stack)
    control_plane = the(stack, "AWS::EKS::Cluster")
    assert control_plane["ResourcesVpcConfig"]["EndpointPrivateAccess"] is True
    assert control_plane["ResourcesVpcConfig"]["EndpointPublicAccess"] is False
    assert control_plane["ZonalShiftConfig"] == {"Enabled": True}
    assert not [kind for kind in _kinds(stack) if kind.startswith("Custom::")]


def test_a_public_endpoint_is_open_to_named_networks_only(stack: cdk.Stack) -> None:
    """Row 10."""
    cluster(stack, public_access_cidrs=["203.0.113.0/24"])
    config = the(stack, "AWS::EKS::Cluster")["ResourcesVpcConfig"]
    assert config["EndpointPrivateAccess"] is True
    assert config["PublicAccessCidrs"] == ["203.0.113.0/24"]


def test_access_is_by_entries_alone_and_not_for_whoever_deploys(stack: cdk.Stack) -> None:
    """Rows 17, 62."""
    cluster(stack)
    assert the(stack, "AWS::EKS::Cluster")["AccessConfig"] == {
        "AuthenticationMode": "API",
        "BootstrapClusterCreatorAdminPermissions": False,
    }


def test_secrets_are_encrypted_from_the_first_synthesis(stack: cdk.Stack) -> None:
    """Row 67."""
    key = kms.Key(stack, "Key", enable_key_rotation=True)
    cluster(stack, secrets_encryption_key=key)
    (config,) = the(stack, "AWS::EKS::Cluster")["EncryptionConfig"]
    assert config == {"Provider": {"KeyArn": stack.resolve(key.key_arn)}, "Resources": ["secrets"]}


def test_all_logs_of_the_control_plane_go_to_an_encrypted_group_that_is_there_first(stack: cdk.Stack) -> None:
    """Row 72."""
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
            "DeletionPolicy": "Retain",
        },
    )
    (control_plane,) = template.find_resources("AWS::EKS::Cluster").values()
    assert control_plane["Properties"]["Name"] == made.cluster_name
    assert group in control_plane["DependsOn"]
    types = [each["Type"] for each in control_plane["Properties"]["Logging"]["ClusterLogging"]["EnabledTypes"]]
    assert sorted(types) == ["api", "audit", "authenticator", "controllerManager", "scheduler"]


def test_logs_of_a_cluster_that_goes_make_no_new_group(stack: cdk.Stack) -> None:
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
    handlers = [group for group in groups if "Fn::Join" in group["Properties"]["LogGroupName"]]
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


def test_nothing_else_has_a_fixed_name(stack: cdk.Stack) -> None:
    cluster(stack)
    named = ("RoleName", "NodegroupName", "LaunchTemplateName", "GroupName", "FunctionName", "PolicyName")
    for resource in Template.from_stack(stack).to_json()["Resources"].values():
        fixed = set(named) & set(resource.get("Properties", {})) - {"PolicyName"}
        assert not fixed, resource["Type"]


@pytest.mark.parametrize("protection", [True, False])
def test_eks_refuses_to_delete_it_unless_asked_to(stack: cdk.Stack, protection: bool) -> None:
    cluster(stack, deletion_protection=protection)
    assert the(stack, "AWS::EKS::Cluster")["DeletionProtection"] is protection


# --- Network


def test_everything_is_in_private_subnets(stack: cdk.Stack) -> None:
    """Rows 4, 12."""
    cluster(stack)
    private = {f"subnet-{zone[-1]}" for zone in ZONES}
    assert set(the(stack, "AWS::EKS::Cluster")["ResourcesVpcConfig"]["SubnetIds"]) == private
    for group in properties(stack, "AWS::EKS::Nodegroup"):
        assert set(group["Subnets"]) <= private


def test_the_bastion_and_nobody_else_reaches_the_api_server(stack: cdk.Stack) -> None:
    """Row 16."""
    vpc = clusters.network(stack)
    bastion = ec2.SecurityGroup(stack, "Bastion", vpc=vpc)
    made = cluster(stack, vpc=vpc)
    made.connections.allow_default_port_from(bastion, "bastion")
    control_plane = the(stack, "AWS::EKS::Cluster")["ResourcesVpcConfig"]["SecurityGroupIds"]
    rule = the(stack, "AWS::EC2::SecurityGroupIngress")
    assert rule["SourceSecurityGroupId"] == stack.resolve(bastion.security_group_id)
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 443, 443)
    assert [rule["GroupId"]] == control_plane
    for group in properties(stack, "AWS::EC2::SecurityGroup"):
        assert "SecurityGroupIngress" not in group


def test_without_a_bastion_nobody_does(stack: cdk.Stack) -> None:
    """Row 16."""
    cluster(stack)
    Template.from_stack(stack).resource_count_is("AWS::EC2::SecurityGroupIngress", 0)


# --- Access


def test_a_group_member_has_its_group_and_no_policy(stack: cdk.Stack) -> None:
    """Rows 17, 63."""
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


def test_a_reserved_group_is_refused(stack: cdk.Stack) -> None:
    role = iam.Role.from_role_arn(stack, "One", "arn:aws:iam::111111111111:role/People")
    with pytest.raises(ValueError, match="group 'system:masters' is reserved by EKS"):
        cluster(stack).grant_group(role, "system:masters")


configurations = st.fixed_dictionaries(
    {
        "version": st.sampled_from(["1.34", "1.35", "1.36"]),
        "autoscaler": st.sampled_from(["cluster_autoscaler", "karpenter"]),
        "public_access_cidrs": st.sampled_from([(), ("203.0.113.0/24",)]),
        "break_glass_principals": st.sampled_from([(), ("arn:aws:iam::111111111111:user/keeper",)]),
        "deletion_protection": st.booleans(),
        "node_groups": st.sampled_from([(SYSTEM,), GROUPS]),
    }
)


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


# --- Nodes


def test_each_zone_has_a_group_of_its_own_where_the_cluster_autoscaler_runs(stack: cdk.Stack) -> None:
    """Row 31."""
    cluster(stack)
    groups = properties(stack, "AWS::EKS::Nodegroup")
    assert all(len(group["Subnets"]) == 1 for group in groups)
    by_name = [(g["Labels"][NodeGroupSpec.NAME_LABEL], g["Subnets"][0]) for g in groups]
    zones = {spec.name: spec.availability_zones or ZONES for spec in GROUPS}
    assert sorted(by_name) == sorted((name, f"subnet-{zone[-1]}") for name in zones for zone in zones[name])


def test_groups_that_differ_in_zone_only_are_alike_for_the_autoscaler(stack: cdk.Stack) -> None:
    """Row 31: it balances groups whose nodes have the same labels, taints and size."""
    cluster(stack)
    for spec in GROUPS:
        groups = [g for g in properties(stack, "AWS::EKS::Nodegroup") if g["Labels"] == spec.labels]
        assert len({json.dumps({**g, "Subnets": None}, sort_keys=True) for g in groups}) == 1


def test_with_karpenter_only_the_systems_own_nodes_are_groups(stack: cdk.Stack) -> None:
    """Row 35."""
    cluster(stack, autoscaler="karpenter")
    group = the(stack, "AWS::EKS::Nodegroup")
    assert group["Labels"] == SYSTEM.labels
    assert len(group["Subnets"]) == 3


def test_idle_gpus_cost_nothing(stack: cdk.Stack) -> None:
    """Row 29."""
    cluster(stack)
    (group,) = [g for g in properties(stack, "AWS::EKS::Nodegroup") if g["InstanceTypes"] == ["p4d.24xlarge"]]
    assert group["ScalingConfig"] == {"MinSize": 0, "DesiredSize": 0, "MaxSize": 2}
    assert group["AmiType"] == "AL2023_x86_64_NVIDIA"


def test_spark_runs_on_spot(stack: cdk.Stack) -> None:
    """Rows 33, 34."""
    cluster(stack)
    capacity = {
        g["Labels"][NodeGroupSpec.NAME_LABEL]: g["CapacityType"] for g in properties(stack, "AWS::EKS::Nodegroup")
    }
    assert capacity == {"system": "ON_DEMAND", "cpu": "ON_DEMAND", "training-gpu": "ON_DEMAND", "spark": "SPOT"}


def test_nodes_follow_the_cluster_to_a_new_minor_and_keep_disruption_budgets(stack: cdk.Stack) -> None:
    cluster(stack, version="1.36")
    assert the(stack, "AWS::EKS::Cluster")["Version"] == "1.36"
    for group in properties(stack, "AWS::EKS::Nodegroup"):
        assert group["Version"] == "1.36"
        assert group["ForceUpdateEnabled"] is False


def test_pods_do_not_reach_the_nodes_credentials_and_disks_are_encrypted(stack: cdk.Stack) -> None:
    """Row 64."""
    cluster(stack)
    for template in properties(stack, "AWS::EC2::LaunchTemplate"):
        data = template["LaunchTemplateData"]
        assert data["MetadataOptions"]["HttpTokens"] == "required"
        assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
        assert [mapping["Ebs"]["Encrypted"] for mapping in data["BlockDeviceMappings"]] == [True]


def test_a_node_may_join_and_pull_images_and_nothing_else(stack: cdk.Stack) -> None:
    """Rows 38, 64."""
    made = cluster(stack)
    role = stack.resolve(made.node_role.role_arn)["Fn::GetAtt"][0]
    managed = Template.from_stack(stack).find_resources("AWS::IAM::Role")[role]["Properties"]["ManagedPolicyArns"]
    names = sorted(arn["Fn::Join"][1][-1].rpartition("/")[2] for arn in managed)
    assert names == ["AmazonEC2ContainerRegistryPullOnly", "AmazonEKSWorkerNodePolicy"]
    for policy in properties(stack, "AWS::IAM::Policy"):
        assert {"Ref": role} not in policy["Roles"]


def test_nodes_wait_for_their_network_and_dns_waits_for_nodes(stack: cdk.Stack) -> None:
    """Row 23."""
    cluster(stack)
    template = Template.from_stack(stack)
    add_ons = {r["Properties"]["AddonName"]: id for id, r in template.find_resources("AWS::EKS::Addon").items()}
    groups = template.find_resources("AWS::EKS::Nodegroup")
    before = {add_ons[name] for name in ("vpc-cni", "kube-proxy", "eks-pod-identity-agent")}
    for group in groups.values():
        assert before <= set(group["DependsOn"])
    system = {id for id, g in groups.items() if g["Properties"]["Labels"] == SYSTEM.labels}
    assert set(template.find_resources("AWS::EKS::Addon")[add_ons["coredns"]]["DependsOn"]) == system
    (association,) = template.find_resources("AWS::EKS::PodIdentityAssociation")
    assert association in template.find_resources("AWS::EKS::Addon")[add_ons["vpc-cni"]]["DependsOn"]


@pytest.mark.parametrize("version", ["1.34", "1.35", "1.36"])
def test_add_ons_are_those_of_the_release(stack: cdk.Stack, version: str) -> None:
    """Row 23."""
    made = cluster(stack, version=version)
    names = ("vpc-cni", "kube-proxy", "eks-pod-identity-agent", "coredns")
    builds = {add_on["AddonName"]: add_on["AddonVersion"] for add_on in properties(stack, "AWS::EKS::Addon")}
    assert builds == {name: made.release.addons[name] for name in names}


def test_dns_runs_on_the_systems_nodes_and_the_network_keeps_few_addresses(stack: cdk.Stack) -> None:
    """Rows 21, 78."""
    made = cluster(stack, vpc_cni=VpcCni(warm_ip_target=2))
    configured = {
        a["AddonName"]: json.loads(a["ConfigurationValues"])
        for a in properties(stack, "AWS::EKS::Addon")
        if "ConfigurationValues" in a
    }
    assert configured["coredns"] == made.placement("system")
    assert configured["vpc-cni"]["env"]["WARM_IP_TARGET"] == "2"
    assert configured["vpc-cni"]["enableNetworkPolicy"] == "true"


def test_kubelet_is_told_of_a_limit_of_pods(stack: cdk.Stack) -> None:
    bottlerocket = NodeGroupSpec(
        name="b",
        purpose="b",
        instance_types=("m7i.large",),
        ami_type="BOTTLEROCKET_x86_64",
        max_pods=20,
        max_per_zone=1,
    )
    cluster(stack, node_groups=(SYSTEM, TRAINING, bottlerocket))
    data = {
        t["LaunchTemplateData"]["TagSpecifications"][0]["Tags"][0]["Value"].rpartition("/")[2]: t["LaunchTemplateData"]
        for t in properties(stack, "AWS::EC2::LaunchTemplate")
    }
    assert "UserData" not in data["system"]
    assert "maxPods: 30" in data["training-gpu"]["UserData"]["Fn::Base64"]
    assert data["b"]["UserData"]["Fn::Base64"] == "[settings.kubernetes]\nmax-pods = 20\n"
    assert data["b"]["BlockDeviceMappings"][0]["DeviceName"] == "/dev/xvdb"


def test_an_image_of_ones_own_is_told_everything(stack: cdk.Stack) -> None:
    """Row 26: the way to run what EKS has no image for."""
    old = NodeGroupSpec(
        name="old", purpose="old", instance_types=("p2.xlarge",), image_id="ami-0123456789abcdef0", max_per_zone=1
    )
    cluster(stack, node_groups=(SYSTEM, old))
    groups = [g for g in properties(stack, "AWS::EKS::Nodegroup") if g["InstanceTypes"] == ["p2.xlarge"]]
    assert len(groups) == len(ZONES)
    assert not [group for group in groups if "AmiType" in group or "Version" in group]
    (template,) = [
        t["LaunchTemplateData"]
        for t in properties(stack, "AWS::EC2::LaunchTemplate")
        if "ImageId" in t["LaunchTemplateData"]
    ]
    text = "".join(map(str, template["UserData"]["Fn::Base64"]["Fn::Join"][1]))
    for part in (
        "apiServerEndpoint",
        "certificateAuthority",
        "cidr: 172.20.0.0/16",
        "--node-labels=mlplatform/purpose=old",
    ):
        assert part in text
    Annotations.from_stack(stack).has_warning("*", Match.string_like_regexp("K80"))


# --- Placement and addresses


def test_placement_joins_what_all_groups_of_a_purpose_need(stack: cdk.Stack) -> None:
    """Row 30."""
    plain = NodeGroupSpec(name="plain", purpose="training", instance_types=("m7i.large",), max_per_zone=1)
    made = cluster(stack, node_groups=(SYSTEM, plain, TRAINING))
    assert made.placement("training") == {
        "nodeSelector": {"mlplatform/purpose": "training"},
        "tolerations": [
            {"operator": "Equal", "key": "mlplatform/purpose", "value": "training", "effect": "NoSchedule"},
            {"operator": "Equal", "key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"},
        ],
    }


def test_an_unknown_purpose_is_refused(stack: cdk.Stack) -> None:
    with pytest.raises(ValueError, match="Test/Cluster: no node group has purpose 'magic'; there are: general, spark"):
        cluster(stack).placement("magic")


def test_device_plugin_settings_are_collected(stack: cdk.Stack) -> None:
    shared = NodeGroupSpec(
        name="shared",
        purpose="notebooks",
        instance_types=("g5.xlarge",),
        ami_type="AL2023_x86_64_NVIDIA",
        gpu_replicas=4,
        max_per_zone=1,
    )
    assert list(cluster(stack, node_groups=(SYSTEM, shared)).device_plugin_config) == ["time-slicing-4"]


def test_the_address_budget_counts_nodes_at_their_most(stack: cdk.Stack) -> None:
    """Rows 12, 21."""
    made = cluster(stack, node_groups=(SYSTEM,))
    each = 29 + 5 + 2  # pods, spares, two interfaces; m7i.large has room for 30
    assert made.addresses_by_zone == dict.fromkeys(ZONES, 6 + 3 * min(each, 30))


def test_a_subnet_too_small_for_the_groups_pods_is_refused(stack: cdk.Stack) -> None:
    """Rows 12, 21."""
    vpc = clusters.network(stack, cidr="10.0.0.0/21")
    message = (
        r"Test/Cluster: node groups may take 696 addresses in eu-west-1a, subnet 10\.0\.0\.0/24 has 187 left for them; "
        "lower max_per_zone, set max_pods, or give the network a larger cidr"
    )
    with pytest.raises(ValueError, match=message):
        cluster(stack, vpc=vpc, node_groups=(SYSTEM, GENERAL, SPARK))


def test_a_second_cluster_shares_the_subnets(stack: cdk.Stack) -> None:
    vpc = clusters.network(stack, cidr="10.0.0.0/20")
    groups = (SYSTEM, GENERAL)
    first = cluster(stack, "First", vpc=vpc, node_groups=groups)
    with pytest.raises(ValueError, match="Test/Second: node groups may take"):
        cluster(stack, "Second", vpc=vpc, node_groups=groups, addresses_in_use=first.addresses_by_zone)


# --- Refusals


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
        ({"service_cidr": "172.20.0.1/16"}, "service_cidr must be a network such as"),
        ({"service_cidr": "172.20.0.0/28"}, "service_cidr must be a private network of /12 to /24"),
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
    app.synth()


def _kinds(stack: cdk.Stack) -> set[str]:
    return {resource["Type"] for resource in Template.from_stack(stack).to_json()["Resources"].values()}


def _trust(stack: cdk.Stack, part: str) -> Any:
    roles = Template.from_stack(stack).find_resources("AWS::IAM::Role")
    (role,) = [role for id, role in roles.items() if part in id]
    return role["Properties"]["AssumeRolePolicyDocument"]
