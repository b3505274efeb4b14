"""The workflow controller of Argo, release 3.7, which runs the steps of Kubeflow's pipelines.

https://github.com/argoproj/argo-workflows/tree/v3.7.3
"""

import json
from typing import Any

from constructs import Construct

from charts.kit.chart import ComponentChart
from charts.kit.controller import Controller
from charts.kit.kubeflow import NAMESPACE, team_roles
from charts.kit.objects import Manifest, config_map
from charts.kit.rbac import ALL, READ, rule
from charts.kit.security import RESTRICTED_CONTAINER, run_as
from charts.kit.stores import ArtifactStore
from charts.kit.workloads import from_field, http_probes, resources

NAME = "workflow-controller"
GROUP = "argoproj.io"
_STEP_USER = 1000
"""As which steps run whose image and workflow name no user."""

_CONFIGURATION = "workflow-controller-configmap"
_USER = 8737  # of the controller's and the executor's image


def _with_finalizers(*kinds: str) -> str:
    return " ".join(f"{kind} {kind}/finalizers" for kind in kinds)


_RULES = [
    rule("", "pods", f"{READ} create update patch delete"),
    rule("", "pods/exec", "create"),  # a container is stopped by a command inside it
    rule("", "configmaps namespaces"),
    rule("", "persistentvolumeclaims persistentvolumeclaims/finalizers", "get create update delete"),
    rule("", "serviceaccounts", "get list"),
    rule("", "events", "create patch"),
    rule("policy", "poddisruptionbudgets", "get create delete"),
    rule(GROUP, _with_finalizers("workflows", "workflowtasksets"), ALL),
    rule(GROUP, "workflowartifactgctasks", ALL),
    rule(GROUP, _with_finalizers("workflowtemplates", "clusterworkflowtemplates")),
    rule(GROUP, "workflowtaskresults", "list watch deletecollection"),
    rule(GROUP, _with_finalizers("cronworkflows"), f"{READ} update patch delete"),
]


class ArgoWorkflows(ComponentChart):
    """The workflow controller. Workflows live in the namespaces of profiles; their pods pass the ``restricted`` level.

    :param controller_image: the controller's image.
    :param executor_image: runs next to each step, and stores its outputs and logs.
    :param artifacts: the bucket for outputs and logs.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        controller_image: str,
        executor_image: str,
        artifacts: ArtifactStore,
        placement: Manifest,
    ) -> None:
        super().__init__(scope, id)
        keys = [rule("", "secrets", "get", names=[artifacts.keys])] if artifacts.keys else []
        controller = Controller(
            name=NAME,
            namespace=NAMESPACE,
            image=controller_image,
            command=["workflow-controller"],
            args=["--configmap", _CONFIGURATION, "--executor-image", executor_image],
            env={"LEADER_ELECTION_IDENTITY": from_field("metadata.name")},
            resources=resources(cpu="100m", memory="512Mi"),
            cluster=_RULES,
            local=keys,
            ports={"metrics": 9090, "health": 6060},
            probes=http_probes("health", ready=None, period_seconds=30, start_seconds=90),
            security=run_as(_USER),
            placement=placement,
        )
        workflows = _with_finalizers("workflows", "workflowtemplates", "cronworkflows")
        self.add(
            config_map(_CONFIGURATION, NAMESPACE, _configuration(artifacts)),
            *controller.objects(),
            *team_roles(
                "argo",
                edit=[rule(GROUP, f"{workflows} workflowtaskresults", f"{ALL} deletecollection")],
                view=[rule(GROUP, f"{workflows} workflowtaskresults")],
            ),
        )


def _configuration(artifacts: ArtifactStore) -> dict[str, str]:
    """The controller reads YAML, of which JSON is a part."""
    secret: dict[str, Any] = {
        "accessKeySecret": {"name": artifacts.keys, "key": "accessKey"},
        "secretKeySecret": {"name": artifacts.keys, "key": "secretKey"},
    }
    repository = {
        "archiveLogs": True,
        "s3": {
            "endpoint": artifacts.endpoint,
            "bucket": artifacts.bucket,
            "region": artifacts.region,
            "insecure": not artifacts.secure,
            "keyFormat": artifacts.LOG_KEYS,
            **(secret if artifacts.keys else {"useSDKCreds": True}),
        },
    }
    executor = {
        "imagePullPolicy": "IfNotPresent",
        "resources": resources(cpu="50m", memory="64Mi", memory_limit="512Mi"),
        "securityContext": {
            **RESTRICTED_CONTAINER,
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    # Steps run any image, most of which name no user: where a workflow leaves it open, they run as this one.
    step = {"runAsNonRoot": True, "runAsUser": _STEP_USER, "seccompProfile": {"type": "RuntimeDefault"}}
    values: dict[str, Any] = {
        "workflowDefaults": {"spec": {"securityContext": {**step, "fsGroup": _STEP_USER}}},
        "mainContainer": {
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, **step}
        },
        "artifactRepository": repository,
        "executor": executor,
        "metricsConfig": {"enabled": True, "path": "/metrics", "port": 9090, "secure": False},
    }
    return {key: json.dumps(value, indent=2) for key, value in values.items()}
