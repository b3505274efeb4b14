import io
import json
import re
from typing import Any

import aws_cdk as cdk
import boto3
import pytest
from aws_cdk import RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk.assertions import Template
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import TeardownGuard
from mlplatform_constructs._clusters.teardown_guard_handler import index
from tests.clusters import SYSTEM, cluster, network
from tests.compliance import assert_complies


@pytest.fixture
def app(app: cdk.App) -> cdk.App:
    """kubectl and the AWS CLI are 60 MB, which no test here needs a copy of."""
    app.node.set_context("aws:cdk:disable-asset-staging", True)
    return app


@pytest.fixture
def services(app: cdk.App, stack: cdk.Stack) -> cdk.Stack:
    """The stack that the guard is in; the cluster is in ``stack``."""
    return cdk.Stack(app, "Services", env=cdk.Environment(account="111111111111", region="eu-west-1"))


def guard(services: cdk.Stack, stack: cdk.Stack, **more: Any) -> TeardownGuard:
    vpc = network(stack)
    controller = cdk.CfnResource(services, "Controller", type="Custom::Controller")
    return TeardownGuard(
        services,
        "Teardown",
        cluster=cluster(stack, vpc=vpc, node_groups=(SYSTEM,)),
        vpc=vpc,
        after=[controller],
        **more,
    )


def properties(stack: cdk.Stack, kind: str) -> dict[str, Any]:
    (found,) = Template.from_stack(stack).find_resources(kind).values()
    return {**found["Properties"], "DependsOn": found.get("DependsOn", [])}


def test_defaults(services: cdk.Stack, stack: cdk.Stack, snapshot_json: SnapshotAssertion) -> None:
    guard(services, stack)
    text = json.dumps(Template.from_stack(services).to_json()["Resources"])
    assert json.loads(re.sub(r"[0-9a-f]{64}", "<asset>", text)) == snapshot_json


@pytest.mark.promise("ordered-removal")
def test_it_goes_before_everything_that_it_needs_for_its_work(services: cdk.Stack, stack: cdk.Stack) -> None:
    guard(services, stack)
    needs = properties(services, "Custom::TeardownGuard")["DependsOn"]
    kinds = {Template.from_stack(services).to_json()["Resources"][name]["Type"] for name in needs}
    assert kinds >= {
        "AWS::EC2::SecurityGroupIngress",
        "AWS::EKS::AccessEntry",
        "AWS::IAM::Policy",
        "AWS::Lambda::Function",  # and with it its log group, security group
        "Custom::Controller",
    }


def test_it_may_do_in_the_cluster_what_its_group_may_and_no_more(services: cdk.Stack, stack: cdk.Stack) -> None:
    guard(services, stack)
    entry = properties(services, "AWS::EKS::AccessEntry")
    assert entry["KubernetesGroups"] == [TeardownGuard.GROUP]
    assert "AccessPolicies" not in entry


def test_the_cluster_does_not_need_the_stack_of_its_guard(services: cdk.Stack, stack: cdk.Stack) -> None:
    guard(services, stack)
    Template.from_stack(services)  # resolves references, and with them the order of the stacks
    assert [each.node.path for each in services.dependencies] == ["Test"]
    assert stack.dependencies == []


@pytest.mark.parametrize(("policy", "deletes"), [(RemovalPolicy.DESTROY, "true"), (RemovalPolicy.RETAIN, "false")])
def test_disks_are_deleted_only_without_retention(
    services: cdk.Stack, stack: cdk.Stack, policy: RemovalPolicy, deletes: str
) -> None:
    guard(services, stack, removal_policy=policy)
    assert properties(services, "Custom::TeardownGuard")["DeleteVolumes"] == deletes


def test_its_log_is_encrypted_where_a_key_is_given(services: cdk.Stack, stack: cdk.Stack) -> None:
    guard(services, stack, log_encryption_key=kms.Key(services, "Key", enable_key_rotation=True))
    assert properties(services, "AWS::Logs::LogGroup")["KmsKeyId"]


