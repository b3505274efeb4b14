import base64
import importlib.util
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk.assertions import Annotations, Match, Template

from mlplatform_constructs import AdviserInput, ConfigurationError, DataBucket, JobAdviser
from tests.compliance import assert_complies
from tests.policies import allows, identity_statements

FUNCTIONS = {"Advise", "Prepare"}


def adviser(stack: cdk.Stack, **options: Any) -> JobAdviser:
    lake = DataBucket(stack, "Lake")
    given: dict[str, Any] = {
        "user_pool_id": "eu-west-1_Abcdefghi",
        "client_ids": ["client-1"],
        "oauth_scope": "mlplatform/adviser",
        "inputs": [AdviserInput(lake, "raw/*")],
        "output": lake,
    }
    return JobAdviser(stack, "Adviser", **{**given, **options})


def test_the_compliance_pack_has_no_finding(app: cdk.App, stack: cdk.Stack) -> None:
    adviser(stack)
    assert_complies(app)


@pytest.mark.promise("adviser-access")
def test_every_route_needs_a_token_of_a_client_with_the_scope(stack: cdk.Stack) -> None:
    adviser(stack)
    template = Template.from_stack(stack)
    routes = [each["Properties"] for each in template.find_resources("AWS::ApiGatewayV2::Route").values()]
    assert {route["RouteKey"] for route in routes} == {
        "POST /advice",
        "POST /runs",
        "GET /runs/{run}",
        "DELETE /runs/{run}",
    }
    assert all(route["AuthorizationType"] == "JWT" for route in routes)
    assert all(route["AuthorizationScopes"] == ["mlplatform/adviser"] for route in routes)
    template.has_resource_properties(
        "AWS::ApiGatewayV2::Authorizer",
        {
            "AuthorizerType": "JWT",
            "JwtConfiguration": {
                "Audience": ["client-1"],
                "Issuer": {
                    "Fn::Join": [
                        "",
                        ["https://cognito-idp.eu-west-1.", {"Ref": "AWS::URLSuffix"}, "/eu-west-1_Abcdefghi"],
                    ]
                },
            },
        },
    )


def test_requests_are_limited_and_logged_without_their_token(stack: cdk.Stack) -> None:
    adviser(stack, requests_per_second=3)
    [stage] = Template.from_stack(stack).find_resources("AWS::ApiGatewayV2::Stage").values()
    assert stage["Properties"]["DefaultRouteSettings"] == {"ThrottlingRateLimit": 3, "ThrottlingBurstLimit": 6}
    fields = json.loads(stage["Properties"]["AccessLogSettings"]["Format"])
    assert {"client", "route", "status", "time"} <= fields.keys()
    assert not any("header" in value.lower() for value in fields.values())


@pytest.mark.promise("adviser-access")
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_the_functions_read_their_inputs_and_nothing_else(stack: cdk.Stack, name: str) -> None:
    adviser(stack)
    template = Template.from_stack(stack)
    role = next(id for id in template.find_resources("AWS::IAM::Role") if id.startswith(f"Adviser{name}Role"))
    statements = identity_statements(template, role)
    [bucket] = [id for id in template.find_resources("AWS::S3::Bucket") if id.startswith("LakeBucket")]
    assert allows(statements, "s3:GetObject", f"<{bucket}.Arn>/raw/a.csv")
    assert allows(statements, "s3:ListBucket", f"<{bucket}.Arn>", s3__prefix="raw/2026/")
    assert not allows(statements, "s3:ListBucket", f"<{bucket}.Arn>", s3__prefix="")
    assert not allows(statements, "s3:GetObject", f"<{bucket}.Arn>/secret/a.csv")
    for action in ("s3:PutObject", "s3:DeleteObject"):
        assert not allows(statements, action, f"<{bucket}.Arn>/raw/a.csv")
    assert allows(statements, "s3:PutObject", f"<{bucket}.Arn>/prepared/a.csv") == (name == "Prepare")
    assert not allows(statements, "s3:DeleteObject", f"<{bucket}.Arn>/prepared/a.csv")


