"""The newest report of each model version, as metrics that Prometheus scrapes.

The job that writes reports ends, and nothing could scrape it; this server lives on and reads them. A report stays
visible until a newer one exists, and its age is a metric.
"""

from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from model_quality.report import Report
from model_quality.store import Store

_HELP = {
    "model_quality_population_stability_index": "Shift of a feature against the training sample; above 0.25 is major.",
    "model_quality_kolmogorov_smirnov_distance": "Greatest distance of the cumulative distributions of a feature.",
    "model_quality_accuracy": "Share of predictions that were right.",
    "model_quality_accuracy_at_training": "Share of predictions that were right at training.",
    "model_quality_inference_seconds": "95th percentile of the time of inference.",
    "model_quality_inference_sla_seconds": "Agreed limit of the time of inference.",
    "model_quality_predictions": "Predictions in the report.",
    "model_quality_report_timestamp_seconds": "Time of the report.",
}


def newest(reports: Store) -> list[Report]:
    """The newest report of each version."""
    found: dict[str, str] = {}
    for name in reports.names():
        if name.endswith(".json"):
            found[name.rpartition("/")[0]] = max(name, found.get(name.rpartition("/")[0], ""))
    return [Report.from_json(reports.read(name)) for name in found.values()]


def exposition(reports: Iterable[Report]) -> str:
    """Reports in Prometheus's text format. https://prometheus.io/docs/instrumenting/exposition_formats/"""
    samples: dict[str, list[str]] = {name: [] for name in _HELP}
    for report in reports:
        for name, labels, value in _samples(report):
            text = ",".join(f'{key}="{_escaped(each)}"' for key, each in labels.items())
            samples[name].append(f"{name}{{{text}}} {value!r}")
    lines = [
        line
        for name, found in samples.items()
        if found
        for line in (f"# HELP {name} {_HELP[name]}", f"# TYPE {name} gauge", *found)
    ]
    return "\n".join(lines) + "\n"


def _samples(report: Report) -> Iterator[tuple[str, dict[str, str], float]]:
    labels = {"namespace": report.namespace, "model": report.model, "version": report.version}
    for feature, value in report.stability.items():
        yield "model_quality_population_stability_index", {**labels, "feature": feature}, value
    for feature, value in report.distance.items():
        yield "model_quality_kolmogorov_smirnov_distance", {**labels, "feature": feature}, value
    measured = {
        "model_quality_accuracy": report.accuracy,
        "model_quality_accuracy_at_training": report.accuracy_at_training,
        "model_quality_inference_seconds": report.inference_seconds,
        "model_quality_inference_sla_seconds": report.sla_seconds,
        "model_quality_predictions": report.predictions,
        "model_quality_report_timestamp_seconds": report.time,
    }
    yield from ((name, labels, float(value)) for name, value in measured.items() if value is not None)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def serve(reports: Store, *, host: str = "0.0.0.0", port: int = 9102) -> ThreadingHTTPServer:
    """A server of ``/metrics`` and ``/healthz``, which the caller runs. Reports are read at each scrape.

    :param port: 0 for any that is free.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/healthz":
                self._answer(200, "ok\n")
            elif self.path == "/metrics":
                self._answer(200, exposition(newest(reports)))
            else:
                self._answer(404, "use /metrics or /healthz\n")

        def _answer(self, status: int, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing, because a scrape happens every 30 seconds."""

    return ThreadingHTTPServer((host, port), Handler)
