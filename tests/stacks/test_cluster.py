from collections import Counter
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import cdk8s
import pytest
from aws_cdk.assertions import Annotations, Match, Template

from charts.cluster_access import OPERATORS, ClusterAccess
from charts.kube2iam import Kube2iam
from config.loader import load_account
from mlplatform_constructs import KubernetesCluster
from stacks.app import new_app
from stacks.cluster import ClusterStack
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
def stage(tmp_path_factory: pytest.TempPathFactory) -> PlatformStage:
    return stage_of("prod", tmp_path_factory.mktemp("prod"))


def resources(stack: cdk.Stack, kind: str) -> list[dict[str, Any]]:
    return [found["Properties"] for found in Template.from_stack(stack).find_resources(kind).values()]


def test_there_are_two_clusters_with_nodes_of_their_own(stage: PlatformStage) -> None:
    """Row 24."""
    assert {name: stack.node.id for name, stack in stage.clusters.items()} == {
        "training": "TrainingCluster",
        "inference": "InferenceCluster",
    }
    accelerators = {
        name: {spec.instance.accelerator for spec in stack.cluster.node_groups if spec.instance.accelerator}
        for name, stack in stage.clusters.items()
    }
    assert accelerators == {"training": {"nvidia-a100"}, "inference": {"nvidia-a10g"}}


def test_any_number_of_clusters_comes_from_the_account_file(tmp_path: Path) -> None:
    """Row 27."""
    more = '[clusters.a100-eu]\npurpose = "training"\n[clusters.inference]\n[clusters.t4]\npurpose = "inference"'
    stage = stage_of("many", tmp_path, more)
    assert [stack.node.id for stack in stage.clusters.values()] == ["A100EuCluster", "InferenceCluster", "T4Cluster"]


@pytest.mark.parametrize("name", ["training", "inference"])
def test_the_bastion_is_let_in_by_the_network_and_by_rbac(stage: PlatformStage, name: str) -> None:
    """Rows 13, 16, 17."""
    stack = stage.clusters[name]
    templates = Templates(
        {s.stack_name: Template.from_stack(s).to_json() for s in (stage.security, stage.network, stack)}
    )
    rules = list(templates.resources("AWS::EC2::SecurityGroupIngress").values())
    bastion = stage.network.resolve(stage.network.bastion.security_group.security_group_id)["Fn::GetAtt"][0]
    sources = [rule["SourceSecurityGroupId"] for rule in rules if rule["FromPort"] == 443]
    assert sources == [f"{stage.network.stack_name}//{bastion}.GroupId"]
    role = stage.network.resolve(stage.network.bastion.role.role_arn)["Fn::GetAtt"][0]
    entries = templates.resources("AWS::EKS::AccessEntry").values()
    (entry,) = [e for e in entries if e["PrincipalArn"] == f"{stage.network.stack_name}//{role}.Arn"]
    assert entry["KubernetesGroups"] == [OPERATORS]


@pytest.mark.parametrize("name", ["training", "inference"])
def test_the_bastion_finds_the_cluster_that_lets_it_in(stage: PlatformStage, name: str) -> None:
    """Without it, ``aws eks update-kubeconfig`` is refused on the host."""
    stack = stage.clusters[name]
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
    assert [stack.resolve(stage.network.bastion.role.role_name)] in finders


def test_no_two_stacks_give_a_role_policies_of_one_name(stage: PlatformStage) -> None:
    """CloudFormation would let the second take the place of the first, and delete both with either."""
    named = Counter(
        (policy["PolicyName"], str(role))
        for stack in stage.node.children
        if isinstance(stack, cdk.Stack)
        for policy in resources(stack, "AWS::IAM::Policy")
        for role in policy.get("Roles", [])
        if "Fn::ImportValue" in role or isinstance(role, str)
    )
    assert any("BastionFinds" in name for name, _ in named)
    assert not [each for each, times in named.items() if times > 1]


@pytest.mark.parametrize("name", ["training", "inference"])
def test_its_name_and_its_emergency_role_are_outputs(stage: PlatformStage, name: str) -> None:
    """On the day when nobody gets in, nobody wants to look for them."""
    stack = stage.clusters[name]
    template = Template.from_stack(stack)
    template.has_output("ClusterName", {"Value": stack.cluster.cluster_name})
    template.has_output("EmergencyRole", {"Value": stack.resolve(stack.cluster.break_glass_role.role_arn)})


@pytest.mark.parametrize("name", ["training", "inference"])
def test_every_group_that_a_role_is_mapped_to_has_a_binding(stage: PlatformStage, name: str) -> None:
    """Row 63."""
    stack = stage.clusters[name]
    mapped = {g for entry in resources(stack, "AWS::EKS::AccessEntry") for g in entry.get("KubernetesGroups", [])}
    assert mapped == stack.cluster.access_groups
    chart = ClusterAccess(cdk8s.App(), "Access", groups=stack.cluster.access_groups).to_json()
    bound = {subject["name"] for item in chart for subject in item.get("subjects", [])}
    assert bound == mapped


def test_roles_of_the_account_file_have_what_it_says(stage: PlatformStage) -> None:
    """Rows 62, 63."""
    entries = {
        entry["PrincipalArn"]: entry.get("KubernetesGroups", "admin")
        for entry in resources(stage.clusters["training"], "AWS::EKS::AccessEntry")
        if isinstance(entry["PrincipalArn"], str)
    }
    assert entries == {
        "arn:aws:iam::333333333333:role/PlatformAdmins": "admin",
        "arn:aws:iam::333333333333:role/PlatformOperators": ["mlplatform:operators"],
        "arn:aws:iam::333333333333:role/DataScientists": ["mlplatform:viewers"],
    }