def test_a_job_can_be_started_followed_and_cancelled_and_no_other(stack: cdk.Stack) -> None:
    own = adviser(stack)
    other = sfn.StateMachine.from_state_machine_arn(
        stack, "Other", "arn:aws:states:eu-west-1:111111111111:stateMachine:train"
    )
    own.add_job("train-all", other)
    template = Template.from_stack(stack)
    role = next(id for id in template.find_resources("AWS::IAM::Role") if id.startswith("AdviserAdviseRole"))
    statements = identity_statements(template, role)
    prefix = "arn:aws:states:eu-west-1:111111111111"
    assert allows(statements, "states:StartExecution", f"{prefix}:stateMachine:train")
    assert not allows(statements, "states:StartExecution", f"{prefix}:stateMachine:train2")
    text = json.dumps([each for each in statements if "states:StopExecution" in str(each)])
    assert ":execution:train:*" in text
    template.has_resource_properties(
        "AWS::Lambda::Function",
        {"Environment": {"Variables": Match.object_like({"JOB_TRAIN_ALL": f"{prefix}:stateMachine:train"})}},
    )


def test_the_preparation_calls_its_own_function_only(stack: cdk.Stack) -> None:
    adviser(stack)
    template = Template.from_stack(stack)
    role = next(id for id in template.find_resources("AWS::IAM::Role") if id.startswith("AdviserPreparationRole"))
    [invoke] = [each for each in identity_statements(template, role) if "lambda:InvokeFunction" in str(each["Action"])]
    [worker] = [id for id in template.find_resources("AWS::Lambda::Function") if id.startswith("AdviserPrepare")]
    assert invoke["Resource"] == {"Fn::GetAtt": [worker, "Arn"]}


