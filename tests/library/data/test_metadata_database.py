import json
import re
import ssl
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Match, Template
from syrupy.assertion import SnapshotAssertion
from syrupy.filters import paths

from mlplatform_constructs import ConfigurationError, MetadataDatabase, Network
from tests.compliance import assert_complies
from tests.policies import many


@pytest.fixture
def vpc(stack: cdk.Stack) -> ec2.IVpc:
    network = cdk.Stack(stack.node.scope, "Other", env=cdk.Environment(account="111111111111", region="eu-west-1"))
    return Network(network, "Network", availability_zones=["eu-west-1a", "eu-west-1b"]).vpc


def instance(template: Template) -> dict[str, Any]:
    (resource,) = template.find_resources("AWS::RDS::DBInstance").values()
    return dict(resource)


def test_defaults(stack: cdk.Stack, vpc: ec2.IVpc, snapshot_json: SnapshotAssertion) -> None:
    MetadataDatabase(stack, "Database", vpc=vpc)
    resources = Template.from_stack(stack).to_json()["Resources"]
    (function,) = (id for id, each in resources.items() if each["Type"] == "AWS::Lambda::Function")
    assert resources == snapshot_json(exclude=paths(f"{function}.Properties.Code.S3Key"))


@pytest.mark.promise("metadata-database")
def test_a_standby_in_another_zone_takes_over(stack: cdk.Stack, vpc: ec2.IVpc) -> None:
    MetadataDatabase(stack, "Database", vpc=vpc)
    properties = instance(Template.from_stack(stack))["Properties"]
    assert properties["MultiAZ"] is True
    assert (properties["Engine"], properties["EngineVersion"]) == ("mysql", "8.4")


@pytest.mark.promise("metadata-database")
def test_only_tls_gets_in_and_only_from_inside(stack: cdk.Stack, vpc: ec2.IVpc) -> None:
    MetadataDatabase(stack, "Database", vpc=vpc)
    template = Template.from_stack(stack)
    template.has_resource_properties(
        "AWS::RDS::DBParameterGroup",
        {"Family": "mysql8.4", "Parameters": Match.object_like({"require_secure_transport": "1"})},
    )
    properties = instance(template)["Properties"]
    assert properties["PubliclyAccessible"] is False
    assert properties["EnableIAMDatabaseAuthentication"] is True
    (rule,) = template.find_resources("AWS::EC2::SecurityGroupIngress").values()
    assert "SourceSecurityGroupId" in rule["Properties"]  # only the handler


@pytest.mark.promise("model-registry")
def test_each_model_registry_has_a_user_a_database_and_a_secret_of_its_own(stack: cdk.Stack, vpc: ec2.IVpc) -> None:
    teams = ["churn", "a-team-with-a-name-of-forty-characters", "a-team-with-a-name-of-forty-letters"]
    database = MetadataDatabase(stack, "Database", vpc=vpc, registries=teams)
    added = [name for name in database.credentials if name not in MetadataDatabase.CONSUMERS]
    assert added == [f"registry-{team}" for team in teams]
    consumers = [database.consumers[name] for name in added]
    assert len({consumer.user for consumer in consumers}) == len(teams)
    for consumer in consumers:
        assert re.fullmatch("[a-z][a-z0-9]{0,31}", consumer.user), "the function that creates users requires this form"
        assert consumer.database == consumer.user
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::SecretsManager::Secret", len(database.consumers))
    template.resource_count_is("AWS::SecretsManager::RotationSchedule", len(database.consumers))


def test_a_team_with_two_model_registries_is_refused(stack: cdk.Stack, vpc: ec2.IVpc) -> None:
    with pytest.raises(ConfigurationError, match=r"registries has 'churn' more than once; a team has one"):
        MetadataDatabase(stack, "Database", vpc=vpc, registries=["churn", "churn"])


