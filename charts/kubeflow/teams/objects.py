"""The workspaces of teams: what their namespaces contain from the start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from constructs import Construct

from charts.kit.chart import ComponentChart
from charts.kit.istio import GATEWAY_NAMESPACE, GATEWAY_PODS
from charts.kit.kubeflow import (
    NAMESPACE,
    NOTEBOOK_CONTROLLER,
    PIPELINES_AUDIENCE,
    TEAM_LABEL,
    contributor,
    pod_default,
    profile,
)
from charts.kit.monitoring import METRICS_PORT, PROXY_METRICS_PORT, SPARK_PORT, scraped
from charts.kit.network import allow, deny_all, network_policy, pods_of
from charts.kit.objects import Manifest, metadata, namespace, selector
from charts.kit.rbac import service_account
from charts.kubeflow.teams.pod_security import team_pods

SERVICE_ACCOUNT = "default-editor"
"""As which notebooks, pipelines and jobs of a team run."""
STORAGE, TRAINING_DATA, SHARED_FILES = "platform-storage", "training-data", "shared-files"
PIPELINES = "pipelines-access"
"""PodDefaults, by the labels that ask for them."""
_LEAST_LUSTRE = "1200Gi"
"""The smallest file system. Kubernetes refuses to resize a claim whose volume was not provisioned for it, so claims
keep this size when the file system grows.

https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#persistentvolumeclaimresize
"""
NAMESPACE_LABELS: Mapping[str, str] = {
    **TEAM_LABEL,
    "katib.kubeflow.org/metrics-collector-injection": "enabled",
    "pipelines.kubeflow.org/enabled": "true",
    "serving.kubeflow.org/inferenceservice": "enabled",
    "pod-security.kubernetes.io/enforce": "baseline",  # the rest of `restricted` is a policy that knows TensorBoard
}

_KATIB, _SUGGESTIONS = "katib-controller", 6789
"""It asks the pods that search in the namespace of a team, at this port, which values to try next."""
_WITH_ITS_NAMESPACE = {"mlplatform-constructs/wave": "namespaces"}
"""A claim is deleted with its namespace. Alone, it would wait for pods that only the namespace's deletion stops."""


@dataclass(frozen=True, kw_only=True)
class Team:
    """A team as its namespace shows it.

    :param name: the namespace.
    :param owner: address of the person who decides in it.
    :param contributors: addresses of the others.
    :param quota: what its pods may request together, by resource.
    :param environment: variables of pods that ask for the platform's storage: Region, buckets, prefixes.
    :param service_account_annotations: by which pods get the team's AWS role.
    :param pod_annotations: of pods that ask for the platform's storage, for the same end.
    :param namespace_annotations: of the namespace, for the same end.
    """

    name: str
    owner: str
    contributors: Sequence[str] = ()
    quota: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    service_account_annotations: Mapping[str, str] = field(default_factory=dict)
    pod_annotations: Mapping[str, str] = field(default_factory=dict)
    namespace_annotations: Mapping[str, str] = field(default_factory=dict)


