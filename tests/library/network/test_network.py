import ipaddress
from collections.abc import Sequence
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_eks_v2 as eks
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk.assertions import Annotations, Match, Template
from hypothesis import given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import EncryptionKeys, FlowLogs, NatGateways, Network
from tests.compliance import assert_complies

ZONES = ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
Resources = dict[str, dict[str, Any]]


def resources(stack: cdk.Stack, kind: str = "") -> Resources:
    """The resources of one kind, by logical id."""
    every: Resources = Template.from_stack(stack).to_json()["Resources"]
    return {id: each for id, each in every.items() if kind in ("", each["Type"])}


def tags(resource: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in resource["Properties"]["Tags"]}


def subnets(template: Resources, side: str) -> Resources:
    """The public or the private subnets, in the order of the zones."""
    found = {id: each for id, each in template.items() if each["Type"] == "AWS::EC2::Subnet"}
    found = {id: each for id, each in found.items() if tags(each)["aws-cdk:subnet-name"] == side}
    return dict(sorted(found.items(), key=lambda item: str(item[1]["Properties"]["AvailabilityZone"])))


def way_out(template: Resources, subnet: str) -> tuple[str, str]:
    """The target of a subnet's default route: (kind of gateway, logical id), or ("", "")."""
    links = [
        each["Properties"]["RouteTableId"]["Ref"]
        for each in template.values()
        if each["Type"] == "AWS::EC2::SubnetRouteTableAssociation" and each["Properties"]["SubnetId"]["Ref"] == subnet
    ]
    assert len(links) == 1, f"{subnet} has {len(links)} route tables"
    for route in template.values():
        if route["Type"] == "AWS::EC2::Route" and route["Properties"]["RouteTableId"]["Ref"] == links[0]:
            assert route["Properties"]["DestinationCidrBlock"] == "0.0.0.0/0"
            target = route["Properties"].get("NatGatewayId") or route["Properties"]["GatewayId"]
            return template[target["Ref"]]["Type"], target["Ref"]
    return "", ""


def test_defaults(stack: cdk.Stack, snapshot_json: SnapshotAssertion) -> None:
    Network(stack, "Network", availability_zones=ZONES[:2])
    template = Template.from_stack(stack).to_json()["Resources"]
    handler = template["CustomVpcRestrictDefaultSGCustomResourceProviderHandlerDC833E5E"]
    handler["Properties"]["Code"]["S3Key"] = "the hash of the CDK's own handler"
    assert template == snapshot_json


@pytest.mark.promise("zones-alike", "public-and-private-subnets")
@settings(max_examples=20, deadline=None)
@given(zones=st.integers(2, 6), prefix=st.integers(16, 21), nat=st.sampled_from(NatGateways))
def test_every_zone_has_the_same_shape_and_no_two_subnets_overlap(zones: int, prefix: int, nat: NatGateways) -> None:
    stack = cdk.Stack()
    vpc = ipaddress.IPv4Network(f"10.96.0.0/{prefix}")
    Network(
        stack,
        "Network",
        availability_zones=[f"us-east-1{letter}" for letter in "abcdef"[:zones]],
        cidr=str(vpc),
        nat_gateways=nat,
        interface_endpoints=Network.CLUSTER_ENDPOINTS,
    )
    template = resources(stack)
    shapes: dict[str, list[tuple[str, int, bool]]] = {}
    blocks = []
    for side in ("Public", "Private"):
        for subnet in subnets(template, side).values():
            properties = subnet["Properties"]
            block = ipaddress.IPv4Network(properties["CidrBlock"])
            blocks.append(block)
            shape = (side, block.prefixlen, properties["MapPublicIpOnLaunch"])
            shapes.setdefault(properties["AvailabilityZone"], []).append(shape)

    assert len(shapes) == zones
    assert all(shape == [("Public", prefix + 6, False), ("Private", prefix + 3, False)] for shape in shapes.values())
    assert all(block.subnet_of(vpc) for block in blocks)
    assert not [(one, other) for one in blocks for other in blocks if one != other and one.overlaps(other)]
    assert len(set(blocks)) == 2 * zones


def test_a_zone_added_at_the_end_moves_no_subnet() -> None:
    before, after = cdk.Stack(), cdk.Stack()
    Network(before, "Network", availability_zones=ZONES[:2])
    Network(after, "Network", availability_zones=ZONES)
    now = resources(after, "AWS::EC2::Subnet")
    for id, subnet in resources(before, "AWS::EC2::Subnet").items():
        assert now[id] == subnet


