"""The nodes of a cluster: groups, add-ons, placement, addresses. ``test_cluster.py`` has the rest."""

import json
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Annotations, Match, Template

from mlplatform_constructs import NodeGroupSpec, VpcCni
from mlplatform_constructs._clusters.address_budget import addresses_by_zone
from mlplatform_constructs._clusters.cluster_zones import ClusterZone, ClusterZones
from tests import clusters
from tests.clusters import GENERAL, GROUPS, SPARK, SYSTEM, TRAINING, ZONES, cluster, properties, the


@pytest.fixture
def app(app: cdk.App) -> cdk.App:
    """kubectl and the AWS CLI are 60 MB, which no test here needs a copy of."""
    app.node.set_context("aws:cdk:disable-asset-staging", True)
    return app


@pytest.mark.promise("balanced-zones")
def test_each_zone_has_a_group_of_its_own_where_the_cluster_autoscaler_runs(stack: cdk.Stack) -> None:
    cluster(stack)
    groups = properties(stack, "AWS::EKS::Nodegroup")
    assert all(len(group["Subnets"]) == 1 for group in groups)
    by_name = [(g["Labels"][NodeGroupSpec.NAME_LABEL], g["Subnets"][0]) for g in groups]
    zones = {spec.name: spec.availability_zones or ZONES for spec in GROUPS}
    assert sorted(by_name) == sorted((name, f"subnet-{zone[-1]}") for name in zones for zone in zones[name])


@pytest.mark.promise("balanced-zones")
def test_groups_that_differ_in_zone_only_are_alike_for_the_autoscaler(stack: cdk.Stack) -> None:
    """The autoscaler balances groups whose nodes have the same labels, taints and size."""
    cluster(stack)
    for spec in GROUPS:
        groups = [g for g in properties(stack, "AWS::EKS::Nodegroup") if g["Labels"] == spec.labels]
        for group in groups:
            del group["Subnets"], group["ScalingConfig"]["DesiredSize"]
        assert len({json.dumps(group, sort_keys=True) for group in groups}) == 1


@pytest.mark.promise("autoscaler-of-choice")
def test_with_karpenter_only_the_systems_own_nodes_are_groups(stack: cdk.Stack) -> None:
    cluster(stack, autoscaler="karpenter")
    group = the(stack, "AWS::EKS::Nodegroup")
    assert group["Labels"] == SYSTEM.labels
    assert len(group["Subnets"]) == 3
    assert (group["ScalingConfig"]["MinSize"], group["ScalingConfig"]["MaxSize"]) == (3, 6)  # counted for each zone


@pytest.mark.promise("gpu-from-zero")
def test_idle_gpus_cost_nothing(stack: cdk.Stack) -> None:
    cluster(stack)
    (group,) = [g for g in properties(stack, "AWS::EKS::Nodegroup") if g["InstanceTypes"] == ["p4d.24xlarge"]]
    assert (group["ScalingConfig"]["MinSize"], group["ScalingConfig"]["MaxSize"]) == (0, 2)
    assert group["AmiType"] == "AL2023_x86_64_NVIDIA"


@pytest.mark.promise("spot")
def test_spark_runs_on_spot(stack: cdk.Stack) -> None:
    cluster(stack)
    capacity = {
        g["Labels"][NodeGroupSpec.NAME_LABEL]: g["CapacityType"] for g in properties(stack, "AWS::EKS::Nodegroup")
    }
    assert capacity == {"system": "ON_DEMAND", "cpu": "ON_DEMAND", "training-gpu": "ON_DEMAND", "spark": "SPOT"}


def test_updates_keep_disruption_budgets_and_need_no_second_accelerator(stack: cdk.Stack) -> None:
    cluster(stack)
    strategies = {}
    for group in properties(stack, "AWS::EKS::Nodegroup"):
        assert group["ForceUpdateEnabled"] is False
        assert group["NodeRepairConfig"] == {"Enabled": True}
        assert group["UpdateConfig"]["MaxUnavailable"] == 1
        strategies[group["Labels"][NodeGroupSpec.NAME_LABEL]] = group["UpdateConfig"]["UpdateStrategy"]
    assert strategies == {"system": "DEFAULT", "cpu": "DEFAULT", "training-gpu": "MINIMAL", "spark": "DEFAULT"}


