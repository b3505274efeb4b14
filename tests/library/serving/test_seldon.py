"""SeldonDeployments: every strategy, what keeps them available, and what is refused."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import kubernetes_validate
import pytest
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import ConfigurationError
from mlplatform_constructs.serving import (
    Explainer,
    GraphStep,
    Metric,
    ModelContainer,
    ModelSource,
    Predictor,
    PrepackagedServer,
    Resources,
    ScaleFromZero,
    Scaling,
    SeldonDeployment,
    Trigger,
)

SMALL = Resources(cpu="1", memory="2Gi")
SOURCE = ModelSource.repository("models", model="churn", version=7, digest="0" * 64)
SERVER = PrepackagedServer(implementation="SKLEARN_SERVER", model=SOURCE, resources=SMALL)
STABLE = GraphStep(name="churn", runs=SERVER)
OWN = GraphStep(name="churn", runs=ModelContainer(image="r.io/churn:1.0", resources=SMALL))
NEXT = GraphStep(name="churn", runs=ModelContainer(image="r.io/churn:2.0", resources=SMALL))
PLACE: dict[str, Any] = {"name": "churn", "namespace": "growth", "region": "eu-west-1"}
ROUTER = ModelContainer(image="r.io/epsilon-greedy:1.0", resources=SMALL)


def renamed(step: GraphStep, name: str) -> GraphStep:
    return replace(step, name=name)


EVERY_STRATEGY: dict[str, Callable[[], SeldonDeployment]] = {
    "single": lambda: SeldonDeployment.single(model=STABLE, **PLACE),
    "canary": lambda: SeldonDeployment.canary(stable=STABLE, candidate=NEXT, percent=10, **PLACE),
    "ab_test": lambda: SeldonDeployment.ab_test(first=renamed(OWN, "a"), second=renamed(NEXT, "b"), **PLACE),
    "shadow": lambda: SeldonDeployment.shadow(live=STABLE, candidate=NEXT, **PLACE),
    "bandit": lambda: SeldonDeployment.bandit(
        models=[renamed(OWN, "a"), renamed(NEXT, "b"), renamed(OWN, "c")], router=ROUTER, **PLACE
    ),
    "graph": lambda: SeldonDeployment.single(
        model=GraphStep(
            name="scale",
            runs=replace(ROUTER, image="r.io/scale:1.0"),
            kind="TRANSFORMER",
            children=(
                GraphStep(
                    name="explain-reasons",
                    runs=replace(ROUTER, image="r.io/reasons:1.0"),
                    kind="OUTPUT_TRANSFORMER",
                    children=(OWN,),
                ),
            ),
        ),
        **PLACE,
    ),
    "explainer": lambda: SeldonDeployment.single(
        model=STABLE, explainer=Explainer(kind="AnchorTabular", model=SOURCE, resources=SMALL), **PLACE
    ),
    "scaling": lambda: SeldonDeployment.single(
        model=STABLE, replicas=Scaling(most=9, metrics=(Metric.cpu(70), Metric.in_flight(4))), **PLACE
    ),
    "from_zero": lambda: SeldonDeployment.single(
        model=STABLE,
        replicas=ScaleFromZero(most=2, triggers=(Trigger.prometheus("x", per_replica=1, server="http://p"),)),
        **PLACE,
    ),
}
every_strategy = pytest.mark.parametrize("strategy", EVERY_STRATEGY)


def predictors(strategy: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = EVERY_STRATEGY[strategy]().to_json()["spec"]["predictors"]
    return found


@pytest.mark.promise("seldon")
@every_strategy
def test_the_api_accepts_every_strategy(offer: Callable[[Any], None], strategy: str) -> None:
    for found in EVERY_STRATEGY[strategy]().objects():
        offer(found)


@every_strategy
def test_pods_are_valid_in_kubernetes(strategy: str) -> None:
    """The definition leaves pods open, so they are held to Kubernetes' own schema."""
    for predictor in predictors(strategy):
        (component,) = predictor["componentSpecs"]
        containers = [{"image": "r.io/filled-in-by-the-operator:1", **each} for each in component["spec"]["containers"]]
        spec = {**component["spec"], "containers": containers}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "m", **component["metadata"]}, "spec": spec}
        kubernetes_validate.validate(pod, "1.35", strict=True)
        for metric in component.get("hpaSpec", {}).get("metricsv2", []):
            spec = {"scaleTargetRef": {"kind": "Deployment", "name": "m"}, "maxReplicas": 2, "metrics": [metric]}
            hpa = {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": "m"},
                "spec": spec,
            }
            kubernetes_validate.validate(hpa, "1.35", strict=True)