def test_fails_without_a_controller_that_could_do_the_work(stack: cdk.Stack) -> None:
    vpc = network(stack)
    made = cluster(stack, vpc=vpc, node_groups=(SYSTEM,))
    with pytest.raises(
        ValueError, match="Test/Teardown: after is empty; name the controllers, which must be deleted after it"
    ):
        TeardownGuard(stack, "Teardown", cluster=made, vpc=vpc, after=[])


def test_it_complies(app: cdk.App, services: cdk.Stack, stack: cdk.Stack) -> None:
    guard(services, stack)
    assert_complies(app)


class Context:
    def get_remaining_time_in_millis(self) -> int:
        return 900_000


class Cloud:
    """CloudFormation, EKS without clusters, and the address that waits for the answer."""

    def __init__(self, status: str) -> None:
        self.status = status
        self.answers: list[dict[str, Any]] = []
        self.asked: list[str] = []

    def client(self, service: str) -> Any:
        self.asked.append(service)
        return self

    def describe_stacks(self, StackName: str) -> Any:
        return {"Stacks": [{"StackStatus": self.status}]}

    def urlopen(self, request: Any, timeout: int) -> Any:
        self.answers.append(json.loads(request.data))
        return io.BytesIO()


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    found = Cloud("DELETE_IN_PROGRESS")
    monkeypatch.setattr(boto3, "client", found.client)
    monkeypatch.setattr("urllib.request.urlopen", found.urlopen)
    monkeypatch.setenv("AWS_LAMBDA_LOG_GROUP_NAME", "/guard")
    return found


def request(kind: str, **more: str) -> dict[str, Any]:
    return {
        "RequestType": kind,
        "RequestId": "1",
        "StackId": "arn:stack",
        "LogicalResourceId": "Guard",
        "ResponseURL": "https://answers.invalid/",
        "ResourceProperties": {"ClusterName": "training", "DeleteVolumes": "true"},
        **more,
    }


def swept(monkeypatch: pytest.MonkeyPatch, result: Any) -> list[bool]:
    """Replaces the API and the sweep, and records the argument ``volumes`` of its calls."""
    calls: list[bool] = []

    def sweep(api: Any, *, volumes: bool, deadline: float) -> list[str]:
        calls.append(volumes)
        if isinstance(result, Exception):
            raise result
        return list(result)

    monkeypatch.setattr(index.KubernetesApi, "of_cluster", lambda name: object())
    monkeypatch.setattr(index, "sweep", sweep)
    return calls


def test_deleting_the_stack_empties_the_cluster(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = swept(monkeypatch, ["pvc-1"])
    index.handler(request("Delete", PhysicalResourceId="guard"), Context())
    assert calls == [True]
    assert cloud.answers[0]["Status"] == "SUCCESS"
    assert cloud.answers[0]["Reason"] == "retained, and billed until deleted: pvc-1"
    assert cloud.answers[0]["PhysicalResourceId"] == "guard"


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_nothing_happens_before(kind: str, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = swept(monkeypatch, [])
    index.handler(request(kind), Context())
    assert calls == []
    assert cloud.answers[0]["Status"] == "SUCCESS"


@pytest.mark.parametrize("status", ["UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS"])
def test_an_update_that_drops_the_guard_leaves_the_cluster_alone(
    status: str, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A renamed construct is deleted under its old name while the cluster is in use."""
    calls = swept(monkeypatch, [])
    cloud.status = status
    index.handler(request("Delete", PhysicalResourceId="guard"), Context())
    assert calls == []
    assert cloud.answers[0]["Status"] == "SUCCESS"


@pytest.mark.promise("readable-errors", "honest-deletion")
def test_a_remaining_object_fails_the_deletion_and_the_log_is_named(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept(monkeypatch, TimeoutError("Ingress still there: " + "x" * 5000 + " then delete the stack again"))
    index.handler(request("Delete", PhysicalResourceId="guard"), Context())
    (answer,) = cloud.answers
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith("Ingress still there: ")
    assert answer["Reason"].endswith("then delete the stack again (log group /guard)")
    assert len(json.dumps(answer)) < 4096


def test_a_missing_cluster_needs_no_sweep(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index.KubernetesApi, "of_cluster", lambda name: None)
    index.handler(request("Delete", PhysicalResourceId="guard"), Context())
    assert cloud.answers[0]["Reason"] == "cluster training is gone already"
