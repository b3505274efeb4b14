"""What the embedded EC2 tells an autoscaler of nodes, and what becomes of instances that it launches."""

import base64
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

NODE_CONFIG = """MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="//"

--//
Content-Type: application/node.eks.aws

# Karpenter Generated NodeConfig
apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  cluster:
    name: training
  kubelet:
    config:
      registerWithTaints:
      - effect: NoExecute
        key: karpenter.sh/unregistered
    flags:
    - --node-labels="karpenter.sh/nodepool=gpu,mlplatform/purpose=training"

--//--
"""
BOTTLEROCKET = """
[settings.kubernetes]
cluster-name = "training"
[settings.kubernetes.node-labels]
"mlplatform/purpose" = "serving"
[settings.kubernetes.node-taints]
"nvidia.com/gpu" = ["present:NoSchedule"]
"""


@pytest.fixture
def ec2(cloud: Any) -> Any:
    """A client of the embedded EC2."""
    return cloud.client("ec2")


@pytest.fixture
def subnet(ec2: Any) -> str:
    """A subnet in the region's second zone."""
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    found = ec2.create_subnet(VpcId=vpc, CidrBlock="10.7.0.0/24", AvailabilityZone="us-east-1b")["Subnet"]
    id: str = found["SubnetId"]
    return id


def test_a_type_has_the_processors_memory_and_gpus_of_the_table(ec2: Any) -> None:
    (found,) = ec2.describe_instance_types(InstanceTypes=["g5.xlarge"])["InstanceTypes"]
    assert (found["VCpuInfo"]["DefaultVCpus"], found["MemoryInfo"]["SizeInMiB"]) == (4, 16384)
    (gpu,) = found["GpuInfo"]["Gpus"]
    assert (gpu["Manufacturer"], gpu["Count"]) == ("NVIDIA", 1)
    assert "GpuInfo" not in ec2.describe_instance_types(InstanceTypes=["m5.large"])["InstanceTypes"][0]


def test_every_type_is_offered_in_every_zone_with_a_price_for_spot(ec2: Any, subnet: str) -> None:
    chosen = [{"Name": "instance-type", "Values": ["m5.large"]}]
    offered = ec2.describe_instance_type_offerings(LocationType="availability-zone", Filters=chosen)
    assert "us-east-1b" in [one["Location"] for one in offered["InstanceTypeOfferings"]]
    prices = ec2.describe_spot_price_history(InstanceTypes=["m5.large"])["SpotPriceHistory"]
    assert "us-east-1b" in [one["AvailabilityZone"] for one in prices]
    assert all(float(one["SpotPrice"]) > 0 for one in prices)


def test_the_price_list_knows_types_on_demand_and_bare_metal(cloud: Any) -> None:
    pricing = cloud.client("pricing")

    def listed(family: str) -> list[str]:
        wanted = [{"Type": "TERM_MATCH", "Field": "productFamily", "Value": family}]
        found = pricing.get_products(ServiceCode="AmazonEC2", Filters=wanted)["PriceList"]
        return [json.loads(one)["product"]["attributes"]["instanceType"] for one in found]

    assert "m5.large" in listed("Compute Instance")
    assert len(listed("Compute Instance (bare metal)")) == 1


def test_an_image_that_a_public_parameter_names_exists(cloud: Any, ec2: Any) -> None:
    name = "/aws/service/eks/optimized-ami/1.35/amazon-linux-2023/arm64/standard/recommended/image_id"
    image = cloud.client("ssm").get_parameter(Name=name)["Parameter"]["Value"]
    (found,) = ec2.describe_images(Filters=[{"Name": "image-id", "Values": [image]}])["Images"]
    assert (found["ImageId"], found["Architecture"], found["State"]) == (image, "arm64", "available")


