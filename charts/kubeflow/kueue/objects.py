"""Kueue, release 0.17: jobs wait for the GPUs of their team in a queue instead of being refused by a quota.

https://github.com/kubernetes-sigs/kueue
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from constructs import Construct

from charts.kit.chart import ComponentChart
from charts.kit.controller import Controller, Webhook, WebhookServer
from charts.kit.objects import Manifest, config_map, metadata
from charts.kit.rbac import READ, aggregated_role, rule
from charts.kit.workloads import resources
from mlplatform_constructs import ConfigurationError

NAME = "kueue-controller-manager"
NAMESPACE = "kueue-system"
GROUP = "kueue.x-k8s.io"
VERSION = "v1beta2"
GPU = "nvidia.com/gpu"
FLAVOR = "gpu"
"""Name of the one ResourceFlavor: jobs choose their nodes themselves."""
DEFAULT_QUEUE = "default"
"""Name of a team's LocalQueue. Kueue puts every job of a namespace that names no queue into the one of this name."""

_DELETED_WITH_NAMESPACES = {"mlplatform-constructs/wave": "namespaces"}
"""Annotation by which a queue is deleted together with the namespaces of its jobs. Kueue does not release a queue while
one of these jobs is admitted."""
_CONFIGURATION, _FILE = "kueue-manager-config", "controller_manager_config.yaml"
_LEASE = "kueue"
_METRICS, _HEALTH, _PORT = 8443, 8081, 9443
_AGGREGATE = "rbac.authorization.kubeflow.org/aggregate-to-kubeflow"
_OWN = {
    "clusterqueue": "clusterqueues",
    "resourceflavor": "resourceflavors",
    "workload": "workloads",
}


@dataclass(frozen=True)
class QueuedKind:
    """A kind of job that waits in queues.

    :param framework: as Kueue's configuration names it.
    """

    framework: str
    group: str
    version: str
    singular: str

    @property
    def plural(self) -> str:
        """As the API server knows it."""
        return f"{self.singular}s"


JOB = QueuedKind("batch/job", "batch", "v1", "job")
JOB_SET = QueuedKind("jobset.x-k8s.io/jobset", "jobset.x-k8s.io", "v1alpha2", "jobset")
TRAIN_JOB = QueuedKind("trainer.kubeflow.org/trainjob", "trainer.kubeflow.org", "v1alpha1", "trainjob")
TRAINING_JOBS = (
    QueuedKind("kubeflow.org/tfjob", "kubeflow.org", "v1", "tfjob"),
    QueuedKind("kubeflow.org/pytorchjob", "kubeflow.org", "v1", "pytorchjob"),
    QueuedKind("kubeflow.org/xgboostjob", "kubeflow.org", "v1", "xgboostjob"),
    QueuedKind("kubeflow.org/mpijob", "kubeflow.org", "v2beta1", "mpijob"),
)