@pytest.mark.promise("public-and-private-subnets", "nat-per-zone", "closed-network")
def test_a_private_subnet_reaches_the_internet_by_the_nat_gateway_of_its_own_zone(stack: cdk.Stack) -> None:
    Network(stack, "Network", availability_zones=ZONES)
    template = resources(stack)
    public, private = subnets(template, "Public"), subnets(template, "Private")
    assert len(resources(stack, "AWS::EC2::NatGateway")) == len(ZONES)
    for subnet in public:
        assert way_out(template, subnet)[0] == "AWS::EC2::InternetGateway"
    for subnet, properties in private.items():
        kind, gateway = way_out(template, subnet)
        assert kind == "AWS::EC2::NatGateway"
        home = template[gateway]["Properties"]["SubnetId"]["Ref"]
        assert home in public
        assert template[home]["Properties"]["AvailabilityZone"] == properties["Properties"]["AvailabilityZone"]


@pytest.mark.promise("nat-per-zone")
def test_a_single_nat_gateway_serves_all_zones(stack: cdk.Stack) -> None:
    Network(stack, "Network", availability_zones=ZONES, nat_gateways=NatGateways.SINGLE)
    template = resources(stack)
    ways = {way_out(template, subnet) for subnet in subnets(template, "Private")}
    assert len(ways) == 1
    assert ways.pop()[0] == "AWS::EC2::NatGateway"


@pytest.mark.promise("public-and-private-subnets", "closed-network")
def test_a_closed_network_has_no_internet_access_but_keeps_its_subnets() -> None:
    open_stack, closed_stack = cdk.Stack(), cdk.Stack()
    Network(open_stack, "Network", availability_zones=ZONES)
    closed = Network(
        closed_stack,
        "Network",
        availability_zones=ZONES,
        nat_gateways=NatGateways.NONE,
        interface_endpoints=Network.CLUSTER_ENDPOINTS,
    )
    template = resources(closed_stack)
    assert not resources(closed_stack, "AWS::EC2::NatGateway")
    assert [way_out(template, subnet) for subnet in subnets(template, "Private")] == [("", "")] * len(ZONES)
    assert resources(closed_stack, "AWS::EC2::Subnet") == resources(open_stack, "AWS::EC2::Subnet")
    assert len(closed.vpc.private_subnets) == len(ZONES)  # where clusters and their kubectl handlers look


@pytest.mark.promise("closed-network", "private-api")
def test_a_private_cluster_and_its_kubectl_handler_fit_into_a_closed_network() -> None:
    """The CDK warns about subnets that it considers isolated, and some releases refuse them."""
    stack = cdk.Stack()
    network = Network(
        stack,
        "Network",
        availability_zones=ZONES,
        nat_gateways=NatGateways.NONE,
        interface_endpoints=Network.CLUSTER_ENDPOINTS,
    )
    layer = "arn:aws:lambda:eu-west-1:111111111111:layer:kubectl:1"
    eks.Cluster(
        stack,
        "Cluster",
        vpc=network.vpc,
        version=eks.KubernetesVersion.of("1.34"),
        default_capacity_type=eks.DefaultCapacityType.NODEGROUP,
        default_capacity=0,
        endpoint_access=eks.EndpointAccess.PRIVATE,
        kubectl_provider_options=eks.KubectlProviderOptions(
            kubectl_layer=lambda_.LayerVersion.from_layer_version_arn(stack, "Kubectl", layer)
        ),
    )
    template = resources(stack)
    private = [{"Ref": subnet} for subnet in subnets(template, "Private")]
    inside = [
        each["Properties"]["VpcConfig"]["SubnetIds"]
        for each in resources(stack, "AWS::Lambda::Function").values()
        if "VpcConfig" in each["Properties"]
    ]
    assert inside == [private, private]  # the handler and its framework
    Annotations.from_stack(stack).has_no_warning("*", Match.string_like_regexp("subnet"))


def load_balancer_subnets(template: Resources, role: str, cluster: str) -> Resources:
    """Subnets that the load balancer controller discovers: by role, except those reserved for other clusters."""
    found = {}
    for id, subnet in template.items():
        if subnet["Type"] == "AWS::EC2::Subnet" and tags(subnet).get(role) in ("1", ""):
            reserved = {key for key in tags(subnet) if key.startswith("kubernetes.io/cluster/")}
            if not reserved or f"kubernetes.io/cluster/{cluster}" in reserved:
                found[id] = subnet
    return found


