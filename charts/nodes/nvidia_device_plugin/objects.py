import json
from collections.abc import Mapping, Sequence
from typing import Any

from constructs import Construct

from charts.kit.chart import ComponentChart
from charts.kit.objects import Manifest, config_map
from charts.kit.security import RESTRICTED_POD
from charts.kit.workloads import EVERY_NODE, NODE_CRITICAL, container, daemon_set, pod

NAME = "nvidia-device-plugin"
NAMESPACE = "kube-system"
CONFIG_LABEL = "nvidia.com/device-plugin.config"
_SOCKETS = "/var/lib/kubelet/device-plugins"
_CONFIG = "/config"


class NvidiaDevicePlugin(ComponentChart):
    """Offers the GPUs of a node to pods as ``nvidia.com/gpu``. Runs on GPU nodes only.

    It talks to the kubelet through a socket on the node, which is why its pods mount a host path and run as root. They
    must see GPUs without having asked the kubelet for any. Images of nodes may have NVIDIA's runtime grant that to
    privileged containers only, as EKS's have done since April 2026, and it takes ``SYS_ADMIN`` for the mark of these;
    hooks of the runtime also write into the container's files. Nodes whose pods share GPUs carry a label that names
    their configuration; each configuration has its own DaemonSet.

    https://github.com/awslabs/amazon-eks-ami/issues/2706, https://github.com/NVIDIA/k8s-device-plugin/issues/856

    :param image: the device plugin's image.
    :param node_labels: labels that every GPU node of the platform carries.
    :param configs: configurations by the value of the label ``nvidia.com/device-plugin.config``. Default: none.
    :param without: labels, each with values, of nodes whose image contains its own plugin. Default: none.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        image: str,
        node_labels: Manifest,
        configs: Mapping[str, Manifest] | None = None,
        without: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__(scope, id)
        excluded: list[Manifest] = [
            {"key": key, "operator": "NotIn", "values": list(values)} for key, values in (without or {}).items()
        ]
        plain = [*excluded, {"key": CONFIG_LABEL, "operator": "DoesNotExist"}]
        self.add(_agents(NAME, image, {"nodeSelector": dict(node_labels), **_affinity(plain)}))
        for name, config in (configs or {}).items():
            selector = {**node_labels, CONFIG_LABEL: name}
            full_name = f"{NAME}-{name}"
            self.add(
                config_map(full_name, NAMESPACE, {"config.yaml": json.dumps(config)}),  # JSON is YAML
                _agents(full_name, image, {"nodeSelector": selector, **_affinity(excluded)}, config=full_name),
            )


def _affinity(expressions: Sequence[Manifest]) -> dict[str, Any]:
    if not expressions:
        return {}
    terms = [{"matchExpressions": list(expressions)}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return {"affinity": {"nodeAffinity": required}}


def _agents(name: str, image: str, placement: Manifest, config: str | None = None) -> Manifest:
    agent = container(
        NAME,
        image,
        env={"FAIL_ON_INIT_ERROR": "true", **({"CONFIG_FILE": f"{_CONFIG}/config.yaml"} if config else {})},
        resources={"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        security={"capabilities": {"add": ["SYS_ADMIN"], "drop": ["ALL"]}},
        mounts={_SOCKETS: "sockets", **({_CONFIG: "config"} if config else {})},
        read_only=[_CONFIG],
    )
    spec = pod(
        agent,
        priority=NODE_CRITICAL,
        security={"seccompProfile": RESTRICTED_POD["seccompProfile"]},
        volumes={
            "sockets": {"hostPath": {"path": _SOCKETS, "type": "Directory"}},
            **({"config": {"configMap": {"name": config}}} if config else {}),
        },
        placement={**EVERY_NODE, **placement},
    )
    return daemon_set(name, NAMESPACE, spec)
