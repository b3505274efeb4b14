"""NVIDIA's DCGM exporter: use, memory, temperature and errors of each GPU as series, with the pod that has the GPU.

https://docs.nvidia.com/datacenter/dcgm/latest/reference/command-line-reference/dcgm-exporter.html
"""

from collections.abc import Mapping

from constructs import Construct

from charts.kit import workloads
from charts.kit.chart import ComponentChart
from charts.kit.monitoring import NO_SIDECAR, NODES_NAMESPACE, pod_monitor, scraped
from charts.kit.network import takes
from charts.kit.objects import Manifest, config_map
from charts.kit.rbac import service_account
from charts.kit.security import RESTRICTED_POD

NAME = "dcgm-exporter"
PORT = 9400

_POD_RESOURCES = "/var/lib/kubelet/pod-resources"
_FIELDS: Mapping[str, tuple[str, str]] = {
    "DCGM_FI_DEV_GPU_UTIL": ("gauge", "GPU utilization (in %)."),
    "DCGM_FI_DEV_FB_USED": ("gauge", "Framebuffer memory used (in MiB)."),
    "DCGM_FI_DEV_FB_FREE": ("gauge", "Framebuffer memory free (in MiB)."),
    "DCGM_FI_DEV_GPU_TEMP": ("gauge", "GPU temperature (in C)."),
    "DCGM_FI_DEV_POWER_USAGE": ("gauge", "Power draw (in W)."),
    "DCGM_FI_DEV_XID_ERRORS": ("gauge", "Value of the last XID error encountered."),
}


class DcgmExporter(ComponentChart):
    """The DCGM exporter on GPU nodes.

    As the device plugin it sees GPUs without asking the kubelet for any, which images of nodes may grant to containers
    with ``SYS_ADMIN`` only, and reads from a socket of root which pod has which GPU.

    :param image: image of the exporter.
    :param node_labels: labels that every GPU node of the platform carries.
    """

    def __init__(self, scope: Construct, id: str, *, image: str, node_labels: Manifest) -> None:
        super().__init__(scope, id)
        fields = "\n".join(f"{name}, {kind}, {text}" for name, (kind, text) in _FIELDS.items())
        container = workloads.container(
            NAME,
            image,
            env={
                "DCGM_EXPORTER_LISTEN": f":{PORT}",
                "DCGM_EXPORTER_KUBERNETES": "true",
                "DCGM_EXPORTER_COLLECTORS": "/etc/fields/fields.csv",
                "DCGM_EXPORTER_INTERVAL": "15000",
                "NODE_NAME": workloads.from_field("spec.nodeName"),
            },
            ports={"metrics": PORT},
            probes=workloads.http_probes("metrics", live="/health", ready="/health", start_seconds=120),
            mounts={"/etc/fields": "fields", _POD_RESOURCES: "pod-resources"},
            read_only=["/etc/fields", _POD_RESOURCES],
            resources=workloads.resources(cpu="50m", memory="512Mi"),
            security={"capabilities": {"add": ["SYS_ADMIN"], "drop": ["ALL"]}},
        )
        pod = workloads.pod(
            container,
            service_account=NAME,
            automountServiceAccountToken=False,
            volumes={
                "fields": {"configMap": {"name": NAME}},
                "pod-resources": {"hostPath": {"path": _POD_RESOURCES, "type": "Directory"}},
            },
            priority=workloads.NODE_CRITICAL,
            security={"seccompProfile": RESTRICTED_POD["seccompProfile"]},
            placement={**workloads.EVERY_NODE, "nodeSelector": dict(node_labels)},
        )
        self.add(
            config_map(NAME, NODES_NAMESPACE, {"fields.csv": fields}),
            service_account(NAME, NODES_NAMESPACE),
            workloads.daemon_set(NAME, NODES_NAMESPACE, pod, pod_labels=NO_SIDECAR),
            takes(NAME, NODES_NAMESPACE, scraped("metrics")),
            pod_monitor(NAME, NODES_NAMESPACE, "metrics"),
        )
