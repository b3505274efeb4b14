"""The steps of the examples. Each is a function whose source is stored in the compiled pipeline."""

from typing import Any

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output


def make_table(train: Output[Dataset], test: Output[Dataset], seed: int = 7) -> int:
    """Split the breast cancer data set of scikit-learn: 569 samples with 30 measures each, and the diagnosis.

    :return: rows to train with.
    """
    import csv
    import random

    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    rows = [[*map(float, values), int(label)] for values, label in zip(data.data, data.target, strict=True)]
    random.Random(seed).shuffle(rows)
    at = len(rows) * 4 // 5
    for path, part in ((train.path, rows[:at]), (test.path, rows[at:])):
        with open(path, "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(part)
    return at


def train_round(
    train: Input[Dataset],
    test: Input[Dataset],
    previous: Input[Model],
    model: Output[Model],
    metrics: Output[Metrics],
    trees: int,
    target_error: float,
) -> float:
    """Continue the training of a model by some trees, unless its error is low enough already.

    :param previous: the model of the round before; an empty file in the first round.
    :param trees: to add.
    :param target_error: share of wrong diagnoses that is good enough.
    :return: share of wrong diagnoses among the test data.
    """
    import csv
    import os
    import shutil

    import numpy
    import xgboost

    def matrix(path: str) -> "xgboost.DMatrix":
        with open(path, encoding="utf-8", newline="") as file:
            rows = numpy.array([[float(value) for value in row] for row in csv.reader(file)])
        return xgboost.DMatrix(rows[:, :-1], label=rows[:, -1])

    def error(booster: "xgboost.Booster") -> float:
        wrong = (booster.predict(tested) > 0.5) != (tested.get_label() > 0.5)
        return float(wrong.mean())

    tested = matrix(test.path)
    parameters = {"objective": "binary:logistic", "max_depth": 3, "eta": 0.3, "base_score": 0.5, "seed": 7}
    booster = None
    if os.path.getsize(previous.path):
        booster = xgboost.Booster(parameters, model_file=previous.path)
    if booster is not None and error(booster) <= target_error:
        shutil.copyfile(previous.path, model.path)
        found, added = error(booster), 0
    else:
        booster = xgboost.train(parameters, matrix(train.path), num_boost_round=trees, xgb_model=booster)
        with open(model.path, "wb") as file:
            file.write(booster.save_raw("json"))
        found, added = error(booster), trees
    metrics.log_metric("error", found)
    metrics.log_metric("trees", booster.num_boosted_rounds())
    metrics.log_metric("added", added)
    return found


def no_model(model: Output[Model]) -> None:
    """The model before the first round: none."""
    open(model.path, "wb").close()


def read_rows(folder_or_prefix: str) -> tuple[list[str], Any]:
    """Names and numbers of all CSV files in a folder or below an S3 prefix."""
    import csv
    import tempfile

    import boto3
    import numpy

    from mlplatform_components.storage import fetch_folder

    names: list[str] = []
    rows: list[list[float]] = []
    with tempfile.TemporaryDirectory() as folder:
        for path in fetch_folder(boto3.client("s3"), folder_or_prefix, folder):
            if path.suffix == ".csv":
                names, *lines = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
                rows += [[float(value) for value in line] for line in lines]
    return names, numpy.array(rows)


def predictor_source() -> str:
    """The predictor of a packaged model, which needs no library."""
    return """
import json
import math
import pathlib


def load(folder):
    trees = json.loads((pathlib.Path(folder) / "trees.json").read_text())

    def leaf(node, features):
        while "leaf" not in node:
            value, threshold = features[int(node["split"][1:])], node["split_condition"]
            goes_to = node["yes"] if value < threshold else node["no"]
            node = next(child for child in node["children"] if child["nodeid"] == goes_to)
        return node["leaf"]

    def predict(features):
        return 1 / (1 + math.exp(-sum(leaf(tree, features) for tree in trees)))

    return predict
"""


def write_package(path: str, booster: Any, names: list[str], samples: list[Any], metadata: dict[str, Any]) -> None:
    """A folder in the format of the model repository.

    :param booster: of XGBoost.
    :param names: of the features.
    :param samples: features and prediction of a few rows.
    :param metadata: all but the entry points.
    """
    import json
    import pathlib

    extractor = f"NAMES = {names!r}\n\n\ndef extract(record):\n    return [record[name] for name in NAMES]\n"
    folder = pathlib.Path(path)
    for part in ("model", "feature_extractor", "sample"):
        (folder / part).mkdir(parents=True)
    dump = [json.loads(tree) for tree in booster.get_dump(dump_format="json")]
    (folder / "model" / "trees.json").write_text(json.dumps(dump), encoding="utf-8")
    (folder / "model" / "model.json").write_bytes(booster.save_raw("json"))
    (folder / "model" / "predictor.py").write_text(predictor_source(), encoding="utf-8")
    (folder / "feature_extractor" / "extractor.py").write_text(extractor, encoding="utf-8")
    records = [
        json.dumps({"record": dict(zip(names, map(float, features), strict=True)), "prediction": float(value)})
        for features, value in samples
    ]
    (folder / "sample" / "records.jsonl").write_text("\n".join(records) + "\n", encoding="utf-8")
    entry_points = {
        "feature_extractor": "feature_extractor/extractor.py:extract",
        "model": "model/predictor.py:load",
    }
    (folder / "metadata.json").write_text(json.dumps({**metadata, "entry_points": entry_points}), encoding="utf-8")


def train_and_package(
    prepared: str,
    package: Output[Model],
    metrics: Output[Metrics],
    trees: int,
    depth: int,
    device: str,
    run: str,
    step: str,
) -> float:
    """Train on prepared data, and pack the model with its feature extractor, sample and metadata.

    :param prepared: folder or S3 prefix with ``train/`` and ``test/``.
    :param trees: of the model.
    :param depth: of each tree.
    :param device: ``cuda`` or ``cpu``.
    :param run: id of the run, for the metadata.
    :param step: id of the step that prepared the data, so that this one follows it.
    :return: share of right diagnoses among the test data.
    """
    import xgboost

    names, train = read_rows(f"{prepared.rstrip('/')}/train/")
    _, test = read_rows(f"{prepared.rstrip('/')}/test/")
    parameters = {
        "objective": "binary:logistic",
        "max_depth": depth,
        "base_score": 0.5,
        "device": device,
        "tree_method": "hist",
        "seed": 7,
    }
    booster = xgboost.train(parameters, xgboost.DMatrix(train[:, :-1], label=train[:, -1]), num_boost_round=trees)
    predicted = booster.predict(xgboost.DMatrix(test[:, :-1]))
    accuracy = float(((predicted > 0.5) == (test[:, -1] > 0.5)).mean())
    metadata = {
        "description": "Diagnosis of tumours",
        "training": {"data": [prepared], "code": "examples/pipelines", "run": run},
        "parameters": {"trees": trees, "depth": depth},
        "metrics": {"accuracy": accuracy},
        "tolerance": 0.0001,
    }
    samples = list(zip(test[:10, :-1], predicted[:10], strict=True))
    write_package(package.path, booster, names[:-1], samples, metadata)
    metrics.log_metric("accuracy", accuracy)
    return accuracy


def component(function: Any, image: str, *helpers: Any) -> Any:
    """A step in an image.

    :param helpers: functions that it calls, whose source is stored with its own.
    """
    return dsl.component(
        function, base_image=image, install_kfp_package=False, additional_funcs=list(helpers) if helpers else None
    )
