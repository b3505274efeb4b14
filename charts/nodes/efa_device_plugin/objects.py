from collections.abc import Sequence

from constructs import Construct

from charts.kit.chart import ComponentChart
from charts.kit.objects import Manifest
from charts.kit.security import RESTRICTED_POD
from charts.kit.workloads import EVERY_NODE, NODE_CRITICAL, container, daemon_set, pod, resources

NAME = "efa-device-plugin"
NAMESPACE = "kube-system"
_SOCKETS = "/var/lib/kubelet/device-plugins"
_DEVICES = "/dev/infiniband"
_NEURON = "/opt/aws/neuron"
_UNPRIVILEGED: Manifest = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
_PRIVILEGED: Manifest = {"privileged": True}


class EfaDevicePlugin(ComponentChart):
    """Offers the EFA interfaces of a node to pods as ``vpc.amazonaws.com/efa``. Runs on nodes of groups with EFA only.

    It registers with the kubelet through a socket on the node and looks at the node's devices, which is why its pods
    mount host paths and run as root, in the network of the node as AWS's own chart has it. On nodes with Neuron devices
    it pairs interfaces with these, for which it must be privileged.

    https://docs.aws.amazon.com/eks/latest/userguide/device-management-efa.html

    :param image: the device plugin's image.
    :param label: label of a node that names its group.
    :param groups: groups with EFA interfaces.
    :param neuron_groups: those of them whose nodes have Neuron devices. Default: none.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        image: str,
        label: str,
        groups: Sequence[str],
        neuron_groups: Sequence[str] = (),
    ) -> None:
        super().__init__(scope, id)
        if plain := [group for group in groups if group not in neuron_groups]:
            self.add(_agents(NAME, image, _placement(label, plain)))
        if neuron_groups:
            self.add(_agents(f"{NAME}-neuron", image, _placement(label, neuron_groups), has_neuron=True))


def _placement(label: str, groups: Sequence[str]) -> Manifest:
    expression = {"key": label, "operator": "In", "values": list(groups)}
    required = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    return {
        **EVERY_NODE,
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}},
    }


def _agents(name: str, image: str, placement: Manifest, *, has_neuron: bool = False) -> Manifest:
    agent = container(
        NAME,
        image,
        resources=resources(cpu="10m", memory="20Mi", memory_limit="64Mi"),
        security=_PRIVILEGED if has_neuron else _UNPRIVILEGED,
        mounts={_SOCKETS: "sockets", _DEVICES: "devices", **({_NEURON: "neuron"} if has_neuron else {})},
    )
    spec = pod(
        agent,
        priority=NODE_CRITICAL,
        security={"seccompProfile": RESTRICTED_POD["seccompProfile"]},
        volumes={
            "sockets": {"hostPath": {"path": _SOCKETS, "type": "Directory"}},
            "devices": {"hostPath": {"path": _DEVICES, "type": "Directory"}},
            **({"neuron": {"hostPath": {"path": _NEURON, "type": "DirectoryOrCreate"}}} if has_neuron else {}),
        },
        placement=placement,
        hostNetwork=True,
    )
    return daemon_set(name, NAMESPACE, spec)
