"""Serving as a stack of the inference cluster: every key of its table, and the roles of the teams' models."""

import json
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
import yaml

from assurance.permissions import services
from assurance.permissions.evaluator import ask
from assurance.permissions.world import World
from charts.catalog import Catalog
from kubernetes_rehearsal.client import APPLY_PATCH, ApiClient, ApiFailure
from kubernetes_rehearsal.objects import path_of
from kubernetes_rehearsal.proofs.components import Component, install
from stacks.manifests import Synthesis, write_manifests
from tests.account_files import DISPOSABLE, synthesized
from tests.kubernetes_rehearsal.kubernetes_apis import client, cluster, needs_kube_apiserver
from tests.manifests import Delivered

ACCOUNT = (
    DISPOSABLE
    + """
[people.ana]
email = "ana@example.com"
[teams.churn]
owner = "ana"
[teams.fraud]
owner = "ana"
[clusters.inference]
workload_identity = "irsa"
[clusters.inference.serving]
{serving}
"""
)
OPTIONS = {
    "seldon": "",
    "kserve": "seldon = false\nkserve = true",
    "plain": "seldon = false",
    "named": 'host = "models"\nkserve = true\nscale_from_zero = true\n[clusters.inference.monitoring]',
}


@cache
def synthesis(option: str) -> Synthesis:
    return synthesized(Path(mkdtemp()), ACCOUNT.format(serving=OPTIONS[option]))


def template(option: str, name: str = "InferenceServing") -> dict[str, Any]:
    (stack,) = [each for each in synthesis(option).templates if each.name.endswith(name)]
    return dict(stack.template)


def kinds(option: str) -> set[tuple[str, str]]:
    return {(found["kind"], found["metadata"]["name"]) for found in Delivered(template(option)).objects()}


def resources(option: str, kind: str) -> list[dict[str, Any]]:
    return [found["Properties"] for found in template(option)["Resources"].values() if found["Type"] == kind]


def test_each_key_changes_what_is_installed() -> None:
    operator = ("Deployment", "seldon-controller-manager")
    gateway, controller = ("Deployment", "emissary-ingress"), ("Deployment", "kserve-controller-manager")
    assert {operator, gateway} <= kinds("seldon")
    assert controller not in kinds("seldon")
    assert controller in kinds("kserve")
    assert not {operator, gateway} & kinds("kserve")
    assert {operator, gateway, controller, ("Ingress", "emissary-ingress")} <= kinds("named")
    assert ("Ingress", "emissary-ingress") not in kinds("seldon")


def test_the_name_of_the_gateway_has_a_certificate() -> None:
    (certificate,) = resources("named", "AWS::CertificateManager::Certificate")
    assert certificate["DomainName"] == "models.ml.example.com"
    assert resources("seldon", "AWS::CertificateManager::Certificate") == []


@pytest.mark.promise("idle-servers")
def test_scaling_from_zero_installs_keda_which_may_query_prometheus_and_operators_write_its_objects() -> None:
    operator = ("Deployment", "keda-operator")
    assert operator in kinds("named")
    assert operator not in kinds("seldon") | kinds("kserve")
    objects = list(Delivered(template("named")).objects())
    for watching in ("seldon-controller-manager", "kserve-controller-manager"):
        (rules,) = [each["rules"] for each in objects if _is(each, "ClusterRole", watching)]
        assert "keda.sh" in {group for rule in rules for group in rule["apiGroups"]}, watching
    monitoring = list(Delivered(template("named", "InferenceMonitoring")).objects())
    (policy,) = [each for each in monitoring if _is(each, "NetworkPolicy", "prometheus")]
    assert "keda-operator" in json.dumps(policy["spec"]["ingress"])
    assert [each["metadata"]["namespace"] for each in monitoring if _is(each, "ServiceMonitor", "platform")] == ["keda"]


@pytest.mark.promise("idle-servers", "pod-permissions")
def test_keda_counts_the_messages_of_the_teams_queues_and_may_do_nothing_else_in_aws() -> None:
    (statement,) = [
        statement
        for found in resources("named", "AWS::IAM::Policy")
        if "Keda" in json.dumps(found["Roles"])
        for statement in found["PolicyDocument"]["Statement"]
    ]
    assert statement["Action"] == "sqs:GetQueueAttributes"
    queues = [json.dumps(queue) for queue in statement["Resource"]]
    assert [queue.rpartition(":")[2].rstrip('"]}') for queue in queues] == ["churn-*", "fraud-*"]
    (association,) = [
        found for found in resources("named", "AWS::EKS::PodIdentityAssociation") if found["Namespace"] == "keda"
    ]
    assert association["ServiceAccount"] == "keda-operator"
    assert not [found for found in resources("seldon", "AWS::EKS::PodIdentityAssociation")]


def _is(found: Any, kind: str, name: str) -> bool:
    return bool(found["kind"] == kind and found["metadata"]["name"] == name)


