from pathlib import Path

import pytest
from aws_cdk import aws_eks_v2 as eks
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import ProvidedObjects, Readiness
from tests.manifests import Delivery, config_map, custom, definition, namespace, needed_by


@pytest.fixture
def delivery(tmp_path: Path) -> Delivery:
    return Delivery(tmp_path)


@pytest.fixture
def addon(delivery: Delivery) -> eks.Addon:
    return eks.Addon(delivery.stack, "Addon", cluster=delivery.cluster, addon_name="cert-manager")


def test_defaults(delivery: Delivery, addon: eks.Addon, snapshot_json: SnapshotAssertion) -> None:
    ProvidedObjects(delivery.stack, "Provided", cluster=delivery.cluster, by=addon, namespaces=["cert-manager"])
    assert delivery.template().resources == snapshot_json


@pytest.mark.promise("first-apply-succeeds")
def test_users_of_its_namespaces_or_kinds_are_deployed_after_it(delivery: Delivery, addon: eks.Addon) -> None:
    ProvidedObjects(
        delivery.stack,
        "Provided",
        cluster=delivery.cluster,
        by=addon,
        namespaces=["cert-manager"],
        definitions=[definition()],
    )
    delivery.deliver(namespace("other"), id="Unrelated")
    delivery.deliver(config_map(namespace="cert-manager"), id="Tenant")
    delivery.deliver(custom(namespace="default"), id="User")
    resources = delivery.template().resources
    needs = {name: needed_by(one) for name, one in resources.items() if "Inventory" in name}
    (provider,) = [name for name, one in resources.items() if one["Type"] == "AWS::EKS::Addon"]
    assert sorted(map(tuple, needs.values())) == [(), (provider,), (provider,)]


@pytest.mark.promise("first-apply-succeeds")
def test_its_users_wait_until_it_is_ready(delivery: Delivery, addon: eks.Addon) -> None:
    """An add-on is active before its webhook answers."""
    ProvidedObjects(
        delivery.stack,
        "Provided",
        cluster=delivery.cluster,
        by=addon,
        namespaces=["cert-manager"],
        ready=[Readiness.rolled_out("Deployment", "cert-manager-webhook", namespace="cert-manager")],
    )
    delivery.deliver(config_map(namespace="cert-manager"))
    template = delivery.template()
    (gate,) = template.waits()
    (request,) = template.requests
    assert gate in template.before[request]
    assert len(template.before[gate]) == 1


def test_resources_of_an_unchecked_kind_pass_but_for_their_names(delivery: Delivery, addon: eks.Addon) -> None:
    ProvidedObjects(
        delivery.stack,
        "Provided",
        cluster=delivery.cluster,
        by=addon,
        unchecked={"example.com/Notebook": "the add-on ships no schema"},
    )
    delivery.deliver(namespace(), custom(anything="goes"), id="Right")
    with pytest.raises(ValueError, match="Services/Wrong: Notebook team-a/Mine: metadata.name: 'Mine' must consist of"):
        delivery.deliver(custom("Mine"), id="Wrong")


def test_fails_on_a_kind_that_is_defined_already(delivery: Delivery, addon: eks.Addon) -> None:
    delivery.deliver(definition())
    with pytest.raises(
        ValueError, match="Services/Provided: Notebook of example.com is already defined; define it once"
    ):
        ProvidedObjects(
            delivery.stack, "Provided", cluster=delivery.cluster, by=addon, unchecked={"example.com/Notebook": "why"}
        )


@pytest.mark.parametrize("name", ["Notebook", "example.com/notebook", "/"])
def test_fails_on_an_unchecked_kind_without_a_group(delivery: Delivery, addon: eks.Addon, name: str) -> None:
    with pytest.raises(ValueError, match="must be group/Kind, such as 'karpenter.sh/NodePool'"):
        ProvidedObjects(delivery.stack, "Provided", cluster=delivery.cluster, by=addon, unchecked={name: "why"})


def test_fails_on_an_unchecked_kind_without_a_reason(delivery: Delivery, addon: eks.Addon) -> None:
    with pytest.raises(
        ValueError, match="unchecked: example.com/Notebook: give the reason why its resources are not validated"
    ):
        ProvidedObjects(
            delivery.stack, "Provided", cluster=delivery.cluster, by=addon, unchecked={"example.com/Notebook": " "}
        )


def test_fails_on_what_is_no_definition(delivery: Delivery, addon: eks.Addon) -> None:
    with pytest.raises(
        ValueError, match=r"Services/Provided: definitions\[0\]: spec: required field 'group' is missing"
    ):
        ProvidedObjects(
            delivery.stack, "Provided", cluster=delivery.cluster, by=addon, definitions=[config_map() | {"spec": {}}]
        )
