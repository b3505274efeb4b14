"""Experiments of Katib: parameters and trials fit together."""

import json
from collections.abc import Callable
from typing import Any

import cdk8s
import pytest
from syrupy.assertion import SnapshotAssertion

from charts.catalog import Catalog
from charts.kit.stores import Database
from charts.kubeflow.katib.objects import Katib
from mlplatform_constructs import ConfigurationError
from mlplatform_constructs.kubeflow import (
    Experiment,
    MPIJob,
    Objective,
    Parameter,
    PyTorchJob,
    Resources,
    TFJob,
    TrainingPods,
    TrainJob,
    XGBoostJob,
)

SMALL = Resources(cpu="1", memory="2Gi")
TRIAL = TrainingPods(
    image="r.io/train:1.0",
    resources=SMALL,
    command=("python", "train.py"),
    args=("--rate=${trialParameters.rate}", "--layers=${trialParameters.layers}"),
)
PLAIN = TrainingPods(image="r.io/train:1.0", resources=SMALL)
PARAMETERS = (Parameter.double("rate", 0.001, 0.1, logarithmic=True), Parameter.integer("layers", 2, 8, step=2))
NAMES = {"name": "trial", "namespace": "vision"}
TRIALS: dict[str, Any] = {
    "Job": TRIAL,
    "TFJob": TFJob(**NAMES, worker=TRIAL),
    "PyTorchJob": PyTorchJob(**NAMES, master=TRIAL, worker=PLAIN),
    "XGBoostJob": XGBoostJob(**NAMES, master=TRIAL),
    "MPIJob": MPIJob(**NAMES, launcher=TRIAL, worker=PLAIN),
    "TrainJob": TrainJob(**NAMES, runtime="torch-distributed", pods=TRIAL),
}


def experiment(**changes: Any) -> Experiment:
    return Experiment(
        **{
            "name": "search",
            "namespace": "vision",
            "objective": Objective.minimize("loss", goal=0.01),
            "parameters": PARAMETERS,
            "trial": TRIAL,
            **changes,
        }
    )


def test_object(snapshot_json: SnapshotAssertion) -> None:
    assert experiment().to_json() == snapshot_json


@pytest.mark.promise("experiments")
@pytest.mark.parametrize("kind", TRIALS)
def test_the_api_accepts_an_experiment_with_each_kind_of_trial(offer: Callable[[Any], None], kind: str) -> None:
    found = experiment(trial=TRIALS[kind], settings={"random_state": "1"}, metrics_file="/tmp/metrics.log").to_json()
    assert found["spec"]["trialTemplate"]["trialSpec"]["kind"] == kind
    offer(found)


@pytest.mark.parametrize("kind", TRIALS)
def test_the_container_that_reports_metrics_is_in_the_trial(kind: str) -> None:
    template = experiment(trial=TRIALS[kind]).to_json()["spec"]["trialTemplate"]
    if kind != "TrainJob":  # its container is the runtime's
        assert f"'name': '{template['primaryContainerName']}'" in str(template["trialSpec"])
    assert ("Complete" if kind in ("Job", "TrainJob") else "Succeeded") in template["successCondition"]


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        ("TFJob", {"training.kubeflow.org/job-role": "master"}),  # without a chief, of the first worker
        ("PyTorchJob", {"training.kubeflow.org/job-role": "master"}),
        ("MPIJob", {"training.kubeflow.org/job-role": "launcher"}),
        (
            "TrainJob",
            {"jobset.sigs.k8s.io/replicatedjob-name": "node", "batch.kubernetes.io/job-completion-index": "0"},
        ),
    ],
)
def test_one_pod_of_a_distributed_trial_reports_metrics(kind: str, labels: dict[str, str]) -> None:
    assert experiment(trial=TRIALS[kind]).to_json()["spec"]["trialTemplate"]["primaryPodLabels"] == labels


def test_katib_offers_every_algorithm() -> None:
    database = Database(host="h", name="katib", secret="s")
    chart = Katib(
        cdk8s.App(outdir="/dev/null"), "K", images=Catalog.load().images, database=database, gateway="a/b", placement={}
    )
    (stored,) = (one for one in chart.to_json() if one["metadata"]["name"] == "katib-config")
    offered = json.loads(stored["data"]["katib-config.yaml"])["runtime"]["suggestions"]
    assert set(Experiment.ALGORITHMS) <= {one["algorithmName"] for one in offered}


def test_numbers_are_texts_for_katib() -> None:
    assert Parameter.double("rate", 0.001, 0.1, step=0.01).to_json() == {
        "name": "rate",
        "parameterType": "double",
        "feasibleSpace": {"min": "0.001", "max": "0.1", "step": "0.01"},
    }
    assert Parameter.choice("optimizer", "adam", "sgd").to_json()["feasibleSpace"] == {"list": ["adam", "sgd"]}


def test_a_search_of_two_trials_fails_when_both_do() -> None:
    assert experiment(max_trials=2, parallel_trials=1).to_json()["spec"]["maxFailedTrialCount"] == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "s" * 41}, "name must have at most 40 characters"),
        ({"algorithm": "bayes"}, "algorithm must be one of bayesianoptimization, .*, got 'bayes'"),
        ({"max_trials": 0}, "max_trials must be 1 or more, got 0"),
        ({"parallel_trials": 20}, "parallel_trials must not exceed max_trials, 12, got 20"),
        ({"max_failed_trials": -1}, "max_failed_trials must be 0 or more, got -1"),
        ({"max_failed_trials": 20}, "max_failed_trials must not exceed max_trials, 12, got 20"),
        ({"max_trials": 3.0}, "max_trials"),
        ({"parameters": ()}, "parameters is empty; give at least one"),
        ({"parameters": (*PARAMETERS, PARAMETERS[0])}, "parameter 'rate' is defined twice; remove one"),
        ({"parameters": PARAMETERS[:1]}, r"\$\{trialParameters.layers\} is not a parameter; use one of rate"),
        (
            {"parameters": (*PARAMETERS, Parameter.choice("optimizer", "adam", "sgd"))},
            r"does not use parameter 'optimizer'; write \$\{trialParameters.optimizer\}",
        ),
    ],
)
def test_what_cannot_work_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"Experiment .*: .*{message}"):
        experiment(**given)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Parameter.double("rate", 1, 0.1), "low must be less than high, got 1 and 0.1"),
        (lambda: Parameter.double("rate", 0, 1, step=2), "step must be above 0 and fit between low and high, got 2"),
        (lambda: Parameter.double("rate", 0, 1, logarithmic=True), "low must be above 0 on a logarithmic scale"),
        (lambda: Parameter.integer("layers", 1, 2.5), "must have whole numbers, got 2.5"),  # type: ignore[arg-type]
        (lambda: Parameter.choice("optimizer", "adam"), "needs two different values or more"),
        (lambda: Parameter.choice("the best", "a", "b"), "the name must be letters"),
    ],
)
def test_a_parameter_that_cannot_vary_is_refused(make: Callable[[], Parameter], message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"Parameter .*: {message}"):
        make()


def test_a_metric_that_no_log_could_show_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="Objective: metric must be a word, got 'the loss'"):
        Objective.maximize("the loss")
