"""Charts for Helm in place of ones that could not be fetched.

A stand-in brings what the platform's own objects rely on: definitions and Services of the real names, and workloads
that run nothing, so that waiting for them ends. It takes any values and judges none.
"""

import json
from pathlib import Path
from typing import Any

from charts.definitions import DEFINITIONS

Object = dict[str, Any]

_RELEASE, _NAMESPACE = "{{ .Release.Name }}", "{{ .Release.Namespace }}"
_IMAGE = "rehearsal.invalid/nothing:0"  # no pod ever asks for it
_NEVER = {"rehearsal.invalid/node": "none"}
_KEPT = {"helm.sh/resource-policy": "keep"}
"""The real charts of these keep their definitions when they go."""


def has_stand_in(chart: str) -> bool:
    """Whether there is one in place of the chart."""
    return chart in _OBJECTS


def write(chart: str, version: str, folder: Path) -> None:
    """Write the stand-in of ``chart``.

    :param version: the real chart's.
    :param folder: of the chart, which must not be there yet.
    """
    templates = folder / "templates"
    templates.mkdir(parents=True)
    about = {
        "apiVersion": "v2",
        "name": chart,
        "version": version,
        "description": "Stands in for a chart that could not be fetched",
    }
    (folder / "Chart.yaml").write_text(json.dumps(about), encoding="utf-8")
    # Indented, so that no two braces meet, which would begin a template.
    objects = [json.dumps(found, indent=1) for found in _OBJECTS[chart]]
    (templates / "objects.yaml").write_text("\n---\n".join(objects), encoding="utf-8")


def _object(api_version: str, kind: str, name: str, /, **fields: Any) -> Object:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name, "namespace": _NAMESPACE, "labels": {"app.kubernetes.io/instance": _RELEASE}},
        **fields,
    }


def _pods(name: str) -> Object:
    labels = {"app": name}
    containers = [{"name": "nothing", "image": _IMAGE}]
    return {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": containers, "nodeSelector": _NEVER}},
    }


def _deployment(name: str) -> Object:
    return _object("apps/v1", "Deployment", name, spec={"replicas": 0, **_pods(name)})


def _daemon_set(name: str) -> Object:
    return _object("apps/v1", "DaemonSet", name, spec=_pods(name))


def _service(name: str, selector: str, /, **ports: int) -> Object:
    listed = [{"name": port.replace("_", "-"), "port": number} for port, number in ports.items()]
    return _object("v1", "Service", name, spec={"selector": {"app": selector}, "ports": listed})


def _cluster_wide(api_version: str, kind: str, name: str, /, **fields: Any) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **fields}


def _definitions(chart: str, annotations: dict[str, str] | None = None) -> list[Object]:
    return [
        {**found, "metadata": {**found["metadata"], **({"annotations": annotations} if annotations else {})}}
        for found in DEFINITIONS[chart]
    ]


_CONTROLLER = "aws-load-balancer-controller"
_OBJECTS: dict[str, list[Object]] = {
    _CONTROLLER: [
        *_definitions(_CONTROLLER, _KEPT),
        _deployment(_CONTROLLER),
        _service("aws-load-balancer-webhook-service", _CONTROLLER, webhook_server=443),
        _cluster_wide("networking.k8s.io/v1", "IngressClass", "alb", spec={"controller": "ingress.k8s.aws/alb"}),
    ],
    "base": _definitions("base", _KEPT),
    "cni": [_daemon_set("istio-cni-node")],
    "istiod": [
        _deployment("istiod"),
        _service("istiod", "istiod", grpc_xds=15010, https_dns=15012, https_webhook=443, http_monitoring=15014),
    ],
    "gateway": [
        _deployment(_RELEASE),
        _service(_RELEASE, _RELEASE, status_port=15021, http2=80, https=443),
    ],
    "karpenter": [_deployment("karpenter"), _service("karpenter", "karpenter", http_metrics=8080)],
    "karpenter-crd": _definitions("karpenter-crd"),
}
