"""Calls to AWS from pods on real nodes: as the role of the pod's service account, and denied what that role lacks.

A program of this machine makes the call within the pod's network, with the pod's own name server, variables and files.
The container's image therefore needs no AWS client, and a stand-in calls as the program would that it replaces.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aws_rehearsal.emulator.permissions import PROBE
from kubernetes_rehearsal.client import ApiClient
from kubernetes_rehearsal.interface import KubernetesError
from kubernetes_rehearsal.nodes.pod_aws import ROLE_ANNOTATION
from kubernetes_rehearsal.nodes.sandbox import Sandbox
from kubernetes_rehearsal.proofs.findings import Finding

_CALL_SECONDS = 600
_MOUNTED = "/var/run/"
_NOBODY = "NoCredentialsError"
_PROGRAM = """
import json, boto3
from botocore import utils
from botocore.config import Config
utils.ContainerMetadataFetcher.TIMEOUT_SECONDS = 60
config = Config(retries={"total_max_attempts": 3}, connect_timeout=60, read_timeout=120)
def outcome(service, operation, part):
    try:
        return str(getattr(boto3.client(service, config=config), operation)()[part])
    except Exception as error:
        return f"{type(error).__name__}: {error}"
print(json.dumps([outcome("sts", "get_caller_identity", "Arn"), outcome("iam", "list_users", "Users")]))
"""

Object = dict[str, Any]


@dataclass(frozen=True)
class PodCalls:
    """What AWS answered to a pod.

    :param identity: the ARN that AWS knows the pod by, or the error that its SDK raises.
    :param users: the answer to ``iam:ListUsers``, which no workload needs, or the error.
    """

    identity: str
    users: str


def call_from(sandbox: Sandbox, pod: Object, region: str) -> PodCalls:
    """Call AWS as a pod's first container would.

    :raises KubernetesError: where the pod does not run, or the call cannot be made from its network.
    """
    container = pod["status"]["containerStatuses"][0].get("containerID", "").removeprefix("containerd://")
    process = sandbox.process_of(pod["metadata"]["uid"], container)
    root = f"/proc/{process}/root"
    given = {one["name"]: one["value"] for one in pod["spec"]["containers"][0].get("env") or [] if "value" in one}
    files = {name: f"{root}{value}" if value.startswith(_MOUNTED) else value for name, value in given.items()}
    resolver = f"mount -t tmpfs tmpfs /mnt && cat {root}/etc/resolv.conf > /mnt/resolver"
    script = f"{resolver} && mount --bind /mnt/resolver /etc/resolv.conf && exec {sys.executable} -c '{_PROGRAM}'"
    name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    try:
        run = subprocess.run(
            ["nsenter", f"--net=/proc/{process}/ns/net", "unshare", "--mount", "sh", "-c", script],
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "AWS_REGION": region,
                "AWS_EXECUTION_ENV": PROBE,
                "HOME": "/nonexistent",
                **files,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=_CALL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise KubernetesError(f"pod {name}: AWS did not answer within {_CALL_SECONDS} s") from None
    if run.returncode:
        raise KubernetesError(f"pod {name}: cannot call AWS: {(run.stderr.splitlines() or ['no reason given'])[-1]}")
    return PodCalls(*json.loads(run.stdout))


def check_roles(
    api: ApiClient, sandbox: Sandbox, region: str, associated: Mapping[tuple[str, str], str]
) -> Iterator[tuple[str, list[Finding]]]:
    """Call AWS from one running pod of each service account that has a role, and from one of those that have none.

    :param associated: ARN of the role by namespace and service account, as Pod Identity associations give it. Roles
        by annotation are found in the cluster.
    :return: what was called, such as ``kube-system/karpenter as KarpenterRole``, and what is wrong with it.
    """
    annotated = {
        (found["metadata"]["namespace"], found["metadata"]["name"]): found["metadata"]["annotations"][ROLE_ANNOTATION]
        for found in api.items("/api/v1/serviceaccounts")
        if ROLE_ANNOTATION in (found["metadata"].get("annotations") or {})
    }
    roles = {**annotated, **associated}
    asked: set[tuple[str, str] | None] = set()
    for pod in api.items("/api/v1/pods?fieldSelector=status.phase%3DRunning"):
        if "deletionTimestamp" in pod["metadata"] or pod["spec"].get("hostNetwork"):
            continue
        owner = (pod["metadata"]["namespace"], pod["spec"].get("serviceAccountName", "default"))
        role = roles.get(owner, "")
        one = owner if role else None
        if one not in asked:
            place = "/".join(owner)
            try:
                found = list(faults(call_from(sandbox, pod, region), role))
            except KubernetesError as error:
                if not _runs(api, pod):
                    continue
                found = [str(error)]
            asked.add(one)
            findings = [Finding(f"ServiceAccount {place}", fault) for fault in found]
            yield f"{place} as {role.rpartition('/')[2] or 'nobody'}", findings


def _runs(api: ApiClient, pod: Object) -> bool:
    """Whether a pod still runs: a job, or a rollout, may have ended it."""
    metadata = pod["metadata"]
    running = "status.phase%3DRunning"
    pods = api.items(f"/api/v1/namespaces/{metadata['namespace']}/pods?fieldSelector={running}")
    return metadata["uid"] in {one["metadata"]["uid"] for one in pods if "deletionTimestamp" not in one["metadata"]}


def faults(calls: PodCalls, role: str) -> Iterator[str]:
    """What is wrong with the answers that a pod got.

    :param role: ARN of the role that the pod must have; empty where it must have none.
    """
    if not role:
        if not calls.identity.startswith(_NOBODY):
            yield f"has no role, but AWS answers its pods: {calls.identity}"
        return
    wanted = f":assumed-role/{role.rpartition('/')[2]}/"
    if wanted not in calls.identity:
        yield f"AWS does not know its pods as {role}: {calls.identity}"
    elif "AccessDenied" not in calls.users:
        yield f"{role} says nothing of iam:ListUsers, but AWS does not deny it: {calls.users[:200]}"
