from collections.abc import Mapping, Sequence

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from constructs import Construct

from charts.base.cluster_access.objects import OPERATORS, VIEWERS
from config.clusters import Cluster as ClusterSettings
from mlplatform_constructs import (
    Bastion,
    KubernetesCluster,
    KubernetesRelease,
    VpcCni,
    WorkloadIdentity,
)
from stacks._wiring.accounts import node_group_spec
from stacks._wiring.cluster_person import ClusterPerson
from stacks._wiring.data_protection import DataProtection
from stacks._wiring.output_reference import output_reference, refer_by_output


class ClusterStack(Stack):
    """A cluster with its nodes, with access for the bastion and for the roles in the account file.

    - ``cluster``: the cluster; ``cluster.access_groups`` are the Kubernetes groups that need bindings.
    - ``identity``: how its pods get AWS roles.

    :param alarm_topic: receives the alarms of the cluster.
    :param addresses_in_use: addresses by zone that previous clusters can use in the same subnets.
    :param people: people with access, in addition to the roles in the account file. Default: none.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: ClusterSettings,
        vpc: ec2.IVpc,
        bastion: Bastion,
        protection: DataProtection,
        alarm_topic: sns.ITopic,
        addresses_in_use: Mapping[str, int],
        people: Sequence[ClusterPerson] = (),
    ) -> None:
        super().__init__(scope, id)
        self.cluster = KubernetesCluster(
            self,
            "Cluster",
            vpc=vpc,
            secrets_encryption_key=protection.keys.cluster_secrets,
            node_groups=[node_group_spec(name, settings) for name in settings.groups],
            version=settings.kubernetes or KubernetesRelease.DEFAULT,
            upgrade_policy=settings.upgrade_policy,
            autoscaler=settings.autoscaler,
            public_access_cidrs=settings.public_access_cidrs,
            service_cidr=settings.service_cidr,
            vpc_cni=VpcCni(**settings.addresses.model_dump()),
            addresses_in_use=addresses_in_use,
            alarm_topic=alarm_topic,
            break_glass_principals=settings.break_glass_principals,
            deletion_protection=protection.deletion_protection,
            removal_policy=protection.removal_policy,
            **protection.logs,
        )
        self.cluster.connections.allow_default_port_from(bastion, "bastion")
        self.cluster.grant_group(bastion.role, VIEWERS)
        self._grant_roles(settings)
        self._grant_people(people)
        self.identity = {
            "pod_identity": WorkloadIdentity.pod_identity,
            "irsa": WorkloadIdentity.irsa,
            "kube2iam": WorkloadIdentity.kube2iam,
        }[settings.workload_identity](self.cluster)
        refer_by_output(self.cluster.node_role)  # a setting gives it to Karpenter, or takes it back
        (api_server,) = self.cluster.connections.security_groups
        self.export_value(api_server.security_group_id)  # also without Kubeflow, whose removal ends the last import
        CfnOutput(self, "ClusterName", value=self.cluster.cluster_name)
        CfnOutput(self, "EmergencyRole", value=self.cluster.break_glass_role.role_arn)

    def _grant_people(self, people: Sequence[ClusterPerson]) -> None:
        scope = Construct(self, "KnownPeople")
        for person in people:
            self.add_stack_dependency(Stack.of(person.role))
            # Not an export: the stack before loses a person who leaves first.
            arn = output_reference(person.role, "Arn", person.role.role_arn)
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

    @staticmethod
    def _role(scope: Construct, arn: str) -> iam.IRole:
        _, _, _, _, account, name = arn.split(":", 5)
        return iam.Role.from_role_arn(scope, f"{account}-{name.replace('/', '-')}", arn, mutable=False)