def test_a_client_gets_in_through_connections(stack: cdk.Stack, vpc: ec2.IVpc) -> None:
    pods = ec2.SecurityGroup(stack, "Pods", vpc=vpc)
    MetadataDatabase(stack, "Database", vpc=vpc).connections.allow_default_port_from(pods)
    template = Template.from_stack(stack)
    template.resource_properties_count_is("AWS::EC2::SecurityGroupIngress", {"FromPort": 3306, "ToPort": 3306}, 2)


def test_everything_at_rest_is_under_the_given_key(stack: cdk.Stack, vpc: ec2.IVpc) -> None:
    key = kms.Key(stack, "Key", enable_key_rotation=True)
    MetadataDatabase(stack, "Database", vpc=vpc, encryption_key=key)
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::KMS::Key", 1)
    arn = stack.resolve(key.key_arn)
    properties = instance(template)["Properties"]
    assert properties["StorageEncrypted"] is True
    assert properties["KmsKeyId"] == properties["PerformanceInsightsKMSKeyId"] == arn
    assert properties["MasterUserSecret"]["KmsKeyId"] == arn
    template.all_resources_properties("AWS::SecretsManager::Secret", {"KmsKeyId": arn})


@pytest.mark.promise("storage-grows")
def test_storage_grows_by_itself_and_tells_when_it_cannot(stack: cdk.Stack, vpc: ec2.IVpc) -> None:
    MetadataDatabase(stack, "Database", vpc=vpc, storage_gib=100, max_storage_gib=1000)
    template = Template.from_stack(stack)
    properties = instance(template)["Properties"]
    assert (properties["AllocatedStorage"], properties["MaxAllocatedStorage"]) == ("100", 1000)
    template.has_resource_properties(
        "AWS::CloudWatch::Alarm",
        {
            "MetricName": "FreeStorageSpace",
            "Threshold": 5 * 2**30,
            "ComparisonOperator": "LessThanThreshold",
            "Dimensions": [{"Name": "DBInstanceIdentifier", "Value": {"Ref": Match.any_value()}}],
        },
    )


@pytest.mark.parametrize("metric", ["CPUUtilization", "DatabaseConnections", "Errors"])
def test_somebody_is_reported_before_users_notice(stack: cdk.Stack, vpc: ec2.IVpc, metric: str) -> None:
    MetadataDatabase(stack, "Database", vpc=vpc, alarm_topic=sns.Topic(stack, "Topic", enforce_ssl=True))
    template = Template.from_stack(stack)
    (topic,) = template.find_resources("AWS::SNS::Topic")
    template.has_resource_properties("AWS::CloudWatch::Alarm", {"MetricName": metric, "AlarmActions": [{"Ref": topic}]})