def test_a_dry_run_makes_nothing(ec2: Any, subnet: str) -> None:
    with pytest.raises(ClientError, match="DryRunOperation"):
        ec2.run_instances(
            ImageId="ami-1", InstanceType="m5.large", MinCount=1, MaxCount=1, SubnetId=subnet, DryRun=True
        )
    filters = [{"Name": "subnet-id", "Values": [subnet]}]
    assert ec2.describe_instances(Filters=filters)["Reservations"] == []


def test_a_launch_template_that_is_not_there_is_an_error(ec2: Any) -> None:
    with pytest.raises(ClientError, match="InvalidLaunchTemplateName.NotFoundException"):
        ec2.describe_launch_templates(LaunchTemplateNames=["absent"])


def test_security_groups_are_found_by_a_filter_of_ids(ec2: Any) -> None:
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    made = [
        ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"] for name in ("one", "other")
    ]

    def found(*ids: str) -> list[str]:
        answer = ec2.describe_security_groups(Filters=[{"Name": "group-id", "Values": list(ids)}])
        return [group["GroupId"] for group in answer["SecurityGroups"]]

    assert found(made[0]) == [made[0]]
    assert found("sg-00000000000000000") == []


def test_a_fleet_says_what_it_chose_and_its_instance_is_where_it_said(ec2: Any, subnet: str) -> None:
    vpc = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["VpcId"]
    group = ec2.create_security_group(GroupName="nodes", Description="of nodes", VpcId=vpc)["GroupId"]
    data = {"ImageId": "ami-1", "NetworkInterfaces": [{"DeviceIndex": 0, "Groups": [group]}]}
    template = ec2.create_launch_template(LaunchTemplateName="spot", LaunchTemplateData=data)
    fleet = ec2.create_fleet(
        Type="instant",
        LaunchTemplateConfigs=[
            {
                "LaunchTemplateSpecification": {
                    "LaunchTemplateId": template["LaunchTemplate"]["LaunchTemplateId"],
                    "Version": "$Latest",
                },
                "Overrides": [{"InstanceType": "m5.large", "SubnetId": subnet}],
            }
        ],
        TargetCapacitySpecification={"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "spot"},
    )
    (made,) = fleet["Instances"]
    overrides = made["LaunchTemplateAndOverrides"]["Overrides"]
    assert (overrides["SubnetId"], overrides["AvailabilityZone"]) == (subnet, "us-east-1b")
    (instance,) = ec2.describe_instances(InstanceIds=made["InstanceIds"])["Reservations"][0]["Instances"]
    assert (instance["Placement"]["AvailabilityZone"], instance["InstanceLifecycle"]) == ("us-east-1b", "spot")
    assert [found["GroupId"] for found in instance["SecurityGroups"]] == [group]


@pytest.mark.parametrize(
    ("text", "labels", "taint"),
    [
        (
            NODE_CONFIG,
            {"karpenter.sh/nodepool": "gpu", "mlplatform/purpose": "training"},
            ("karpenter.sh/unregistered", "", "NoExecute"),
        ),
        (BOTTLEROCKET, {"mlplatform/purpose": "serving"}, ("nvidia.com/gpu", "present", "NoSchedule")),
    ],
    ids=["al2023", "bottlerocket"],
)
def test_user_data_make_a_node_of_an_instance(text: str, labels: dict[str, str], taint: tuple[str, str, str]) -> None:
    from aws_rehearsal.emulator.node_user_data import read_user_data

    found = read_user_data(base64.b64encode(text.encode()).decode())
    assert found.cluster == "training"
    assert found.labels == labels
    assert [(one.key, one.value, one.effect) for one in found.taints] == [taint]


@pytest.mark.parametrize("text", ["", "#!/bin/sh\nreboot\n", "MIME-Version: 1.0\nContent-Type: text/plain\n\n"])
def test_an_instance_with_other_user_data_joins_no_cluster(text: str) -> None:
    from aws_rehearsal.emulator.node_user_data import read_user_data

    assert read_user_data(base64.b64encode(text.encode()).decode()).cluster == ""
