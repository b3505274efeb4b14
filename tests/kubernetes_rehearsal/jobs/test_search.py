"""A search on a real node: the real Katib suggests parameters, runs a training for each, and reads what it printed."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from examples.training_jobs import jobs
from kubernetes_rehearsal.client import ApiClient
from rehearsal.component_database import IMAGE as DATABASE
from rehearsal.components import component
from tests.charts.kubeflow.core import CATALOG
from tests.kubernetes_rehearsal.jobs.clusters import TEAM, cluster_with
from tests.kubernetes_rehearsal.jobs.example_image import TRIAL, image_files, run

PROGRAMS = ("katib-controller", "katib-db-manager", "katib-suggestion-goptuna", "katib-file-metrics-collector")


@pytest.fixture(scope="module")
def api() -> Iterator[ApiClient]:
    images = [TRIAL, DATABASE, *(CATALOG.images.reference(name) for name in PROGRAMS)]
    with cluster_with(component("kubeflow/katib", CATALOG), image_files(), images=images) as found:
        yield found


def accuracy(observation: dict[str, Any]) -> float:
    [metric] = observation["metrics"]
    assert metric["name"] == "accuracy"
    return float(metric["latest"])


@pytest.mark.promise("training-examples")
def test_katib_trains_with_two_sets_of_parameters_and_reports_the_better(api: ApiClient) -> None:
    # By Sobol's sequence, which goptuna has; the program of random search is not built here.
    search = replace(jobs.search(TEAM, TRIAL, trials=2), algorithm="sobol", parallel_trials=1)
    status = run(api, search.to_json())["status"]
    assert status["trialsSucceeded"] == 2
    trials = {one["metadata"]["name"]: one for one in api.items(f"/apis/kubeflow.org/v1beta1/namespaces/{TEAM}/trials")}
    found = {name: accuracy(one["status"]["observation"]) for name, one in trials.items()}
    assert len({str(one["spec"]["parameterAssignments"]) for one in trials.values()}) == 2
    best = status["currentOptimalTrial"]
    assert found[best["bestTrialName"]] == max(found.values()) == accuracy(best["observation"])
    assert max(found.values()) > 0.8
    assert {one["name"] for one in best["parameterAssignments"]} == {"trees", "depth", "rate"}
