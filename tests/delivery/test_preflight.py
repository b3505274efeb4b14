"""Quotas that are too small are reported before anything is created."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from delivery.assembly import Stack
from delivery.errors import DeliveryError
from delivery.preflight import __main__ as preflight
from delivery.preflight import existing, quotas
from delivery.preflight.account import Room, recorded, rooms_of
from delivery.preflight.needs import needs_of
from delivery.preflight.template import Template

NEW_ACCOUNT = Path(__file__).parent / "quotas_of_a_new_account.json"
REGION = "eu-west-1"
NETWORK: dict[str, Any] = {
    "Vpc": {"Type": "AWS::EC2::VPC"},
    "PublicA": {"Type": "AWS::EC2::Subnet", "Properties": {"AvailabilityZone": "eu-west-1a"}},
    "PublicB": {"Type": "AWS::EC2::Subnet", "Properties": {"AvailabilityZone": "eu-west-1b"}},
    "NatA": {"Type": "AWS::EC2::NatGateway", "Properties": {"SubnetId": {"Ref": "PublicA"}}},
    "NatA2": {"Type": "AWS::EC2::NatGateway", "Properties": {"SubnetId": {"Ref": "PublicA"}}},
    "NatB": {"Type": "AWS::EC2::NatGateway", "Properties": {"SubnetId": {"Ref": "PublicB"}}},
    "AddressA": {"Type": "AWS::EC2::EIP"},
    "AddressB": {"Type": "AWS::EC2::EIP"},
    "S3": {"Type": "AWS::EC2::VPCEndpoint", "Properties": {"VpcId": {"Ref": "Vpc"}, "VpcEndpointType": "Gateway"}},
    "Logs": {"Type": "AWS::EC2::VPCEndpoint", "Properties": {"VpcId": {"Ref": "Vpc"}, "VpcEndpointType": "Interface"}},
    "Group": {
        "Type": "AWS::EC2::SecurityGroup",
        "Properties": {"SecurityGroupIngress": [{"CidrIp": "10.0.0.0/16"}], "SecurityGroupEgress": [{}, {}, {}]},
    },
}
GROUP_EXPORT = {"Value": {"Fn::GetAtt": ["Group", "GroupId"]}, "Export": {"Name": "dev-Network:Group"}}


def needs(resources: dict[str, Any], *others: dict[str, Any]) -> dict[str, int]:
    """What a network with these resources, and other stacks, count for in one region, by the quota's code."""
    network = {"Resources": resources, "Outputs": {"Group": GROUP_EXPORT}}
    templates = [Template("dev/Network", REGION, network)]
    templates += [Template(f"dev/Other{n}", REGION, {"Resources": other}) for n, other in enumerate(others)]
    return {quota.code: amount for (_, quota), amount in needs_of(templates).items()}


def node_group(*instance_types: str, most: int, capacity: str = "ON_DEMAND", **others: Any) -> dict[str, Any]:
    scaling = {"MinSize": 0, "MaxSize": most}
    properties = {"InstanceTypes": list(instance_types), "CapacityType": capacity, "ScalingConfig": scaling, **others}
    return {"Type": "AWS::EKS::Nodegroup", "Properties": {**properties, "ClusterName": {"Ref": "Cluster"}}}


@pytest.mark.promise("quotas-before-deployment")
def test_things_are_counted_for_the_quota_of_their_account_zone_network_or_group() -> None:
    rule = {
        "Type": "AWS::EC2::SecurityGroupIngress",
        "Properties": {"GroupId": {"Fn::ImportValue": "dev-Network:Group"}},
    }
    found = needs(NETWORK, {"FromA": rule, "FromB": rule, "FromC": rule})
    assert found[quotas.VPCS.code] == 1
    assert found[quotas.ADDRESSES.code] == 2
    assert found[quotas.NAT_GATEWAYS.code] == 2  # in the zone that has most
    assert found[quotas.ENDPOINTS.code] == 1  # gateway endpoints have another quota
    assert found[quotas.RULES.code] == 4  # one inside the group, three of another stack


@pytest.mark.promise("quotas-before-deployment")
def test_nodes_count_by_family_and_capacity_at_the_most_that_their_groups_may_grow_to() -> None:
    found = needs(
        {
            "Cpu": node_group("m7i.2xlarge", most=10),
            "Gpu": node_group("p4d.24xlarge", most=4),
            "Cheap": node_group("g5.xlarge", most=8),
            "Spark": node_group("r6i.2xlarge", "r5.2xlarge", most=20, capacity="SPOT"),
        }
    )
    assert found[quotas.instance_quota("m7i.2xlarge", "on_demand").code] == 80  # type: ignore[union-attr]
    assert found[quotas.instance_quota("p4d.24xlarge", "on_demand").code] == 384  # type: ignore[union-attr]
    assert found[quotas.instance_quota("g5.xlarge", "on_demand").code] == 32  # type: ignore[union-attr]
    assert found[quotas.instance_quota("r6i.2xlarge", "spot").code] == 160  # type: ignore[union-attr]
    assert (found[quotas.NODE_GROUPS.code], found[quotas.NODES.code]) == (4, 20)


