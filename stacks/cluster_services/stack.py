from typing import Any

import cdk8s
from aws_cdk import Annotations, RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from constructs import Construct, IDependable

from charts import cluster_autoscaler, istio
from charts.cluster_access import ClusterAccess
from charts.cluster_autoscaler import ClusterAutoscaler
from charts.helm_charts import HelmCharts
from charts.images import Images
from charts.kube2iam import Kube2iam
from charts.manifest_chart import ManifestChart
from charts.namespaces import Namespaces
from charts.nvidia_device_plugin import NvidiaDevicePlugin
from charts.storage_classes import LustreVolume, StorageClasses
from charts.teardown_guard import TeardownAccess
from config.clusters import Cluster as ClusterSettings
from config.schema import Logs
from mlplatform_constructs import (
    HostedZones,
    KubernetesCluster,
    LustreFileSystem,
    Manifests,
    NodeGroupSpec,
    SharedFileSystem,
    TeardownGuard,
    WorkloadRole,
)
from stacks.log_retention import log_retention

from .add_ons import AddOns
from .autoscaler import cluster_autoscaler_role
from .installer import Installer
from .karpenter import Karpenter
from .load_balancing import LoadBalancing
from .pod_logs import PodLogs
from .service_mesh import ServiceMesh

NO_NAMES = (
    "external-dns is left out: a network without a way out does not reach Route 53, which has no endpoint in networks; "
    "write the names of Ingresses and Services by hand"
)


