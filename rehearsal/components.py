"""``python -m rehearsal.components [NAMES]``: installs components of the catalog on a real node and tests them."""

import argparse
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cdk8s
from constructs import Construct

from charts.catalog import Catalog
from charts.kit.chart import ComponentChart
from charts.kit.kubeflow import AUTH_NAMESPACE
from charts.kit.objects import metadata, namespace
from charts.kit.rbac import account_subject, binding, service_account
from charts.kit.stores import ArtifactStore, Database
from charts.kubeflow.argo_workflows.objects import ArgoWorkflows
from charts.kubeflow.jobset.objects import JobSet
from charts.kubeflow.katib.objects import INJECTED, Katib
from charts.kubeflow.kueue.objects import JOB, JOB_SET, TRAIN_JOB, TRAINING_JOBS, Kueue, TeamQueues
from charts.kubeflow.mpi_operator.objects import MpiOperator
from charts.kubeflow.oauth2_proxy.objects import NAME as OAUTH2_PROXY
from charts.kubeflow.oauth2_proxy.objects import OAuth2Proxy
from charts.kubeflow.spark_operator.objects import SparkOperator
from charts.kubeflow.trainer.objects import Trainer
from charts.kubeflow.training_operator.objects import TrainingOperator
from kubernetes_rehearsal import programs
from kubernetes_rehearsal.choice import NODES, missing_for_nodes
from kubernetes_rehearsal.client import ApiClient, ApiFailure
from kubernetes_rehearsal.interface import KubernetesError
from kubernetes_rehearsal.proofs.components import (
    Component,
    ComponentReport,
    check_component,
    check_mutations,
    read_examples,
    remove,
    tainted_nodes,
    with_bounds,
)
from kubernetes_rehearsal.proofs.faults import planted_faults
from kubernetes_rehearsal.proofs.mutations import Mutation, MutationReport
from rehearsal.component_database import database_server
from rehearsal.real_cluster import real_clusters

_EXAMPLES = "examples"
_EDITOR = "default-editor"
_LEAST_BOUND_SECONDS = 20

_KATIB_DATABASE = Database(host="mysql.kubeflow", name="katib", secret="katib-database")

Build = Callable[[Construct, Catalog], Iterable[ComponentChart]]
"""The charts of a component."""


class _Editor(ComponentChart):
    """The service account of a team's steps, with the team's rights of a component, as in the workspace of a team."""

    def __init__(self, scope: Construct, id: str, *, role: str) -> None:
        super().__init__(scope, id)
        subject = account_subject(_EDITOR, _EXAMPLES)
        self.add(service_account(_EDITOR, _EXAMPLES), binding(_EDITOR, subject, namespace=_EXAMPLES, cluster_role=role))


def _argo_workflows(scope: Construct, catalog: Catalog) -> Iterator[ComponentChart]:
    yield ArgoWorkflows(
        scope,
        "Argo",
        controller_image=catalog.images.reference("argo-workflow-controller"),
        executor_image=catalog.images.reference("argo-executor"),
        artifacts=ArtifactStore(bucket="artifacts", region="us-east-1"),
        placement={},
    )
    yield _Editor(scope, "Editor", role="kubeflow-argo-edit")


def _jobset(scope: Construct, catalog: Catalog) -> Iterator[ComponentChart]:
    yield JobSet(scope, "JobSet", image=catalog.images.reference("jobset"), placement={})


def _katib(scope: Construct, catalog: Catalog) -> Iterator[ComponentChart]:
    yield Katib(
        scope,
        "Katib",
        images=catalog.images,
        database=_KATIB_DATABASE,
        gateway="kubeflow/kubeflow-gateway",
        placement={},
    )


def _kueue(scope: Construct, catalog: Catalog) -> Iterator[ComponentChart]:
    kinds = (JOB, JOB_SET, TRAIN_JOB, *TRAINING_JOBS)
    yield Kueue(scope, "Kueue", image=catalog.images.reference("kueue"), kinds=kinds, placement={})
    yield TeamQueues(scope, "TeamQueues", gpu_quotas={_EXAMPLES: 0})


def _mpi_operator(scope: Construct, catalog: Catalog) -> Iterator[ComponentChart]:
    yield MpiOperator(scope, "MpiOperator", image=catalog.images.reference("mpi-operator"), placement={})


def _oauth2_proxy(scope: Construct, catalog: Catalog) -> Iterator[ComponentChart]:
    arn = "arn:aws:secretsmanager:us-east-1:000000000000:secret"
    yield OAuth2Proxy(
        scope,
        "OAuth2Proxy",
        image=catalog.images.reference("oauth2-proxy"),
        client_secret_arn=f"{arn}:client",
        cookie_secret_arn=f"{arn}:cookies",
        secure_cookies=True,
        placement={},
    )


def _spark_operator(scope: Construct, catalog: Catalog) -> Iterator[ComponentChart]:
    yield SparkOperator(scope, "SparkOperator", image=catalog.images.reference("spark-operator"), placement={})


