from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_route53 as route53
from constructs import Construct

from config.network import Bastion as BastionSettings
from config.network import Network as NetworkSettings
from config.schema import Logs
from mlplatform_constructs import Bastion, HostedZones, NatGateways, Network
from stacks.log_retention import log_retention


class NetworkStack(Stack):
    """The VPC with its ways in and out, and the names of the platform."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: NetworkSettings,
        bastion: BastionSettings,
        logs: Logs,
        log_key: kms.IKey,
        removal_policy: RemovalPolicy,
    ) -> None:
        self._zones = list(settings.availability_zones)  # before the base class, which may ask for them
        super().__init__(scope, id)
        self.network = Network(
            self,
            "Network",
            cidr=settings.cidr,
            availability_zones=self._zones,
            nat_gateways=NatGateways(settings.nat),
            interface_endpoints=Network.CLUSTER_ENDPOINTS if settings.interface_endpoints else (),
            flow_log_retention=log_retention(logs),
            encryption_key=log_key,
            removal_policy=removal_policy,
        )
        self.bastion = Bastion(
            self,
            "Bastion",
            vpc=self.network.vpc,
            highly_available=bastion.highly_available,
            instance_type=ec2.InstanceType(bastion.instance_type),
        )
        self.bastion.auto_scaling_group.node.add_dependency(self.network.connectivity)
        self.hosted_zones = self._hosted_zones(settings, removal_policy)

    @property
    def availability_zones(self) -> list[str]:
        """The zones of the account file; the CDK would ask the account for them at synthesis."""
        return self._zones

    def _hosted_zones(self, settings: NetworkSettings, removal_policy: RemovalPolicy) -> HostedZones | None:
        if not settings.domain:
            return None
        root_id = settings.root_zone_id
        return HostedZones(
            self,
            "Zones",
            domain=settings.domain,
            vpc=self.network.vpc,
            parent_zone=route53.HostedZone.from_hosted_zone_id(self, "RootZone", root_id) if root_id else None,
            removal_policy=removal_policy,
        )
