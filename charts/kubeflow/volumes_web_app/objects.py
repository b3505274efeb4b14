"""The web application for volumes of Kubeflow Notebooks 1.11. https://github.com/kubeflow/notebooks"""

import json
from typing import Any

from constructs import Construct

from charts.kit.chart import ComponentChart
from charts.kit.kubeflow import NAMESPACE, crud_web_app, team_roles
from charts.kit.objects import Manifest, config_map
from charts.kit.rbac import rule
from charts.kit.security import RESTRICTED_CONTAINER, run_as
from charts.kit.workloads import container, pod, resources, tcp_probes

NAME = "volumes-web-app"
PREFIX = "/volumes"
VIEWERS = "/pvcviewers"
"""Path of the viewers of volumes at the gateway."""

_VIEWER = "volumes-web-app-viewer"
_FILE = "viewer-spec.yaml"
_USER = 1000  # of notebooks, whose files it shows
_CLUSTER_RULES = [
    rule("", "namespaces pods", "get list"),
    rule("", "persistentvolumeclaims", "get list watch create delete patch update"),
    rule("", "events", "list"),
    rule("storage.k8s.io", "storageclasses"),
    rule("kubeflow.org", "notebooks", "list"),
    rule("kubeflow.org", "pvcviewers", "get list create delete"),
]


class VolumesWebApp(ComponentChart):
    """The page on which people create, delete and look into the volumes of their team.

    :param image: the application's image.
    :param viewer_image: image of the file browser that runs in the team's namespace, one for each volume looked into.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(self, scope: Construct, id: str, *, image: str, viewer_image: str, placement: Manifest) -> None:
        super().__init__(scope, id)
        viewer = json.dumps(_viewer(viewer_image), indent=2)  # the application reads YAML
        self.add(
            config_map(_VIEWER, NAMESPACE, {_FILE: viewer}),
            *crud_web_app(
                NAME,
                image=image,
                prefix=PREFIX,
                env={"VOLUME_VIEWER_IMAGE": viewer_image},
                cluster=_CLUSTER_RULES,
                mounts={f"/etc/config/{_FILE}": f"viewer/{_FILE}"},
                volumes={"viewer": {"configMap": {"name": _VIEWER}}},
                placement=placement,
            ),
            *team_roles(
                "volume-page",
                edit=[rule("kubeflow.org", "pvcviewers", "create delete")],
                view=[rule("kubeflow.org", "pvcviewers", "get list"), rule("storage.k8s.io", "storageclasses")],
            ),
        )


def _viewer(image: str) -> dict[str, Any]:
    """The spec of a PVCViewer; the application fills in ``$NAME`` and ``$NAMESPACE``."""
    browser = container(
        "main",
        image,
        env={
            "FB_ADDRESS": "0.0.0.0",
            "FB_BASEURL": f"{VIEWERS}/$NAMESPACE/$NAME/",
            "FB_DATABASE": "/tmp/filebrowser.db",
            "FB_NOAUTH": "true",
            "FB_PORT": "8080",
        },
        ports={"http": 8080},
        probes=tcp_probes("http"),
        mounts={"/srv": "volume", "/tmp": "scratch"},
        resources=resources(cpu="50m", memory="128Mi"),
        security=RESTRICTED_CONTAINER,
        workingDir="/srv",
    )
    volumes: dict[str, Manifest] = {
        "volume": {"persistentVolumeClaim": {"claimName": "$NAME"}},
        "scratch": {"emptyDir": {}},
    }
    return {
        "pvc": "$NAME",
        "podSpec": pod(browser, volumes=volumes, security=run_as(_USER, 100)),
        "networking": {"targetPort": 8080, "basePrefix": VIEWERS, "rewrite": "/", "timeout": "30s"},
        "rwoScheduling": True,
    }
