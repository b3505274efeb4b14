"""What holds for every operator of Kubeflow: its objects, definitions and rights."""

from contextlib import nullcontext as does_not_raise
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from charts.kit.chart import pod_specs
from charts.kit.listed_images import unlisted_objects
from charts.kit.objects import namespace
from kubernetes_rehearsal.client import ApiClient
from kubernetes_rehearsal.objects import collection_of
from kubernetes_rehearsal.proofs.components import Component, install
from rehearsal.components import component
from tests.charts.kubeflow.operators import ALL, CATALOG, OBJECTS, OPERATORS

WORKLOADS = {"Deployment", "StatefulSet", "DaemonSet"}
ONE_REPLICA: dict[str, str] = {}
"""Workloads with one replica, each with the reason."""
MAY_GO_UNANSWERED = {
    "mutator.pod.katib.kubeflow.org": "it looks at every pod of every team, and a trial reports its lack"
}
"""Webhooks without whose answer an object is accepted, each with the reason."""
EXAMPLES = [(name, example.content) for name in OPERATORS for example in component(name, CATALOG).examples]
every_component = pytest.mark.parametrize("name", ALL, ids=lambda name: name.partition("/")[2])


def without_program(name: str) -> Component:
    """A component whose programs do not run here, with what its objects need of the mesh."""
    places = sorted({found["metadata"]["namespace"] for found in OBJECTS[name] if "namespace" in found["metadata"]})
    objects = [*map(namespace, places), *OBJECTS[name]]
    return Component(name, CATALOG.definitions("edge/istio"), objects)


def named(objects: list[Any], *kinds: str) -> list[Any]:
    return [one for one in objects if one["kind"] in kinds]


def place(found: Any) -> str:
    metadata = found["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}"


@every_component
def test_objects(name: str, snapshot_json: SnapshotAssertion) -> None:
    assert OBJECTS[name] == snapshot_json


@every_component
def test_the_api_accepts_every_object_of_a_component(api: ApiClient, name: str) -> None:
    given = component(name, CATALOG) if name in OPERATORS else without_program(name)
    with does_not_raise():
        install(api, given)


@every_component
@pytest.mark.promise("pinned-images")
def test_every_image_is_listed_wherever_it_stands(name: str) -> None:
    examples = [content for other, content in EXAMPLES if other == name]
    assert list(unlisted_objects([*OBJECTS[name], *examples], CATALOG.images)) == []


@every_component
@pytest.mark.promise("probes-set", "requests-set")
def test_every_container_has_requests_a_limit_of_memory_probes_and_a_restricted_security_context(name: str) -> None:
    for found in named(OBJECTS[name], *WORKLOADS):
        for spec in pod_specs(found):
            assert spec["securityContext"]["runAsNonRoot"] is True
            assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            for container in [*spec["containers"], *spec.get("initContainers", [])]:
                assert set(container["resources"]["requests"]) == {"cpu", "memory"}, container["name"]
                assert container["resources"]["limits"]["memory"], container["name"]
                assert container["securityContext"]["allowPrivilegeEscalation"] is False
                assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
                assert container["securityContext"]["readOnlyRootFilesystem"] is True, container["name"]
            for container in spec["containers"]:
                assert {"livenessProbe", "readinessProbe"} <= set(container), container["name"]


@every_component
def test_every_workload_has_two_replicas_and_a_disruption_budget_or_a_reason_for_one(name: str) -> None:
    objects = OBJECTS[name]
    budgets = {place(found) for found in named(objects, "PodDisruptionBudget")}
    for found in named(objects, *WORKLOADS):
        if place(found) in ONE_REPLICA:
            assert found["spec"]["replicas"] == 1
        else:
            assert found["spec"]["replicas"] >= 2, place(found)
            assert place(found) in budgets, place(found)


@every_component
def test_every_workload_takes_only_the_connections_that_a_policy_names(name: str) -> None:
    objects = OBJECTS[name]
    selected = [
        policy["spec"]["podSelector"]["matchLabels"]
        for policy in named(objects, "NetworkPolicy")
        if "Ingress" in policy["spec"]["policyTypes"]
    ]
    for found in named(objects, *WORKLOADS):
        labels = found["spec"]["template"]["metadata"]["labels"]
        assert any(wanted.items() <= labels.items() for wanted in selected), place(found)


@every_component
def test_no_right_of_a_service_account_is_a_wildcard(name: str) -> None:
    for found in named(OBJECTS[name], "Role", "ClusterRole"):
        for rule in found["rules"]:
            listed = [*rule.get("apiGroups", []), *rule.get("resources", []), *rule["verbs"]]
            assert "*" not in listed, found["metadata"]["name"]


@every_component
def test_only_a_controller_that_makes_its_own_certificate_may_change_webhooks(name: str) -> None:
    for found in named(OBJECTS[name], "ClusterRole"):
        for rule in found["rules"]:
            if any("webhookconfigurations" in resource for resource in rule.get("resources", [])):
                assert not {"create", "delete", "patch"} & set(rule["verbs"])
                assert "update" not in rule["verbs"] or rule["resourceNames"], found["metadata"]["name"]


@every_component
def test_every_webhook_fails_closed_and_has_an_authority(name: str) -> None:
    certificates = {place(found) for found in named(OBJECTS[name], "Certificate")}
    secrets_of_controllers = {place(found) for found in named(OBJECTS[name], "Secret")}
    for found in named(OBJECTS[name], "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        authority = found["metadata"].get("annotations", {}).get("cert-manager.io/inject-ca-from")
        assert authority in certificates if authority else secrets_of_controllers
        for hook in found["webhooks"]:
            expected = "Ignore" if hook["name"] in MAY_GO_UNANSWERED else "Fail"
            assert hook["failurePolicy"] == expected, hook["name"]


@pytest.mark.parametrize(("name", "content"), [pytest.param(name, one, id=one["kind"]) for name, one in EXAMPLES])
def test_an_example_is_accepted_by_its_definition(api: ApiClient, name: str, content: Any) -> None:
    install(api, component(name, CATALOG))
    assert api.request("POST", f"{collection_of(api, content)}?dryRun=All&fieldValidation=Strict", content)


def test_no_two_components_define_the_same_kind() -> None:
    """A definition has one owner: the API refuses to lose a version that it has stored."""
    names = [found["metadata"]["name"] for one in CATALOG.components.values() for found in one.definitions]
    assert len(names) == len(set(names))
