import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_eks_v2 as eks
from aws_cdk.assertions import Template
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import ConfigurationError, Manifests, ProvidedObjects, Readiness
from mlplatform_constructs._kubernetes import packing
from tests.clusters import SYSTEM, cluster
from tests.compliance import assert_complies
from tests.manifests import (
    APPLIED,
    INVENTORY,
    READINESS,
    Delivered,
    Delivery,
    Object,
    config_map,
    custom,
    definition,
    delivered,
    deployment,
    everything,
    ident,
    namespace,
    needed_by,
    service,
    service_account,
    webhook,
)

WAVES = [
    {"CustomResourceDefinition"},
    {"Namespace"},
    {"ServiceAccount", "Role"},
    {"ConfigMap", "Service"},
    {"Deployment"},
    {"ValidatingWebhookConfiguration", "APIService"},
    {"Notebook"},
]


@pytest.fixture
def delivery(tmp_path: Path) -> Delivery:
    return Delivery(tmp_path)


@pytest.fixture
def small_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request holds two or three objects, so that few of them make many requests."""
    monkeypatch.setattr(packing, "REPLY_BYTES", 120)


def wave(body: Object) -> int:
    return next(number for number, kinds in enumerate(WAVES) if body["kind"] in kinds)


def breaches(template: Delivered) -> Iterator[str]:
    """Where objects could be applied too early."""
    yield from _order_breaches(template)
    yield from _inventory_breaches(template)
    yield from _gate_breaches(template)


def _order_breaches(template: Delivered) -> Iterator[str]:
    """A later wave must follow every earlier one, within a request or by dependency."""
    placed = [
        (request, index, body) for request, bodies in template.requests.items() for index, body in enumerate(bodies)
    ]
    for request, index, body in placed:
        for other_request, other_index, other in placed:
            follows = index > other_index if request == other_request else other_request in template.before[request]
            if wave(body) > wave(other) and not follows:
                yield f"{ident(body)} does not follow {ident(other)}"


def _inventory_breaches(template: Delivered) -> Iterator[str]:
    """Nothing is applied that is not on record."""
    (inventory,) = template.of_type(INVENTORY)
    for request in template.requests:
        if inventory not in template.before[request]:
            yield f"{request} does not follow the inventory"


def _gate_breaches(template: Delivered) -> Iterator[str]:
    """What must be ready is waited for, after it was applied and before anything of a later wave."""
    for body in template.objects():
        state = {
            "CustomResourceDefinition": "Established",
            "ValidatingWebhookConfiguration": "CertificateInjected",
            "APIService": "Available",
        }.get(body["kind"])
        if body["kind"] == "Deployment" and body["metadata"]["name"] == "server":
            state = "RolledOut"
        if state is None:
            continue
        wanted = {"kind": body["kind"], "name": body["metadata"]["name"], "state": state}
        gates = [
            gate for gate, waits in template.waits().items() if any(wanted.items() <= one.items() for one in waits)
        ]
        if not gates:
            yield f"nothing waits for {wanted}"
        for gate in gates:
            yield from _misplaced(template, gate, body)


def _misplaced(template: Delivered, gate: str, body: Object) -> Iterator[str]:
    for request, bodies in template.requests.items():
        if body in bodies and request not in template.before[gate]:
            yield f"{gate} does not follow {ident(body)}"
        for other in bodies:
            if wave(other) > wave(body) and gate not in template.before[request]:
                yield f"{ident(other)} does not wait for {gate}"


def test_defaults(delivery: Delivery, snapshot_json: SnapshotAssertion) -> None:
    delivery.deliver(*everything())
    resources = delivery.template().resources
    assert _readable(resources) == snapshot_json


@pytest.mark.promise("first-apply-succeeds")
def test_every_object_arrives_once_and_as_it_was(small_requests: None) -> None:
    arrived = delivered(everything()).objects()
    assert sorted(map(json.dumps, arrived)) == sorted(map(json.dumps, everything()))


@pytest.mark.promise("first-apply-succeeds")
def test_objects_follow_the_waves_before_them() -> None:
    """They take as few requests as there are gates."""
    template = delivered(everything())
    assert not list(breaches(template))
    assert len(template.requests) == 4


@pytest.mark.promise("first-apply-succeeds")
def test_objects_follow_the_waves_before_them_in_many_requests(small_requests: None) -> None:
    many = [config_map(f"settings-{number}") for number in range(9)]
    template = delivered(everything() + many)
    assert not list(breaches(template))
    assert len(template.requests) > 8


@pytest.mark.promise("first-apply-succeeds")
def test_without_any_one_dependency_something_would_come_too_early(small_requests: None) -> None:
    """This proves that the checks above see every edge, and that each edge is needed."""
    template = delivered(everything() + [config_map(f"settings-{number}") for number in range(9)])
    edges = [(name, need) for name, resource in template.resources.items() for need in needed_by(resource)]
    assert len(edges) > 15
    for name, need in edges:
        broken = copy.deepcopy(template.template)
        broken["Resources"][name]["DependsOn"] = [one for one in needed_by(template.resources[name]) if one != need]
        assert list(breaches(Delivered(broken))), f"{name} need not follow {need}"


@pytest.mark.promise("first-apply-succeeds")
def test_without_any_one_gate_something_would_come_too_early(small_requests: None) -> None:
    template = delivered(everything())
    gates = template.of_type(READINESS)
    assert len(gates) == 3
    for gate, resource in gates.items():
        broken = copy.deepcopy(template.template)
        del broken["Resources"][gate]
        for other in broken["Resources"].values():
            needs = needed_by(other)
            other["DependsOn"] = [one for one in needs if one != gate] + (needed_by(resource) if gate in needs else [])
        assert list(breaches(Delivered(broken))), f"nobody misses {gate}"


def test_dependencies_grow_with_the_objects_and_not_with_their_square(small_requests: None) -> None:
    template = delivered(
        [namespace(), *(config_map(f"c-{n}") for n in range(40)), *(deployment(f"d-{n}") for n in range(40))]
    )
    edges = sum(len(needed_by(resource)) for resource in template.resources.values())
    assert len(template.requests) > 30
    assert edges <= 2 * len(template.requests) + 5


def test_a_resource_of_a_kind_from_elsewhere_comes_with_the_configuration_that_workloads_need(
    delivery: Delivery,
) -> None:
    delivery.deliver(definition(), namespace(), id="Definitions")
    delivery.deliver(deployment(), custom(), id="Users")
    (bodies,) = [bodies for bodies in delivery.template().requests.values() if custom()["kind"] in kinds(bodies)]
    assert kinds(bodies) == ["Notebook", "Deployment"]


def kinds(bodies: list[Object]) -> list[str]:
    return [body["kind"] for body in bodies]


def test_a_resource_of_a_kind_that_its_own_set_defines_comes_last(delivery: Delivery) -> None:
    """Its controller is most likely among the workloads."""
    delivery.deliver(custom(), deployment(), definition(), namespace())
    assert [kinds(bodies) for bodies in delivery.template().requests.values()] == [
        ["CustomResourceDefinition"],
        ["Namespace", "Deployment", "Notebook"],
    ]


@pytest.mark.promise("first-apply-succeeds")
def test_a_resource_that_a_webhook_of_its_own_set_guards_comes_last(delivery: Delivery) -> None:
    delivery.deliver(definition(), namespace(), id="Definitions")
    delivery.deliver(custom(), webhook(ca="Cg=="), service(), deployment(), id="Guarded")
    guarded = [kinds(bodies) for bodies in delivery.template().requests.values()]
    assert ["ValidatingWebhookConfiguration", "Notebook"] in guarded


def test_an_annotation_moves_an_object_and_stays_behind(delivery: Delivery) -> None:
    moved = config_map("late")
    moved["metadata"]["annotations"] = {"mlplatform-constructs/wave": "guarded", "kept": "yes"}
    delivery.deliver(moved, namespace(), deployment())
    (bodies,) = delivery.template().requests.values()
    assert kinds(bodies) == ["Namespace", "Deployment", "ConfigMap"]
    assert bodies[-1]["metadata"]["annotations"] == {"kept": "yes"}
    assert moved["metadata"]["annotations"]["mlplatform-constructs/wave"] == "guarded"


@pytest.mark.promise("first-apply-succeeds")
def test_what_serves_an_aggregated_api_is_rolled_out_first_and_the_api_is_available_afterwards(
    delivery: Delivery,
) -> None:
    api = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1beta1.metrics.example.com"},
        "spec": {
            "group": "metrics.example.com",
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "service": {"name": "server", "namespace": "team-a"},
        },
    }
    delivery.deliver(api, deployment(), service(), namespace())
    template = delivery.template()
    assert not list(breaches(template))
    assert {one["state"] for waits in template.waits().values() for one in waits} == {"RolledOut", "Available"}


@pytest.mark.promise("first-apply-succeeds")
def test_another_set_waits_for_all_of_the_set_that_brings_its_namespace(delivery: Delivery) -> None:
    """The caller need not declare the dependency."""
    delivery.deliver(
        namespace(), deployment(), id="First", ready=[Readiness.rolled_out("Deployment", "server", namespace="team-a")]
    )
    delivery.deliver(config_map(), id="Second")
    template = delivery.template()
    assert needed_by(template.resources[named(template, "SecondInventory")]) == [named(template, "FirstReady")]


def named(template: Delivered, prefix: str) -> str:
    (name,) = [name for name in template.resources if re.fullmatch(rf"{prefix}[0-9A-F]{{8}}", name)]
    return name


def test_helm_charts_and_addons_come_before_and_after(delivery: Delivery) -> None:
    chart = eks.HelmChart(
        delivery.stack, "Chart", cluster=delivery.cluster, chart="istio", repository="https://example.com"
    )
    addon = eks.Addon(delivery.stack, "Addon", cluster=delivery.cluster, addon_name="cert-manager")
    manifests = delivery.deliver(namespace(), config_map(), after=[chart, addon])
    later = eks.HelmChart(
        delivery.stack, "Later", cluster=delivery.cluster, chart="app", repository="https://example.com"
    )
    later.node.add_dependency(manifests)
    template = delivery.template()
    (request,) = template.requests
    assert {named(template, "Chart"), named(template, "Addon")} <= template.before[request]
    assert needed_by(template.resources[named(template, "Later")]) == [request]


def test_manifests_of_another_stack_come_first_with_their_stack(delivery: Delivery) -> None:
    first = delivery.deliver(namespace())
    other = cdk.Stack(delivery.app, "Other")
    Manifests(other, "Set", cluster=delivery.cluster, objects=[config_map()], after=[first])
    delivery.app.synth()
    assert delivery.stack in other.dependencies


@pytest.mark.promise("first-apply-succeeds", "bounded-waits")
def test_a_set_can_wait_until_something_is_ready_before_and_after(delivery: Delivery) -> None:
    """The waits are shorter than the timeout of the function that waits."""
    webhooks = Readiness.rolled_out("Deployment", "cert-manager-webhook", namespace="cert-manager").within(3)
    server = Readiness.rolled_out("Deployment", "server", namespace="team-a")
    delivery.deliver(namespace(), deployment(), after=[webhooks], ready=[server])
    template = delivery.template()
    (request,) = template.requests
    before, after = named(template, "SetBefore"), named(template, "SetReady")
    assert before in template.before[request]
    assert request in template.before[after]
    assert template.resources[before]["Properties"]["Minutes"] == "3"
    assert template.resources[after]["Properties"]["Minutes"] == "10"


@pytest.mark.promise("first-apply-succeeds")
def test_a_changed_object_makes_every_gate_of_its_set_wait_again() -> None:
    """An update in place is waited for like a first deployment."""

    def revisions(image: str) -> set[str]:
        template = delivered([*everything(), deployment("changed", image=image)])
        return {gate["Properties"]["Revision"] for gate in template.of_type(READINESS).values()}

    assert revisions("example.com/server:1") == revisions("example.com/server:1")
    assert not revisions("example.com/server:1") & revisions("example.com/server:2")


@pytest.mark.promise("honest-deletion")
def test_requests_only_apply_and_the_inventory_removes(delivery: Delivery) -> None:
    """The CDK's handler reports success even where a removal fails, so it is never asked to remove anything."""
    delivery.deliver(*everything())
    template = delivery.template()
    for resource in template.of_type(APPLIED).values():
        assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain"
        assert resource["Properties"]["Overwrite"] is True
        assert "PruneLabel" not in resource["Properties"]
    (inventory,) = template.of_type(INVENTORY).values()
    assert inventory.get("DeletionPolicy", "Delete") == "Delete"


