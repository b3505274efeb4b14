import re
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NoReturn

from .._arguments import ConfigurationError, check_fields, suggestion
from .instance_types import EFA_INTERFACES, InstanceType, instance_types
from .kubernetes_release import AMI_TYPES, AmiType

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
_AUTOSCALER_TEMPLATE = "k8s.io/cluster-autoscaler/node-template"
EFA_RESOURCE = "vpc.amazonaws.com/efa"
_DEVICE_RESOURCES = {"nvidia": "nvidia.com/gpu", "aws": "aws.amazon.com/neuron"}
_DATED = {
    "p2": "its K80 GPUs have had no driver since the 470 series of 2021, and EC2 no longer lists them; take g5 or g6",
    "p3": "its V100 GPUs lose driver support after the 580 series, EC2 lists few of them, and a g6e trains faster for "
    "less; take p4d, p5 or g6e",
}


@dataclass(frozen=True, kw_only=True)
class NodeGroupSpec:
    """A node group in one value.

    Its labels, taints and image, the autoscaler's tags, and the node selector and tolerations of its pods are derived
    from it.

    :param name: lower-case words joined by hyphens, unique in the cluster.
    :param purpose: the purpose of its nodes, by which pods select them. ``system`` is for the platform's own
        pods, ``general`` for pods without a purpose, any other word for pods that select it. Several groups may
        serve one purpose. Nodes of all purposes but ``general`` are tainted.
    :param instance_types: one or more, alike in architecture, vCPUs, memory and accelerators, because the autoscaler
        plans with the first. Several make spot capacity easier to get.
    :param max_per_zone: nodes in each zone at most.
    :param min_per_zone: nodes in each zone at least. Default: 0.
    :param capacity: ``spot`` costs less and is reclaimed at two minutes' notice; EKS drains a node before.
        Default: ``on_demand``.
    :param availability_zones: where to run, by name. Default: all zones of the cluster.
    :param ami_type: EKS's image, by the name that EKS gives it. Default: Amazon Linux 2023 for the architecture;
        accelerators have none, because the wrong image leaves them unseen.
    :param image_id: an image of your own instead, which starts nodes with ``nodeadm`` as Amazon Linux 2023 does.
    :param disk_gib: size of each node's encrypted volume, GiB. Default: 100.
    :param disk_throughput_mibps: throughput of that volume, 125 to 1000 MiB/s. Default: 125, with accelerators 500,
        since their images are many GiB.
    :param efa: whether nodes of this group talk to each other by Elastic Fabric Adapter, all interfaces of the instance
        type, within a placement group of each zone. Pods request ``vpc.amazonaws.com/efa``. Default: no.
    :param max_pods: pods on each node at most, with an image of your own or nodes of Karpenter's; in managed groups EKS
        sets its own number for its images. Default: what the instance type allows.
    :param gpu_replicas: pods that share one GPU by taking turns, without isolation of memory. Default: 1, no sharing.
    :raises ConfigurationError: if the parts do not fit each other.
    """

    SYSTEM: ClassVar[str] = "system"
    GENERAL: ClassVar[str] = "general"
    PURPOSE_LABEL: ClassVar[str] = "mlplatform/purpose"
    NAME_LABEL: ClassVar[str] = "mlplatform/node-group"
    ACCELERATOR_LABEL: ClassVar[str] = "mlplatform/accelerator"

    name: str
    purpose: str
    instance_types: tuple[str, ...]
    max_per_zone: int
    min_per_zone: int = 0
    capacity: Literal["on_demand", "spot"] = "on_demand"
    availability_zones: tuple[str, ...] = ()
    ami_type: str | None = None
    image_id: str | None = None
    disk_gib: int = 100
    disk_throughput_mibps: int | None = None
    efa: bool = False
    max_pods: int | None = None
    gpu_replicas: int = 1

    def __post_init__(self) -> None:
        check_fields(self, f"node group {self.name!r}")
        for field in ("name", "purpose"):
            if not _NAME.fullmatch(getattr(self, field)):
                self._refuse(f"{field} must be lower-case words joined by hyphens, got {getattr(self, field)!r}")
        self._check_instance_types()
        self._check_image()
        if not 0 <= self.min_per_zone <= self.max_per_zone or self.max_per_zone < 1:
            self._refuse(
                f"needs 0 <= min_per_zone <= max_per_zone and a maximum above 0, got {self.min_per_zone} and "
                f"{self.max_per_zone}"
            )
        if self.disk_gib < 20:
            self._refuse(f"disk_gib must be 20 or more, got {self.disk_gib}; images and container layers fill less")
        if not 125 <= self.disk_throughput <= 1000:
            self._refuse(f"disk_throughput_mibps must be 125 to 1000, got {self.disk_throughput}; gp3 has no other")
        if self.max_pods is not None and not 4 <= self.max_pods <= 250:
            self._refuse(f"max_pods must be 4 to 250, got {self.max_pods}; each node runs some pods of the platform")
        self._check_sharing()
        self._check_efa()

    @property
    def instance(self) -> InstanceType:
        """The type that the autoscaler plans with: the first."""
        return instance_types()[self.instance_types[0]]

    @property
    def image(self) -> str | None:
        """EKS's name of the image, or None for an image of one's own."""
        if self.ami_type or self.image_id:
            return self.ami_type
        return "AL2023_ARM_64_STANDARD" if self.instance.architecture == "arm64" else "AL2023_x86_64_STANDARD"

    @property
    def device_resource(self) -> str | None:
        """The resource by which pods request an accelerator, such as ``nvidia.com/gpu``, or None."""
        return _DEVICE_RESOURCES.get(self._accelerator_maker)

    @property
    def devices(self) -> int:
        """How many of ``device_resource`` one node offers."""
        return self.instance.accelerators * self.gpu_replicas

    @property
    def disk_throughput(self) -> int:
        """Throughput of each node's volume, MiB/s."""
        return self.disk_throughput_mibps or (500 if self.instance.accelerators else 125)

    @property
    def efa_interfaces(self) -> int:
        """How many EFA interfaces each node has; 0 without ``efa``. Each is one ``vpc.amazonaws.com/efa``."""
        return EFA_INTERFACES[self.instance_types[0]] if self.efa else 0

    @property
    def update_strategy(self) -> Literal["DEFAULT", "MINIMAL"]:
        """How EKS updates nodes: accelerators are terminated first, because there may be no second one to get."""
        return "MINIMAL" if self.instance.accelerators else "DEFAULT"

    @property
    def labels(self) -> dict[str, str]:
        """The labels of its nodes.

        The autoscaler waits for the driver of nodes that have ``k8s.amazonaws.com/accelerator``.
        """
        labels = {self.PURPOSE_LABEL: self.purpose, self.NAME_LABEL: self.name}
        if self.instance.accelerator:
            labels["k8s.amazonaws.com/accelerator"] = self.instance.accelerator
            labels[self.ACCELERATOR_LABEL] = self._accelerator_maker
        if self.gpu_replicas > 1:
            labels["nvidia.com/device-plugin.config"] = self._sharing_config_name
        return labels

    @property
    def taints(self) -> tuple[dict[str, str], ...]:
        """The taints of its nodes, as Kubernetes writes them.

        ``system`` uses the key that cluster add-ons tolerate everywhere, accelerators the one of their device plugin.
        """
        taints = []
        if self.purpose == self.SYSTEM:
            taints.append({"key": "CriticalAddonsOnly", "value": "true", "effect": "NoSchedule"})
        elif self.purpose != self.GENERAL:
            taints.append({"key": self.PURPOSE_LABEL, "value": self.purpose, "effect": "NoSchedule"})
        if self.device_resource:
            taints.append({"key": self.device_resource, "value": "present", "effect": "NoSchedule"})
        return tuple(taints)

    @property
    def tolerations(self) -> list[dict[str, str]]:
        """The tolerations of pods that run here, as a pod writes them."""
        return [{"operator": "Equal", **taint} for taint in self.taints]

    @property
    def node_template_tags(self) -> dict[str, str]:
        """The tags that describe a node of an empty group to the Cluster Autoscaler.

        They are tags of the managed node group: the autoscaler asks EKS for a group's tags, labels and taints, since
        EKS does not hand a group's tags on to its Auto Scaling group. Disk space is what kubelet leaves to pods.

        https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/cloudprovider/aws/README.md
        """
        resources = {"ephemeral-storage": f"{self.disk_gib * 85 // 100}Gi"}
        if self.device_resource:
            resources[self.device_resource] = str(self.devices)
        if self.efa:
            resources[EFA_RESOURCE] = str(self.efa_interfaces)
        return {
            **{f"{_AUTOSCALER_TEMPLATE}/label/{key}": value for key, value in self.labels.items()},
            **{f"{_AUTOSCALER_TEMPLATE}/taint/{t['key']}": f"{t['value']}:{t['effect']}" for t in self.taints},
            **{f"{_AUTOSCALER_TEMPLATE}/resources/{name}": amount for name, amount in resources.items()},
        }

    @property
    def device_plugin_config(self) -> dict[str, dict[str, Any]]:
        """The NVIDIA device plugin's configuration for its nodes by name; empty if GPUs are not shared.

        https://github.com/NVIDIA/k8s-device-plugin#shared-access-to-gpus
        """
        if self.gpu_replicas == 1:
            return {}
        shared = {"name": self.device_resource, "replicas": self.gpu_replicas}
        return {self._sharing_config_name: {"version": "v1", "sharing": {"timeSlicing": {"resources": [shared]}}}}

    @property
    def warnings(self) -> tuple[str, ...]:
        """Reasons against the chosen instance types; empty if there are none."""
        families = {instance_types()[name].family[:2] for name in self.instance_types}
        return tuple(
            f"node group {self.name!r}: {', '.join(self.instance_types)} is a poor choice now: {why}"
            for family, why in _DATED.items()
            if family in families
        )

    @property
    def _accelerator_maker(self) -> str:
        return self.instance.accelerator.partition("-")[0]

    @property
    def _sharing_config_name(self) -> str:
        return f"time-slicing-{self.gpu_replicas}"

    def _check_instance_types(self) -> None:
        table = instance_types()
        if not self.instance_types:
            self._refuse("instance_types is empty; give at least one")
        for name in self.instance_types:
            if name not in table:
                self._refuse(f"instance_types has {name!r}, which EC2 does not list{suggestion(name, table)}")
        first = self.instance
        for other in (table[name] for name in self.instance_types[1:]):
            for part in ("architecture", "vcpus", "memory_mib", "accelerator", "accelerators"):
                if getattr(other, part) != getattr(first, part):
                    self._refuse(
                        f"{first.name} and {other.name} differ in {part} ({getattr(first, part)} and "
                        f"{getattr(other, part)}); the autoscaler plans with the first, so put them into two groups"
                    )

    def _check_image(self) -> None:
        if self.image_id:
            if self.ami_type:
                self._refuse("has both ami_type and image_id; keep one")
            return
        fitting = [name for name, ami in AMI_TYPES.items() if self._fits(ami)]
        if self.ami_type in fitting or (self.ami_type is None and not self.instance.accelerator):
            return
        types = ", ".join(self.instance_types)
        if not fitting:
            self._refuse(f"no image of EKS drives the accelerators of {types} any more; name an image_id of your own")
        if self.ami_type is None:
            self._refuse(f"{types} has accelerators and needs an ami_type with their driver: {', '.join(fitting)}")
        self._refuse(f"ami_type {self.ami_type} does not fit {types}; choose {', '.join(fitting)}")

    def _fits(self, ami: AmiType) -> bool:
        families = {instance_types()[name].family for name in self.instance_types}
        if ami.architecture != self.instance.architecture:
            return False
        return families <= set(ami.accelerated_families) if self.instance.accelerator else not ami.accelerated

    def _check_sharing(self) -> None:
        if self.gpu_replicas < 1:
            self._refuse(f"gpu_replicas must be 1 or more, got {self.gpu_replicas}")
        if self.gpu_replicas > 1 and self.device_resource != "nvidia.com/gpu":
            self._refuse(f"gpu_replicas is {self.gpu_replicas}, but {self.instance.name} has no NVIDIA GPU to share")
        if self.gpu_replicas > 1 and (self.ami_type or "").startswith("BOTTLEROCKET"):
            self._refuse("gpu_replicas needs a device plugin that can be set, unlike Bottlerocket's; take AL2023")

    def _check_efa(self) -> None:
        if not self.efa:
            return
        for name in self.instance_types:
            if name not in EFA_INTERFACES:
                self._refuse(f"efa needs one of {', '.join(EFA_INTERFACES)}, got {name}; leave efa out for others")
            if EFA_INTERFACES[name] != EFA_INTERFACES[self.instance_types[0]]:
                self._refuse(f"{name} and {self.instance_types[0]} differ in EFA interfaces; put them into two groups")

    def _refuse(self, why: str) -> NoReturn:
        raise ConfigurationError(f"node group {self.name!r}: {why}")
