import ipaddress
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, ClassVar, cast

import jsii
from aws_cdk import Acknowledgment, CfnResource, RemovalPolicy, Stack, Tags, Token, Validations
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct, DependencyGroup

_MOST_ZONES = 6
_PRIVATE = "Private"
_PUBLIC = "Public"
_PRIVATE_RANGES = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")


class NatGateways(Enum):
    """How private subnets reach the internet. A gateway is billed by the hour and by the gigabyte."""

    PER_ZONE = "per_zone"
    """A gateway in each zone: the loss of a zone takes only its own way out, and no traffic crosses zones."""

    SINGLE = "single"
    """One gateway, in the first zone: one hourly price. All zones lose their way out with that zone, and traffic of
    the others is billed across zones. For accounts that may stand still."""

    NONE = "none"
    """No way out. Needs an interface endpoint for each AWS service that is called, and every image in a registry of
    this account. AWS services without an endpoint (IAM, Route 53) stay out of reach of pods."""


class Network(Construct):
    """A VPC with one public and one private subnet in each zone, alike in shape.

    Address plan, in eighths of ``cidr``. It does not depend on the number of zones, so that a zone added at the end of
    ``availability_zones`` moves no subnet:

    - 1 to 6: the private subnet of zone 1 to 6. Nodes and pods live here, and the VPC CNI gives each pod an address of
      its own; of a /16 each zone gets a /19, 8187 usable addresses.
    - 7: cut in eighths again, the public subnet of zone 1 to 6, for load balancers and NAT gateways; of a /16 a /22.
    - 8: free, for what comes later.

    Private subnets are tagged for internal load balancers and for Karpenter, public ones for internet-facing load
    balancers. ``discovery_tags`` holds Karpenter's tag: its value names this network, not a cluster, because all
    clusters of the network share the subnets. For the same reason no subnet has a ``kubernetes.io/cluster/...`` tag,
    which would reserve it; the load balancer controller has done without since 2.1.2.

    Make whatever calls AWS from a private subnet as soon as it is created depend on ``connectivity``.

    S3 and DynamoDB are reached by gateway endpoints, which are free. All traffic is written to ``flow_log_group``. The
    default security group lets nothing in or out.

    In a stack with a fixed account, override ``Stack.availability_zones`` with the zones that are given here; else the
    CDK asks the account for its zones at synthesis.

    :param availability_zones: names of two to six zones, such as ``eu-west-1a``. Add new ones at the end.
    :param cidr: private IPv4 address space of the VPC, /16 to /21. Default: ``10.0.0.0/16``.
    :param nat_gateways: how private subnets reach the internet. Default: a NAT gateway in each zone.
    :param interface_endpoints: AWS services to reach without leaving the VPC, as in ``com.amazonaws.<region>.<name>``;
        ``Network.CLUSTER_ENDPOINTS`` is what clusters call. Each is billed by the hour in each zone. Default: none.
    :param flow_log_retention: how long flow logs are kept. Default: a year.
    :param encryption_key: encrypts the flow logs; its policy lets CloudWatch Logs in, as that of
        ``EncryptionKeys.logs`` does. Default: CloudWatch's own key.
    :param removal_policy: what becomes of the flow logs when the stack goes. Default: they stay.
    """

    CLUSTER_ENDPOINTS: ClassVar[Sequence[str]] = (
        "autoscaling",  # Cluster Autoscaler
        "cloudformation",  # instances that signal that they are up
        "ec2",  # nodes, VPC CNI, EBS CSI driver, Karpenter
        "ec2messages",  # Systems Manager agent
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
        "monitoring",  # CloudWatch metrics
        "secretsmanager",
        "sqs",  # interruption notices for Karpenter and the node termination handler
        "ssm",
        "ssmmessages",  # Session Manager
        "states",  # custom resources that wait
        "sts",  # roles for service accounts
    )
    """What EKS clusters, their add-ons, the CDK's kubectl handler and Session Manager call.

    https://docs.aws.amazon.com/eks/latest/userguide/private-clusters.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        availability_zones: Sequence[str],
        cidr: str = "10.0.0.0/16",
        nat_gateways: NatGateways = NatGateways.PER_ZONE,
        interface_endpoints: Sequence[str] = (),
        flow_log_retention: logs.RetentionDays = logs.RetentionDays.ONE_YEAR,
        encryption_key: kms.IKey | None = None,
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
        self.flow_log_group = logs.LogGroup(
            self,
            "FlowLogGroup",
            retention=flow_log_retention,
            encryption_key=encryption_key,
            removal_policy=removal_policy,
        )
        self._write_flow_logs()
        self._own_logs_of_the_default_group_handler(encryption_key)
        for service in interface_endpoints:
            self.add_interface_endpoint(service)

    def add_interface_endpoint(self, service: str) -> ec2.InterfaceVpcEndpoint:
        """Reach ``com.amazonaws.<region>.<service>`` by its usual name from anywhere in the VPC, on port 443."""
        if service in self._services:
            raise ValueError(f"{self.node.path}: endpoint {service!r} is already here; name each service once")
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
        return ec2.InterfaceVpcEndpoint(
            self._endpoints,
            service,
            vpc=self.vpc,
            service=ec2.InterfaceVpcEndpointAwsService(service),
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
                # Without NAT too: ids and subnets stay when the way out changes, and clusters select them as ever.
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
            domain_name=None if Token.is_unresolved(region) else domain,
            domain_name_servers=["AmazonProvidedDNS"],
        )
        ec2.CfnVPCDHCPOptionsAssociation(
            self, "DhcpOptionsAssociation", vpc_id=self.vpc.vpc_id, dhcp_options_id=options.ref
        )

    def _write_flow_logs(self) -> None:
        role = iam.Role(
            self,
            "FlowLogRole",
            assumed_by=iam.ServicePrincipal(
                "vpc-flow-logs.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            ),
        )
        self.vpc.add_flow_log(
            "FlowLog",
            destination=ec2.FlowLogDestination.to_cloud_watch_logs(self.flow_log_group, role),
            traffic_type=ec2.FlowLogTrafficType.ALL,
        )

    def _own_logs_of_the_default_group_handler(self, encryption_key: kms.IKey | None) -> None:
        """The CDK's function that closes the default security group would leave its log group behind."""
        group = logs.LogGroup(
            self,
            "DefaultGroupHandlerLogGroup",
            retention=logs.RetentionDays.ONE_MONTH,
            encryption_key=encryption_key,
            removal_policy=RemovalPolicy.DESTROY,
        )
        provider = Stack.of(self).node.find_child("Custom::VpcRestrictDefaultSGCustomResourceProvider")
        handler = cast(CfnResource, provider.node.find_child("Handler"))
        handler.add_property_override("LoggingConfig.LogGroup", group.log_group_name)

    def _check_zones(self, zones: Sequence[str]) -> None:
        named = [zone for zone in zones if not Token.is_unresolved(zone)]
        region = Stack.of(self).region
        strangers = [zone for zone in named if not Token.is_unresolved(region) and not zone.startswith(region)]
        problem = ""
        if not 2 <= len(zones) <= _MOST_ZONES:
            problem = f"must be 2 to {_MOST_ZONES}, got {len(zones)}; EKS needs two, the plan holds six"
        elif len(set(named)) != len(named):
            problem = f"names a zone twice: {', '.join(named)}; name each zone once"
        elif strangers:
            problem = f"must be of {region}, got {', '.join(strangers)}; name zones of the stack's region"
        if problem:
            raise ValueError(f"{self.node.path}: availability_zones {problem}")

    def _check_cidr(self, cidr: str) -> None:
        try:
            block = ipaddress.IPv4Network(cidr)
        except ValueError as error:
            raise ValueError(
                f"{self.node.path}: cidr must be a network such as 10.0.0.0/16, got {cidr}: {error}"
            ) from None
        if not any(block.subnet_of(ipaddress.IPv4Network(private)) for private in _PRIVATE_RANGES):
            raise ValueError(f"{self.node.path}: cidr must be private, got {cidr}; use a part of {_PRIVATE_RANGES[0]}")
        if not 16 <= block.prefixlen <= 21:
            raise ValueError(
                f"{self.node.path}: cidr must be /16 to /21, got {cidr}; AWS makes no larger VPC, and load balancers "
                "need a /27 in each zone"
            )

    def _check_endpoints(self, nat_gateways: NatGateways, services: Sequence[str]) -> None:
        missing = [service for service in self.CLUSTER_ENDPOINTS if service not in services]
        if nat_gateways is NatGateways.NONE and missing:
            raise ValueError(
                f"{self.node.path}: interface_endpoints lacks {', '.join(missing)}; without NAT gateways nothing else "
                "leads there, pass Network.CLUSTER_ENDPOINTS"
            )
        if len(set(services)) != len(services):
            raise ValueError(
                f"{self.node.path}: interface_endpoints names a service twice: {', '.join(services)}; name each once"
            )


@jsii.implements(ec2.IIpAddresses)
class _AddressPlan:
    """The plan that ``Network`` documents, in the form in which the CDK asks for it."""

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