@pytest.mark.parametrize("strategy", ["single", "canary", "bandit", "graph"])
def test_objects(strategy: str, snapshot_json: SnapshotAssertion) -> None:
    assert EVERY_STRATEGY[strategy]().objects() == snapshot_json


@every_strategy
def test_names_and_ports_of_graph_and_containers_agree(strategy: str) -> None:
    def steps(found: dict[str, Any]) -> list[dict[str, Any]]:
        return [found, *(step for child in found.get("children", []) for step in steps(child))]

    for predictor in predictors(strategy):
        containers = {each["name"]: each for each in predictor["componentSpecs"][0]["spec"]["containers"]}
        graph = {step["name"]: step for step in steps(predictor["graph"])}
        assert set(containers) == {name for name, step in graph.items() if step.get("implementation") not in BUILT_IN}
        ports = [port["containerPort"] for container in containers.values() for port in container.get("ports", ())]
        assert len(set(ports)) == len(ports)
        for name, step in graph.items():
            if "endpoint" in step:
                http, grpc = containers[name]["ports"]
                assert http["containerPort"] == step["endpoint"]["httpPort"] == step["endpoint"]["service_port"]
                assert grpc["containerPort"] == step["endpoint"]["grpcPort"]


BUILT_IN = ("RANDOM_ABTEST", "AVERAGE_COMBINER")


@pytest.mark.promise("seldon")
def test_shares_are_those_of_the_strategy() -> None:
    assert [found["traffic"] for found in predictors("canary")] == [90, 10]
    live, shadow = predictors("shadow")
    assert (live["traffic"], live.get("shadow")) == (100, None)
    assert ("traffic" in shadow, shadow["shadow"]) == (False, True)


def test_a_bandit_is_told_its_branches_and_keeps_its_rewards_in_one_pod() -> None:
    (predictor,) = predictors("bandit")
    assert predictor["replicas"] == 1
    assert {found["name"]: found["value"] for found in predictor["graph"]["parameters"]} == {
        "n_branches": "3",
        "epsilon": "0.1",
    }
    bandit = EVERY_STRATEGY["bandit"]()
    assert bandit.protocol == "seldon"
    assert bandit.feedback_url.endswith("/seldon/growth/churn/api/v1.0/feedback")


@pytest.mark.promise("autoscaled-servers")
def test_an_autoscaler_owns_the_replicas() -> None:
    for strategy in ("scaling", "from_zero"):
        (predictor,) = predictors(strategy)
        assert "replicas" not in predictor
        assert "replicas" not in predictor["componentSpecs"][0]
    assert "metrics" not in predictors("scaling")[0]["componentSpecs"][0]["hpaSpec"]


def test_a_new_version_is_a_rolling_update_of_the_same_pods() -> None:
    before = SeldonDeployment.single(model=OWN, **PLACE)
    after = before.with_model(NEXT)
    assert after.to_json() != before.to_json()
    assert str(after.to_json()).replace("churn:2.0", "churn:1.0") == str(before.to_json())


@every_strategy
def test_pods_drain_before_they_stop(strategy: str) -> None:
    for predictor in predictors(strategy):
        pod = predictor["componentSpecs"][0]["spec"]
        for container in pod["containers"]:
            command = container["lifecycle"]["preStop"]["exec"]["command"]
            assert pod["terminationGracePeriodSeconds"] > int(command[1]) > 10


def test_servers_read_s3_without_keys() -> None:
    secret, _ = EVERY_STRATEGY["single"]().objects()
    assert secret["stringData"] == {
        "RCLONE_CONFIG_S3_TYPE": "s3",
        "RCLONE_CONFIG_S3_PROVIDER": "aws",
        "RCLONE_CONFIG_S3_ENV_AUTH": "true",
        "RCLONE_CONFIG_S3_REGION": "eu-west-1",
    }
    assert len(SeldonDeployment.single(model=OWN, **PLACE).objects()) == 1


