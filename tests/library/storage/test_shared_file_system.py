import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Match, Template
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import Network, SharedFileSystem
from tests.compliance import assert_complies
from tests.policies import allows, flat, identity_statements

FILE_SYSTEM = "<SharedFileSystemDB4C0DFC.Arn>"
MOUNT, WRITE, ROOT = (f"elasticfilesystem:Client{what}" for what in ("Mount", "Write", "RootAccess"))


@pytest.fixture
def vpc(app: cdk.App) -> ec2.Vpc:
    """A network in a separate stack, so that only the file system is in the stack under test."""
    env = cdk.Environment(account="111111111111", region="eu-west-1")
    zones = ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
    return Network(cdk.Stack(app, "Net", env=env), "Network", availability_zones=zones).vpc


def role(stack: cdk.Stack) -> iam.Role:
    return iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))


def test_defaults(stack: cdk.Stack, vpc: ec2.Vpc, snapshot_json: SnapshotAssertion) -> None:
    SharedFileSystem(stack, "Shared", vpc=vpc)
    assert Template.from_stack(stack).to_json()["Resources"] == snapshot_json


@pytest.mark.promise("shared-workspaces")
def test_it_is_encrypted_backed_up_and_reachable_in_every_zone(stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    SharedFileSystem(stack, "Shared", vpc=vpc)
    template = Template.from_stack(stack)
    template.has_resource_properties(
        "AWS::EFS::FileSystem",
        {
            "Encrypted": True,
            "KmsKeyId": {"Fn::GetAtt": [Match.string_like_regexp("SharedKey"), "Arn"]},
            "BackupPolicy": {"Status": "ENABLED"},
            "LifecyclePolicies": [
                {"TransitionToIA": "AFTER_30_DAYS"},
                {"TransitionToPrimaryStorageClass": "AFTER_1_ACCESS"},
                {"TransitionToArchive": "AFTER_90_DAYS"},
            ],
        },
    )
    targets = template.find_resources("AWS::EFS::MountTarget").values()
    subnets = {flat(each["Properties"]["SubnetId"]) for each in targets}
    assert len(subnets) == 3
    assert all("PrivateSubnet" in subnet for subnet in subnets)


@pytest.mark.promise("shared-workspaces")
def test_it_is_mounted_over_tls_and_through_access_points_only(stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    """The file system's policy applies to every role, regardless of its own policies."""
    SharedFileSystem(stack, "Shared", vpc=vpc)
    (file_system,) = Template.from_stack(stack).find_resources("AWS::EFS::FileSystem").values()
    statements = file_system["Properties"]["FileSystemPolicy"]["Statement"]
    assert {each["Effect"] for each in statements} == {"Deny"}
    policy = [{"Effect": "Allow", "Action": "*", "Resource": "*"}, *({"Resource": "*", **each} for each in statements)]
    for action in (MOUNT, WRITE, ROOT):
        door = {"elasticfilesystem__AccessPointArn": "arn"}
        assert allows(policy, action, FILE_SYSTEM, aws__SecureTransport="true", **door)
        assert not allows(policy, action, FILE_SYSTEM, aws__SecureTransport="false", **door)
        assert not allows(policy, action, FILE_SYSTEM, aws__SecureTransport="true")


@pytest.mark.promise("shared-workspaces")
def test_a_team_has_a_directory_and_acts_as_one_user(stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    SharedFileSystem(stack, "Shared", vpc=vpc).add_access_point("churn")
    Template.from_stack(stack).has_resource_properties(
        "AWS::EFS::AccessPoint",
        {
            "PosixUser": {"Uid": "1000", "Gid": "100"},
            "RootDirectory": {
                "Path": "/churn",
                "CreationInfo": {"OwnerUid": "1000", "OwnerGid": "100", "Permissions": "770"},
            },
        },
    )


@pytest.mark.promise("shared-workspaces")
def test_a_grant_opens_one_access_point(stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    shared = SharedFileSystem(stack, "Shared", vpc=vpc)
    churn, fraud = (flat(stack.resolve(shared.add_access_point(team).access_point_arn)) for team in ("churn", "fraud"))
    shared.grant_read_write(role(stack), "churn")
    statements = identity_statements(Template.from_stack(stack), "Role1ABCC5F0")
    for action in (MOUNT, WRITE):
        assert allows(statements, action, FILE_SYSTEM, elasticfilesystem__AccessPointArn=churn)
        assert not allows(statements, action, FILE_SYSTEM, elasticfilesystem__AccessPointArn=fraud)
        assert not allows(statements, action, FILE_SYSTEM)
    assert not allows(statements, ROOT, FILE_SYSTEM, elasticfilesystem__AccessPointArn=churn)


@pytest.mark.promise("shared-workspaces")
def test_the_driver_mounts_through_any_access_point(app: cdk.App, stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    SharedFileSystem(stack, "Shared", vpc=vpc).grant_read_write(role(stack))
    statements = identity_statements(Template.from_stack(stack), "Role1ABCC5F0")
    any_of = "arn:aws:elasticfilesystem:eu-west-1:111111111111:access-point/fsap-1"
    assert allows(statements, MOUNT, FILE_SYSTEM, elasticfilesystem__AccessPointArn=any_of)
    assert not allows(statements, MOUNT, FILE_SYSTEM)
    app.synth()


def test_clients_reach_the_mount_targets_by_rules_of_their_own(app: cdk.App, stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    shared = SharedFileSystem(stack, "Shared", vpc=vpc)
    cluster = cdk.Stack(app, "Cluster", env=cdk.Environment(account="111111111111", region="eu-west-1"))
    shared.allow_clients(ec2.SecurityGroup(cluster, "Nodes", vpc=vpc))
    template = Template.from_stack(cluster)
    template.resource_count_is("AWS::EC2::SecurityGroupIngress", 1)
    template.has_resource_properties("AWS::EC2::SecurityGroupIngress", {"FromPort": 2049, "ToPort": 2049})
    Template.from_stack(stack).resource_count_is("AWS::EC2::SecurityGroupIngress", 0)
    assert cluster not in stack.dependencies


def test_a_file_system_without_retention_is_deleted(stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    SharedFileSystem(stack, "Shared", vpc=vpc, automatic_backups=False, removal_policy=cdk.RemovalPolicy.DESTROY)
    template = Template.from_stack(stack)
    template.all_resources("AWS::EFS::FileSystem", {"DeletionPolicy": "Delete"})
    template.all_resources_properties("AWS::EFS::FileSystem", {"BackupPolicy": Match.absent()})


@pytest.mark.parametrize(
    ("name", "owner", "said"),
    [
        ("churn", {}, "access point 'churn' already exists; choose another name"),
        ("Churn/2", {}, "name must be lower case letters, digits and dashes, got 'Churn/2'"),
        ("fraud", {"uid": 0}, r"uid and gid must not be 0 \(root\), got 0 and 100"),
        ("fraud", {"gid": 0}, r"uid and gid must not be 0 \(root\), got 1000 and 0"),
    ],
)
def test_refuses_an_access_point(stack: cdk.Stack, vpc: ec2.Vpc, name: str, owner: dict[str, int], said: str) -> None:
    shared = SharedFileSystem(stack, "Shared", vpc=vpc)
    shared.add_access_point("churn")
    with pytest.raises(ValueError, match=f"^Test/Shared: {said}"):
        shared.add_access_point(name, **owner)


def test_refuses_a_grant_for_an_access_point_that_does_not_exist(stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    shared = SharedFileSystem(stack, "Shared", vpc=vpc)
    with pytest.raises(ValueError, match="Test/Shared: no access point 'churn'; there are: none"):
        shared.grant_read_write(role(stack), "churn")


def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    SharedFileSystem(stack, "Shared", vpc=vpc).add_access_point("churn")
    assert_complies(app)


def test_the_drivers_controller_manages_its_own_access_points(app: cdk.App, stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    SharedFileSystem(stack, "Shared", vpc=vpc).grant_manage_access_points(role(stack)).assert_success()
    template = Template.from_stack(stack)
    (id,) = template.find_resources("AWS::IAM::Role")
    statements = identity_statements(template, id)
    point = "arn:aws:elasticfilesystem:eu-west-1:111111111111:access-point/fsap-1"
    create, delete = "elasticfilesystem:CreateAccessPoint", "elasticfilesystem:DeleteAccessPoint"
    tag = "efs.csi.aws.com/cluster"
    assert allows(statements, create, FILE_SYSTEM, **{f"aws__RequestTag/{tag}".replace("-", "_"): "true"})
    assert not allows(statements, create, FILE_SYSTEM)
    assert allows(statements, delete, point, **{f"aws__ResourceTag/{tag}": "true"})
    assert not allows(statements, delete, point)
    app.synth()  # wildcards have their exceptions


def test_refuses_a_grantee_of_another_account(stack: cdk.Stack, vpc: ec2.Vpc) -> None:
    shared = SharedFileSystem(stack, "Shared", vpc=vpc)
    foreign = iam.Role.from_role_arn(stack, "Foreign", "arn:aws:iam::222222222222:role/pods")
    with pytest.raises(ValueError, match="Test/Shared: the grantee of .* is of account 222222222222"):
        shared.grant_read_write(foreign)