@pytest.mark.promise("closed-network")
def test_the_function_runs_as_the_handler_of_the_cdk_does(delivery: Delivery) -> None:
    """It runs in the network that reaches a private endpoint and has no other access to the cluster."""
    delivery.deliver(*everything())
    delivery.deliver(namespace("team-b"), id="Another")
    delivery.app.synth()
    template = json.loads(Path(delivery.app.outdir, "ControlPlane.template.json").read_text(encoding="utf-8"))
    functions = {
        r["Properties"]["Handler"]: r["Properties"] for r in template["Resources"].values() if "Lambda::F" in r["Type"]
    }
    ours, cdks = (
        functions["mlplatform_constructs._kubernetes.objects_handler.index.handler"],
        functions["index.handler"],
    )
    for name in ("Role", "Layers", "Runtime", "Timeout", "MemorySize"):
        assert ours[name] == cdks[name], name
    assert ours.get("VpcConfig") == cdks.get("VpcConfig")
    assert (
        len([name for name in functions if name.startswith("mlplatform_constructs._kubernetes.objects_handler")]) == 1
    )


def test_tokens_arrive_as_they_are(delivery: Delivery) -> None:
    arn = f"arn:aws:iam::{delivery.stack.account}:role/{delivery.stack.stack_name}"
    account = service_account()
    account["metadata"]["annotations"] = {"eks.amazonaws.com/role-arn": arn}
    delivery.deliver(namespace(), account, config_map())
    (resource,) = delivery.template().of_type(APPLIED).values()
    assert {"Ref": "AWS::AccountId"} in resource["Properties"]["Manifest"]["Fn::Join"][1]


