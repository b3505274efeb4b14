from pathlib import Path

import jsii
from aws_cdk import CfnResource, Duration, IListProducer, IResolveContext, Lazy, RemovalPolicy
from aws_cdk import aws_eks_v2 as eks
from aws_cdk import aws_kms as kms
from constructs import Construct

from .._arguments import ConfigurationError
from .._functions.handler_function import HandlerFunction
from .workload_identity import WorkloadRole

_MOST_SECONDS = 300


@jsii.implements(IListProducer)
class _Listed:
    """A list that grows until synthesis."""

    def __init__(self, items: list[str]) -> None:
        self._items = items

    def produce(self, context: IResolveContext) -> list[str]:
        return self._items


class CredentialPropagation(Construct):
    """A wait between roles of EKS Pod Identity and the pods that need them.

    EKS reports an association as created some seconds before it hands out its credentials. A pod that starts within
    these seconds gets no credentials, and never will. Pods that depend on this construct start later.

    A deployment without a new association does not wait. Roles of other strategies need no wait and are ignored.
    https://docs.aws.amazon.com/eks/latest/userguide/pod-id-association.html

    :param seconds: length of the wait, 1 to 300. Default: 20; AWS documents several seconds.
    :param log_encryption_key: encrypts the log of the function that waits. Default: CloudWatch's own key.
    :param log_removal_policy: removal policy of that log. Default: DESTROY.
    :raises ConfigurationError: for another number of seconds.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        seconds: int = 20,
        log_encryption_key: kms.IKey | kms.Key | None = None,
        log_removal_policy: RemovalPolicy = RemovalPolicy.DESTROY,
    ) -> None:
        super().__init__(scope, id)
        if not 1 <= seconds <= _MOST_SECONDS:
            raise ConfigurationError(f"{self.node.path}: seconds must be 1 to {_MOST_SECONDS}, got {seconds}")
        self._associations: list[str] = []
        function = HandlerFunction(
            self,
            "Function",
            description="Waits until EKS hands out credentials of new Pod Identity associations",
            folder=Path(__file__).parent / "credential_propagation_handler",
            timeout=Duration.seconds(seconds + 60),
            log_encryption_key=log_encryption_key,
            log_removal_policy=log_removal_policy,
        )
        self._wait = CfnResource(
            self,
            "Wait",
            type="Custom::CredentialPropagation",
            properties={
                "ServiceToken": function.function_arn,
                "ServiceTimeout": str(seconds + 60),
                "Seconds": str(seconds),
                "Associations": Lazy.uncached_list(_Listed(self._associations)),
            },
        )
        self._wait.node.add_dependency(function, function.execution_role)

    def add(self, *roles: WorkloadRole) -> None:
        """Wait for these roles, too."""
        for role in roles:
            association = role.node.try_find_child("Association")
            if isinstance(association, eks.CfnPodIdentityAssociation):
                self._associations.append(association.attr_association_id)
        self._wait.node.add_dependency(*roles)
