"""One trial of the search: trains with its parameters and prints the metric that Katib reads."""

import argparse
from collections.abc import Sequence

import xgboost
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


def accuracy(*, trees: int, depth: int, rate: float) -> float:
    """The share of digits that a model with these parameters recognizes."""
    images, labels = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(images, labels, random_state=7)
    model = xgboost.XGBClassifier(n_estimators=trees, max_depth=depth, learning_rate=rate, n_jobs=1, random_state=7)
    model.fit(train_x, train_y)
    return float(model.score(test_x, test_y))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trees", type=int, required=True)
    parser.add_argument("--depth", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    print(f"accuracy={accuracy(**vars(parser.parse_args(arguments))):.4f}")


if __name__ == "__main__":
    main()
