"""The example application of a team, from its stack to a pod that the API server admits."""

import ast
import json
import os
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import kubernetes_validate
import pytest
from aws_cdk.assertions import Template

from charts.catalog import Catalog
from charts.kit.chart import pod_specs
from examples.team_app.stack import TEAM, TeamAppStack
from kubernetes_rehearsal.binaries import find
from kubernetes_rehearsal.client import APPLY_PATCH, ApiClient
from kubernetes_rehearsal.interface import Identity
from kubernetes_rehearsal.kube_apiserver import KubeApiServer
from mlplatform_constructs import (
    DataBucket,
    EncryptionKeys,
    KubernetesCluster,
    KubernetesRelease,
    Network,
    NodeGroupSpec,
    ProvidedObjects,
)

FOUND = find(os.environ)
IMAGE = "111111111111.dkr.ecr.eu-west-1.amazonaws.com/churn-explorer:1.0"


@pytest.fixture
def team(stack: cdk.Stack) -> TeamAppStack:
    """The application on a cluster with the mesh."""
    groups = [
        NodeGroupSpec(name="system", purpose="system", instance_types=("m7i.large",), min_per_zone=1, max_per_zone=3),
        NodeGroupSpec(name="general", purpose="general", instance_types=("m7i.large",), max_per_zone=3),
    ]
    cluster = KubernetesCluster(
        stack,
        "Cluster",
        vpc=Network(stack, "Network", availability_zones=["eu-west-1a", "eu-west-1b"]).vpc,
        secrets_encryption_key=EncryptionKeys(stack, "Keys").cluster_secrets,
        node_groups=groups,
    )
    definitions = Catalog.load().definitions("edge/istio")
    ProvidedObjects(stack, "Mesh", cluster=cluster.cluster, by=cluster, definitions=definitions)
    predictions = DataBucket(stack, "Predictions")
    env = cdk.Environment(account=stack.account, region=stack.region)
    return TeamAppStack(stack.node.scope, "Team", cluster=cluster, image=IMAGE, predictions=predictions, env=env)


@pytest.fixture
def objects(team: TeamAppStack) -> dict[str, dict[str, Any]]:
    return {found["kind"]: team.resolve(found) for found in team.objects}


@pytest.mark.promise("plugins")
def test_the_application_needs_nothing_of_the_platform_but_its_library() -> None:
    path = Path(__file__).parents[2] / "examples" / "team_app" / "stack.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    modules = {str(node.module).split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert modules == {"aws_cdk", "cdk8s", "constructs", "mlplatform_constructs"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import)]


@pytest.mark.promise("plugins")
def test_the_stack_synthesizes_with_a_role_that_reads_the_teams_part_of_the_bucket(team: TeamAppStack) -> None:
    template = Template.from_stack(team)
    (association,) = template.find_resources("AWS::EKS::PodIdentityAssociation").values()
    assert association["Properties"]["ServiceAccount"] == "churn-explorer"
    assert f"/{TEAM}/*" in json.dumps(template.find_resources("AWS::IAM::Policy"))


@pytest.mark.promise("plugins")
def test_every_object_is_valid(objects: dict[str, dict[str, Any]]) -> None:
    minor = KubernetesRelease.all()[0].minor
    checked = [found for found in objects.values() if "istio" not in found["apiVersion"]]
    assert len(checked) == 6
    for found in checked:
        if found["kind"] != "Deployment":  # the name of the bucket is known at deployment only
            kubernetes_validate.validate(found, minor, strict=True)


def test_the_application_runs_on_nodes_of_its_purpose(objects: dict[str, dict[str, Any]]) -> None:
    (spec,) = pod_specs(objects["Deployment"])
    assert spec["nodeSelector"][NodeGroupSpec.PURPOSE_LABEL] == "general"


def test_only_the_gateway_reaches_it(objects: dict[str, dict[str, Any]]) -> None:
    (rule,) = objects["AuthorizationPolicy"]["spec"]["rules"]
    assert rule["from"] == [{"source": {"principals": ["cluster.local/ns/istio-system/sa/istio-ingressgateway"]}}]
    assert objects["VirtualService"]["spec"]["gateways"] == [f"{TEAM}/web"]


@pytest.mark.skipif(not FOUND, reason="kube-apiserver is not built; run make kube-apiserver")
def test_the_api_server_admits_its_pods_in_a_restricted_namespace(objects: dict[str, dict[str, Any]]) -> None:
    api = KubeApiServer(FOUND)
    api.start({"administrator": Identity("grace", ("system:masters",))}.get)
    try:
        client = ApiClient(api.create_cluster("test", FOUND[-1].minor), "administrator")
        paths = {"Namespace": "namespaces", "ServiceAccount": f"namespaces/{TEAM}/serviceaccounts"}
        for kind, path in paths.items():
            name = objects[kind]["metadata"]["name"]
            client.request("PATCH", f"/api/v1/{path}/{name}?fieldManager=test&force=true", objects[kind], APPLY_PATCH)
        template = json.loads(json.dumps(objects["Deployment"]["spec"]["template"]))
        template["spec"]["containers"][0]["env"] = []
        pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {**template["metadata"], "name": "web"}}
        admitted = client.request("POST", f"/api/v1/namespaces/{TEAM}/pods?dryRun=All", pod)
        assert admitted["metadata"]["name"] == "web"
        client.close()
    finally:
        api.stop()
