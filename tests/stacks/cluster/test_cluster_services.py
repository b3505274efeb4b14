import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_cdk.assertions import Annotations, Match

from charts.catalog import Catalog
from charts.kit.admission import SYSTEM_NAMESPACES
from charts.kit.chart import pod_specs
from charts.kit.listed_images import unlisted_objects
from mlplatform_constructs import KubernetesRelease
from stacks.cluster.services.stack import EXTERNAL_DNS_SKIPPED
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


@pytest.mark.promise("pinned-add-ons")
def test_add_ons_are_of_the_build_that_fits_the_kubernetes_minor(services: Services) -> None:
    for name, found in services.add_ons().items():
        assert found["AddonVersion"] == services.cluster.release.addons[name]


@pytest.mark.promise("bounded-waits")
def test_every_chart_is_pinned_waits_and_is_rolled_back_when_it_fails(services: Services) -> None:
    listed = {chart.name: chart for chart in Catalog.load().helm_charts}
    for name, found in services.releases().items():
        assert (found["Repository"], found["Version"]) == (listed[name].repository, listed[name].version)
        assert found["Wait"] is True
        assert found["Atomic"] is True
        assert 0 < int(found["Timeout"].removesuffix("s")) < 15 * 60


@pytest.mark.promise("own-registry")
def test_all_images_and_charts_come_from_the_accounts_registry(closed: dict[str, Services]) -> None:
    images = {image.image for image in Catalog.load().images}
    for services in closed.values():
        assert "aws-load-balancer-controller" in services.releases()
        for name, found in services.releases().items():
            assert found["Repository"] == f"oci://{REGISTRY}/charts/{name}"
            for text in texts(json.loads(found["Values"])):
                if named := [image for image in images if image in text]:
                    assert text.startswith(f"{REGISTRY}/{named[0]}")
        for item in services.delivered.objects():
            for spec in pod_specs(item):
                for container in spec["containers"]:
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


@pytest.mark.promise("autoscaler-of-choice")
def test_the_autoscaler_has_the_minor_of_its_cluster() -> None:
    for release in KubernetesRelease.all():
        assert Catalog.load().images.tag(f"cluster-autoscaler-{release.minor.replace('.', '-')}") == release.autoscaler


@pytest.mark.promise("autoscaler-of-choice")
def test_the_autoscaler_looks_after_its_own_cluster(services: Services) -> None:
    deployment = services.objects("Deployment")["cluster-autoscaler"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"].endswith(f":{services.cluster.release.autoscaler}")
    assert [word for word in container["command"] if word.endswith(f"/{services.cluster.cluster_name}")]


def test_the_gpu_plugin_comes_with_gpus(shipped: dict[str, Services], closed: dict[str, Services]) -> None:
    for services in shipped.values():
        assert "nvidia-device-plugin" in services.objects("DaemonSet")
    assert "nvidia-device-plugin" not in closed["inference"].objects("DaemonSet")


def test_the_efa_plugin_comes_with_groups_that_have_efa(
    shipped: dict[str, Services], closed: dict[str, Services]
) -> None:
    for services in (*shipped.values(), closed["training"]):
        assert not [name for name in services.objects("DaemonSet") if "efa" in name]
    plugin = closed["inference"].objects("DaemonSet")["efa-device-plugin-neuron"]["spec"]["template"]["spec"]
    (term,) = plugin["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": "mlplatform/node-group", "operator": "In", "values": ["neuron"]}]


def test_disks_leave_room_for_the_network_interfaces_of_a_node(
    shipped: dict[str, Services], closed: dict[str, Services]
) -> None:
    for services in (*shipped.values(), *closed.values()):
        plain = [spec for spec in services.cluster.node_groups if not spec.instance.accelerators]
        kept = services.add_on_values("aws-ebs-csi-driver")["node"]["reservedVolumeAttachments"]
        assert kept == max(spec.instance.interfaces for spec in plain) == 4


def test_no_export_keeps_karpenter_from_being_taken_away_again(closed: dict[str, Services]) -> None:
    """The cluster is updated first, and CloudFormation removes no export that its services still import."""
    template = json.dumps(closed["training"].template)
    assert "NodesRole" in template
    assert not [name for name in re.findall(r'"Fn::ImportValue": "([^"]+)"', template) if "NodesRole" in name]


