import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from assurance.permissions import services
from assurance.permissions.execution_role import needed
from assurance.permissions.needs import Need, judge
from assurance.permissions.proved import proofs
from assurance.permissions.world import World
from config.workloads import Airflow
from mlplatform_constructs import AccessLogBucket, Bastion, Network
from stacks.account.airflow import AirflowStack
from tests.account_files import DISPOSABLE, synthesized
from tests.compliance import assert_complies
from tests.policies import flat, many
from tests.protection import protection
from tests.sign_in import user_pool

OPTIONS = "AirflowConfigurationOptions"


@pytest.fixture
def stacks(app: cdk.App) -> tuple[cdk.Stack, AirflowStack]:
    """The stack of the user pool, and that of Airflow."""
    stage = cdk.Stage(app, "test", env=cdk.Environment(account="111111111111", region="eu-west-1"))
    base = cdk.Stack(stage, "Base")
    protected = protection(base)
    network = Network(base, "Network", availability_zones=["eu-west-1a", "eu-west-1b"])
    users = user_pool(base, scopes={"pipelines": "Start pipelines"})
    airflow = AirflowStack(
        stage,
        "Airflow",
        settings=Airflow(machine="automation", environment_class="mw1.medium", max_workers=4),
        vpc=network.vpc,
        bastion=Bastion(base, "Bastion", vpc=network.vpc),
        access_logs=AccessLogBucket(base, "AccessLogs"),
        kubeflow_url="https://kubeflow.example.com",
        machine=users.add_machine("automation", scopes=["pipelines"]),
        protection=protected,
    )
    return base, airflow


def environment(template: Template) -> dict[str, Any]:
    [found] = template.find_resources("AWS::MWAA::Environment").values()
    properties: dict[str, Any] = found["Properties"]
    return properties


@pytest.mark.promise("airflow", "scheduled-retraining")
def test_dags_find_kubeflow_and_read_the_secret_of_their_machine_and_no_other(
    stacks: tuple[cdk.Stack, AirflowStack],
) -> None:
    template = Template.from_stack(stacks[1])
    options = environment(template)[OPTIONS]
    assert options["kubeflow.address"] == "https://kubeflow.example.com"
    statements = [
        one
        for found in template.find_resources("AWS::IAM::Policy").values()
        for one in found["Properties"]["PolicyDocument"]["Statement"]
    ]
    read = [one["Resource"] for one in statements if "secretsmanager:GetSecretValue" in many(one["Action"])]
    assert read == [options["kubeflow.secret"]]
    assert [
        flat(one["Condition"]["StringEquals"]["kms:ViaService"])
        for one in statements
        if one["Action"] == "kms:Decrypt" and "Condition" in one
    ] == ["secretsmanager.eu-west-1.amazonaws.com"]


@pytest.mark.promise("airflow")
def test_the_web_server_is_open_to_the_environment_and_the_bastion_alone(
    stacks: tuple[cdk.Stack, AirflowStack],
) -> None:
    rules = Template.from_stack(stacks[1]).find_resources("AWS::EC2::SecurityGroupIngress").values()
    found = {(each["Properties"]["Description"], each["Properties"]["ToPort"]) for each in rules}
    assert found == {
        ("metadata database of the environment", 5432),
        ("web server for tunnels through the bastion", 443),
        ("web server of the environment", 443),
    }
    assert all("SourceSecurityGroupId" in each["Properties"] for each in rules)


def test_settings_become_class_and_workers(stacks: tuple[cdk.Stack, AirflowStack]) -> None:
    found = environment(Template.from_stack(stacks[1]))
    assert (found["EnvironmentClass"], found["MinWorkers"], found["MaxWorkers"]) == ("mw1.medium", 1, 4)


def test_the_example_and_the_components_that_it_imports_are_deployed(stacks: tuple[cdk.Stack, AirflowStack]) -> None:
    [deployed] = Template.from_stack(stacks[1]).find_resources("Custom::AirflowDags").values()
    files = deployed["Properties"]["Files"]
    assert {"trigger_pipeline.py", "mlplatform_components/runs.py", "mlplatform_components/__init__.py"} <= set(files)


def test_the_machine_can_be_removed_while_airflow_uses_it(stacks: tuple[cdk.Stack, AirflowStack]) -> None:
    assert "Fn::ImportValue" not in json.dumps(environment(Template.from_stack(stacks[1]))[OPTIONS])


def test_complies(app: cdk.App, stacks: tuple[cdk.Stack, AirflowStack]) -> None:
    assert_complies(app)


ACCOUNT = (
    DISPOSABLE
    + """
[people.ana]
email = "ana@example.com"
[identity.load_balancer]
[identity.cognito.machines.automation]
scopes = ["pipelines"]
[workloads.airflow]
machine = "automation"
"""
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World.of(synthesized(tmp_path_factory.mktemp("account"), ACCOUNT).templates)


@pytest.fixture(scope="module")
def needs(world: World) -> list[Need]:
    """What Airflow and the deployment of its DAGs need."""
    return [each for each in services.needs(world) if each.on_behalf.startswith("Airflow/")]


@pytest.mark.promise("airflow")
def test_every_need_of_airflow_is_met_and_refused_to_others(world: World, needs: list[Need]) -> None:
    assert len(needs) > 30
    assert list(judge(world, needs)) == []


@pytest.mark.promise("airflow")
def test_airflow_has_no_statement_that_it_does_not_need(world: World, needs: list[Need]) -> None:
    about = [one for one in proofs(world, needs) if one.role.path == "Airflow/Airflow/Role"]
    assert len(about) > 8
    assert [one.statement for one in about if one.missed is None] == []


def test_the_deployer_can_create_an_environment(tmp_path: Path) -> None:
    found = synthesized(tmp_path, ACCOUNT).templates
    execution = needed([stack for stack in found if stack.name.endswith("Airflow")])
    assert "airflow:CreateEnvironment" in execution.actions
    assert "airflow.amazonaws.com" in execution.passed
    assert "airflow.amazonaws.com" in execution.linked
