from collections.abc import Sequence

from aws_cdk import Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_route53 as route53
from constructs import Construct

from config.network import Bastion as BastionSettings
from config.network import Network as NetworkSettings
from config.section import Section
from config.workloads import Workloads
from mlplatform_constructs import (
    Bastion,
    EmrJobs,
    EmrServerlessJobs,
    FlowLogs,
    HostedZones,
    NatGateways,
    Network,
    SageMakerJobs,
)
from stacks._wiring.data_protection import DataProtection
from stacks._wiring.output_reference import refer_by_output


class NetworkStack(Stack):
    """The VPC with its subnets, gateways and endpoints, the bastion, and the hosted zones of the platform.

    - ``vpc``, ``bastion``, ``hosted_zones``: what other stacks use; without ``network.domain`` there are no zones.
    - ``discovery_tags``: tags of the subnets in which Karpenter may create nodes.

    :param workloads: jobs that pipelines start. A closed network gets endpoints of their services.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: NetworkSettings,
        workloads: Workloads,
        bastion: BastionSettings,
        protection: DataProtection,
    ) -> None:
        self._zones = list(settings.availability_zones)  # before the base class, which may read them
        super().__init__(scope, id)
        network = Network(
            self,
            "Network",
            cidr=settings.cidr,
            availability_zones=self._zones,
            nat_gateways=NatGateways(settings.nat),
            interface_endpoints=_endpoints(settings, workloads),
            flow_logs=FlowLogs(settings.flow_logs),
            log_encryption_key=protection.keys.logs,
            log_retention=protection.log_retention,
            removal_policy=protection.removal_policy,
        )
        self.vpc = network.vpc
        self.discovery_tags = network.discovery_tags
        self.bastion = Bastion(
            self,
            "Bastion",
            vpc=self.vpc,
            highly_available=bastion.highly_available,
            instance_type=ec2.InstanceType(bastion.instance_type),
        )
        self.bastion.auto_scaling_group.node.add_dependency(network.connectivity)
        self.hosted_zones = self._hosted_zones(settings, protection)
        # A setting can remove these or their users; all other network resources exist as long as their users.
        refer_by_output(*self.vpc.public_subnets, self.bastion, *([self.hosted_zones] if self.hosted_zones else []))

    @property
    def availability_zones(self) -> list[str]:
        """The zones of the account file; the CDK would ask the account for them at synthesis."""
        return self._zones

    def _hosted_zones(self, settings: NetworkSettings, protection: DataProtection) -> HostedZones | None:
        if not settings.domain:
            return None
        root_id = settings.root_zone_id
        return HostedZones(
            self,
            "Zones",
            domain=settings.domain,
            vpc=self.vpc,
            parent_zone=route53.HostedZone.from_hosted_zone_id(self, "RootZone", root_id) if root_id else None,
            removal_policy=protection.removal_policy,
        )


def _endpoints(settings: NetworkSettings, workloads: Workloads) -> Sequence[str]:
    """Services that clusters call; without a route to the internet, also those that programs and controllers call."""
    if not settings.interface_endpoints:
        return ()
    if settings.nat != "none":
        return Network.CLUSTER_ENDPOINTS
    jobs: Sequence[tuple[Section | None, Sequence[str]]] = [
        (workloads.emr, EmrJobs.ENDPOINTS),
        (workloads.emr_serverless, EmrServerlessJobs.ENDPOINTS),
        (workloads.sagemaker, SageMakerJobs.ENDPOINTS),
    ]
    return [
        *Network.CLUSTER_ENDPOINTS,
        *Network.DATA_ENDPOINTS,
        *Network.GLOBAL_ENDPOINTS,
        *(name for wanted, endpoints in jobs if wanted for name in endpoints),
    ]
