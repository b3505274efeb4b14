"""Decides whether a rehearsal runs pods on real nodes, and builds the programs of nodes where they are missing."""

import os
import shutil
from collections.abc import Iterable
from typing import Literal, get_args

from config.schema import Account
from kubernetes_rehearsal import programs
from kubernetes_rehearsal.choice import NODES, missing_for_nodes
from kubernetes_rehearsal.given_clusters import KUBECONFIG
from kubernetes_rehearsal.nodes import machine
from kubernetes_rehearsal.programs.__main__ import main as build_programs
from mlplatform_constructs import KubernetesRelease
from rehearsal.errors import RehearsalError

Wanted = Literal["0", "1", "auto"]
WANTED = get_args(Wanted)
_BUILD_MINUTES = 15
_CLIENTS = ("apt-get", "dpkg-deb", "go")


def choose_nodes(wanted: Wanted, accounts: Iterable[Account] = ()) -> None:
    """Set the environment variable by which the emulator decides. Clusters that the user gives come before nodes.

    :param wanted: ``auto`` for real nodes if this machine can run them; the report says what it lacks.
    :param accounts: whose clusters are rehearsed. With ``auto``, one with another Kubernetes minor has no real nodes.
    :raises RehearsalError: if real nodes are required, and this machine cannot run them.
    """
    if wanted != "0" and not os.environ.get(KUBECONFIG):
        others = sorted(_minors(accounts) - {programs.kubernetes_minor()})
        if wanted == "auto" and others:
            only = f"these run Kubernetes {programs.kubernetes_minor()}, and a cluster needs {', '.join(others)}"
            print(f"rehearsal: no real nodes: {only}", flush=True)
            wanted = "0"
        else:
            _build_missing()
            if wanted == "1" and (lacks := missing_for_nodes()):
                raise RehearsalError(f"this machine cannot run real nodes; it lacks {', '.join(lacks)}")
    os.environ[NODES] = wanted


def _minors(accounts: Iterable[Account]) -> set[str]:
    return {
        cluster.kubernetes or KubernetesRelease.DEFAULT for account in accounts for cluster in account.clusters.values()
    }


def _build_missing() -> None:
    """Build the programs of nodes, if nothing else is missing. A program that cannot be built is printed."""
    missing = programs.missing_programs()
    if missing and not machine.missing_parts() and all(map(shutil.which, _CLIENTS)):
        print(f"rehearsal: building the programs of real nodes, once, for up to {_BUILD_MINUTES} minutes", flush=True)
        build_programs([*missing, "--minutes", str(_BUILD_MINUTES)])
