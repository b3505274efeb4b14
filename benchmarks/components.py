"""``python -m benchmarks.components``: all components whose programs are built, together on one real node."""

import sys
import time

from charts.catalog import Catalog
from kubernetes_rehearsal.choice import missing_for_nodes
from kubernetes_rehearsal.nodes.node import NodeSettings
from kubernetes_rehearsal.proofs.components import install
from kubernetes_rehearsal.proofs.workloads import check_workloads
from rehearsal.components import BUILDS, component, unbuilt_images
from rehearsal.real_cluster import real_cluster

# Their requests do not fit on a node with the processors of most machines.
_NODE = NodeSettings("node-1", cpus=16, memory_mib=32768)
_BOUND_SECONDS = 600


def main() -> None:
    """Print a table, or why this machine cannot measure it."""
    if lacks := missing_for_nodes():
        print(f"Components: not measured, because this machine lacks {', '.join(lacks)}.")
        return
    catalog = Catalog.load()
    known = [component(name, catalog) for name in BUILDS]
    built = [one for one in known if not unbuilt_images(one)]
    with real_cluster(_NODE) as cluster:
        empty = cluster.sandbox.resident()
        started = time.monotonic()
        for one in built:
            install(cluster.api, one)
        installed = time.monotonic() - started
        namespaces = sorted({namespace for one in built for namespace in one.namespaces})
        report = check_workloads(cluster.api, namespaces, bound_seconds=_BOUND_SECONDS)
        if report.findings:
            sys.exit("\n".join(f"components: {finding}" for finding in report.findings))
        full = cluster.sandbox.resident()
    print("Components whose programs are built, together on one real node, by the clock.\n")
    print("| what | figure |\n|---|---|")
    for what, figure in (
        ("components", ", ".join(one.name for one in built)),
        ("without programs here", ", ".join(one.name for one in known if one not in built) or "none"),
        ("workloads that run", str(len(report.running))),
        ("from an empty API to the last object", f"{installed:.1f} s"),
        ("from an empty API to the last available workload", f"{installed + max(report.running.values()):.1f} s"),
        ("memory of control plane and node", f"{empty / 2**20:.0f} MiB"),
        ("memory of all", f"{full / 2**20:.0f} MiB"),
    ):
        print(f"| {what} | {figure} |")


if __name__ == "__main__":
    main()
