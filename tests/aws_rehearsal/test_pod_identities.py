"""Nodes of node groups and roles of pods, for clusters with real nodes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubernetes_rehearsal.nodes.node import Taint
from kubernetes_rehearsal.nodes.node_groups import Instance
from kubernetes_rehearsal.nodes.pod_aws import AwsError

ACCOUNT, REGION = "000000000000", "us-east-1"
KEY = f"{ACCOUNT}/{REGION}/training"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/Trainer"


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The emulator's EKS in this process, with a cluster, a node group and an association."""
    monkeypatch.setenv("MINISTACK_TEST_NO_AUTOSTART", "1")
    from ministack.services import ec2, eks, iam

    eks._clusters.set_scoped(ACCOUNT, REGION, "training", {"name": "training"})
    ec2._subnets.set_scoped(ACCOUNT, REGION, "subnet-1", {"AvailabilityZone": "us-east-1b"})
    group = {
        "nodegroupName": "gpu",
        "clusterName": "training",
        "instanceTypes": ["g5.xlarge"],
        "labels": {"mlplatform/purpose": "training"},
        "taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}],
        "scalingConfig": {"desiredSize": 1},
        "subnets": ["subnet-1"],
        "capacityType": "SPOT",
    }
    eks._nodegroups.set_scoped(ACCOUNT, REGION, "training/gpu", group)
    association = {"clusterName": "training", "namespace": "churn", "serviceAccount": "trainer", "roleArn": ROLE}
    eks._pod_identity_associations.set_scoped(ACCOUNT, REGION, "training\0a-1", association)
    yield iam
    eks.reset()
    ec2._subnets.pop_scoped(ACCOUNT, REGION, "subnet-1")
    iam._roles.pop_scoped(ACCOUNT, None, "Trainer", None)


def _trust(services: Any, *actions: str, principal: str = "pods.eks.amazonaws.com") -> None:
    statement = {"Effect": "Allow", "Principal": {"Service": principal}, "Action": list(actions)}
    document = json.dumps({"Statement": [statement]})
    services._roles.set_scoped(ACCOUNT, None, "Trainer", {"AssumeRolePolicyDocument": document})


def test_a_node_group_leads_to_a_node_with_its_labels_and_taints(
    services: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aws_rehearsal.emulator import eks_nodes, instance_types

    table = tmp_path / "types.csv"
    table.write_text(
        "instance_type,vcpus,memory_mib,accelerator,accelerators\ng5.xlarge,4,16384,nvidia-a10g,1\n", encoding="utf-8"
    )
    monkeypatch.setenv(instance_types.INSTANCE_TYPES, str(table))
    (node,) = eks_nodes.wanted_nodes()[KEY]
    assert node.labels["mlplatform/purpose"] == "training"
    assert node.labels["eks.amazonaws.com/capacityType"] == "SPOT"
    assert node.labels["topology.kubernetes.io/zone"] == "us-east-1b"
    assert list(node.taints) == [Taint("nvidia.com/gpu", "present", "NoSchedule")]
    assert node.extended_resources == {"nvidia.com/gpu": 1}


def test_a_group_that_has_grown_leads_to_a_node(services: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from ministack.services import eks

    from aws_rehearsal.emulator import eks_nodes

    ((_, group),) = eks._nodegroups.all_items()
    monkeypatch.setitem(group, "scalingConfig", {"desiredSize": 0, "maxSize": 2})
    monkeypatch.setattr(eks_nodes, "instance", lambda name: Instance(4, 16384, {}))
    assert eks_nodes.wanted_nodes()[KEY] == []
    monkeypatch.setattr(eks_nodes, "_grown", {(KEY, group["nodegroupName"])})
    assert len(eks_nodes.wanted_nodes()[KEY]) == 1


@pytest.mark.parametrize(
    ("condition", "waited"),
    [
        ({"type": "PodScheduled", "reason": "Unschedulable", "lastTransitionTime": "2026-01-01T00:00:00Z"}, True),
        ({"type": "PodScheduled", "reason": "Unschedulable", "lastTransitionTime": "2999-01-01T00:00:00Z"}, False),
        ({"type": "PodScheduled", "reason": "SchedulingGated", "lastTransitionTime": "2026-01-01T00:00:00Z"}, False),
        ({"type": "Ready", "lastTransitionTime": "2026-01-01T00:00:00Z"}, False),
    ],
)
def test_a_group_grows_for_a_pod_that_no_node_has_taken_for_a_while(
    services: Any, condition: dict[str, str], waited: bool
) -> None:
    from aws_rehearsal.emulator.eks_nodes import _has_waited

    assert _has_waited({"status": {"conditions": [condition]}}) is waited


def test_a_service_account_has_the_role_of_its_association_and_no_other(services: Any) -> None:
    from aws_rehearsal.emulator.pod_identities import EmulatedAws

    aws = EmulatedAws()
    assert aws.role(KEY, "churn", "trainer") == ROLE
    assert aws.role(KEY, "churn", "default") is None
    assert aws.role(f"{ACCOUNT}/{REGION}/inference", "churn", "trainer") is None


def test_a_pod_without_an_association_is_refused_credentials(services: Any) -> None:
    from aws_rehearsal.emulator.pod_identities import EmulatedAws

    with pytest.raises(AwsError, match="No association found for service account default in namespace churn"):
        EmulatedAws().credentials(KEY, "churn", "default")


@pytest.mark.parametrize(
    ("actions", "principal", "missing"),
    [
        (("sts:AssumeRole",), "pods.eks.amazonaws.com", "sts:TagSession"),
        (("sts:AssumeRole", "sts:TagSession"), "ec2.amazonaws.com", "sts:AssumeRole and sts:TagSession"),
    ],
)
def test_a_role_that_does_not_trust_eks_for_pods_is_refused(
    services: Any, actions: tuple[str, ...], principal: str, missing: str
) -> None:
    from aws_rehearsal.emulator.pod_identities import EmulatedAws

    _trust(services, *actions, principal=principal)
    with pytest.raises(AwsError, match=f"its trust policy does not allow pods.eks.amazonaws.com {missing}"):
        EmulatedAws().credentials(KEY, "churn", "trainer")
