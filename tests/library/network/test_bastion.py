import io
import re
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3_assets as s3_assets
from aws_cdk.assertions import Match, Template
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import Bastion, Network
from tests.compliance import assert_complies


@pytest.fixture
def vpc(stack: cdk.Stack) -> ec2.Vpc:
    return Network(stack, "Network", availability_zones=["eu-west-1a", "eu-west-1b"]).vpc


@pytest.fixture
def tools(stack: cdk.Stack, tmp_path: Path) -> s3_assets.Asset:
    """An archive with one executable, as zip tools of any system write it: without its mode."""
    archive = tmp_path / "tools.zip"
    archive.write_bytes(zipped({"kubectl/kubectl": "#!/bin/sh\necho the tool runs\n"}))
    return s3_assets.Asset(stack, "Tools", path=str(archive))


def zipped(files: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


def launch_data(stack: cdk.Stack) -> dict[str, Any]:
    (template,) = Template.from_stack(stack).find_resources("AWS::EC2::LaunchTemplate").values()
    data: dict[str, Any] = template["Properties"]["LaunchTemplateData"]
    return data


def hosts(stack: cdk.Stack) -> dict[str, Any]:
    (group,) = Template.from_stack(stack).find_resources("AWS::AutoScaling::AutoScalingGroup").values()
    return group


def test_defaults(stack: cdk.Stack, vpc: ec2.Vpc, snapshot_json: SnapshotAssertion) -> None:
    Bastion(stack, "Bastion", vpc=vpc)
    template = Template.from_stack(stack).to_json()["Resources"]
    assert {id: each for id, each in template.items() if id.startswith("Bastion")} == snapshot_json


@pytest.mark.promise("bastion-availability")
@pytest.mark.parametrize(("highly_available", "least"), [(True, 2), (False, 1)])
def test_the_promised_number_of_hosts_remains_during_a_replacement(
    stack: cdk.Stack, vpc: ec2.Vpc, highly_available: bool, least: int
) -> None:
    Bastion(stack, "Bastion", vpc=vpc, highly_available=highly_available)
    group = hosts(stack)
    properties = group["Properties"]
    assert int(properties["MinSize"]) == least
    assert int(properties["MaxSize"]) > least
    assert group["UpdatePolicy"]["AutoScalingRollingUpdate"]["MinInstancesInService"] == least
    assert properties["InstanceMaintenancePolicy"]["MinHealthyPercentage"] == 100
    assert properties["InstanceMaintenancePolicy"]["MaxHealthyPercentage"] * least == 100 * (least + 1)


@pytest.mark.promise("no-open-ports")
def test_hosts_live_in_the_private_subnets_of_the_vpc(stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    Bastion(stack, "Bastion", vpc=vpc)
    private = [stack.resolve(subnet.subnet_id) for subnet in vpc.private_subnets]
    assert hosts(stack)["Properties"]["VPCZoneIdentifier"] == private
    assert "NetworkInterfaces" not in launch_data(stack)  # which alone could ask for a public address


@pytest.mark.promise("no-open-ports")
def test_nothing_gets_in_and_only_443_gets_out(stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    bastion = Bastion(stack, "Bastion", vpc=vpc)
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::EC2::SecurityGroupIngress", 0)
    (group,) = template.find_resources("AWS::EC2::SecurityGroup").values()
    assert "SecurityGroupIngress" not in group["Properties"]
    egress = [
        (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) for rule in group["Properties"]["SecurityGroupEgress"]
    ]
    assert egress == [("tcp", 443, 443)]
    assert launch_data(stack)["SecurityGroupIds"] == [stack.resolve(bastion.security_group.security_group_id)]
    assert "KeyName" not in launch_data(stack)


@pytest.mark.promise("api-for-bastion-only")
def test_a_cluster_in_a_later_stack_can_allow_the_hosts(app: cdk.App, stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    bastion = Bastion(stack, "Bastion", vpc=vpc)
    later = cdk.Stack(app, "Later", env=cdk.Environment(account="111111111111", region="eu-west-1"))
    cluster = ec2.SecurityGroup(later, "Cluster", vpc=vpc, description="Control plane", allow_all_outbound=False)
    cluster.connections.allow_from(bastion, ec2.Port.HTTPS)
    source = stack.resolve(bastion.security_group.security_group_id)["Fn::GetAtt"][0]
    Template.from_stack(later).has_resource_properties(
        "AWS::EC2::SecurityGroupIngress",
        {
            "FromPort": 443,
            "ToPort": 443,
            "SourceSecurityGroupId": {"Fn::ImportValue": Match.string_like_regexp(source)},
        },
    )


@pytest.mark.promise("access-entries")
def test_grants_reach_the_role_of_the_hosts(stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    bastion = Bastion(stack, "Bastion", vpc=vpc)
    cluster = "arn:aws:eks:eu-west-1:111111111111:cluster/training"
    iam.Grant.add_to_principal(grantee=bastion, actions=["eks:DescribeCluster"], resource_arns=[cluster])
    statement = {"Action": "eks:DescribeCluster", "Effect": "Allow", "Resource": cluster}
    policy = {
        "PolicyDocument": {"Statement": Match.array_with([statement])},
        "Roles": [stack.resolve(bastion.role.role_name)],
    }
    Template.from_stack(stack).has_resource_properties("AWS::IAM::Policy", policy)


@pytest.mark.promise("no-open-ports")
def test_the_metadata_service_asks_for_a_session_token_and_answers_the_host_alone(
    stack: cdk.Stack, vpc: ec2.Vpc
) -> None:
    Bastion(stack, "Bastion", vpc=vpc)
    assert launch_data(stack)["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}


def test_volumes_are_encrypted(stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    Bastion(stack, "Bastion", vpc=vpc)
    assert all(device["Ebs"]["Encrypted"] for device in launch_data(stack)["BlockDeviceMappings"])


@pytest.mark.parametrize(("instance_type", "processor"), [("t4g.small", "arm64"), ("t3.small", "x86_64")])
def test_the_image_is_the_newest_at_launch_and_fits_the_processor(
    stack: cdk.Stack, vpc: ec2.Vpc, instance_type: str, processor: str
) -> None:
    Bastion(stack, "Bastion", vpc=vpc, instance_type=ec2.InstanceType(instance_type))
    image = launch_data(stack)["ImageId"]
    assert image == f"resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{processor}"
    assert set(Template.from_stack(stack).to_json()["Parameters"]) == {"BootstrapVersion"}  # none to change by itself
    assert 0 < hosts(stack)["Properties"]["MaxInstanceLifetime"] <= 30 * 24 * 3600


def test_a_deployment_waits_for_the_hosts_and_they_for_internet_access(stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    Bastion(stack, "Bastion", vpc=vpc)
    group = hosts(stack)
    assert group["CreationPolicy"]["ResourceSignal"]["Count"] == 2
    assert group["UpdatePolicy"]["AutoScalingRollingUpdate"]["WaitOnResourceSignals"]
    template = Template.from_stack(stack).to_json()["Resources"]
    awaited = [template[id]["Type"] for id in group["DependsOn"]]
    assert awaited.count("AWS::EC2::Route") == len(vpc.private_subnets)
    assert "AWS::IAM::Policy" in awaited


def test_hosts_read_their_tools_and_nothing_else_of_the_bucket(
    stack: cdk.Stack, vpc: ec2.Vpc, tools: s3_assets.Asset
) -> None:
    Bastion(stack, "Bastion", vpc=vpc, tools=tools)
    statement = {
        "Action": "s3:GetObject",
        "Effect": "Allow",
        "Resource": f"arn:aws:s3:::{tools.s3_bucket_name}/{tools.s3_object_key}",
    }
    Template.from_stack(stack).has_resource_properties(
        "AWS::IAM::Policy", {"PolicyDocument": {"Statement": Match.array_with([statement])}}
    )


def boot(
    script: str, root: Path, download: bytes | None, *, can_signal: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a host's first-boot script below ``root``, with stand-ins for the commands that only a host has.

    :param can_signal: whether the image brings ``cfn-signal``; else a package has it.
    """
    for folder in ("opt/aws/bin", "tmp", "usr/local/bin", "bin", "packages/aws-cfn-bootstrap"):
        (root / folder).mkdir(parents=True)
    signal = "opt/aws/bin/cfn-signal" if can_signal else "packages/aws-cfn-bootstrap/cfn-signal"
    stand_ins = {
        "bin/aws": 'cp "$DOWNLOAD" "$4"' if download else "exit 1",
        "bin/systemctl": 'echo "systemctl $*"',
        "bin/dnf": f'echo "dnf $*"; for name; do :; done; cp {root}/packages/"$name"/* {root}/opt/aws/bin',
        signal: 'echo "cfn-signal $*"',
    }
    for name, line in stand_ins.items():
        (root / name).write_text(f"#!/bin/sh\n{line}\n")
        (root / name).chmod(0o755)
    (root / "archive").write_bytes(download or b"")
    script = re.sub(r"(?<![\w/])/(?=opt/|tmp/|usr/local/)", f"{root}/", script)
    path = f"{root}/bin:/usr/bin:/bin"
    environment = {"PATH": path, "DOWNLOAD": str(root / "archive")}
    return subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("arrives", "signal"), [(True, "-e 0"), (False, "-e 1")])
def test_a_host_reports_whether_its_tools_exist(
    stack: cdk.Stack, vpc: ec2.Vpc, tools: s3_assets.Asset, tmp_path: Path, arrives: bool, signal: str
) -> None:
    Bastion(stack, "Bastion", vpc=vpc, tools=tools)
    script = launch_data(stack)["UserData"]["Fn::Base64"]
    root = tmp_path / "host"
    archive = zipped({"kubectl/kubectl": "#!/bin/sh\necho the tool runs\n"})
    result = boot(script, root, archive if arrives else None)
    assert "cfn-signal --stack Test --resource BastionHosts" in result.stdout
    assert signal in result.stdout
    assert ("systemctl start amazon-ssm-agent" in result.stdout) is arrives
    if arrives:
        kubectl = root / "usr/local/bin/kubectl"
        assert subprocess.run([kubectl], capture_output=True, text=True, check=True).stdout == "the tool runs\n"


@pytest.mark.parametrize("can_signal", [True, False])
def test_a_host_reports_also_when_its_image_cannot(
    stack: cdk.Stack, vpc: ec2.Vpc, tmp_path: Path, can_signal: bool
) -> None:
    """A deployment would wait for it and roll back. https://github.com/amazonlinux/amazon-linux-2023/issues/768"""
    Bastion(stack, "Bastion", vpc=vpc)
    script = launch_data(stack)["UserData"]["Fn::Base64"]
    result = boot(script, tmp_path / "host", None, can_signal=can_signal)
    assert ("dnf install" in result.stdout) is not can_signal
    assert "cfn-signal --stack Test --resource BastionHosts" in result.stdout
    assert "-e 0" in result.stdout


@pytest.mark.promise("bastion-availability")
def test_refuses_high_availability_in_one_zone(stack: cdk.Stack) -> None:
    vpc = ec2.Vpc.from_vpc_attributes(
        stack,
        "Vpc",
        vpc_id="vpc-12345678",
        availability_zones=["eu-west-1a"],
        private_subnet_ids=["subnet-12345678"],
        private_subnet_route_table_ids=["rtb-12345678"],
    )
    message = r"Test/Bastion: vpc has private subnets in 1 zones, needs 2; add zones or set highly_available=False"
    with pytest.raises(ValueError, match=message):
        Bastion(stack, "Bastion", vpc=vpc)
    Bastion(stack, "One", vpc=vpc, highly_available=False)


def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack, vpc: ec2.Vpc, tools: s3_assets.Asset) -> None:
    Bastion(stack, "Bastion", vpc=vpc, tools=tools)
    assert_complies(app)