class Teams(ComponentChart):
    """The namespace, Profile, rights, network policies, claims and PodDefaults of each team.

    The namespace exists before its Profile, whose controller takes it over because it names the same owner. Connections
    from other teams are refused by network policy, calls by the mesh.

    :param teams: the teams.
    :param shared_class: storage class of files that several pods write. Default: none.
    :param training_data: whether a volume of the Lustre file system is reserved for each team's claim
        ``training-data``.
    :param tensorboard_image: image of the one server whose pods its controller leaves without a security context.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        teams: Sequence[Team],
        shared_class: str | None = None,
        training_data: bool = False,
        tensorboard_image: str,
    ) -> None:
        super().__init__(scope, id)
        self.add(*team_pods(tensorboard_image))
        for team in teams:
            self.add(
                _namespace(team),
                *_network(team.name),
                service_account(SERVICE_ACCOUNT, team.name, annotations=dict(team.service_account_annotations)),
                profile(team.name, owner=team.owner, quota=team.quota),
                _storage(team),
                _pipelines(team.name),
            )
            for email in team.contributors:
                self.add(*contributor(team.name, email))
            if shared_class:
                self.add(*_shared_files(team.name, shared_class))
            if training_data:
                self.add(*_training_data(team.name))


def _namespace(team: Team) -> dict[str, Any]:
    found = namespace(team.name, **{"istio-injection": "enabled"})
    about = found["metadata"]
    annotations = {"owner": team.owner, **team.namespace_annotations}
    labels = {**about["labels"], **NAMESPACE_LABELS}
    return {**found, "metadata": {**about, "labels": labels, "annotations": annotations}}


def _network(team: str) -> list[Manifest]:
    controller = NOTEBOOK_CONTROLLER.partition("/")[2]
    katib = pods_of(NAMESPACE, selector(_KATIB))
    peers = [
        {"podSelector": {}},
        pods_of(GATEWAY_NAMESPACE, GATEWAY_PODS),
        pods_of(NAMESPACE, selector(controller)),
    ]
    return [
        deny_all(team),
        network_policy("team-and-gateway", team, ingress=[allow(*peers, ports=[])]),
        network_policy("experiments", team, ingress=[allow(katib, ports=[_SUGGESTIONS])]),
        network_policy("metrics", team, ingress=[scraped(METRICS_PORT, PROXY_METRICS_PORT, SPARK_PORT)]),
    ]


def _storage(team: Team) -> Manifest:
    return pod_default(
        STORAGE,
        team.name,
        description="Buckets of the team in S3, by its AWS role",
        env=team.environment,
        annotations=team.pod_annotations,
        service_account=SERVICE_ACCOUNT,
    )


def _pipelines(team: str) -> Manifest:
    """A token that the API server of Pipelines takes for what the service account of the pod may do.

    The client of Pipelines reads its path from the variable, and sends a new token when the kubelet has renewed it.
    https://www.kubeflow.org/docs/components/pipelines/user-guides/core-functions/connect-api/
    """
    folder = "/var/run/secrets/kubeflow/pipelines"
    token = {"path": "token", "audience": PIPELINES_AUDIENCE, "expirationSeconds": 7200}
    return pod_default(
        PIPELINES,
        team,
        description="Pipelines, by the name of the team's service account",
        env={"KF_PIPELINES_SA_TOKEN_PATH": f"{folder}/token"},
        volumes={PIPELINES: {"projected": {"sources": [{"serviceAccountToken": token}]}}},
        mounts={folder: PIPELINES},
    )


def _shared_files(team: str, storage_class: str) -> list[Manifest]:
    size = "1Gi"  # EFS has no limit; Kubernetes wants one
    return [
        _claim(SHARED_FILES, team, storage_class, size),
        pod_default(
            SHARED_FILES,
            team,
            description="Files that all pods of the team share, at /mnt/shared (EFS)",
            volumes={SHARED_FILES: {"persistentVolumeClaim": {"claimName": SHARED_FILES}}},
            mounts={"/mnt/shared": SHARED_FILES},
        ),
    ]


def _training_data(team: str) -> list[Manifest]:
    return [
        _claim(TRAINING_DATA, team, TRAINING_DATA, _LEAST_LUSTRE),  # a volume is reserved for it
        pod_default(
            TRAINING_DATA,
            team,
            description="Features at high speed, at /mnt/training-data (FSx for Lustre)",
            volumes={TRAINING_DATA: {"persistentVolumeClaim": {"claimName": TRAINING_DATA}}},
            mounts={"/mnt/training-data": TRAINING_DATA},
        ),
    ]


def _claim(name: str, team: str, storage_class: str, size: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(name, team, annotations=_WITH_ITS_NAMESPACE),
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": storage_class,
            "resources": {"requests": {"storage": size}},
        },
    }
