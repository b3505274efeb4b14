import ipaddress
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, ClassVar, cast

import jsii
from aws_cdk import Acknowledgment, CfnResource, RemovalPolicy, Stack, Tags, Validations
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct, DependencyGroup

from .._arguments import ConfigurationError, checked, is_token
from .._security.service_principal import service_principal

_MOST_ZONES = 6
_PRIVATE = "Private"
_PUBLIC = "Public"
_GLOBAL_REGION = "us-east-1"
_PRIVATE_RANGES = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")


class NatGateways(Enum):
    """How private subnets reach the internet. A gateway is billed by the hour and by the gigabyte."""

    PER_ZONE = "per_zone"
    """A gateway in each zone: the loss of a zone affects only its own egress, and no traffic crosses zones."""

    SINGLE = "single"
    """One gateway, in the first zone: one hourly price. All zones lose egress with that zone, and traffic of the others
    is billed across zones. For accounts that tolerate an outage."""

    NONE = "none"
    """No route to the internet. Needs an interface endpoint for each AWS service that is called, and every image in a
    registry of the same Region."""


class FlowLogs(Enum):
    """Which connections are logged. CloudWatch Logs bills each gigabyte that it takes in."""

    ALL = "all"
    """Every connection, for investigations. Clusters that read much data log gigabytes a day."""

    REJECTED = "rejected"
    """Connections that a security group or network ACL rejected: scans, and rules that are missing."""

    NONE = "none"
    """No connection."""


_TRAFFIC = {FlowLogs.ALL: ec2.FlowLogTrafficType.ALL, FlowLogs.REJECTED: ec2.FlowLogTrafficType.REJECT}


