"""The objects handler: waits for objects, deletes them, and applies files. The CDK's own handler applies requests."""

from pathlib import Path
from typing import cast

from aws_cdk import Acknowledgment, Duration, Validations
from aws_cdk import aws_eks_v2 as eks
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from .._arguments import ConfigurationError
from .._functions.handler_function import handler_code, handler_name
from .contents import ClusterContents

_ID = "ObjectKeeper"
_FOLDER = Path(__file__).parent / "objects_handler"


def object_handler(cluster: eks.ICluster) -> str:
    """The ARN of a cluster's objects handler, which is created when it is first needed.

    :raises ConfigurationError: if the cluster has no kubectl handler in this app.
    """
    contents = ClusterContents.of(cluster)
    if not contents.handler:
        provider = cast(Construct | None, cluster.kubectl_provider)
        if provider is None:
            raise ConfigurationError(f"{cluster.node.path}: has no kubectl handler; give it kubectl_provider_options")
        function = _function(provider)
        eks.KubectlProvider.get_kubectl_provider(function, cluster)  # not before its role has access to the cluster
        contents.handler, contents.handler_role = function.function_arn, function.role
    return contents.handler


def _function(provider: Construct) -> lambda_.Function:
    """Uses the role, network, layers and log group of the CDK's handler, so that one access entry is enough."""
    handler = provider.node.try_find_child("Handler")
    if not isinstance(handler, lambda_.Function):
        raise ConfigurationError(
            f"{provider.node.path}: the layers of an imported kubectl handler are unknown; use eks.Cluster"
        )
    function = lambda_.Function(
        provider,
        _ID,
        description="Waits for Kubernetes objects and deletes them with kubectl",
        code=handler_code(_FOLDER),
        handler=handler_name(_FOLDER),
        runtime=handler.runtime,
        role=handler.role,
        timeout=Duration.minutes(15),
        memory_size=1024,  # as for the CDK's handler: kubectl and the AWS CLI want the processor that comes with it
        environment={"AWS_STS_REGIONAL_ENDPOINTS": "regional"},
        log_group=cast(logs.ILogGroup | None, handler.node.try_find_child("LogGroup")),
    )
    tools = cast(lambda_.CfnFunction, handler.node.default_child)
    resource = cast(lambda_.CfnFunction, function.node.default_child)
    resource.layers, resource.vpc_config = tools.layers, tools.vpc_config
    function.node.add_dependency(handler)  # and with it on the routes out of its subnets
    Validations.of(function).acknowledge(
        Acknowledgment(id="AwsSolutions-L1", reason="the runtime of the kubectl handler, whose layers it shares")
    )
    return function
