"""A wrong field in an object of Kubeflow's kinds is refused by the API, whether its controller runs or not."""

import copy
from typing import Any

import pytest

from charts.catalog import Catalog
from kubernetes_rehearsal.client import ApiClient, ApiFailure
from kubernetes_rehearsal.objects import collection_of
from kubernetes_rehearsal.proofs.components import install
from rehearsal.components import BUILDS, component

CATALOG = Catalog.load()
COMPONENTS = {
    example.content["kind"]: (found, example.content)
    for found in (component(name, CATALOG) for name in BUILDS)
    for example in found.examples
}
MISSING = object()

WRONG: dict[str, list[tuple[str, Any, str]]] = {
    "Experiment": [
        ("spec.objective.type", "smallest", "type"),
        ("spec.objective.metric", "loss", "unknown field"),
        ("spec.maxTrialCount", 0, "maxTrialCount"),
        ("spec.parallelTrialCount", "two", "parallelTrialCount"),
        ("spec.parameters.0.parameterType", "float", "parameterType"),
        ("spec.parameters.0.feasibleSpace.min", 0.01, "min"),
        ("spec.parameters", MISSING, "either parameters or nasConfig"),
        ("spec.trialTemplate.trialSpec", MISSING, "either trialTemplate.trialSpec or trialTemplate.configMap"),
        ("spec.trialTemplate.primaryContainerName", MISSING, "primaryContainerName"),
        ("spec.metricsCollectorSpec", {"collector": {"kind": "Stdout"}}, "kind"),
        ("spec.algorithm", MISSING, "algorithm"),
    ],
    "JobSet": [
        ("spec.replicatedJobs.0.replicas", "two", "replicas"),
        ("spec.replicatedJobs.0.image", "x", "unknown field"),
        ("spec.replicatedJobs.0.name", MISSING, "name"),
        ("spec.successPolicy", {"operator": "Most"}, "operator"),
    ],
    "LocalQueue": [
        ("spec.clusterQueue", "No Queue", "clusterQueue"),
        ("spec.queue", "x", "unknown field"),
        ("spec.stopPolicy", "Stop", "stopPolicy"),
    ],
    "MPIJob": [
        ("spec.slotsPerWorker", 0, "slotsPerWorker"),
        ("spec.slotsPerWorker", "two", "slotsPerWorker"),
        ("spec.mpiImplementation", "LAM", "mpiImplementation"),
        ("spec.sshAuthPath", "/root", "unknown field"),
        ("spec.runPolicy.cleanPodPolicy", "Some", "cleanPodPolicy"),
        ("spec.mpiReplicaSpecs.Launcher.replicas", 2, "there is one Launcher"),
        ("spec.mpiReplicaSpecs.Launcher", MISSING, "a Launcher is required"),
        ("spec.mpiReplicaSpecs.Master", {}, "only Launcher and Worker"),
        ("spec.mpiReplicaSpecs.Worker.replicas", 0, "replicas"),
        ("spec.mpiReplicaSpecs.Worker.restartPolicy", "Always", "restartPolicy"),
        ("spec.mpiReplicaSpecs.Worker.image", "x", "unknown field"),
    ],
    "SparkApplication": [
        ("spec.type", "Kotlin", "type"),
        ("spec.mode", "somewhere", "mode"),
        ("spec.sparkVersion", MISSING, "sparkVersion"),
        ("spec.driver.cores", "one", "cores"),
        ("spec.driver.cpu", 1, "unknown field"),
        ("spec.executor.instances", 0, "instances"),
        ("spec.restartPolicy", {"type": "Sometimes"}, "type"),
    ],
    "TrainJob": [
        ("spec.runtimeRef", MISSING, "runtimeRef"),
        ("spec.trainer.numNodes", "two", "numNodes"),
        ("spec.trainer.nodes", 2, "unknown field"),
        ("spec.suspend", "no", "suspend"),
    ],
    "TrainingRuntime": [
        ("spec.mlPolicy.numNodes", "two", "numNodes"),
        ("spec.mlPolicy.tensorflow", {}, "unknown field"),
        ("spec.mlPolicy.mpi", {}, "mlPolicy"),
    ],
}
"""By kind: the place of a value in the example, the wrong value, and what the refusal names."""
CASES = [pytest.param(kind, *case, id=f"{kind}-{case[0]}-{case[1]!s:.20}") for kind in WRONG for case in WRONG[kind]]


@pytest.mark.parametrize(("kind", "path", "value", "words"), CASES)
def test_a_wrong_field_is_refused(api: ApiClient, kind: str, path: str, value: Any, words: str) -> None:
    found, content = COMPONENTS[kind]
    install(api, found)
    changed = copy.deepcopy(dict(content))
    *parents, last = path.split(".")
    target: Any = changed
    for parent in parents:
        target = target[int(parent) if parent.isdigit() else parent]
    if value is MISSING:
        del target[last]
    else:
        target[last] = value
    with pytest.raises(ApiFailure, match=words):
        api.request("POST", f"{collection_of(api, changed)}?dryRun=All&fieldValidation=Strict", changed)


def test_every_kind_with_an_example_has_wrong_fields_that_are_tried() -> None:
    jobs_of_the_training_operator = {"PyTorchJob", "TFJob", "XGBoostJob"}
    kind_of_kubernetes = {"Job"}
    open_specifications = {
        "Workflow",
        "WorkflowTemplate",
    }  # Argo's controller validates them, and its definitions do not
    untried = jobs_of_the_training_operator | kind_of_kubernetes | open_specifications
    assert set(WRONG) == set(COMPONENTS) - untried
