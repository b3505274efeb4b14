"""Resource types of our extensions can be created, changed and deleted completely."""

import json
from typing import Any

import pytest

Template = dict[str, Any]


def assert_created_changed_and_deleted(cloud: Any, created: Template, changed: Template) -> None:
    """Create, change in place, delete: no physical id changes, and nothing is left."""
    before = cloud.resources()
    cloud.create(created)
    ids = cloud.ids()
    cloud.update(changed)
    assert cloud.ids() == ids
    cloud.delete()
    assert cloud.resources() == before


def network(tag: str) -> Template:
    """A subnet with internet access and flow logs, and two security groups that refer to each other."""
    tags = {"Tags": [{"Key": "state", "Value": tag}]}
    rule = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "Description": tag}
    group = {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": "x", "VpcId": {"Ref": "Vpc"}}}
    there, back = {"Fn::GetAtt": ["There", "GroupId"]}, {"Fn::GetAtt": ["Back", "GroupId"]}
    return {
        "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
        "Subnet": {"Type": "AWS::EC2::Subnet", "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.0.0.0/24"}},
        "Ip": {"Type": "AWS::EC2::EIP", "Properties": {"Domain": "vpc", **tags}},
        "Nat": {
            "Type": "AWS::EC2::NatGateway",
            "Properties": {
                "SubnetId": {"Ref": "Subnet"},
                "AllocationId": {"Fn::GetAtt": ["Ip", "AllocationId"]},
                **tags,
            },
        },
        "FlowBucket": {"Type": "AWS::S3::Bucket"},
        "Flows": {
            "Type": "AWS::EC2::FlowLog",
            "Properties": {
                "ResourceId": {"Ref": "Vpc"},
                "ResourceType": "VPC",
                "TrafficType": "ALL",
                "LogDestinationType": "s3",
                "LogDestination": {"Fn::GetAtt": ["FlowBucket", "Arn"]},
                **tags,
            },
        },
        "There": group,
        "Back": group,
        "In": {
            "Type": "AWS::EC2::SecurityGroupIngress",
            "Properties": {"GroupId": there, "SourceSecurityGroupId": back, **rule},
        },
        "Out": {
            "Type": "AWS::EC2::SecurityGroupEgress",
            "Properties": {"GroupId": back, "DestinationSecurityGroupId": there, **rule},
        },
    }


def identities(action: str, audience: str) -> Template:
    """A group with policies, and a provider of web identities."""
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    return {
        "Group": {
            "Type": "AWS::IAM::Group",
            "Properties": {
                "ManagedPolicyArns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"],
                "Policies": [
                    {"PolicyName": "own", "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]}}
                ],
            },
        },
        "Provider": {
            "Type": "AWS::IAM::OIDCProvider",
            "Properties": {"Url": "https://issuer.example.com/id/1", "ClientIdList": [audience]},
        },
    }


def records(validated: bool, mode: str) -> Template:
    """A trail, a saved query, a selection of what to back up, and how a data catalogue encrypts."""
    document = {"Version": "2012-10-17", "Statement": []}
    encryption = {"CloudWatchEncryption": {"CloudWatchEncryptionMode": mode}}
    return {
        "Bucket": {"Type": "AWS::S3::Bucket"},
        "Trail": {
            "Type": "AWS::CloudTrail::Trail",
            "Properties": {
                "S3BucketName": {"Ref": "Bucket"},
                "IsLogging": True,
                "EnableLogFileValidation": validated,
                "EventSelectors": [{"ReadWriteType": "All", "IncludeManagementEvents": validated}],
            },
        },
        "Group": {"Type": "AWS::Athena::WorkGroup", "Properties": {"Name": "features"}},
        "Query": {
            "Type": "AWS::Athena::NamedQuery",
            "Properties": {"Database": "features", "QueryString": "SELECT 1", "WorkGroup": {"Ref": "Group"}},
        },
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": document}},
        "Vault": {"Type": "AWS::Backup::BackupVault", "Properties": {"BackupVaultName": "metadata"}},
        "Plan": {
            "Type": "AWS::Backup::BackupPlan",
            "Properties": {
                "BackupPlan": {
                    "BackupPlanName": "daily",
                    "BackupPlanRule": [{"RuleName": "daily", "TargetBackupVault": {"Ref": "Vault"}}],
                }
            },
        },
        "Selection": {
            "Type": "AWS::Backup::BackupSelection",
            "Properties": {
                "BackupPlanId": {"Ref": "Plan"},
                "BackupSelection": {
                    "SelectionName": "buckets",
                    "IamRoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
                    "Resources": [{"Fn::GetAtt": ["Bucket", "Arn"]}],
                },
            },
        },
        "Encryption": {
            "Type": "AWS::Glue::SecurityConfiguration",
            "Properties": {"Name": "catalogue", "EncryptionConfiguration": encryption},
        },
    }


@pytest.mark.parametrize(
    ("created", "changed"),
    [
        pytest.param(network("new"), network("old"), id="network"),
        pytest.param(
            identities("s3:GetObject", "sts.amazonaws.com"), identities("s3:ListBucket", "other"), id="identities"
        ),
        pytest.param(records(True, "DISABLED"), records(False, "SSE-KMS"), id="records"),
    ],
)
def test_types_behind_an_api_of_the_emulator(cloud: Any, created: Template, changed: Template) -> None:
    assert_created_changed_and_deleted(cloud, created, changed)


