from __future__ import annotations

import importlib.util
import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aws_cdk import Acknowledgment, Annotations, ArnFormat, Duration, RemovalPolicy, Stack, Validations
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from .._arguments import ConfigurationError, check_fields, checked, is_token
from .._data.collected_data import CollectedData
from .._functions.handler_function import HandlerFunction
from .._security.acknowledge import acknowledge_wildcard
from .._security.service_principal import service_principal
from .._storage.data_bucket import DataBucket

_ROUTES = ("POST /advice", "POST /runs", "GET /runs/{run}", "DELETE /runs/{run}")
_JOB = re.compile(r"[a-z]([-a-z0-9]{0,29}[a-z0-9])?")
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.=-]*(/[A-Za-z0-9_.=-]+)*")
_PREPARE = "prepare"
_FOLLOWING = ("states:DescribeExecution", "states:StopExecution")
_API_SECONDS = 29
"""An HTTP API waits 30 s at most. https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html"""
_LISTING_SECONDS = 18
_BATCHES_AT_ONCE = 40
"""An inline map runs at most this many. https://docs.aws.amazon.com/step-functions/latest/dg/state-map-inline.html"""
_TRANSIENT = [
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.SdkClientException",
    "Lambda.ServiceException",
    "Lambda.TooManyRequestsException",
    "Lambda.AWSLambdaException",
]
"""https://docs.aws.amazon.com/step-functions/latest/dg/bp-lambda-serviceexception.html"""
_LOG_FIELDS = {
    "request": "$context.requestId",
    "time": "$context.requestTime",
    "address": "$context.identity.sourceIp",
    "client": "$context.authorizer.claims.client_id",
    "route": "$context.routeKey",
    "status": "$context.status",
    "refusal": "$context.authorizer.error",
    "latency": "$context.responseLatency",
}


@dataclass(frozen=True)
class AdviserInput:
    """Data that the adviser may examine and the preparation may read.

    :param bucket: bucket of the data.
    :param prefix: prefix of the data, ending with ``*``. Default: all of it.
    """

    bucket: DataBucket | CollectedData
    prefix: str = "*"

    def __post_init__(self) -> None:
        check_fields(self)


