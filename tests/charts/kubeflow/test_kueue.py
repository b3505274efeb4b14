"""Kueue: each team's jobs wait for the GPUs of its quota, and only what must wait is looked at."""

import json
from typing import Any

import cdk8s
import pytest

from charts.catalog import Catalog
from charts.kubeflow.kueue.objects import JOB, TRAIN_JOB, TRAINING_JOBS, Kueue, TeamQueues

CATALOG = Catalog.load()


def kueue(*kinds: Any) -> list[Any]:
    app = cdk8s.App(outdir="/dev/null")
    return Kueue(app, "Kueue", image=CATALOG.images.reference("kueue"), kinds=kinds, placement={}).to_json()


def queues(**quotas: int) -> list[Any]:
    return TeamQueues(cdk8s.App(outdir="/dev/null"), "Queues", gpu_quotas=quotas).to_json()


@pytest.mark.promise("team-quotas")
def test_each_team_has_a_queue_of_its_own_with_its_gpus() -> None:
    found = queues(vision=8, churn=0)
    quotas = {
        one["metadata"]["name"]: one["spec"]["resourceGroups"][0]["flavors"][0]["resources"]
        for one in found
        if one["kind"] == "ClusterQueue"
    }
    assert quotas == {
        "vision": [{"name": "nvidia.com/gpu", "nominalQuota": "8"}],
        "churn": [{"name": "nvidia.com/gpu", "nominalQuota": "0"}],
    }


@pytest.mark.promise("team-quotas")
def test_no_team_can_use_the_queue_of_another() -> None:
    for one in queues(vision=8, churn=2):
        if one["kind"] == "ClusterQueue":
            assert one["spec"]["namespaceSelector"] == {
                "matchLabels": {"kubernetes.io/metadata.name": one["metadata"]["name"]}
            }
            assert "cohortName" not in one["spec"]
        if one["kind"] == "LocalQueue":
            assert one["spec"]["clusterQueue"] == one["metadata"]["namespace"]


@pytest.mark.promise("team-quotas")
def test_a_job_that_names_no_queue_waits_in_the_one_of_its_namespace() -> None:
    """Kueue takes the LocalQueue of this name for jobs without a queue."""
    names = {one["metadata"]["name"] for one in queues(vision=8) if one["kind"] == "LocalQueue"}
    assert names == {"default"}


def test_queues_are_deleted_with_the_namespaces_whose_jobs_hold_them() -> None:
    """Kueue does not release a queue while a job of the team is admitted."""
    waves = {one["kind"]: one["metadata"].get("annotations", {}) for one in queues(vision=8)}
    late = {"mlplatform-constructs/wave": "namespaces"}
    assert waves == {"ResourceFlavor": late, "ClusterQueue": late, "LocalQueue": {}}


@pytest.mark.promise("team-quotas")
def test_a_negative_quota_is_refused() -> None:
    with pytest.raises(ValueError, match="Queues: the GPU quota of team 'vision' must be 0 or more, got -1"):
        queues(vision=-1)


def test_the_controller_looks_at_the_kinds_that_wait_and_no_others() -> None:
    found = kueue(JOB, TRAIN_JOB)
    (configuration,) = (one for one in found if one["kind"] == "ConfigMap")
    settings = json.loads(configuration["data"]["controller_manager_config.yaml"])
    assert settings["integrations"]["frameworks"] == ["batch/job", "trainer.kubeflow.org/trainjob"]
    (role,) = (
        one for one in found if one["kind"] == "ClusterRole" and one["metadata"]["name"] == "kueue-controller-manager"
    )
    allowed = {resource for rule in role["rules"] for resource in rule["resources"]}
    assert {"jobs", "trainjobs", "clustertrainingruntimes"} <= allowed
    assert not {"tfjobs", "mpijobs", "secrets", "customresourcedefinitions"} & allowed


@pytest.mark.parametrize("kind", [TRAIN_JOB, *TRAINING_JOBS], ids=lambda kind: kind.singular)
def test_a_queued_kind_is_at_the_version_that_its_definition_serves(kind: Any) -> None:
    (versions,) = (
        definition["spec"]["versions"]
        for component in CATALOG.components.values()
        for definition in component.definitions
        if definition["metadata"]["name"] == f"{kind.plural}.{kind.group}"
    )
    assert kind.version in [version["name"] for version in versions if version["served"]]


def test_only_gpus_are_counted() -> None:
    (configuration,) = (one for one in kueue(JOB) if one["kind"] == "ConfigMap")
    settings = json.loads(configuration["data"]["controller_manager_config.yaml"])
    assert {"cpu", "memory"} <= set(settings["resources"]["excludeResourcePrefixes"])