def test_logs_are_encrypted_and_kept_as_asked(stack: cdk.Stack) -> None:
    key = kms.Key(stack, "Key", enable_key_rotation=True)
    adviser(stack, log_encryption_key=key, log_retention=logs.RetentionDays.ONE_MONTH)
    template = Template.from_stack(stack)
    [group] = template.find_resources("AWS::Logs::LogGroup").values()
    assert group["Properties"]["RetentionInDays"] == 30
    assert group["Properties"]["KmsKeyId"]
    assert group["DeletionPolicy"] == "Retain"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"client_ids": []}, "Test/Adviser: client_ids is empty; name at least one app client"),
        ({"inputs": []}, "Test/Adviser: inputs is empty"),
        ({"output_prefix": "/prepared"}, "output_prefix must be folders without '/' at either end, got '/prepared'"),
        ({"output_prefix": ""}, "output_prefix must be folders"),
        ({"requests_per_second": 0}, "requests_per_second must be 1 to 1000, got 0"),
        ({"large_gib": 0.0}, "large_gib must be above 0"),
        ({"client_ids": "client-1"}, "client_ids must be a list"),
    ],
)
def test_fails_for_arguments_that_cannot_work(stack: cdk.Stack, options: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        adviser(stack, **options)


def test_fails_for_a_job_that_exists_or_has_no_name(stack: cdk.Stack) -> None:
    own = adviser(stack)
    with pytest.raises(ConfigurationError, match="job 'prepare' exists already"):
        own.add_job("prepare", own.preparation)
    with pytest.raises(ConfigurationError, match="a job's name must be 1 to 31 lower-case letters"):
        own.add_job("Train", own.preparation)


def test_fails_without_the_package_of_the_functions(stack: cdk.Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="install mlplatform-constructs\\[adviser\\]"):
        adviser(stack)


@pytest.fixture
def tokens(aws: Callable[[str], Any], emulator: str) -> dict[str, str]:
    """A user pool with two machine clients, one with the scope: ids, and a token of each."""
    cognito = aws("cognito-idp")
    pool = cognito.create_user_pool(PoolName="platform")["UserPool"]["Id"]
    scopes = [{"ScopeName": name, "ScopeDescription": name} for name in ("adviser", "pipelines")]
    cognito.create_resource_server(UserPoolId=pool, Identifier="mlplatform", Name="platform", Scopes=scopes)
    cognito.create_user_pool_domain(Domain="adviser-test", UserPoolId=pool)
    found = {"pool": pool}
    for name in ("adviser", "pipelines"):
        client = cognito.create_user_pool_client(
            UserPoolId=pool,
            ClientName=name,
            GenerateSecret=True,
            AllowedOAuthFlows=["client_credentials"],
            AllowedOAuthFlowsUserPoolClient=True,
            AllowedOAuthScopes=[f"mlplatform/{name}"],
        )["UserPoolClient"]
        basic = base64.b64encode(f"{client['ClientId']}:{client['ClientSecret']}".encode()).decode()
        form = urllib.parse.urlencode({"grant_type": "client_credentials", "scope": f"mlplatform/{name}"})
        asked = urllib.request.Request(f"{emulator}/oauth2/token", data=form.encode())
        asked.add_header("Authorization", f"Basic {basic}")
        asked.add_header("Content-Type", "application/x-www-form-urlencoded")
        with urllib.request.urlopen(asked, timeout=10) as answer:
            found[f"{name}-token"] = json.load(answer)["access_token"]
        found[name] = client["ClientId"]
    return found


@pytest.mark.promise("adviser-access", "input-preparation")
def test_a_client_gets_advice_and_prepares_its_data_and_others_are_refused(
    stack: cdk.Stack,
    deploy: Callable[[], dict[str, str]],
    aws: Callable[[str], Any],
    emulator: str,
    tokens: dict[str, str],
) -> None:
    adviser(stack, user_pool_id=tokens["pool"], client_ids=[tokens["adviser"], tokens["pipelines"]])
    physical = deploy()
    [api] = [name for id, name in physical.items() if id.startswith("AdviserApi")]
    [lake] = [name for id, name in physical.items() if id.startswith("LakeBucket") and "Policy" not in id]
    s3 = aws("s3")
    for number in range(30):
        s3.put_object(Bucket=lake, Key=f"raw/{number}.csv", Body=b"id,city\n1,Berlin\n")

    def call(method: str, path: str, body: object = None, token: str = "adviser-token") -> tuple[int, Any]:
        asked = urllib.request.Request(f"{emulator}/_aws/execute-api/{api}/$default{path}", method=method)
        if body is not None:
            asked.data = json.dumps(body).encode()
        if token:
            asked.add_header("Authorization", f"Bearer {tokens.get(token, token)}")
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    question = {"input": f"s3://{lake}/raw/"}
    refused = call("POST", "/advice", question, token="")
    assert refused[0] == 401, refused
    assert call("POST", "/advice", question, token="a.b.c")[0] == 401
    assert call("POST", "/advice", question, token="pipelines-token")[0] == 403
    status, advice = call("POST", "/advice", question)
    assert (status, advice["input"]["objects"]) == (200, 30)
    assert [each["backend"] for each in advice["estimates"]] == ["local", "eks", "emr", "sagemaker"]
    assert [words for words in advice["warnings"] if "prices" in words and "not of eu-west-1" in words]
    assert call("POST", "/advice", {"input": f"s3://{lake}/nothing/"})[0] == 404

    request = {"input": f"s3://{lake}/raw/", "output": f"s3://{lake}/prepared/one/"}
    status, run = call("POST", "/runs", {"job": "prepare", "input": request})
    assert status == 202, run
    until = time.monotonic() + 60
    while (found := call("GET", f"/runs/{run['run']}")[1])["status"] == "running":
        assert time.monotonic() < until
        time.sleep(0.3)
    assert found["status"] == "succeeded", found
    assert [phase["state"] for phase in found["phases"]] == ["done"] * 3
    assert found["progress"] == 1
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=lake, Prefix="prepared/one/")["Contents"]]
    assert {"prepared/one/_SUCCESS", "prepared/one/part-00000.csv.gz"} <= set(keys)
    assert call("GET", "/runs/prepare.none")[0] == 404


@pytest.mark.promise("dated-prices")
@pytest.mark.parametrize(("region", "warnings"), [("us-east-1", 0), ("eu-west-1", 1)])
def test_a_stack_in_a_region_with_other_prices_has_a_warning(app: cdk.App, region: str, warnings: int) -> None:
    stack = cdk.Stack(app, "Elsewhere", env=cdk.Environment(account="111111111111", region=region))
    adviser(stack)
    words = Match.string_like_regexp(f"those of us-east-1, not of {region}")
    assert len(Annotations.from_stack(stack).find_warning("/Elsewhere/Adviser", words)) == warnings