def test_gpus_choose_the_nodes() -> None:
    large = replace(OWN, runs=ModelContainer(image="r.io/c:1", resources=Resources(cpu="4", memory="16Gi", gpus=1)))
    found = SeldonDeployment.single(model=large, purpose="inference", **PLACE).to_json()
    pod = found["spec"]["predictors"][0]["componentSpecs"][0]["spec"]
    assert pod["nodeSelector"] == {"mlplatform/purpose": "inference"}
    assert "nvidia.com/gpu" in {each["key"] for each in pod["tolerations"]}


def predictor(name: str = "main", **more: Any) -> Predictor:
    return Predictor(**{"name": name, "graph": OWN, **more})


def deployment(*found: Predictor, **more: Any) -> SeldonDeployment:
    return SeldonDeployment(**{**PLACE, "predictors": found, **more})


SAME_PORT = GraphStep(
    name="before",
    runs=replace(ROUTER, port=9100),
    kind="TRANSFORMER",
    children=(GraphStep(name="model", runs=replace(ROUTER, port=9100)),),
)
TENSORFLOW = replace(STABLE, runs=replace(SERVER, implementation="TENSORFLOW_SERVER"))


@pytest.mark.promise("seldon")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: deployment(predictor(traffic=80), predictor("canary", traffic=30)),
            r"traffic of all predictors must sum to 100, got 110 \(main=80, canary=30\)",
        ),
        (lambda: deployment(predictor(traffic=99)), "must sum to 100, got 99"),
        (lambda: deployment(), "predictors is empty; give at least one"),
        (lambda: deployment(predictor(), predictor(traffic=0)), "two predictors are called 'main'"),
        (lambda: deployment(predictor(), name="Churn"), "name must be lower-case"),
        (lambda: deployment(predictor(), name="c" * 41), "name must have at most 40 characters"),
        (
            lambda: deployment(predictor("m" * 25, graph=renamed(OWN, "s" * 30)), name="c" * 30),
            "its Service would be named .* 24 characters too long",
        ),
        (lambda: deployment(predictor(graph=TENSORFLOW)), "TENSORFLOW_SERVER does not answer protocol 'v2'"),
        (lambda: predictor(shadow=True), "a shadow has no share of the requests; set traffic=0, got 100"),
        (lambda: predictor(traffic=101), "traffic must be 0 to 100"),
        (lambda: predictor(replicas=0), "replicas must be 1 or more, got 0; use ScaleFromZero"),
        (lambda: predictor(graph=SAME_PORT), "steps 'before' and 'model' both answer on port 9100 of one pod"),
        (
            lambda: predictor(graph=GraphStep.ab_test("choice", OWN, NEXT)),
            "graph: two steps are called 'churn'; rename one",
        ),
        (
            lambda: predictor(
                graph=replace(
                    OWN, runs=ModelContainer(image="r.io/c:1", resources=Resources(cpu="1", memory="1Gi", gpus=1))
                )
            ),
            "GPUs need nodes that have some; give purpose",
        ),
        (lambda: SeldonDeployment.canary(stable=OWN, candidate=NEXT, percent=0, **PLACE), "percent must be 1 to 99"),
        (
            lambda: SeldonDeployment.bandit(models=[OWN, NEXT], router=ROUTER, exploration=1, **PLACE),
            "exploration must be between 0 and 1, got 1",
        ),
        (
            lambda: SeldonDeployment.single(model=OWN, **PLACE).with_model(renamed(NEXT, "next")),
            "the step must keep its name 'churn' in a rolling update, got 'next'",
        ),
        (
            lambda: EVERY_STRATEGY["canary"]().with_model(NEXT),
            "has 2 predictors; change the one you mean",
        ),
    ],
)
def test_what_cannot_be_served_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda spec: spec["predictors"][0].update(traffic="ten"), "traffic"),
        (lambda spec: spec["predictors"][0].pop("graph"), "graph"),
        (lambda spec: spec["predictors"][0]["graph"].update(modelURL="s3://x"), "unknown field"),
        (lambda spec: spec.pop("predictors"), "predictors"),
    ],
)
def test_the_definition_refuses_what_the_operator_would_not_read(
    offer: Callable[[Any], None], change: Callable[[Any], Any], message: str
) -> None:
    found = EVERY_STRATEGY["single"]().to_json()
    change(found["spec"])
    with pytest.raises(Exception, match=message):
        offer(found)