def lustre(subnet: str, hours: int) -> Template:
    properties = {
        "FileSystemType": "LUSTRE",
        "SubnetIds": [subnet],
        "StorageCapacity": 1200,
        "LustreConfiguration": {"DeploymentType": "PERSISTENT_2", "AutomaticBackupRetentionDays": hours},
    }
    return {"Lustre": {"Type": "AWS::FSx::FileSystem", "Properties": properties}}


def test_a_type_that_is_recorded_only(cloud: Any) -> None:
    assert_created_changed_and_deleted(cloud, lustre("subnet-1", 1), lustre("subnet-1", 2))


def test_a_recorded_resource_has_the_attributes_that_the_registry_promises_and_keeps_them(cloud: Any) -> None:
    outputs = {name: {"Fn::GetAtt": ["Lustre", name]} for name in ("DNSName", "LustreMountName", "ResourceARN")}
    first = cloud.create(lustre("subnet-1", 1), outputs=outputs)
    file_system = cloud.ids()["Lustre"]
    assert first["DNSName"] == f"{file_system}.fsx.us-east-1.amazonaws.com"
    assert first["ResourceARN"].endswith(file_system)
    assert cloud.update(lustre("subnet-1", 2), outputs=outputs) == first


def test_a_create_only_property_replaces_a_recorded_resource(cloud: Any) -> None:
    cloud.create(lustre("subnet-1", 1))
    first = cloud.ids()["Lustre"]
    cloud.update(lustre("subnet-2", 1))
    second = cloud.ids()["Lustre"]
    assert first != second
    assert [key for store, _, key in cloud.resources() if store == "recorded._resources" and first in key] == []


def test_a_create_only_property_cannot_change_under_a_name_that_the_template_fixes(
    cloud: Any, stack_failed: type[Exception]
) -> None:
    def domain(key: str) -> Template:
        return {
            "Domain": {
                "Type": "AWS::ECR::PullThroughCacheRule",
                "Properties": {"EcrRepositoryPrefix": "mirror", "UpstreamRegistryUrl": key},
            }
        }

    cloud.create(domain("public.ecr.aws"))
    with pytest.raises(stack_failed, match="cannot update a stack when a custom-named resource requires replacing"):
        cloud.update(domain("quay.io"))


def test_an_attribute_that_the_emulator_does_not_compute_is_the_property_of_that_name(cloud: Any) -> None:
    vpc = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.1.0.0/16"}}
    assert cloud.create({"Vpc": vpc}, outputs={"Cidr": {"Fn::GetAtt": ["Vpc", "CidrBlock"]}}) == {"Cidr": "10.1.0.0/16"}


def test_the_name_of_a_type_whose_property_has_its_own_word_in_front_is_that_property(cloud: Any) -> None:
    domain = {"Type": "AWS::CodeArtifact::Domain", "Properties": {"DomainName": "platform"}}
    names = {"Name": {"Fn::GetAtt": ["Domain", "Name"]}}
    assert cloud.create({"Domain": domain}, outputs=names) == {"Name": "platform"}


def test_a_bucket_carries_its_tags(cloud: Any) -> None:
    tags = [{"Key": "team", "Value": "fraud"}]
    cloud.create({"Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"Tags": tags}}})
    assert cloud.client("s3").get_bucket_tagging(Bucket=cloud.ids()["Bucket"])["TagSet"] == tags


@pytest.mark.parametrize(
    "name",
    [
        "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-6.1-arm64",
        "/aws/service/eks/optimized-ami/1.35/amazon-linux-2023/x86_64/nvidia/recommended/image_id",
        "/aws/service/bottlerocket/aws-k8s-1.35/x86_64/latest/image_id",
    ],
)
def test_public_image_parameters_have_a_value(aws: Any, cloud: Any, name: str) -> None:
    assert cloud.client("ssm").get_parameter(Name=name)["Parameter"]["Value"].startswith("ami-")


def test_an_output_is_read_from_a_stack_of_another_region(cloud: Any) -> None:
    cloud.create(
        {"Topic": {"Type": "AWS::SNS::Topic"}},
        outputs={"Name": {"Fn::GetAtt": ["Topic", "TopicName"]}},
        region="us-west-2",
    )
    there = cloud.ids("us-west-2")["Topic"].rpartition(":")[2]
    reference = {"Fn::GetStackOutput": {"StackName": cloud.stack, "OutputName": "Name", "Region": "us-west-2"}}
    reader = {"Parameter": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": reference}}}
    cloud.create(reader)
    value = cloud.client("ssm").get_parameter(Name=cloud.ids()["Parameter"])["Parameter"]["Value"]
    assert value == there


def test_properties_without_effect_are_reported(cloud: Any) -> None:
    rules = [{"Status": "Enabled", "ExpirationInDays": 7}]
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"LifecycleConfiguration": {"Rules": rules}}}
    cloud.create({"Bucket": bucket})
    assert "LifecycleConfiguration" in json.dumps(cloud.aws.state()["ignored"]["AWS::S3::Bucket"])
