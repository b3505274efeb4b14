from constructs import Construct

from charts.manifest_chart import Manifest, ManifestChart, metadata

NAME = "nvidia-device-plugin"
NAMESPACE = "kube-system"
_SOCKETS = "/var/lib/kubelet/device-plugins"


class NvidiaDevicePlugin(ManifestChart):
    """Offers the GPUs of a node to pods as ``nvidia.com/gpu``. Runs on GPU nodes only.

    It talks to the kubelet through a socket on the node, which is why its pods mount a host path and run as root; they
    have no capability and cannot gain one.

    :param image: the device plugin's image.
    :param node_labels: labels that every GPU node of the platform carries.
    """

    def __init__(self, scope: Construct, id: str, *, image: str, node_labels: Manifest) -> None:
        super().__init__(scope, id)
        labels = {"app.kubernetes.io/name": NAME}
        container = {
            "name": NAME,
            "image": image,
            "env": [{"name": "FAIL_ON_INIT_ERROR", "value": "true"}],
            "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [{"name": "sockets", "mountPath": _SOCKETS}],
        }
        pod = {
            "priorityClassName": "system-node-critical",
            "automountServiceAccountToken": False,
            "nodeSelector": dict(node_labels),
            "tolerations": [{"operator": "Exists"}],
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            "volumes": [{"name": "sockets", "hostPath": {"path": _SOCKETS, "type": "Directory"}}],
        }
        self.add(
            {
                "apiVersion": "apps/v1",
                "kind": "DaemonSet",
                "metadata": metadata(NAME, NAMESPACE),
                "spec": {
                    "selector": {"matchLabels": labels},
                    "updateStrategy": {"type": "RollingUpdate"},
                    "template": {"metadata": {"labels": labels}, "spec": pod},
                },
            }
        )
