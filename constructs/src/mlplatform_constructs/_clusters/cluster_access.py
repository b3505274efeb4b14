"""Access to a cluster: its access entries."""

from collections.abc import Sequence
from typing import cast

import jsii
from aws_cdk import Duration, Names, Stack
from aws_cdk import aws_eks_v2 as eks
from aws_cdk import aws_iam as iam
from constructs import Construct

from .._arguments import ConfigurationError

_RESERVED = ("system:", "eks:", "aws:", "amazon:", "iam:")


class ClusterAccess(Construct):
    """The access entries of a cluster, one for each principal, among them that of the role for emergencies."""

    def __init__(
        self, scope: Construct, id: str, *, cluster: eks.Cluster, break_glass_principals: Sequence[str]
    ) -> None:
        super().__init__(scope, id)
        self._cluster = cluster
        self._groups: dict[str, str | None] = {}
        self.break_glass_role = self._break_glass_role(break_glass_principals)
        self.grant_admin(self.break_glass_role)

    @property
    def groups(self) -> frozenset[str]:
        """The Kubernetes groups that entries name."""
        return frozenset(group for group in self._groups.values() if group)

    def grant_admin(self, grantee: iam.IRole, username: str | None = None) -> iam.Grant:
        """Grant ``grantee`` all permissions in the cluster, by EKS's own access policy, which RBAC cannot revoke."""
        policy = eks.CfnAccessEntry.AccessPolicyProperty(
            policy_arn=f"arn:{Stack.of(self).partition}:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
            access_scope=eks.CfnAccessEntry.AccessScopeProperty(type="cluster"),
        )
        return self._grant(grantee, None, username, access_policies=[policy])

    def grant_group(self, grantee: iam.IRole, group: str, username: str | None = None) -> iam.Grant:
        """Make ``grantee`` a member of the Kubernetes group ``group``."""
        if not group.strip():
            raise ConfigurationError(f"{self.node.path}: group is empty; name the group that a binding names")
        if group.startswith(_RESERVED):
            raise ConfigurationError(f"{self.node.path}: group {group!r} is reserved by EKS; name one of your own")
        return self._grant(grantee, group, username, kubernetes_groups=[group])

    def grant_user(self, grantee: iam.IRole, username: str) -> iam.Grant:
        """Give ``grantee`` the user name ``username``."""
        return self._grant(grantee, None, username)

    def _grant(
        self,
        grantee: iam.IRole,
        group: str | None,
        username: str | None,
        *,
        access_policies: Sequence[eks.CfnAccessEntry.AccessPolicyProperty] | None = None,
        kubernetes_groups: Sequence[str] | None = None,
    ) -> iam.Grant:
        arn = grantee.role_arn
        if username is not None and not username.strip():
            raise ConfigurationError(f"{self.node.path}: username is empty; leave it out or name one")
        if username and username.startswith(_RESERVED):
            raise ConfigurationError(f"{self.node.path}: username {username!r} is reserved by EKS; choose another")
        if arn in self._groups:
            raise ConfigurationError(
                f"{self.node.path}: {grantee.node.path} already has access"
                f"{f' as {self._groups[arn]}' if self._groups[arn] else ''}; "
                "EKS keeps one entry for each role, so grant it once"
            )
        self._groups[arn] = group
        unique = Names.node_unique_id(grantee.node)  # no position: EKS refuses two entries of one principal
        entry = eks.CfnAccessEntry(
            self,
            unique,
            cluster_name=self._cluster.cluster_name,
            principal_arn=arn,
            access_policies=access_policies,
            kubernetes_groups=kubernetes_groups,
            username=username,
        )
        return iam.Grant.add_to_principal(
            grantee=_AccessHolder(entry, self._policy(grantee, unique, entry)),
            actions=["eks:DescribeCluster"],
            resource_arns=[self._cluster.cluster_arn],
        )

    def _policy(self, grantee: iam.IRole, id: str, entry: eks.CfnAccessEntry) -> iam.Policy | None:
        """The policy with the permission to find the cluster; none for an imported role, which others may manage.

        It is created here, because a policy in the role's stack would make that stack depend on this one, whose entry
        depends on the role. Its name contains the cluster, because policy names are unique within a role.
        """
        if not isinstance(grantee, iam.Role):
            return None
        name = Names.unique_resource_name(self, max_length=100, separator="-")
        policy = iam.Policy(self, f"{id}Find", policy_name=name, roles=[grantee])
        policy.node.add_dependency(entry)
        return policy

    def _break_glass_role(self, principals: Sequence[str]) -> iam.Role:
        """The role for emergencies.

        Its trust policy names the account and narrows it by condition: a principal that is named directly must exist
        when the role is created, and loses its access when it is deleted and created again.
        """
        conditions: dict[str, dict[str, str | list[str]]] = {"Bool": {"aws:MultiFactorAuthPresent": "true"}}
        if principals:
            conditions["ArnEquals"] = {"aws:PrincipalArn": list(principals)}
        role = iam.Role(
            self,
            "BreakGlass",
            description="Administers the cluster in an emergency; every use is an alarm",
            assumed_by=iam.AccountRootPrincipal().with_conditions(conditions),
            max_session_duration=Duration.hours(1),
        )
        return role


@jsii.implements(iam.IPrincipal)
class _AccessHolder:
    """The principal behind an access entry, so that a grant can be ordered by the entry."""

    def __init__(self, entry: eks.CfnAccessEntry, policy: iam.Policy | None) -> None:
        self._entry, self._policy = entry, policy

    @property
    @jsii.member(jsii_name="grantPrincipal")
    def grant_principal(self) -> iam.IPrincipal:
        return cast(iam.IPrincipal, self)

    @property
    @jsii.member(jsii_name="assumeRoleAction")
    def assume_role_action(self) -> str:
        return "sts:AssumeRole"

    @property
    @jsii.member(jsii_name="policyFragment")
    def policy_fragment(self) -> iam.PrincipalPolicyFragment:
        return iam.PrincipalPolicyFragment({})

    @property
    @jsii.member(jsii_name="principalAccount")
    def principal_account(self) -> str:
        return Stack.of(self._entry).account

    @jsii.member(jsii_name="addToPrincipalPolicy")
    def add_to_principal_policy(self, statement: iam.PolicyStatement) -> iam.AddToPrincipalPolicyResult:
        if self._policy:
            self._policy.add_statements(statement)
        return iam.AddToPrincipalPolicyResult(statement_added=True, policy_dependable=self._policy or self._entry)