class Network(Construct):
    """A VPC with one public and one private subnet of the same size in each zone.

    Address plan, in eighths of ``cidr``. It does not depend on the number of zones, so that adding a zone at the end of
    ``availability_zones`` moves no subnet:

    - 1 to 6: the private subnets of zones 1 to 6, for nodes and pods. The VPC CNI assigns each pod its own address; of
      a /16 each zone gets a /19, 8187 usable addresses.
    - 7: divided into eighths, the public subnets of zones 1 to 6, for load balancers and NAT gateways; of a /16 a /22.
    - 8: reserved.

    Private subnets are tagged for internal load balancers and for Karpenter, public ones for internet-facing load
    balancers. ``discovery_tags`` holds Karpenter's tag: its value names this network, not a cluster, because all
    clusters of the network share the subnets. For the same reason no subnet has a ``kubernetes.io/cluster/...`` tag,
    which would reserve it; the load balancer controller does not need that tag since 2.1.2.

    Resources that call AWS from a private subnet immediately after their creation must depend on ``connectivity``.

    S3 and DynamoDB have gateway endpoints, which are free. Flow logs are written to ``flow_log_group``. The default
    security group allows nothing.

    In a stack with a fixed account, override ``Stack.availability_zones`` with these zones; otherwise the CDK looks up
    the zones of the account at synthesis.

    :param availability_zones: names of two to six zones, such as ``eu-west-1a``. Add new ones at the end.
    :param cidr: private IPv4 address space of the VPC, /16 to /21. Default: ``10.0.0.0/16``.
    :param nat_gateways: internet access of private subnets. Default: a NAT gateway in each zone.
    :param interface_endpoints: AWS services with a private endpoint, as in ``com.amazonaws.<region>.<name>``;
        ``Network.CLUSTER_ENDPOINTS`` are those that clusters need. Each is billed by the hour in each zone. Default:
        none.
    :param flow_logs: which connections are logged. Default: rejected ones.
    :param log_retention: retention of flow logs. Default: a year.
    :param log_encryption_key: encrypts the flow logs; its policy must admit CloudWatch Logs, as that of
        ``EncryptionKeys.logs`` does. Default: CloudWatch's own key.
    :param removal_policy: removal policy of the flow logs. Default: RETAIN.
    """

    CLUSTER_ENDPOINTS: ClassVar[Sequence[str]] = (
        "autoscaling",  # Cluster Autoscaler
        "cloudformation",  # instances that signal that they are up
        "ec2",  # nodes, VPC CNI, EBS CSI driver, Karpenter
        "ecr.api",  # image pulls; layers come from S3
        "ecr.dkr",
        "eks",  # nodes that join, the kubectl handler
        "eks-auth",  # Pod Identity agent
        "elasticfilesystem",  # EFS CSI driver
        "elasticloadbalancing",  # load balancer controller
        "fsx",  # FSx CSI driver
        "kms",
        "lambda",  # the kubectl handler's framework calls the handler
        "logs",
        "secretsmanager",
        "sqs",  # interruption notices for Karpenter and the node termination handler
        "ssm",
        "ssmmessages",  # Session Manager
        "sts",  # roles for service accounts
    )
    """What EKS clusters, their add-ons, the CDK's kubectl handler and Session Manager call.

    https://docs.aws.amazon.com/eks/latest/userguide/private-clusters.html
    """

    DATA_ENDPOINTS: ClassVar[Sequence[str]] = (
        "athena",  # queries of offline features
        "glue",  # their tables
        "kinesis-streams",  # producers of events
    )
    """What programs of a feature store call from inside the VPC."""

    GLOBAL_ENDPOINTS: ClassVar[Sequence[str]] = ("iam", "route53")
    """Endpoints for Karpenter (instance profiles), external-dns and cert-manager (records): one endpoint service for
    all Regions of AWS's commercial partition, in us-east-1, with cross-Region access.

    https://docs.aws.amazon.com/vpc/latest/privatelink/aws-services-cross-region-privatelink-support.html
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        availability_zones: Sequence[str],
        cidr: str = "10.0.0.0/16",
        nat_gateways: NatGateways = NatGateways.PER_ZONE,
        interface_endpoints: Sequence[str] = (),
        flow_logs: FlowLogs = FlowLogs.REJECTED,
        log_encryption_key: kms.IKey | kms.Key | None = None,
        log_retention: logs.RetentionDays = logs.RetentionDays.ONE_YEAR,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, id)
        self._check_zones(availability_zones)
        self._check_cidr(cidr)
        self._check_endpoints(nat_gateways, interface_endpoints)

        self._cidr = cidr
        self._services: set[str] = set()
        self._endpoints = Construct(self, "InterfaceEndpoints")
        self._endpoint_security_group: ec2.SecurityGroup | None = None
        self.vpc = self._vpc(availability_zones, nat_gateways)
        public, private = self.vpc.public_subnets, self.vpc.private_subnets
        self.connectivity = DependencyGroup(
            self.vpc.node.find_child("S3"),
            self._endpoints,  # with all that it will hold
            *(subnet.internet_connectivity_established for subnet in private),
        )
        self.discovery_tags = {"karpenter.sh/discovery": self.node.path}
        self._tag(public, {"kubernetes.io/role/elb": "1"})
        self._tag(private, {"kubernetes.io/role/internal-elb": "1", **self.discovery_tags})
        self._name_dns_server()
        self.flow_log_group: logs.LogGroup | None = None
        """Log group of flow logs; None without them."""
        if flow_logs is FlowLogs.NONE:
            self._acknowledge_missing_flow_logs()
        else:
            self.flow_log_group = logs.LogGroup(
                self,
                "FlowLogGroup",
                retention=log_retention,
                encryption_key=log_encryption_key,
                removal_policy=removal_policy,
            )
            self._write_flow_logs(self.flow_log_group, flow_logs)
        self._own_logs_of_the_default_group_handler(log_encryption_key)
        for service in interface_endpoints:
            self.add_interface_endpoint(service)

    @checked
    def add_interface_endpoint(self, service: str) -> ec2.InterfaceVpcEndpoint:
        """Reach ``com.amazonaws.<region>.<service>`` by its usual name from anywhere in the VPC, on port 443.

        One of ``GLOBAL_ENDPOINTS`` is ``com.amazonaws.<service>`` of us-east-1.
        """
        if service in self._services:
            raise ConfigurationError(f"{self.node.path}: endpoint {service!r} already exists; name each service once")
        self._services.add(service)
        if self._endpoint_security_group is None:
            self._endpoint_security_group = ec2.SecurityGroup(
                self._endpoints,
                "SecurityGroup",
                vpc=self.vpc,
                description="Interface endpoints",
                allow_all_outbound=False,
            )
            self._endpoint_security_group.add_ingress_rule(
                ec2.Peer.ipv4(self._cidr), ec2.Port.HTTPS, "AWS APIs for the VPC"
            )
        everywhere = service in self.GLOBAL_ENDPOINTS
        return ec2.InterfaceVpcEndpoint(
            self._endpoints,
            service,
            vpc=self.vpc,
            service=ec2.InterfaceVpcEndpointAwsService(
                service, "com.amazonaws" if everywhere else None, global_=everywhere
            ),
            service_region=_GLOBAL_REGION if everywhere and Stack.of(self).region != _GLOBAL_REGION else None,
            security_groups=[self._endpoint_security_group],
            open=False,
        )

    def _vpc(self, availability_zones: Sequence[str], nat_gateways: NatGateways) -> ec2.Vpc:
        gateways = {NatGateways.PER_ZONE: len(availability_zones), NatGateways.SINGLE: 1, NatGateways.NONE: 0}
        endpoints = {
            "S3": ec2.GatewayVpcEndpointAwsService.S3,
            "DynamoDB": ec2.GatewayVpcEndpointAwsService.DYNAMODB,
        }
        vpc = ec2.Vpc(
            self,
            "Vpc",
            availability_zones=list(availability_zones),
            ip_addresses=_AddressPlan(self._cidr),
            enable_dns_hostnames=True,
            enable_dns_support=True,
            nat_gateways=gateways[nat_gateways],
            subnet_configuration=[
                ec2.SubnetConfiguration(name=_PUBLIC, subnet_type=ec2.SubnetType.PUBLIC, map_public_ip_on_launch=False),
                # Even without NAT: ids and subnets do not change with the egress, and clusters select them as before.
                ec2.SubnetConfiguration(name=_PRIVATE, subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
            ],
            gateway_endpoints={id: ec2.GatewayVpcEndpointOptions(service=service) for id, service in endpoints.items()},
            restrict_default_security_group=True,
        )
        Validations.of(vpc).acknowledge(
            Acknowledgment(id="CloudFormation-Validate::W3010", reason="zones are named: synthesis asks no account")
        )
        return vpc

    @staticmethod
    def _tag(subnets: Sequence[ec2.ISubnet], tags: Mapping[str, str]) -> None:
        for subnet in subnets:
            of_subnet = Tags.of(subnet)
            for key, value in tags.items():
                of_subnet.add(key, value, include_resource_types=["AWS::EC2::Subnet"])

    def _name_dns_server(self) -> None:
        """Private endpoints of EKS resolve only where DHCP names AWS's own DNS server.

        https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html
        """
        region = Stack.of(self).region
        domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
        options = ec2.CfnDHCPOptions(
            self,
            "DhcpOptions",
            domain_name=None if is_token(region) else domain,
            domain_name_servers=["AmazonProvidedDNS"],
        )
        ec2.CfnVPCDHCPOptionsAssociation(
            self, "DhcpOptionsAssociation", vpc_id=self.vpc.vpc_id, dhcp_options_id=options.ref
        )

    def _acknowledge_missing_flow_logs(self) -> None:
        reason = "disabled flow logs were requested"
        Validations.of(self.vpc).acknowledge(Acknowledgment(id="AwsSolutions-VPC7", reason=reason))

    def _write_flow_logs(self, log_group: logs.LogGroup, flow_logs: FlowLogs) -> None:
        role = iam.Role(
            self,
            "FlowLogRole",
            assumed_by=service_principal(self, "vpc-flow-logs.amazonaws.com"),
        )
        self.vpc.add_flow_log(
            "FlowLog",
            destination=ec2.FlowLogDestination.to_cloud_watch_logs(log_group, role),
            traffic_type=_TRAFFIC[flow_logs],
        )

    def _own_logs_of_the_default_group_handler(self, log_encryption_key: kms.IKey | None) -> None:
        """The CDK's function that closes the default security group would leave its log group behind."""
        group = logs.LogGroup(
            self,
            "DefaultGroupHandlerLogGroup",
            retention=logs.RetentionDays.ONE_MONTH,
            encryption_key=log_encryption_key,
            removal_policy=RemovalPolicy.DESTROY,
        )
        provider = Stack.of(self).node.find_child("Custom::VpcRestrictDefaultSGCustomResourceProvider")
        handler = cast(CfnResource, provider.node.find_child("Handler"))
        handler.add_property_override("LoggingConfig.LogGroup", group.log_group_name)

    def _check_zones(self, zones: Sequence[str]) -> None:
        named = [zone for zone in zones if not is_token(zone)]
        region = Stack.of(self).region
        foreign = [zone for zone in named if not is_token(region) and not zone.startswith(region)]
        problem = ""
        if not 2 <= len(zones) <= _MOST_ZONES:
            problem = f"must be 2 to {_MOST_ZONES}, got {len(zones)}; EKS needs two, the plan holds six"
        elif len(set(named)) != len(named):
            problem = f"names a zone twice: {', '.join(named)}; name each zone once"
        elif foreign:
            problem = f"must be of {region}, got {', '.join(foreign)}; name zones of the stack's region"
        if problem:
            raise ConfigurationError(f"{self.node.path}: availability_zones {problem}")

    def _check_cidr(self, cidr: str) -> None:
        try:
            block = ipaddress.IPv4Network(cidr)
        except ValueError as error:
            raise ConfigurationError(
                f"{self.node.path}: cidr must be a network such as 10.0.0.0/16, got {cidr}: {error}"
            ) from None
        if not any(block.subnet_of(ipaddress.IPv4Network(private)) for private in _PRIVATE_RANGES):
            raise ConfigurationError(
                f"{self.node.path}: cidr must be private, got {cidr}; use a part of {_PRIVATE_RANGES[0]}"
            )
        if not 16 <= block.prefixlen <= 21:
            raise ConfigurationError(
                f"{self.node.path}: cidr must be /16 to /21, got {cidr}; AWS makes no larger VPC, and load balancers "
                "need a /27 in each zone"
            )

    def _check_endpoints(self, nat_gateways: NatGateways, services: Sequence[str]) -> None:
        missing = [service for service in self.CLUSTER_ENDPOINTS if service not in services]
        if nat_gateways is NatGateways.NONE and missing:
            raise ConfigurationError(
                f"{self.node.path}: interface_endpoints lacks {', '.join(missing)}; without NAT gateways nothing else "
                "leads there, pass Network.CLUSTER_ENDPOINTS"
            )
        if len(set(services)) != len(services):
            raise ConfigurationError(
                f"{self.node.path}: interface_endpoints names a service twice: {', '.join(services)}; name each once"
            )


