from collections.abc import Mapping, Sequence

from aws_cdk import CfnOutput, RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from constructs import Construct

from charts.cluster_access import OPERATORS, VIEWERS
from config.clusters import Cluster as ClusterSettings
from config.clusters import NodeGroup
from config.schema import Logs
from mlplatform_constructs import (
    Bastion,
    EncryptionKeys,
    KubernetesCluster,
    KubernetesRelease,
    NodeGroupSpec,
    VpcCni,
    WorkloadIdentity,
)
from stacks.cluster_person import ClusterPerson
from stacks.log_retention import log_retention
from stacks.weak_reference import weak_reference


class ClusterStack(Stack):
    """A cluster with its nodes, let in by the bastion, and open to the roles of the account file.

    - ``cluster``: the cluster; ``cluster.access_groups`` are the Kubernetes groups that need bindings.
    - ``identity``: how its pods get AWS roles.

    :param addresses_in_use: addresses by zone that the clusters before may take from the same subnets.
    :param people: whom it lets in beside the roles of the account file. Default: nobody.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: ClusterSettings,
        vpc: ec2.IVpc,
        bastion: Bastion,
        keys: EncryptionKeys,
        logs: Logs,
        addresses_in_use: Mapping[str, int],
        removal_policy: RemovalPolicy,
        people: Sequence[ClusterPerson] = (),
    ) -> None:
        super().__init__(scope, id)
        self.cluster = KubernetesCluster(
            self,
            "Cluster",
            vpc=vpc,
            secrets_encryption_key=keys.cluster_secrets,
            node_groups=[self._node_group(name, group) for name, group in settings.groups.items()],
            version=settings.kubernetes or KubernetesRelease.DEFAULT,
            upgrade_policy=settings.upgrade_policy,
            autoscaler=settings.autoscaler,
            public_access_cidrs=settings.public_access_cidrs,
            vpc_cni=VpcCni(**settings.addresses.model_dump()),
            addresses_in_use=addresses_in_use,
            break_glass_principals=settings.break_glass_principals,
            log_encryption_key=keys.logs,
            log_retention=log_retention(logs),
            deletion_protection=removal_policy is RemovalPolicy.RETAIN,
            removal_policy=removal_policy,
        )
        self.cluster.connections.allow_default_port_from(bastion, "bastion")
        self.cluster.grant_group(bastion.role, OPERATORS)
        self._let_find(bastion.role)
        self._grant_roles(settings)
        self._grant_people(people)
        self.identity = {
            "pod_identity": WorkloadIdentity.pod_identity,
            "irsa": WorkloadIdentity.irsa,
            "kube2iam": WorkloadIdentity.kube2iam,
        }[settings.workload_identity](self.cluster)
        CfnOutput(self, "ClusterName", value=self.cluster.cluster_name)
        CfnOutput(self, "EmergencyRole", value=self.cluster.break_glass_role.role_arn)

    def _let_find(self, role: iam.Role) -> None:
        """What ``aws eks update-kubeconfig`` asks; a policy of this stack, because the role's own knows no cluster.

        Its id makes its name, which must differ from the other clusters': the role keeps one policy of a name.
        """
        find = iam.PolicyStatement(actions=["eks:DescribeCluster"], resources=[self.cluster.cluster.cluster_arn])
        iam.Policy(self, f"BastionFinds{self.node.id}", statements=[find], roles=[role])

    def _grant_people(self, people: Sequence[ClusterPerson]) -> None:
        scope = Construct(self, "KnownPeople")
        for person in people:
            self.add_stack_dependency(Stack.of(person.role))
            # Weak, because somebody who leaves goes from the stack before first.
            arn = weak_reference(person.role, "Arn", person.role.role_arn)
            role = iam.Role.from_role_arn(scope, person.name, arn, mutable=False)
            if person.access == "admin":
                self.cluster.grant_admin(role, username=person.role.email)
            elif person.access:
                group = {"operator": OPERATORS, "viewer": VIEWERS}[person.access]
                self.cluster.grant_group(role, group, username=person.role.email)
            else:
                self.cluster.grant_user(role, person.role.email)

    def _grant_roles(self, settings: ClusterSettings) -> None:
        people = Construct(self, "People")
        for arn in settings.access.admins:
            self.cluster.grant_admin(self._role(people, arn))
        for group, arns in {OPERATORS: settings.access.operators, VIEWERS: settings.access.viewers}.items():
            for arn in arns:
                self.cluster.grant_group(self._role(people, arn), group)

    def _node_group(self, name: str, settings: NodeGroup) -> NodeGroupSpec:
        try:
            return NodeGroupSpec(name=name, **settings.model_dump())
        except ValueError as error:
            raise ValueError(f"{self.node.path}: {error}") from None

    @staticmethod
    def _role(scope: Construct, arn: str) -> iam.IRole:
        _, _, _, _, account, name = arn.split(":", 5)
        return iam.Role.from_role_arn(scope, f"{account}-{name.replace('/', '-')}", arn, mutable=False)
