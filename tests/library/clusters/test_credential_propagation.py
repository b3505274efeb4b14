from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from mlplatform_constructs import (
    ConfigurationError,
    CredentialPropagation,
    EncryptionKeys,
    KubernetesCluster,
    Network,
    NodeGroupSpec,
    WorkloadIdentity,
)
from mlplatform_constructs._clusters.credential_propagation_handler.index import wait


@pytest.fixture
def cluster(stack: cdk.Stack) -> KubernetesCluster:
    system = NodeGroupSpec(
        name="system", purpose="system", instance_types=("m7i.large",), min_per_zone=1, max_per_zone=3
    )
    return KubernetesCluster(
        stack,
        "Cluster",
        vpc=Network(stack, "Network", availability_zones=["eu-west-1a", "eu-west-1b"]).vpc,
        secrets_encryption_key=EncryptionKeys(stack, "Keys").cluster_secrets,
        node_groups=[system],
    )


def test_the_wait_comes_after_every_role_that_is_added(stack: cdk.Stack, cluster: KubernetesCluster) -> None:
    credentials = CredentialPropagation(stack, "Credentials")
    identity = WorkloadIdentity.pod_identity(cluster)
    for name in ("reader", "writer"):
        credentials.add(identity.role_for(stack, name, namespace="n", service_account=name))
    template = Template.from_stack(stack)
    (wait_resource,) = template.find_resources("Custom::CredentialPropagation").values()
    associations = set(template.find_resources("AWS::EKS::PodIdentityAssociation"))
    ids = {each["Fn::GetAtt"][0] for each in wait_resource["Properties"]["Associations"]}
    assert ids <= associations
    assert len(ids) == 2
    assert ids <= set(wait_resource["DependsOn"])
    assert wait_resource["Properties"]["Seconds"] == "20"


def test_other_strategies_need_no_wait(stack: cdk.Stack, cluster: KubernetesCluster) -> None:
    credentials = CredentialPropagation(stack, "Credentials")
    credentials.add(WorkloadIdentity.irsa(cluster).role_for(stack, "R", namespace="n", service_account="r"))
    (found,) = Template.from_stack(stack).find_resources("Custom::CredentialPropagation").values()
    assert not found["Properties"].get("Associations")


@pytest.mark.parametrize("seconds", [0, 301])
def test_a_wait_has_bounds(stack: cdk.Stack, seconds: int) -> None:
    with pytest.raises(ConfigurationError, match=f"Test/Credentials: seconds must be 1 to 300, got {seconds}"):
        CredentialPropagation(stack, "Credentials", seconds=seconds)


def event(kind: str, now: list[str], before: list[str] | None = None) -> dict[str, Any]:
    properties = {"Seconds": "20", "Associations": now}
    old = {"OldResourceProperties": {"Associations": before}} if before is not None else {}
    return {"RequestType": kind, "ResourceProperties": properties, **old}


@pytest.mark.parametrize(
    ("request_event", "waited"),
    [
        (event("Create", ["a"]), [20]),
        (event("Update", ["a", "b"], ["a"]), [20]),
        (event("Update", ["a"], ["a", "b"]), []),
        (event("Update", ["a"], ["a"]), []),
        (event("Create", []), []),
        (event("Delete", ["a"]), []),
    ],
)
def test_only_new_associations_are_waited_for(request_event: dict[str, Any], waited: list[int]) -> None:
    slept: list[float] = []
    assert wait(request_event, slept.append) == sum(waited)
    assert slept == waited
