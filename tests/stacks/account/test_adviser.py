import json
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from config.adviser import Adviser
from config.storage import Storage
from mlplatform_constructs import Network
from stacks.account.adviser import AdviserStack
from stacks.account.storage import StorageStack
from tests.compliance import assert_complies
from tests.protection import protection
from tests.sign_in import user_pool

MACHINE = "arn:aws:states:eu-west-1:111111111111:stateMachine:train"


@pytest.fixture
def stacks(app: cdk.App) -> tuple[cdk.Stack, AdviserStack]:
    """The stack of the user pool, and that of the adviser."""
    stage = cdk.Stage(app, "test", env=cdk.Environment(account="111111111111", region="eu-west-1"))
    base = cdk.Stack(stage, "Base")
    protected = protection(base)
    network = Network(base, "Network", availability_zones=["eu-west-1a", "eu-west-1b"])
    storage = StorageStack(stage, "Storage", vpc=network.vpc, settings=Storage(), protection=protected)
    users = user_pool(base, scopes={"adviser": "Ask", "pipelines": "Start pipelines"})
    for name in ("notebooks", "automation"):
        users.add_machine(name, scopes=["adviser" if name == "notebooks" else "pipelines"])
    adviser = AdviserStack(
        stage,
        "Adviser",
        settings=Adviser(
            inputs={"collected_data": ("cleansed/*",), "features": ("offline/*", "events/*")},
            output_prefix="better",
            requests_per_second=4,
            jobs={"train": MACHINE},
        ),
        buckets={"collected_data": storage.collected_data, "features": storage.features},
        output=storage.artifacts,
        users=users,
        oauth_scope=users.scope("adviser"),
        clients={"notebooks": users.machine_client("notebooks")},
        protection=protected,
    )
    assert_complies(app)
    return base, adviser


def only(template: Template, type: str) -> dict[str, Any]:
    (found,) = template.find_resources(type).values()
    properties: dict[str, Any] = found["Properties"]
    return properties


@pytest.mark.promise("adviser-access")
def test_only_clients_of_machines_with_the_scope_are_admitted(stacks: tuple[cdk.Stack, AdviserStack]) -> None:
    base, adviser = map(Template.from_stack, stacks)
    [reference] = only(adviser, "AWS::ApiGatewayV2::Authorizer")["JwtConfiguration"]["Audience"]
    output = base.to_json()["Outputs"][reference["Fn::GetStackOutput"]["OutputName"]]
    client = base.to_json()["Resources"][output["Value"]["Ref"]]["Properties"]
    assert client["AllowedOAuthScopes"] == ["mlplatform/adviser"]
    assert client["AllowedOAuthFlows"] == ["client_credentials"]
    routes = adviser.find_resources("AWS::ApiGatewayV2::Route").values()
    assert [route["Properties"]["AuthorizationScopes"] for route in routes] == [["mlplatform/adviser"]] * 4


def test_settings_become_inputs_output_limits_and_jobs(stacks: tuple[cdk.Stack, AdviserStack]) -> None:
    template = Template.from_stack(stacks[1])
    outputs = template.to_json()["Outputs"]
    assert "AdviserUrl" in outputs
    assert "/better/" in json.dumps(outputs["AdviserOutput"])
    for prefix in ("/cleansed/", "/offline/", "/events/"):
        assert prefix in json.dumps(outputs["AdviserInputs"])
    assert only(template, "AWS::ApiGatewayV2::Stage")["DefaultRouteSettings"]["ThrottlingRateLimit"] == 4
    assert f'"JOB_TRAIN": "{MACHINE}"' in json.dumps(template.to_json())


def test_the_stack_imports_nothing_that_a_setting_removes(stacks: tuple[cdk.Stack, AdviserStack]) -> None:
    """An account can give up its clients, its user pool and the adviser in one deployment."""
    text = json.dumps(Template.from_stack(stacks[1]).to_json())
    assert "Fn::GetStackOutput" in text
    assert "UsersPool" not in "".join(part for part in text.split('"') if "ExportsOutput" in part)
