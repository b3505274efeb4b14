"""``python train.py --to FOLDER``: trains the classifier, and writes a package for the model repository."""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import joblib
import sklearn
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SOURCES = Path(__file__).parent / "package"
SAMPLES = 20
SEED = 7


def main(to: Path) -> dict[str, float]:
    """Train, write the package, and return its metrics on data that the model has not seen."""
    data = load_breast_cancer()
    names = [name.replace(" ", "_") for name in data.feature_names]
    seen, unseen, labels, expected = train_test_split(
        data.data, data.target, test_size=0.3, random_state=SEED, stratify=data.target
    )
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(seen, labels)
    probabilities = model.predict_proba(unseen)[:, 1]
    metrics = {
        "auc": round(float(roc_auc_score(expected, probabilities)), 4),
        "accuracy": round(float(accuracy_score(expected, probabilities >= 0.5)), 4),
    }
    shutil.copytree(SOURCES, to)
    joblib.dump(model, to / "model" / "model.joblib")
    (to / "feature_extractor" / "features.json").write_text(json.dumps(names), encoding="utf-8")
    records = [dict(zip(names, map(float, row), strict=True)) for row in unseen]
    _write_sample(to, records[:SAMPLES], model)
    (to / "metadata.json").write_text(json.dumps(_metadata(metrics), indent=2), encoding="utf-8")
    return metrics


def _write_sample(to: Path, records: list[dict[str, float]], model: Any) -> None:
    (to / "sample").mkdir()
    lines = []
    for record in records:
        probability = float(model.predict_proba([list(record.values())])[0][1])
        prediction = {"benign": probability >= 0.5, "probability": round(probability, 6)}
        lines.append(json.dumps({"record": record, "prediction": prediction}))
    (to / "sample" / "records.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _metadata(metrics: dict[str, float]) -> dict[str, Any]:
    return {
        "description": "Whether a tumor is benign",
        "author": "platform team",
        "framework": f"scikit-learn {sklearn.__version__}",
        "contains_pickle": True,
        "training": {
            "data": ["scikit-learn: load_breast_cancer"],
            "code": "examples/tumor_model",
            "run": f"seed-{SEED}",
        },
        "parameters": {"model": "logistic regression", "test_size": 0.3},
        "metrics": metrics,
        "entry_points": {
            "feature_extractor": "feature_extractor/extractor.py:extract",
            "model": "model/predictor.py:load",
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, required=True, help="the folder to create")
    print(json.dumps(main(parser.parse_args().to)))
