"""Grafana with data sources and dashboards as code.

https://grafana.com/docs/grafana/latest/setup-grafana/configure-grafana/
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from constructs import Construct

from charts.kit import istio, network, workloads
from charts.kit.chart import ComponentChart
from charts.kit.monitoring import GRAFANA, NAMESPACE, NO_SIDECAR, PROMETHEUS_URL, scraped, service_monitor
from charts.kit.objects import Manifest, config_map
from charts.kit.rbac import service_account
from charts.kit.security import run_as
from charts.monitoring.grafana.dashboard_files import dashboards

PATH = "/grafana/"

_USER = 472  # of the image, which names it by text
_PORT = 3000
_CONFIGURATION = "grafana"
_FOLDERS = {
    "settings": "/etc/settings",
    "datasources": "/etc/provisioning/datasources",
    "providers": "/etc/provisioning/dashboards",
    "dashboards": "/etc/dashboards",
}


@dataclass(frozen=True)
class Entry:
    """How people reach Grafana. Create it by :meth:`gateway` or :meth:`forwarded_port`."""

    settings: Mapping[str, Mapping[str, str]]
    gateway_name: str | None = None

    @classmethod
    def gateway(cls, name: str, *, user_header: str) -> Self:
        """Through a gateway of the mesh behind an identity gate, under ``/grafana/``.

        The gate writes the verified address of the person into ``user_header``; only the gateway may call the pods,
        so nothing else can write that header.

        :param name: ``<namespace>/<name>`` of the Gateway.
        """
        proxy = {
            "enabled": "true",
            "header_name": user_header,
            "header_property": "username",
            "auto_sign_up": "true",
            "enable_login_token": "false",
        }
        return cls({"auth.proxy": proxy}, name)

    @classmethod
    def forwarded_port(cls) -> Self:
        """By ``kubectl port-forward`` only, for people with that right in the namespace. No pod can connect."""
        return cls({"auth.anonymous": {"enabled": "true", "org_role": "Viewer"}})


@dataclass(frozen=True, kw_only=True)
class ManagedPrometheus:
    """A workspace of Amazon Managed Service for Prometheus as a second data source.

    Requests are signed by the role of the service account ``grafana``, which needs ``aps:QueryMetrics`` and the other
    reading actions.

    :param url: of the workspace, without ``/api/v1``.
    """

    url: str
    region: str


class Grafana(ComponentChart):
    """Two Grafanas without state: every dashboard and data source is code, and everybody is a viewer.

    There is no administrator, no password and no session; a change of a dashboard is a deployment.

    :param image: image of Grafana.
    :param entry: how people reach it.
    :param managed: Default: only this cluster's Prometheus.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        image: str,
        entry: Entry,
        managed: ManagedPrometheus | None = None,
        placement: Manifest,
    ) -> None:
        super().__init__(scope, id)
        found = dashboards()
        files = {
            "grafana.ini": _ini(_settings(entry, sign=managed is not None)),
            "datasources.yaml": json.dumps(_datasources(managed), indent=1),  # JSON is YAML
            "providers.yaml": json.dumps(_PROVIDERS, indent=1),
        }
        container = workloads.container(
            GRAFANA,
            image,
            env={
                "GF_PATHS_CONFIG": f"{_FOLDERS['settings']}/grafana.ini",
                "GF_PATHS_PROVISIONING": "/etc/provisioning",
            },
            ports={"http": _PORT},
            probes=workloads.http_probes("http", live="/api/health", ready="/api/health", start_seconds=120),
            mounts={
                **{folder: name for name, folder in _FOLDERS.items()},
                "/var/lib/grafana": "data",
                "/tmp": "scratch",
            },
            read_only=list(_FOLDERS.values()),
            resources=workloads.resources(cpu="50m", memory="512Mi"),
        )
        pod = workloads.pod(
            container,
            service_account=GRAFANA,
            automountServiceAccountToken=False,
            volumes={
                "settings": _part("grafana.ini"),
                "datasources": _part("datasources.yaml"),
                "providers": _part("providers.yaml"),
                "dashboards": {"projected": {"sources": [{"configMap": {"name": _map_of(uid)}} for uid in found]}},
                "data": {"emptyDir": {}},
                "scratch": {"emptyDir": {}},
            },
            security=run_as(_USER),
            placement=placement,
        )
        checksum = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
        sidecar = {"sidecar.istio.io/inject": "true"} if entry.gateway_name else NO_SIDECAR
        self.add(
            config_map(_CONFIGURATION, NAMESPACE, files),
            *(config_map(_map_of(uid), NAMESPACE, {f"{uid}.json": json.dumps(one)}) for uid, one in found.items()),
            service_account(GRAFANA, NAMESPACE),
            workloads.deployment(
                GRAFANA,
                NAMESPACE,
                pod,
                pod_labels=sidecar,
                pod_annotations={"mlplatform/settings": checksum[:16]},  # they are read at the start only
            ),
            workloads.service(GRAFANA, NAMESPACE, {"http": (80, "http")}),
            workloads.disruption_budget(GRAFANA, NAMESPACE),
        )
        if entry.gateway_name:
            peers = network.pods_of(istio.GATEWAY_NAMESPACE, istio.GATEWAY_PODS)
            self.add(
                network.takes(GRAFANA, NAMESPACE, network.allow(peers, ports=["http"]), scraped(15090)),
                istio.admits(GRAFANA, NAMESPACE, istio.GATEWAY_ACCOUNT),
                istio.virtual_service(
                    GRAFANA, NAMESPACE, gateway=entry.gateway_name, prefix=PATH, port=80, rewrite=None
                ),
            )
        else:
            self.add(network.takes(GRAFANA, NAMESPACE, scraped("http")), service_monitor(GRAFANA, NAMESPACE, "http"))