def test_data_and_secrets_outlive_the_stack(stack: cdk.Stack, vpc: ec2.IVpc) -> None:
    MetadataDatabase(stack, "Database", vpc=vpc)
    template = Template.from_stack(stack)
    kinds = ("RDS::DBInstance", "RDS::DBParameterGroup", "RDS::DBSubnetGroup", "SecretsManager::Secret", "KMS::Key")
    for kind in kinds:
        template.all_resources(f"AWS::{kind}", {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"})
    properties = instance(template)["Properties"]
    assert properties["DeletionProtection"] is True
    assert properties["DeleteAutomatedBackups"] is False
    assert properties["BackupRetentionPeriod"] == 14


def test_a_platform_that_may_go_takes_its_database_along(app: cdk.App, stack: cdk.Stack, vpc: ec2.IVpc) -> None:
    MetadataDatabase(stack, "Database", vpc=vpc, highly_available=False, removal_policy=cdk.RemovalPolicy.DESTROY)
    template = Template.from_stack(stack)
    assert instance(template)["DeletionPolicy"] == "Delete"
    assert instance(template)["Properties"]["DeletionProtection"] is False
    app.synth()  # the compliance pack hears why


@pytest.mark.promise("database-per-service")
def test_every_consumer_has_a_database_a_user_and_a_rotated_secret_of_its_own(stack: cdk.Stack, vpc: ec2.IVpc) -> None:
    MetadataDatabase(stack, "Database", vpc=vpc)
    template = Template.from_stack(stack)
    described = {}
    for resource in template.find_resources("AWS::SecretsManager::Secret").values():
        parts = resource["Properties"]["GenerateSecretString"]["SecretStringTemplate"]["Fn::Join"][1]
        text = json.loads("".join(part if isinstance(part, str) else "address" for part in parts))
        described[text["username"]] = (text["dbname"], text["authentication"], text["host"], text["port"])
    assert described == {
        "pipelines": ("mlpipeline", "caching_sha2_password", "address", 3306),
        "metadata": ("metadb", "mysql_native_password", "address", 3306),
        "cache": ("cachedb", "caching_sha2_password", "address", 3306),
        "katib": ("katib", "caching_sha2_password", "address", 3306),
    }
    template.resource_count_is("AWS::SecretsManager::RotationSchedule", 4)
    template.all_resources_properties(
        "AWS::SecretsManager::RotationSchedule",
        {"RotateImmediatelyOnUpdate": False, "RotationRules": {"AutomaticallyAfterDays": 30}},
    )


def test_rotation_is_tried_out_only_when_the_users_exist(stack: cdk.Stack, vpc: ec2.IVpc) -> None:
    MetadataDatabase(stack, "Database", vpc=vpc)
    template = Template.from_stack(stack)
    (users,) = template.find_resources("Custom::MetadataUsers")
    for schedule in template.find_resources("AWS::SecretsManager::RotationSchedule").values():
        assert users in schedule["DependsOn"]


def test_the_master_password_is_kept_by_rds_and_in_no_template(stack: cdk.Stack, vpc: ec2.IVpc) -> None:
    MetadataDatabase(stack, "Database", vpc=vpc)
    properties = instance(Template.from_stack(stack))["Properties"]
    assert properties["ManageMasterUserPassword"] is True
    assert "MasterUserPassword" not in properties


def test_a_reader_of_one_secret_reads_no_other_and_writes_none(stack: cdk.Stack, vpc: ec2.IVpc) -> None:
    reader = iam.Role(stack, "Reader", assumed_by=iam.AccountRootPrincipal())
    database = MetadataDatabase(stack, "Database", vpc=vpc)
    database.grant_read_credentials(reader, "katib")
    statements = [
        statement
        for policy in Template.from_stack(stack).find_resources("AWS::IAM::Policy").values()
        if stack.resolve(reader.role_name) in policy["Properties"]["Roles"]
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    ]
    secret = [each for each in statements if "secretsmanager:GetSecretValue" in each["Action"]]
    assert [each["Resource"] for each in secret] == [stack.resolve(database.credentials["katib"].ref)]
    granted = {action for each in statements for action in many(each["Action"])}
    assert granted == {"secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret", "kms:Decrypt"}


def test_logs_are_encrypted_before_rds_writes_them(stack: cdk.Stack, vpc: ec2.IVpc) -> None:
    key = kms.Key(stack, "LogKey", enable_key_rotation=True)
    MetadataDatabase(stack, "Database", vpc=vpc, log_encryption_key=key)
    template = Template.from_stack(stack)
    template.all_resources_properties("AWS::Logs::LogGroup", {"KmsKeyId": stack.resolve(key.key_arn)})
    name = instance(template)["Properties"]["DBInstanceIdentifier"]
    for log in ("error", "slowquery"):
        group = f"/aws/rds/instance/{name}/{log}"
        (id,) = template.find_resources("AWS::Logs::LogGroup", {"Properties": {"LogGroupName": group}})
        assert id in instance(template)["DependsOn"]


def test_a_first_deployment_that_fails_leaves_no_log_group_that_stops_the_next(stack: cdk.Stack, vpc: ec2.IVpc) -> None:
    """RDS names the groups, so a group that is left over would be in the way of the same stack."""
    MetadataDatabase(stack, "Database", vpc=vpc)
    groups = Template.from_stack(stack).find_resources("AWS::Logs::LogGroup").values()
    named = [group for group in groups if "LogGroupName" in group["Properties"]]
    assert len(named) == 2
    for group in named:
        assert (group["DeletionPolicy"], group["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


def test_the_asset_is_the_handler_and_the_pinned_client_and_the_same_each_time(tmp_path: Path) -> None:
    def key(folder: str) -> str:
        app = cdk.App(outdir=str(tmp_path / folder))
        stack = cdk.Stack(app, "Test", env=cdk.Environment(account="111111111111", region="eu-west-1"))
        network = Network(stack, "Network", availability_zones=["eu-west-1a", "eu-west-1b"])
        MetadataDatabase(stack, "Database", vpc=network.vpc)
        assets = json.loads(Path(app.synth().directory, "Test.assets.json").read_text())["files"]
        (found,) = (
            (id, Path(app.outdir, each["source"]["path"]))
            for id, each in assets.items()
            if each["displayName"].endswith("Users/Function/Code")
        )
        assert {path.name for path in found[1].iterdir()} == {"mlplatform_constructs", "pymysql"}
        assert (found[1] / "mlplatform_constructs" / "_data" / "metadata_database_handler" / "rds_roots.pem").is_file()
        assert not list(found[1].rglob("__pycache__"))
        return str(found[0])

    assert key("one") == key("two")


def test_the_shipped_authorities_are_authorities_in_force() -> None:
    context = ssl.create_default_context(cafile=str(MetadataDatabase.CERTIFICATE_AUTHORITIES))
    authorities = context.get_ca_certs()
    assert len(authorities) == MetadataDatabase.CERTIFICATE_AUTHORITIES.read_text().count("BEGIN CERTIFICATE")
    for authority in authorities:
        assert authority["subject"] == authority["issuer"]
        assert str(authority["notAfter"]).split()[-2] > "2060"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"instance_type": "db.t4g.medium"}, "instance_type must be a class such as 't4g.medium', got 'db.t4g.medium'"),
        ({"instance_type": "t4g.micro"}, "instance_type must be medium or larger, got 't4g.micro'"),
        ({"storage_gib": 19}, "storage_gib must be 20 or more, got 19"),
        ({"storage_gib": 100, "max_storage_gib": 109}, "max_storage_gib must be .* got 109 for 100; use 110 or more"),
        ({"max_connections": 19}, "max_connections must be 20 to 16000, got 19"),
        ({"backup_days": 0}, "backup_days must be 1 to 35, got 0; RDS keeps no more"),
        ({"backup_days": 36}, "backup_days must be 1 to 35, got 36"),
    ],
)
def test_fails_on_what_rds_would_refuse(
    stack: cdk.Stack, vpc: ec2.IVpc, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=f"Test/Database: {message}"):
        MetadataDatabase(stack, "Database", vpc=vpc, **arguments)


def test_fails_in_a_region_whose_authority_is_not_shipped(app: cdk.App) -> None:
    stack = cdk.Stack(app, "Test", env=cdk.Environment(account="111111111111", region="mx-central-1"))
    network = Network(stack, "Network", availability_zones=["mx-central-1a", "mx-central-1b"])
    with pytest.raises(ValueError, match="no authority of region mx-central-1; add rds-ca-rsa2048-g1 of AWS's bundle"):
        MetadataDatabase(stack, "Database", vpc=network.vpc)


def test_fails_on_a_consumer_that_does_not_exist(stack: cdk.Stack, vpc: ec2.IVpc) -> None:
    reader = iam.Role(stack, "Reader", assumed_by=iam.AccountRootPrincipal())
    with pytest.raises(ValueError, match="no consumer 'spark'; there are: pipelines, metadata, cache, katib"):
        MetadataDatabase(stack, "Database", vpc=vpc).grant_read_credentials(reader, "spark")


def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack, vpc: ec2.IVpc) -> None:
    MetadataDatabase(stack, "Database", vpc=vpc)
    assert_complies(app)
