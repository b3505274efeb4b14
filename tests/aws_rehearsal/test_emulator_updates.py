"""Updates that AWS refuses, the AWS emulator refuses too, and takes the step that AWS takes."""

from typing import Any

import pytest

ROLE = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {"Statement": []}}}
NETWORK = {
    "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
    "One": {
        "Type": "AWS::EC2::Subnet",
        "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.0.0.0/24", "AvailabilityZone": "us-east-1a"},
    },
    "Two": {
        "Type": "AWS::EC2::Subnet",
        "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.0.1.0/24", "AvailabilityZone": "us-east-1b"},
    },
}
SUBNETS = [{"Ref": "One"}, {"Ref": "Two"}]


def stream(shards: int) -> dict[str, Any]:
    return {"Stream": {"Type": "AWS::Kinesis::Stream", "Properties": {"ShardCount": shards}}}


def files(capacity: int) -> dict[str, Any]:
    properties = {"FileSystemType": "LUSTRE", "SubnetIds": ["subnet-1"], "StorageCapacity": capacity}
    return {"Files": {"Type": "AWS::FSx::FileSystem", "Properties": properties}}


def database(storage: int) -> dict[str, Any]:
    properties = {
        "AllocatedStorage": str(storage),
        "DBInstanceClass": "db.t4g.medium",
        "Engine": "mysql",
        "MasterUsername": "admin",
        "MasterUserPassword": "only-for-this-test",
    }
    return {"Database": {"Type": "AWS::RDS::DBInstance", "Properties": properties}}


@pytest.mark.parametrize(
    ("before", "refused", "message", "accepted"),
    [
        (stream(1), stream(3), "UpdateShardCount cannot scale up over double", stream(2)),
        (stream(4), stream(1), "UpdateShardCount cannot scale down below half", stream(2)),
        (files(2400), files(1200), "must be at least 10 percent greater", files(4800)),
        (database(100), database(50), "cannot be less than current storage size (100)", database(200)),
        (database(100), database(105), "increased by at least 10 percent", database(110)),
    ],
    ids=["too many shards", "too few shards", "a smaller file system", "a smaller database", "a little growth"],
)
def test_a_step_that_aws_refuses_fails_and_one_that_it_takes_does_not(
    cloud: Any,
    stack_failed: type[Exception],
    before: dict[str, Any],
    refused: dict[str, Any],
    message: str,
    accepted: dict[str, Any],
) -> None:
    cloud.create(before)
    with pytest.raises(stack_failed) as failure:
        cloud.update(refused)
    assert message in str(failure.value)
    cloud.update(accepted)
    cloud.delete()


def balancer(**priorities: int) -> dict[str, Any]:
    """A load balancer with a rule for each name."""
    answer = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}
    rules = {
        name: {
            "Type": "AWS::ElasticLoadBalancingV2::ListenerRule",
            "Properties": {
                "ListenerArn": {"Ref": "Listener"},
                "Priority": priority,
                "Conditions": [{"Field": "path-pattern", "PathPatternConfig": {"Values": [f"/{name}"]}}],
                "Actions": [answer],
            },
        }
        for name, priority in priorities.items()
    }
    return {
        **NETWORK,
        "Balancer": {
            "Type": "AWS::ElasticLoadBalancingV2::LoadBalancer",
            "Properties": {"Scheme": "internal", "Subnets": SUBNETS},
        },
        "Listener": {
            "Type": "AWS::ElasticLoadBalancingV2::Listener",
            "Properties": {
                "LoadBalancerArn": {"Ref": "Balancer"},
                "Port": 80,
                "Protocol": "HTTP",
                "DefaultActions": [answer],
            },
        },
        **rules,
    }


@pytest.mark.parametrize("after", [{"one": 2, "two": 1}, {"three": 1}], ids=["swapped", "of a removed rule"])
def test_a_priority_is_in_use_until_the_update_ends(
    cloud: Any, stack_failed: type[Exception], after: dict[str, int]
) -> None:
    cloud.create(balancer(one=1, two=2))
    with pytest.raises(stack_failed, match=r"Priority '\d' is currently in use"):
        cloud.update(balancer(**after))
    cloud.update(balancer(one=11, two=12))
    cloud.update(balancer(one=2, two=1))
    cloud.delete()


