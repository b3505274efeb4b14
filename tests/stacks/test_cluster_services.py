import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aws_cdk.assertions import Annotations, Match

from charts.helm_charts import HelmCharts
from charts.images import Images, containers
from config.loader import load_account
from mlplatform_constructs import KubernetesRelease
from stacks.app import new_app
from stacks.cluster_services.stack import NO_NAMES
from stacks.stage import PlatformStage
from tests.manifests import APPLIED, Delivered
from tests.policies import allows
from tests.references import Templates

HELM = "Custom::AWSCDK-EKS-HelmChart"
REGISTRY = "333333333333.dkr.ecr.eu-west-1.amazonaws.com/mirror"
OPEN = """
account = "333333333333"
region = "eu-west-1"
production = false
removal_policy = "destroy"
[network]
cidr = "10.0.0.0/16"
availability_zones = ["eu-west-1a", "eu-west-1b"]
domain = "ml.example.com"
[storage.lustre]
[logs]
retention_days = 90
"""
CLOSED = f"""
account = "333333333333"
region = "eu-west-1"
removal_policy = "retain"
image_registry = "{REGISTRY}"
[network]
cidr = "10.0.0.0/16"
availability_zones = ["eu-west-1a", "eu-west-1b"]
domain = "ml.example.com"
nat = "none"
interface_endpoints = true
[clusters.training]
autoscaler = "karpenter"
[clusters.inference]
workload_identity = "kube2iam"
[clusters.inference.node_groups.inference-gpu]
max_per_zone = 0
"""


class Services:
    """What the templates of an account say about the services of one cluster."""

    def __init__(self, stage: PlatformStage, assembly: Any, name: str) -> None:
        self.stack = stage.services[name]
        self.cluster = stage.clusters[name].cluster
        self.cluster_stack = stage.clusters[name].stack_name
        found = {
            stack.stack_name: json.loads(Path(stack.template_full_path).read_text(encoding="utf-8"))
            for stack in assembly.stacks
        }
        self.templates = Templates(found)
        self.name = self.stack.stack_name
        self.delivered = Delivered(found[self.name])

    def of_type(self, kind: str) -> dict[str, Any]:
        """Properties by logical id, with references as names."""
        prefix = f"{self.name}//"
        return {
            id.removeprefix(prefix): properties
            for id, properties in self.templates.resources(kind).items()
            if id.startswith(prefix)
        }

    def add_ons(self) -> dict[str, Any]:
        return {found["AddonName"]: found for found in self.of_type("AWS::EKS::Addon").values()}

    def add_on_values(self, name: str) -> dict[str, Any]:
        values: dict[str, Any] = json.loads(self.add_ons()[name]["ConfigurationValues"])
        return values

    def releases(self) -> dict[str, Any]:
        return {found["Chart"]: found for found in self.of_type(HELM).values()}

    def statements(self, service_account: str) -> list[dict[str, Any]]:
        """What the role of a service account may do."""
        associations = self.of_type("AWS::EKS::PodIdentityAssociation").values()
        (role,) = [found["RoleArn"] for found in associations if found["ServiceAccount"] == service_account]
        return [
            statement
            for policy in self.templates.resources("AWS::IAM::Policy").values()
            if role.removesuffix(".Arn") in policy["Roles"]
            for statement in policy["PolicyDocument"]["Statement"]
        ]

    def id_of(self, kind: str, key: str, value: str) -> str:
        (id,) = [id for id, found in self.of_type(kind).items() if found[key] == value]
        return id

    def chart(self, name: str) -> str:
        return self.id_of(HELM, "Chart", name)

    def add_on(self, name: str) -> str:
        return self.id_of("AWS::EKS::Addon", "AddonName", name)

    def objects(self, kind: str) -> dict[str, Any]:
        return {found["metadata"]["name"]: found for found in self.delivered.objects() if found["kind"] == kind}