@pytest.mark.promise("kube2iam-legacy")
def test_kube2iam_runs_only_where_it_is_chosen(shipped: dict[str, Services], closed: dict[str, Services]) -> None:
    assert "kube2iam" in closed["inference"].objects("DaemonSet")
    for services in (*shipped.values(), closed["training"]):
        assert "kube2iam" not in services.objects("DaemonSet")


@pytest.mark.promise("lustre-volumes", "shared-workspaces")
def test_claims_get_encrypted_disks_and_shared_file_systems(services: Services) -> None:
    provisioners = {found.get("provisioner") for found in services.objects("StorageClass").values()}
    assert {"ebs.csi.aws.com", "efs.csi.aws.com"} <= provisioners
    (volume,) = services.objects("PersistentVolume").values()
    assert volume["spec"]["csi"]["driver"] == "fsx.csi.aws.com"


def test_lustre_is_omitted_where_there_is_none(karpenter: Services) -> None:
    assert "aws-fsx-csi-driver" not in karpenter.add_ons()
    assert not karpenter.objects("PersistentVolume")


@pytest.mark.promise("lustre-volumes", "shared-workspaces")
def test_nodes_reach_the_file_systems(services: Services) -> None:
    nodes = next(
        f"{id}.ClusterSecurityGroupId"
        for id in services.templates.resources("AWS::EKS::Cluster")
        if id.startswith(services.cluster_stack)
    )
    rules = services.of_type("AWS::EC2::SecurityGroupIngress").values()
    assert {rule["FromPort"] for rule in rules if rule["SourceSecurityGroupId"] == nodes} == {988, 1018, 2049}


def test_without_a_domain_nothing_writes_names(tmp_path: Path) -> None:
    identity = "[identity.load_balancer]\n[identity.cognito]\n"
    found = stage_of(tmp_path, OPEN.replace('domain = "ml.example.com"', "").replace(identity, ""))
    assert "external-dns" not in found["training"].add_ons()


def test_without_a_way_to_route_53_nothing_writes_names_and_synthesis_says_so(karpenter: Services) -> None:
    assert "external-dns" not in karpenter.add_ons()
    Annotations.from_stack(karpenter.stack).has_warning("*", Match.string_like_regexp("external-dns is not installed"))
    assert "create the records" in EXTERNAL_DNS_SKIPPED


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


def test_istio_comes_in_order(services: Services) -> None:
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


@pytest.mark.promise("ordered-removal")
def test_the_guard_comes_last_and_goes_first(shipped: dict[str, Services], closed: dict[str, Services]) -> None:
    """It empties the cluster while all controllers still work."""
    for services in (*shipped.values(), *closed.values()):
        (guard,) = services.delivered.of_type("Custom::TeardownGuard")
        working = {
            id
            for kind in (HELM, APPLIED, "AWS::EKS::Addon", "AWS::EKS::PodIdentityAssociation")
            for id in services.delivered.of_type(kind)
        }
        assert working <= services.delivered.before[guard]


def test_a_controller_has_its_rights_before_it_starts_and_until_it_is_gone(services: Services) -> None:
    """Without them, a controller could not delete its resources."""
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


def test_a_pod_starts_only_after_eks_hands_out_the_credentials_of_its_role(
    services: Services, karpenter: Services
) -> None:
    """Pods get credentials of Pod Identity when they start, or never; EKS serves new associations some seconds late."""
    for each in (services, karpenter):
        before = each.delivered.before
        (wait,) = each.of_type("Custom::CredentialPropagation")
        associations = set(each.of_type("AWS::EKS::PodIdentityAssociation"))
        assert associations <= before[wait]
        users = {*each.of_type("AWS::EKS::Addon"), *each.of_type(HELM), *each.delivered.requests}
        waiting = {user for user in users if associations & before[user]}
        assert each.add_on("aws-ebs-csi-driver") in waiting
        assert waiting <= {user for user in users if wait in before[user]}


# Logs


@pytest.mark.promise("pod-logs-outlive-pods")
def test_logs_of_pods_and_nodes_outlive_them_encrypted_and_for_a_while(services: Services) -> None:
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


