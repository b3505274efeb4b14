"""Physical names and ARNs of the resources of templates, in the formats of AWS.

A name that a template leaves to CloudFormation is derived from stack and logical id, so it is always the same.
ARN formats: https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

import hashlib
from dataclasses import dataclass

from delivery.gate.templates import Resource
from delivery.gate.values import Value, text_of


@dataclass(frozen=True)
class Kind:
    """How the resources of a type are named.

    :param arn: format of the ARN; ``{name}`` is the physical name, ``{r}`` the region, ``{a}`` the account.
    :param name: property that gives the name, by its path with dots, or none.
    :param ref: what ``Ref`` returns, a format as ``arn``. Default: the name.
    """

    arn: str
    name: str = ""
    ref: str = "{name}"


_ARN_IS_REF = "{arn}"
KINDS = {
    "AWS::Athena::WorkGroup": Kind("arn:aws:athena:{r}:{a}:workgroup/{name}", "Name"),
    "AWS::AutoScaling::AutoScalingGroup": Kind(
        "arn:aws:autoscaling:{r}:{a}:autoScalingGroup:{hash}:autoScalingGroupName/{name}", "AutoScalingGroupName"
    ),
    "AWS::CertificateManager::Certificate": Kind("arn:aws:acm:{r}:{a}:certificate/{name}", ref=_ARN_IS_REF),
    "AWS::CloudTrail::Trail": Kind("arn:aws:cloudtrail:{r}:{a}:trail/{name}", "TrailName"),
    "AWS::CloudWatch::Alarm": Kind("arn:aws:cloudwatch:{r}:{a}:alarm:{name}", "AlarmName"),
    "AWS::CodeArtifact::Domain": Kind("arn:aws:codeartifact:{r}:{a}:domain/{name}", "DomainName", _ARN_IS_REF),
    "AWS::CodeBuild::Project": Kind("arn:aws:codebuild:{r}:{a}:project/{name}", "Name"),
    "AWS::CodePipeline::Pipeline": Kind("arn:aws:codepipeline:{r}:{a}:{name}", "Name"),
    "AWS::Cognito::UserPool": Kind("arn:aws:cognito-idp:{r}:{a}:userpool/{name}"),
    "AWS::DynamoDB::Table": Kind("arn:aws:dynamodb:{r}:{a}:table/{name}", "TableName"),
    "AWS::EC2::LaunchTemplate": Kind("arn:aws:ec2:{r}:{a}:launch-template/{name}"),
    "AWS::EC2::SecurityGroup": Kind("arn:aws:ec2:{r}:{a}:security-group/{name}"),
    "AWS::EC2::Subnet": Kind("arn:aws:ec2:{r}:{a}:subnet/{name}"),
    "AWS::EC2::VPC": Kind("arn:aws:ec2:{r}:{a}:vpc/{name}"),
    "AWS::ECR::Repository": Kind("arn:aws:ecr:{r}:{a}:repository/{name}", "RepositoryName"),
    "AWS::EFS::FileSystem": Kind("arn:aws:elasticfilesystem:{r}:{a}:file-system/{name}"),
    "AWS::EKS::Cluster": Kind("arn:aws:eks:{r}:{a}:cluster/{name}", "Name"),
    "AWS::Events::Rule": Kind("arn:aws:events:{r}:{a}:rule/{name}", "Name"),
    "AWS::FSx::FileSystem": Kind("arn:aws:fsx:{r}:{a}:file-system/{name}"),
    "AWS::Glue::Database": Kind("arn:aws:glue:{r}:{a}:database/{name}", "DatabaseInput.Name"),
    "AWS::Glue::Table": Kind("arn:aws:glue:{r}:{a}:table/{name}", "TableInput.Name"),
    "AWS::IAM::InstanceProfile": Kind("arn:aws:iam::{a}:instance-profile/{name}", "InstanceProfileName"),
    "AWS::IAM::ManagedPolicy": Kind("arn:aws:iam::{a}:policy/{name}", "ManagedPolicyName", _ARN_IS_REF),
    "AWS::IAM::OIDCProvider": Kind("arn:aws:iam::{a}:oidc-provider/{name}", ref=_ARN_IS_REF),
    "AWS::IAM::Role": Kind("arn:aws:iam::{a}:role{path}{name}", "RoleName"),
    "AWS::KMS::Key": Kind("arn:aws:kms:{r}:{a}:key/{name}"),
    "AWS::Kinesis::Stream": Kind("arn:aws:kinesis:{r}:{a}:stream/{name}", "Name"),
    "AWS::KinesisFirehose::DeliveryStream": Kind(
        "arn:aws:firehose:{r}:{a}:deliverystream/{name}", "DeliveryStreamName"
    ),
    "AWS::Lambda::Function": Kind("arn:aws:lambda:{r}:{a}:function:{name}", "FunctionName"),
    "AWS::Logs::LogGroup": Kind("arn:aws:logs:{r}:{a}:log-group:{name}:*", "LogGroupName"),
    "AWS::RDS::DBInstance": Kind("arn:aws:rds:{r}:{a}:db:{name}", "DBInstanceIdentifier"),
    "AWS::Route53::HostedZone": Kind("arn:aws:route53:::hostedzone/{name}"),
    "AWS::S3::Bucket": Kind("arn:aws:s3:::{name}", "BucketName"),
    "AWS::SNS::Topic": Kind("arn:aws:sns:{r}:{a}:{name}", "TopicName", _ARN_IS_REF),
    "AWS::SQS::Queue": Kind("arn:aws:sqs:{r}:{a}:{name}", "QueueName", "https://sqs.{r}.amazonaws.com/{a}/{name}"),
    "AWS::SSM::Parameter": Kind("arn:aws:ssm:{r}:{a}:parameter/{name}", "Name"),
    "AWS::SSO::PermissionSet": Kind("arn:aws:sso:::permissionSet/ssoins-0/{name}", ref=_ARN_IS_REF),
    "AWS::Scheduler::Schedule": Kind("arn:aws:scheduler:{r}:{a}:schedule/default/{name}", "Name"),
    "AWS::SecretsManager::Secret": Kind("arn:aws:secretsmanager:{r}:{a}:secret:{name}-AbCdEf", "Name", _ARN_IS_REF),
    "AWS::StepFunctions::StateMachine": Kind(
        "arn:aws:states:{r}:{a}:stateMachine:{name}", "StateMachineName", _ARN_IS_REF
    ),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": Kind(
        "arn:aws:elasticloadbalancing:{r}:{a}:loadbalancer/app/{name}/{hash}", "Name", _ARN_IS_REF
    ),
    "AWS::ElasticLoadBalancingV2::TargetGroup": Kind(
        "arn:aws:elasticloadbalancing:{r}:{a}:targetgroup/{name}/{hash}", "Name", _ARN_IS_REF
    ),
    "AWS::WAFv2::WebACL": Kind("arn:aws:wafv2:{r}:{a}:regional/webacl/{name}/{hash}", "Name"),
}
_OTHER = Kind("arn:aws:{service}:{r}:{a}:{name}")


@dataclass(frozen=True)
class Place:
    """The account and region of a stack."""

    account: str
    region: str


def attribute(resource: Resource, name: str, place: Place) -> str:
    """What ``Ref`` (an empty name) or ``Fn::GetAtt`` of a resource returns, or a unique invented value."""
    kind = KINDS.get(resource.type, _OTHER)
    own = text_of(_at(resource.properties, kind.name)) if kind.name else ""
    physical = own if own and "«" not in own else f"{resource.stack}-{resource.id}"
    if resource.type == "AWS::S3::Bucket":
        physical = physical.lower()
    parts = {
        "a": place.account,
        "r": place.region,
        "name": physical.lstrip("/") if resource.type == "AWS::SSM::Parameter" else physical,
        "path": text_of(resource.properties.get("Path", "/")),
        "hash": hashlib.sha256(f"{resource.stack}/{resource.id}".encode()).hexdigest()[:16],
        "service": resource.type.split("::")[1].lower(),
    }
    arn = kind.arn.format(**parts)
    if not name:
        return kind.ref.format(arn=arn, **parts)
    if (
        name == "MasterUserSecret.SecretArn"
    ):  # RDS names it: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-secrets-manager.html
        return f"arn:aws:secretsmanager:{place.region}:{place.account}:secret:rds!db-{parts['hash']}-AbCdEf"
    if resource.type == "AWS::EKS::Cluster" and name == "OpenIdConnectIssuerUrl":
        return f"https://oidc.eks.{place.region}.amazonaws.com/id/{parts['hash'].upper()}"
    if name.endswith("Arn") or name in ("RoleArn", "LoadBalancerArn"):
        return arn
    return f"{physical}.{name}"


def _at(value: Value, path: str) -> Value:
    for step in path.split("."):
        if not isinstance(value, dict) or step not in value:
            return ""
        value = value[step]
    return value
