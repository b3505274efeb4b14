"""Where served models come from, and what every way of serving has in common."""

from typing import Any

import cdk8s
import pytest

from mlplatform_constructs import ConfigurationError
from mlplatform_constructs.charts import ComponentChart
from mlplatform_constructs.serving import (
    GraphStep,
    InferenceService,
    InferenceSplit,
    ModelServer,
    ModelSource,
    PrepackagedServer,
    Resources,
    SeldonDeployment,
    ServedModel,
)

DIGEST = "0" * 64
SMALL = Resources(cpu="1", memory="2Gi")
SOURCE = ModelSource.repository("models", model="churn", version=7, digest=DIGEST)


def every_way() -> list[ServedModel]:
    server = PrepackagedServer(implementation="SKLEARN_SERVER", model=SOURCE, resources=SMALL)
    chart = ComponentChart(cdk8s.App(), "churn")
    return [
        SeldonDeployment.single("churn", "growth", GraphStep(name="churn", runs=server), region="eu-west-1"),
        InferenceService(name="churn", namespace="growth", model_format="sklearn", model=SOURCE, resources=SMALL),
        InferenceSplit(name="churn-split", namespace="growth", weights={"churn": 90, "churn-next": 10}),
        ModelServer(chart, "Churn", name="churn", namespace="growth", image="r.io/c:1", port=8080, resources=SMALL),
    ]


@pytest.mark.parametrize("served", every_way(), ids=lambda served: type(served).__name__)
def test_every_way_of_serving_has_an_address_and_objects_of_its_namespace(served: ServedModel) -> None:
    assert isinstance(served, ServedModel)
    assert served.prediction_url.startswith("http://")
    assert {found["metadata"]["namespace"] for found in served.objects()} == {"growth"}
    assert served.name in {found["metadata"]["name"] for found in served.objects()}


def test_a_version_of_the_repository_is_read_where_the_repository_wrote_it() -> None:
    assert SOURCE.uri == f"s3://models/churn/packages/7/{DIGEST}/model"
    assert ModelSource.claim("training-data", "churn/7").uri == "pvc://training-data/churn/7"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bucket": "Models"}, "bucket must be the name of a bucket, got 'Models'"),
        ({"model": "churn/7"}, "model must be lower-case words joined by hyphens, got 'churn/7'"),
        ({"version": 0}, "version must be 1 or more, got 0"),
        ({"digest": "abc"}, "digest must be the 64 hexadecimal digits of package.digest, got 'abc'"),
    ],
)
def test_a_version_that_cannot_be_one_is_refused(given: dict[str, Any], message: str) -> None:
    values: dict[str, Any] = {"bucket": "models", "model": "churn", "version": 7, "digest": DIGEST, **given}
    with pytest.raises(ConfigurationError, match=message):
        ModelSource.repository(**values)


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"uri must be s3://, pvc:// or https://, got '/models/churn'"):
        ModelSource("/models/churn")