@pytest.mark.promise("no-leftovers")
def test_agents_write_to_the_log_groups_of_the_template_and_make_none(services: Services) -> None:
    """A late line of a deleted cluster would create a log group again."""
    found = services.statements("cloudwatch-agent")
    name = f"/aws/containerinsights/{services.cluster.cluster_name}/application"
    (group,) = [
        id for id, found in services.of_type("AWS::Logs::LogGroup").items() if found.get("LogGroupName") == name
    ]
    assert allows(found, "logs:PutLogEvents", f"{services.name}//{group}.Arn")
    assert not allows(found, "logs:PutLogEvents", arn("logs", "log-group:/aws/eks/other/cluster:log-stream:a"))
    assert not [action for s in found for action in s["Action"] if action in ("logs:CreateLogGroup", "logs:*")]


def test_logs_are_retained_or_deleted_as_configured(training: Services, karpenter: Services) -> None:
    """Those with fixed names are deleted with a failed first deployment, because they would block the next one."""
    for services, policy, named in ((karpenter, "Retain", "RetainExceptOnCreate"), (training, "Delete", "Delete")):
        for found in services.delivered.of_type("AWS::Logs::LogGroup").values():
            assert found["DeletionPolicy"] == (named if "LogGroupName" in found["Properties"] else policy)


def test_no_program_is_traced_and_agents_run_on_every_node(services: Services) -> None:
    values = services.add_on_values("amazon-cloudwatch-observability")
    assert values["containerLogs"] == {"enabled": True}
    assert values["applicationSignals"] == {"enabled": False}
    assert values["tolerations"] == [{"operator": "Exists"}]


# Secrets


@pytest.mark.promise("secrets-follow-rotation")
def test_secrets_reach_pods_and_follow_their_rotation(services: Services) -> None:
    values = services.add_on_values("aws-secrets-store-csi-driver-provider")
    driver = values["secrets-store-csi-driver"]
    assert driver["syncSecret"] == {"enabled": True}
    assert driver["enableSecretRotation"] is True


# Karpenter


@pytest.mark.promise("autoscaler-of-choice")
def test_karpenter_takes_the_place_of_the_autoscaler(karpenter: Services) -> None:
    assert {"karpenter", "karpenter-crd"} <= set(karpenter.releases())
    assert "cluster-autoscaler" not in karpenter.objects("Deployment")


@pytest.mark.promise("gpu-from-zero", "pods-on-their-nodes")
def test_karpenter_makes_the_same_nodes_as_node_groups_would(karpenter: Services) -> None:
    groups = {spec.name: spec for spec in karpenter.cluster.node_groups if spec.purpose != "system"}
    pools = karpenter.objects("NodePool")
    assert set(pools) == set(karpenter.objects("EC2NodeClass")) == set(groups)
    for name, pool in pools.items():
        template, spec = pool["spec"]["template"], groups[name]
        assert template["metadata"]["labels"] == dict(spec.labels)
        assert template["spec"]["taints"] == [dict(taint) for taint in spec.taints]
        cpus = spec.instance.vcpus * spec.max_per_zone * 2
        assert pool["spec"]["limits"] == {"cpu": str(cpus)}


@pytest.mark.promise("drained-before-removal")
def test_karpenter_hears_of_interruptions(karpenter: Services) -> None:
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


def test_every_reference_resolves(services: Services) -> None:
    services.templates.assert_references_resolve()


def test_every_namespace_of_the_platform_enforces_a_level_of_pod_security(services: Services) -> None:
    levels = {
        name: found["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        for name, found in services.objects("Namespace").items()
    }
    assert {name for name, level in levels.items() if level == "privileged"} == {"amazon-cloudwatch", "kube-system"}
    assert set(SYSTEM_NAMESPACES) | {"default"} == set(levels)


def test_add_ons_find_their_namespaces_with_their_levels(services: Services) -> None:
    """An add-on would create its own without one."""
    (namespaces,) = [
        id
        for id, objects in services.delivered.requests.items()
        if any(found["kind"] == "Namespace" and found["metadata"]["name"] == "cert-manager" for found in objects)
    ]
    for name in ("amazon-cloudwatch-observability", "cert-manager", "external-dns"):
        assert namespaces in services.delivered.before[services.add_on(name)]


@pytest.mark.promise("pinned-images")
def test_every_running_image_is_listed(closed: dict[str, Services], shipped: dict[str, Services]) -> None:
    for found, registry in ((closed, REGISTRY), (shipped, None)):
        for services in found.values():
            objects = services.delivered.objects()
            assert list(unlisted_objects(objects, Catalog.load(registry=registry).images)) == []