@pytest.mark.promise("subnet-discovery")
@pytest.mark.parametrize("cluster", ["training", "inference"])
def test_controllers_of_every_cluster_discover_the_right_subnets(stack: cdk.Stack, cluster: str) -> None:
    network = Network(stack, "Network", availability_zones=ZONES)
    Network(stack, "Other", availability_zones=ZONES)
    template = resources(stack)
    mine = {id: each for id, each in template.items() if id.startswith("Network")}
    internet_facing = load_balancer_subnets(mine, "kubernetes.io/role/elb", cluster)
    internal = load_balancer_subnets(mine, "kubernetes.io/role/internal-elb", cluster)
    assert list(internet_facing) == list(subnets(mine, "Public"))
    assert list(internal) == list(subnets(mine, "Private"))
    # Karpenter does not look at the VPC: its tag alone must tell two networks of an account apart.
    karpenter = [
        id
        for id, each in template.items()
        if each["Type"] == "AWS::EC2::Subnet" and network.discovery_tags.items() <= tags(each).items()
    ]
    assert karpenter == list(subnets(mine, "Private"))


@pytest.mark.promise("private-dns")
def test_private_names_resolve(stack: cdk.Stack) -> None:
    Network(stack, "Network", availability_zones=ZONES)
    template = Template.from_stack(stack)
    template.has_resource_properties("AWS::EC2::VPC", {"EnableDnsHostnames": True, "EnableDnsSupport": True})
    options = template.find_resources("AWS::EC2::DHCPOptions")
    assert [each["Properties"]["DomainNameServers"] for each in options.values()] == [["AmazonProvidedDNS"]]
    template.has_resource_properties(
        "AWS::EC2::VPCDHCPOptionsAssociation",
        {"DhcpOptionsId": {"Ref": next(iter(options))}, "VpcId": {"Ref": Match.string_like_regexp("^NetworkVpc")}},
    )


@pytest.mark.parametrize(
    ("region", "domain"), [("us-east-1", "ec2.internal"), ("eu-west-1", "eu-west-1.compute.internal")]
)
def test_hosts_are_called_as_aws_calls_them(app: cdk.App, region: str, domain: str) -> None:
    stack = cdk.Stack(app, "Regional", env=cdk.Environment(account="111111111111", region=region))
    Network(stack, "Network", availability_zones=[f"{region}a", f"{region}b"])
    Template.from_stack(stack).has_resource_properties("AWS::EC2::DHCPOptions", {"DomainName": domain})


@pytest.mark.promise("closed-network")
def test_s3_and_dynamodb_are_reached_without_nat_from_every_subnet(stack: cdk.Stack) -> None:
    Network(stack, "Network", availability_zones=ZONES)
    endpoints = {
        each["Properties"]["ServiceName"]["Fn::Join"][1][-1]: each["Properties"]
        for each in resources(stack, "AWS::EC2::VPCEndpoint").values()
    }
    assert set(endpoints) == {".s3", ".dynamodb"}
    tables = set(resources(stack, "AWS::EC2::RouteTable"))
    for endpoint in endpoints.values():
        assert endpoint["VpcEndpointType"] == "Gateway"
        assert {table["Ref"] for table in endpoint["RouteTableIds"]} == tables


@pytest.mark.promise("closed-network")
def test_cluster_endpoints_answer_on_443_inside_the_vpc_only(stack: cdk.Stack) -> None:
    Network(stack, "Network", availability_zones=ZONES, interface_endpoints=Network.CLUSTER_ENDPOINTS)
    template = resources(stack)
    groups = resources(stack, "AWS::EC2::SecurityGroup")
    assert len(groups) == 1
    id, group = groups.popitem()
    rules = [(rule["CidrIp"], rule["FromPort"], rule["ToPort"]) for rule in group["Properties"]["SecurityGroupIngress"]]
    assert rules == [("10.0.0.0/16", 443, 443)]
    assert not resources(stack, "AWS::EC2::SecurityGroupIngress")

    private = [{"Ref": subnet} for subnet in subnets(template, "Private")]
    found = set()
    for endpoint in resources(stack, "AWS::EC2::VPCEndpoint").values():
        properties = endpoint["Properties"]
        if properties["VpcEndpointType"] == "Interface":
            found.add(properties["ServiceName"].removeprefix("com.amazonaws.eu-west-1."))
            assert properties["PrivateDnsEnabled"]
            assert properties["SubnetIds"] == private
            assert properties["SecurityGroupIds"] == [{"Fn::GetAtt": [id, "GroupId"]}]
    # Nodes, Pod Identity, IRSA, the autoscaler, the load balancer controller, the kubectl handler, sessions.
    needed = "ec2 ecr.api ecr.dkr eks eks-auth sts autoscaling elasticloadbalancing lambda logs kms ssm ssmmessages"
    assert set(needed.split()) < found == set(Network.CLUSTER_ENDPOINTS)
    assert not found & {"ec2messages", "monitoring", "states"}  # nothing calls them, and new Regions lack the first