def domain(name: str) -> dict[str, Any]:
    return {
        "Pool": {"Type": "AWS::Cognito::UserPool", "Properties": {"UserPoolName": "people"}},
        "Domain": {
            "Type": "AWS::Cognito::UserPoolDomain",
            "Properties": {
                "UserPoolId": {"Ref": "Pool"},
                "Domain": name,
                "CustomDomainConfig": {"CertificateArn": "arn:aws:acm:us-east-1:000000000000:certificate/a"},
            },
        },
    }


def test_a_user_pool_has_one_custom_domain(cloud: Any, stack_failed: type[Exception]) -> None:
    cloud.create(domain("auth.example.com"))
    with pytest.raises(stack_failed, match="User pool already has a domain configured"):
        cloud.update(domain("login.example.com"))
    cloud.delete()


def nodes(version: str, *, group_version: str | None = None, **properties: Any) -> dict[str, Any]:
    return {
        **NETWORK,
        "Role": ROLE,
        "Cluster": {
            "Type": "AWS::EKS::Cluster",
            "Properties": {
                "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
                "Version": version,
                "ResourcesVpcConfig": {"SubnetIds": SUBNETS},
            },
        },
        "Nodes": {
            "Type": "AWS::EKS::Nodegroup",
            "Properties": {
                "ClusterName": {"Ref": "Cluster"},
                "NodeRole": {"Fn::GetAtt": ["Role", "Arn"]},
                "Subnets": SUBNETS,
                "Version": group_version or version,
                **properties,
            },
        },
    }


def test_a_cluster_goes_one_minor_at_a_time_and_its_nodes_change_one_thing(
    cloud: Any, stack_failed: type[Exception]
) -> None:
    cloud.create(nodes("1.35", group_version="1.34", Labels={"a": "b"}))
    with pytest.raises(stack_failed, match=r"Unsupported Kubernetes minor version update from 1.35 to 1.37"):
        cloud.update(nodes("1.37", group_version="1.34", Labels={"a": "b"}))
    with pytest.raises(stack_failed, match="You cannot update other properties at the same time"):
        cloud.update(nodes("1.35", Labels={"a": "c"}))
    cloud.update(nodes("1.35", group_version="1.34", Labels={"a": "c"}))
    cloud.update(nodes("1.35", Labels={"a": "c"}))
    cloud.delete()


def test_a_change_set_that_only_adds_an_output_is_executed(cloud: Any) -> None:
    """Another stack begins to read an attribute of an existing resource."""
    resources = {"Role": ROLE}
    cloud.create(resources)
    assert "Arn" not in cloud.change(resources)
    assert ":role/" in cloud.change(resources, outputs={"Arn": {"Fn::GetAtt": ["Role", "Arn"]}})["Arn"]
    cloud.delete()


def test_an_update_deletes_the_exports_that_its_template_no_longer_has(
    cloud: Any, stack_failed: type[Exception]
) -> None:
    resources = {"Role": ROLE}
    name = f"{cloud.stack}-role"
    exported = {"Value": {"Ref": "Role"}, "Export": {"Name": name}}

    def exports() -> list[str]:
        found = cloud.client("cloudformation").list_exports()["Exports"]
        return [each["Name"] for each in found if each["Name"].startswith(cloud.stack)]

    cloud.create(resources, outputs={"Role": exported})
    other = {**exported, "Export": {"Name": f"{name}-2"}}
    with pytest.raises(stack_failed):
        cloud.update(resources, outputs={"Role": {**other, "Value": {"Fn::GetAtt": ["Role", "Missing"]}}})
    assert exports() == [name], "a failed update changes no export"
    cloud.update(resources, outputs={"Role": other})
    assert exports() == [f"{name}-2"]
    cloud.update(resources)
    assert exports() == []
    cloud.delete()
