"""A day of a small platform as series, on which every query of dashboards and alerts has an answer.

Two clusters' worth of kinds in one: three nodes of which one has GPUs, two teams with notebooks and jobs, one model of
which a canary is slower and fails more often from the second half on, and a feature that drifts. Values follow from the
time alone, so that every run has the same.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

END = 1_793_534_400  # 2026-11-01 12:00 UTC
STEP = 60
HOURS = 9
START = END - HOURS * 3600
PRICES = {"m7i.2xlarge": 0.4032, "g5.xlarge": 1.006}

Curve = Callable[[float], float]
"""A value by the share of the recording that has passed, 0 to 1."""


@dataclass(frozen=True)
class Series:
    """A series. A rate is integrated into a counter.

    :param rate: whether the curve is the increase a second of a counter.
    """

    name: str
    labels: Mapping[str, str]
    curve: Curve
    rate: bool = False

    def samples(self) -> Iterator[tuple[int, float]]:
        """Timestamps and values."""
        total = 0.0
        for time in range(START, END + 1, STEP):
            value = self.curve((time - START) / (END - START))
            total += value * STEP
            yield time, total if self.rate else value


def openmetrics() -> str:
    """All series in OpenMetrics text, as promtool makes blocks of a database from it."""
    lines = []
    for each in series():
        text = ",".join(f'{key}="{value}"' for key, value in each.labels.items())
        lines += [f"{each.name}{{{text}}} {value:.6g} {time}" for time, value in each.samples()]
    return "\n".join([*lines, "# EOF", ""])


def constant(value: float) -> Curve:
    return lambda _: value


def wave(low: float, high: float, *, turns: float = 2, shift: float = 0) -> Curve:
    """Up and down between two values."""
    return lambda at: low + (high - low) * (1 - math.cos(2 * math.pi * (turns * at + shift))) / 2


def step(before: float, after: float, *, at: float = 0.5) -> Curve:
    """One value, then another."""
    return lambda now: before if now < at else after


def series() -> Iterator[Series]:
    """Everything."""
    yield from _nodes()
    yield from _pods()
    yield from _gpus()
    yield from _work()
    yield from _serving()
    yield from _quality()
    yield from _monitoring()


_NODES = {"node-a": "m7i.2xlarge", "node-b": "m7i.2xlarge", "node-g": "g5.xlarge", "node-n": "r5.large"}


def _nodes() -> Iterator[Series]:
    for number, (node, kind) in enumerate(_NODES.items()):
        about = {"node": node}
        purpose = "training" if node == "node-g" else "general"
        labels = {"label_node_kubernetes_io_instance_type": kind, "label_mlplatform_purpose": purpose}
        yield Series("kube_node_labels", {**about, **labels}, constant(1))
        condition = {"condition": "Ready", "status": "true"}
        yield Series("kube_node_status_condition", {**about, **condition}, constant(1))
        yield Series("kube_node_status_allocatable", {**about, "resource": "cpu"}, constant(7.9))
        gpus = 1 if node == "node-g" else 0
        yield Series("kube_node_status_capacity", {**about, "resource": "nvidia_com_gpu"}, constant(gpus))
        yield Series(
            "node_cpu_seconds_total", {**about, "mode": "idle", "cpu": "0"}, wave(0.2, 0.9, shift=number / 5), rate=True
        )
        yield Series("node_memory_MemTotal_bytes", about, constant(32e9))
        yield Series("node_memory_MemAvailable_bytes", about, wave(8e9, 26e9, turns=1, shift=number / 7))
        disk = {**about, "mountpoint": "/"}
        yield Series("node_filesystem_avail_bytes", disk, constant(60e9))
        yield Series("node_filesystem_size_bytes", disk, constant(100e9))
    for code, curve in (("200", wave(80, 120)), ("500", wave(0, 0.5))):
        yield Series("apiserver_request_total", {"code": code, "job": "apiserver"}, curve, rate=True)


_PODS = {
    ("churn", "notebook-ana-0", "node-g"): wave(0.02, 1.5, turns=1),
    ("churn", "notebook-ben-0", "node-a"): constant(0.002),
    ("fraud", "scorer-1", "node-b"): wave(0.5, 2.5),
    ("kubeflow", "workflow-controller-1", "node-a"): wave(0.05, 0.2),
}


def _pods() -> Iterator[Series]:
    for (namespace, pod, node), used in _PODS.items():
        about = {"namespace": namespace, "pod": pod}
        inside = {**about, "container": "main", "node": node}
        yield Series("container_cpu_usage_seconds_total", {**inside, "job": "cadvisor"}, used, rate=True)
        yield Series("container_memory_working_set_bytes", inside, wave(1e9, 3e9, turns=1))
        yield Series("kube_pod_container_resource_requests", {**inside, "resource": "cpu"}, constant(2))
        yield Series("kube_pod_status_phase", {**about, "phase": "Running"}, constant(1))
        yield Series("kube_pod_status_phase", {**about, "phase": "Pending"}, constant(0))
        restarts = step(0, 2 / 3600, at=0.95) if namespace == "fraud" else constant(0)
        yield Series("kube_pod_container_status_restarts_total", {**about, "container": "main"}, restarts, rate=True)
    gpu = {"namespace": "churn", "pod": "notebook-ana-0", "container": "main", "node": "node-g"}
    yield Series("kube_pod_container_resource_requests", {**gpu, "resource": "nvidia_com_gpu"}, constant(1))
    for name in ("ana", "ben"):
        about = {"namespace": "churn", "pod": f"notebook-{name}-0", "label_notebook_name": name}
        yield Series("kube_pod_labels", about, constant(1))
        volume = {"namespace": "churn", "persistentvolumeclaim": name}
        yield Series("kubelet_volume_stats_available_bytes", volume, wave(2e9, 6e9, turns=1))
        yield Series("kubelet_volume_stats_capacity_bytes", volume, constant(10e9))
    scaler = {"namespace": "fraud", "horizontalpodautoscaler": "scorer"}
    yield Series("kube_horizontalpodautoscaler_status_current_replicas", scaler, lambda at: round(wave(2, 6)(at)))
    yield Series("kube_horizontalpodautoscaler_spec_max_replicas", scaler, constant(8))


def _gpus() -> Iterator[Series]:
    owner = {"exported_namespace": "churn", "exported_pod": "notebook-ana-0", "exported_container": "main"}
    about = {"gpu": "0", "Hostname": "node-g", **owner}
    busy: Curve = lambda at: 0 if at > 0.7 else wave(20, 98, turns=5)(at)  # noqa: E731
    yield Series("DCGM_FI_DEV_GPU_UTIL", about, busy)
    yield Series("DCGM_FI_DEV_FB_USED", about, wave(4000, 20000, turns=1))
    yield Series("DCGM_FI_DEV_FB_FREE", about, wave(18000, 2000, turns=1))
    yield Series("DCGM_FI_DEV_GPU_TEMP", about, wave(40, 75, turns=5))
    yield Series("DCGM_FI_DEV_POWER_USAGE", about, wave(60, 250, turns=5))
    yield Series("DCGM_FI_DEV_XID_ERRORS", about, constant(0))


def _work() -> Iterator[Series]:
    for phase, curve in (("Succeeded", 8 / 3600), ("Failed", 1 / 3600), ("Error", 0.2 / 3600)):
        yield Series("argo_workflows_total_count", {"phase": phase}, constant(curve), rate=True)
    for phase, curve in (("Running", wave(0, 6)), ("Pending", wave(0, 3, shift=0.2)), ("Succeeded", constant(40))):
        yield Series("argo_workflows_gauge", {"phase": phase}, curve)
    yield Series("argo_workflows_queue_depth_gauge", {"queue_name": "workflow_queue"}, wave(0, 12))
    yield Series("kube_job_status_active", {"namespace": "churn", "job_name": "prepare"}, constant(1))
    jobs = {"job_namespace": "churn", "framework": "pytorch"}
    yield Series("training_operator_jobs_successful_total", jobs, constant(3 / 3600), rate=True)
    yield Series("training_operator_jobs_failed_total", jobs, constant(0.3 / 3600), rate=True)
    team = {"exported_namespace": "churn"}
    for status, curve in (("Running", wave(0, 4)), ("Succeeded", lambda at: 60 * at)):
        yield Series("katib_trials_current", {**team, "status": status}, curve)
    yield Series("katib_experiments_current", {**team, "status": "Running"}, constant(1))
    for name, an_hour in (
        ("trial_created", 9),
        ("trial_succeeded", 8),
        ("trial_failed", 1),
        ("experiment_failed", 0.1),
    ):
        yield Series(f"katib_{name}_total", team, constant(an_hour / 3600), rate=True)


_BUCKETS = (50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0)


def _serving() -> Iterator[Series]:
    for version, share, fails, slow in (("1", 0.9, constant(0.0003), 0.002), ("2", 0.1, step(0.0005, 0.02), 0.03)):
        about = {"reporter": "destination", "namespace": "fraud", "model": "scorer", "version": version}
        about["pod"] = f"scorer-{version}"
        load = wave(20, 60)
        yield Series(
            "istio_requests_total", {**about, "response_code": "200"}, _times(load, share, fails, good=True), rate=True
        )
        yield Series(
            "istio_requests_total", {**about, "response_code": "503"}, _times(load, share, fails, good=False), rate=True
        )
        for limit in _BUCKETS:
            within = max(0.0, 1 - (1 - min(1.0, limit / 400) ** 0.5) - slow * (limit < 1000))
            counted = _times(load, share * within, constant(0), good=True)
            bucket = {**about, "le": f"{limit:g}"}
            yield Series("istio_request_duration_milliseconds_bucket", bucket, counted, rate=True)
        every = _times(load, share, constant(0), good=True)
        infinite = {**about, "le": "+Inf"}
        yield Series("istio_request_duration_milliseconds_bucket", infinite, every, rate=True)
        yield Series("istio_request_duration_milliseconds_count", about, every, rate=True)
        taken = _times(load, share * 120, constant(0), good=True)
        yield Series("istio_request_duration_milliseconds_sum", about, taken, rate=True)


def _times(load: Curve, share: float, fails: Curve, *, good: bool) -> Curve:
    return lambda at: load(at) * share * (1 - fails(at) if good else fails(at))


def _quality() -> Iterator[Series]:
    about = {"exported_namespace": "fraud", "model": "scorer", "version": "1"}
    drift = {"amount": lambda at: 0.02 + 0.4 * at**3, "country": constant(0.03)}
    for feature, curve in drift.items():
        labels = {**about, "feature": feature}
        yield Series("model_quality_population_stability_index", labels, curve)
        yield Series("model_quality_kolmogorov_smirnov_distance", labels, _half(curve))
    yield Series("model_quality_accuracy", about, lambda at: 0.94 - 0.07 * at**3)
    yield Series("model_quality_accuracy_at_training", about, constant(0.94))
    yield Series("model_quality_inference_seconds", about, wave(0.12, 0.2))
    yield Series("model_quality_inference_sla_seconds", about, constant(0.3))
    yield Series("model_quality_predictions", about, wave(4000, 9000, turns=1))
    yield Series("model_quality_report_timestamp_seconds", about, lambda at: START + at * (END - START) // 3600 * 3600)


def _half(curve: Curve) -> Curve:
    return lambda at: curve(at) / 2


def _monitoring() -> Iterator[Series]:
    for number in (0, 1):
        pod = {"namespace": "monitoring", "pod": f"prometheus-platform-{number}"}
        yield Series("up", {**pod, "job": "prometheus"}, constant(1))
        yield Series("prometheus_tsdb_head_series", pod, wave(90_000, 110_000, turns=1))
        yield Series("prometheus_tsdb_head_samples_appended_total", pod, wave(2800, 3300), rate=True)
        yield Series("prometheus_rule_evaluation_duration_seconds", {**pod, "quantile": "0.99"}, wave(0.004, 0.02))
        yield Series(
            "prometheus_remote_storage_highest_timestamp_in_seconds", pod, lambda at: START + at * (END - START)
        )
        sent = {**pod, "remote_name": "workspace"}
        yield Series(
            "prometheus_remote_storage_queue_highest_sent_timestamp_seconds",
            sent,
            lambda at: START + at * (END - START) - wave(1, 8)(at),
        )
    yield Series("up", {"namespace": "fraud", "job": "scorer", "pod": "scorer-1"}, step(1, 0, at=0.9))
    yield Series("alertmanager_notifications_total", {"integration": "sns"}, constant(2 / 3600), rate=True)