@jsii.implements(ec2.IIpAddresses)
class _AddressPlan:
    """The subnets that ``Network`` documents, in the CDK's format."""

    def __init__(self, cidr: str) -> None:
        eighths = list(ipaddress.IPv4Network(cidr).subnets(prefixlen_diff=3))
        self._cidr = cidr
        self._blocks = {_PRIVATE: eighths[:_MOST_ZONES], _PUBLIC: list(eighths[_MOST_ZONES].subnets(prefixlen_diff=3))}

    @jsii.member(jsii_name="allocateVpcCidr")
    def allocate_vpc_cidr(self) -> ec2.VpcIpamOptions:
        return ec2.VpcIpamOptions(cidr_block=self._cidr)

    @jsii.member(jsii_name="allocateSubnetsCidr")
    def allocate_subnets_cidr(
        self, *, requested_subnets: Sequence[ec2.RequestedSubnet | dict[str, Any]], vpc_cidr: str
    ) -> ec2.SubnetIpamOptions:
        rest = {name: iter(blocks) for name, blocks in self._blocks.items()}
        subnets = cast(Sequence[ec2.RequestedSubnet], requested_subnets)
        return ec2.SubnetIpamOptions(
            allocated_subnets=[
                ec2.AllocatedSubnet(cidr=str(next(rest[subnet.configuration.name]))) for subnet in subnets
            ]
        )
