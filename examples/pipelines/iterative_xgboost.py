"""Iterative training: each round continues the model of the round before until its error is low enough.

python -m examples.pipelines.iterative_xgboost --image IMAGE pipeline.yaml
"""

import argparse
from typing import Any

from kfp import compiler, dsl

from examples.pipelines import steps
from mlplatform_components import ComponentError

ROUNDS = 4


def iterative_xgboost(image: str, *, rounds: int = ROUNDS) -> Any:
    """The pipeline.

    :param image: of the steps, with scikit-learn and XGBoost.
    :param rounds: at most. A round whose model is good enough already adds nothing. Default: 4.
    :raises ComponentError: for less than one round.
    """
    if rounds < 1:
        raise ComponentError(f"rounds must be 1 or more, got {rounds}")
    make_table = steps.component(steps.make_table, image)
    no_model = steps.component(steps.no_model, image)
    train_round = steps.component(steps.train_round, image)

    @dsl.pipeline(name="iterative-xgboost", description="Trains until the error is low enough")  # type: ignore[untyped-decorator]
    def pipeline(trees: int = 3, target_error: float = 0.04, seed: int = 7) -> float:
        table = make_table(seed=seed)
        model = no_model().outputs["model"]
        for number in range(1, rounds + 1):
            trained = train_round(
                train=table.outputs["train"],
                test=table.outputs["test"],
                previous=model,
                trees=trees,
                target_error=target_error,
            )
            trained.set_display_name(f"round {number}")
            model = trained.outputs["model"]
        error: float = trained.outputs["Output"]
        return error

    return pipeline


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.pipelines.iterative_xgboost", description=__doc__)
    parser.add_argument("--image", required=True, help="image of the steps")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("target", help="the compiled pipeline, such as pipeline.yaml")
    options = parser.parse_args()
    compiler.Compiler().compile(iterative_xgboost(options.image, rounds=options.rounds), options.target)


if __name__ == "__main__":
    main()
