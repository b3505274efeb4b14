"""istiod and its gateway by Istio's own charts with our values, and workloads behind them, on a real node."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import cdk8s
import pytest

from charts.catalog import Catalog
from charts.edge.istio.objects import Mesh
from charts.edge.istio.values import GATEWAY, NAMESPACE, gateway_values, istiod_values
from charts.kit import istio
from charts.kit.identity_gate import Machines, People, SigningKeys, TokenIssuer, identity_gate
from charts.kit.objects import namespace, selector
from charts.kit.workloads import service
from kubernetes_rehearsal import programs
from kubernetes_rehearsal.client import ApiClient
from kubernetes_rehearsal.interface import ADMINISTRATOR
from kubernetes_rehearsal.nodes import machine
from kubernetes_rehearsal.nodes.node import NodeSettings
from kubernetes_rehearsal.nodes.node_clusters import NodeClusters
from tests.kubernetes_rehearsal.helm_releases import ChartSource, Helm
from tests.kubernetes_rehearsal.mesh.meshes import HOST, MeshCluster, apply
from tests.kubernetes_rehearsal.mesh.tokens import ISSUER, PEOPLE, Signer

KEY, TOKEN = "000000000000/us-east-1/mesh", "administrator"
SHELL = "docker.io/library/busybox:1.36.1"
IMAGES = ("registry.istio.io/release/pilot:1.30.3", "registry.istio.io/release/proxyv2:1.30.3", SHELL)
SCOPE = "mlplatform/pipelines"
# Envoy without Istio's own filters, no plugin on the node that redirects traffic, and one replica of each.
REHEARSAL_VALUES: Mapping[str, Any] = {
    "env": {
        "PILOT_ENABLE_METADATA_EXCHANGE": "false",
        "PILOT_ENABLE_ALPN_FILTER": "false",
        "PILOT_DEBOUNCE_AFTER": "20ms",
    },
    "telemetry": {"enabled": False},
    "pilot": {"cni": {"enabled": False}},
    "autoscaleEnabled": False,
}
_READY_SECONDS = 180


@pytest.fixture(scope="session")
def signer() -> Signer:
    """The user pool's key pair."""
    return Signer()


@pytest.fixture(scope="session")
def platform_mesh() -> list[dict[str, Any]]:
    """The settings of the whole mesh, as every cluster gets them."""
    return list(Mesh(cdk8s.App(), "Mesh").to_json())


@pytest.fixture(scope="session")
def gate(signer: Signer) -> list[dict[str, Any]]:
    """The identity gate under test."""
    return identity_gate(
        "platform",
        hosts=[HOST],
        issuer=TokenIssuer(url=ISSUER, keys=SigningKeys.inline(signer.jwks)),
        people=People(clients=[PEOPLE]),
        machines=[Machines(scope=SCOPE, paths=["/pipeline/*"])],
    )


@pytest.fixture(scope="module")
def mesh(
    tmp_path_factory: pytest.TempPathFactory, platform_mesh: list[dict[str, Any]], gate: list[dict[str, Any]]
) -> Iterator[MeshCluster]:
    """The whole mesh; tests are skipped where its programs or the rights for nodes are missing."""
    lacks = [*machine.missing_parts(), *programs.missing_programs()]
    lacks += [image for image in IMAGES if programs.why_missing(image)]
    found = programs.node_programs()
    if lacks or not found:
        pytest.skip(f"the mesh needs {', '.join(lacks)}")
    clusters = NodeClusters(found, "1.35.4", programs.images())
    clusters.start(lambda token: ADMINISTRATOR if token == TOKEN else None)
    try:
        access = clusters.create_cluster(KEY, "1.35")
        clusters.set_nodes(KEY, [NodeSettings("node-1", cpus=8)])
        api = ApiClient(access, TOKEN)
        apply(api, namespace(NAMESPACE))
        _install(Helm(access, TOKEN, tmp_path_factory.mktemp("helm")))
        apply(api, *platform_mesh, *gate, *_workloads())
        pods = {
            "istiod": _pod(api, NAMESPACE, "app%3Distiod"),
            "gateway": _pod(api, NAMESPACE, "istio%3Dingressgateway"),
            **{app: _pod(api, space, f"app%3D{app}") for app, space in _PODS.items()},
        }
        cluster = MeshCluster(api, clusters.sandbox(KEY), pods)
        cluster.settle()
        yield cluster
        cluster.recorder.stop()
    finally:
        clusters.stop()


_PODS = {"workload": "apps", "neighbour": "apps", "stranger": "outside"}


def _install(helm: Helm) -> None:
    images = Catalog.load().images
    charts = ChartSource("istio", "istio.io/istio")
    for release, chart, values in (
        ("istio-base", "base", [{"defaultRevision": "default"}]),
        (
            "istiod",
            "istio-control/istio-discovery",
            [istiod_values(images=images, placement={}), REHEARSAL_VALUES],
        ),
        (GATEWAY, "gateway", [gateway_values(placement={}), {"autoscaling": {"enabled": False}}]),
    ):
        helm.install(release, charts.chart(f"manifests/charts/{chart}"), namespace=NAMESPACE, values=values)


def _workloads() -> list[dict[str, Any]]:
    """A workload behind the gateway that admits only that, a neighbour in the mesh, and a stranger outside of it."""
    return [
        namespace("apps", security="privileged", istio_injection="enabled"),  # the redirection needs rights here
        namespace("outside"),
        *({"apiVersion": "v1", "kind": "ServiceAccount", **_named(app, space)} for app, space in _PODS.items()),
        *(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": app, "namespace": space, "labels": {"app": app, **selector(app)}},
                "spec": {
                    "serviceAccountName": app,
                    "terminationGracePeriodSeconds": 0,
                    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [
                        {
                            "name": "main",
                            "image": SHELL,
                            "command": ["sleep", "9999"],
                            "securityContext": {
                                "runAsUser": 1000,
                                "allowPrivilegeEscalation": False,
                                "capabilities": {"drop": ["ALL"]},
                            },
                        }
                    ],
                },
            }
            for app, space in _PODS.items()
        ),
        service("workload", "apps", {"http": (80, 8080)}),
        istio.gateway("platform", NAMESPACE, hosts=[HOST]),
        istio.virtual_service(
            "workload", "apps", gateway=f"{NAMESPACE}/platform", prefix="/", port=80, rewrite=None, hosts=[HOST]
        ),
        istio.admits("workload", "apps", istio.GATEWAY_ACCOUNT),
    ]


def _named(name: str, space: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": space}}


def _pod(api: ApiClient, space: str, label: str) -> dict[str, Any]:
    """The one pod with a label, once it is ready."""
    until = time.monotonic() + _READY_SECONDS
    while True:
        pods = api.items(f"/api/v1/namespaces/{space}/pods?labelSelector={label}")
        ready = [
            pod
            for pod in pods
            for condition in pod.get("status", {}).get("conditions", [])
            if (condition["type"], condition["status"]) == ("Ready", "True")
        ]
        if ready:
            return ready[0]
        assert time.monotonic() < until, f"{space}/{label}: {[pod['status'] for pod in pods]}"
        time.sleep(0.3)