def _map_of(uid: str) -> str:
    return f"grafana-dashboard-{uid}"


def _part(file: str) -> dict[str, Any]:
    return {"configMap": {"name": _CONFIGURATION, "items": [{"key": file, "path": file}]}}


_PROVIDERS = {
    "apiVersion": 1,
    "providers": [
        {
            "name": "platform",
            "folder": "Platform",
            "type": "file",
            "allowUiUpdates": False,
            "disableDeletion": True,
            "options": {"path": _FOLDERS["dashboards"]},
        }
    ],
}


def _datasources(managed: ManagedPrometheus | None) -> dict[str, Any]:
    sources: list[dict[str, Any]] = [
        {
            "name": "Prometheus",
            "uid": "prometheus",
            "type": "prometheus",
            "access": "proxy",
            "url": PROMETHEUS_URL,
            "isDefault": True,
            "editable": False,
            "jsonData": {"timeInterval": "30s", "httpMethod": "POST"},
        }
    ]
    if managed:
        signing = {"sigV4Auth": True, "sigV4AuthType": "default", "sigV4Region": managed.region}
        sources.append(
            {
                "name": "All clusters",
                "uid": "managed-prometheus",
                "type": "prometheus",
                "access": "proxy",
                "url": managed.url,
                "editable": False,
                "jsonData": {"timeInterval": "30s", "httpMethod": "POST", **signing},
            }
        )
    return {"apiVersion": 1, "datasources": sources}


def _settings(entry: Entry, *, sign: bool) -> dict[str, Mapping[str, str]]:
    off = {"enabled": "false"}
    return {
        "server": {
            "http_port": str(_PORT),
            "root_url": f"%(protocol)s://%(domain)s{PATH}",
            "serve_from_sub_path": "true",
        },
        "analytics": {"reporting_enabled": "false", "check_for_updates": "false", "check_for_plugin_updates": "false"},
        "auth": {"disable_login_form": "true", **({"sigv4_auth_enabled": "true"} if sign else {})},
        "auth.basic": off,
        "dashboards": {"default_home_dashboard_path": f"{_FOLDERS['dashboards']}/cluster.json"},
        "date_formats": {"default_timezone": "UTC"},
        "log": {"mode": "console", "level": "warn"},
        "log.console": {"format": "json"},
        "news": {"news_feed_enabled": "false"},
        "plugins": {"preinstall_disabled": "true", "plugin_admin_enabled": "false"},
        "public_dashboards": off,
        "security": {
            "disable_initial_admin_creation": "true",
            "disable_gravatar": "true",
            "cookie_secure": "true",
            "content_security_policy": "true",
        },
        "snapshots": {"enabled": "false", "external_enabled": "false"},
        "unified_alerting": off,  # Alertmanager notifies
        "users": {"allow_sign_up": "false", "auto_assign_org_role": "Viewer", "viewers_can_edit": "false"},
        **entry.settings,
    }


def _ini(settings: Mapping[str, Mapping[str, str]]) -> str:
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())
        for name, values in settings.items()
    )
