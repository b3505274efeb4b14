"""Monitoring as deployed, on a real node: targets, rules, an alert that arrives and ends, replicas that follow."""

import json
from typing import Any

import pytest

from charts.monitoring.prometheus.rule_files import rule_groups
from kubernetes_rehearsal.client import ApiFailure
from kubernetes_rehearsal.proofs.workloads import check_workloads
from mlplatform_constructs.serving import ScaleFromZero, Trigger

SHOP = "shop"
TARGETS = {
    "alertmanager": 2,
    "apiserver": 1,
    "cadvisor": 1,
    "kubelet": 1,
    "node-exporter": 1,
    "prometheus": 2,
    "prometheus-operator": 1,
    "queue": 1,
}
"""Targets by job. kube-state-metrics and Grafana cannot run here, and proxies of the mesh do not."""


def replicas(monitored: Any) -> int:
    found = monitored.api.get(f"/apis/apps/v1/namespaces/{SHOP}/deployments/worker")
    ready: int = found["status"].get("readyReplicas", 0)
    return ready


def set_queue(monitored: Any, length: int) -> None:
    monitored.get(f"{SHOP}/queue:metrics", f"cgi-bin/set?{length}")


@pytest.mark.promise("dashboards-and-alerts")
def test_every_server_runs_restarts_nothing_and_is_denied_nothing(monitored: Any) -> None:
    assert not monitored.report.findings, "\n".join(map(str, monitored.report.findings))
    assert {
        "Deployment monitoring/prometheus-operator",
        "Deployment monitoring/prometheus-adapter",
        "DaemonSet monitoring-nodes/node-exporter",
        "StatefulSet monitoring/prometheus-platform",
        "StatefulSet monitoring/alertmanager-platform",
    } <= set(monitored.report.running)


@pytest.mark.promise("dashboards-and-alerts")
def test_every_target_is_up(monitored: Any) -> None:
    def up() -> dict[str, int]:
        return {one["metric"]["job"]: int(one["value"][1]) for one in monitored.query("sum by (job) (up)")}

    seconds = monitored.wait(lambda: up() == TARGETS, f"targets are {TARGETS}")
    print(f"{sum(TARGETS.values())} targets up after {seconds:.1f} s")
    assert monitored.query("up == 0") == []


@pytest.mark.promise("dashboards-and-alerts")
def test_every_rule_is_loaded_and_evaluated_without_an_error(monitored: Any) -> None:
    wanted = {rule.get("alert") or rule["record"] for group in rule_groups() for rule in group["rules"]}

    def loaded() -> list[Any]:
        return [rule for group in monitored.prometheus("rules")["groups"] for rule in group["rules"]]

    monitored.wait(lambda: all(rule["health"] == "ok" for rule in loaded()), "all rules are healthy")
    assert wanted <= {rule["name"] for rule in loaded()}


def test_the_node_is_measured(monitored: Any) -> None:
    (memory,) = monitored.series("node:memory_used:ratio")
    assert memory["metric"]["node"] == "node-1"
    assert 0 <= float(memory["value"][1]) < 1
    (load,) = monitored.series("node_load1")
    assert load["metric"]["node"] == "node-1"


def test_a_teams_rule_sees_only_its_own_series(monitored: Any) -> None:
    groups = monitored.prometheus("rules")["groups"]
    (rule,) = [rule for group in groups for rule in group["rules"] if rule["name"] == "OrdersWaiting"]
    assert f'namespace="{SHOP}"' in rule["query"]


@pytest.mark.promise("scaling-by-metrics")
def test_replicas_follow_a_business_metric_up_and_down(monitored: Any) -> None:
    set_queue(monitored, 0)
    monitored.wait(lambda: replicas(monitored) == 1, "one replica without orders")
    set_queue(monitored, 390)
    up = monitored.wait(lambda: replicas(monitored) == 4, "four replicas for 390 orders")
    set_queue(monitored, 0)
    down = monitored.wait(lambda: replicas(monitored) == 1, "one replica after the orders")
    print(f"replicas 1 to 4 after {up:.1f} s, back after {down:.1f} s")
    assert monitored.series("sum(up{job='queue'})")[0]["value"][1] == "1"


@pytest.mark.promise("scaling-by-metrics")
def test_a_business_metric_of_another_namespace_cannot_be_asked_for(monitored: Any) -> None:
    api, metric = "/apis/custom.metrics.k8s.io/v1beta1/namespaces", "metrics/autoscaling_orders_waiting"
    monitored.wait(lambda: monitored.api.get(f"{api}/{SHOP}/{metric}")["items"], "a value of the shop")
    with pytest.raises(ApiFailure) as failure:
        monitored.api.get(f"{api}/default/{metric}")
    assert failure.value.code == 404


