"""kube-state-metrics: objects of the API server as series.

https://github.com/kubernetes/kube-state-metrics
"""

from constructs import Construct

from charts.kit import workloads
from charts.kit.chart import ComponentChart
from charts.kit.monitoring import NAMESPACE, NO_SIDECAR, scraped, service_monitor
from charts.kit.network import takes
from charts.kit.objects import Manifest
from charts.kit.rbac import access, rule
from charts.kit.security import NOBODY, run_as

NAME = "kube-state-metrics"

_LIST = "list watch"
_WATCHED = {
    "": "namespaces nodes persistentvolumeclaims pods resourcequotas services",
    "apps": "daemonsets deployments replicasets statefulsets",
    "autoscaling": "horizontalpodautoscalers",
    "batch": "cronjobs jobs",
    "policy": "poddisruptionbudgets",
}
_LABELS = "namespaces=[app.kubernetes.io/part-of],nodes=[mlplatform/purpose,node.kubernetes.io/instance-type," + (
    "topology.kubernetes.io/zone],pods=[app.kubernetes.io/name,notebook-name,serving.kserve.io/inferenceservice,"
    "seldon-deployment-id,spark-role,sparkoperator.k8s.io/app-name]"
)


class KubeStateMetrics(ComponentChart):
    """kube-state-metrics for the kinds that dashboards and alerts use. It reads neither Secrets nor ConfigMaps.

    One replica: a second one would double every series, and a restart costs one or two scrapes.

    :param image: image of kube-state-metrics.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(self, scope: Construct, id: str, *, image: str, placement: Manifest) -> None:
        super().__init__(scope, id)
        container = workloads.container(
            NAME,
            image,
            args=[
                f"--resources={','.join(kind for kinds in _WATCHED.values() for kind in kinds.split())}",
                f"--metric-labels-allowlist={_LABELS}",
                "--port=8080",
                "--telemetry-port=8081",
            ],
            ports={"metrics": 8080, "telemetry": 8081},
            probes=workloads.http_probes("metrics", live="/livez", ready=None)
            | {"readinessProbe": {"httpGet": {"path": "/readyz", "port": "telemetry"}, "periodSeconds": 10}},
            resources=workloads.resources(cpu="20m", memory="256Mi"),
        )
        pod = workloads.pod(
            container,
            service_account=NAME,
            priority=workloads.CLUSTER_CRITICAL,
            security=run_as(NOBODY),
            placement=placement,
        )
        self.add(
            *access(NAME, NAMESPACE, cluster=[rule(group, kinds, _LIST) for group, kinds in _WATCHED.items()]),
            workloads.deployment(NAME, NAMESPACE, pod, replicas=1, pod_labels=NO_SIDECAR),
            workloads.service(NAME, NAMESPACE, {"metrics": (8080, "metrics")}),
            takes(NAME, NAMESPACE, scraped("metrics", "telemetry")),
            service_monitor(NAME, NAMESPACE, "metrics", honor_labels=True),
        )
