"""The central dashboard of Kubeflow, release 2. https://github.com/kubeflow/dashboard"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from constructs import Construct

from charts.kit import workloads
from charts.kit.chart import ComponentChart
from charts.kit.kubeflow import DASHBOARD, GATEWAY, NAMESPACE, USER_HEADER
from charts.kit.objects import Manifest, config_map
from charts.kit.rbac import READ, rule
from charts.kit.security import run_as
from charts.kit.web_app import web_app

NAME = DASHBOARD.partition("/")[2]

_CONFIGURATION = "dashboard-config"
_USER = 1000
_HOME = {"link": "https://www.kubeflow.org/docs/", "text": "Kubeflow documentation", "desc": "How to use Kubeflow"}


def menu_item(text: str, link: str, icon: str = "") -> dict[str, Any]:
    """An entry of the dashboard's menu.

    :param link: path of a web application, such as ``/jupyter/``.
    :param icon: name of an icon, such as ``book``. Default: none, as in sections.
    """
    return {"type": "item", "text": text, "link": link, **({"icon": icon} if icon else {})}


def menu_section(text: str, icon: str, *items: Manifest) -> dict[str, Any]:
    """A section of the dashboard's menu with entries from :func:`menu_item`."""
    return {"type": "section", "text": text, "icon": icon, "items": list(items)}


class Dashboard(ComponentChart):
    """The dashboard: one entry point to the web applications of Kubeflow, and who may use which workspace.

    It answers whatever no other route of the gateway takes. It cannot read events: it would show those of any namespace
    to every caller.

    :param image: image of the dashboard.
    :param menu: entries from :func:`menu_item` and sections from :func:`menu_section`, in order.
    :param quick_links: path by the text of a link on the first page.
    :param sign_out: path that ends a person's session.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        image: str,
        menu: Sequence[Manifest],
        quick_links: Mapping[str, str],
        sign_out: str,
        placement: Manifest,
    ) -> None:
        super().__init__(scope, id)
        links = {
            "menuLinks": list(menu),
            "externalLinks": [],
            "quickLinks": [{"text": text, "link": link} for text, link in quick_links.items()],
            "documentationItems": [_HOME],
        }
        files = {
            "links": json.dumps(links, indent=2),
            "settings": json.dumps({"DASHBOARD_FORCE_IFRAME": True}),
        }
        container = workloads.container(
            NAME,
            image,
            env={
                "COLLECT_METRICS": "false",
                "DASHBOARD_CONFIGMAP": _CONFIGURATION,
                "LOGOUT_URL": sign_out,
                "POD_NAMESPACE": workloads.from_field("metadata.namespace"),
                "PROFILES_KFAM_SERVICE_HOST": f"profiles-kfam.{NAMESPACE}",
                "REGISTRATION_FLOW": "false",
                "USERID_HEADER": USER_HEADER,
                "USERID_PREFIX": "",
            },
            ports={"http": 8082},
            probes=workloads.http_probes("http", ready="/healthz", start_seconds=60),
            mounts={"/tmp": "scratch"},
            resources=workloads.resources(cpu="50m", memory="256Mi"),
        )
        self.add(
            config_map(_CONFIGURATION, NAMESPACE, files),
            *web_app(
                NAME,
                NAMESPACE,
                container,
                port=80,
                gateway=GATEWAY,
                prefix="/",
                cluster=[rule("", "namespaces nodes")],
                local=[
                    rule("", "pods pods/log", READ),
                    rule("", "configmaps", "get", names=[_CONFIGURATION]),
                ],
                placement=placement,
                volumes={"scratch": {"emptyDir": {}}},
                security=run_as(_USER),
            ),
        )
