"""Objects of any number and size arrive complete, in order and within the limits."""

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aws_cdk as cdk
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsii._kernel.providers.process import _NodeProcess

from benchmarks import manifests_app
from mlplatform_constructs import ConfigurationError, Manifests
from mlplatform_constructs._kubernetes.names import MAX_ANNOTATIONS_BYTES
from mlplatform_constructs._kubernetes.objects import Key, KubernetesObject
from mlplatform_constructs._kubernetes.packing import (
    PACK_BYTES,
    REPLY_BYTES,
    REQUEST_BYTES,
    TEMPLATE_BYTES,
    Parcel,
    size,
    stages,
)
from mlplatform_constructs._kubernetes.waves import Wave
from tests.manifests import (
    APPLIED,
    INVENTORY,
    Delivery,
    Object,
    config_map,
    definition,
    deployment,
    idents,
    namespace,
    service_account,
)

KINDS = {Wave.ACCESS: "Role", Wave.CONFIGURATION: "ConfigMap", Wave.WORKLOADS: "Deployment", Wave.GUARDED: "Notebook"}
EVENT = {  # what CloudFormation adds at most, with a signed URL of a session
    "RequestType": "Update",
    "ResponseURL": "https://cloudformation-custom-resource-response-euwest1.s3-eu-west-1.amazonaws.com/" + "x" * 3_000,
    "StackId": "arn:aws:cloudformation:eu-west-1:111111111111:stack/" + "x" * 170,
    "RequestId": "x" * 36,
    "LogicalResourceId": "x" * 255,
    "PhysicalResourceId": "x" * 255,
    "ResourceType": APPLIED,
}


quick = settings(max_examples=60, deadline=None)


