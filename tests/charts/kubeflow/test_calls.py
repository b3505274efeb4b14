"""Does every part reach the parts that it calls? By the network, and by the mesh of each part that is in it.

The other half of ``test_isolation.py``. The calls are those of the programs' own sources. Nothing here runs: a call
that is missing in the list is not tested.
"""

from collections.abc import Mapping
from typing import Any

import cdk8s
import pytest

from charts.edge.istio.objects import Mesh
from charts.kubeflow.metadata_store.objects import BROWSER_METHODS, STEP_METHODS
from tests.charts.kubeflow.core import of_kind, place
from tests.charts.kubeflow.everything import everything
from tests.charts.kubeflow.tenancy import GATEWAY, Pod, Tenancy, added_by_controllers

TEAM, OWNER = "churn", "ben@example.com"


def platform() -> list[Any]:
    mesh = Mesh(cdk8s.App(outdir="/dev/null"), "Mesh").to_json()
    components = [one for found in everything().values() for one in found]
    return [*components, *mesh, *added_by_controllers(TEAM, OWNER)]


OBJECTS = platform()
TENANCY = Tenancy(OBJECTS)
WORKLOADS = {place(one): Pod.of(one) for one in of_kind(OBJECTS, "Deployment", "StatefulSet")}


def of_team(labels: Mapping[str, str], *, sidecar: bool = True) -> Pod:
    return Pod(TEAM, "default-editor", tuple(labels.items()), sidecar=sidecar)


PODS = {
    **{name.removeprefix("kubeflow/"): pod for name, pod in WORKLOADS.items()},
    "gateway": GATEWAY,
    "istiod": Pod("istio-system", "istiod", (("app", "istiod"),), sidecar=False),
    "notebook": of_team({"statefulset": "mine", "notebook-name": "mine"}),
    "tensorboard": of_team({"app": "mine"}),
    "viewer of volumes": of_team({"app.kubernetes.io/name": "pvcviewer"}),
    "viewer of a run": of_team({"app": "viewer", "viewer": "mine"}),
    "artifact proxy": WORKLOADS[f"{TEAM}/ml-pipeline-ui-artifact"],
    "step": of_team({"workflows.argoproj.io/workflow": "mine"}, sidecar=False),
    "suggestion": of_team({"katib.kubeflow.org/experiment": "mine"}, sidecar=False),
    "trial": of_team({"katib.kubeflow.org/trial": "mine"}, sidecar=False),
}
"""Pods by the name that the list below gives them: workloads of the platform by their own, without ``kubeflow/``."""
BY_PEOPLE = (
    ("dashboard", 8082),
    ("jupyter-web-app", 5000),
    ("volumes-web-app", 5000),
    ("tensorboards-web-app", 5000),
    ("ml-pipeline-ui", 3000),
    ("metadata-envoy-service", 9090),
    ("katib-ui", 8080),
    ("model-registry-ui", 8080),
    ("kubeflow-auth/dex", 5556),
    ("kubeflow-auth/oauth2-proxy", 4180),
    ("notebook", 8888),
    ("tensorboard", 6006),
    ("viewer of volumes", 8080),
)
"""What the gateway calls for a person."""
OF_RUNS = (
    ("ml-pipeline-ui", "ml-pipeline", 8888),
    ("ml-pipeline-ui", "artifact proxy", 3000),
    ("ml-pipeline-ui", "viewer of a run", 6006),
)
"""What the page of Pipelines calls for a person."""
CALLS = (
    ("dashboard", "profiles-kfam", 8081),
    ("kubeflow-auth/oauth2-proxy", "kubeflow-auth/dex", 5556),
    ("istiod", "kubeflow-auth/dex", 5556),
    ("ml-pipeline-persistenceagent", "ml-pipeline", 8888),
    ("ml-pipeline-persistenceagent", "ml-pipeline", 8887),
    ("ml-pipeline-scheduledworkflow", "ml-pipeline", 8888),
    ("ml-pipeline-scheduledworkflow", "ml-pipeline", 8887),
    ("ml-pipeline", "mysql", 3306),
    ("ml-pipeline", "seaweedfs", 8333),
    ("metadata-grpc-server", "mysql", 3306),
    ("notebook", "ml-pipeline", 8888),
    ("step", "ml-pipeline", 8887),
    ("step", "seaweedfs", 8333),
    ("artifact proxy", "seaweedfs", 8333),
    ("katib-controller", "suggestion", 6789),
    ("katib-controller", "katib-db-manager", 6789),
    ("katib-ui", "katib-db-manager", 6789),
    ("trial", "katib-db-manager", 6789),
)
"""What parts call in their own name."""


