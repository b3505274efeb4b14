import json
from collections.abc import Mapping, Sequence
from typing import Any

from constructs import Construct

from charts.manifest_chart import Manifest, ManifestChart, metadata

NAME = "nvidia-device-plugin"
NAMESPACE = "kube-system"
CONFIG_LABEL = "nvidia.com/device-plugin.config"
_SOCKETS = "/var/lib/kubelet/device-plugins"
_CONFIG = "/config"


class NvidiaDevicePlugin(ManifestChart):
    """Offers the GPUs of a node to pods as ``nvidia.com/gpu``. Runs on GPU nodes only.

    It talks to the kubelet through a socket on the node, which is why its pods mount a host path and run as root. They
    must see GPUs without having asked the kubelet for any. Images of nodes may have NVIDIA's runtime grant that to
    privileged containers only, as EKS's have done since April 2026, and it takes ``SYS_ADMIN`` for the mark of these;
    hooks of the runtime also write into the container's files. Nodes whose pods share GPUs say so by a label, and get a
    set of pods with that configuration.

    https://github.com/awslabs/amazon-eks-ami/issues/2706, https://github.com/NVIDIA/k8s-device-plugin/issues/856

    :param image: the device plugin's image.
    :param node_labels: labels that every GPU node of the platform carries.
    :param configs: configurations by the value of the label ``nvidia.com/device-plugin.config``. Default: none.
    :param without: labels, each with values, of nodes whose image brings a plugin of its own. Default: none.
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
        self.add(_daemon_set(NAME, image, {"nodeSelector": dict(node_labels), **_affinity(plain)}))
        for name, config in (configs or {}).items():
            selector = {**node_labels, CONFIG_LABEL: name}
            full_name = f"{NAME}-{name}"
            data = {"config.yaml": json.dumps(config)}  # JSON is YAML
            self.add(
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(full_name, NAMESPACE), "data": data},
                _daemon_set(full_name, image, {"nodeSelector": selector, **_affinity(excluded)}, config=full_name),
            )


def _affinity(expressions: Sequence[Manifest]) -> dict[str, Any]:
    if not expressions:
        return {}
    terms = [{"matchExpressions": list(expressions)}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return {"affinity": {"nodeAffinity": required}}


def _daemon_set(name: str, image: str, placement: Manifest, config: str | None = None) -> Manifest:
    labels = {"app.kubernetes.io/name": name}
    environment = {"FAIL_ON_INIT_ERROR": "true", **({"CONFIG_FILE": f"{_CONFIG}/config.yaml"} if config else {})}
    mounts = [
        {"name": "sockets", "mountPath": _SOCKETS},
        *([{"name": "config", "mountPath": _CONFIG, "readOnly": True}] if config else []),
    ]
    container = {
        "name": NAME,
        "image": image,
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {"capabilities": {"add": ["SYS_ADMIN"], "drop": ["ALL"]}},
        "volumeMounts": mounts,
    }
    pod = {
        "priorityClassName": "system-node-critical",
        "automountServiceAccountToken": False,
        "tolerations": [{"operator": "Exists"}],
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [
            {"name": "sockets", "hostPath": {"path": _SOCKETS, "type": "Directory"}},
            *([{"name": "config", "configMap": {"name": config}}] if config else []),
        ],
        **placement,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": metadata(name, NAMESPACE),
        "spec": {
            "selector": {"matchLabels": labels},
            "updateStrategy": {"type": "RollingUpdate"},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
