import json
from pathlib import Path
from typing import Any

import boto3
import jmespath
import pytest

from delivery import smoke
from delivery.assembly import stacks_of
from delivery.health import ANSWERING, CHECKS, checks_of
from delivery.smoke import look_until_well, problems_of
from tests.delivery.read_only_accounts import Accounts, refusal, stack

CLUSTER = "AWS::EKS::Cluster"
ACTIVE = {"cluster": {"status": "ACTIVE", "health": {"issues": []}}}
CREATING = {"cluster": {"status": "CREATING"}}


@pytest.fixture
def cluster(tmp_path: Path) -> Any:
    return stack(tmp_path, "Cluster", {"Training": CLUSTER})


def accounts_with(cluster: Any, *answers: Any) -> Accounts:
    return Accounts({cluster: {"Training": "training-1"}}, {("eks", "describe_cluster"): list(answers)})


def test_what_is_deployed_and_healthy_is_no_problem(cluster: Any) -> None:
    accounts = accounts_with(cluster, ACTIVE)
    assert problems_of([cluster], accounts) == []
    assert accounts.asked == [("eks", "describe_cluster", {"name": "training-1"})]


def test_a_stack_that_does_not_exist_is_named(cluster: Any) -> None:
    assert problems_of([cluster], Accounts({})) == ["dev/Cluster: stack dev-Cluster does not exist; deploy it"]


def test_an_update_that_was_rolled_back_is_named(cluster: Any) -> None:
    accounts = accounts_with(cluster, ACTIVE)
    accounts.statuses["dev-Cluster"] = "UPDATE_ROLLBACK_COMPLETE"
    accounts.templates["dev-Cluster"] = {"Resources": {}}
    assert problems_of([cluster], accounts) == [
        "dev/Cluster: the last update of stack dev-Cluster was rolled back; check its events, deploy again"
    ]


def test_a_stack_whose_refused_update_is_no_longer_wanted_is_well(cluster: Any) -> None:
    """After the commit is reverted nothing is deployed, and the stack keeps the status of its last operation."""
    accounts = accounts_with(cluster, ACTIVE)
    accounts.statuses["dev-Cluster"] = "UPDATE_ROLLBACK_COMPLETE"
    assert problems_of([cluster], accounts) == []


def test_a_failed_stack_is_named_with_what_else_is_wrong(cluster: Any) -> None:
    accounts = accounts_with(cluster, {"cluster": {"status": "FAILED", "health": {"issues": [{"code": "Ec2"}]}}})
    accounts.statuses["dev-Cluster"] = "UPDATE_ROLLBACK_FAILED"
    assert problems_of([cluster], accounts) == [
        "dev/Cluster: stack dev-Cluster is UPDATE_ROLLBACK_FAILED, should be CREATE_COMPLETE or UPDATE_COMPLETE",
        "dev/Cluster/Training: training-1: cluster.status is 'FAILED', should be 'ACTIVE'",
        "dev/Cluster/Training: training-1: length(cluster.health.issues || `[]`) is 1, should be 0",
    ]


def test_a_manually_deleted_resource_is_reported_with_the_message_of_its_service(cluster: Any) -> None:
    accounts = accounts_with(cluster, refusal("ResourceNotFoundException", "No cluster found for name: training-1."))
    assert problems_of([cluster], accounts) == [
        "dev/Cluster/Training: training-1: describe_cluster: ResourceNotFoundException: "
        "No cluster found for name: training-1."
    ]


def test_something_that_is_starting_is_given_time(cluster: Any) -> None:
    accounts, slept = accounts_with(cluster, CREATING, CREATING, ACTIVE), []
    assert look_until_well([cluster], wait_minutes=1, reader=lambda: accounts, sleep=slept.append) == []
    assert slept == [20, 20]


def test_a_resource_that_stays_unhealthy_is_reported_with_its_last_state(cluster: Any) -> None:
    accounts, slept = accounts_with(cluster, CREATING), []
    (problem,) = look_until_well([cluster], wait_minutes=1, reader=lambda: accounts, sleep=slept.append)
    assert problem.endswith("cluster.status is 'CREATING', should be 'ACTIVE'")
    assert slept == [20, 20, 20]


