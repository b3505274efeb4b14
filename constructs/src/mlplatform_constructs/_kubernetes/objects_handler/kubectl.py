"""Runs kubectl on objects, which are identified by API version, kind, namespace and name."""

import json
import os
import subprocess
import time
from collections.abc import Iterable
from typing import Any

Object = dict[str, Any]
Done = subprocess.CompletedProcess[str]


class Failure(Exception):
    """An error whose message appears in the events of the stack."""


class ClusterGone(Failure):
    """The cluster no longer exists, and neither do its objects."""


class Kubectl:
    """Access to one cluster.

    :param end: the deadline, on the monotonic clock.
    :param folder: for the kubeconfig and the discovery cache.
    """

    def __init__(self, cluster_name: str, *, end: float, folder: str) -> None:
        self.end = end
        self._environment = {**os.environ, "PATH": f"/opt/kubectl:/opt/awscli:{os.environ['PATH']}"}
        self._options = ["--kubeconfig", f"{folder}/kubeconfig", "--cache-dir", f"{folder}/cache"]
        config = ["--name", cluster_name, "--kubeconfig", f"{folder}/kubeconfig"]
        done = self._run(["aws", "eks", "update-kubeconfig", *config])
        if "ResourceNotFoundException" in done.stderr:
            raise ClusterGone(f"cluster {cluster_name} does not exist")
        if done.returncode:
            raise Failure(f"cluster {cluster_name}: {done.stderr.strip()}")

    @property
    def seconds_left(self) -> int:
        """Seconds before ``end``; at least one."""
        return max(1, int(self.end - time.monotonic()))

    def apply(self, *objects: Object) -> None:
        """Create objects, or update them to the given state."""
        self._on(objects, "apply", "--server-side", "--force-conflicts")

    def get(self, *objects: Object) -> list[Object]:
        """The given objects, as far as they exist."""
        return _listed(self._on(objects, "get", "--ignore-not-found", "--output=json")) if objects else []

    def labelled(self, kind: str, namespace: str, label: str) -> list[Object]:
        """All objects of a kind that have a label."""
        selection = [f"--namespace={namespace}", f"--selector={label}"]
        return _listed(self._output(self._kubectl("get", kind, *selection, "--output=json")))

    def delete(self, *objects: Object, wait: bool = True) -> None:
        """Delete objects.

        :param wait: whether to wait until they no longer exist.
        :raises Failure: if some that are waited for still exist at the deadline.
        """
        patience = f"--timeout={self.seconds_left}s" if wait else "--wait=false"
        self._on(objects, "delete", "--ignore-not-found", patience)

    def served(self) -> tuple[dict[tuple[str, str], str], str]:
        """The API version of each group and kind that the cluster serves, and why the list may be incomplete."""
        done = self._kubectl("api-resources", "--no-headers")
        rows = [line.split()[-3:] for line in done.stdout.splitlines()]
        known = {(api_version.rpartition("/")[0], kind): api_version for api_version, _, kind in rows}
        return known, done.stderr.strip() if done.returncode else ""

    def _on(self, objects: Iterable[Object], *arguments: str) -> str:
        items = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        return self._output(self._kubectl(*arguments, "--filename=-", stdin=items))

    def _output(self, done: Done) -> str:
        if done.returncode:
            raise Failure(f"kubectl {done.args[1]}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def _kubectl(self, *arguments: str, stdin: str = "") -> Done:
        return self._run(["kubectl", arguments[0], *self._options, *arguments[1:]], stdin)

    def _run(self, command: list[str], stdin: str = "") -> Done:
        try:
            return subprocess.run(
                command,
                input=stdin,
                capture_output=True,
                text=True,
                env=self._environment,
                timeout=self.seconds_left + 10,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Failure(f"{command[0]} {command[1]}: no answer from the cluster in time") from None


def _listed(text: str) -> list[Object]:
    """The objects in kubectl's output, which is empty, one object or a list."""
    found: Any = json.loads(text) if text.strip() else {"kind": "List", "items": []}
    items: list[Object] = found["items"] if found["kind"] == "List" else [found]
    return items


def stub(api_version: str, kind: str, namespace: str, name: str) -> Object:
    """The fields that identify an object."""
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def stub_of(found: Object) -> Object:
    """The fields that identify an existing object."""
    metadata = found["metadata"]
    return stub(found["apiVersion"], found["kind"], metadata.get("namespace", ""), metadata["name"])


def named(found: Object) -> str:
    """The display name of an object: ``Deployment team-a/notebook``."""
    metadata = found["metadata"]
    return f"{found['kind']} {'/'.join(filter(None, [metadata.get('namespace'), metadata['name']]))}"