@pytest.mark.promise("models-from-s3", "batch-serving")
def test_servers_read_models_and_batch_jobs_write_only_their_teams_predictions() -> None:
    policies = {
        json.dumps(found["Roles"]): [
            (action, json.dumps(statement["Resource"]))
            for statement in found["PolicyDocument"]["Statement"]
            for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
        ]
        for found in resources("seldon", "AWS::IAM::Policy")
        if "Server" in json.dumps(found["Roles"]) or "Batch" in json.dumps(found["Roles"])
    }
    assert len(policies) == 4
    for role, statements in policies.items():
        writes = [resource for action, resource in statements if action.startswith("s3:Put")]
        assert bool(writes) == ("Batch" in role), role
        team = "churn" if "churn" in role else "fraud"
        assert all(f"/{team}/*" in resource for resource in writes), writes


def test_every_team_has_a_namespace_of_the_level_that_its_servers_need() -> None:
    def level(option: str) -> dict[str, str]:
        return {
            found["metadata"]["name"]: found["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
            for found in Delivered(template(option)).objects()
            if found["kind"] == "Namespace"
        }

    assert {team: level("seldon")[team] for team in ("churn", "fraud")} == {"churn": "baseline", "fraud": "baseline"}
    assert level("kserve")["churn"] == "baseline"
    assert level("plain")["churn"] == "restricted"


KUBEFLOW = """
seldon = false
[clusters.training.kubeflow]
deployment = "vanilla"
kserve = {kserve}
"""


@pytest.mark.promise("kserve")
@pytest.mark.parametrize("kserve", [False, True])
def test_kubeflow_has_kserve_for_its_teams_if_it_asks_for_it(kserve: bool, tmp_path: Path) -> None:
    text = ACCOUNT.format(serving=KUBEFLOW.format(kserve=str(kserve).lower()))
    found = synthesized(tmp_path, text).templates
    (stack,) = [each for each in found if each.name.endswith("TrainingKubeflowTraining")]
    names = {(each["kind"], each["metadata"]["name"]) for each in Delivered(dict(stack.template)).objects()}
    expected = {("Deployment", "kserve-controller-manager"), ("ClusterRole", "kubeflow-models-edit")}
    assert names & expected == (expected if kserve else set())


@cache
def account_with_pipelines() -> Synthesis:
    return synthesized(Path(mkdtemp()), ACCOUNT.format(serving=KUBEFLOW.format(kserve="false")))


def with_pipelines() -> list[dict[str, Any]]:
    """The resources of serving in an account whose teams have pipelines in another cluster."""
    (stack,) = [each for each in account_with_pipelines().templates if each.name.endswith("InferenceServing")]
    return list(dict(stack.template)["Resources"].values())


@pytest.mark.promise("published-by-pipelines", "team-isolation")
def test_the_pipelines_of_a_team_are_members_of_the_deployers_of_that_team_alone() -> None:
    entries = [each["Properties"] for each in with_pipelines() if each["Type"] == "AWS::EKS::AccessEntry"]
    groups = {json.dumps(each["PrincipalArn"]): each["KubernetesGroups"] for each in entries}
    assert len(groups) == 2
    for role, names in groups.items():
        team = "churn" if "churn" in role else "fraud"
        assert names == [f"mlplatform:deployers:{team}"]
    assert all("AccessPolicies" not in each for each in entries)


@pytest.mark.promise("published-by-pipelines", "no-open-ports")
def test_pipelines_reach_the_api_server_of_the_cluster_from_their_own_cluster_alone() -> None:
    (rule,) = [each["Properties"] for each in with_pipelines() if each["Type"] == "AWS::EC2::SecurityGroupIngress"]
    assert (rule["FromPort"], rule["ToPort"]) == (443, 443)
    assert "TrainingCluster" in json.dumps(rule["SourceSecurityGroupId"])
    assert "CidrIp" not in rule


@pytest.mark.promise("published-by-pipelines")
def test_the_policies_of_pipelines_are_in_the_stack_of_their_roles_which_needs_no_other_cluster() -> None:
    """IAM does not delete the role of a team that leaves while a later stack attaches a policy to it."""
    templates = {each.name.partition("-")[2]: dict(each.template) for each in account_with_pipelines().templates}
    assert not [
        each for each in with_pipelines() if "KubeflowTeams" in json.dumps(each.get("Properties", {}).get("Roles"))
    ]
    teams = templates["TrainingKubeflowTeams"]
    assert "InferenceCluster:ExportsOutput" not in json.dumps(teams)
    found = [
        (statement["Action"], json.dumps(statement["Resource"]))
        for each in teams["Resources"].values()
        if each["Type"] == "AWS::IAM::Policy"
        for statement in each["Properties"]["PolicyDocument"]["Statement"]
        if "eks:" in json.dumps(statement["Action"])
    ]
    assert [action for action, _ in found] == ["eks:DescribeCluster"] * 2
    assert all(":cluster/" in arn and "InferenceCluster" in arn and "*" not in arn for _, arn in found)


@pytest.mark.promise("published-by-pipelines")
def test_iam_lets_the_pipelines_of_each_team_describe_the_cluster_with_their_servers() -> None:
    world = World.of(account_with_pipelines().templates)
    found = [
        each
        for each in services.needs(world)
        if each.action == "eks:DescribeCluster" and "KubeflowTeams" in world.roles[each.caller.name].path
    ]
    assert sorted(world.roles[each.caller.name].path.rpartition("/")[2] for each in found) == ["churn", "fraud"]
    assert all(ask(world, each.request) for each in found)


def test_without_pipelines_no_principal_is_a_deployer() -> None:
    assert list(resources("kserve", "AWS::EKS::AccessEntry")) == []


@needs_kube_apiserver
@pytest.mark.promise("published-by-pipelines", "team-isolation")
def test_a_kube_apiserver_lets_deployers_of_a_team_change_its_servers_and_nothing_else() -> None:
    teams = [found for found in Delivered(template("kserve")).objects() if _is_of_a_team(found)]
    with cluster("kube-apiserver") as access:
        api = client(access)
        for found in teams:
            _apply(api, found)
        allowed = {
            (namespace, f"{resource} {verb}")
            for namespace in ("churn", "fraud", "kube-system")
            for group, resource in (("apps", "deployments"), ("", "services"), ("", "secrets"), ("", "pods"))
            for verb in ("create", "delete", "get", "list", "patch")
            if _may(api, "mlplatform:deployers:churn", namespace, group, resource, verb)
        }
    assert allowed == {
        *(("churn", f"deployments {verb}") for verb in ("create", "delete", "get", "list", "patch")),
        *(("churn", f"services {verb}") for verb in ("create", "get", "patch")),
    }


def _is_of_a_team(found: Any) -> bool:
    name = found["metadata"]["name"]
    return found["kind"] == "Namespace" and name in ("churn", "fraud") or name == "model-deployer"


def _may(api: ApiClient, group: str, namespace: str, api_group: str, resource: str, verb: str) -> bool:
    """What RBAC decides for a member of a group."""
    asked = {"namespace": namespace, "group": api_group, "resource": resource, "verb": verb}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": "pipeline", "groups": [group, "system:authenticated"], "resourceAttributes": asked},
    }
    answer = api.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer["status"]["allowed"])