class Kueue(ComponentChart):
    """The controller of queues, with webhooks that suspend jobs until their queue admits them.

    Only GPUs are counted; processors and memory are what the nodes have, and the quota of a namespace. Left out are
    single pods and Deployments, whose webhooks would look at every pod, clusters of clusters, topologies of racks, and
    the API that lists waiting jobs.

    :param image: the controller's image.
    :param kinds: what waits in queues. Default: Job, and the jobs of the training operator and of the MPI operator.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        image: str,
        kinds: Sequence[QueuedKind] = (JOB, *TRAINING_JOBS),
        placement: Manifest,
    ) -> None:
        super().__init__(scope, id)
        controller = Controller(
            name=NAME,
            namespace=NAMESPACE,
            image=image,
            args=[f"--config=/{_FILE}", "--zap-log-level=info"],
            resources=resources(cpu="100m", memory="256Mi", memory_limit="512Mi"),
            cluster=_rules(kinds),
            lease=_LEASE,
            ports={"metrics": _METRICS, "health": _HEALTH},
            metrics_scheme="https",
            webhook=WebhookServer(
                webhooks=[
                    *(_webhook(GROUP, VERSION, *names, mutating=True) for names in _OWN.items()),
                    *(_webhook(kind.group, kind.version, kind.singular, kind.plural, mutating=True) for kind in kinds),
                    *(_webhook(GROUP, VERSION, *names) for names in (*_OWN.items(), ("cohort", "cohorts"))),
                    *(_webhook(kind.group, kind.version, kind.singular, kind.plural) for kind in kinds),
                ],
                port=_PORT,
            ),
            mounts={f"/{_FILE}": f"configuration/{_FILE}", "/etc/kueue/metrics/certs": "certificate"},
            volumes={"configuration": {"configMap": {"name": _CONFIGURATION}}},
            placement=placement,
        )
        self.add(
            config_map(_CONFIGURATION, NAMESPACE, {_FILE: json.dumps(_configuration(kinds), indent=2)}),
            *controller.objects(),
            aggregated_role(
                "kubeflow-queues-view",
                [rule(GROUP, "localqueues workloads"), rule(GROUP, "localqueues/status workloads/status", "get")],
                to=f"{_AGGREGATE}-view",
            ),
        )


class TeamQueues(ComponentChart):
    """A queue for each team, with the GPUs that its jobs may use at the same time. Further jobs wait.

    The namespaces of the teams must exist, and the controller must answer.

    :param gpu_quotas: GPUs by team. The namespace of a team has its name.
    """

    def __init__(self, scope: Construct, id: str, *, gpu_quotas: Mapping[str, int]) -> None:
        super().__init__(scope, id)
        for team, quota in gpu_quotas.items():
            if quota < 0:
                raise ConfigurationError(
                    f"{self.node.path}: the GPU quota of team {team!r} must be 0 or more, got {quota}"
                )
        self.add(
            _object("ResourceFlavor", FLAVOR, {}, annotations=_DELETED_WITH_NAMESPACES),
            *(made for team, quota in gpu_quotas.items() for made in _queues(team, quota)),
        )


def _queues(team: str, gpu_quota: int) -> list[Manifest]:
    flavor = {"name": FLAVOR, "resources": [{"name": GPU, "nominalQuota": str(gpu_quota)}]}
    quota = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": team}},
        "queueingStrategy": "BestEffortFIFO",  # a small job may start while a large one waits
        "preemption": {"withinClusterQueue": "LowerPriority"},
        "resourceGroups": [{"coveredResources": [GPU], "flavors": [flavor]}],
    }
    return [
        _object("ClusterQueue", team, quota, annotations=_DELETED_WITH_NAMESPACES),
        _object("LocalQueue", DEFAULT_QUEUE, {"clusterQueue": team}, namespace=team),
    ]


def _object(
    kind: str,
    name: str,
    spec: Manifest,
    *,
    namespace: str | None = None,
    annotations: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": kind,
        "metadata": metadata(name, namespace, annotations=annotations),
        "spec": dict(spec),
    }


def _configuration(kinds: Sequence[QueuedKind]) -> dict[str, Any]:
    """cert-manager makes the certificate of the webhooks, so the controller needs no right to change them."""
    return {
        "apiVersion": "config.kueue.x-k8s.io/v1beta2",
        "kind": "Configuration",
        "namespace": NAMESPACE,
        "health": {"healthProbeBindAddress": f":{_HEALTH}"},
        "metrics": {"bindAddress": f":{_METRICS}", "enableClusterQueueResources": True},
        "webhook": {"port": _PORT},
        "leaderElection": {"leaderElect": True, "resourceName": _LEASE},
        "internalCertManagement": {"enable": False},
        "integrations": {"frameworks": [kind.framework for kind in kinds]},
        "resources": {"excludeResourcePrefixes": ["cpu", "memory", "ephemeral-storage"]},
        "featureGates": {"MultiKueue": False, "TopologyAwareScheduling": False, "VisibilityOnDemand": False},
    }


def _rules(kinds: Sequence[QueuedKind]) -> list[Manifest]:
    queues = "clusterqueues localqueues cohorts admissionchecks"
    finalized = "clusterqueues localqueues admissionchecks resourceflavors workloads"
    found: list[Manifest] = [
        rule(GROUP, "workloads", f"{READ} create update patch delete"),
        rule(GROUP, f"{queues} resourceflavors", f"{READ} update"),
        rule(GROUP, _part(f"{queues} workloads", "status"), "update patch"),
        rule(GROUP, _part(finalized, "finalizers"), "update"),
        rule(GROUP, "workloadpriorityclasses topologies provisioningrequestconfigs"),
        rule("", "namespaces limitranges pods"),
        rule("", "events", "create patch"),
        rule("node.k8s.io", "runtimeclasses"),
        rule("scheduling.k8s.io", "priorityclasses"),
        # Who reads the metrics is asked of the API server.
        rule("authentication.k8s.io", "tokenreviews", "create"),
        rule("authorization.k8s.io", "subjectaccessreviews", "create"),
    ]
    for kind in kinds:
        found += [
            rule(kind.group, kind.plural, f"{READ} update patch"),
            rule(kind.group, f"{kind.plural}/status", "update patch"),
            rule(kind.group, f"{kind.plural}/finalizers", "update"),
        ]
    if TRAIN_JOB in kinds:
        found.append(rule(TRAIN_JOB.group, "trainingruntimes clustertrainingruntimes"))
    return found


def _part(resources: str, part: str) -> str:
    return " ".join(f"{resource}/{part}" for resource in resources.split())


def _webhook(group: str, version: str, singular: str, plural: str, *, mutating: bool = False) -> Webhook:
    what = "mutate" if mutating else "validate"
    return Webhook(
        name=f"{what[0]}{singular}.kb.io",
        path=f"/{what}-{group.replace('.', '-')}-{version}-{singular}",
        group=group,
        versions=version,
        resources=f"{plural} {plural}/status" if (singular, mutating) == ("workload", False) else plural,
        operations="CREATE" if mutating else "CREATE UPDATE",
        mutating=mutating,
    )