def stage_of(folder: Path, text: str) -> dict[str, Services]:
    """The services of an account's clusters. Its templates pass the compliance pack, or there are none."""
    (folder / "given.toml").write_text(text, encoding="utf-8")
    app = new_app(outdir=str(folder / "cdk.out"))
    app.node.set_context("aws:cdk:disable-asset-staging", True)
    stage = PlatformStage(app, "given", settings=load_account("given", folder))
    assembly = app.synth().get_nested_assembly("assembly-given")
    return {name: Services(stage, assembly, name) for name in stage.services}


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Services]:
    """Both clusters as they are shipped, in a network with names and a fast file system."""
    return stage_of(tmp_path_factory.mktemp("open"), OPEN)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Services]:
    """A network without a way out; training with Karpenter, inference with kube2iam and without GPUs."""
    return stage_of(tmp_path_factory.mktemp("closed"), CLOSED)


@pytest.fixture(params=["training", "inference"])
def services(shipped: dict[str, Services], request: pytest.FixtureRequest) -> Services:
    return shipped[request.param]


@pytest.fixture
def training(shipped: dict[str, Services]) -> Services:
    return shipped["training"]


@pytest.fixture
def karpenter(closed: dict[str, Services]) -> Services:
    return closed["training"]


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:eu-west-1:333333333333:{resource}"


# What there is


def test_every_cluster_gets_the_same_services(services: Services) -> None:
    assert set(services.add_ons()) == {
        "amazon-cloudwatch-observability",
        "aws-ebs-csi-driver",
        "aws-efs-csi-driver",
        "aws-fsx-csi-driver",
        "aws-secrets-store-csi-driver-provider",
        "cert-manager",
        "external-dns",
        "metrics-server",
    }
    assert set(services.releases()) == {"aws-load-balancer-controller", "base", "cni", "gateway", "istiod"}


def test_add_ons_are_of_the_build_that_fits_the_kubernetes_minor(services: Services) -> None:
    """Row 23."""
    for name, found in services.add_ons().items():
        assert found["AddonVersion"] == services.cluster.release.addons[name]


def test_every_chart_is_pinned_waits_and_is_taken_back_when_it_fails(services: Services) -> None:
    listed = {chart.name: chart for chart in HelmCharts.load()}
    for name, found in services.releases().items():
        assert (found["Repository"], found["Version"]) == (listed[name].repository, listed[name].version)
        assert found["Wait"] is True
        assert found["Atomic"] is True
        assert 0 < int(found["Timeout"].removesuffix("s")) < 15 * 60


def test_all_images_and_charts_come_from_the_accounts_registry(closed: dict[str, Services]) -> None:
    """Row 6."""
    images = {image.image for image in Images.load()}
    for services in closed.values():
        assert "aws-load-balancer-controller" in services.releases()
        for name, found in services.releases().items():
            assert found["Repository"] == f"oci://{REGISTRY}/charts/{name}"
            for text in texts(json.loads(found["Values"])):
                if named := [image for image in images if image in text]:
                    assert text.startswith(f"{REGISTRY}/{named[0]}")
        for item in services.delivered.objects():
            for container in containers(item):
                assert container["image"].startswith(f"{REGISTRY}/")


def texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for item in value.values():
                yield from texts(item)
        case list():
            for item in value:
                yield from texts(item)


def test_the_autoscaler_has_the_minor_of_its_cluster() -> None:
    """Row 28."""
    for release in KubernetesRelease.all():
        assert Images.load().tag(f"cluster-autoscaler-{release.minor.replace('.', '-')}") == release.autoscaler