@pytest.mark.parametrize(("target", "port"), BY_PEOPLE)
def test_a_person_reaches_every_page(target: str, port: int) -> None:
    assert TENANCY.reaches(GATEWAY, PODS[target], port, user=OWNER)


@pytest.mark.parametrize(("source", "target", "port"), OF_RUNS)
def test_the_page_of_runs_reaches_what_it_shows(source: str, target: str, port: int) -> None:
    assert TENANCY.reaches(PODS[source], PODS[target], port, user=OWNER)


@pytest.mark.parametrize(("source", "target", "port"), CALLS)
def test_every_part_reaches_the_parts_that_it_calls(source: str, target: str, port: int) -> None:
    assert TENANCY.reaches(PODS[source], PODS[target], port)


@pytest.mark.parametrize(
    ("source", "methods"), [("step", STEP_METHODS), ("metadata-envoy-service", BROWSER_METHODS)], ids=lambda one: one
)
def test_the_metadata_store_answers_steps_and_browsers(source: str, methods: tuple[str, ...]) -> None:
    for name in methods:
        path = f"/ml_metadata.MetadataStoreService/{name}"
        assert TENANCY.reaches(PODS[source], PODS["metadata-grpc-server"], 8080, path=path), name


def test_the_controller_of_notebooks_asks_notebooks_whether_they_are_idle() -> None:
    path = f"/notebook/{TEAM}/mine/api/kernels"
    assert TENANCY.reaches(PODS["notebook-controller"], PODS["notebook"], 8888, path=path)


def services() -> dict[str, Any]:
    return {place(one): one["spec"] for one in of_kind(OBJECTS, "Service")}


def test_the_api_server_reaches_every_webhook() -> None:
    """It is outside of the mesh and has no address that a policy could name."""
    api_server = Pod("", "", sidecar=False)
    hooks = of_kind(OBJECTS, "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
    called = [hook["clientConfig"]["service"] for one in hooks for hook in one["webhooks"]]
    targets = {f"{service['namespace']}/{service['name']}" for service in called}
    assert len(targets) > 8
    for name in targets:
        spec = services()[name]
        (wanted,) = [port["targetPort"] for port in spec["ports"] if port["port"] == 443]
        (pod,) = {one for one in WORKLOADS.values() if _selected(one, name.partition("/")[0], spec)}
        assert TENANCY.reaches(api_server, pod, dict(pod.ports).get(wanted, wanted)), name


def _selected(pod: Pod, namespace: str, service: Any) -> bool:
    return pod.namespace == namespace and service["selector"].items() <= dict(pod.labels).items()


def test_every_part_of_the_mesh_that_has_a_service_admits_somebody() -> None:
    """The mesh refuses every call that no policy allows."""
    closed = []
    for name, spec in services().items():
        for pod in [one for one in WORKLOADS.values() if _selected(one, name.partition("/")[0], spec)]:
            wanted = [dict(pod.ports).get(port["targetPort"], port["targetPort"]) for port in spec["ports"]]
            if pod.sidecar and not set(wanted) <= set(pod.outside) and not _is_admitted(pod):
                closed.append(name)
    assert closed == []


def _is_admitted(pod: Pod) -> bool:
    """Whether a policy other than the mesh's default selects it."""
    return any(
        one["spec"].get("selector", {}).get("matchLabels", {}).items() <= dict(pod.labels).items()
        for one in of_kind(OBJECTS, "AuthorizationPolicy")
        if one["metadata"]["namespace"] == pod.namespace and one["spec"].get("rules")
    )


@pytest.mark.parametrize(
    ("kind", "name", "source", "target", "port"),
    [
        ("AuthorizationPolicy", "kubeflow/katib-db-manager", "trial", "katib-db-manager", 6789),
        ("PeerAuthentication", "kubeflow/katib-db-manager", "trial", "katib-db-manager", 6789),
        ("NetworkPolicy", f"{TEAM}/experiments", "katib-controller", "suggestion", 6789),
        ("NetworkPolicy", f"{TEAM}/viewers", "ml-pipeline-ui", "viewer of a run", 6006),
    ],
)
def test_without_its_policy_a_call_does_not_arrive(kind: str, name: str, source: str, target: str, port: int) -> None:
    """Or the answers above would be worth nothing."""
    left = [one for one in OBJECTS if (one["kind"], place(one)) != (kind, name)]
    assert len(left) == len(OBJECTS) - 1
    assert not Tenancy(left).reaches(PODS[source], PODS[target], port, user=OWNER)


@pytest.mark.parametrize(
    ("source", "target", "port"),
    [("step", "katib-db-manager", 8080), ("notebook", "mysql", 3306), ("trial", "ml-pipeline", 9999)],
)
def test_other_calls_do_not_arrive(source: str, target: str, port: int) -> None:
    assert not TENANCY.reaches(PODS[source], PODS[target], port)
