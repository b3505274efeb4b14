"""Components of the catalog with programs are tested as installed, with their namespaces and examples."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from charts.catalog import Catalog
from charts.kit.chart import pod_specs
from kubernetes_rehearsal import programs
from kubernetes_rehearsal.interface import KubernetesError
from kubernetes_rehearsal.proofs.components import Component, ComponentReport
from kubernetes_rehearsal.proofs.findings import Finding
from kubernetes_rehearsal.proofs.mutations import Mutation, MutationReport
from rehearsal.components import BUILDS, component, main

CATALOG = Catalog.load()


WITHOUT_EXAMPLE = {
    "AdmissionCheck": "the platform uses none",
    "ClusterQueue": "the queues of teams are part of the component",
    "Cohort": "the platform uses none",
    "ProvisioningRequestConfig": "the platform uses none",
    "ResourceFlavor": "the queues of teams are part of the component",
    "Topology": "the platform uses none",
    "Workload": "Kueue makes one for each job",
    "WorkloadPriorityClass": "the platform uses none",
    "ClusterTrainingRuntime": "Trainer installs those of the platform, and its example uses one",
    "ScheduledSparkApplication": "it makes nothing but SparkApplications, at times",
    "SparkConnect": "its server needs the image of Spark",
    "ClusterWorkflowTemplate": "the platform uses none",
    "CronWorkflow": "it makes nothing but Workflows, at times",
    "WorkflowArtifactGCTask": "Argo makes those of a Workflow",
    "WorkflowEventBinding": "the platform uses none",
    "WorkflowTaskResult": "the steps of a Workflow make it",
    "WorkflowTaskSet": "Argo makes those of a Workflow",
    "Suggestion": "Katib makes those of an Experiment",
    "Trial": "Katib makes those of an Experiment",
}
"""Kinds of components that no example creates, each with the reason."""
WITHOUT_KINDS = ("kubeflow/oauth2_proxy",)
"""Components that define no kinds."""


@pytest.mark.parametrize("name", BUILDS)
def test_a_component_has_namespaces_definitions_and_examples(name: str) -> None:
    found = component(name, CATALOG)
    spaces = [one["metadata"]["name"] for one in found.objects if one["kind"] == "Namespace"]
    assert set(found.namespaces) | {"examples"} == set(spaces)
    kinds = {definition["spec"]["names"]["kind"] for definition in CATALOG.definitions(name)}
    assert bool(kinds) == (name not in WITHOUT_KINDS)
    assert {example.content["kind"] for example in found.examples} >= kinds - set(WITHOUT_EXAMPLE)


@pytest.mark.parametrize("name", BUILDS)
def test_a_component_that_validates_has_objects_that_it_must_refuse(name: str) -> None:
    found = component(name, CATALOG)
    assert bool(found.refused) == any(one["kind"] == "ValidatingWebhookConfiguration" for one in found.objects)


@pytest.mark.parametrize("name", BUILDS)
def test_every_workload_of_a_component_runs_a_program_that_can_be_built_or_is_known_not_to_be(name: str) -> None:
    found = component(name, CATALOG)
    images = [spec["image"] for one in found.objects for pod in pod_specs(one) for spec in pod["containers"]]
    built = {image for image in images if not programs.table().why_unavailable(image)}
    assert built
    assert set(images) - built <= set(found.unavailable)


def test_a_component_without_programs_is_refused() -> None:
    with pytest.raises(KubernetesError, match="nodes/kube2iam: not a component with programs; use one of kubeflow/"):
        component("nodes/kube2iam", CATALOG)


def test_a_machine_that_cannot_run_nodes_is_reported_and_fails_only_where_nodes_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("kubernetes_rehearsal.programs.missing_programs", lambda *_: ["go/kubelet"])
    monkeypatch.delenv("REHEARSAL_NODES", raising=False)
    assert main([]) == 0
    assert "components: not run, because this machine cannot run nodes; it lacks go/kubelet" in capsys.readouterr().out
    monkeypatch.setenv("REHEARSAL_NODES", "1")
    assert main([]) == 1
    assert "REHEARSAL_NODES: this machine cannot run nodes; it lacks go/kubelet" in capsys.readouterr().err


def test_a_component_whose_images_are_not_built_is_reported_and_fails_only_where_it_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rehearsal.components.missing_for_nodes", list)
    monkeypatch.setattr("kubernetes_rehearsal.programs.why_missing", lambda *_: "not built")
    monkeypatch.delenv("REHEARSAL_NODES", raising=False)
    assert main([]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in said] == list(BUILDS)
    assert any(
        "kubeflow/katib: not run, because its images are not built: docker.io/library/mariadb" in line for line in said
    )
    assert main(["kubeflow/jobset"]) == 1
    assert "kubeflow/jobset: not run, because its images are not built: registry.k8s.io/jobset/jobset" in (
        capsys.readouterr().out
    )


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Clusters without machines: the second is slow, and every change is noticed but a taint. What was checked."""
    found: dict[str, Any] = {"limits": []}

    @contextmanager
    def real_clusters(count: int) -> Iterator[list[SimpleNamespace]]:
        yield [SimpleNamespace(api=number) for number in range(count)]

    def check_component(api: int, one: Component) -> ComponentReport:
        seconds = {"installed": 1.0, "available": 5.0 + 10 * api, "JobSet Completed": 2.0 + 20 * api}
        return ComponentReport(seconds, {}, [])

    def check_mutations(
        apis: Sequence[int], one: Component, changes: Iterable[Mutation] = (), *, bound_seconds: float, say: object
    ) -> MutationReport:
        found["limits"].append((list(apis), bound_seconds, [example.bound_seconds for example in one.examples]))
        names = [str(change) for change in changes]
        taints = [name for name in names if "taint" in name]
        return MutationReport({name: Finding("Pod", "fails") for name in names if name not in taints}, taints)

    for name, replaced in {
        "missing_for_nodes": list,
        "unbuilt_images": lambda one: [],
        "real_clusters": real_clusters,
        "check_component": check_component,
        "check_mutations": check_mutations,
        "tainted_nodes": lambda api: nullcontext(),
        "remove": lambda api, one: found.setdefault("removed", []).append(api),
    }.items():
        monkeypatch.setattr(f"rehearsal.components.{name}", replaced)
    return found


def test_several_clusters_check_changes_with_limits_of_the_slowest(
    checked: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["kubeflow/jobset", "--faults", "--clusters", "2"]) == 1
    assert checked["limits"] == [([0, 1], 45.0, [66.0]), ([0], 45.0, [66.0])]
    assert checked["removed"] == [0, 1]
    said = capsys.readouterr().out
    assert "kubeflow/jobset: available: 15.0 s" in said
    assert "kubeflow/jobset: planted faults: 10 of 11 changes are noticed (91%), in 0 s" in said