def test_numbers_and_lists_that_are_tokens_arrive_as_numbers_and_lists(delivery: Delivery) -> None:
    server = deployment(args=cdk.Token.as_list(cdk.Fn.split(",", cdk.Aws.STACK_NAME)))
    server["spec"]["replicas"] = cdk.Token.as_number({"Ref": "Replicas"})
    cdk.CfnParameter(delivery.stack, "Replicas", type="Number", default=2)
    delivery.deliver(namespace(), server)
    (resource,) = delivery.template().of_type(APPLIED).values()
    _, parts = resource["Properties"]["Manifest"]["Fn::Join"]
    place = parts.index({"Ref": "Replicas"})
    assert parts[place - 1].endswith('"replicas":')
    assert "Token[" not in json.dumps(resource)


def test_one_token_changes_nothing_else_in_its_request(delivery: Delivery) -> None:
    """Handed over as objects, the CDK would round the number, drop the null and take the mapping for a function."""
    server = deployment()
    seconds = 9_007_199_254_740_993
    tolerated = {"key": "slow", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}
    server["spec"]["template"]["spec"] |= {"securityContext": {"runAsGroup": None}, "tolerations": [tolerated]}
    odd = config_map("odd", Ref="not a reference")
    odd["data"]["encoded"] = f"text and {cdk.Fn.base64(cdk.Aws.REGION)}"
    delivery.deliver(namespace(), server, odd)
    (resource,) = delivery.template().of_type(APPLIED).values()
    _, parts = resource["Properties"]["Manifest"]["Fn::Join"]
    assert [part for part in parts if not isinstance(part, str)] == [{"Fn::Base64": {"Ref": "AWS::Region"}}]
    objects = json.loads("".join(part if isinstance(part, str) else "cmVnaW9u" for part in parts))
    (arrived,) = [one for one in objects if one["kind"] == "Deployment"]
    assert arrived == server
    (arrived,) = [one for one in objects if one["kind"] == "ConfigMap"]
    assert arrived["data"] == {**odd["data"], "encoded": "text and cmVnaW9u"}


