"""What pods of teams may be, asked of a real API server: the restricted level, but for TensorBoard."""

import copy
import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kubernetes_rehearsal.binaries import find
from kubernetes_rehearsal.client import ApiClient, ApiFailure
from kubernetes_rehearsal.interface import ADMINISTRATOR
from kubernetes_rehearsal.kube_apiserver import KubeApiServer
from kubernetes_rehearsal.objects import collection_of
from tests.charts.kubeflow import runs
from tests.charts.kubeflow.core import CATALOG, charts, notebook, of_kind
from tests.kubernetes_rehearsal.kubernetes_apis import offer

FOUND = find(os.environ)
pytestmark = pytest.mark.skipif(not FOUND, reason="kube-apiserver is not built; run make kube-apiserver")
POLICY = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")

RESTRICTED = {
    "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {
            "name": "main",
            "image": "example.com/any:1",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
    ],
}
TENSORBOARD = {
    "containers": [
        {
            "name": "tensorboard",
            "image": CATALOG.images.reference("tensorboard"),
            "command": ["/usr/local/bin/tensorboard"],
            "args": ["--logdir=s3://artifacts/churn"],
        }
    ]
}


def pod(spec: Any, namespace: str) -> dict[str, Any]:
    quiet = {**spec, "automountServiceAccountToken": False}
    quiet.pop("serviceAccountName", None)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one", "namespace": namespace}, "spec": quiet}


def changed_container(**changes: Any) -> dict[str, Any]:
    made = copy.deepcopy(RESTRICTED)
    made["containers"][0]["securityContext"].update(changes)  # type: ignore[index]
    return made


@pytest.mark.promise("team-namespaces")
@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({**RESTRICTED, "securityContext": {"runAsNonRoot": True}}, "seccompProfile"),
        ({**RESTRICTED, "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}}, "runAsNonRoot"),
        (changed_container(runAsUser=0), "runAsNonRoot"),
        (changed_container(allowPrivilegeEscalation=True), "allowPrivilegeEscalation"),
        (changed_container(capabilities={"drop": ["NET_RAW"]}), "capabilities"),
        (changed_container(capabilities={"drop": ["ALL"], "add": ["SYS_TIME"]}), "capabilities|Security"),
        ({**RESTRICTED, "volumes": [{"name": "v", "nfs": {"server": "s", "path": "/"}}]}, "volumes"),
        ({**TENSORBOARD, "initContainers": [{"name": "i", "image": "example.com/any:1"}]}, "allowPrivilegeEscalation"),
        (
            {"containers": [{**TENSORBOARD["containers"][0], "command": ["/bin/sh"]}]},  # type: ignore[dict-item]
            "allowPrivilegeEscalation",
        ),
        (
            {"containers": [{**TENSORBOARD["containers"][0], "image": "example.com/tensorflow:2"}]},
            "allowPrivilegeEscalation",
        ),
    ],
)
def test_a_pod_of_a_team_below_the_restricted_level_is_refused(api: ApiClient, spec: Any, said: str) -> None:
    with pytest.raises(ApiFailure, match=said):
        offer(api, pod(spec, "churn"))


@pytest.mark.promise("team-namespaces")
@pytest.mark.parametrize("spec", [RESTRICTED, TENSORBOARD, changed_container(runAsUser=5)])
def test_a_pod_of_a_team_at_the_restricted_level_is_accepted_and_so_is_tensorboard(api: ApiClient, spec: Any) -> None:
    assert offer(api, pod(spec, "churn")) == "Pod"


@pytest.fixture(scope="module")
def api() -> Iterator[ApiClient]:
    """A cluster with the namespaces of teams, one without a team, and the policy in force."""
    server = KubeApiServer(FOUND)
    server.start(lambda given: ADMINISTRATOR if given == "token" else None)
    try:
        client = ApiClient(server.create_cluster("test", FOUND[-1].minor), "token")
        objects = charts()["kubeflow/teams"].to_json()
        for found in [*of_kind(objects, "Namespace", *POLICY), {"kind": "Namespace", "metadata": {"name": "other"}}]:
            client.request("POST", collection_of(client, {"apiVersion": "v1", **found}), found)
        wait_for_policy(client)
        yield client
        client.close()
    finally:
        server.stop()


def wait_for_policy(api: ApiClient) -> None:
    """The API server takes seconds until a policy is in force."""
    for _ in range(60):
        try:
            offer(api, pod(changed_container(allowPrivilegeEscalation=True), "churn"))
        except ApiFailure:
            return
        time.sleep(0.5)
    raise AssertionError("the policy is not in force after 30 s")


