"""The Prometheus operator, which runs Prometheus and Alertmanager as custom resources describe them.

https://github.com/prometheus-operator/prometheus-operator
"""

from constructs import Construct

from charts.kit.chart import ComponentChart
from charts.kit.controller import Controller
from charts.kit.monitoring import GROUP, NAMESPACE, service_monitor
from charts.kit.objects import Manifest
from charts.kit.rbac import ALL, READ, rule
from charts.kit.security import NOBODY, run_as
from charts.kit.workloads import http_probes, resources

NAME = "prometheus-operator"

_MONITORS = "alertmanagerconfigs podmonitors probes prometheusrules servicemonitors"
_SERVERS = "alertmanagers prometheuses"

_CLUSTER_RULES = [
    rule(GROUP, _MONITORS),
    rule(GROUP, " ".join(f"{kind}/status" for kind in _MONITORS.split()), "update patch"),
    rule("", "namespaces"),
    rule("storage.k8s.io", "storageclasses", "get"),
    rule("events.k8s.io", "events", "create patch"),
]
_LOCAL_RULES = [
    rule(GROUP, _SERVERS, f"{READ} update patch"),
    rule(GROUP, " ".join(f"{kind}/status {kind}/finalizers" for kind in _SERVERS.split()), "get update patch"),
    rule("apps", "statefulsets", f"{ALL} deletecollection"),
    rule("", "configmaps secrets", f"{ALL} deletecollection"),
    rule("", "services services/finalizers", "get create update delete"),
    rule("discovery.k8s.io", "endpointslices", f"{READ} create update delete"),
    rule("", "endpoints", "get create update delete"),
    rule("", "pods", "list delete"),
]


class PrometheusOperator(ComponentChart):
    """The Prometheus operator and the definitions of its kinds.

    It runs servers in the namespace ``monitoring`` only, so that its rights to write Secrets and StatefulSets end
    there; it reads monitors and rules in every namespace. It elects no leader and therefore has one replica: what it
    has created runs on without it. It cannot read Secrets of other namespaces, so monitors of teams cannot refer to
    any.

    AlertmanagerConfig and Probe are defined, because the operator watches them, with open schemas: nothing selects
    them.

    :param image: the operator's image.
    :param reloader_image: image of the container that reloads the configuration of a server.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(self, scope: Construct, id: str, *, image: str, reloader_image: str, placement: Manifest) -> None:
        super().__init__(scope, id)
        controller = Controller(
            name=NAME,
            namespace=NAMESPACE,
            image=image,
            args=[
                f"--prometheus-instance-namespaces={NAMESPACE}",
                f"--alertmanager-instance-namespaces={NAMESPACE}",
                f"--alertmanager-config-namespaces={NAMESPACE}",
                f"--thanos-ruler-instance-namespaces={NAMESPACE}",
                f"--prometheus-config-reloader={reloader_image}",
                "--config-reloader-cpu-request=10m",
                "--config-reloader-cpu-limit=0",
                "--config-reloader-memory-request=50Mi",
                "--config-reloader-memory-limit=50Mi",
                "--enable-config-reloader-probes=true",
                "--disable-unmanaged-prometheus-configuration=true",
                "--kubelet-endpoints=false",
                "--kubelet-endpointslice=false",
            ],
            resources=resources(cpu="50m", memory="200Mi"),
            cluster=_CLUSTER_RULES,
            local=_LOCAL_RULES,
            lease=None,
            ports={"metrics": 8080},
            probes=http_probes("metrics", ready="/healthz"),
            security=run_as(NOBODY),
            placement=placement,
            replicas=1,
        )
        self.add(*controller.objects(), service_monitor(NAME, NAMESPACE, "http-metrics"))
