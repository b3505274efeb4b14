"""What a pod that calls AWS must be told, and what is a fault."""

from typing import Any, cast

import pytest

from aws_rehearsal.emulator import pod_calls
from aws_rehearsal.emulator.pod_calls import PodCalls, check_roles, faults
from kubernetes_rehearsal.client import ApiClient
from kubernetes_rehearsal.interface import KubernetesError
from kubernetes_rehearsal.nodes.sandbox import Sandbox

ROLE = "arn:aws:iam::000000000000:role/platform/Trainer"
KNOWN = "arn:aws:sts::000000000000:assumed-role/Trainer/eks-training-trainer"
DENIED = "ClientError: An error occurred (AccessDenied) when calling the ListUsers operation"


def test_a_pod_that_is_its_role_and_has_no_right_beyond_it_has_no_fault() -> None:
    assert list(faults(PodCalls(KNOWN, DENIED), ROLE)) == []
    assert list(faults(PodCalls("NoCredentialsError: Unable to locate credentials", DENIED), "")) == []


@pytest.mark.parametrize(
    ("calls", "role", "fault"),
    [
        (PodCalls(KNOWN.replace("Trainer/", "Other/"), DENIED), ROLE, f"does not know its pods as {ROLE}"),
        (PodCalls("EndpointConnectionError: Could not connect", DENIED), ROLE, "EndpointConnectionError"),
        (PodCalls(KNOWN, "[]"), ROLE, "says nothing of iam:ListUsers, but AWS does not deny it"),
        (PodCalls(KNOWN, DENIED), "", "has no role, but AWS answers its pods"),
    ],
    ids=["another role", "no answer", "a right too many", "a role too many"],
)
def test_a_pod_that_aws_knows_otherwise_is_a_fault(calls: PodCalls, role: str, fault: str) -> None:
    (found,) = faults(calls, role)
    assert fault in found


class Pods:
    """An API with pods, of which the second question finds some."""

    def __init__(self, *names: str, later: tuple[str, ...]) -> None:
        self._rounds = iter([names, later])

    def items(self, path: str) -> list[dict[str, Any]]:
        names = next(self._rounds) if "/pods" in path else ()
        return [{"metadata": {"name": name, "namespace": "team", "uid": name}, "spec": {}} for name in names]


@pytest.mark.parametrize(("later", "said"), [((), []), (("web",), ["ServiceAccount team/default: it has no process"])])
def test_a_pod_that_ended_meanwhile_is_no_fault(
    later: tuple[str, ...], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> PodCalls:
        raise KubernetesError("it has no process")

    monkeypatch.setattr(pod_calls, "call_from", refuse)
    api = cast(ApiClient, Pods("web", later=later))
    results = check_roles(api, cast(Sandbox, None), "us-east-1", {})
    assert [str(finding) for _, findings in results for finding in findings] == said