def test_the_autoscaler_looks_after_its_own_cluster(services: Services) -> None:
    """Row 28."""
    deployment = services.objects("Deployment")["cluster-autoscaler"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"].endswith(f":{services.cluster.release.autoscaler}")
    assert [word for word in container["command"] if word.endswith(f"/{services.cluster.cluster_name}")]


def test_the_gpu_plugin_comes_with_gpus(shipped: dict[str, Services], closed: dict[str, Services]) -> None:
    for services in shipped.values():
        assert "nvidia-device-plugin" in services.objects("DaemonSet")
    assert "nvidia-device-plugin" not in closed["inference"].objects("DaemonSet")


def test_kube2iam_runs_only_where_it_is_chosen(shipped: dict[str, Services], closed: dict[str, Services]) -> None:
    """Row 66."""
    assert "kube2iam" in closed["inference"].objects("DaemonSet")
    for services in (*shipped.values(), closed["training"]):
        assert "kube2iam" not in services.objects("DaemonSet")


def test_claims_get_encrypted_disks_and_shared_file_systems(services: Services) -> None:
    """Rows 46, 47."""
    provisioners = {found.get("provisioner") for found in services.objects("StorageClass").values()}
    assert {"ebs.csi.aws.com", "efs.csi.aws.com"} <= provisioners
    (volume,) = services.objects("PersistentVolume").values()
    assert volume["spec"]["csi"]["driver"] == "fsx.csi.aws.com"


def test_lustre_is_left_out_where_there_is_none(karpenter: Services) -> None:
    assert "aws-fsx-csi-driver" not in karpenter.add_ons()
    assert not karpenter.objects("PersistentVolume")


def test_nodes_reach_the_file_systems(services: Services) -> None:
    """Rows 46, 47."""
    nodes = next(
        f"{id}.ClusterSecurityGroupId"
        for id in services.templates.resources("AWS::EKS::Cluster")
        if id.startswith(services.cluster_stack)
    )
    rules = services.of_type("AWS::EC2::SecurityGroupIngress").values()
    assert {rule["FromPort"] for rule in rules if rule["SourceSecurityGroupId"] == nodes} == {988, 1018, 2049}


def test_without_a_domain_nothing_writes_names(tmp_path: Path) -> None:
    found = stage_of(tmp_path, OPEN.replace('domain = "ml.example.com"', ""))
    assert "external-dns" not in found["training"].add_ons()


def test_without_a_way_to_route_53_nothing_writes_names_and_synthesis_says_so(karpenter: Services) -> None:
    assert "external-dns" not in karpenter.add_ons()
    Annotations.from_stack(karpenter.stack).has_warning("*", Match.string_like_regexp("external-dns is left out"))
    assert "by hand" in NO_NAMES


# Order


def test_services_are_made_once_the_load_balancer_controller_answers(services: Services) -> None:
    """Its webhook sees every Service that is made, and none is made without its answer."""
    before = services.delivered.before
    controller = services.chart("aws-load-balancer-controller")
    for name in ("istiod", "gateway"):
        assert controller in before[services.chart(name)]
    for add_on in services.add_ons():
        assert services.add_on(add_on) in before[controller]


def test_what_needs_certificates_comes_after_cert_manager_answers(services: Services) -> None:
    (gate,) = [
        id
        for id, waits in services.delivered.waits().items()
        if any(wait.get("name") == "cert-manager-webhook" for wait in waits)
    ]
    before = services.delivered.before
    assert services.add_on("cert-manager") in before[gate]
    assert gate in before[services.chart("aws-load-balancer-controller")]


def test_istio_comes_in_its_order(services: Services) -> None:
    before = services.delivered.before
    control_plane, gateway = services.chart("istiod"), services.chart("gateway")
    assert {services.chart("base"), services.chart("cni")} <= before[control_plane]
    assert control_plane in before[gateway]
    (mesh,) = [
        id
        for id, objects in services.delivered.requests.items()
        if any(found["kind"] == "PeerAuthentication" for found in objects)
    ]
    assert gateway in before[mesh]
    (namespaces,) = [
        id
        for id, objects in services.delivered.requests.items()
        if any(found["kind"] == "Namespace" and found["metadata"]["name"] == "istio-system" for found in objects)
    ]
    assert namespaces in before[services.chart("base")]


def test_the_guard_comes_last_and_goes_first(shipped: dict[str, Services], closed: dict[str, Services]) -> None:
    """Row 105: it empties the cluster while all controllers still work."""
    for services in (*shipped.values(), *closed.values()):
        (guard,) = services.delivered.of_type("Custom::TeardownGuard")
        working = {
            id
            for kind in (HELM, APPLIED, "AWS::EKS::Addon", "AWS::EKS::PodIdentityAssociation")
            for id in services.delivered.of_type(kind)
        }
        assert working <= services.delivered.before[guard]


def test_a_controller_has_its_rights_before_it_starts_and_until_it_is_gone(services: Services) -> None:
    """A controller without them could not remove what it made."""
    before = services.delivered.before
    roles = {
        "ebs-csi-controller-sa": services.add_on("aws-ebs-csi-driver"),
        "efs-csi-controller-sa": services.add_on("aws-efs-csi-driver"),
        "external-dns": services.add_on("external-dns"),
        "cloudwatch-agent": services.add_on("amazon-cloudwatch-observability"),
        "aws-load-balancer-controller": services.chart("aws-load-balancer-controller"),
    }
    for service_account, user in roles.items():
        association = services.id_of("AWS::EKS::PodIdentityAssociation", "ServiceAccount", service_account)
        role = services.of_type("AWS::EKS::PodIdentityAssociation")[association]["RoleArn"].removesuffix(".Arn")
        policies = {id for id, found in services.of_type("AWS::IAM::Policy").items() if role in found["Roles"]}
        assert policies
        assert {association, *policies} <= before[user]


# Rights


def test_no_pod_of_a_service_uses_the_nodes_role(services: Services) -> None:
    """Row 64."""
    associations = services.of_type("AWS::EKS::PodIdentityAssociation").values()
    assert {(found["Namespace"], found["ServiceAccount"]) for found in associations} == {
        ("amazon-cloudwatch", "cloudwatch-agent"),
        ("external-dns", "external-dns"),
        ("kube-system", "aws-load-balancer-controller"),
        ("kube-system", "cluster-autoscaler"),
        ("kube-system", "ebs-csi-controller-sa"),
        ("kube-system", "efs-csi-controller-sa"),
        ("kube-system", "efs-csi-node-sa"),
    }


@pytest.mark.parametrize("action", ["SetDesiredCapacity", "TerminateInstanceInAutoScalingGroup"])
def test_the_autoscaler_changes_its_own_clusters_groups_only(services: Services, action: str) -> None:
    """Rows 28, 64."""
    found = services.statements("cluster-autoscaler")
    group = arn("autoscaling", "autoScalingGroup:1:autoScalingGroupName/eks-x")

    def may(cluster: str) -> bool:
        tag = f"aws:ResourceTag/k8s.io/cluster-autoscaler/{cluster}"
        return any(allows([statement], f"autoscaling:{action}", group) for statement in with_tag(found, tag, "owned"))

    assert may(services.cluster.cluster_name)
    assert not may("another")


def with_tag(statements: list[dict[str, Any]], key: str, value: str) -> list[dict[str, Any]]:
    """The statements for a request with this condition key, whose name has signs that no word of Python has."""
    kept = []
    for statement in statements:
        condition = {operator: dict(tests) for operator, tests in statement.get("Condition", {}).items()}
        if condition.get("StringEquals", {}).get(key) == value:
            del condition["StringEquals"][key]
        kept.append({**statement, "Condition": condition})
    return kept


def test_the_autoscaler_makes_and_deletes_nothing_else(services: Services) -> None:
    actions = {action for found in services.statements("cluster-autoscaler") for action in found["Action"]}
    changing = {action for action in actions if not action.partition(":")[2].startswith(("Describe", "Get"))}
    assert changing == {"autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"}


LOAD_BALANCER = arn("elasticloadbalancing", "loadbalancer/net/a/1")


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("elasticloadbalancing:DeleteLoadBalancer", LOAD_BALANCER),
        ("elasticloadbalancing:ModifyLoadBalancerAttributes", LOAD_BALANCER),
        ("elasticloadbalancing:RegisterTargets", arn("elasticloadbalancing", "targetgroup/a/1")),
        ("elasticloadbalancing:RemoveTags", LOAD_BALANCER),
        ("ec2:DeleteSecurityGroup", arn("ec2", "security-group/sg-1")),
        ("ec2:AuthorizeSecurityGroupIngress", arn("ec2", "security-group/sg-1")),
    ],
)
def test_the_load_balancer_controller_changes_only_what_carries_its_clusters_tag(
    services: Services, action: str, resource: str
) -> None:
    """Row 64."""
    found = services.statements("aws-load-balancer-controller")
    tag = "aws:ResourceTag/elbv2.k8s.aws/cluster"
    assert allows(with_tag(found, tag, services.cluster.cluster_name), action, resource)
    assert not allows(with_tag(found, tag, "another"), action, resource)


