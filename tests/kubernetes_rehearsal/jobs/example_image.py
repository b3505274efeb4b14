"""What the Dockerfile of the examples adds to an image: their programs, a user, and settings of SSH."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from charts.kit.objects import config_map
from examples.training_jobs import jobs
from kubernetes_rehearsal import programs
from kubernetes_rehearsal.client import ApiClient
from kubernetes_rehearsal.objects import collection_of
from mlplatform_constructs.kubeflow import Resources
from tests.kubernetes_rehearsal.jobs.clusters import TEAM, logs, until

XGBOOST = "docker.io/mlplatform/training-example:1.0"
TRIAL = "docker.io/mlplatform/trial-example:1.0"
TORCH = "docker.io/mlplatform/training-example-torch:1.0"
TENSORFLOW = "docker.io/mlplatform/training-example-tensorflow:1.0"
CPU = Resources(cpu="500m", memory="2Gi")
"""Of each pod: the node of the test has no GPU."""
_FOLDER = Path(jobs.__file__).parent
_PASSWD = "root:x:0:0::/root:/bin/sh\nmpiuser:x:1000:1000::/home/mpiuser:/bin/sh\n"
_NAME = "files-of-the-image"
_SECONDS = 900


def _files() -> Mapping[str, str]:
    """Texts by path in the image."""
    found = {f"{jobs.FOLDER}/{file.name}": file for file in _FOLDER.glob("*.py")}
    found["/etc/ssh/ssh_config.d/mpi.conf"] = _FOLDER / "ssh_config"
    found["/home/mpiuser/.sshd_config"] = _FOLDER / "sshd_config"
    return {path: file.read_text(encoding="utf-8") for path, file in found.items()} | {"/etc/passwd": _PASSWD}


def _key(path: str) -> str:
    return path.strip("/").replace("/", "-")


def image_files() -> dict[str, Any]:
    """The ConfigMap with the files."""
    return config_map(_NAME, TEAM, {_key(path): text for path, text in _files().items()})


def with_image_files(content: Mapping[str, Any]) -> dict[str, Any]:
    """An object whose pods have the files where the image would have them."""
    changed = copy.deepcopy(dict(content))
    for pod in _pods(changed["spec"]):
        pod["volumes"] = [*pod.get("volumes", []), {"name": _NAME, "configMap": {"name": _NAME}}]
        mounts = [{"name": _NAME, "mountPath": path, "subPath": _key(path)} for path in _files()]
        for container in pod["containers"]:
            container["volumeMounts"] = [*container.get("volumeMounts", []), *mounts]
    return changed


def _pods(content: Any) -> list[dict[str, Any]]:
    """The specs of all pod templates in an object."""
    if isinstance(content, list):
        return [pod for each in content for pod in _pods(each)]
    if not isinstance(content, dict):
        return []
    return [content] if "containers" in content else [pod for each in content.values() for pod in _pods(each)]


def needed(image: str) -> None:
    """Skip the test where the image is not built."""
    if reason := programs.why_missing(image):
        pytest.skip(f"needs {image} ({reason})")


def run(api: ApiClient, content: Mapping[str, Any]) -> dict[str, Any]:
    """Create a job or a search with the files of the image, wait for its end, which must be success, and return it."""
    path = f"{collection_of(api, content)}/{content['metadata']['name']}"
    api.request("POST", path.rpartition("/")[0], with_image_files(content))

    def ended() -> Any:
        conditions = api.get(path).get("status", {}).get("conditions", [])
        return [one["type"] for one in conditions if one["type"] in ("Succeeded", "Failed") and one["status"] == "True"]

    def described() -> str:
        return f"{api.get(path).get('status')}\n{logs(api)}"

    assert until(ended, described, seconds=_SECONDS) == ["Succeeded"], described()
    found: dict[str, Any] = api.get(path)
    return found


def printed(api: ApiClient, pod: str) -> str:
    """The log of a pod of the team."""
    return api.text(f"/api/v1/namespaces/{TEAM}/pods/{pod}/log")
