import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Protocol, cast

from aws_cdk import Annotations, Fn
from aws_cdk import aws_eks_v2 as eks
from aws_cdk import aws_iam as iam
from constructs import Construct, IConstruct

from .._arguments import ConfigurationError, checked, is_token
from .._kubernetes.any_cluster import AnyCluster, WrapsCluster, cluster_of

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


_ATTRIBUTE = "_mlplatform_service_accounts"


class _ClusterWithNodes(WrapsCluster, Protocol):
    """What ``KubernetesCluster`` has beyond ``eks.Cluster``."""

    @property
    def oidc_provider(self) -> iam.OidcProviderNative: ...

    @property
    def node_role(self) -> iam.Role: ...


class WorkloadRole(iam.Role):
    """The IAM role of one service account in one cluster. Grant it what its pods need.

    - ``service_account_annotations``, ``pod_annotations``, ``namespace_annotations``: annotations that the Kubernetes
      objects need for the role. They are often empty; add them anyway, so that the strategy can change.
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
    """The mechanism by which pods of one cluster get IAM roles. A chart names the access; this selects the mechanism.

    - ``pod_identity``: EKS hands credentials to pods whose service account is tied to the role. The default.
    - ``irsa``: pods trade their service account's token for credentials. For clients that do not know Pod Identity.
    - ``kube2iam``: an agent on each node answers in place of the node's metadata service. A legacy option.

    No strategy stores a key anywhere.
    """

    def __init__(self, cluster: AnyCluster) -> None:
        self._given = cluster
        self._cluster = cast(eks.Cluster, cluster_of("WorkloadIdentity", cluster))
        # Kept at the cluster, so that two strategies of one cluster do not give a service account two roles.
        self._roles: dict[tuple[str, str], WorkloadRole] = self._cluster.__dict__.setdefault(_ATTRIBUTE, {})

    @staticmethod
    def pod_identity(cluster: AnyCluster) -> "WorkloadIdentity":
        """By EKS Pod Identity associations. https://docs.aws.amazon.com/eks/latest/userguide/pod-identities.html

        :param cluster: a ``KubernetesCluster``, or an ``eks.Cluster`` with the add-on ``eks-pod-identity-agent``.
        """
        return _PodIdentity(cluster)

    @staticmethod
    def irsa(cluster: AnyCluster) -> "WorkloadIdentity":
        """By the cluster's OpenID Connect provider (IAM roles for service accounts).

        :param cluster: a ``KubernetesCluster`` or an ``eks.Cluster``.
        """
        return _Irsa(cluster)

    @staticmethod
    def kube2iam(cluster: WrapsCluster) -> "WorkloadIdentity":
        """With kube2iam, which must run on every node. Synthesis prints a warning with its limits.

        :param cluster: a ``KubernetesCluster``, whose nodes may then assume the roles.
        :raises ConfigurationError: for a cluster with an unknown node role.
        """
        return _Kube2iam(cluster)

    @checked
    def role_for(self, scope: Construct, id: str, *, namespace: str, service_account: str) -> WorkloadRole:
        """A role that only pods of this service account get.

        :raises ConfigurationError: for names that Kubernetes does not allow, or a service account that has a role.
        """
        self._check(scope, namespace, service_account)
        role = self._role(scope, id, namespace, service_account)
        self._roles[namespace, service_account] = role
        return role

    @abstractmethod
    def _role(self, scope: Construct, id: str, namespace: str, service_account: str) -> WorkloadRole: ...

    def _check(self, scope: Construct, namespace: str, service_account: str) -> None:
        if not is_token(namespace) and not _DNS_LABEL.fullmatch(namespace):
            raise ConfigurationError(
                f"{scope.node.path}: namespace must be one exact name, got {namespace!r}; Kubernetes has no such name"
            )
        if not is_token(service_account) and not _DNS_SUBDOMAIN.fullmatch(service_account):
            raise ConfigurationError(
                f"{scope.node.path}: service_account must be one exact name, got {service_account!r}; "
                "Kubernetes has no such name"
            )
        if there := self._roles.get((namespace, service_account)):
            raise ConfigurationError(
                f"{scope.node.path}: service account {namespace}/{service_account} already has "
                f"{there.node.path}; grant to that"
            )


class _PodIdentity(WorkloadIdentity):
    """The trust policy repeats the association's values, so that an association in another cluster grants nothing.

    EKS sends cluster, namespace and service account as session tags.
    https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html
    """

    def _role(self, scope: Construct, id: str, namespace: str, service_account: str) -> WorkloadRole:
        tags = {
            "aws:RequestTag/eks-cluster-arn": self._cluster.cluster_arn,
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
            cluster_name=self._cluster.cluster_name,
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
        provider = getattr(self._given, "oidc_provider", None) or self._cluster.open_id_connect_provider
        issuer = Fn.select(1, Fn.split("//", self._cluster.cluster_open_id_connect_issuer_url))
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
    """Nodes may assume only these roles; the agent provides them to pods by annotation."""

    WARNING: ClassVar[str] = (
        "workload identity by kube2iam: access to a node gives access to every role that its pods may use, creating "
        "pods in a namespace gives access to every role of that namespace, pods of the host network bypass it, and it "
        "is known to return another pod's role; pod_identity has none of these problems"
    )

    def __init__(self, cluster: WrapsCluster) -> None:
        super().__init__(cluster)
        if not hasattr(cluster, "node_role"):
            raise ConfigurationError(
                f"{self._cluster.node.path}: kube2iam needs the nodes' role; use pod_identity, or a KubernetesCluster"
            )
        self._nodes = cast(_ClusterWithNodes, cluster)
        Annotations.of(cast(IConstruct, cluster)).add_warning_v2("mlplatform:kube2iam", self.WARNING)

    def _role(self, scope: Construct, id: str, namespace: str, service_account: str) -> WorkloadRole:
        node_role = self._nodes.node_role
        role = WorkloadRole(
            scope,
            id,
            namespace=namespace,
            service_account=service_account,
            assumed_by=iam.ArnPrincipal(node_role.role_arn),
        )
        # In the stack of the role; the stack of the cluster would cause a cyclic dependency.
        iam.Policy(
            role,
            "AssumedByNodes",
            roles=[node_role],
            statements=[iam.PolicyStatement(actions=["sts:AssumeRole"], resources=[role.role_arn])],
        )
        role.pod_annotations = {"iam.amazonaws.com/role": role.role_arn}
        role.namespace_annotations = {"iam.amazonaws.com/allowed-roles": json.dumps([role.role_arn])}
        return role