def test_nobody_is_a_master_of_kubernetes_by_group(stage: PlatformStage) -> None:
    """Row 63."""
    for stack in stage.clusters.values():
        assert not [group for group in stack.cluster.access_groups if group.startswith("system:")]


def test_an_emergency_role_that_is_used_raises_an_alarm(stage: PlatformStage) -> None:
    audit = Template.from_stack(stage.audit).to_json()["Resources"]
    for name in ("Training", "Inference"):
        assert [id for id in audit if f"{name}EmergencyRoleUsed" in id]


def test_production_keeps_its_clusters_and_their_logs(stage: PlatformStage) -> None:
    for stack in stage.clusters.values():
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
    for stack in stage.clusters.values():
        kept = [
            r["Type"]
            for r in Template.from_stack(stack).to_json()["Resources"].values()
            if r.get("DeletionPolicy") == "Retain"
        ]
        assert not kept
        assert resources(stack, "AWS::EKS::Cluster")[0]["DeletionProtection"] is False


def test_secrets_and_logs_are_encrypted_with_the_accounts_keys(stage: PlatformStage) -> None:
    """Rows 50, 67."""
    for stack in stage.clusters.values():
        (control_plane,) = resources(stack, "AWS::EKS::Cluster")
        (encryption,) = control_plane["EncryptionConfig"]
        assert "ClusterSecrets" in str(encryption["Provider"]["KeyArn"])
        assert all("Logs" in str(group["KmsKeyId"]) for group in resources(stack, "AWS::Logs::LogGroup"))


def test_no_stack_refers_to_what_is_not_there(stage: PlatformStage) -> None:
    """References across stacks included."""
    stacks = (stage.security, stage.network, *stage.clusters.values())
    Templates({stack.stack_name: Template.from_stack(stack).to_json() for stack in stacks}).check()


def test_the_clusters_share_the_address_budget(tmp_path: Path) -> None:
    """Rows 12, 21."""
    large = "".join(f"[clusters.{name}.node_groups.cpu]\nmax_per_zone = 90\n" for name in ("training", "inference"))
    with pytest.raises(ValueError, match="crowded/InferenceCluster/Cluster: node groups may take"):
        stage_of("crowded", tmp_path, large)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            '[clusters.training.node_groups.training-gpu]\nami_type = "AL2023_x86_64_STANDARD"',
            "small/TrainingCluster: node group 'training-gpu': ami_type AL2023_x86_64_STANDARD does not fit p4d",
        ),
        (
            '[clusters.training]\nkubernetes = "1.33"',
            r"small/TrainingCluster/Cluster: version: Kubernetes 1\.33 is not supported; choose 1\.34, 1\.35, 1\.36",
        ),
    ],
)
def test_what_only_the_library_can_judge_names_the_cluster(tmp_path: Path, more: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stage_of("small", tmp_path, more)


@pytest.mark.parametrize(("identity", "warned"), [("pod_identity", False), ("irsa", False), ("kube2iam", True)])
def test_the_account_file_chooses_how_pods_get_roles(tmp_path: Path, identity: str, warned: bool) -> None:
    """Rows 64-66."""
    stack = stage_of("small", tmp_path, f'[clusters.training]\nworkload_identity = "{identity}"').clusters["training"]
    role = stack.identity.role_for(stack, "Role", namespace="kubeflow", service_account="pipelines")
    assert bool(role.service_account_annotations) is (identity == "irsa")
    assert bool(role.pod_annotations) is (identity == "kube2iam")
    warnings = Annotations.from_stack(stack).find_warning("*", Match.string_like_regexp("kube2iam"))
    assert bool(warnings) is warned


def test_karpenter_can_be_chosen_for_one_cluster(tmp_path: Path) -> None:
    """Rows 28, 35."""
    more = '[clusters.training]\nautoscaler = "karpenter"\n[clusters.inference]'
    stage = stage_of("small", tmp_path, more)
    groups = {name: len(resources(stack, "AWS::EKS::Nodegroup")) for name, stack in stage.clusters.items()}
    assert groups == {"training": 1, "inference": 6}


def test_one_cluster_can_leave_its_upgrades_to_eks(tmp_path: Path) -> None:
    stage = stage_of("small", tmp_path, '[clusters.training]\nupgrade_policy = "standard"\n[clusters.inference]')
    policies = {
        name: cluster["UpgradePolicy"]["SupportType"]
        for name, stack in stage.clusters.items()
        for cluster in resources(stack, "AWS::EKS::Cluster")
    }
    assert policies == {"training": "STANDARD", "inference": "EXTENDED"}


def test_old_gpus_pass_with_a_warning(tmp_path: Path) -> None:
    """Row 25."""
    more = '[clusters.training.node_groups.training-gpu]\ninstance_types = ["p3dn.24xlarge"]'
    stack = stage_of("small", tmp_path, more).clusters["training"]
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


@pytest.mark.parametrize("name", ["training", "inference"])
def test_pods_land_on_the_nodes_that_are_meant_for_them(stage: PlatformStage, name: str) -> None:
    """Rows 29, 30, 78."""
    cluster = stage.clusters[name].cluster
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
    assert isinstance(stage.clusters["training"], ClusterStack)
    stage.synth()
