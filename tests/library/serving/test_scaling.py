"""Autoscalers of served models."""

from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import kubernetes_validate
import pytest

from mlplatform_constructs import ConfigurationError
from mlplatform_constructs.serving import Metric, ScaleFromZero, Scaling, Trigger

ORDERS = Trigger.prometheus("sum(open_orders)", per_replica=50, server="http://prometheus.monitoring.svc:9090")
QUEUE = "https://sqs.eu-west-1.amazonaws.com/111111111111/growth-images"
EVERY_METRIC = {
    "cpu": (Metric.cpu(70), {"type": "Utilization", "averageUtilization": 70}),
    "memory": (Metric.memory(80), {"type": "Utilization", "averageUtilization": 80}),
    "response time": (Metric.response_time(0.2), {"type": "AverageValue", "averageValue": "200m"}),
    "requests in flight": (Metric.in_flight(4), {"type": "AverageValue", "averageValue": "4"}),
    "business": (Metric.business("autoscaling_open_orders", 50), {"type": "AverageValue", "averageValue": "50"}),
    "datadog": (Metric.datadog("shop", "queue", 2.5), {"type": "AverageValue", "averageValue": "2500m"}),
}


def hpa(*metrics: Metric, **more: Any) -> dict[str, Any]:
    return Scaling(most=8, metrics=metrics, **more).to_json("churn", "growth", {"app.kubernetes.io/name": "churn"})


@pytest.mark.promise("autoscaled-servers", "scaling-by-metrics")
@pytest.mark.parametrize("name", EVERY_METRIC)
def test_an_autoscaler_takes_any_metric_and_is_a_valid_object(name: str) -> None:
    metric, target = EVERY_METRIC[name]
    found = hpa(metric)
    kubernetes_validate.validate(found, "1.35", strict=True)
    (written,) = found["spec"]["metrics"]
    assert written[written["type"].lower()]["target"] == target


def test_the_metric_that_asks_for_most_replicas_decides() -> None:
    found = hpa(Metric.cpu(70), Metric.business("autoscaling_open_orders", 50, labels={"shop": "de"}))
    assert [metric["type"] for metric in found["spec"]["metrics"]] == ["Resource", "Object"]
    orders = found["spec"]["metrics"][1]["object"]
    assert orders["metric"]["selector"] == {"matchLabels": {"shop": "de"}}
    assert orders["describedObject"] == {"apiVersion": "v1", "kind": "Namespace", "name": "growth"}


def test_a_server_scales_by_metrics_of_the_business_and_of_datadog_at_the_same_time() -> None:
    found = hpa(Metric.business("autoscaling_open_orders", 50), Metric.datadog("shop", "queue", 2.5))
    assert [metric["type"] for metric in found["spec"]["metrics"]] == ["Object", "External"]


def test_datadog_answers_by_the_name_of_a_datadogmetric() -> None:
    (metric,) = hpa(Metric.datadog("shop", "queue", 2.5))["spec"]["metrics"]
    assert metric["external"]["metric"]["name"] == "datadogmetric@shop:queue"


def test_replicas_are_taken_away_slowly_and_never_below_two() -> None:
    spec = hpa(Metric.cpu(70))["spec"]
    assert spec["minReplicas"] == 2
    assert spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300


@pytest.mark.promise("scaling-by-metrics")
def test_a_server_scales_from_zero_by_a_query(offer: Callable[[Any], None]) -> None:
    found = ScaleFromZero(most=4, triggers=(ORDERS, Trigger.datadog("avg:queue{*}", per_replica=9)))
    scaled = found.to_json("churn", "growth", {})
    offer(scaled)
    spec = scaled["spec"]
    assert spec["minReplicaCount"] == 0
    assert spec["scaleTargetRef"] == {"name": "churn"}
    assert spec["triggers"][0]["metadata"] == {
        "query": "sum(open_orders)",
        "activationThreshold": "0",
        "serverAddress": "http://prometheus.monitoring.svc:9090",
        "threshold": "50",
    }
    assert spec["triggers"][1]["authenticationRef"] == {"kind": "ClusterTriggerAuthentication", "name": "datadog"}
    predictor = {"name": "main", "graph": {"name": "m"}, "componentSpecs": [{"kedaSpec": found.spec()}]}
    offer(
        {
            "apiVersion": "machinelearning.seldon.io/v1",
            "kind": "SeldonDeployment",
            "metadata": {"name": "churn", "namespace": "growth"},
            "spec": {"predictors": [predictor]},
        }
    )


