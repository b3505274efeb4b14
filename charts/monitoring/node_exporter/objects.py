"""The node exporter: processors, memory, disks and pressure of each node as series.

https://github.com/prometheus/node_exporter
"""

from constructs import Construct

from charts.kit import workloads
from charts.kit.chart import ComponentChart
from charts.kit.monitoring import NO_SIDECAR, NODES_NAMESPACE, pod_monitor, scraped
from charts.kit.network import takes
from charts.kit.rbac import service_account
from charts.kit.security import NOBODY, RESTRICTED_POD

NAME = "node-exporter"
PORT = 9100

_ROOT = "/host"
_COLLECTORS = ("cpu", "diskstats", "filefd", "filesystem", "loadavg", "meminfo", "pressure", "stat", "time", "vmstat")
_NO_DISKS = "^/(dev|proc|sys|run|var/lib/containerd|var/lib/kubelet/pods)($|/)"


class NodeExporter(ComponentChart):
    """The node exporter on every node, whatever its taints.

    It mounts the root of its node read only, which the baseline pod security level refuses, and is an unprivileged user
    without capabilities. It stays out of the node's network, so that network policies hold for it; the traffic of
    containers is among the kubelet's series.

    :param image: image of the node exporter.
    """

    def __init__(self, scope: Construct, id: str, *, image: str) -> None:
        super().__init__(scope, id)
        mount = {"name": "root", "mountPath": _ROOT, "readOnly": True, "mountPropagation": "HostToContainer"}
        container = workloads.container(
            NAME,
            image,
            args=[
                f"--web.listen-address=:{PORT}",
                f"--path.rootfs={_ROOT}",
                f"--path.procfs={_ROOT}/proc",
                f"--path.sysfs={_ROOT}/sys",
                f"--path.udev.data={_ROOT}/run/udev/data",
                "--collector.disable-defaults",
                *(f"--collector.{name}" for name in _COLLECTORS),
                f"--collector.filesystem.mount-points-exclude={_NO_DISKS}",
            ],
            ports={"metrics": PORT},
            probes=workloads.http_probes("metrics", live="/", ready="/"),
            resources=workloads.resources(cpu="20m", memory="64Mi"),
            volumeMounts=[mount],
        )
        pod = workloads.pod(
            container,
            service_account=NAME,
            automountServiceAccountToken=False,
            volumes={"root": {"hostPath": {"path": "/"}}},
            priority=workloads.NODE_CRITICAL,
            security={**RESTRICTED_POD, "runAsUser": NOBODY},
            placement=workloads.EVERY_NODE,
        )
        self.add(
            service_account(NAME, NODES_NAMESPACE),
            workloads.daemon_set(NAME, NODES_NAMESPACE, pod, pod_labels=NO_SIDECAR),
            takes(NAME, NODES_NAMESPACE, scraped("metrics")),
            pod_monitor(NAME, NODES_NAMESPACE, "metrics"),
        )
