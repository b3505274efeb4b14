"""The function that waits for objects and removes them, next to the one of the CDK that applies them."""

from typing import cast

from aws_cdk import Acknowledgment, Duration, Validations
from aws_cdk import aws_eks_v2 as eks
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from .._handler_code import handler_code
from .contents import ClusterContents

_ID = "ObjectKeeper"


def object_keeper(cluster: eks.ICluster) -> str:
    """ARN of a cluster's function, which is made when it is first needed.

    :raises ValueError: for a cluster without a kubectl handler of this app.
    """
    contents = ClusterContents.of(cluster)
    if not contents.keeper:
        provider = cast(Construct | None, cluster.kubectl_provider)
        if provider is None:
            raise ValueError(f"{cluster.node.path}: has no kubectl handler; give it kubectl_provider_options")
        function = _keeper(provider)
        eks.KubectlProvider.get_kubectl_provider(function, cluster)  # not before its role has access to the cluster
        contents.keeper = function.function_arn
    return contents.keeper


def _keeper(provider: Construct) -> lambda_.Function:
    """Runs with role, network, tools and log of the CDK's handler, so that one way into the cluster is enough."""
    handler = provider.node.try_find_child("Handler")
    if not isinstance(handler, lambda_.Function):
        raise ValueError(
            f"{provider.node.path}: an imported kubectl handler tells nothing of its tools; use eks.Cluster"
        )
    function = lambda_.Function(
        provider,
        _ID,
        description="Waits for Kubernetes objects and removes them, by kubectl",
        code=handler_code("kubernetes_objects"),
        handler="handlers.kubernetes_objects.index.handler",
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