@pytest.mark.promise("closed-network")
@pytest.mark.parametrize(("region", "crossed"), [("eu-west-1", "us-east-1"), ("us-east-1", None)])
def test_iam_and_route_53_are_reached_where_they_are(app: cdk.App, region: str, crossed: str | None) -> None:
    stack = cdk.Stack(app, "Regional", env=cdk.Environment(account="111111111111", region=region))
    endpoints = [*Network.DATA_ENDPOINTS, *Network.GLOBAL_ENDPOINTS]
    Network(stack, "Network", availability_zones=[f"{region}a", f"{region}b"], interface_endpoints=endpoints)
    found = {
        each["Properties"]["ServiceName"]: each["Properties"].get("ServiceRegion")
        for each in resources(stack, "AWS::EC2::VPCEndpoint").values()
        if each["Properties"]["VpcEndpointType"] == "Interface"
    }
    assert found == {
        **{f"com.amazonaws.{region}.{name}": None for name in ("athena", "glue", "kinesis-streams")},
        **{f"com.amazonaws.{name}": crossed for name in ("iam", "route53")},
    }


@pytest.mark.parametrize(("flow_logs", "traffic"), [(FlowLogs.ALL, "ALL"), (FlowLogs.REJECTED, "REJECT")])
def test_flow_logs_record_what_is_requested(stack: cdk.Stack, flow_logs: FlowLogs, traffic: str) -> None:
    Network(stack, "Network", availability_zones=ZONES, flow_logs=flow_logs)
    Template.from_stack(stack).has_resource_properties("AWS::EC2::FlowLog", {"TrafficType": traffic})


def test_flow_logs_can_be_switched_off(app: cdk.App, stack: cdk.Stack) -> None:
    assert Network(stack, "Network", availability_zones=ZONES, flow_logs=FlowLogs.NONE).flow_log_group is None
    Template.from_stack(stack).resource_count_is("AWS::EC2::FlowLog", 0)
    app.synth()


def test_resources_that_call_aws_can_wait_for_internet_access(stack: cdk.Stack) -> None:
    network = Network(stack, "Network", availability_zones=ZONES, interface_endpoints=["ssm"])
    network.add_interface_endpoint("sagemaker.api")
    cdk.CfnResource(stack, "Caller", type="AWS::CloudFormation::WaitConditionHandle").node.add_dependency(
        network.connectivity
    )
    template = resources(stack)
    awaited = {template[id]["Type"] + " " + id for id in template["Caller"]["DependsOn"]}
    assert len([each for each in awaited if each.startswith("AWS::EC2::Route ")]) == len(ZONES)
    assert len([each for each in awaited if each.startswith("AWS::EC2::VPCEndpoint ")]) == 3  # S3 and the two


def test_rejected_connections_are_recorded_in_an_encrypted_log(stack: cdk.Stack) -> None:
    keys = EncryptionKeys(stack, "Keys")
    Network(
        stack,
        "Network",
        availability_zones=ZONES,
        log_retention=logs.RetentionDays.SIX_MONTHS,
        log_encryption_key=keys.logs,
        removal_policy=cdk.RemovalPolicy.DESTROY,
    )
    template = Template.from_stack(stack)
    template.has_resource_properties("AWS::EC2::FlowLog", {"TrafficType": "REJECT", "ResourceType": "VPC"})
    group = {"RetentionInDays": 180, "KmsKeyId": {"Fn::GetAtt": [Match.string_like_regexp("^KeysLogs"), "Arn"]}}
    template.has_resource("AWS::Logs::LogGroup", {"Properties": group, "DeletionPolicy": "Delete"})
    template.has_resource_properties(
        "AWS::IAM::Role",
        {
            "AssumeRolePolicyDocument": {
                "Statement": [
                    {
                        "Action": "sts:AssumeRole",
                        "Condition": {"StringEquals": {"aws:SourceAccount": "111111111111"}},
                        "Effect": "Allow",
                        "Principal": {"Service": "vpc-flow-logs.amazonaws.com"},
                    }
                ]
            }
        },
    )