def test_a_cluster_of_this_library_is_accepted(stack: cdk.Stack) -> None:
    stack.node.set_context("aws:cdk:disable-asset-staging", True)
    made = cluster(stack, node_groups=(SYSTEM,))
    ProvidedObjects(
        stack, "Kinds", cluster=made, by=cdk.CfnResource(stack, "Chart", type="Custom::Chart"), namespaces=["team-a"]
    )
    Manifests(stack, "Set", cluster=made, objects=[config_map()])
    Template.from_stack(stack).resource_count_is(APPLIED, 1)


@pytest.mark.parametrize("wrong", ["training", None, 3])
def test_fails_on_what_is_no_cluster(delivery: Delivery, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="cluster must be"):
        Manifests(delivery.stack, "Set", cluster=wrong, objects=[namespace()])


def test_two_syntheses_are_equal_byte_by_byte(small_requests: None) -> None:
    assert json.dumps(delivered(everything()).template) == json.dumps(delivered(everything()).template)


def test_the_objects_of_the_caller_are_not_changed(delivery: Delivery) -> None:
    objects = everything()
    delivery.deliver(*objects)
    assert objects == everything()


def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack) -> None:
    Manifests(stack, "Set", cluster=cluster(stack).cluster, objects=everything())
    assert_complies(app)


