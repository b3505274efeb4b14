"""Steps of inference graphs."""

from collections.abc import Callable
from typing import Any

import pytest

from mlplatform_constructs import ConfigurationError
from mlplatform_constructs.serving import (
    Explainer,
    GraphStep,
    ModelContainer,
    ModelSource,
    PrepackagedServer,
    Resources,
)

SMALL = Resources(cpu="1", memory="2Gi")
OWN = ModelContainer(image="r.io/churn:1.0", resources=SMALL)
FIRST, SECOND = GraphStep(name="first", runs=OWN), GraphStep(name="second", runs=OWN)
SKLEARN = PrepackagedServer(
    implementation="SKLEARN_SERVER", model=ModelSource("s3://models/churn/model"), resources=SMALL
)


def written(step: GraphStep) -> dict[str, Any]:
    ports = {each.name: 9000 + number for number, each in enumerate(step.steps())}
    return step.to_json(ports, service_account="model-server", secret="storage")


def test_a_container_answers_on_the_port_that_the_graph_names() -> None:
    assert written(FIRST)["endpoint"] == {
        "type": "REST",
        "service_host": "localhost",
        "service_port": 9000,
        "httpPort": 9000,
        "grpcPort": 9500,
    }


def test_a_prepackaged_server_reads_its_model_as_its_service_account() -> None:
    assert written(GraphStep(name="churn", runs=SKLEARN)) == {
        "name": "churn",
        "implementation": "SKLEARN_SERVER",
        "modelUri": "s3://models/churn/model",
        "envSecretRefName": "storage",
        "serviceAccountName": "model-server",
    }


def test_an_ab_test_is_a_router_of_the_executor_itself() -> None:
    step = GraphStep.ab_test("choice", FIRST, SECOND, first_share=0.25)
    found = written(step)
    assert (found["type"], found["implementation"]) == ("ROUTER", "RANDOM_ABTEST")
    assert found["parameters"] == [{"name": "ratioA", "value": "0.25", "type": "FLOAT"}]
    assert step.resources is None


def test_models_are_averaged_by_the_executor_itself() -> None:
    found = written(GraphStep.average("mean", FIRST, SECOND))
    assert (found["type"], found["implementation"]) == ("COMBINER", "AVERAGE_COMBINER")
    assert [child["name"] for child in found["children"]] == ["first", "second"]


def test_parameters_keep_their_type() -> None:
    step = GraphStep(name="m", runs=OWN, parameters={"a": "x", "b": 1, "c": 0.5, "d": True})
    assert [(found["value"], found["type"]) for found in written(step)["parameters"]] == [
        ("x", "STRING"),
        ("1", "INT"),
        ("0.5", "FLOAT"),
        ("true", "BOOL"),
    ]


def test_an_explainer_has_its_own_model_and_resources() -> None:
    found = Explainer(kind="AnchorTabular", model=ModelSource("s3://models/explainer"), resources=SMALL).to_json(
        service_account="model-server", secret="storage"
    )
    assert (found["type"], found["modelUri"]) == ("AnchorTabular", "s3://models/explainer")
    assert found["containerSpec"]["resources"]["limits"]["memory"] == "2Gi"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GraphStep(name="R", runs=OWN), "name must be lower-case"),
        (lambda: GraphStep(name="r", runs=OWN, kind="ROUTER", children=(FIRST,)), "a ROUTER needs two children"),
        (lambda: GraphStep.average("mean", FIRST), "a COMBINER needs two children or more, got 1"),
        (lambda: GraphStep(name="t", runs=OWN, kind="TRANSFORMER"), "a TRANSFORMER needs one child.*got 0"),
        (
            lambda: GraphStep(name="t", runs=OWN, kind="OUTPUT_TRANSFORMER", children=(FIRST, SECOND)),
            "an? OUTPUT_TRANSFORMER needs one child.*got 2",
        ),
        (
            lambda: GraphStep(name="t", runs=SKLEARN, kind="TRANSFORMER", children=(FIRST,)),
            "a prepackaged server is a MODEL, got kind='TRANSFORMER'",
        ),
        (lambda: GraphStep(name="m", runs=OWN, parameters={"a b": 1}), "'a b' is not a valid name"),
        (lambda: GraphStep.ab_test("c", FIRST, SECOND, first_share=1), "first_share must be between 0 and 1, got 1"),
        (lambda: ModelContainer(image="r.io/churn", resources=SMALL), "image must have a tag or a digest"),
        (lambda: ModelContainer(image="r.io/c:1", resources=SMALL, port=8000), "that of the executor's HTTP server"),
        (lambda: ModelContainer(image="r.io/c:1", resources=SMALL, port=80), "port must be 1024 to 65535, got 80"),
        (lambda: ModelContainer(image="r.io/c:1", resources=SMALL, health="live"), "health must begin with '/'"),
        (lambda: ModelContainer(image="r.io/c:1", resources=SMALL, user=0), "user must be 1 or more"),
        (lambda: Explainer(kind="Magic", resources=SMALL), "kind must be 'ALE' or .*got 'Magic'"),  # type: ignore[arg-type]
        (
            lambda: PrepackagedServer(
                implementation="SKLEARN",  # type: ignore[arg-type]
                model=ModelSource("s3://m/x"),
                resources=SMALL,
            ),
            "did you mean 'SKLEARN_SERVER'",
        ),
    ],
)
def test_a_step_that_cannot_work_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()
