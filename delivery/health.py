"""The healthy state of each resource type, as its service reports it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jmespath
from botocore.exceptions import ClientError

Parameters = Callable[[str], dict[str, Any]]


@dataclass(frozen=True)
class Check:
    """The call that reads the state of a resource type, and the expected response.

    :param service: name of the boto3 client.
    :param operation: the client's method.
    :param parameters: arguments of the call, from the physical id that CloudFormation knows.
    :param answers: JMESPath expressions on the response, with their expected values.
    """

    service: str
    operation: str
    parameters: Parameters
    answers: Mapping[str, tuple[Any, ...]]

    def problems(self, client: Any, physical_id: str) -> Iterator[str]:
        """The problems, without the name of the resource."""
        try:
            response = getattr(client, self.operation)(**self.parameters(physical_id))
        except ClientError as error:
            yield f"{self.operation}: {error.response['Error']['Code']}: {error.response['Error']['Message']}"
            return
        for path, right in self.answers.items():
            if (found := jmespath.search(path, response)) not in right:
                yield f"{path} is {found!r}, should be {' or '.join(map(repr, right))}"


def _by(name: str) -> Parameters:
    return lambda id: {name: id}


def _by_list(name: str) -> Parameters:
    return lambda id: {name: [id]}


def _part_of_cluster(name: str, separator: str) -> Parameters:
    def parameters(id: str) -> dict[str, Any]:
        cluster, _, part = id.partition(separator)
        return {"clusterName": cluster, name: part}

    return parameters


CHECKS: dict[str, Check] = {
    "AWS::CertificateManager::Certificate": Check(
        "acm", "describe_certificate", _by("CertificateArn"), {"Certificate.Status": ("ISSUED",)}
    ),
    "AWS::CloudTrail::Trail": Check("cloudtrail", "get_trail_status", _by("Name"), {"IsLogging": (True,)}),
    "AWS::Cognito::UserPool": Check(
        "cognito-idp", "describe_user_pool", _by("UserPoolId"), {"type(UserPool.Id)": ("string",)}
    ),
    "AWS::Cognito::UserPoolDomain": Check(
        "cognito-idp", "describe_user_pool_domain", _by("Domain"), {"DomainDescription.Status": ("ACTIVE",)}
    ),
    "AWS::DynamoDB::Table": Check(
        "dynamodb", "describe_table", _by("TableName"), {"Table.TableStatus": ("ACTIVE", "UPDATING")}
    ),
    "AWS::EC2::NatGateway": Check(
        "ec2", "describe_nat_gateways", _by_list("NatGatewayIds"), {"NatGateways[0].State": ("available",)}
    ),
    "AWS::EC2::VPCEndpoint": Check(
        "ec2", "describe_vpc_endpoints", _by_list("VpcEndpointIds"), {"VpcEndpoints[0].State": ("available",)}
    ),
    "AWS::EFS::FileSystem": Check(
        "efs",
        "describe_file_systems",
        _by("FileSystemId"),
        {"FileSystems[0].LifeCycleState": ("available",), "FileSystems[0].Encrypted": (True,)},
    ),
    "AWS::EKS::Addon": Check(
        "eks",
        "describe_addon",
        _part_of_cluster("addonName", "|"),
        {"addon.status": ("ACTIVE",), "length(addon.health.issues || `[]`)": (0,)},
    ),
    "AWS::EKS::Cluster": Check(
        "eks",
        "describe_cluster",
        _by("name"),
        {"cluster.status": ("ACTIVE",), "length(cluster.health.issues || `[]`)": (0,)},
    ),
    "AWS::EKS::Nodegroup": Check(
        "eks",
        "describe_nodegroup",
        _part_of_cluster("nodegroupName", "/"),
        {"nodegroup.status": ("ACTIVE",), "length(nodegroup.health.issues || `[]`)": (0,)},
    ),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": Check(
        "elbv2", "describe_load_balancers", _by_list("LoadBalancerArns"), {"LoadBalancers[0].State.Code": ("active",)}
    ),
    "AWS::ElasticLoadBalancingV2::TargetGroup": Check(
        "elbv2",
        "describe_target_health",
        _by("TargetGroupArn"),
        {"length(TargetHealthDescriptions[?TargetHealth.State=='unhealthy'])": (0,)},
    ),
    "AWS::FSx::FileSystem": Check(
        "fsx", "describe_file_systems", _by_list("FileSystemIds"), {"FileSystems[0].Lifecycle": ("AVAILABLE",)}
    ),
    "AWS::KMS::Key": Check("kms", "describe_key", _by("KeyId"), {"KeyMetadata.KeyState": ("Enabled",)}),
    "AWS::Kinesis::Stream": Check(
        "kinesis",
        "describe_stream_summary",
        _by("StreamName"),
        {
            "StreamDescriptionSummary.StreamStatus": ("ACTIVE", "UPDATING"),
            "StreamDescriptionSummary.EncryptionType": ("KMS",),
        },
    ),
    "AWS::Lambda::Function": Check(
        "lambda", "get_function_configuration", _by("FunctionName"), {"State": ("Active", "Inactive")}
    ),
    "AWS::RDS::DBInstance": Check(
        "rds",
        "describe_db_instances",
        _by("DBInstanceIdentifier"),
        {"DBInstances[0].DBInstanceStatus": ("available",), "DBInstances[0].StorageEncrypted": (True,)},
    ),
    "AWS::SecretsManager::Secret": Check(
        "secretsmanager", "describe_secret", _by("SecretId"), {"type(ARN)": ("string",), "DeletedDate": (None,)}
    ),
    "AWS::S3::Bucket": Check(
        "s3",
        "get_bucket_encryption",
        _by("Bucket"),
        {
            "ServerSideEncryptionConfiguration.Rules[0].ApplyServerSideEncryptionByDefault.SSEAlgorithm": (
                "aws:kms",
                "AES256",
            )
        },
    ),
}
"""Checks by resource type. Physical ids are those of CloudFormation's ``Ref``: a node group's is ``cluster/name``, an
add-on's ``cluster|name``."""
BOUND = "elbv2.k8s.aws/cluster"
"""Tag of a target group whose targets a cluster registers: the gateway of Kubeflow, where a cluster has it."""
ANSWERING = Check(
    "elbv2",
    "describe_target_health",
    _by("TargetGroupArn"),
    {"length(TargetHealthDescriptions[?TargetHealth.State=='healthy']) > `0`": (True,)},
)
"""The check of such a target group: at least one pod of the gateway answers the load balancer."""


def checks_of(resource: Mapping[str, Any]) -> Iterator[Check]:
    """The checks of a resource of a template."""
    type = resource["Type"]
    if type in CHECKS:
        yield CHECKS[type]
    if any(tag.get("Key") == BOUND for tag in _tags(resource)):
        yield ANSWERING


def _tags(resource: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    is_group = resource["Type"] == "AWS::ElasticLoadBalancingV2::TargetGroup"
    return resource.get("Properties", {}).get("Tags", ()) if is_group else ()
