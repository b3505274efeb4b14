"""Who may do what in a cluster, as access entries."""

from collections.abc import Sequence

from aws_cdk import Duration, Names, Stack
from aws_cdk import aws_eks_v2 as eks
from aws_cdk import aws_iam as iam
from constructs import Construct

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

    def grant_admin(self, principal: iam.IRole, username: str | None = None) -> None:
        """Let ``principal`` do everything in the cluster, by EKS's own policy, which no RBAC object can take away."""
        policy = eks.CfnAccessEntry.AccessPolicyProperty(
            policy_arn=f"arn:{Stack.of(self).partition}:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
            access_scope=eks.CfnAccessEntry.AccessScopeProperty(type="cluster"),
        )
        self._entry(principal, None, username, access_policies=[policy])

    def grant_group(self, principal: iam.IRole, group: str, username: str | None = None) -> None:
        """Make ``principal`` a member of the Kubernetes group ``group``."""
        if group.startswith(_RESERVED):
            raise ValueError(f"{self.node.path}: group {group!r} is reserved by EKS; name one of your own")
        self._entry(principal, group, username, kubernetes_groups=[group])

    def grant_user(self, principal: iam.IRole, username: str) -> None:
        """Make ``principal`` known as ``username``."""
        self._entry(principal, None, username)

    def _entry(
        self,
        principal: iam.IRole,
        group: str | None,
        username: str | None,
        *,
        access_policies: Sequence[eks.CfnAccessEntry.AccessPolicyProperty] | None = None,
        kubernetes_groups: Sequence[str] | None = None,
    ) -> None:
        arn = principal.role_arn
        if username and username.startswith(_RESERVED):
            raise ValueError(f"{self.node.path}: username {username!r} is reserved by EKS; choose another")
        if arn in self._groups:
            raise ValueError(
                f"{self.node.path}: {principal.node.path} already has access"
                f"{f' as {self._groups[arn]}' if self._groups[arn] else ''}; "
                "EKS keeps one entry for each role, so grant it once"
            )
        self._groups[arn] = group
        eks.CfnAccessEntry(
            self,
            Names.node_unique_id(principal.node),  # not a position: EKS refuses a second entry for the same principal
            cluster_name=self._cluster.cluster_name,
            principal_arn=arn,
            access_policies=access_policies,
            kubernetes_groups=kubernetes_groups,
            username=username,
        )

    def _break_glass_role(self, principals: Sequence[str]) -> iam.Role:
        """A role for the day when nobody else gets in.

        The trust names the account and narrows it by condition: a principal that is named directly must exist when the
        role is made, and would be forgotten when it is made anew.
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
        role.add_to_policy(iam.PolicyStatement(actions=["eks:DescribeCluster"], resources=[self._cluster.cluster_arn]))
        return role