@pytest.mark.promise("pod-permissions")
def test_pods_do_not_reach_the_nodes_credentials_and_disks_are_encrypted(stack: cdk.Stack) -> None:
    cluster(stack)
    for template in properties(stack, "AWS::EC2::LaunchTemplate"):
        data = template["LaunchTemplateData"]
        assert data["MetadataOptions"]["HttpTokens"] == "required"
        assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
        assert [mapping["Ebs"]["Encrypted"] for mapping in data["BlockDeviceMappings"]] == [True]


@pytest.mark.promise("minimal-node-role", "pod-permissions")
def test_a_node_may_join_and_pull_images_and_nothing_else(stack: cdk.Stack) -> None:
    made = cluster(stack)
    role = stack.resolve(made.node_role.role_arn)["Fn::GetAtt"][0]
    managed = Template.from_stack(stack).find_resources("AWS::IAM::Role")[role]["Properties"]["ManagedPolicyArns"]
    names = sorted(arn["Fn::Join"][1][-1].rpartition("/")[2] for arn in managed)
    assert names == ["AmazonEC2ContainerRegistryPullOnly", "AmazonEKSWorkerNodePolicy"]
    for policy in properties(stack, "AWS::IAM::Policy"):
        assert {"Ref": role} not in policy["Roles"]


@pytest.mark.promise("pinned-add-ons")
def test_nodes_wait_for_their_network_and_dns_waits_for_nodes(stack: cdk.Stack) -> None:
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


@pytest.mark.promise("pinned-add-ons")
@pytest.mark.parametrize("version", ["1.34", "1.35", "1.36"])
def test_add_ons_are_those_of_the_release(stack: cdk.Stack, version: str) -> None:
    made = cluster(stack, version=version)
    names = ("vpc-cni", "kube-proxy", "eks-pod-identity-agent", "coredns")
    builds = {add_on["AddonName"]: add_on["AddonVersion"] for add_on in properties(stack, "AWS::EKS::Addon")}
    assert builds == {name: made.release.addons[name] for name in names}


@pytest.mark.promise("address-budget", "system-nodes")
def test_dns_runs_on_the_systems_nodes_and_the_network_keeps_few_addresses(stack: cdk.Stack) -> None:
    made = cluster(stack, vpc_cni=VpcCni(warm_ip_target=2))
    configured = {
        a["AddonName"]: json.loads(a["ConfigurationValues"])
        for a in properties(stack, "AWS::EKS::Addon")
        if "ConfigurationValues" in a
    }
    assert configured["coredns"] == made.placement("system")
    assert configured["vpc-cni"]["env"]["WARM_IP_TARGET"] == "2"
    assert configured["vpc-cni"]["enableNetworkPolicy"] == "true"


def test_the_kubelet_gets_a_limit_of_pods(stack: cdk.Stack) -> None:
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


@pytest.mark.promise("driver-for-every-gpu")
def training(image: str, instance_type: str, **more: Any) -> NodeGroupSpec:
    """A group with accelerators."""
    return NodeGroupSpec(name="t", purpose="t", instance_types=(instance_type,), ami_type=image, max_per_zone=1, **more)


def launch_data(stack: cdk.Stack, name: str) -> list[dict[str, Any]]:
    """The launch templates of a group."""
    return [
        t["LaunchTemplateData"]
        for t in properties(stack, "AWS::EC2::LaunchTemplate")
        if t["LaunchTemplateData"]["TagSpecifications"][0]["Tags"][0]["Value"].endswith(f"/{name}")
    ]


@pytest.mark.parametrize(
    ("image", "part"),
    [
        ("AL2023_x86_64_NVIDIA", "  instance:\n    localStorage:\n      strategy: RAID0"),
        ("BOTTLEROCKET_x86_64_NVIDIA", '["apiclient", "ephemeral-storage", "init"]'),
    ],
)
def test_local_disks_of_accelerators_are_one_raid_and_their_images_load_fast(
    stack: cdk.Stack, image: str, part: str
) -> None:
    cluster(stack, node_groups=(SYSTEM, training(image, "g5.12xlarge")))
    (data,) = launch_data(stack, "t")
    assert part in data["UserData"]["Fn::Base64"]
    assert data["BlockDeviceMappings"][0]["Ebs"]["Throughput"] == 500
    (system,) = launch_data(stack, "system")
    assert "UserData" not in system
    assert system["BlockDeviceMappings"][0]["Ebs"]["Throughput"] == 125


