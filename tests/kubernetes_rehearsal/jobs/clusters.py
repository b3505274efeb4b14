"""A real node with operators of jobs, and the rights that a team's pods have."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import cdk8s
import pytest

from charts.kit.rbac import account_subject, binding, service_account
from charts.kubeflow.kubeflow_base.objects import KubeflowBase
from kubernetes_rehearsal import programs
from kubernetes_rehearsal.choice import missing_for_nodes
from kubernetes_rehearsal.client import ApiClient
from kubernetes_rehearsal.nodes.node import NodeSettings
from kubernetes_rehearsal.proofs.components import Component, install
from kubernetes_rehearsal.proofs.workloads import check_workloads
from rehearsal.real_cluster import real_cluster

TEAM = "examples"
"""The namespace of a team."""
_SECONDS = 300


@contextmanager
def cluster_with(one: Component, *more: Any, images: Sequence[str]) -> Iterator[ApiClient]:
    """The API of a cluster with a component, its programs running, and a team.

    :param more: further objects.
    :param images: that must be built; the test is skipped where one is not.
    """
    lacks = [
        *missing_for_nodes(),
        *(f"{image} ({reason})" for image in images if (reason := programs.why_missing(image))),
    ]
    if lacks:
        pytest.skip(f"needs {', '.join(lacks)}")
    base = KubeflowBase(cdk8s.App(outdir=os.devnull), "Base", namespaces=[])
    editor = [
        service_account("default-editor", TEAM),
        binding(
            "default-editor", account_subject("default-editor", TEAM), namespace=TEAM, cluster_role="kubeflow-edit"
        ),
    ]
    with real_cluster(NodeSettings("node-1", cpus=8, memory_mib=16384)) as cluster:
        objects = [*one.objects, *base.to_json(), *editor, *more]
        install(cluster.api, replace(one, objects=objects, examples=[], refused=[]))
        report = check_workloads(cluster.api, one.namespaces, bound_seconds=_SECONDS)
        assert not report.findings, "\n".join(map(str, report.findings))
        yield cluster.api


def until(condition: Callable[[], Any], what: Callable[[], str], *, seconds: float) -> Any:
    """The first result that is not empty.

    :param what: describes the state after the time has passed.
    """
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, what()
        time.sleep(1)
    return found


def logs(api: ApiClient, namespace: str = TEAM) -> str:
    """Phases and the ends of the logs of all pods."""
    found = []
    for pod in api.items(f"/api/v1/namespaces/{namespace}/pods"):
        name, status = pod["metadata"]["name"], pod["status"]
        started = [one for one in status.get("containerStatuses", []) if "waiting" not in one["state"]]
        status["phase"] += f" {status.get('reason', '')} {status.get('message', '')}"
        text = api.text(f"/api/v1/namespaces/{namespace}/pods/{name}/log?tailLines=40") if started else str(status)
        found.append(f"{name}: {status['phase']}\n{text}")
    return "\n".join(found)
