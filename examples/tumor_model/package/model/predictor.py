"""Loads the trained model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib


def load(folder: str) -> Callable[[list[float]], dict[str, Any]]:
    """A function from features to the prediction."""
    model = joblib.load(Path(folder) / "model.joblib")

    def predict(features: list[float]) -> dict[str, Any]:
        probability = float(model.predict_proba([features])[0][1])
        return {"benign": probability >= 0.5, "probability": round(probability, 6)}

    return predict
