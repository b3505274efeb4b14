"""Creates the objects of an EKS add-on, or of its stand-in, in a cluster, and deletes them."""

import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from kubernetes_rehearsal.client import APPLY_PATCH, ApiClient, ApiFailure
from kubernetes_rehearsal.clients import clients
from kubernetes_rehearsal.interface import KubernetesError
from kubernetes_rehearsal.objects import path_of
from kubernetes_rehearsal.programs.charts import BuiltChart
from kubernetes_rehearsal.proofs.workloads import KINDS, pods_of

Object = dict[str, Any]

_GONE_SECONDS = 300
_ROLE = "eks.amazonaws.com/role-arn"


def install(api: ApiClient, objects: Sequence[Object]) -> None:
    """Apply the objects of an add-on."""
    for found in objects:
        api.request("PATCH", f"{path_of(api, found)}?fieldManager=eks&force=true", found, APPLY_PATCH)


def remove(api: ApiClient, objects: Sequence[Object]) -> None:
    """Delete the objects, and wait until they and the pods of their workloads are gone."""
    for found in reversed(objects):
        _request(api, "DELETE", found)
    workloads = [found for found in objects if found["kind"] in KINDS]
    until = time.monotonic() + _GONE_SECONDS
    while time.monotonic() < until and (
        any(_request(api, "GET", found) for found in objects) or any(pods_of(api, found) for found in workloads)
    ):
        time.sleep(0.2)


def rendered(chart: BuiltChart, name: str, *, configuration: str = "", role: str = "") -> list[Object]:
    """The objects of an add-on, rendered from its Helm chart.

    :param name: of the add-on.
    :param configuration: its configuration, as JSON. Default: none.
    :param role: ARN of the role of its service accounts. Default: none.
    :raises KubernetesError: if the chart refuses the configuration, with the message of helm.
    """
    with tempfile.TemporaryDirectory() as scratch:
        files = []
        for number, values in enumerate((configuration or "{}", json.dumps(chart.values))):
            files.append(Path(scratch, f"{number}.json"))
            files[-1].write_text(values, encoding="utf-8")
        given = [f"--values={file}" for file in files]
        place = ["--include-crds", f"--namespace={chart.namespace}"]
        command = [str(clients().helm), "template", name, str(chart.folder), *place, *given]
        run = subprocess.run(command, env={"HOME": scratch}, capture_output=True, text=True, check=False)
    if run.returncode:
        raise KubernetesError(f"EKS add-on {name}: {run.stderr.strip()}")
    objects = [found for found in yaml.safe_load_all(run.stdout) if found]
    for found in objects:
        if role and found["kind"] == "ServiceAccount":
            found["metadata"]["annotations"] = {**(found["metadata"].get("annotations") or {}), _ROLE: role}
    return objects


def _request(api: ApiClient, method: str, found: Object) -> bool:
    """Whether the object exists."""
    try:
        api.request(method, path_of(api, found))
    except ApiFailure as failure:
        if failure.code == 404:
            return False
        raise
    return True