def test_nodes_that_karpenter_makes_count_at_the_limit_of_their_pool() -> None:
    requirements = [
        {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot"]},
        {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["g5.xlarge"]},
    ]
    spec = {"limits": {"cpu": "96"}, "template": {"spec": {"requirements": requirements}}}
    pool = {"kind": "NodePool", "metadata": {"name": "gpu"}, "spec": spec}
    before, after = json.dumps([pool, {"kind": "ConfigMap", "metadata": {"name": "<token>"}}]).split("<token>")
    manifest = {"Fn::Join": ["", [before, {"Ref": "Cluster"}, after]]}
    request = {"Type": "Custom::AWSCDK-EKS-KubernetesResource", "Properties": {"Manifest": manifest}}
    assert needs({"Pools": request}) == {quotas.instance_quota("g5.xlarge", "spot").code: 96}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("instance_type", "capacity", "code"),
    [
        ("m7i.xlarge", "on_demand", "L-1216C47A"),
        ("im4gn.large", "spot", "L-34B43A08"),
        ("inf2.xlarge", "on_demand", "L-1945791B"),
        ("trn1.2xlarge", "spot", "L-6B0D517C"),
        ("gr6.4xlarge", "on_demand", "L-DB2E81BA"),
        ("p3.2xlarge", "spot", "L-7212CCBC"),
        ("p5.48xlarge", "spot", "L-C4BD4855"),
    ],
)
def test_an_instance_counts_for_the_quota_of_its_family(instance_type: str, capacity: str, code: str) -> None:
    found = quotas.instance_quota(instance_type, capacity)
    assert found
    assert found.code == code


@pytest.mark.parametrize("instance_type", ["hpc7a.96xlarge", "x2idn.16xlarge"])
def test_an_instance_without_a_known_quota_is_refused_instead_of_omitted(instance_type: str) -> None:
    with pytest.raises(DeliveryError, match=r"dev/Network/Odd: .*; add i"):
        needs({"Odd": node_group(instance_type, most=1)})


def test_databases_and_file_systems_count_by_number_and_by_size() -> None:
    lustre = {"StorageCapacity": 4800, "LustreConfiguration": {"DeploymentType": "PERSISTENT_2"}}
    found = needs(
        {
            "Database": {"Type": "AWS::RDS::DBInstance", "Properties": {"AllocatedStorage": "50"}},
            "Growing": {
                "Type": "AWS::RDS::DBInstance",
                "Properties": {"AllocatedStorage": "50", "MaxAllocatedStorage": 500},
            },
            "Lustre": {"Type": "AWS::FSx::FileSystem", "Properties": lustre},
        }
    )
    assert (found[quotas.DATABASES.code], found[quotas.DATABASE_STORAGE.code]) == (2, 550)
    assert (found[quotas.LUSTRE.code], found[quotas.LUSTRE_STORAGE.code]) == (1, 4800)


CHART = "Custom::AWSCDK-EKS-HelmChart"


def custom(kind: str, *after: str, **properties: Any) -> dict[str, Any]:
    return {"Type": kind, "DependsOn": list(after), "Properties": {"ServiceToken": "arn", **properties}}


def executions(*templates: tuple[str, dict[str, Any], tuple[str, ...]]) -> int:
    """What stacks, each with its resources and the stacks before it, count for at Lambda."""
    found = needs_of(Template(stack, REGION, {"Resources": body}, after) for stack, body, after in templates)
    return found[REGION, quotas.EXECUTIONS]


@pytest.mark.promise("quotas-before-deployment")
def test_each_custom_resource_takes_an_execution_and_kubectl_and_helm_another_for_their_framework() -> None:
    assert executions(("dev/A", {"Plain": custom("Custom::Users"), "Chart": custom(CHART)}, ())) == 1 + 2


def test_custom_resources_that_wait_for_each_other_do_not_run_at_once() -> None:
    role = {"Type": "AWS::IAM::Role", "DependsOn": "First", "Properties": {}}
    chain = {
        "First": custom(CHART),
        "Role": role,
        "Second": custom(CHART, Role={"Fn::GetAtt": ["Role", "Arn"]}),
        "Third": custom(CHART, "Second"),
    }
    assert executions(("dev/A", chain, ())) == 2
    beside = {**chain, "Beside": custom(CHART, "First")}  # of the second or the third
    assert executions(("dev/A", beside, ())) == 4


