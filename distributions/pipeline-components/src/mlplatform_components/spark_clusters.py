"""The cluster of a pipeline by its specification, which alone differs between a laptop and an account.

- ``{"service": "emr", ...}`` with the keys of :class:`~mlplatform_components.emr.ClusterSpec`: a cluster of EMR.
- ``{"service": "local"}``: no cluster; programs run in this container, for pipelines on a laptop.
"""

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from mlplatform_components.emr import ClusterSpec, SparkStep, create_cluster, delete_clusters, submit_step
from mlplatform_components.errors import ComponentError, JobFailed, TimedOut
from mlplatform_components.waiting import Patience

LOCAL = "local"
_LAST_LINES = 20


def spec_for_run(cluster: Mapping[str, Any], run: str) -> ClusterSpec | None:
    """The cluster of one run; None for programs that run in this container.

    :param run: id of the run, which makes the name of the cluster unique.
    :raises ComponentError: for an unknown service.
    """
    values = dict(cluster)
    match values.pop("service", None):
        case "local":
            if values:
                raise ComponentError(
                    f"cluster: {sorted(values)[0]!r} has no meaning with service 'local'; leave it out"
                )
            return None
        case "emr":
            if not run:
                raise ComponentError("run is empty; by it the cluster is found again and deleted")
            return ClusterSpec.from_dict({**values, "name": f"{values.get('name', 'pipeline')}-{run}"})
        case other:
            raise ComponentError(f"cluster: service must be 'emr' or 'local', got {other!r}")


def create(emr: Any, cluster: Mapping[str, Any], run: str, patience: Patience) -> str:
    """Create the cluster of a run.

    :return: its id, or ``local``.
    """
    spec = spec_for_run(cluster, run)
    return create_cluster(emr, spec, patience) if spec else LOCAL


def submit(emr: Any, cluster: str, program: Mapping[str, Any], patience: Patience) -> str:
    """Run a program on the cluster of a run.

    :param cluster: the id that :func:`create` returned.
    :param program: with the keys of :class:`~mlplatform_components.emr.SparkStep`; without a cluster, ``program`` is
        the path of a ``.py`` file.
    :return: the id of the step, or ``local``.
    """
    given = {**program, "arguments": tuple(program.get("arguments", ()))}
    if cluster != LOCAL:
        try:
            step = SparkStep(**given)
        except TypeError as error:
            raise ComponentError(f"program: {error}; see SparkStep for its keys") from None
        return submit_step(emr, cluster, step, patience)
    command = [sys.executable, str(given["program"]), *given["arguments"]]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=patience.seconds)
    except subprocess.TimeoutExpired:
        raise TimedOut(f"waited {patience.seconds:g} s for {given['program']} to end; it was ended") from None
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-_LAST_LINES:])
        raise JobFailed(f"{given['program']}: ended with status {done.returncode}:\n{last}")
    return LOCAL


def delete(emr: Any, cluster: Mapping[str, Any], run: str, patience: Patience) -> list[str]:
    """Delete the cluster of a run, also one that was only half created.

    :return: the ids of the deleted clusters.
    """
    spec = spec_for_run(cluster, run)
    return delete_clusters(emr, spec.name, patience) if spec else []