@pytest.mark.promise("idle-servers")
def test_a_server_scales_from_zero_by_the_messages_of_a_queue_which_keda_counts_as_its_own_role(
    offer: Callable[[Any], None],
) -> None:
    scaled = ScaleFromZero(most=4, triggers=(Trigger.sqs(QUEUE, per_replica=20, region="eu-west-1"),))
    offer(scaled.to_json("churn", "growth", {}))
    (trigger,) = scaled.spec()["triggers"]
    assert trigger == {
        "type": "aws-sqs-queue",
        "metadata": {
            "queueURL": QUEUE,
            "queueLength": "20",
            "activationQueueLength": "0",
            "awsRegion": "eu-west-1",
        },
        "authenticationRef": {"kind": "ClusterTriggerAuthentication", "name": "aws"},
    }


def test_the_url_of_a_queue_that_does_not_exist_yet_passes() -> None:
    url = cdk.Token.as_string({"Ref": "Queue"})
    trigger = Trigger.sqs(url, per_replica=1, region=cdk.Aws.REGION)
    assert trigger.to_json()["metadata"]["queueURL"] == url


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Metric.cpu(0), "Metric 'cpu': target must be 0.001 or more, got 0"),
        (lambda: Metric.cpu(170), "target must be a whole percentage up to 100, got 170"),
        (
            lambda: Metric.business("autoscaling_orders", -1),
            "Metric 'autoscaling_orders': target must be 0.001 or more",
        ),
        (
            lambda: Metric.business("orders", 5),
            "'orders': name must start with 'autoscaling_', .* as 'autoscaling_orders'",
        ),
        (lambda: Metric.datadog("Shop", "q", 1), "namespace must be lower-case"),
        (lambda: Scaling(most=1), "most must be 2 or more, the value of least, got 1"),
        (lambda: Scaling(most=3, least=0), "least must be 1 or more, got 0; use ScaleFromZero for 0"),
        (lambda: Scaling(most=3, metrics=()), "metrics is empty; give at least one"),
        (lambda: Scaling(most=3, metrics=(Metric.cpu(50), Metric.cpu(60))), "metrics: 'cpu' is listed twice"),
        (lambda: Scaling(most=3, calm_seconds=4000), "calm_seconds must be 0 to 3600, got 4000"),
        (lambda: ScaleFromZero(most=3, triggers=()), "triggers is empty; give at least one"),
        (lambda: ScaleFromZero(most=0, triggers=(ORDERS,)), "most must be 1 or more, got 0"),
        (lambda: Trigger.prometheus("x", per_replica=1, server="prometheus:9090"), "server must be the URL of"),
        (lambda: Trigger.prometheus(" ", per_replica=1, server="http://p"), "query is empty; give the query"),
        (lambda: Trigger.sqs("images", per_replica=1, region="r"), "Trigger 'images': url must be the URL of an SQS"),
        (lambda: Trigger.sqs(QUEUE, per_replica=1, region=""), "region is empty; give that of the queue"),
        (
            lambda: Trigger.sqs(QUEUE, per_replica=1.5, region="r"),  # type: ignore[arg-type]
            "per_replica must be a whole number of messages, got 1.5",
        ),
        (lambda: Trigger.datadog("x", per_replica=0), "per_replica must be above 0, got 0"),
        (lambda: Trigger.datadog("x", per_replica=1, activation=-1), "activation must be 0 or more, got -1"),
    ],
)
def test_what_cannot_scale_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()
