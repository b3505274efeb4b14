from collections import Counter
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import cdk8s
import pytest
from aws_cdk.assertions import Annotations, Match, Template

from charts.base.cluster_access.objects import VIEWERS, ClusterAccess
from charts.nodes.kube2iam.objects import Kube2iam
from config.loader import load_account
from mlplatform_constructs import ConfigurationError, KubernetesCluster
from stacks.app import new_app
from stacks.cluster.cluster import ClusterStack
from stacks.stage import PlatformStage
from tests.placement import groups_that_take
from tests.references import Templates


def stage_of(name: str, folder: Path, more: str = "") -> PlatformStage:
    """The stage of a shipped account, or of a small account of one's own with these settings."""
    app = new_app(outdir=str(folder / "cdk.out"))
    app.node.set_context("aws:cdk:disable-asset-staging", True)
    if not more:
        return PlatformStage(app, name, settings=load_account(name))
    text = f"""
    account = "111111111111"
    region = "eu-west-1"
    [network]
    cidr = "10.0.0.0/16"
    availability_zones = ["eu-west-1a", "eu-west-1b"]
    {more}
    """
    (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return PlatformStage(app, name, settings=load_account(name, folder))


@pytest.fixture(scope="module")
def stage(prod: PlatformStage) -> PlatformStage:
    return prod


def clusters(stage: PlatformStage) -> dict[str, ClusterStack]:
    return {name: stacks.cluster for name, stacks in stage.clusters.items()}


def account_stacks(stage: PlatformStage) -> list[cdk.Stack]:
    """The stacks that those of clusters refer to."""
    account = stage.account_stacks
    assert account.identity is not None
    return [account.security, account.network, account.storage, account.identity]


def resources(stack: cdk.Stack, kind: str) -> list[dict[str, Any]]:
    return [found["Properties"] for found in Template.from_stack(stack).find_resources(kind).values()]


@pytest.mark.promise("separate-clusters")
def test_there_are_two_clusters_with_nodes_of_their_own(stage: PlatformStage) -> None:
    assert {name: stack.node.id for name, stack in clusters(stage).items()} == {
        "training": "TrainingCluster",
        "inference": "InferenceCluster",
    }
    accelerators = {
        name: {spec.instance.accelerator for spec in stack.cluster.node_groups if spec.instance.accelerator}
        for name, stack in clusters(stage).items()
    }
    assert accelerators == {"training": {"nvidia-a100"}, "inference": {"nvidia-a10g"}}


@pytest.mark.promise("separate-clusters")
def test_any_number_of_clusters_comes_from_the_account_file(tmp_path: Path) -> None:
    more = '[clusters.a100-eu]\npurpose = "training"\n[clusters.inference]\n[clusters.t4]\npurpose = "inference"'
    stage = stage_of("many", tmp_path, more)
    assert [stack.node.id for stack in clusters(stage).values()] == ["A100EuCluster", "InferenceCluster", "T4Cluster"]


def test_a_fourth_zone_of_the_account_file_gets_nodes_and_leaves_the_control_plane_where_it_is(tmp_path: Path) -> None:
    """EKS refuses subnets in a zone that the cluster was not created with."""
    zones = ("us-east-1a", "us-east-1b", "us-east-1c", "us-east-1d")
    text = f"""
    account = "111111111111"
    region = "us-east-1"
    [network]
    cidr = "10.0.0.0/16"
    availability_zones = {list(zones)}
    """
    (tmp_path / "wide.toml").write_text(text, encoding="utf-8")
    app = new_app(outdir=str(tmp_path / "cdk.out"))
    app.node.set_context("aws:cdk:disable-asset-staging", True)
    stage = PlatformStage(app, "wide", settings=load_account("wide", tmp_path))
    vpc = stage.account_stacks.network.vpc
    exported = {stage.account_stacks.network.resolve(each.subnet_id)["Ref"]: each for each in vpc.private_subnets}
    stack = stage.clusters["training"].cluster

    def zone_of(reference: dict[str, str]) -> str:
        (name,) = [name for name in exported if reference["Fn::ImportValue"].partition("Ref")[2].startswith(name)]
        return exported[name].availability_zone

    (cluster,) = resources(stack, "AWS::EKS::Cluster")
    assert [zone_of(each) for each in cluster["ResourcesVpcConfig"]["SubnetIds"]] == list(zones[:2])
    groups = Counter(
        zone_of(subnet) for group in resources(stack, "AWS::EKS::Nodegroup") for subnet in group["Subnets"]
    )
    assert set(groups) == set(zones)


@pytest.mark.promise("no-open-ports", "api-for-bastion-only", "access-entries")
@pytest.mark.parametrize("name", ["training", "inference"])
def test_the_bastion_is_allowed_by_the_network_and_by_rbac(stage: PlatformStage, name: str) -> None:
    stack = stage.clusters[name].cluster
    templates = Templates({s.stack_name: Template.from_stack(s).to_json() for s in (*account_stacks(stage), stack)})
    rules = list(templates.resources("AWS::EC2::SecurityGroupIngress").values())
    bastion = stage.account_stacks.network.resolve(
        stage.account_stacks.network.bastion.security_group.security_group_id
    )["Fn::GetAtt"][0]
    sources = [rule["SourceSecurityGroupId"] for rule in rules if rule["FromPort"] == 443]
    sources = [source for source in sources if "Kubectl" not in source]  # the CDK's own functions
    assert sources == [f"{stage.account_stacks.network.stack_name}//{bastion}.GroupId"]
    role = stage.account_stacks.network.resolve(stage.account_stacks.network.bastion.role.role_arn)["Fn::GetAtt"][0]
    entries = templates.resources("AWS::EKS::AccessEntry").values()
    (entry,) = [e for e in entries if e["PrincipalArn"] == f"{stage.account_stacks.network.stack_name}//{role}.Arn"]
    assert entry["KubernetesGroups"] == [VIEWERS]


@pytest.mark.parametrize("name", ["training", "inference"])
def test_the_bastion_may_describe_its_clusters(stage: PlatformStage, name: str) -> None:
    """Without it, ``aws eks update-kubeconfig`` is refused on the host."""
    stack = stage.clusters[name].cluster
    finders = [
        policy["Roles"]
        for policy in resources(stack, "AWS::IAM::Policy")
        if policy["PolicyDocument"]["Statement"]
        == [
            {
                "Action": "eks:DescribeCluster",
                "Effect": "Allow",
                "Resource": stack.resolve(stack.cluster.cluster.cluster_arn),
            }
        ]
    ]
    assert [stack.resolve(stage.account_stacks.network.bastion.role.role_name)] in finders


def test_no_two_stacks_give_a_role_policies_of_one_name(stage: PlatformStage) -> None:
    """CloudFormation would let the second take the place of the first, and delete both with either."""
    named = Counter(
        (policy["PolicyName"], str(role))
        for stack in stage.node.children
        if isinstance(stack, cdk.Stack)
        for policy in resources(stack, "AWS::IAM::Policy")
        for role in policy.get("Roles", [])
        if "Ref" not in role  # of another stack
    )
    assert len({name for name, _ in named}) >= len(stage.clusters)  # the bastion's role has one of each cluster
    assert not [each for each, times in named.items() if times > 1]


@pytest.mark.promise("names-in-outputs")
@pytest.mark.parametrize("name", ["training", "inference"])
def test_its_name_and_its_emergency_role_are_outputs(stage: PlatformStage, name: str) -> None:
    """They must be easy to find when sign-in fails."""
    stack = stage.clusters[name].cluster
    template = Template.from_stack(stack)
    template.has_output("ClusterName", {"Value": stack.cluster.cluster_name})
    template.has_output("EmergencyRole", {"Value": stack.resolve(stack.cluster.break_glass_role.role_arn)})


@pytest.mark.promise("groups-have-rights")
@pytest.mark.parametrize("name", ["training", "inference"])
def test_every_group_that_a_role_is_mapped_to_has_a_binding(stage: PlatformStage, name: str) -> None:
    stack = stage.clusters[name].cluster
    mapped = {g for entry in resources(stack, "AWS::EKS::AccessEntry") for g in entry.get("KubernetesGroups", [])}
    assert mapped == stack.cluster.access_groups
    chart = ClusterAccess(cdk8s.App(), "Access", groups=stack.cluster.access_groups).to_json()
    bound = {subject["name"] for item in chart for subject in item.get("subjects", [])}
    assert bound == mapped


@pytest.mark.promise("access-entries", "groups-have-rights")
def test_roles_of_the_account_file_have_the_configured_access(stage: PlatformStage) -> None:
    entries = {
        entry["PrincipalArn"]: entry.get("KubernetesGroups", "admin")
        for entry in resources(stage.clusters["training"].cluster, "AWS::EKS::AccessEntry")
        if isinstance(entry["PrincipalArn"], str)
    }
    assert entries == {
        "arn:aws:iam::333333333333:role/PlatformAdmins": "admin",
        "arn:aws:iam::333333333333:role/PlatformOperators": ["mlplatform:operators"],
        "arn:aws:iam::333333333333:role/DataScientists": ["mlplatform:viewers"],
    }


@pytest.mark.promise("groups-have-rights")
def test_no_role_is_in_system_masters(stage: PlatformStage) -> None:
    for stack in clusters(stage).values():
        assert not [group for group in stack.cluster.access_groups if group.startswith("system:")]


@pytest.mark.promise("break-glass")
def test_an_emergency_role_that_is_used_raises_an_alarm(stage: PlatformStage) -> None:
    audit = Template.from_stack(stage.audit).to_json()["Resources"]
    for name in ("Training", "Inference"):
        assert [id for id in audit if f"{name}EmergencyRoleUsed" in id]


def test_production_keeps_its_clusters_and_their_logs(stage: PlatformStage) -> None:
    for stack in clusters(stage).values():
        (control_plane,) = resources(stack, "AWS::EKS::Cluster")
        assert control_plane["DeletionProtection"] is True
        Template.from_stack(stack).has_resource(
            "AWS::Logs::LogGroup",
            {
                "Properties": {"LogGroupName": f"/aws/eks/{stack.cluster.cluster_name}/cluster"},
                "DeletionPolicy": "RetainExceptOnCreate",
            },
        )


def test_the_rehearsal_leaves_nothing_behind(tmp_path: Path) -> None:
    stage = stage_of("local", tmp_path)
    for stack in clusters(stage).values():
        kept = [
            r["Type"]
            for r in Template.from_stack(stack).to_json()["Resources"].values()
            if r.get("DeletionPolicy") == "Retain"
        ]
        assert not kept
        assert resources(stack, "AWS::EKS::Cluster")[0]["DeletionProtection"] is False


@pytest.mark.promise("key-per-domain", "encrypted-secrets")
def test_secrets_and_logs_are_encrypted_with_the_accounts_keys(stage: PlatformStage) -> None:
    for stack in clusters(stage).values():
        (control_plane,) = resources(stack, "AWS::EKS::Cluster")
        (encryption,) = control_plane["EncryptionConfig"]
        assert "ClusterSecrets" in str(encryption["Provider"]["KeyArn"])
        assert all("Logs" in str(group["KmsKeyId"]) for group in resources(stack, "AWS::Logs::LogGroup"))


def test_every_reference_across_stacks_resolves(stage: PlatformStage) -> None:
    """References across stacks included."""
    stacks = [child for child in stage.node.children if isinstance(child, cdk.Stack)]
    Templates({stack.stack_name: Template.from_stack(stack).to_json() for stack in stacks}).assert_references_resolve()


@pytest.mark.promise("address-budget")
def test_the_clusters_share_the_address_budget(tmp_path: Path) -> None:
    large = "".join(f"[clusters.{name}.node_groups.cpu]\nmax_per_zone = 90\n" for name in ("training", "inference"))
    with pytest.raises(ConfigurationError, match="crowded/InferenceCluster/Cluster: node groups may take"):
        stage_of("crowded", tmp_path, large)


@pytest.mark.promise("pod-permissions", "pod-roles", "kube2iam-legacy")
@pytest.mark.parametrize(("identity", "warned"), [("pod_identity", False), ("irsa", False), ("kube2iam", True)])
def test_the_account_file_chooses_how_pods_get_roles(tmp_path: Path, identity: str, warned: bool) -> None:
    stack = (
        stage_of("small", tmp_path, f'[clusters.training]\nworkload_identity = "{identity}"')
        .clusters["training"]
        .cluster
    )
    role = stack.identity.role_for(stack, "Role", namespace="kubeflow", service_account="pipelines")
    assert bool(role.service_account_annotations) is (identity == "irsa")
    assert bool(role.pod_annotations) is (identity == "kube2iam")
    warnings = Annotations.from_stack(stack).find_warning("*", Match.string_like_regexp("kube2iam"))
    assert bool(warnings) is warned


@pytest.mark.promise("autoscaler-of-choice")
def test_karpenter_can_be_chosen_for_one_cluster(tmp_path: Path) -> None:
    more = '[clusters.training]\nautoscaler = "karpenter"\n[clusters.inference]'
    stage = stage_of("small", tmp_path, more)
    groups = {name: len(resources(stack, "AWS::EKS::Nodegroup")) for name, stack in clusters(stage).items()}
    assert groups == {"training": 1, "inference": 6}


def test_one_cluster_can_leave_its_upgrades_to_eks(tmp_path: Path) -> None:
    stage = stage_of("small", tmp_path, '[clusters.training]\nupgrade_policy = "standard"\n[clusters.inference]')
    policies = {
        name: cluster["UpgradePolicy"]["SupportType"]
        for name, stack in clusters(stage).items()
        for cluster in resources(stack, "AWS::EKS::Cluster")
    }
    assert policies == {"training": "STANDARD", "inference": "EXTENDED"}


@pytest.mark.promise("driver-for-every-gpu")
def test_old_gpus_pass_with_a_warning(tmp_path: Path) -> None:
    more = '[clusters.training.node_groups.training-gpu]\ninstance_types = ["p3dn.24xlarge"]'
    stack = stage_of("small", tmp_path, more).clusters["training"].cluster
    assert Annotations.from_stack(stack).find_warning("*", Match.string_like_regexp("V100"))


def _pods(cluster: KubernetesCluster) -> dict[str, dict[str, Any]]:
    """A pod for each purpose, and the agents that run everywhere."""
    purposes = {spec.purpose for spec in cluster.node_groups}
    agent = Kube2iam(cdk8s.App(), "Agent", image="r.io/kube2iam:1", region="eu-west-1").to_json()[-1]
    return {
        **{purpose: cluster.placement(purpose) for purpose in purposes},
        "anything": {"containers": []},
        "agent": agent["spec"]["template"]["spec"],
    }


@pytest.mark.promise("gpu-from-zero", "pods-on-their-nodes", "system-nodes")
@pytest.mark.parametrize("name", ["training", "inference"])
def test_pods_land_on_the_nodes_that_are_meant_for_them(stage: PlatformStage, name: str) -> None:
    cluster = stage.clusters[name].cluster.cluster
    groups = cluster.node_groups
    everywhere = [spec.name for spec in groups]
    for purpose, pod in _pods(cluster).items():
        expected = {
            "agent": everywhere,
            "anything": [spec.name for spec in groups if spec.purpose == "general"],
        }.get(purpose, [spec.name for spec in groups if spec.purpose == purpose])
        assert groups_that_take(pod, groups) == expected, purpose


def test_the_stack_passes_the_compliance_pack(stage: PlatformStage) -> None:
    """The app of the stage carries it; synthesis fails on a finding."""
    assert isinstance(stage.clusters["training"].cluster, ClusterStack)
    stage.synth()
