import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, cast

from aws_cdk import Annotations, Fn, Token
from aws_cdk import aws_eks_v2 as eks
from aws_cdk import aws_iam as iam
from constructs import Construct

if TYPE_CHECKING:
    from ._cluster import KubernetesCluster

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


class WorkloadRole(iam.Role):
    """The IAM role of one service account in one cluster. Grant it what its pods need.

    - ``service_account_annotations``, ``pod_annotations``, ``namespace_annotations``: what the Kubernetes objects must
      say so that the pods get the role. Often nothing; put them all the same, and the strategy may change.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        namespace: str,
        service_account: str,
        assumed_by: iam.IPrincipal,
    ) -> None:
        super().__init__(
            scope, id, description=f"Pods of service account {namespace}/{service_account}", assumed_by=assumed_by
        )
        self.namespace = namespace
        self.service_account = service_account
        self.service_account_annotations: Mapping[str, str] = {}
        self.pod_annotations: Mapping[str, str] = {}
        self.namespace_annotations: Mapping[str, str] = {}


class WorkloadIdentity(ABC):
    """How the pods of one cluster get IAM roles. A chart says which access it needs; this decides how it arrives.

    - ``pod_identity``: EKS hands credentials to pods whose service account is tied to the role. The default.
    - ``irsa``: pods trade their service account's token for credentials. For clients that do not know Pod Identity.
    - ``kube2iam``: an agent on each node answers in place of the node's metadata service. A legacy option.

    No strategy stores a key anywhere.
    """

    def __init__(self, cluster: "KubernetesCluster") -> None:
        self._cluster = cluster

    @staticmethod
    def pod_identity(cluster: "KubernetesCluster") -> "WorkloadIdentity":
        """By EKS Pod Identity associations. https://docs.aws.amazon.com/eks/latest/userguide/pod-identities.html"""
        return _PodIdentity(cluster)

    @staticmethod
    def irsa(cluster: "KubernetesCluster") -> "WorkloadIdentity":
        """By the cluster's OpenID Connect provider (IAM roles for service accounts)."""
        return _Irsa(cluster)

    @staticmethod
    def kube2iam(cluster: "KubernetesCluster") -> "WorkloadIdentity":
        """By kube2iam, which must run on every node. Warns at synthesis of what it cannot protect against."""
        return _Kube2iam(cluster)

    def role_for(self, scope: Construct, id: str, *, namespace: str, service_account: str) -> WorkloadRole:
        """A role that only pods of this service account get.

        :raises ValueError: for names that Kubernetes does not allow, or a service account that has a role already.
        """
        self._check(scope, namespace, service_account)
        role = self._role(scope, id, namespace, service_account)
        self._cluster.service_accounts[namespace, service_account] = role.node.path
        return role

    @abstractmethod
    def _role(self, scope: Construct, id: str, namespace: str, service_account: str) -> WorkloadRole: ...

    def _check(self, scope: Construct, namespace: str, service_account: str) -> None:
        place = f"{scope.node.path}: "
        if not Token.is_unresolved(namespace) and not _DNS_LABEL.fullmatch(namespace):
            raise ValueError(f"{place}namespace must be one exact name, got {namespace!r}; Kubernetes has no such name")
        if not Token.is_unresolved(service_account) and not _DNS_SUBDOMAIN.fullmatch(service_account):
            raise ValueError(
                f"{place}service_account must be one exact name, got {service_account!r}; Kubernetes has no such name"
            )
        if there := self._cluster.service_accounts.get((namespace, service_account)):
            raise ValueError(f"{place}service account {namespace}/{service_account} already has {there}; grant to that")


class _PodIdentity(WorkloadIdentity):
    """The trust policy repeats what the association says, so that an association made by somebody else gives nothing.

    EKS sends cluster, namespace and service account as session tags.
    https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html
    """

    def _role(self, scope: Construct, id: str, namespace: str, service_account: str) -> WorkloadRole:
        tags = {
            "aws:RequestTag/eks-cluster-arn": self._cluster.cluster.cluster_arn,
            "aws:RequestTag/kubernetes-namespace": namespace,
            "aws:RequestTag/kubernetes-service-account": service_account,
        }
        principal = iam.ServicePrincipal("pods.eks.amazonaws.com", conditions={"StringEquals": tags})
        role = WorkloadRole(
            scope,
            id,
            namespace=namespace,
            service_account=service_account,
            assumed_by=iam.SessionTagsPrincipal(principal),
        )
        eks.CfnPodIdentityAssociation(
            role,
            "Association",
            cluster_name=self._cluster.cluster.cluster_name,
            namespace=namespace,
            service_account=service_account,
            role_arn=role.role_arn,
        )
        return role


class _Irsa(WorkloadIdentity):
    """The conditions' keys hold the issuer, which is known only when the cluster exists.

    CloudFormation resolves no keys, but takes the document as text; this saves the custom resource of ``CfnJson``.
    """

    def _role(self, scope: Construct, id: str, namespace: str, service_account: str) -> WorkloadRole:
        provider = self._cluster.oidc_provider
        issuer = Fn.select(1, Fn.split("//", self._cluster.cluster.cluster_open_id_connect_issuer_url))
        provider_arn = provider.open_id_connect_provider_arn
        role = WorkloadRole(
            scope,
            id,
            namespace=namespace,
            service_account=service_account,
            assumed_by=iam.WebIdentityPrincipal(provider_arn),
        )
        statement = {
            "Effect": "Allow",
            "Principal": {"Federated": provider_arn},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {
                "StringEquals": {
                    f"{issuer}:aud": "sts.amazonaws.com",
                    f"{issuer}:sub": f"system:serviceaccount:{namespace}:{service_account}",
                }
            },
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        # An override, because references to other stacks are lost in text that is given as the property itself.
        cast(iam.CfnRole, role.node.default_child).add_property_override("AssumeRolePolicyDocument", document)
        role.service_account_annotations = {"eks.amazonaws.com/role-arn": role.role_arn}
        return role


class _Kube2iam(WorkloadIdentity):
    """Nodes may assume these roles and no others; the agent hands them to pods that ask by annotation."""

    WARNING: ClassVar[str] = (
        "workload identity by kube2iam: whoever gets onto a node has every role that its pods may have, whoever "
        "creates pods in a namespace has every role of that namespace, pods of the host network pass it by, and it has "
        "been seen to hand a pod another pod's role; pod_identity has none of this"
    )

    def __init__(self, cluster: "KubernetesCluster") -> None:
        super().__init__(cluster)
        Annotations.of(cluster).add_warning_v2("mlplatform:kube2iam", self.WARNING)

    def _role(self, scope: Construct, id: str, namespace: str, service_account: str) -> WorkloadRole:
        node_role = self._cluster.node_role
        role = WorkloadRole(
            scope,
            id,
            namespace=namespace,
            service_account=service_account,
            assumed_by=iam.ArnPrincipal(node_role.role_arn),
        )
        # In the stack of the role, not of the cluster, which would have to come both before and after it.
        iam.Policy(
            role,
            "AssumedByNodes",
            roles=[node_role],
            statements=[iam.PolicyStatement(actions=["sts:AssumeRole"], resources=[role.role_arn])],
        )
        role.pod_annotations = {"iam.amazonaws.com/role": role.role_arn}
        role.namespace_annotations = {"iam.amazonaws.com/allowed-roles": json.dumps([role.role_arn])}
        return role