def test_the_default_security_group_lets_nothing_through_and_its_handler_leaves_no_log(stack: cdk.Stack) -> None:
    Network(stack, "Network", availability_zones=ZONES)
    template = Template.from_stack(stack)
    template.resource_count_is("Custom::VpcRestrictDefaultSG", 1)
    handlers = template.find_resources("AWS::Lambda::Function").values()
    for handler in handlers:
        group = template.to_json()["Resources"][handler["Properties"]["LoggingConfig"]["LogGroup"]["Ref"]]
        assert group["DeletionPolicy"] == "Delete"


@pytest.mark.promise("zones-alike")
@pytest.mark.parametrize(
    ("zones", "message"),
    [
        (ZONES[:1], r"Test/Network: availability_zones must be 2 to 6, got 1; EKS needs two, the plan holds six"),
        ([f"eu-west-1{letter}" for letter in "abcdefg"], r"availability_zones must be 2 to 6, got 7"),
        ([*ZONES, "eu-west-1a"], r"names a zone twice: eu-west-1a, eu-west-1b, eu-west-1c, eu-west-1a; name each"),
        (["eu-west-1a", "us-east-1a"], r"availability_zones must be of eu-west-1, got us-east-1a; name zones of"),
    ],
)
def test_refuses_zones_that_make_no_network(stack: cdk.Stack, zones: Sequence[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Network(stack, "Network", availability_zones=zones)


@pytest.mark.parametrize(
    ("cidr", "message"),
    [
        ("10.0.0.0/22", r"Test/Network: cidr must be /16 to /21, got 10.0.0.0/22; AWS makes no larger VPC, and load"),
        ("10.0.0.0/15", r"cidr must be /16 to /21, got 10.0.0.0/15"),
        ("10.0.0.1/16", r"cidr must be a network such as 10.0.0.0/16, got 10.0.0.1/16: .* has host bits set"),
        ("fd00::/56", r"cidr must be a network such as 10.0.0.0/16, got fd00::/56"),
        ("52.0.0.0/16", r"cidr must be private, got 52.0.0.0/16; use a part of 10.0.0.0/8"),
    ],
)
def test_refuses_an_address_space_that_the_plan_does_not_fit(stack: cdk.Stack, cidr: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Network(stack, "Network", availability_zones=ZONES, cidr=cidr)


def test_refuses_a_closed_network_that_could_not_reach_aws(stack: cdk.Stack) -> None:
    endpoints = [service for service in Network.CLUSTER_ENDPOINTS if service not in ("sts", "eks-auth")]
    message = r"Test/Network: interface_endpoints lacks eks-auth, sts; without NAT gateways nothing else leads there"
    with pytest.raises(ValueError, match=message):
        Network(
            stack,
            "Network",
            availability_zones=ZONES,
            nat_gateways=NatGateways.NONE,
            interface_endpoints=endpoints,
        )


def test_refuses_an_endpoint_twice(stack: cdk.Stack) -> None:
    with pytest.raises(ValueError, match=r"interface_endpoints names a service twice: ssm, ssm; name each once"):
        Network(stack, "Twice", availability_zones=ZONES, interface_endpoints=["ssm", "ssm"])
    network = Network(stack, "Network", availability_zones=ZONES, interface_endpoints=["ssm"])
    with pytest.raises(ValueError, match=r"Test/Network: endpoint 'ssm' already exists; name each service once"):
        network.add_interface_endpoint("ssm")


def test_a_refused_network_creates_nothing(stack: cdk.Stack) -> None:
    for wrong in ({"cidr": "10.0.0.0/24"}, {"nat_gateways": NatGateways.NONE}, {"interface_endpoints": ["a", "a"]}):
        with pytest.raises(ValueError, match="Network"):
            Network(stack, f"Network{len(stack.node.children)}", availability_zones=ZONES, **wrong)  # type: ignore[arg-type]
    assert "Resources" not in Template.from_stack(stack).to_json()


def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack) -> None:
    Network(stack, "Network", availability_zones=ZONES, interface_endpoints=Network.CLUSTER_ENDPOINTS)
    assert_complies(app)
