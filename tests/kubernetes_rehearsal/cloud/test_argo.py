"""Argo itself runs a team's workflow, and the steps archive their logs in S3 as the team's role."""

from typing import Any

import cdk8s
import pytest
from aws_cdk import CfnOutput, RemovalPolicy
from aws_cdk import aws_s3 as s3

from charts.catalog import Catalog
from charts.kit.objects import namespace
from charts.kit.rbac import account_subject, binding, service_account
from charts.kit.stores import ArtifactStore
from charts.kubeflow.argo_workflows.objects import ArgoWorkflows
from kubernetes_rehearsal import programs
from kubernetes_rehearsal.proofs.components import Component, install
from tests.kubernetes_rehearsal.cloud.clouds import REGION, SHELL, CloudCluster, new_stack, pod_role

TEAM, ACCOUNT = "churn", "default-editor"
WORKFLOW = f"/apis/argoproj.io/v1alpha1/namespaces/{TEAM}/workflows/steps"
_SECONDS = 120


def _step(name: str, command: str, **more: Any) -> dict[str, Any]:
    restricted = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    container = {"image": SHELL, "command": ["sh", "-c"], "args": [command], "securityContext": restricted}
    return {"name": name, "container": container, **more}


def _workflow() -> dict[str, Any]:
    """A step that checks what the step before it printed."""
    word = [{"name": "word", "value": "{{tasks.first.outputs.result}}"}]
    tasks = [
        {"name": "first", "template": "say"},
        {"name": "second", "template": "check", "dependencies": ["first"], "arguments": {"parameters": word}},
    ]
    check = _step("check", "test '{{inputs.parameters.word}}' = fine", inputs={"parameters": [{"name": "word"}]})
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "steps", "namespace": TEAM},
        "spec": {
            "entrypoint": "all",
            "serviceAccountName": ACCOUNT,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65534,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "templates": [{"name": "all", "dag": {"tasks": tasks}}, _step("say", "echo fine"), check],
        },
    }


@pytest.fixture(scope="module")
def bucket(cloud: CloudCluster) -> str:
    """The bucket of a cluster with Argo's controller."""
    images = Catalog.load().images
    controller, executor = images.reference("argo-workflow-controller"), images.reference("argo-executor")
    if missing := [reason for image in (controller, executor) if (reason := programs.why_missing(image))]:
        pytest.skip("; ".join(missing))
    stack = new_stack("argo")
    artifacts = s3.Bucket(stack, "Artifacts", removal_policy=RemovalPolicy.DESTROY)
    artifacts.grant_put(pod_role(stack, f"{TEAM}/{ACCOUNT}"), f"{TEAM}/*")
    CfnOutput(stack, "Bucket", value=artifacts.bucket_name)
    name = cloud.deploy(stack)["Bucket"]
    argo = ArgoWorkflows(
        cdk8s.App(),
        "Argo",
        controller_image=controller,
        executor_image=executor,
        artifacts=ArtifactStore(bucket=name, region=REGION),
        placement={},
    )
    rights = binding(ACCOUNT, account_subject(ACCOUNT, TEAM), namespace=TEAM, cluster_role="kubeflow-argo-edit")
    objects = [
        namespace("kubeflow"),
        namespace(TEAM),
        service_account(ACCOUNT, TEAM),
        *argo.to_json(),
        rights,
    ]
    install(cloud.api, Component("argo", Catalog.load().definitions("kubeflow/argo_workflows"), objects))
    return name


def test_the_steps_of_a_workflow_pass_on_results_and_archive_their_logs(cloud: CloudCluster, bucket: str) -> None:
    cloud.apply(_workflow())

    def status() -> dict[str, Any]:
        found: dict[str, Any] = cloud.api.get(WORKFLOW).get("status") or {}
        return found

    def messages() -> list[str]:
        nodes = (status().get("nodes") or {}).values()
        return [f"{node['displayName']} {node['phase']}: {node.get('message', '')}" for node in nodes]

    cloud.until(
        lambda: status().get("phase") in ("Succeeded", "Failed", "Error"),
        seconds=_SECONDS,
        what="the workflow ends",
        why=messages,
    )
    assert status()["phase"] == "Succeeded", messages()
    listed = cloud.client("s3").list_objects_v2(Bucket=bucket)["Contents"]
    logs = [found["Key"] for found in listed if found["Key"].startswith(f"{TEAM}/logs/steps/")]
    assert len(logs) == 2
    assert [call for call in cloud.denied() if "argo" in str(call)] == []
    cloud.delete(_workflow())