def _trainer(scope: Construct, catalog: Catalog) -> Iterator[ComponentChart]:
    yield Trainer(scope, "Trainer", images=catalog.images, placement={})


def _training_operator(scope: Construct, catalog: Catalog) -> Iterator[ComponentChart]:
    yield TrainingOperator(
        scope,
        "TrainingOperator",
        image=catalog.images.reference("training-operator"),
        shell_image=catalog.images.reference("busybox"),
        placement={},
    )


BUILDS: dict[str, Build] = {
    "kubeflow/argo_workflows": _argo_workflows,
    "kubeflow/jobset": _jobset,
    "kubeflow/katib": _katib,
    "kubeflow/kueue": _kueue,
    "kubeflow/mpi_operator": _mpi_operator,
    "kubeflow/oauth2_proxy": _oauth2_proxy,
    "kubeflow/spark_operator": _spark_operator,
    "kubeflow/trainer": _trainer,
    "kubeflow/training_operator": _training_operator,
}
"""The charts with runnable programs, by the name of their component."""

_LISTED = {
    "kubeflow/katib": ("kubeflow/mpi_operator", "kubeflow/training_operator"),
    "kubeflow/kueue": ("kubeflow/jobset", "kubeflow/mpi_operator", "kubeflow/trainer", "kubeflow/training_operator"),
    "kubeflow/trainer": ("kubeflow/jobset",),
}
"""Components whose kinds a component watches or makes."""


def _session_secrets(catalog: Catalog) -> list[Mapping[str, Any]]:
    """The Secret that the Secrets Store CSI driver would write, with new values."""
    return [
        namespace(AUTH_NAMESPACE),
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata(OAUTH2_PROXY, AUTH_NAMESPACE),
            "stringData": {"client-secret": secrets.token_hex(16), "cookie-secret": secrets.token_hex(16)},
        },
    ]


def _job_sets(catalog: Catalog) -> list[Mapping[str, Any]]:
    """JobSet, which runs the jobs of Trainer."""
    objects = _objects(_jobset, catalog)
    return [*(namespace(place) for place in _namespaces(objects)), *objects]


_SURROUNDINGS: Mapping[str, Callable[[Catalog], Sequence[Mapping[str, Any]]]] = {
    "kubeflow/katib": lambda catalog: database_server(_KATIB_DATABASE),
    "kubeflow/oauth2_proxy": _session_secrets,
    "kubeflow/trainer": _job_sets,
}
"""Objects that a component needs but does not install: a database, a Secret that a CSI driver would write, or another
component."""


def component(name: str, catalog: Catalog) -> Component:
    """A component of the catalog for the proofs, with its namespaces and one for its examples.

    :raises KubernetesError: for a component without a chart in this table.
    """
    if name not in BUILDS:
        raise KubernetesError(f"{name}: not a component with programs; use one of {', '.join(BUILDS)}")
    folder = catalog.components[name].folder
    objects = _objects(BUILDS[name], catalog)
    good, bad = read_examples(sorted(folder.glob("examples/*.json")), _EXAMPLES)
    spaces = [namespace(place) for place in _namespaces(objects)]
    spaces.append(namespace(_EXAMPLES, **INJECTED))
    table = programs.table()
    unavailable = {catalog.images.reference(one.name) for one in catalog.images if one.image in table.unavailable}
    surroundings = _SURROUNDINGS[name](catalog) if name in _SURROUNDINGS else []
    definitions = _definitions(catalog, name, objects)
    others = [found for other in catalog.components for found in catalog.definitions(other)]
    return Component(name, definitions, [*spaces, *objects], good, bad, unavailable, surroundings, others)


def _objects(build: Build, catalog: Catalog) -> list[Mapping[str, Any]]:
    return [found for chart in build(cdk8s.App(outdir=os.devnull), catalog) for found in chart.to_json()]


def _namespaces(objects: Iterable[Mapping[str, Any]]) -> list[str]:
    """The namespaces of objects, without that of the examples."""
    return sorted(
        {found["metadata"]["namespace"] for found in objects if "namespace" in found["metadata"]} - {_EXAMPLES}
    )


