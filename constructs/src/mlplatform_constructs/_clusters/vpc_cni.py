from dataclasses import dataclass
from math import ceil

from .._arguments import ConfigurationError, check_fields
from .instance_types import InstanceType

_ADDRESSES_PER_PREFIX = 16  # a /28
_MOST_PODS_SMALL, _MOST_PODS_LARGE = 110, 250  # per node, below and from 30 vCPUs on


@dataclass(frozen=True)
class VpcCni:
    """How many addresses of its subnet a node keeps ready for pods.

    The VPC CNI gives each pod an address of the VPC. Left alone, it holds a whole spare network interface full of them
    on every node, up to 49 on large ones. The targets below hold a few instead, for a few more calls of the EC2 API.

    :param warm_ip_target: addresses kept free beyond those in use. Default: 5.
    :param minimum_ip_target: addresses held at least, so that the pods of a new node need no further call. Default: 10.
    :param prefix_delegation: take addresses in blocks of 16, which lets small instance types run up to 110 pods. Needs
        subnets with such blocks free. Default: off.
    :raises ConfigurationError: if a target is below 1.

    https://github.com/aws/amazon-vpc-cni-k8s/blob/master/docs/eni-and-ip-target.md
    """

    warm_ip_target: int = 5
    minimum_ip_target: int = 10
    prefix_delegation: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("warm_ip_target", "minimum_ip_target"):
            if (value := getattr(self, name)) < 1:
                raise ConfigurationError(
                    f"{name} must be 1 or more, got {value}; 0 makes the CNI hold a spare interface"
                )

    @property
    def environment(self) -> dict[str, str]:
        """The settings as the CNI's environment variables."""
        return {
            "ENABLE_PREFIX_DELEGATION": str(self.prefix_delegation).lower(),
            "MINIMUM_IP_TARGET": str(self.minimum_ip_target),
            "WARM_IP_TARGET": str(self.warm_ip_target),
        }

    def most_pods(self, instance: InstanceType) -> int:
        """Pods that kubelet starts on ``instance`` at most, in managed node groups.

        https://docs.aws.amazon.com/eks/latest/userguide/choosing-instance-type.html
        """
        slots = instance.interfaces * (instance.addresses_per_interface - 1)
        size = _ADDRESSES_PER_PREFIX if self.prefix_delegation else 1
        return min(slots * size + 2, _MOST_PODS_SMALL if instance.vcpus < 30 else _MOST_PODS_LARGE)

    def most_addresses(self, instance: InstanceType, pods: int) -> int:
        """Addresses of its subnet that a node of ``instance`` with ``pods`` pods holds at most."""
        slots_per_interface = instance.addresses_per_interface - 1
        slots = instance.interfaces * slots_per_interface
        wanted = max(self.minimum_ip_target, pods + self.warm_ip_target)
        size = _ADDRESSES_PER_PREFIX if self.prefix_delegation else 1
        taken = min(ceil(wanted / size), slots)
        return taken * size + ceil(taken / slots_per_interface)