@needs_kube_apiserver
@pytest.mark.promise("seldon", "kserve", "ambassador")
def test_a_kube_apiserver_accepts_every_object_at_the_first_try_and_changes_none_at_a_second(tmp_path: Path) -> None:
    """In the order of the files; no controller answers webhooks here, so they are removed before the second time."""
    files = [file for file in write_manifests(synthesis("named"), tmp_path) if "serving" in file.name]
    objects = [found for file in files for found in yaml.safe_load_all(file.read_text(encoding="utf-8"))]
    catalog = Catalog.load()
    with cluster("kube-apiserver") as access:
        api = client(access)
        install(api, Component("base", catalog.definitions("base/cert_manager"), []))
        for found in objects:
            _apply(api, found)
        for found in [each for each in objects if each["kind"].endswith("WebhookConfiguration")]:
            api.request("DELETE", path_of(api, found))
        stored = [found for found in objects if not found["kind"].endswith("WebhookConfiguration")]
        changed = [
            found["metadata"]["name"] for found in stored if _settled(api, found) != _content(_apply(api, found))
        ]
    assert len(objects) > 60
    assert changed == []


def _settled(api: ApiClient, found: dict[str, Any]) -> Any:
    """The content of an object once controllers have seen it, because they add to Deployments and aggregated APIs."""
    for _ in range(600):
        stored = api.get(path_of(api, found))
        seen = {
            "Deployment": stored.get("status", {}).get("observedGeneration") == stored["metadata"].get("generation"),
            "APIService": "caBundle" in stored.get("spec", {}),
        }
        if seen.get(found["kind"], True):
            return _content(stored)
        time.sleep(0.1)
    raise AssertionError(f"{found['kind']} {found['metadata']['name']}: no controller has seen it")


def _content(found: Any) -> Any:
    """Without the status, and what the server notes about the request itself."""
    noted = ("generation", "managedFields", "resourceVersion")
    metadata = {key: value for key, value in found["metadata"].items() if key not in noted}
    return {**{key: value for key, value in found.items() if key != "status"}, "metadata": metadata}


def _apply(api: ApiClient, found: dict[str, Any]) -> Any:
    """As ``kubectl apply --server-side``; a new kind is waited for."""
    path = f"{path_of(api, found)}?fieldManager=test&fieldValidation=Strict"
    answer = api.request("PATCH", path, found, APPLY_PATCH)
    if found["kind"] == "CustomResourceDefinition":
        spec = found["spec"]
        (version,) = [each["name"] for each in spec["versions"] if each["storage"]]
        for _ in range(200):
            with suppress(ApiFailure):
                api.get(f"/apis/{spec['group']}/{version}/{spec['names']['plural']}?limit=1")
                break
            time.sleep(0.05)
    return answer