@pytest.mark.promise("idle-servers")
def test_every_program_of_keda_runs_and_is_denied_nothing(keda: Any) -> None:
    assert not keda.findings, "\n".join(map(str, keda.findings))
    names = ("keda-operator", "keda-metrics-apiserver", "keda-admission-webhooks")
    assert {f"Deployment keda/{name}" for name in names} <= set(keda.running)


@pytest.mark.promise("idle-servers")
def test_a_gpu_server_starts_for_the_first_order_and_ends_when_none_waits(monitored: Any, keda: Any) -> None:
    path = f"/apis/apps/v1/namespaces/{SHOP}/deployments/scorer"

    def counted(field: str) -> int:
        found: int = monitored.api.get(path)["status"].get(field, 0)
        return found

    def pods() -> list[Any]:
        label = "labelSelector=app.kubernetes.io/name%3Dscorer"
        found: list[Any] = monitored.api.items(f"/api/v1/namespaces/{SHOP}/pods?{label}")
        return found

    set_queue(monitored, 0)
    monitored.wait(lambda: counted("replicas") == 0 and not pods(), "no pod without orders", seconds=240)
    set_queue(monitored, 7)
    up = monitored.wait(lambda: counted("readyReplicas") == 1, "a replica for the first order", seconds=240)
    (pod,) = pods()
    assert pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    set_queue(monitored, 0)
    down = monitored.wait(lambda: counted("replicas") == 0, "no replica after the orders", seconds=240)
    print(f"replicas 0 to 1 after {up:.1f} s, back to 0 after {down:.1f} s")
    denied = check_workloads(monitored.api, ["keda"]).findings
    assert not denied, "\n".join(map(str, denied))


@pytest.mark.promise("idle-servers")
def test_a_second_autoscaler_of_a_workload_is_refused(monitored: Any, keda: Any) -> None:
    scaled: dict[str, Any] = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "second", "namespace": SHOP},
        "spec": ScaleFromZero(most=1, triggers=(Trigger.datadog("avg:queue{*}", per_replica=9),)).spec(),
    }
    for name, owner in (("worker", "hpa 'worker'"), ("scorer", "ScaledObject 'scorer'")):
        scaled["spec"]["scaleTargetRef"] = {"name": name}
        with pytest.raises(ApiFailure, match=f"already managed by the {owner}"):
            monitored.api.request("POST", f"/apis/keda.sh/v1alpha1/namespaces/{SHOP}/scaledobjects", scaled)


@pytest.mark.promise("dashboards-and-alerts")
def test_an_alert_reaches_its_receiver_once_and_resolves(monitored: Any) -> None:
    def received(status: str) -> list[Any]:
        text = monitored.get(f"{SHOP}/queue:metrics", "cgi-bin/received")
        messages = [json.loads(line) for line in text.splitlines() if line.strip()]
        orders = [each for each in messages if each["groupLabels"].get("alertname") == "OrdersWaiting"]
        return [each for each in orders if each["status"] == status]

    def known() -> list[Any]:
        found: list[Any] = json.loads(
            monitored.get("monitoring/alertmanager:web", "api/v2/alerts?filter=alertname%3DOrdersWaiting")
        )
        return found

    def servers_that_fire() -> int:
        path = "/api/v1/namespaces/monitoring/pods/prometheus-platform-{}:9090/proxy/api/v1/alerts"
        found = [monitored.api.get(path.format(number))["data"]["alerts"] for number in range(2)]
        return sum(any(alert["labels"]["alertname"] == "OrdersWaiting" for alert in alerts) for alerts in found)

    set_queue(monitored, 0)
    monitored.wait(lambda: not known() and not servers_that_fire(), "the alert of another test has ended")
    before = len(received("firing"))
    set_queue(monitored, 350)
    fired = monitored.wait(lambda: len(received("firing")) > before, "the alert arrives")
    # A shorter alert would end at one server before it starts at the other, which is two alerts.
    monitored.wait(lambda: servers_that_fire() == 2, "both servers of Prometheus fire")
    (alert,) = received("firing")[-1]["alerts"]
    assert (alert["labels"]["namespace"], alert["labels"]["cluster"]) == (SHOP, "training")
    ended = len(received("resolved"))
    set_queue(monitored, 0)
    resolved = monitored.wait(lambda: len(received("resolved")) > ended, "the end of the alert arrives")
    print(f"alert received after {fired:.1f} s, resolved after {resolved:.1f} s")
    assert len(received("firing")) == before + 1