class ClusterServicesStack(Stack):
    """What a cluster gets before its first application, in this order, and taken down in the reverse.

    1. Namespaces, rights, storage classes, the autoscaler and the GPU plugin; and the EKS add-ons: drivers of volumes
       and secrets, metrics, certificates, names in DNS, logs of pods.
    2. The load balancer controller. Its webhooks look at all Services and Ingresses from then on.
    3. Istio, and Karpenter where the cluster has it.
    4. The teardown guard, which therefore goes first: it empties the cluster while all controllers still work.

    The platform's own pods run on the ``system`` nodes; agents of nodes run on all.

    :param settings: of the cluster.
    :param subnet_tags: tags of the subnets in which Karpenter makes nodes.
    :param isolated: whether the network has no way out.
    :param disk_key: encrypts disks that claims are given.
    :param log_key: encrypts logs.
    :param workspaces: EFS file system for claims that several pods write.
    :param lustre: FSx for Lustre file system that training pods mount, with its size in GiB. Default: none.
    :param hosted_zones: where names of Ingresses and Services are written. Default: none are.
    :param images: the list of images, for the account's registry.
    :param helm_charts: the list of Helm charts, likewise.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: ClusterSettings,
        cluster: KubernetesCluster,
        vpc: ec2.IVpc,
        subnet_tags: dict[str, str],
        isolated: bool,
        disk_key: kms.IKey,
        log_key: kms.IKey,
        workspaces: SharedFileSystem,
        lustre: tuple[LustreFileSystem, int] | None,
        hosted_zones: HostedZones | None,
        images: Images,
        helm_charts: HelmCharts,
        logs: Logs,
        removal_policy: RemovalPolicy,
    ) -> None:
        super().__init__(scope, id)
        self._installer = Installer(self, cluster=cluster, images=images, helm_charts=helm_charts)
        self._let_nodes_mount(cluster, workspaces, lustre)
        if hosted_zones and isolated:
            Annotations.of(self).add_warning_v2("mlplatform:external-dns", NO_NAMES)
        add_ons = AddOns(
            self,
            "AddOns",
            installer=self._installer,
            disk_key=disk_key,
            workspaces=workspaces,
            lustre=lustre[0] if lustre else None,
            hosted_zones=None if isolated else hosted_zones,
        )
        pod_logs = PodLogs(
            self,
            "PodLogs",
            installer=self._installer,
            encryption_key=log_key,
            retention=log_retention(logs),
            removal_policy=removal_policy,
        )
        foundations = self._foundations(cluster, settings, disk_key, workspaces, lustre)
        load_balancing = LoadBalancing(
            self,
            "LoadBalancing",
            installer=self._installer,
            vpc=vpc,
            before=[*add_ons.all, add_ons.certificates, pod_logs],
        )
        mesh = ServiceMesh(
            self, "ServiceMesh", installer=self._installer, namespace=foundations, balancing=load_balancing.after
        )
        last: list[IDependable] = [mesh.mesh]
        if cluster.autoscaler == "karpenter":
            karpenter = Karpenter(
                self,
                "Karpenter",
                installer=self._installer,
                zones=[subnet.availability_zone for subnet in vpc.private_subnets],
                subnet_tags=subnet_tags,
                isolated=isolated,
                balancing=load_balancing.after,
            )
            last.append(karpenter.nodes)
        TeardownGuard(
            self,
            "Teardown",
            cluster=cluster,
            vpc=vpc,
            after=last,
            log_encryption_key=log_key,
            removal_policy=removal_policy,
        )

    def _let_nodes_mount(
        self,
        cluster: KubernetesCluster,
        workspaces: SharedFileSystem,
        lustre: tuple[LustreFileSystem, int] | None,
    ) -> None:
        """By rules in this stack: the nodes' security group is the one that EKS made."""
        nodes = ec2.SecurityGroup.from_security_group_id(
            self, "Nodes", cluster.cluster.cluster_security_group.security_group_id
        )
        workspaces.allow_clients(nodes)
        if lustre:
            lustre[0].allow_clients(nodes)

    def _foundations(
        self,
        cluster: KubernetesCluster,
        settings: ClusterSettings,
        disk_key: kms.IKey,
        workspaces: SharedFileSystem,
        lustre: tuple[LustreFileSystem, int] | None,
    ) -> Manifests:
        charts = cdk8s.App()
        volume = None
        if lustre:
            file_system, capacity_gib = lustre
            volume = LustreVolume(
                file_system_id=file_system.file_system_id,
                dns_name=file_system.dns_name,
                mount_name=file_system.mount_name,
                capacity_gib=capacity_gib,
            )
        delivered: list[ManifestChart] = [
            Namespaces(charts, "Namespaces", levels={istio.NAMESPACE: "restricted"}),
            ClusterAccess(charts, "Access", groups=cluster.access_groups),
            TeardownAccess(charts, "Teardown", group=TeardownGuard.GROUP),
            StorageClasses(
                charts,
                "StorageClasses",
                key_arn=disk_key.key_arn,
                file_system_id=workspaces.file_system.file_system_id,
                lustre=volume,
            ),
            *self._gpu_plugin(charts, cluster),
        ]
        roles: list[WorkloadRole] = []
        if cluster.autoscaler == "cluster_autoscaler":
            delivered.append(self._autoscaler(charts, cluster))
            roles.append(cluster_autoscaler_role(self, self._installer))
        if settings.workload_identity == "kube2iam":
            image = self._installer.images.reference("kube2iam")
            delivered.append(Kube2iam(charts, "Kube2iam", image=image, region=self.region))
        return self._installer.deliver(self, "Foundations", *delivered, after=self._installer.settled(*roles))

    def _autoscaler(self, charts: cdk8s.App, cluster: KubernetesCluster) -> ClusterAutoscaler:
        image = f"{cluster_autoscaler.NAME}-{cluster.release.minor.replace('.', '-')}"
        return ClusterAutoscaler(
            charts,
            "Autoscaler",
            cluster_name=cluster.cluster_name,
            region=self.region,
            image=self._installer.images.reference(image),
            placement=self._installer.placement,
        )

    def _gpu_plugin(self, charts: cdk8s.App, cluster: KubernetesCluster) -> list[NvidiaDevicePlugin]:
        """Where a group has NVIDIA GPUs and an image that brings no plugin, as Bottlerocket's does."""
        gpus = [spec for spec in cluster.node_groups if spec.device_resource == "nvidia.com/gpu"]
        bottlerocket = [spec.name for spec in gpus if (spec.image or "").startswith("BOTTLEROCKET")]
        if len(gpus) == len(bottlerocket):
            return []
        without: dict[str, Any] = {NodeGroupSpec.NAME_LABEL: bottlerocket} if bottlerocket else {}
        return [
            NvidiaDevicePlugin(
                charts,
                "GpuPlugin",
                image=self._installer.images.reference("nvidia-device-plugin"),
                node_labels={NodeGroupSpec.ACCELERATOR_LABEL: "nvidia"},
                configs=cluster.device_plugin_config,
                without=without,
            )
        ]