@pytest.mark.parametrize("action", ["CreateLoadBalancer", "CreateTargetGroup"])
def test_the_load_balancer_controller_makes_only_what_carries_its_clusters_tag(services: Services, action: str) -> None:
    found = services.statements("aws-load-balancer-controller")
    tag = "aws:RequestTag/elbv2.k8s.aws/cluster"
    assert allows(with_tag(found, tag, services.cluster.cluster_name), f"elasticloadbalancing:{action}", LOAD_BALANCER)
    assert not allows(with_tag(found, tag, "another"), f"elasticloadbalancing:{action}", LOAD_BALANCER)


def test_the_load_balancer_controller_opens_the_nodes_to_what_it_makes(services: Services) -> None:
    found = services.statements("aws-load-balancer-controller")
    (nodes,) = {
        statement["Resource"][0]
        for statement in found
        if "ec2:AuthorizeSecurityGroupIngress" in statement["Action"] and "*" not in statement["Resource"][0]
    }
    assert "ClusterSecurityGroupId" in nodes
    assert allows(found, "ec2:AuthorizeSecurityGroupIngress", nodes)


def test_names_are_written_in_the_two_zones_of_the_platform_only(services: Services) -> None:
    """Row 64."""
    found = services.statements("external-dns")
    zones = [f"arn:aws:route53:::hostedzone/{id}" for id in services.templates.resources("AWS::Route53::HostedZone")]
    assert len(zones) == 2
    for zone in zones:
        assert allows(found, "route53:ChangeResourceRecordSets", zone)
    assert not allows(found, "route53:ChangeResourceRecordSets", "arn:aws:route53:::hostedzone/Z1")
    assert not allows(found, "route53:CreateHostedZone", "*")
    values = services.add_on_values("external-dns")
    assert values["domainFilters"] == ["ml.example.com", "internal.ml.example.com"]
    assert values["txtOwnerId"] == services.cluster.cluster_name
    assert values["policy"] == "sync"


