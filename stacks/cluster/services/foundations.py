"""What every cluster has before any controller: rights, limits, storage classes, the autoscaler and GPUs."""

from typing import Any

import cdk8s
from aws_cdk import Stack
from aws_cdk import aws_kms as kms
from constructs import IDependable

from charts.base.cluster_access.objects import ClusterAccess
from charts.base.storage_classes.objects import LustreVolume, StorageClasses
from charts.base.teardown_guard.objects import TeardownAccess
from charts.base.tenant_limits.objects import TenantLimits
from charts.kit.chart import ComponentChart
from charts.nodes.cluster_autoscaler import objects as cluster_autoscaler
from charts.nodes.cluster_autoscaler.objects import ClusterAutoscaler
from charts.nodes.efa_device_plugin.objects import EfaDevicePlugin
from charts.nodes.kube2iam.objects import Kube2iam
from charts.nodes.nvidia_device_plugin.objects import NvidiaDevicePlugin
from config.clusters import Cluster as ClusterSettings
from mlplatform_constructs import Manifests, NodeGroupSpec, TeardownGuard

from ..._wiring.installer import Installer
from .surroundings import Storage


def deliver_foundations(
    stack: Stack, installer: Installer, *, settings: ClusterSettings, storage: Storage, disk_key: kms.IKey
) -> Manifests:
    """The platform's own charts that need no controller, together, as children of ``stack``."""
    charts, cluster = cdk8s.App(), installer.cluster
    delivered: list[ComponentChart] = [
        TenantLimits(charts, "TenantLimits"),
        ClusterAccess(charts, "Access", groups=cluster.access_groups),
        TeardownAccess(charts, "Teardown", group=TeardownGuard.GROUP),
        StorageClasses(
            charts,
            "StorageClasses",
            key_arn=disk_key.key_arn,
            file_system_id=storage.workspaces.file_system.file_system_id,
            lustre=_lustre_volume(storage),
        ),
        *_gpu_plugin(charts, installer),
        *_efa_plugin(charts, installer),
    ]
    credentials: list[IDependable] = []
    if cluster.autoscaler == "cluster_autoscaler":
        delivered.append(_autoscaler(charts, installer))
        role = installer.role(stack, "Autoscaler", "cluster-autoscaler")
        cluster.grant_scale_node_groups(role)
        credentials = installer.settled(role)
    if settings.workload_identity == "kube2iam":
        image = installer.images.reference("kube2iam")
        delivered.append(Kube2iam(charts, "Kube2iam", image=image, region=installer.region))
    return installer.deliver(stack, "Foundations", *delivered, after=credentials)


def _lustre_volume(storage: Storage) -> LustreVolume | None:
    if not storage.lustre:
        return None
    return LustreVolume(
        file_system_id=storage.lustre.file_system_id,
        dns_name=storage.lustre.dns_name,
        mount_name=storage.lustre.mount_name,
        capacity_gib=storage.lustre_gib,
        teams=storage.teams,
        zone=storage.lustre_zone,
    )


def _autoscaler(charts: cdk8s.App, installer: Installer) -> ClusterAutoscaler:
    cluster = installer.cluster
    image = f"{cluster_autoscaler.NAME}-{cluster.release.minor.replace('.', '-')}"
    return ClusterAutoscaler(
        charts,
        "Autoscaler",
        cluster_name=cluster.cluster_name,
        region=installer.region,
        image=installer.images.reference(image),
        placement=installer.placement,
    )


def _gpu_plugin(charts: cdk8s.App, installer: Installer) -> list[NvidiaDevicePlugin]:
    """Where a group has NVIDIA GPUs and an image that brings no plugin, as Bottlerocket's does."""
    gpus = [spec for spec in installer.cluster.node_groups if spec.device_resource == "nvidia.com/gpu"]
    bottlerocket = [spec.name for spec in gpus if (spec.image or "").startswith("BOTTLEROCKET")]
    if len(gpus) == len(bottlerocket):
        return []
    without: dict[str, Any] = {NodeGroupSpec.NAME_LABEL: bottlerocket} if bottlerocket else {}
    return [
        NvidiaDevicePlugin(
            charts,
            "GpuPlugin",
            image=installer.images.reference("nvidia-device-plugin"),
            node_labels={NodeGroupSpec.ACCELERATOR_LABEL: "nvidia"},
            configs=installer.cluster.device_plugin_config,
            without=without,
        )
    ]


def _efa_plugin(charts: cdk8s.App, installer: Installer) -> list[EfaDevicePlugin]:
    groups = [spec for spec in installer.cluster.node_groups if spec.efa]
    if not groups:
        return []
    return [
        EfaDevicePlugin(
            charts,
            "EfaPlugin",
            image=installer.images.reference("efa-device-plugin"),
            label=NodeGroupSpec.NAME_LABEL,
            groups=[spec.name for spec in groups],
            neuron_groups=[spec.name for spec in groups if spec.device_resource != "nvidia.com/gpu"],
        )
    ]
