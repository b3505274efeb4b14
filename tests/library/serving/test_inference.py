"""Models served by KServe."""

from collections.abc import Callable
from typing import Any

import kubernetes_validate
import pytest
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import ConfigurationError
from mlplatform_constructs.serving import InferenceService, InferenceSplit, Metric, ModelSource, Resources, Scaling

SMALL = Resources(cpu="1", memory="2Gi")
SOURCE = ModelSource.repository("models", model="churn", version=7, digest="0" * 64)


def service(**more: Any) -> InferenceService:
    given = {"name": "churn", "namespace": "growth", "model_format": "sklearn", "model": SOURCE, "resources": SMALL}
    return InferenceService(**{**given, **more})


def split(**weights: int) -> InferenceSplit:
    return InferenceSplit(name="churn-split", namespace="growth", weights=weights)


@pytest.mark.promise("kserve")
def test_the_api_accepts_a_service_and_a_split(offer: Callable[[Any], None]) -> None:
    for found in [*service().objects(), *split(churn=90, next=10).objects()]:
        offer(found)


def test_object(snapshot_json: SnapshotAssertion) -> None:
    assert service().to_json() == snapshot_json


def test_the_pod_is_valid_in_kubernetes() -> None:
    predictor = service(environment={"A": "b"}).to_json()["spec"]["predictor"]
    own = {"modelFormat", "protocolVersion", "storageUri"}
    model = {key: value for key, value in predictor["model"].items() if key not in own}
    of_pod = {"serviceAccountName", "terminationGracePeriodSeconds", "topologySpreadConstraints", "securityContext"}
    spec = {key: value for key, value in predictor.items() if key in of_pod}
    pod = {**spec, "containers": [{"name": "kserve-container", "image": "r.io/filled-in:1", **model}]}
    kubernetes_validate.validate(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "m"}, "spec": pod}, "1.35", strict=True
    )


def test_a_service_needs_no_knative() -> None:
    for found in (service().to_json(), split(churn=50, next=50).to_json()):
        assert found["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Standard"


def test_an_autoscaler_owns_the_replicas_by_cpu_or_memory() -> None:
    found = service(replicas=Scaling(most=5, metrics=(Metric.memory(80),))).to_json()
    predictor = found["spec"]["predictor"]
    assert found["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "hpa"
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (2, 5)
    assert (predictor["scaleMetric"], predictor["scaleTarget"]) == ("memory", 80)


@pytest.mark.promise("kserve")
def test_a_split_divides_requests_by_weight() -> None:
    steps = split(churn=90, next=10).to_json()["spec"]["nodes"]["root"]["steps"]
    assert [(step["serviceName"], step["weight"]) for step in steps] == [("churn", 90), ("next", 10)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: service(name="c" * 51), "name must have at most 50 characters"),
        (lambda: service(replicas=0), "replicas must be 1 or more, got 0"),
        (lambda: service(environment={"a b": "c"}), "'a b' is not a valid name"),
        (
            lambda: service(replicas=Scaling(most=5, metrics=(Metric.in_flight(4),))),
            "KServe's autoscaler takes one metric, cpu or memory, got pods; use SeldonDeployment or ModelServer",
        ),
        (
            lambda: service(resources=Resources(cpu="1", memory="1Gi", gpus=1)),
            "GPUs need nodes that have some; give purpose",
        ),
        (lambda: service(model_format="pickle"), "model_format must be"),
        (lambda: split(churn=90), r"weights must sum to 100, got 90 \(churn=90\)"),
        (lambda: split(), r"weights must sum to 100, got 0 \(none\)"),
        (lambda: split(churn=100, next=0), r"weights\['next'\] must be 1 to 100, got 0"),
        (
            lambda: InferenceSplit(name="churn", namespace="growth", weights={"churn": 100}),
            "name is also that of an InferenceService",
        ),
    ],
)
def test_what_cannot_be_served_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()