@st.composite
def parcels(draw: st.DrawFn) -> Parcel:
    wave = draw(st.sampled_from(list(KINDS)))
    key = Key("", KINDS[wave], "team-a", draw(st.from_regex(r"[a-z][a-z0-9]{0,30}", fullmatch=True)))
    length = draw(st.one_of(st.integers(1, 3_000), st.integers(1, PACK_BYTES - 10)))
    return Parcel(KubernetesObject({}, key, wave), draw(st.sampled_from(["x", '"', "é"])) * (length // 8))


def unique(drawn: Sequence[Parcel]) -> list[Parcel]:
    return list({parcel.object.key: parcel for parcel in drawn}.values())


def packed(some: Sequence[Parcel]) -> list[dict[str, Sequence[Parcel]]]:
    return stages(some, min(Wave), max(Wave))


def requests(some: Sequence[Parcel]) -> set[frozenset[Key]]:
    return {frozenset(one.object.key for one in part) for stage in packed(some) for part in stage.values()}


@pytest.mark.promise("within-limits")
@quick
@given(st.lists(parcels(), max_size=60))
def test_every_object_is_in_one_request_and_every_request_within_its_limits(drawn: list[Parcel]) -> None:
    some = unique(drawn)
    parts = [part for stage in packed(some) for part in stage.values()]
    assert sorted(one.object.key for part in parts for one in part) == sorted(one.object.key for one in some)
    for part in parts:
        assert len(part) == 1 or sum(one.reply_bytes for one in part) <= REPLY_BYTES
        assert sum(one.bytes for one in part) <= PACK_BYTES


@quick
@given(st.lists(parcels(), max_size=60))
def test_objects_are_in_the_order_of_their_waves(drawn: list[Parcel]) -> None:
    """Also within a request; and two requests of one stage hold objects of one wave."""
    last = -1
    for stage in packed(unique(drawn)):
        waves = {one.object.wave for part in stage.values() for one in part}
        assert len(stage) == 1 or len(waves) == 1
        for part in stage.values():
            assert [one.object.wave for one in part] == sorted(one.object.wave for one in part)
        assert min(waves) >= last
        last = max(waves)


@quick
@given(st.lists(parcels(), min_size=1, max_size=60), st.randoms())
def test_what_else_fits_into_one_request_is_in_one(drawn: list[Parcel], random: object) -> None:
    some = unique(drawn)
    fits = sum(one.bytes for one in some) <= PACK_BYTES and sum(one.reply_bytes for one in some) <= REPLY_BYTES
    assert (len(requests(some)) == 1) == (fits or len(some) == 1)


@quick
@given(st.lists(parcels(), min_size=1, max_size=60))
def test_one_more_object_changes_one_request_or_splits_it(drawn: list[Parcel]) -> None:
    """Read backwards: one object less leaves all requests but one alone."""
    more = unique(drawn)
    before, after = requests(more[:-1]), requests(more)
    changed = before - after
    assert len(changed) <= 1
    assert frozenset().union(*(after - before)) == frozenset().union(*changed) | {more[-1].object.key}


@quick
@given(st.lists(parcels(), max_size=40))
def test_packing_twice_gives_the_same_names_and_order(drawn: list[Parcel]) -> None:
    some = unique(drawn)
    names = [name for stage in packed(some) for name in stage]
    assert len(names) == len(set(names))
    assert packed(some) == packed(some)


@pytest.mark.promise("within-limits")
def test_an_update_carries_the_new_and_the_old_manifest_and_fits() -> None:
    manifest = "x" * (PACK_BYTES - 2)
    assert size(manifest) == PACK_BYTES
    properties = {"ServiceToken": "x" * 200, "ClusterName": "x" * 100, "Manifest": manifest, "Overwrite": "true"}
    event = {**EVENT, "ResourceProperties": properties, "OldResourceProperties": properties}
    assert len(json.dumps(event, separators=(",", ":"))) < REQUEST_BYTES


@pytest.mark.promise("within-limits")
def test_what_fits_into_a_request_fits_into_the_annotation_that_apply_leaves() -> None:
    """The annotation holds the object's own JSON, which is never longer than it is in a request."""
    assert 2 * PACK_BYTES < MAX_ANNOTATIONS_BYTES


@pytest.mark.promise("readable-errors")
@pytest.mark.parametrize("kind", ["Deployment", "ValidatingWebhookConfiguration"])
def test_an_error_of_kubectl_is_not_lost_behind_the_lines_of_a_full_request(kind: str) -> None:
    """CloudFormation reads 4,096 bytes of what the CDK's handler and framework report."""
    lines: list[str] = []
    for number in range(1_000):
        key = Key("admissionregistration.k8s.io", kind, "team-a", f"object-{number}")
        if sum(map(reply, lines)) + Parcel(KubernetesObject({}, key, Wave.WORKLOADS), "").reply_bytes > REPLY_BYTES:
            break
        lines.append(f"{kind.lower()}.{key.group}/{key.name} configured")
    error = f'The {kind} "last" is invalid: spec: Invalid value: ' + "x" * 900
    output = str(Exception("\n".join([*lines, error, ""]).encode()))
    stack = [f"Error: {output}", "", f"Logs: /aws/lambda/{'x' * 64}", "", *["    at " + "x" * 80] * 6]
    ids = {name: EVENT[name] for name in ("StackId", "RequestId", "PhysicalResourceId")}
    response = {"Status": "FAILED", "Reason": "\n".join(stack), "LogicalResourceId": "x" * 80, **ids}
    assert len(lines) >= 20
    assert len(json.dumps(response, separators=(",", ":"))) <= 4_096


def reply(line: str) -> int:
    return len(line) + len(r"\\n")


SIZES = st.lists(st.integers(10, 30_000), min_size=1, max_size=25)


def bodies(sizes: Sequence[int]) -> list[Object]:
    """Objects of those sizes, of different waves in turns."""
    made: list[Object] = [namespace()]
    for number, length in enumerate(sizes):
        name, text = f"object-{number}", "ü" * (length // 2)
        maker = [config_map, deployment, service_account][number % 3]
        body = maker(name)
        body["metadata"]["annotations"] = {"example.com/text": text}
        made.append(body)
    return made


def synthesized(some: Sequence[Object]) -> str:
    with TemporaryDirectory() as outdir:
        delivery = Delivery(outdir)
        delivery.deliver(*some)
        delivery.app.synth()
        return Path(outdir, "Services.template.json").read_text(encoding="utf-8")


@pytest.mark.promise("within-limits")
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SIZES)
def test_templates_hold_any_objects_completely_within_the_limits_and_are_equal_byte_by_byte(sizes: list[int]) -> None:
    some = bodies(sizes)
    text = synthesized(some)
    resources = json.loads(text)["Resources"].values()
    manifests = [one["Properties"]["Manifest"] for one in resources if one["Type"] == APPLIED]
    assert idents(body for manifest in manifests for body in json.loads(manifest)) == idents(some)
    assert all(len(json.dumps(manifest)) <= PACK_BYTES for manifest in manifests)
    assert len(text) < TEMPLATE_BYTES
    assert len(resources) <= 500
    assert synthesized(some) == text


@pytest.mark.promise("within-limits")
def test_an_object_that_no_request_holds_travels_as_a_file_in_its_wave(tmp_path: Path) -> None:
    delivery = Delivery(tmp_path)
    large = [
        definition(notes={"type": "string", "description": "d" * 400_000}),
        config_map("huge", text="\u00fc" * 200_000),
    ]
    delivery.deliver(namespace(), *large, config_map("small"), deployment())
    delivery.app.synth()
    resources = json.loads((tmp_path / "Services.template.json").read_text(encoding="utf-8"))["Resources"]
    files = {id: one for id, one in resources.items() if one["Type"] == "Custom::KubernetesFile"}
    first, second = sorted(files, key=lambda id: "Configuration" in id)
    sent = [
        json.loads((tmp_path / f"asset.{files[id]['Properties']['Key']}").read_text(encoding="utf-8"))
        for id in (first, second)
    ]
    assert sent == [[large[0]], [large[1]]]
    inline = [one for one in resources.values() if one["Type"] == APPLIED]
    assert "huge" not in json.dumps(inline)
    assert json.loads(resources[inventory_id(resources)]["Properties"]["Objects"])[0] != []
    # What comes before and after the files waits for them.
    after = [id for id, one in resources.items() if second in one.get("DependsOn", ())]
    assert after
    assert all("Deployment" in resources[id]["Properties"]["Manifest"] for id in after)


def inventory_id(resources: dict[str, Any]) -> str:
    (found,) = [id for id, one in resources.items() if one["Type"] == "Custom::KubernetesInventory"]
    return found


@pytest.mark.promise("within-limits")
def test_fails_on_an_object_that_kubernetes_does_not_store(tmp_path: Path) -> None:
    """The refusal names object, bytes, limit and fix."""
    with pytest.raises(
        ConfigurationError,
        match=r"^Services/Set: CustomResourceDefinition .*: has 1,6\d\d,\d\d\d bytes; Kubernetes stores 1,500,000; "
        r"remove descriptions or split it$",
    ):
        Delivery(tmp_path).deliver(definition(notes={"type": "string", "description": "d" * 1_600_000}))


@pytest.mark.promise("within-limits")
def test_fails_when_tokens_could_grow_beyond_what_a_request_holds(tmp_path: Path) -> None:
    """Each of 70 ARNs may have 2,048 bytes."""
    delivery = Delivery(tmp_path)
    arns = {f"arn-{number}": delivery.stack.stack_id for number in range(70)}
    with pytest.raises(
        ValueError, match="ConfigMap team-a/arns: has 14.,... bytes; an object with tokens may have 126,976"
    ):
        delivery.deliver(namespace(), config_map("arns", **arns))


@pytest.mark.promise("within-limits")
def test_fails_when_the_sets_of_a_stack_outgrow_its_template(tmp_path: Path) -> None:
    delivery = Delivery(tmp_path)
    delivery.deliver(namespace(), id="First")
    for number in range(8):
        delivery.deliver(config_map(f"large-{number}", text="x" * 100_000), id=f"Set{number}")
    with pytest.raises(
        ValueError,
        match=r"Services/Set8: objects: the manifests in stack Services now have 90\d,\d\d\d bytes, and its template "
        "has room for 900,000; move some to another stack",
    ):
        delivery.deliver(config_map("large-8", text="x" * 100_000), id="Set8")
    other = cdk.Stack(delivery.app, "Other")
    Manifests(other, "Set8", cluster=delivery.cluster, objects=[config_map("large-8", text="x" * 100_000)])


@pytest.mark.promise("within-limits")
def test_fails_when_there_are_too_many_objects_to_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlplatform_constructs._kubernetes.manifests.PACK_BYTES", 500)
    with pytest.raises(ValueError, match="objects: 51 exceed the inventory of one construct; split them"):
        Delivery(tmp_path).deliver(namespace(), *(config_map(f"number-{number}") for number in range(50)))


def test_a_thousand_objects_cross_jsii_less_than_four_hundred_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_NodeProcess, "send", _NodeProcess.send)  # puts back what counting replaces
    delivery = Delivery(tmp_path)
    stacks = [cdk.Stack(delivery.app, f"Services{number}") for number in range(5)]
    calls = manifests_app.count_calls()
    for component in range(25):
        objects = manifests_app.objects(component, 40)
        Manifests(stacks[component % 5], f"Component{component}", cluster=delivery.cluster, objects=objects)
    assert calls() < 400


def test_the_record_of_a_set_names_every_object_by_wave(tmp_path: Path) -> None:
    delivery = Delivery(tmp_path)
    delivery.deliver(deployment("b"), deployment("a"), namespace(), config_map())
    (inventory,) = delivery.template().of_type(INVENTORY).values()
    assert json.loads(inventory["Properties"]["Objects"]) == [
        [["v1", "Namespace", "", ["team-a"]]],
        [["v1", "ConfigMap", "team-a", ["settings"]]],
        [["apps/v1", "Deployment", "team-a", ["a", "b"]]],
    ]


def test_namespaces_of_kubernetes_itself_are_not_on_record(tmp_path: Path) -> None:
    """They cannot be deleted, and a set may still label them."""
    delivery = Delivery(tmp_path)
    delivery.deliver(namespace("default"), config_map(namespace="default"))
    (inventory,) = delivery.template().of_type(INVENTORY).values()
    assert json.loads(inventory["Properties"]["Objects"]) == [[["v1", "ConfigMap", "default", ["settings"]]]]