def test_two_clusters_do_not_take_each_others_names(shipped: dict[str, Services]) -> None:
    owners = {services.add_on_values("external-dns")["txtOwnerId"] for services in shipped.values()}
    assert len(owners) == 2


def test_the_shared_file_system_is_the_workspaces_one(services: Services) -> None:
    """Rows 47, 64."""
    found = services.statements("efs-csi-controller-sa")
    (workspaces,) = [f"{id}.Arn" for id in services.templates.resources("AWS::EFS::FileSystem")]
    context = {"aws:RequestTag/efs.csi.aws.com/cluster": "true"}
    ((key, value),) = context.items()
    asked = with_tag(found, key, value)
    assert allows(asked, "elasticfilesystem:CreateAccessPoint", workspaces)
    other = arn("elasticfilesystem", "file-system/fs-1")
    assert not allows(asked, "elasticfilesystem:CreateAccessPoint", other)
    assert not allows(found, "elasticfilesystem:DeleteAccessPoint", arn("elasticfilesystem", "access-point/a"))
    assert not [s for s in found for action in s["Action"] if action.startswith("elasticfilesystem:Client")]


def test_disks_are_encrypted_with_the_accounts_key(services: Services) -> None:
    """Row 50."""
    found = services.statements("ebs-csi-controller-sa")
    (key,) = {resource for statement in found for resource in statement["Resource"]}
    assert key in {f"{id}.Arn" for id in services.templates.resources("AWS::KMS::Key")}
    assert allows(found, "kms:CreateGrant", key, kms__GrantIsForAWSResource="true")
    assert not allows(found, "kms:CreateGrant", key)


