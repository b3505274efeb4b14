import itertools

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk.assertions import Match, Template
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import DataBucket, LustreFileSystem, Network
from tests.compliance import assert_complies

ZONES = ["eu-west-1a", "eu-west-1b"]
PORTS = {(988, 988), (1018, 1023)}


@pytest.fixture
def vpc(stack: cdk.Stack) -> ec2.Vpc:
    """A network in a separate stack, so that only the file system is in the stack under test."""
    env = cdk.Environment(account="111111111111", region="eu-west-1")
    return Network(cdk.Stack(stack.node.scope, "Net", env=env), "Network", availability_zones=ZONES).vpc


def test_defaults(stack: cdk.Stack, vpc: ec2.Vpc, snapshot_json: SnapshotAssertion) -> None:
    LustreFileSystem(stack, "Lustre", vpc=vpc)
    assert Template.from_stack(stack).to_json()["Resources"] == snapshot_json


@pytest.mark.promise("lustre-beside-s3")
def test_it_is_persistent_encrypted_and_in_one_private_subnet(stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    LustreFileSystem(stack, "Lustre", vpc=vpc, subnet=vpc.private_subnets[1], capacity_gib=4800)
    Template.from_stack(stack).has_resource_properties(
        "AWS::FSx::FileSystem",
        {
            "FileSystemType": "LUSTRE",
            "StorageCapacity": 4800,
            "KmsKeyId": {"Fn::GetAtt": ["LustreKeyB04314ED", "Arn"]},
            "SubnetIds": [{"Fn::ImportValue": Match.string_like_regexp("PrivateSubnet2")}],
            "LustreConfiguration": {"DeploymentType": "PERSISTENT_2", "PerUnitStorageThroughput": 125},
        },
    )


@pytest.mark.promise("lustre-beside-s3")
def test_accepts_every_size_that_aws_offers(stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    for capacity, throughput in itertools.product((1200, 2400, 4800, 7200, 240000), (125, 250, 500, 1000)):
        LustreFileSystem(
            stack, f"Lustre{capacity}x{throughput}", vpc=vpc, capacity_gib=capacity, throughput_mbps_per_tib=throughput
        )
    Template.from_stack(stack).resource_count_is("AWS::FSx::FileSystem", 20)


@pytest.mark.promise("lustre-beside-s3")
@pytest.mark.parametrize(
    ("capacity", "fix"),
    [
        (0, "1200 or 2400"),
        (-2400, "1200 or 2400"),
        (1201, "1200 or 2400"),
        (3000, "2400 or 4800"),
        (6000, "4800 or 7200"),
    ],
)
def test_refuses_a_capacity_that_aws_does_not_offer(stack: cdk.Stack, vpc: ec2.Vpc, capacity: int, fix: str) -> None:
    said = f"Test/Lustre: capacity_gib must be 1200 or a multiple of 2400, got {capacity}; use {fix}"
    with pytest.raises(ValueError, match=said):
        LustreFileSystem(stack, "Lustre", vpc=vpc, capacity_gib=capacity)


@pytest.mark.promise("lustre-beside-s3")
def test_refuses_a_throughput_that_aws_does_not_offer(stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    """200 exists for PERSISTENT_1 only."""
    with pytest.raises(ValueError, match="throughput_mbps_per_tib must be 125, 250, 500 or 1000, got 200"):
        LustreFileSystem(stack, "Lustre", vpc=vpc, throughput_mbps_per_tib=200)


@pytest.mark.promise("lustre-beside-s3")
def test_a_bucket_appears_as_a_directory_and_is_only_read(stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    LustreFileSystem(stack, "Lustre", vpc=vpc).add_link("/features", DataBucket(stack, "Features"), prefix="churn/")
    Template.from_stack(stack).has_resource_properties(
        "AWS::FSx::DataRepositoryAssociation",
        {
            "BatchImportMetaDataOnCreate": True,
            "DataRepositoryPath": {"Fn::Join": ["", ["s3://", {"Ref": "FeaturesBucket128DD398"}, "/churn/"]]},
            "FileSystemPath": "/features",
            "S3": {"AutoImportPolicy": {"Events": ["NEW", "CHANGED", "DELETED"]}, "AutoExportPolicy": Match.absent()},
        },
    )


def test_changes_are_written_back_if_requested(stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    bucket = DataBucket(stack, "Checkpoints")
    LustreFileSystem(stack, "Lustre", vpc=vpc).add_link("/checkpoints", bucket, auto_import=(), auto_export=("NEW",))
    Template.from_stack(stack).has_resource_properties(
        "AWS::FSx::DataRepositoryAssociation",
        {"S3": {"AutoImportPolicy": Match.absent(), "AutoExportPolicy": {"Events": ["NEW"]}}},
    )


def test_only_file_systems_of_this_account_use_the_buckets_key_and_only_through_s3(
    stack: cdk.Stack, vpc: ec2.Vpc
) -> None:
    LustreFileSystem(stack, "Lustre", vpc=vpc).add_link("/features", DataBucket(stack, "Features"))
    key = Template.from_stack(stack).find_resources("AWS::KMS::Key")["FeaturesKey2FCD7C51"]
    (statement,) = [
        each for each in key["Properties"]["KeyPolicy"]["Statement"] if each.get("Sid") == "LustreThroughS3"
    ]
    role = "role/aws-service-role/s3.data-source.lustre.fsx.amazonaws.com/AWSServiceRoleForFSxS3Access_fs-*"
    assert statement["Condition"] == {
        "StringEquals": {"kms:CallerAccount": "111111111111", "kms:ViaService": "s3.eu-west-1.amazonaws.com"},
        "ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::111111111111:{role}"},
    }


def test_servers_connect_only_to_each_other(stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    LustreFileSystem(stack, "Lustre", vpc=vpc)
    template = Template.from_stack(stack)
    for kind, other in (("Ingress", "SourceSecurityGroupId"), ("Egress", "DestinationSecurityGroupId")):
        rules = [each["Properties"] for each in template.find_resources(f"AWS::EC2::SecurityGroup{kind}").values()]
        assert {(rule["FromPort"], rule["ToPort"]) for rule in rules} == PORTS
        assert all(rule["GroupId"] == rule[other] for rule in rules)


def test_the_rules_are_there_before_the_file_system(stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    """FSx refuses a file system whose servers could not talk to each other."""
    LustreFileSystem(stack, "Lustre", vpc=vpc)
    resources = Template.from_stack(stack).to_json()["Resources"]
    rules = {id for id, each in resources.items() if each["Type"].startswith("AWS::EC2::SecurityGroup")}
    (file_system,) = [each for each in resources.values() if each["Type"] == "AWS::FSx::FileSystem"]
    assert set(file_system["DependsOn"]) == rules
    assert len(rules) == 5


@pytest.mark.promise("lustre-beside-s3")
def test_clients_reach_the_servers_and_are_called_back(app: cdk.App, stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    """The rules are in the clients' stack, which depends on the servers' stack."""
    lustre = LustreFileSystem(stack, "Lustre", vpc=vpc)
    env = cdk.Environment(account="111111111111", region="eu-west-1")
    cluster = cdk.Stack(app, "Cluster", env=env)
    nodes = ec2.SecurityGroup(cluster, "Nodes", vpc=vpc, allow_all_outbound=False)
    lustre.allow_clients(nodes)
    template = Template.from_stack(cluster)
    for kind in ("Ingress", "Egress"):
        rules = [each["Properties"] for each in template.find_resources(f"AWS::EC2::SecurityGroup{kind}").values()]
        assert {(rule["FromPort"], rule["ToPort"]) for rule in rules} == PORTS
        assert len(rules) == 4, "two ports, on both sides"
    servers = Template.from_stack(stack)
    servers.resource_count_is("AWS::EC2::SecurityGroupIngress", 2)
    servers.resource_count_is("AWS::EC2::SecurityGroupEgress", 2)
    assert stack in cluster.dependencies
    assert cluster not in stack.dependencies


def test_the_file_system_stays_by_default(stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    LustreFileSystem(stack, "Lustre", vpc=vpc)
    LustreFileSystem(stack, "Scratch", vpc=vpc, removal_policy=cdk.RemovalPolicy.DESTROY)
    file_systems = Template.from_stack(stack).find_resources("AWS::FSx::FileSystem")
    assert sorted(each["DeletionPolicy"] for each in file_systems.values()) == ["Delete", "Retain"]


@pytest.mark.parametrize(
    ("path", "prefix", "said"),
    [
        ("features", "", "path must be a directory such as '/features', got 'features'"),
        ("/features/", "", "path must be a directory such as '/features', got '/features/'"),
        ("/", "", "path must be a directory such as '/features', got '/'"),
        ("/features", "churn", "prefix must end with '/' and not start with it, got 'churn'"),
        ("/data", "", "path '/data' overlaps the link '/data/features'; choose another directory"),
        ("/data/features/churn", "", "path '/data/features/churn' overlaps the link '/data/features'"),
    ],
)
def test_refuses_a_link_that_fsx_would_refuse(
    stack: cdk.Stack, vpc: ec2.Vpc, path: str, prefix: str, said: str
) -> None:
    lustre, bucket = LustreFileSystem(stack, "Lustre", vpc=vpc), DataBucket(stack, "Features")
    lustre.add_link("/data/features", bucket)
    with pytest.raises(ValueError, match=f"^Test/Lustre: {said}"):
        lustre.add_link(path, bucket, prefix=prefix)


def test_refuses_an_event_that_does_not_exist(stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    with pytest.raises(
        ValueError,
        match="Test/Lustre: auto_import has an item that must be 'NEW' or 'CHANGED' or 'DELETED', got 'RENAMED'",
    ):
        LustreFileSystem(stack, "Lustre", vpc=vpc).add_link(
            "/features",
            DataBucket(stack, "Features"),
            auto_import=["RENAMED"],  # type: ignore[list-item]
        )


def test_refuses_a_ninth_link(stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    lustre, bucket = LustreFileSystem(stack, "Lustre", vpc=vpc), DataBucket(stack, "Features")
    for number in range(8):
        lustre.add_link(f"/team{number}", bucket, prefix=f"team{number}/")
    with pytest.raises(ValueError, match="Test/Lustre: 8 links at most, got one more, '/team8'"):
        lustre.add_link("/team8", bucket, prefix="team8/")


def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    LustreFileSystem(stack, "Lustre", vpc=vpc).add_link("/features", DataBucket(stack, "Features"))
    assert_complies(app)


def test_links_are_made_one_after_the_other(stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    """FSx refuses a second association while it makes one."""
    lustre, bucket = LustreFileSystem(stack, "Lustre", vpc=vpc), DataBucket(stack, "Features")
    links = [lustre.add_link(f"/{team}", bucket, prefix=f"{team}/") for team in ("churn", "fraud", "pricing")]
    ids = [stack.get_logical_id(link) for link in links]
    found = Template.from_stack(stack).find_resources("AWS::FSx::DataRepositoryAssociation")
    assert [[each for each in found[id].get("DependsOn", []) if each in ids] for id in ids] == [[], ids[:1], ids[1:2]]


def test_refuses_to_import_from_a_bucket_that_sends_events(stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    lustre, bucket = LustreFileSystem(stack, "Lustre", vpc=vpc), DataBucket(stack, "Models", events=True)
    with pytest.raises(ValueError, match="link '/models': bucket Test/Models sends its events to EventBridge"):
        lustre.add_link("/models", bucket)
    lustre.add_link("/models", bucket, auto_import=(), auto_export=("NEW",))
