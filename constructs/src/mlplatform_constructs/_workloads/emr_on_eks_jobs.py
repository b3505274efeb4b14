from aws_cdk import aws_emrcontainers as emrcontainers
from aws_cdk import aws_iam as iam
from constructs import Construct

from .._arguments import checked
from .._security.account_grant import Permission, grant_permissions


class EmrOnEksJobs(Construct):
    """A virtual cluster of EMR on EKS: a namespace of a cluster in which EMR runs Spark.

    EMR creates its own access entry in the cluster. The jobs' service accounts get ``execution_role`` by the workload
    identity of the cluster.

    :param cluster_name: of the EKS cluster.
    :param namespace: that exists in it, for these jobs alone.
    :param execution_role: of the jobs; grant it their data and logs.
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        cluster_name: str,
        namespace: str,
        execution_role: iam.IRole | iam.Role,
    ) -> None:
        super().__init__(scope, id)
        self.execution_role = execution_role
        container = emrcontainers.CfnVirtualCluster.ContainerInfoProperty
        self.virtual_cluster = emrcontainers.CfnVirtualCluster(
            self,
            "VirtualCluster",
            name=f"{self.node.id}-{self.node.addr[-8:]}",
            container_provider=emrcontainers.CfnVirtualCluster.ContainerProviderProperty(
                id=cluster_name,
                type="EKS",
                info=container(eks_info=emrcontainers.CfnVirtualCluster.EksInfoProperty(namespace=namespace)),
            ),
        )

    @checked
    def grant_run(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to start jobs with ``execution_role``, and to follow and cancel them."""
        arn, role = self.virtual_cluster.attr_arn, self.execution_role.role_arn
        return grant_permissions(
            self,
            grantee,
            [
                Permission(
                    actions=["emr-containers:StartJobRun"],
                    resources=[arn],
                    conditions={"ArnEquals": {"emr-containers:ExecutionRoleArn": role}},
                ),
                Permission(
                    actions=["emr-containers:CancelJobRun", "emr-containers:DescribeJobRun"],
                    resources=[f"{arn}/jobruns/*"],
                    why="AWS names the runs of the virtual cluster",
                ),
            ],
        )