# Logs


def test_logs_of_pods_and_nodes_outlive_them_encrypted_and_for_a_while(services: Services) -> None:
    """Rows 72, 74."""
    prefix = f"/aws/containerinsights/{services.cluster.cluster_name}"
    groups = {
        found["LogGroupName"]: found
        for found in services.of_type("AWS::Logs::LogGroup").values()
        if found.get("LogGroupName", "").startswith("/aws/containerinsights")
    }
    assert set(groups) == {f"{prefix}/{kind}" for kind in ("application", "dataplane", "host", "performance")}
    for found in groups.values():
        assert found["RetentionInDays"] == 90
        assert found["KmsKeyId"]


def test_agents_write_to_the_log_groups_of_the_template_and_make_none(services: Services) -> None:
    """Row 105: a late line of a cluster that goes would leave a log group."""
    found = services.statements("cloudwatch-agent")
    group = arn("logs", f"log-group:/aws/containerinsights/{services.cluster.cluster_name}/application")
    assert allows(found, "logs:PutLogEvents", f"{group}:log-stream:a")
    assert not allows(found, "logs:PutLogEvents", arn("logs", "log-group:/aws/eks/other/cluster:log-stream:a"))
    assert not [action for s in found for action in s["Action"] if action in ("logs:CreateLogGroup", "logs:*")]


def test_an_account_keeps_or_removes_its_logs_as_it_says(training: Services, karpenter: Services) -> None:
    for services, policy in ((karpenter, "Retain"), (training, "Delete")):
        for found in services.delivered.of_type("AWS::Logs::LogGroup").values():
            assert found["DeletionPolicy"] == policy


def test_no_program_is_traced_and_agents_run_on_every_node(services: Services) -> None:
    values = services.add_on_values("amazon-cloudwatch-observability")
    assert values["containerLogs"] == {"enabled": True}
    assert values["applicationSignals"] == {"enabled": False}
    assert values["tolerations"] == [{"operator": "Exists"}]


# Secrets


def test_secrets_reach_pods_and_follow_their_rotation(services: Services) -> None:
    """Row 68."""
    values = services.add_on_values("aws-secrets-store-csi-driver-provider")
    driver = values["secrets-store-csi-driver"]
    assert driver["syncSecret"] == {"enabled": True}
    assert driver["enableSecretRotation"] is True


# Karpenter


def test_karpenter_takes_the_place_of_the_autoscaler(karpenter: Services) -> None:
    """Rows 28, 35."""
    assert {"karpenter", "karpenter-crd"} <= set(karpenter.releases())
    assert "cluster-autoscaler" not in karpenter.objects("Deployment")


def test_karpenter_makes_the_same_nodes_as_node_groups_would(karpenter: Services) -> None:
    """Rows 29, 30."""
    groups = {spec.name: spec for spec in karpenter.cluster.node_groups if spec.purpose != "system"}
    pools = karpenter.objects("NodePool")
    assert set(pools) == set(karpenter.objects("EC2NodeClass")) == set(groups)
    for name, pool in pools.items():
        template, spec = pool["spec"]["template"], groups[name]
        assert template["metadata"]["labels"] == dict(spec.labels)
        assert template["spec"]["taints"] == [dict(taint) for taint in spec.taints]
        cpus = spec.instance.vcpus * spec.max_per_zone * 2
        assert pool["spec"]["limits"] == {"cpu": str(cpus)}