@pytest.mark.parametrize(
    ("type", "physical_id", "parameters"),
    [
        ("AWS::EKS::Nodegroup", "training/gpu", {"clusterName": "training", "nodegroupName": "gpu"}),
        ("AWS::EKS::Addon", "training|vpc-cni", {"clusterName": "training", "addonName": "vpc-cni"}),
        ("AWS::EC2::NatGateway", "nat-1", {"NatGatewayIds": ["nat-1"]}),
        ("AWS::S3::Bucket", "features", {"Bucket": "features"}),
    ],
)
def test_services_are_asked_by_what_cloudformation_calls_a_resource(
    type: str, physical_id: str, parameters: dict[str, Any]
) -> None:
    assert CHECKS[type].parameters(physical_id) == parameters


@pytest.mark.parametrize("type", CHECKS)
def test_every_check_asks_what_its_service_answers(type: str) -> None:
    """Operation, parameters and the members of the response are those of the AWS SDK's own description."""
    check = CHECKS[type]
    client = boto3.client(check.service, region_name="eu-west-1")
    operation = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[check.operation])
    assert set(check.parameters("cluster/part")) <= set(operation.input_shape.members)
    for path in check.answers:
        shape = operation.output_shape
        for name in _names(jmespath.compile(path).parsed):
            shape = shape.member if shape.type_name == "list" else shape
            assert name in shape.members, path
            shape = shape.members[name]


def _names(node: dict[str, Any]) -> list[str]:
    """The members of a response that an expression walks through, in order."""
    own = [node["value"]] if node["type"] == "field" else []
    return own + [name for child in node["children"] if isinstance(child, dict) for name in _names(child)]


GROUP = "AWS::ElasticLoadBalancingV2::TargetGroup"


def group(folder: Path, *, bound: bool) -> Any:
    """A stack with the target group of the load balancer, to which a cluster with Kubeflow is bound."""
    found = stack(folder, "Identity", {"Targets": GROUP})
    tags = [{"Key": "elbv2.k8s.aws/cluster", "Value": "training"}] if bound else []
    content = {"Resources": {"Targets": {"Type": GROUP, "Properties": {"Tags": tags}}}}
    found.template_file.write_text(json.dumps(content), encoding="utf-8")
    return found


def targets(*states: str) -> dict[str, Any]:
    return {"TargetHealthDescriptions": [{"TargetHealth": {"State": state}} for state in states]}


@pytest.mark.parametrize(
    ("bound", "states", "well"),
    [
        (True, ("healthy", "healthy"), True),
        (True, ("healthy", "draining"), True),
        (True, (), False),
        (True, ("initial",), False),
        (True, ("healthy", "unhealthy"), False),
        (False, (), True),
        (False, ("unhealthy",), False),
    ],
)
def test_where_a_cluster_has_kubeflow_its_gateway_answers_the_load_balancer(
    tmp_path: Path, bound: bool, states: tuple[str, ...], well: bool
) -> None:
    identity = group(tmp_path, bound=bound)
    answers = {("elbv2", "describe_target_health"): targets(*states)}
    problems = problems_of([identity], Accounts({identity: {"Targets": "arn:group"}}, answers))
    assert (problems == []) is well
    assert all(problem.startswith("dev/Identity/Targets: arn:group: length(Target") for problem in problems)


def test_a_secret_that_is_to_be_deleted_is_reported(tmp_path: Path) -> None:
    found = stack(tmp_path, "Pipelines", {"Keys": "AWS::SecretsManager::Secret"})
    answers = {("secretsmanager", "describe_secret"): {"ARN": "arn:keys", "DeletedDate": "2026-11-30"}}
    assert problems_of([found], Accounts({found: {"Keys": "arn:keys"}}, answers)) == [
        "dev/Pipelines/Keys: arn:keys: DeletedDate is '2026-11-30', should be None"
    ]


def test_the_load_balancer_of_kubeflow_is_known_by_its_tag(assembly: Path) -> None:
    found = [
        each
        for one in stacks_of("local", assembly)
        for each in one.template["Resources"].values()
        if ANSWERING in checks_of(each)
    ]
    assert len(found) == 1


def test_the_program_names_what_is_missing_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert smoke.main(["dev", "--assembly", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"smoke: {tmp_path}: no cloud assembly; run `make synth` first\n"