@pytest.mark.promise("quotas-before-deployment")
def test_stacks_count_together_unless_one_comes_after_the_other() -> None:
    one = {"Chart": custom(CHART)}
    assert executions(("dev/A", one, ()), ("dev/B", one, ())) == 4
    assert executions(("dev/A", one, ()), ("dev/B", {}, ("dev/A",)), ("dev/C", one, ("dev/B",))) == 2


def test_roles_count_once_for_all_regions() -> None:
    role = {"Resources": {"Role": {"Type": "AWS::IAM::Role"}}}
    found = needs_of([Template("dev/A", "eu-west-1", role), Template("dev/B", "eu-central-1", role)])
    assert found == {("us-east-1", quotas.ROLES): 2}


@pytest.mark.promise("quotas-before-deployment")
@pytest.mark.parametrize(
    ("needed", "there", "room", "why"),
    [
        (3, 0, Room(5, 2), ""),
        (3, 0, Room(5), ""),
        (3, 0, Room(5, 3), "needs 3 on top of 3 in use, the quota is 5; raise it: https://eu-west-1.console.aws"),
        (3, 3, Room(5, 5), ""),  # it is all there already
        (6, 6, Room(5, 0), "needs 6, the quota is 5; raise it: https://eu-west-1.console.aws"),
        (1, 0, None, "needs 1, but the record has no ec2/L-0263D0A3; record the quotas again"),
    ],
)
def test_needs_and_current_usage_must_fit_together(needed: int, there: int, room: Room | None, why: str) -> None:
    found = preflight.problem(REGION, quotas.ADDRESSES, needed, there, room)
    assert found.startswith(f"{REGION}: EC2-VPC Elastic IPs: {why}") if why else found == ""


@pytest.fixture
def assembly(tmp_path: Path) -> Path:
    """An account with a training cluster."""
    template = {"Resources": {**NETWORK, "Gpu": node_group("p4d.24xlarge", most=1)}}
    (tmp_path / "Network.template.json").write_text(json.dumps(template))
    artifact = {
        "type": "aws:cloudformation:stack",
        "environment": f"aws://111111111111/{REGION}",
        "displayName": "dev/Network",
        "properties": {"templateFile": "Network.template.json"},
    }
    (tmp_path / "manifest.json").write_text(json.dumps({"artifacts": {"devNetwork": artifact}}))
    return tmp_path