def test_karpenter_hears_of_interruptions(karpenter: Services) -> None:
    """Row 32."""
    (queue,) = karpenter.of_type("AWS::SQS::Queue")
    (rule,) = karpenter.of_type("AWS::Events::Rule").values()
    assert rule["Targets"] == [{"Id": "Queue", "Arn": f"{karpenter.name}//{queue}.Arn"}]
    assert set(rule["EventPattern"]["detail-type"]) == {
        "AWS Health Event",
        "EC2 Instance Rebalance Recommendation",
        "EC2 Instance State-change Notification",
        "EC2 Spot Instance Interruption Warning",
    }
    values = json.loads(karpenter.releases()["karpenter"]["Values"])
    assert values["settings"]["interruptionQueue"] == f"{karpenter.name}//{queue}.QueueName"
    assert allows(karpenter.statements("karpenter"), "sqs:ReceiveMessage", f"{karpenter.name}//{queue}.Arn")


def test_karpenter_gives_nodes_the_role_of_nodes_only(karpenter: Services) -> None:
    """Row 64."""
    found = karpenter.statements("karpenter")
    (resource,) = [s["Resource"][0] for s in found if s["Action"] == ["iam:PassRole"]]
    assert "NodesRole" in resource
    assert allows(found, "iam:PassRole", resource, iam__PassedToService="ec2.amazonaws.com")
    assert not allows(found, "iam:PassRole", resource, iam__PassedToService="lambda.amazonaws.com")
    assert not allows(found, "iam:PassRole", "arn:aws:iam::333333333333:role/Admin")


def test_karpenter_ends_its_own_clusters_instances_only(karpenter: Services) -> None:
    """Row 64."""
    found = karpenter.statements("karpenter")
    instance = arn("ec2", "instance/i-1")
    pool = {"aws:ResourceTag/karpenter.sh/nodepool": "*"}

    def may(cluster: str) -> bool:
        tagged = with_tag(found, f"aws:ResourceTag/kubernetes.io/cluster/{cluster}", "owned")
        return allows(without(tagged, "StringLike", pool), "ec2:TerminateInstances", instance)

    assert may(karpenter.cluster.cluster_name)
    assert not may("another")


def without(statements: list[dict[str, Any]], operator: str, tests: Mapping[str, str]) -> list[dict[str, Any]]:
    """The statements for a request that passes these tests."""
    return [
        {
            **statement,
            "Condition": {
                name: {key: value for key, value in wanted.items() if name != operator or key not in tests}
                for name, wanted in statement["Condition"].items()
            },
        }
        for statement in statements
    ]


def test_karpenter_asks_for_no_price_that_it_cannot_reach(karpenter: Services) -> None:
    assert json.loads(karpenter.releases()["karpenter"]["Values"])["settings"]["isolatedVPC"] is True


def test_nodes_that_must_always_be_there_are_not_for_karpenter(tmp_path: Path) -> None:
    changed = CLOSED + "[clusters.training.node_groups.cpu]\nmin_per_zone = 1\n"
    with pytest.raises(ValueError, match=r"node group 'cpu': min_per_zone must be 0 with Karpenter, got 1"):
        stage_of(tmp_path, changed)


# The whole


def test_every_reference_is_to_something_that_is_there(services: Services) -> None:
    services.templates.check()


def test_nothing_runs_an_image_of_nobodys_list(closed: dict[str, Services], shipped: dict[str, Services]) -> None:
    """Row 170."""
    for found, registry in ((closed, REGISTRY), (shipped, None)):
        for services in found.values():
            Images.load(registry=registry).refuse_strangers(list(services.delivered.objects()))
