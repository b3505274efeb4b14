"""What a pod that calls AWS must be told, and what is a fault."""

import pytest

from aws_rehearsal.emulator.pod_calls import PodCalls, faults

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
