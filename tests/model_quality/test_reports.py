"""Reports of a model's quality: accuracy that decays, inference that is too slow, and their metrics."""

import io
import json
import random
import re
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from model_quality import (
    InputError,
    Report,
    compare,
    exposition,
    read_predictions,
    read_sample,
    serve,
    store_at,
)
from model_quality.cli import main

NOW = time.time()


def rows(seed: int, *, shift: float = 0.0, size: int = 500) -> list[dict[str, Any]]:
    source = random.Random(seed)
    return [{"age": source.gauss(40 + shift, 10), "plan": source.choice(["basic", "gold"])} for _ in range(size)]


def logged(features: list[dict[str, Any]], *, right: float = 1.0, seconds: float = 0.01) -> list[dict[str, Any]]:
    """Predictions of 1 for everything, of which a share is right."""
    return [
        {
            "id": str(number),
            "time": NOW - 60,
            "features": each,
            "prediction": 1,
            "label": int(number < right * len(features)),
            "seconds": seconds,
        }
        for number, each in enumerate(features)
    ]


def write(path: Path, lines: list[dict[str, Any]]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Runs the command on predictions, and returns the report that it wrote."""

    def run(predictions: list[dict[str, Any]], *more: str) -> Report:
        training = write(tmp_path / "sample.jsonl", rows(1, size=2000))
        live = write(tmp_path / "live" / "predictions.jsonl", predictions)
        arguments = ["--namespace", "churn", "--model", "churn", "--version", "7", "--training", training]
        reports = tmp_path / "reports"
        assert main(["compare", *arguments, "--predictions", live, "--reports", str(reports), *more]) == 0
        (file,) = reports.rglob("*.json")
        return Report.from_json(file.read_text(encoding="utf-8"))

    return run


@pytest.mark.promise("model-accuracy")
def test_a_feature_that_drifts_is_reported_and_one_that_does_not_is_not(run: Any) -> None:
    report = run(logged(rows(2, shift=15)))
    assert report.stability["age"] > 0.25
    assert report.stability["plan"] < 0.1
    assert set(report.distance) == {"age"}


@pytest.mark.promise("model-accuracy")
def test_data_without_drift_has_a_quiet_report(run: Any) -> None:
    report = run(logged(rows(2)), "--accuracy-at-training", "0.95")
    assert max(report.stability.values()) < 0.1
    assert (report.accuracy, report.accuracy_at_training) == (1.0, 0.95)


@pytest.mark.promise("model-accuracy")
def test_accuracy_that_decays_is_reported_beside_that_of_training(run: Any) -> None:
    report = run(logged(rows(2), right=0.8), "--accuracy-at-training", "0.95")
    assert report.accuracy == pytest.approx(0.8)
    assert report.accuracy_at_training - report.accuracy > 0.05


@pytest.mark.promise("latency-objectives")
@pytest.mark.parametrize(("seconds", "is_kept"), [(0.1, True), (0.5, False)])
def test_time_of_inference_is_reported_beside_what_was_agreed(run: Any, seconds: float, is_kept: bool) -> None:
    report = run(logged(rows(2), seconds=seconds), "--sla-seconds", "0.3")
    assert (report.inference_seconds <= report.sla_seconds) is is_kept


def test_few_predictions_give_no_measure(run: Any) -> None:
    report = run(logged(rows(2, shift=30, size=99)))
    assert (report.predictions, report.stability, report.accuracy, report.inference_seconds) == (99, {}, None, None)


def test_old_predictions_do_not_count(run: Any) -> None:
    lines = logged(rows(2))
    for line in lines[:200]:
        line["time"] = NOW - 3 * 86400
    assert run(lines).predictions == 300
    assert len(lines) == 500


def test_a_prediction_that_was_logged_twice_counts_once(tmp_path: Path) -> None:
    lines = logged(rows(2, size=5))
    place = write(tmp_path / "a.jsonl", lines)
    write(tmp_path / "b.jsonl", lines[:3])
    assert len(read_predictions(store_at(str(tmp_path)))) == 5
    assert len(read_predictions(store_at(place))) == 5


def test_outcomes_that_are_known_later_come_from_a_file_of_their_own(tmp_path: Path) -> None:
    lines = logged(rows(2, size=3))
    for line in lines:
        del line["label"]
    live = write(tmp_path / "live.jsonl", lines)
    labels = write(tmp_path / "labels.jsonl", [{"id": "0", "label": 1}, {"id": "1", "label": 0}])
    found = read_predictions(store_at(live), labels=store_at(labels))
    assert [each.label for each in found] == [1, 0, None]


def test_numbers_are_right_within_a_tolerance(tmp_path: Path) -> None:
    lines = logged(rows(2, size=100))
    for line in lines:
        line.update(prediction=10.0, label=10.4)
    predictions = read_predictions(store_at(write(tmp_path / "live.jsonl", lines)))
    identity: dict[str, Any] = {"namespace": "n", "model": "m", "version": "1", "time": NOW}
    assert compare(rows(1), predictions, **identity).accuracy == 0
    assert compare(rows(1), predictions, tolerance=0.5, **identity).accuracy == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"live.jsonl: line 1: is not JSON: .*; write one object a line"),
        ("[1]", r"live.jsonl: line 1: is not an object; write one object a line"),
        (
            '{"id": 1, "features": {}}',
            r"live.jsonl: line 1: lacks time, prediction; a line has id, time, features, prediction",
        ),
        (
            json.dumps({"id": "1", "time": NOW, "features": {"plan": "basic"}, "prediction": 1}),
            r"churn 7: no prediction has the feature 'age'; log the features that the model sees",
        ),
    ],
    ids=["no JSON", "a list", "missing keys", "a missing feature"],
)
def test_input_that_cannot_be_used_is_refused_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    (tmp_path / "live.jsonl").write_text(text, encoding="utf-8")
    training = write(tmp_path / "sample.jsonl", rows(1))
    arguments = ["--namespace", "churn", "--model", "churn", "--version", "7", "--training", training]
    live = str(tmp_path / "live.jsonl")
    assert main(["compare", *arguments, "--predictions", live, "--reports", str(tmp_path / "reports")]) == 1
    assert re.match(message, capsys.readouterr().err)
    assert not (tmp_path / "reports").exists()


def test_an_empty_training_sample_and_an_address_without_a_bucket_are_refused(tmp_path: Path) -> None:
    (tmp_path / "sample.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="the training sample has no lines; name a file or a prefix"):
        read_sample(store_at(str(tmp_path / "sample.jsonl")))
    with pytest.raises(InputError, match="s3:///x: names no bucket; write s3://bucket/prefix"):
        store_at("s3:///x")


def report(**changes: Any) -> Report:
    fields: dict[str, Any] = {
        "namespace": "churn",
        "model": "churn",
        "version": "7",
        "time": 1000.0,
        "predictions": 500,
    }
    return Report(**{**fields, **changes})


def test_metrics_name_model_version_and_feature() -> None:
    text = exposition([report(stability={'say "hi"': 0.3}, accuracy=0.9)])
    labels = 'namespace="churn",model="churn",version="7"'
    assert f'model_quality_population_stability_index{{{labels},feature="say \\"hi\\""}} 0.3\n' in text
    assert f"model_quality_accuracy{{{labels}}} 0.9\n" in text
    assert f"model_quality_report_timestamp_seconds{{{labels}}} 1000.0\n" in text
    assert "model_quality_inference_seconds" not in text


def test_the_newest_report_of_each_version_is_scraped_without_a_restart(tmp_path: Path) -> None:
    store = store_at(str(tmp_path))
    store.write(report().name, report(accuracy=0.9).to_json())
    server = serve(store, host="127.0.0.1", port=0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        assert "} 0.9\n" in urllib.request.urlopen(f"{address}/metrics").read().decode()
        newer, other = report(time=2000.0, accuracy=0.7), report(version="8", accuracy=0.95)
        for one in (newer, other):
            store.write(one.name, one.to_json())
        text = urllib.request.urlopen(f"{address}/metrics").read().decode()
        assert ("} 0.7\n" in text, "} 0.95\n" in text, "} 0.9\n" in text) == (True, True, False)
        assert urllib.request.urlopen(f"{address}/healthz").read() == b"ok\n"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{address}/other")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class MemoryS3:
    """The three calls of S3 that the store makes."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> None:
        self.objects[f"{Bucket}/{Key}"] = Body

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        return {"Body": io.BytesIO(self.objects[f"{Bucket}/{Key}"])}

    def get_paginator(self, _: str) -> "MemoryS3":
        return self

    def paginate(self, *, Bucket: str, Prefix: str) -> list[dict[str, Any]]:
        keys = sorted(key.removeprefix(f"{Bucket}/") for key in self.objects)
        found = [{"Key": key} for key in keys if key.startswith(Prefix)]
        return [{"Contents": found[:1]}, {"Contents": found[1:]}, {}]


@pytest.mark.promise("archived-metrics")
def test_reports_and_predictions_can_be_in_a_bucket() -> None:
    client = MemoryS3()
    reports = store_at("s3://bucket/quality/", client=client)
    for one in (report(), report(time=2000.0), report(version="8")):
        reports.write(one.name, one.to_json())
    assert sorted(client.objects)[0] == "bucket/quality/churn/churn/7/000000001000.json"
    names = list(reports.names())
    assert len(names) == 3
    assert Report.from_json(reports.read(names[0])) == report()


def test_text_that_is_no_report_is_refused() -> None:
    with pytest.raises(InputError, match="not a report of a model's quality: .*; write reports with `compare` only"):
        Report.from_json('{"size": 1}')
