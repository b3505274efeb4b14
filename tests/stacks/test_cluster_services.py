import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_cdk.assertions import Annotations, Match

from charts.helm_charts import HelmCharts
from charts.images import Images, containers
from mlplatform_constructs import KubernetesRelease
from stacks.cluster_services.stack import NO_NAMES
from tests.cluster_services import CLOSED, HELM, OPEN, REGISTRY, Services, arn, stage_of
from tests.manifests import APPLIED
from tests.policies import allows

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


def test_a_pod_is_made_only_after_eks_had_time_to_learn_its_role(services: Services, karpenter: Services) -> None:
    """Pods get credentials of Pod Identity when they are made, or never; EKS learns of roles some seconds late."""
    for each in (services, karpenter):
        before, metrics = each.delivered.before, each.add_on("metrics-server")
        associations = set(each.of_type("AWS::EKS::PodIdentityAssociation"))
        assert associations <= before[metrics]
        users = {*each.of_type("AWS::EKS::Addon"), *each.of_type(HELM), *each.delivered.requests} - {metrics}
        waiting = {user for user in users if associations & before[user]}
        assert each.add_on("aws-ebs-csi-driver") in waiting
        assert waiting <= {user for user in users if metrics in before[user]}


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
    """Those with names of their own go with a first deployment that fails, or the next would meet them."""
    for services, policy, named in ((karpenter, "Retain", "RetainExceptOnCreate"), (training, "Delete", "Delete")):
        for found in services.delivered.of_type("AWS::Logs::LogGroup").values():
            assert found["DeletionPolicy"] == (named if "LogGroupName" in found["Properties"] else policy)


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