@pytest.mark.promise("quotas-before-deployment")
def test_a_new_account_has_no_room_for_gpus_and_is_told_where_to_ask(
    assembly: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = preflight.main(["dev", "--assembly", str(assembly), "--recorded", str(NEW_ACCOUNT)])
    said = capsys.readouterr().out.splitlines()
    assert status == 1
    assert said[0].split() == ["region", "quota", "needed", "in", "use", "limit", "code"]
    assert said[-1] == (
        "eu-west-1: Running On-Demand P instances, vCPUs: needs 96, the quota is 0; raise it: "
        "https://eu-west-1.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/L-417A185B"
    )
    assert said[-2] == ""  # nothing else is too small


def test_an_account_with_room_passes(assembly: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raised = json.loads(NEW_ACCOUNT.read_text())
    raised[REGION]["ec2/L-417A185B"]["limit"] = 96
    (tmp_path / "raised.json").write_text(json.dumps(raised))
    status = preflight.main(["dev", "--assembly", str(assembly), "--recorded", str(tmp_path / "raised.json")])
    assert (status, capsys.readouterr().out.splitlines()[-1]) == (0, "dev: all quotas suffice")


@pytest.mark.parametrize("content", [None, "not json", '["a list"]', '{"eu-west-1": {"ec2/L-1": {"most": 5}}}'])
def test_a_file_that_is_no_record_is_refused(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "record.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(DeliveryError, match=r"record.json: not a record of quotas: .*; create one with --record"):
        recorded(file)


DIMENSIONS = ({"Name": "Resource", "Value": "vCPU"},)


class Account:
    """Service Quotas and CloudWatch of an account."""

    def __init__(
        self, ask: Callable[[str, str], dict[str, Any]], dimensions: Sequence[Mapping[str, str]] = DIMENSIONS
    ) -> None:
        self._ask, self._dimensions = ask, dimensions

    def client(self, service: str, stack: Stack) -> "Account":
        self.region = stack.region
        return self

    def get_service_quota(self, ServiceCode: str, QuotaCode: str) -> dict[str, Any]:
        return {"Quota": self._ask(ServiceCode, QuotaCode)}

    def get_aws_default_service_quota(self, ServiceCode: str, QuotaCode: str) -> dict[str, Any]:
        return {"Quota": {"Value": 5.0}}

    def get_metric_statistics(self, Dimensions: list[dict[str, str]], **_: Any) -> dict[str, Any]:
        assert Dimensions == list(self._dimensions)
        return {"Datapoints": [{"Maximum": 96.0}, {"Maximum": 192.0}]}


P_INSTANCES = quotas.instance_quota("p4d.24xlarge", "on_demand")
STACK = Stack("dev/Network", "dev-Network", "111111111111", REGION, Path("none"))


def test_an_account_is_asked_for_its_own_limit_and_for_what_runs_there() -> None:
    metric = {"MetricNamespace": "AWS/Usage", "MetricName": "ResourceCount", "MetricDimensions": {"Resource": "vCPU"}}
    account = Account(lambda service, code: {"Value": 384.0, "UsageMetric": metric})
    assert P_INSTANCES
    rooms = rooms_of([STACK], [(REGION, P_INSTANCES)], account)  # type: ignore[arg-type]
    assert rooms == {(REGION, "ec2/L-417A185B"): Room(384.0, 192.0)}


def test_usage_without_dimensions_is_that_of_the_whole_region() -> None:
    metric = {"MetricNamespace": "AWS/Lambda", "MetricName": "ConcurrentExecutions"}
    account = Account(lambda service, code: {"Value": 10.0, "UsageMetric": metric}, dimensions=())
    rooms = rooms_of([STACK], [(REGION, quotas.EXECUTIONS)], account)  # type: ignore[arg-type]
    assert rooms == {(REGION, "lambda/L-B99A9384"): Room(10.0, 192.0)}


def test_a_quota_that_was_never_changed_is_awss_default() -> None:
    def unknown(service: str, code: str) -> dict[str, Any]:
        raise ClientError({"Error": {"Code": "NoSuchResourceException", "Message": ""}}, "GetServiceQuota")

    rooms = rooms_of([STACK], [("us-east-1", quotas.ROLES)], account := Account(unknown))  # type: ignore[arg-type]
    assert rooms == {("us-east-1", "iam/L-FE177D64"): Room(5.0)}
    assert account.region == "us-east-1"


def test_an_account_without_access_to_service_quotas_ends_it_with_the_reason() -> None:
    def denied(service: str, code: str) -> dict[str, Any]:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "not allowed"}}, "GetServiceQuota")

    with pytest.raises(DeliveryError, match="^quotas of account 111111111111: .*not allowed"):
        rooms_of([STACK], [(REGION, quotas.VPCS)], Account(denied))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "nodes"),
    [
        ({"Subnets": ["a"]}, 12),
        ({"Subnets": ["a", "b", "c"]}, 16),
        ({"Subnets": ["a"], "UpdateConfig": {"MaxUnavailable": 5}}, 15),
        ({"Subnets": ["a"], "UpdateConfig": {"UpdateStrategy": "MINIMAL", "MaxUnavailable": 1}}, 10),
    ],
    ids=["one zone", "three zones", "five at a time", "minimal"],
)
def test_nodes_that_an_update_adds_are_counted(settings: dict[str, Any], nodes: int) -> None:
    found = needs({"Group": node_group("g5.xlarge", most=10, **settings)})
    assert found[quotas.NODES.code] == nodes
    assert found[quotas.instance_quota("g5.xlarge", "on_demand").code] == nodes * 4  # type: ignore[union-attr]


class Logs:
    """An account with these log groups."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def client(self, service: str, stack: Stack) -> "Logs":
        assert service == "logs"
        return self

    def describe_log_groups(self, *, logGroupNamePrefix: str) -> dict[str, Any]:  # noqa: N803
        return {"logGroups": [{"logGroupName": one} for one in self.names if one.startswith(logGroupNamePrefix)]}


GROUP = "/aws/eks/training/cluster"
WITH_GROUP = {"Resources": {"Logs": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": GROUP}}}}


def test_a_log_group_that_is_in_the_way_of_a_first_deployment_is_told_with_both_ways_out(make_stack: Any) -> None:
    (line,) = existing.problems([make_stack(WITH_GROUP)], {}, Logs(GROUP))  # type: ignore[arg-type]
    assert line.startswith(f"prod-Test: log group {GROUP} exists in eu-west-1")
    assert f"aws logs delete-log-group --region eu-west-1 --log-group-name {GROUP}" in line
    assert "cdk deploy prod/Test --import-existing-resources" in line


@pytest.mark.parametrize(
    ("there", "deployed"),
    [((), {}), ((f"{GROUP}-of-others",), {}), ((GROUP,), {"prod-Test": WITH_GROUP})],
    ids=["none", "another name", "its own"],
)
def test_no_other_log_group_is_in_the_way(there: tuple[str, ...], deployed: Any, make_stack: Any) -> None:
    assert list(existing.problems([make_stack(WITH_GROUP)], deployed, Logs(*there))) == []  # type: ignore[arg-type]
