from collections.abc import Sequence

from aws_cdk import aws_ec2 as ec2
from constructs import Construct, IDependable

from charts.edge.load_balancer_controller.values import NAME, NAMESPACE, load_balancer_controller_values
from mlplatform_constructs import ProvidedObjects

from ..._wiring.installer import Installer


class LoadBalancing(Construct):
    """The AWS Load Balancer Controller: load balancers for Ingresses and Services, and pods as targets of any.

    Its webhooks admit every Service and Ingress, so whatever creates one depends on ``after``.

    It may change only what carries the tag ``elbv2.k8s.aws/cluster`` with the cluster's name, which it gives to all
    that it creates. A target group that is created elsewhere needs the tag, too, in order to be bound to pods.

    - ``after``: the controller answers its webhooks from here on.

    :param isolated: whether AWS services without an endpoint in the network are out of reach.
    :param before: what creates Services and must be deployed first.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        installer: Installer,
        vpc: ec2.IVpc,
        isolated: bool,
        before: Sequence[IDependable],
    ) -> None:
        super().__init__(scope, id)
        role = installer.role(self, "Controller", "load-balancer-controller")
        installer.cluster.grant_manage_load_balancers(role)
        release = installer.release(
            self,
            "Release",
            NAME,
            namespace=NAMESPACE,
            values=load_balancer_controller_values(
                images=installer.images,
                cluster_name=installer.cluster.cluster_name,
                region=installer.region,
                vpc_id=vpc.vpc_id,
                isolated=isolated,
                placement=installer.placement,
            ),
            after=[*installer.settled(role), *before],
        )
        self.after: IDependable = ProvidedObjects(
            self,
            "Kinds",
            cluster=installer.cluster.cluster,
            by=release,
            definitions=installer.catalog.definitions("edge/load_balancer_controller"),
        )
