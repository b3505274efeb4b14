"""Functions, and the services that call them."""

import re
from collections.abc import Iterator

from assurance.permissions.needs import Need, Table
from assurance.permissions.services.lines import on
from assurance.permissions.world import World
from delivery.gate.templates import Resource


@on(
    "AWS::SecretsManager::RotationSchedule",
    "https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotating-secrets-required-permissions-function.html",
)
def _rotation(world: World, rotation: Resource, table: Table) -> Iterator[Need]:
    function, secret = world.get(rotation, "RotationLambdaARN"), world.get(rotation, "SecretId")
    yield from table.service("secretsmanager.amazonaws.com", "lambda:InvokeFunction", function)
    own = world.by_arn[function]
    role = world.get(own, "Role")
    actions = (
        "secretsmanager:DescribeSecret secretsmanager:GetSecretValue secretsmanager:PutSecretValue "
        "secretsmanager:UpdateSecretVersionStage"
    )
    yield from table.use(role, actions, secret)
    if master := world.get(own, "Environment.Variables.MASTER_SECRET"):
        yield from table.use(role, "secretsmanager:GetSecretValue", master)


@on(
    "AWS::Cognito::UserPool",
    "https://docs.aws.amazon.com/cognito/latest/developerguide/cognito-user-pools-working-with-lambda-triggers.html",
)
def _user_pool(world: World, pool: Resource, table: Table) -> Iterator[Need]:
    for function in set(re.findall(r"arn:aws:lambda:[^\"]+", world.get(pool, "LambdaConfig"))):
        yield from table.service(
            "cognito-idp.amazonaws.com", "lambda:InvokeFunction", function, {"aws:SourceArn": world.arn(pool)}
        )


@on(
    "AWS::ElasticLoadBalancingV2::TargetGroup",
    "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html#register-lambda-function",
)
def _lambda_target(world: World, group: Resource, table: Table) -> Iterator[Need]:
    if world.get(group, "TargetType") == "lambda":
        for function in set(re.findall(r"arn:aws:lambda:[^\"]+", world.get(group, "Targets"))):
            yield from table.service(
                "elasticloadbalancing.amazonaws.com",
                "lambda:InvokeFunction",
                function,
                {"aws:SourceArn": world.arn(group)},
            )


@on(
    "AWS::ApiGatewayV2::Integration",
    "https://docs.aws.amazon.com/lambda/latest/dg/services-apigateway.html#apigateway-permissions",
)
def _api_integration(world: World, integration: Resource, table: Table) -> Iterator[Need]:
    api = world.get(integration, "ApiId")
    context = {"aws:SourceArn": f"arn:aws:execute-api:{table.region}:{table.account}:{api}/$default/POST/x"}
    function = world.get(integration, "IntegrationUri")
    yield from table.service("apigateway.amazonaws.com", "lambda:InvokeFunction", function, context)


@on("AWS::Lambda::EventSourceMapping", "https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-create.html")
def _event_source(world: World, mapping: Resource, table: Table) -> Iterator[Need]:
    name = world.get(mapping, "FunctionName")
    function = next(each for each in world.resources("AWS::Lambda::Function") if world.arn(each).endswith(f":{name}"))
    role = world.get(function, "Role")
    source = world.get(mapping, "EventSourceArn")
    if ":kinesis:" in source:
        actions = "DescribeStream DescribeStreamSummary GetRecords GetShardIterator ListShards"
        yield from table.use(role, " ".join(f"kinesis:{name}" for name in actions.split()), source)
    queue = world.get(mapping, "DestinationConfig.OnFailure.Destination")
    if ":sqs:" in queue:  # https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
        yield from table.use(role, "sqs:SendMessage", queue)


@on("AWS::Lambda::Function", "https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html")
def _function(world: World, function: Resource, table: Table) -> Iterator[Need]:
    role = world.get(function, "Role")
    yield from table.assume("lambda.amazonaws.com", role)
    group = world.get(function, "LoggingConfig.LogGroup") or f"/aws/lambda/{world.arn(function).rpartition(':')[2]}"
    stream = f"arn:aws:logs:{table.region}:{table.account}:log-group:{group}:log-stream:x"
    yield from table.use(role, "logs:CreateLogStream logs:PutLogEvents", stream)


@on(
    "AWS::Lambda::Function",
    "https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions",
)
def _function_in_network(world: World, function: Resource, table: Table) -> Iterator[Need]:
    if world.get(function, "VpcConfig"):
        actions = "CreateNetworkInterface DescribeNetworkInterfaces DescribeSubnets DeleteNetworkInterface"
        addresses = "AssignPrivateIpAddresses UnassignPrivateIpAddresses"
        names = " ".join(f"ec2:{name}" for name in f"{actions} {addresses}".split())
        yield from table.use(world.get(function, "Role"), names)
