"""Objects that the API server would refuse are refused at synthesis, each by one line: place, object, field, fix."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_eks_v2 as eks
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform_constructs import Manifests, ProvidedObjects
from mlplatform_constructs._kubernetes.contents import ClusterContents
from mlplatform_constructs._kubernetes.gates import gates
from mlplatform_constructs._kubernetes.packing import Parcel, stages
from mlplatform_constructs._kubernetes.reading import read
from mlplatform_constructs._kubernetes.schemas import core_schemas
from mlplatform_constructs._kubernetes.waves import Wave
from tests.manifests import (
    Delivery,
    Object,
    config_map,
    custom,
    definition,
    deployment,
    everything,
    namespace,
    role,
    service,
    service_account,
)

POD = "spec.template.spec.containers[0]"


@pytest.fixture(scope="module")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> Delivery:
    return Delivery(tmp_path_factory.mktemp("app"))


def found(*bodies: Any, with_namespace: bool = True) -> list[str]:
    """What is wrong with some objects on Kubernetes 1.35."""
    more = [namespace()] if with_namespace else []
    return read([*more, *bodies], ClusterContents("cluster", core_schemas("1.35")))[1]


def changed(body: Object, *path: Any, to: Any) -> Object:
    """The object with one value replaced."""
    place: Any = body
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return body


def test_what_the_api_server_accepts_passes() -> None:
    assert found(*everything(), with_namespace=False) == []


def test_all_mistakes_are_reported_together_with_the_path_of_the_construct(delivery: Delivery) -> None:
    with pytest.raises(ValueError, match="unknown field") as error:
        delivery.deliver(namespace(), deployment(imagee="x"), service_account("Worker"), id="Wrong")
    assert str(error.value).splitlines() == [
        f"Services/Wrong: Deployment team-a/server: {POD}.imagee: unknown field; did you mean 'image'?",
        "Services/Wrong: ServiceAccount team-a/Worker: metadata.name: 'Worker' must consist of lower-case letters, "
        "digits, '-' and '.', with a letter or digit at both ends",
    ]


def test_a_refused_set_leaves_nothing_behind(delivery: Delivery) -> None:
    with pytest.raises(ValueError, match="unknown field"):
        delivery.deliver(namespace("team-r"), deployment(namespace="team-r", imagee="x"), id="Refused")
    with pytest.raises(ValueError, match="nothing earlier creates 'team-r'"):
        delivery.deliver(config_map(namespace="team-r"), id="Later")


CORE: list[tuple[Object, str]] = [
    (deployment(imagee="x"), f"{POD}.imagee: unknown field; did you mean 'image'?"),
    (deployment(wholly="x"), f"{POD}.wholly: unknown field; remove it"),
    (changed(deployment(), "spec", "replicas", to="2"), "spec.replicas: must be an integer, got '2'"),
    (changed(deployment(), "spec", "replicas", to=1.5), "spec.replicas: must be an integer, got 1.5"),
    (changed(deployment(), "spec", "paused", to="no"), "spec.paused: must be a boolean, got 'no'"),
    (changed(deployment(), "spec", "template", to=[]), "spec.template: must be a mapping, got []"),
    (deployment(args="--port"), f"{POD}.args: must be a list, got '--port'"),
    (deployment(args=[8080]), f"{POD}.args[0]: must be text, got 8080"),
    (deployment(ports=[{"name": "http"}]), f"{POD}.ports[0].containerPort: required"),
    (
        deployment(resources={"limits": {"memory": "1GB"}}),
        f"{POD}.resources.limits.memory: '1GB' is not a quantity; use a value such as 500m, 2, 1.5Gi or 1G",
    ),
    (deployment(resources={"requests": {"cpu": True}}), f"{POD}.resources.requests.cpu: True is not a quantity"),
    (
        deployment(imagePullPolicy="always"),
        f"{POD}.imagePullPolicy: 'always' must be one of Always, IfNotPresent, Never",
    ),
    (
        deployment(livenessProbe={"httpGet": {"port": 1.5}}),
        f"{POD}.livenessProbe.httpGet.port: must be an integer or text, got 1.5",
    ),
    (
        changed(deployment(), "spec", "selector", "matchLabels", to={"app": "other"}),
        "spec.selector.matchLabels: {'app': 'other'} must be among spec.template.metadata.labels",
    ),
    (
        changed(config_map(), "metadata", "labels", to={"a b": "x"}),
        "metadata.labels[\"a b\"]: 'a b' must consist of letters, digits",
    ),
    (
        changed(config_map(), "metadata", "labels", to={"app": "not/allowed"}),
        "metadata.labels.app: 'not/allowed' must consist of letters, digits",
    ),
    (
        changed(config_map(), "metadata", "labels", to={"app": "x" * 64}),
        f"metadata.labels.app: '{'x' * 64}' has 64 characters, 63 are allowed",
    ),
    (
        changed(config_map(), "metadata", "annotations", to={"Example/x": "any text at all"}),
        "metadata.annotations[\"Example/x\"]: 'Example' before the '/' must be a domain",
    ),
    (changed(config_map(), "data", to={"port": 8080}), "data.port: must be text, got 8080"),
    (
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "s", "namespace": "team-a"},
            "data": {"a": "plain!"},
        },
        "data.a: must be base64",
    ),
    (role("a/b"), "metadata.name: 'a/b' must be free of '/' and '%'"),
    (namespace("team.b"), "metadata.name: 'team.b' must consist of lower-case letters, digits and '-'"),
    (
        service("1st"),
        "metadata.name: '1st' must consist of lower-case letters, digits and '-', and start with a letter",
    ),
    (
        changed(config_map(), "metadata", "annotations", to={"mlplatform-constructs/wave": "soon"}),
        "metadata.annotations[\"mlplatform-constructs/wave\"]: 'soon' is not a wave; use one of definitions, ",
    ),
    (deployment(args=[cdk.Fn.get_att("X", "Arn")]), f"{POD}.args[0]: must be plain JSON, got <"),
    (changed(deployment(), "spec", "replicas", to=float("inf")), "spec.replicas: must be plain JSON, got inf"),
    (changed(config_map(), "data", to={8080: "x"}), "data: field names must be strings, got 8080"),
    (config_map(namespace=""), "metadata.namespace: required; set 'default' explicitly for the default namespace"),
    (config_map(namespace="team-b"), "metadata.namespace: nothing earlier creates 'team-b'; add the Namespace"),
    (
        changed(deployment(), "apiVersion", to="extensions/v1beta1"),
        "apiVersion: Kubernetes 1.35 has no such kind in extensions/v1beta1; use apps/v1",
    ),
    (
        changed(deployment(), "kind", to="Deploymnt"),
        "kind: apps/v1 has no such kind in Kubernetes 1.35; did you mean 'Deployment'?",
    ),
    (
        {
            "apiVersion": "admissionregistration.k8s.io/v1alpha1",
            "kind": "MutatingAdmissionPolicy",
            "metadata": {"name": "x"},
        },
        "apiVersion: Kubernetes 1.35 has no such kind in admissionregistration.k8s.io/v1alpha1; use ",
    ),
    (custom(), "kind: nothing earlier defines Notebook of example.com/v1; add its CustomResourceDefinition"),
]


@pytest.mark.parametrize(("body", "problem"), CORE, ids=[problem.partition(";")[0][:60] for _, problem in CORE])
def test_fails_on_what_kubernetes_itself_would_refuse(body: Object, problem: str) -> None:
    """Unknown fields, wrong types, quantities, names, labels, kinds, namespaces."""
    (only,) = found(body)
    assert only.startswith(f"{body['kind']} ")
    assert f": {problem}" in only


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("text", "an object must be a mapping, got 'text'"),
        ({"kind": "ConfigMap"}, "apiVersion: required text, got None in {'kind': 'ConfigMap'}"),
        ({"apiVersion": "v1", "kind": "ConfigMap"}, "ConfigMap: metadata: required, got None"),
        (
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "x-"}},
            "ConfigMap x-: metadata.generateName: the object could not be updated or deleted; set metadata.name",
        ),
        (
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": 7}},
            "ConfigMap: metadata.name: required text, got 7",
        ),
        ({"apiVersion": "v1", "kind": "List", "items": [config_map()]}, "List: pass its items instead"),
    ],
)
def test_fails_on_what_is_no_object(body: Any, problem: str) -> None:
    assert found(body) == [problem]


def test_fails_on_the_same_object_twice_even_in_another_version() -> None:
    beta = {"apiVersion": "networking.k8s.io/v1beta1", "kind": "IPAddress", "metadata": {"name": "10.0.0.1"}}
    stable = {**beta, "apiVersion": "networking.k8s.io/v1"}
    spec = {"spec": {"parentRef": {"name": "x", "resource": "services"}}}
    assert found({**beta, **spec}, {**stable, **spec}) == ["IPAddress 10.0.0.1: is listed twice; keep one"]


def test_any_mapping_is_a_mapping() -> None:
    frozen = MappingProxyType({**config_map(), "data": MappingProxyType({"a": "b"})})
    result, problems = read([namespace(), frozen], ClusterContents("cluster", core_schemas("1.35")))
    assert problems == []
    assert '"data":{"a":"b"}' in Parcel.of(result.objects[1]).text


def test_a_namespace_on_an_object_that_has_none_does_not_count() -> None:
    """Charts put their namespace on all objects, and the API server drops it."""
    crd = changed(definition(), "metadata", "namespace", to="nowhere")
    assert found(crd) == []


SCHEMA: dict[str, Any] = {
    "text": {"type": "string", "maxLength": 3, "pattern": "^[a-z]+$"},
    "port": {"x-kubernetes-int-or-string": True},
    "level": {"type": "string", "enum": ["low", "high"]},
    "share": {"type": "number", "minimum": 0, "exclusiveMinimum": True, "maximum": 1},
    "maybe": {"type": "string", "nullable": True},
    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"n": {"type": "integer"}}},
    "closed": {"type": "object"},
    "map": {"type": "object", "additionalProperties": {"type": "integer"}},
    "list": {"type": "array", "maxItems": 1, "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
    "pod": {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
    "either": {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
    },
    "neither": {"type": "string", "not": {"enum": ["none"]}},
    "both": {"type": "string", "allOf": [{"minLength": 2}, {"pattern": "^x"}]},
}

GOOD: list[dict[str, Any]] = [
    {"text": "abc"},
    {"port": 80},
    {"port": "http"},
    {"level": "low"},
    {"share": 1},
    {"maybe": None},
    {"free": {"n": 1, "anything": [1]}},
    {"map": {"any-key": 1}},
    {"list": [{"name": "x"}]},
    {"pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {}}},
    {"either": {"a": "x"}},
    {"neither": "some"},
    {"both": "xy"},
]
BAD: list[tuple[dict[str, Any], str]] = [
    ({"size": "1"}, "spec.size: must be an integer, got '1'"),
    ({"siz": 1}, "spec.siz: unknown field; did you mean 'size'?"),
    ({"text": "ABC"}, "spec.text: 'ABC' must match ^[a-z]+$"),
    ({"text": "abcd"}, "spec.text: must be at most 3 characters, got 4"),
    ({"port": 1.5}, "spec.port: must be an integer or text, got 1.5"),
    ({"level": "mid"}, "spec.level: 'mid' must be one of low, high"),
    ({"share": 0}, "spec.share: must be above 0, got 0"),
    ({"share": 2}, "spec.share: must be at most 1, got 2"),
    ({"text": None}, "spec.text: must be text, got None"),
    ({"free": {"n": "1"}}, "spec.free.n: must be an integer, got '1'"),
    ({"closed": {"a": 1}}, "spec.closed.a: unknown field; remove it"),
    ({"map": {"any-key": "1"}}, "spec.map.any-key: must be an integer, got '1'"),
    ({"list": [{"nam": "x"}]}, "spec.list[0].nam: unknown field; did you mean 'name'?"),
    ({"list": [{}, {}]}, "spec.list: must be at most 1 items, got 2"),
    ({"pod": {"kind": "Pod"}}, "spec.pod.apiVersion: required"),
    ({"either": {}}, "spec.either: matches none of the alternatives in its definition: a: required; b: required"),
    (
        {"either": {"a": "x", "b": "x"}},
        "spec.either: matches 2 alternatives in its definition; exactly one is allowed (oneOf)",
    ),
    ({"neither": "none"}, "spec.neither: matches a schema that its definition forbids (not)"),
    ({"both": "y"}, "spec.both: must be at least 2 characters, got 1"),
]


@pytest.mark.parametrize("spec", GOOD, ids=str)
def test_a_resource_of_its_definition_passes(spec: dict[str, Any]) -> None:
    assert found(definition(**SCHEMA), custom(**{"size": 1, **spec})) == []


@pytest.mark.parametrize(("spec", "problem"), BAD, ids=[problem[:50] for _, problem in BAD])
def test_fails_on_a_resource_that_violates_its_definition(spec: dict[str, Any], problem: str) -> None:
    assert found(definition(**SCHEMA), custom(**{"size": 1, **spec})) == [f"Notebook team-a/mine: {problem}"]


def test_the_metadata_of_custom_resources_is_checked_too() -> None:
    wrong = changed(custom(), "metadata", "label", to={})
    (problem,) = found(definition(), wrong)
    assert problem == "Notebook team-a/mine: metadata.label: unknown field; did you mean 'labels'?"


def test_fails_on_a_version_that_the_definition_does_not_serve() -> None:
    (problem,) = found(definition(), changed(custom(), "apiVersion", to="example.com/v2"))
    assert problem == (
        "Notebook team-a/mine: apiVersion: its definition does not serve example.com/v2; use example.com/v1"
    )


def test_fails_on_a_definition_whose_name_is_not_what_it_defines() -> None:
    (problem,) = found(changed(definition(), "metadata", "name", to="notebook.example.com"))
    assert problem.endswith(
        "metadata.name: must be 'notebooks.example.com', from the plural and the group that it defines"
    )


def test_fails_on_a_definition_without_a_schema() -> None:
    crd = definition()
    del crd["spec"]["versions"][0]["schema"]
    assert found(crd) == ["CustomResourceDefinition notebooks.example.com: spec: required field 'schema' is missing"]


def test_definitions_and_namespaces_may_come_after_what_uses_them_in_a_set() -> None:
    assert found(custom(), definition(), namespace(), with_namespace=False) == []


TOKENS: list[Callable[[cdk.Stack], Object]] = [
    lambda stack: deployment(image=f"{stack.account}.dkr.ecr.{stack.region}.amazonaws.com/x:1"),
    lambda stack: changed(deployment(), "spec", "replicas", to=cdk.Token.as_number({"Ref": "Replicas"})),
    lambda stack: deployment(args=cdk.Token.as_list({"Ref": "Arguments"})),
    lambda stack: deployment(resources={"limits": {"memory": cdk.Token.as_string({"Ref": "Memory"})}}),
    lambda stack: changed(config_map(), "metadata", "labels", to={"stack": cdk.Aws.STACK_ID}),
    lambda stack: config_map(name=f"of-{stack.account}", namespace=cdk.Token.as_string({"Ref": "Namespace"})),
    lambda stack: changed(config_map(), "metadata", "annotations", to={f"example.com/{stack.stack_name}": "x"}),
]


@pytest.mark.parametrize("make", TOKENS)
def test_tokens_pass_anywhere(make: Callable[[cdk.Stack], Object]) -> None:
    assert found(make(cdk.Stack())) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values inside of a value."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield (*at, step)
        yield from places(inner, (*at, step))


PLACES = [(number, place) for number, body in enumerate(everything()) for place in places(body)]


@settings(max_examples=300, deadline=None)
@given(JSON, st.sampled_from(PLACES))
def test_nonsense_at_any_place_is_refused_or_harmless(nonsense: Any, where: tuple[int, tuple[Any, ...]]) -> None:
    """Whatever a chart makes, the check itself does not break, and what passes it can be delivered."""
    number, place = where
    bodies = everything()
    changed(bodies[number], *place, to=nonsense)
    result, problems = read(bodies, ClusterContents("cluster", core_schemas("1.35")))
    if not problems:
        assert gates(result.objects).keys() <= set(Wave)
        assert stages([Parcel.of(one) for one in result.objects], min(Wave), max(Wave))


def test_provided_namespaces_and_kinds_can_be_used(delivery: Delivery) -> None:
    chart = eks.HelmChart(delivery.stack, "Istio", cluster=delivery.cluster, chart="istio", repository="https://a.b")
    ProvidedObjects(
        delivery.stack,
        "IstioObjects",
        cluster=delivery.cluster,
        by=chart,
        namespaces=["istio-system"],
        definitions=[definition("Gateway")],
    )
    with pytest.raises(ValueError, match="Gateway istio-system/mine: spec.size: required"):
        delivery.deliver(custom(kind="Gateway", namespace="istio-system", other=1), id="WrongGateway")
    delivery.deliver(custom(kind="Gateway", namespace="istio-system"), id="Gateway")


def test_fails_on_a_minor_without_schemas(delivery: Delivery) -> None:
    future = eks.Cluster(delivery.stack, "Future", version=eks.KubernetesVersion.of("1.99"))
    with pytest.raises(
        ValueError, match="Services/Future: kubernetes-validate has no schemas for Kubernetes 1.99; it has 1.25, "
    ):
        Manifests(delivery.stack, "OfFuture", cluster=future, objects=[namespace()])


@pytest.mark.promise("supported-kubernetes")
def test_the_schemas_of_every_supported_minor_exist(tmp_path: Path) -> None:
    for minor in ("1.34", "1.35", "1.36"):
        assert core_schemas(minor).schema("apps/v1", "Deployment")