def test_fails_without_objects(delivery: Delivery) -> None:
    with pytest.raises(ValueError, match="Services/Set: objects: empty; remove the construct"):
        delivery.deliver()


def test_fails_on_a_cluster_of_another_app(delivery: Delivery) -> None:
    imported = eks.Cluster.from_cluster_attributes(delivery.stack, "Imported", cluster_name="theirs")
    with pytest.raises(ValueError, match="Services/Set: cluster must be a KubernetesCluster or an eks.Cluster, got"):
        Manifests(delivery.stack, "Set", cluster=imported, objects=[namespace()])


def test_fails_on_a_cluster_without_a_kubectl_handler(delivery: Delivery) -> None:
    mute = eks.Cluster(delivery.stack, "Mute", version=eks.KubernetesVersion.V1_35)
    with pytest.raises(ValueError, match="Services/Mute: has no kubectl handler; give it kubectl_provider_options"):
        Manifests(delivery.stack, "Set", cluster=mute, objects=[namespace()])


def test_fails_when_an_object_is_delivered_by_two(delivery: Delivery) -> None:
    delivery.deliver(namespace(), config_map(), id="First")
    with pytest.raises(
        ValueError, match="Services/Second: ConfigMap team-a/settings: already created by Services/First; keep one"
    ):
        delivery.deliver(config_map(), id="Second")


def test_fails_when_a_kind_is_defined_by_two(delivery: Delivery) -> None:
    delivery.deliver(definition(), id="First")
    another = definition()
    another["metadata"]["name"] = "books.example.com"
    another["spec"]["names"]["plural"] = "books"
    with pytest.raises(ValueError, match="Services/Second: Notebook of example.com is already defined; define it once"):
        delivery.deliver(another, id="Second")


def _readable(resources: dict[str, Any]) -> dict[str, Any]:
    """With the JSON inside of JSON spelled out."""
    texts = ("Manifest", "Objects", "Waits")
    return {
        name: {
            **resource,
            "Properties": {
                key: json.loads(value) if key in texts else value
                for key, value in resource.get("Properties", {}).items()
            },
        }
        for name, resource in resources.items()
    }