class JobAdviser(Construct):
    """An HTTP API that advises on jobs before they start: a function that examines data in S3, and a preparation job.

    The API answers with facts about the input, the time to prepare, the time to run and the cost for each backend, and
    with proposals. It starts, follows and cancels runs: of the preparation job, a state machine that writes a copy of
    the input in a better form to another prefix, and of state machines that are added with ``add_job``.

    Requests need a token of one of ``client_ids`` for ``oauth_scope``. The functions read ``inputs``, and
    the preparation job writes below ``output_prefix``; they have no other data. Prices are those of one Region; a stack
    in another gets a warning at synthesis, and so does each of its answers. Needs ``mlplatform-job-adviser``:
    install ``mlplatform-constructs[adviser]``.

    - ``url``: address of the API.
    - ``api``: the API.
    - ``preparation``: the state machine of the preparation job.

    :param user_pool_id: user pool that issues the tokens, in the Region of the stack.
    :param client_ids: ids of the pool's app clients that may use the API; one at least.
    :param oauth_scope: OAuth scope that a token needs, such as ``mlplatform/adviser``.
    :param inputs: data that may be examined; one at least.
    :param output: bucket of prepared data.
    :param output_prefix: prefix of prepared data in ``output``. Default: ``prepared``.
    :param requests_per_second: limit of all clients together; twice as many may come at once. Default: 10.
    :param large_gib: size in GiB from which on a preparation is proposed. Default: 10.
    :param log_encryption_key: encrypts the logs; its policy must admit CloudWatch Logs. Default: CloudWatch's own key.
    :param log_retention: retention of the logs. Default: one year.
    :param removal_policy: removal policy of the logs. Default: RETAIN.
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        user_pool_id: str,
        client_ids: Sequence[str],
        oauth_scope: str,
        inputs: Sequence[AdviserInput],
        output: DataBucket,
        output_prefix: str = "prepared",
        requests_per_second: int = 10,
        large_gib: float = 10.0,
        log_encryption_key: kms.IKey | kms.Key | None = None,
        log_retention: logs.RetentionDays = logs.RetentionDays.ONE_YEAR,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, id)
        self._check(client_ids, inputs, output_prefix, requests_per_second, large_gib)
        self._warn_of_other_prices()

        self._log = logs.LogGroup(
            self, "Log", encryption_key=log_encryption_key, retention=log_retention, removal_policy=removal_policy
        )
        self._inputs, self._output, self._output_prefix = tuple(inputs), output, output_prefix
        worker = self._function(
            "Prepare", "preparation_handler", "Runs the steps of the preparation job", 15 * 60, 2048
        )
        self._output.grant_write(worker.execution_role, f"{output_prefix}/*")
        self.preparation = self._machine(worker)
        self._adviser = self._function("Advise", "job_adviser_handler", "Advises on jobs", _API_SECONDS, 1024)
        self._adviser.add_environment("LISTING_SECONDS", str(_LISTING_SECONDS))
        self._adviser.add_environment("THRESHOLDS", json.dumps({"large_gib": large_gib}))
        self._jobs: set[str] = set()
        self._allow_runs(_PREPARE, self.preparation, *_FOLLOWING)  # its phases are known without a history
        self.api = self._api(user_pool_id, client_ids, oauth_scope, requests_per_second)
        self.url = self.api.attr_api_endpoint

    @checked
    def add_job(self, name: str, state_machine: sfn.IStateMachine | sfn.StateMachine) -> iam.Grant:
        """Allow clients to start, follow and cancel executions of ``state_machine`` as the job ``name``.

        :param state_machine: a standard state machine of the same Region; its input is the ``input`` of the request.
        :raises ConfigurationError: for a name that is taken, or no name.
        """
        if not _JOB.fullmatch(name):
            raise ConfigurationError(
                f"{self.node.path}: a job's name must be 1 to 31 lower-case letters, digits and hyphens, got {name!r}"
            )
        if name in self._jobs:
            raise ConfigurationError(f"{self.node.path}: job {name!r} exists already; choose another name")
        return self._allow_runs(name, state_machine, *_FOLLOWING, "states:GetExecutionHistory")

    def _allow_runs(self, name: str, machine: sfn.IStateMachine, *following: str) -> iam.Grant:
        """Register a job; ``following`` are the actions on its executions."""
        self._jobs.add(name)
        arn = machine.state_machine_arn
        self._adviser.add_environment(f"JOB_{name.upper().replace('-', '_')}", arn)
        role = self._adviser.execution_role
        start = iam.Grant.add_to_principal(grantee=role, actions=["states:StartExecution"], resource_arns=[arn])
        executions = Stack.of(self).format_arn(
            service="states",
            resource="execution",
            resource_name=f"{_name_of(machine)}:*",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        acknowledge_wildcard(role, executions, "executions have names of their own: all of one state machine")
        return start.combine(
            iam.Grant.add_to_principal(grantee=role, actions=list(following), resource_arns=[executions])
        )

    def _check(
        self,
        client_ids: Sequence[str],
        inputs: Sequence[AdviserInput],
        output_prefix: str,
        requests_per_second: int,
        large_gib: float,
    ) -> None:
        place = self.node.path
        if not client_ids:
            raise ConfigurationError(f"{place}: client_ids is empty; name at least one app client")
        if not inputs:
            raise ConfigurationError(f"{place}: inputs is empty; name at least one prefix that may be examined")
        if not _PREFIX.fullmatch(output_prefix):
            raise ConfigurationError(
                f"{place}: output_prefix must be folders without '/' at either end, got {output_prefix!r}"
            )
        if not is_token(requests_per_second) and not 1 <= requests_per_second <= 1000:
            raise ConfigurationError(f"{place}: requests_per_second must be 1 to 1000, got {requests_per_second}")
        if large_gib <= 0:
            raise ConfigurationError(f"{place}: large_gib must be above 0, got {large_gib}")

    def _function(self, id: str, folder: str, description: str, seconds: int, memory: int) -> HandlerFunction:
        function = HandlerFunction(
            self,
            id,
            description=description,
            folder=Path(__file__).parent / folder,
            include=[self._package()],
            log_group=self._log,
            timeout=Duration.seconds(seconds),
            memory_size=memory,
        )
        for each in self._inputs:
            each.bucket.grant_read(function.execution_role, each.prefix)
        self._output.grant_read(function.execution_role, f"{self._output_prefix}/*")
        return function

    def _warn_of_other_prices(self) -> None:
        prices = tomllib.loads((self._package() / "data" / "prices.toml").read_text(encoding="utf-8"))
        region = Stack.of(self).region
        if not is_token(region) and region != prices["region"]:
            Annotations.of(self).add_warning_v2(
                "mlplatform:adviser-prices",
                f"{self.node.path}: the costs in its answers are those of {prices['region']}, not of {region}: they "
                "compare backends, and are not a quotation; acknowledge this warning, or omit the adviser",
            )

    def _package(self) -> Path:
        """The folder of the package that the functions consist of."""
        found = importlib.util.find_spec("job_adviser")
        if found is None or not found.submodule_search_locations:
            raise ConfigurationError(
                f"{self.node.path}: mlplatform-job-adviser is not installed; install mlplatform-constructs[adviser]"
            )
        return Path(next(iter(found.submodule_search_locations)))

    def _machine(self, worker: HandlerFunction) -> sfn.StateMachine:
        role = iam.Role(self, "PreparationRole", assumed_by=service_principal(self, "states.amazonaws.com"))
        iam.Grant.add_to_principal(grantee=role, actions=["lambda:InvokeFunction"], resource_arns=[worker.function_arn])
        Validations.of(role).acknowledge(
            Acknowledgment(
                id="AwsSolutions-IAM5[Resource::*]",
                reason="log deliveries and traces have no resource that a policy could name",
            )
        )
        return sfn.StateMachine(
            self,
            "Preparation",
            comment="Writes a copy of data in a better form to another prefix",
            definition_body=sfn.DefinitionBody.from_string(
                Stack.of(self).to_json_string(_definition(worker.function_arn))
            ),
            role=role,
            logs=sfn.LogOptions(destination=self._log, level=sfn.LogLevel.ALL, include_execution_data=True),
            tracing_enabled=True,
        )

    def _api(
        self, user_pool_id: str, client_ids: Sequence[str], oauth_scope: str, requests_per_second: int
    ) -> apigateway.CfnApi:
        stack = Stack.of(self)
        api = apigateway.CfnApi(
            self, "Api", name=self.node.path.replace("/", "-"), protocol_type="HTTP", description="Advice on jobs"
        )
        authorizer = apigateway.CfnAuthorizer(
            self,
            "Clients",
            api_id=api.ref,
            name="clients",
            authorizer_type="JWT",
            identity_source=["$request.header.Authorization"],
            jwt_configuration=apigateway.CfnAuthorizer.JWTConfigurationProperty(
                issuer=f"https://cognito-idp.{stack.region}.{stack.url_suffix}/{user_pool_id}",
                audience=list(client_ids),
            ),
        )
        integration = apigateway.CfnIntegration(
            self,
            "Function",
            api_id=api.ref,
            integration_type="AWS_PROXY",
            integration_uri=self._adviser.function_arn,
            payload_format_version="2.0",
            timeout_in_millis=_API_SECONDS * 1000,
        )
        routes = [
            apigateway.CfnRoute(
                self,
                f"Route{number}",
                api_id=api.ref,
                route_key=key,
                target=f"integrations/{integration.ref}",
                authorization_type="JWT",
                authorizer_id=authorizer.ref,
                authorization_scopes=[oauth_scope],
            )
            for number, key in enumerate(_ROUTES, start=1)
        ]
        stage = apigateway.CfnStage(
            self,
            "Stage",
            api_id=api.ref,
            stage_name="$default",
            auto_deploy=True,
            default_route_settings=apigateway.CfnStage.RouteSettingsProperty(
                throttling_rate_limit=requests_per_second, throttling_burst_limit=2 * requests_per_second
            ),
            access_log_settings=apigateway.CfnStage.AccessLogSettingsProperty(
                destination_arn=self._log.log_group_arn, format=json.dumps(_LOG_FIELDS)
            ),
        )
        for route in routes:
            stage.node.add_dependency(route)
        lambda_.CfnPermission(
            self,
            "Calls",
            action="lambda:InvokeFunction",
            function_name=self._adviser.function_arn,
            principal="apigateway.amazonaws.com",
            source_arn=stack.format_arn(service="execute-api", resource=api.ref, resource_name="*"),
            source_account=stack.account,
        )
        return api


def _name_of(machine: sfn.IStateMachine) -> str:
    if isinstance(machine, sfn.StateMachine):
        return machine.state_machine_name
    return machine.state_machine_arn.rpartition(":")[2]


def _definition(worker: str) -> dict[str, Any]:
    """The state machine, in the Amazon States Language with JSONata."""
    return {
        "QueryLanguage": "JSONata",
        "StartAt": "Plan",
        "States": {
            "Plan": {
                **_step(worker, {"step": "plan", "request": "{% $states.input %}"}),
                "Assign": {"request": "{% $states.input %}"},
                "Output": "{% $states.result.Payload %}",
                "Next": "Batches",
            },
            "Batches": {
                "Type": "Map",
                "Items": "{% $states.input %}",
                "MaxConcurrency": _BATCHES_AT_ONCE,
                "ItemSelector": {"number": "{% $states.context.Map.Item.Value %}", "request": "{% $request %}"},
                "ItemProcessor": {
                    "ProcessorConfig": {"Mode": "INLINE"},
                    "StartAt": "Batch",
                    "States": {
                        "Batch": {
                            **_step(
                                worker,
                                {
                                    "step": "batch",
                                    "number": "{% $states.input.number %}",
                                    "request": "{% $states.input.request %}",
                                },
                            ),
                            "Output": "{% $states.input.number %}",
                            "End": True,
                        }
                    },
                },
                "Next": "Finish",
            },
            "Finish": {
                **_step(worker, {"step": "finish", "request": "{% $request %}"}),
                "Output": "{% $states.result.Payload %}",
                "End": True,
            },
        },
    }


def _step(worker: str, payload: dict[str, Any]) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Arguments": {"FunctionName": worker, "Payload": payload},
        "Retry": [{"ErrorEquals": _TRANSIENT, "IntervalSeconds": 2, "BackoffRate": 2, "MaxAttempts": 6}],
    }