@pytest.mark.promise("notebooks")
def test_a_notebook_of_the_page_passes(api: ApiClient) -> None:
    assert offer(api, pod(notebook()["spec"]["template"]["spec"], "churn")) == "Pod"


def test_the_viewer_of_volumes_passes_the_policy_of_teams(api: ApiClient) -> None:
    (found,) = of_kind(charts()["kubeflow/volumes_web_app"].to_json(), "ConfigMap")
    viewer = json.loads(found["data"]["viewer-spec.yaml"].replace("$NAMESPACE", "churn").replace("$NAME", "disk"))
    assert offer(api, pod(viewer["podSpec"], "churn")) == "Pod"


def workflow_settings() -> dict[str, Any]:
    """What the workflow controller adds to pods."""
    (found,) = of_kind(runs.charts(runs.BUCKET, runs.rds)["argo"].to_json(), "ConfigMap")
    return {key: json.loads(value) for key, value in found["data"].items()}


def step(*, of_workflow: Any, main: Any) -> dict[str, Any]:
    """The pod of a step whose image names no user, between the containers of the executor."""
    executor = {
        "image": "example.com/executor:1",
        "securityContext": workflow_settings()["executor"]["securityContext"],
    }
    spec = {
        "securityContext": of_workflow,
        "initContainers": [{"name": "init", **executor}],
        "containers": [
            {"name": "wait", **executor},
            {"name": "main", "image": "docker.io/library/python:3.12", "securityContext": main},
        ],
    }
    return pod(spec, "churn")


def by_argo() -> tuple[Any, Any]:
    settings = workflow_settings()
    return settings["workflowDefaults"]["spec"]["securityContext"], settings["mainContainer"]["securityContext"]


def by_pipelines() -> tuple[Any, Any]:
    """Pipelines replaces what the controller would add, and takes the user from variables of its API server."""
    deployments = of_kind(runs.charts(runs.BUCKET, runs.rds)["pipelines"].to_json(), "Deployment")
    (api,) = [one for one in deployments if one["metadata"]["name"] == "ml-pipeline"]
    variables = api["spec"]["template"]["spec"]["containers"][0]["env"]
    default = {one["name"].removeprefix("DEFAULT_SECURITY_CONTEXT_"): one.get("value") for one in variables}
    seccomp = {"seccompProfile": {"type": "RuntimeDefault"}}
    main = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsUser": int(default["RUN_AS_USER"]),
        "runAsNonRoot": default["RUN_AS_NON_ROOT"] == "true",
        **seccomp,
    }
    return seccomp, main


@pytest.mark.promise("team-namespaces")
@pytest.mark.parametrize("settings", [by_argo, by_pipelines])
def test_a_step_of_any_image_passes(api: ApiClient, settings: Callable[[], tuple[Any, Any]]) -> None:
    of_workflow, main = settings()
    assert offer(api, step(of_workflow=of_workflow, main=main)) == "Pod"


@pytest.mark.parametrize("settings", [by_argo, by_pipelines])
def test_without_the_settings_of_steps_it_would_be_refused(
    api: ApiClient, settings: Callable[[], tuple[Any, Any]]
) -> None:
    _, main = settings()
    with pytest.raises(ApiFailure, match="allowPrivilegeEscalation"):
        offer(api, step(of_workflow={}, main={}))
    with pytest.raises(ApiFailure, match="runAsNonRoot"):
        offer(api, step(of_workflow={}, main={**main, "runAsNonRoot": False}))


def test_the_tensorboard_of_a_run_passes(api: ApiClient) -> None:
    """As its controller makes it of the template of the web page."""
    found = runs.charts(runs.BUCKET, runs.rds)["pipelines"].to_json()
    (settings,) = [one for one in of_kind(found, "ConfigMap") if "viewer-pod-template.json" in one["data"]]
    spec = json.loads(settings["data"]["viewer-pod-template.json"])["spec"]
    (server,) = spec["containers"]
    image = "docker.io/tensorflow/tensorflow:2.20.0"
    assert offer(api, pod({**spec, "containers": [{**server, "image": image}]}, "churn")) == "Pod"


def test_the_proxy_of_artifacts_passes(api: ApiClient) -> None:
    for artifacts in (runs.BUCKET, runs.IN_CLUSTER):
        (found,) = of_kind(runs.profile("churn", artifacts).to_json(), "Deployment")
        assert offer(api, pod(found["spec"]["template"]["spec"], "churn")) == "Pod"


def test_namespaces_without_a_team_keep_their_own_level(api: ApiClient) -> None:
    assert offer(api, pod({"containers": [{"name": "any", "image": "example.com/any:1"}]}, "other")) == "Pod"