def test_efa_takes_every_network_card_near_the_other_nodes(stack: cdk.Stack) -> None:
    spec = training("AL2023_x86_64_NVIDIA", "p4d.24xlarge", efa=True)
    cluster(stack, node_groups=(SYSTEM, spec))
    template = Template.from_stack(stack)
    near = template.find_resources("AWS::EC2::PlacementGroup")
    assert [group["Properties"]["Strategy"] for group in near.values()] == ["cluster"] * 3
    data = launch_data(stack, "t")
    assert sorted(one["Placement"]["GroupName"]["Ref"] for one in data) == sorted(near)
    for one in data:
        cards = one["NetworkInterfaces"]
        assert [card["NetworkCardIndex"] for card in cards] == [0, 1, 2, 3]
        assert [card["DeviceIndex"] for card in cards] == [0, 1, 1, 1]
        assert [card["InterfaceType"] for card in cards] == ["efa", "efa-only", "efa-only", "efa-only"]
        (groups,) = {json.dumps(card["Groups"]) for card in cards}
        assert "ClusterSecurityGroupId" in groups
    (efa,) = [id for id in template.find_resources("AWS::EC2::SecurityGroup") if "Efa" in id]
    itself = {"Fn::GetAtt": [efa, "GroupId"]}
    for kind, other in (("Ingress", "SourceSecurityGroupId"), ("Egress", "DestinationSecurityGroupId")):
        rules = [r["Properties"] for r in template.find_resources(f"AWS::EC2::SecurityGroup{kind}").values()]
        assert [r["IpProtocol"] for r in rules if r["GroupId"] == itself and r.get(other) == itself] == ["-1"]
    assert spec.node_template_tags["k8s.io/cluster-autoscaler/node-template/resources/vpc.amazonaws.com/efa"] == "4"


def test_a_custom_image_gets_all_settings(stack: cdk.Stack) -> None:
    """An image of the user's own runs instance types that EKS has no image for."""
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


@pytest.mark.promise("pods-on-their-nodes")
def test_placement_joins_what_all_groups_of_a_purpose_need(stack: cdk.Stack) -> None:
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


@pytest.mark.promise("address-budget")
def test_the_address_budget_counts_nodes_at_their_most(stack: cdk.Stack) -> None:
    made = cluster(stack, node_groups=(SYSTEM,))
    each = 29 + 5 + 2  # pods, spares, two interfaces; m7i.large has room for 30
    assert made.addresses_by_zone == dict.fromkeys(ZONES, 6 + (2 + 2) * min(each, 30))  # an update adds two


@pytest.mark.parametrize(
    ("image", "pods"), [({}, 58), ({"image_id": "ami-0123456789abcdef0"}, 10)], ids=["of EKS", "own"]
)
def test_fewer_pods_count_only_where_eks_does_not_set_the_number_itself(image: dict[str, str], pods: int) -> None:
    """https://docs.aws.amazon.com/eks/latest/userguide/choosing-instance-type.html#max-pods-precedence"""
    few = NodeGroupSpec(
        name="few", purpose="general", instance_types=("m7i.xlarge",), max_per_zone=1, max_pods=10, **image
    )
    each = VpcCni().most_addresses(few.instance, pods)
    zones = ClusterZones((ClusterZone("eu-west-1a", "eu-west-1a", (), ()),), is_lookup_pending=False)
    assert addresses_by_zone([few], zones, VpcCni()) == {"eu-west-1a": 6 + 3 * each}


@pytest.mark.promise("address-budget")
def test_a_subnet_too_small_for_the_groups_pods_is_refused(stack: cdk.Stack) -> None:
    vpc = clusters.network(stack, cidr="10.0.0.0/21")
    message = (
        r"Test/Cluster: node groups may take 666 addresses in eu-west-1a, subnet 10\.0\.0\.0/24 has 187 left for them; "
        "lower max_per_zone, or give the network a larger cidr"
    )
    with pytest.raises(ValueError, match=message):
        cluster(stack, vpc=vpc, node_groups=(SYSTEM, GENERAL, SPARK))


def test_a_second_cluster_shares_the_subnets(stack: cdk.Stack) -> None:
    vpc = clusters.network(stack, cidr="10.0.0.0/20")
    groups = (SYSTEM, GENERAL)
    first = cluster(stack, "First", vpc=vpc, node_groups=groups)
    with pytest.raises(ValueError, match="Test/Second: node groups may take"):
        cluster(stack, "Second", vpc=vpc, node_groups=groups, addresses_in_use=first.addresses_by_zone)