def _definitions(catalog: Catalog, name: str, objects: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of the component's own kinds, and of the other kinds of its objects, such as certificates."""
    kinds = {(found["apiVersion"].partition("/")[0], found["kind"]) for found in objects}
    return [
        found
        for other in catalog.components
        for found in catalog.definitions(other)
        if other in (name, *_LISTED.get(name, ())) or (found["spec"]["group"], found["spec"]["names"]["kind"]) in kinds
    ]


def unbuilt_images(one: Component) -> list[str]:
    """Images of a component's workloads that can be built here and are not; `make programs` builds them."""
    images = set()
    for found in [*one.surroundings, *one.objects]:
        pod = found.get("spec", {}).get("template", {}).get("spec", {})
        images |= {each["image"] for group in ("initContainers", "containers") for each in pod.get(group) or []}
    table = programs.table()
    return sorted(image for image in images if not table.why_unavailable(image) and programs.why_missing(image))


def main(arguments: Sequence[str]) -> int:
    """Run the command. It reports a machine that cannot run nodes, and components whose images are not built.

    With ``REHEARSAL_NODES=1`` both are failures, and so is a named component whose images are not built.

    :return: the number of components with findings, at most 125.
    """
    parser = argparse.ArgumentParser(prog="python -m rehearsal.components", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"components. Default: {', '.join(BUILDS)}")
    parser.add_argument("--faults", action="store_true", help="also plant faults, and check that each is found")
    parser.add_argument("--mutations", action="store_true", help="also remove each part, and report what is undetected")
    parser.add_argument(
        "--minutes", type=float, default=0, help="start no component after this time. Default: no limit"
    )
    parser.add_argument(
        "--clusters", type=int, default=1, help="clusters that check faults and parts at the same time. Default: 1"
    )
    options = parser.parse_args(arguments)
    catalog = Catalog.load()
    failed = 0
    lacks = missing_for_nodes()
    if lacks and os.environ.get(NODES) != "1":
        print(f"components: not run, because this machine cannot run nodes; it lacks {', '.join(lacks)}")
        return 0
    try:
        chosen = []
        for one in (component(name, catalog) for name in options.names or BUILDS):
            if not lacks and (unbuilt := unbuilt_images(one)):
                print(f"{one.name}: not run, because its images are not built: {', '.join(unbuilt)}", flush=True)
                failed += bool(options.names) or os.environ.get(NODES) == "1"
            else:
                chosen.append(one)
        if not chosen:
            return failed
        started = time.monotonic()
        with real_clusters(options.clusters) as clusters:
            apis = [cluster.api for cluster in clusters]
            print(f"node ready: {time.monotonic() - started:.1f} s", flush=True)
            for one in chosen:
                if options.minutes and time.monotonic() - started > options.minutes * 60:
                    print(f"{one.name}: not run, because the {options.minutes:g} minutes were over", flush=True)
                    continue
                try:
                    failed += _check(apis, one, faults=options.faults, mutations=options.mutations)
                except ApiFailure as failure:
                    print(f"{one.name}: {failure}", flush=True)
                    failed += 1
                finally:
                    for api in apis:
                        remove(api, one)  # another component must find none of its pods and objects
    except KubernetesError as error:
        print(error, file=sys.stderr)
        return 1
    return min(failed, 125)


def _check(apis: Sequence[ApiClient], one: Component, *, faults: bool, mutations: bool) -> int:
    """Print the findings about a component; 0 if there are none."""
    report = _slowest(apis, one)
    for step, seconds in report.seconds.items():
        print(f"{one.name}: {step}: {seconds:.1f} s", flush=True)
    for place, images in report.stored_only.items():
        print(f"{one.name}: {place}: stored only, without {images}", flush=True)
    for finding in report.findings:
        print(f"{one.name}: {finding}", flush=True)
    if report.findings:
        return 1
    bound = max(_LEAST_BOUND_SECONDS, 3 * report.seconds["available"])
    one = with_bounds(one, report, _LEAST_BOUND_SECONDS)
    if mutations:
        started = time.monotonic()
        found = check_mutations(apis, one, bound_seconds=bound, say=_say)
        print(f"{one.name}: {found}, in {time.monotonic() - started:.0f} s", flush=True)
    return _undetected_faults(apis, one, bound) if faults else 0


def _slowest(apis: Sequence[ApiClient], one: Component) -> ComponentReport:
    """Check a component in all clusters at the same time: all findings, and the longest time of each step."""
    with ThreadPoolExecutor(len(apis)) as workers:
        reports = list(workers.map(lambda api: check_component(api, one), apis))
    seconds = {step: max(report.seconds.get(step, 0) for report in reports) for step in reports[0].seconds}
    findings = sorted({finding for report in reports for finding in report.findings})
    return ComponentReport(seconds, reports[0].stored_only, findings)


def _say(line: str) -> None:
    print(f"  {line}", flush=True)


def _undetected_faults(apis: Sequence[ApiClient], one: Component, bound_seconds: float) -> int:
    """Plant faults one at a time, print the findings, and count the undetected faults."""
    started = time.monotonic()
    faults = planted_faults(one.objects, one.unavailable)
    report = check_mutations(apis, one, faults, bound_seconds=bound_seconds, say=_say)
    with tainted_nodes(apis[0]):
        taint = Mutation("Nodes", "a taint that the component does not tolerate", one.objects, "with")
        tainted = check_mutations(apis[:1], one, [taint], bound_seconds=bound_seconds, say=_say)
    whole = MutationReport({**report.noticed, **tainted.noticed}, [*report.unnoticed, *tainted.unnoticed])
    print(f"{one.name}: planted faults: {whole}, in {time.monotonic() - started:.0f} s", flush=True)
    return len(whole.unnoticed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
