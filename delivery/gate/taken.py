"""Judges new resources whose name or place another resource has until the end of the update.

CloudFormation creates first and deletes at the end, so that AWS finds both and refuses the second:
https://repost.aws/knowledge-center/cloudformation-stack-resource-exists
"""

from collections.abc import Iterator

from delivery.gate.findings import Finding, Verdict, finding
from delivery.gate.specification import Specification
from delivery.gate.templates import Resource, Side
from delivery.gate.values import Value, text_of

_PEERS = "GroupId IpProtocol FromPort? ToPort? CidrIp? CidrIpv6?"
_UNIQUE = {
    "AWS::Cognito::LogDeliveryConfiguration": "UserPoolId",
    "AWS::Cognito::ManagedLoginBranding": "UserPoolId ClientId?",
    "AWS::Cognito::UserPoolRiskConfigurationAttachment": "UserPoolId ClientId?",
    "AWS::EC2::FlowLog": "ResourceId LogDestination? LogGroupName? TrafficType?",
    "AWS::EC2::Route": "RouteTableId DestinationCidrBlock? DestinationIpv6CidrBlock? DestinationPrefixListId?",
    "AWS::EC2::SecurityGroupEgress": f"{_PEERS} DestinationSecurityGroupId? DestinationPrefixListId?",
    "AWS::EC2::SecurityGroupIngress": f"{_PEERS} SourceSecurityGroupId? SourcePrefixListId?",
    "AWS::EC2::SubnetRouteTableAssociation": "SubnetId",
    "AWS::EC2::VPCDHCPOptionsAssociation": "VpcId",
    "AWS::EC2::VPCGatewayAttachment": "VpcId",
    "AWS::EFS::MountTarget": "FileSystemId SubnetId",
    "AWS::EKS::Nodegroup": "ClusterName NodegroupName",
    "AWS::EKS::PodIdentityAssociation": "ClusterName Namespace ServiceAccount",
    "AWS::ElasticLoadBalancingV2::Listener": "LoadBalancerArn Port",
    "AWS::FSx::DataRepositoryAssociation": "FileSystemId FileSystemPath",
    "AWS::Glue::Database": "DatabaseInput.Name",
    "AWS::Glue::Table": "DatabaseName TableInput.Name",
    "AWS::IAM::Policy": "PolicyName Roles? Users? Groups?",
    "AWS::Lambda::EventSourceMapping": "EventSourceArn FunctionName",
    "AWS::Route53::RecordSet": "HostedZoneId Name Type SetIdentifier?",
    "AWS::SNS::TopicPolicy": "Topics",
    "AWS::SQS::QueuePolicy": "Queues",
    "AWS::SecretsManager::RotationSchedule": "SecretId",
    "AWS::WAFv2::WebACLAssociation": "ResourceArn",
    "Custom::AWSCDK-EKS-HelmChart": "ClusterName Namespace? Release",
}
"""Properties of which AWS takes no two resources with the same values, where these are not the identifier of the type
in the specification. A question mark follows one that may be absent; of a resource without another AWS makes many."""
_MANY = frozenset(
    {
        "AWS::Cognito::UserPoolClient",  # any number of a name
        "AWS::Cognito::UserPoolDomain",  # judged with the other domains of its pool
        "AWS::DirectoryService::MicrosoftAD",
        "AWS::DirectoryService::SimpleAD",
        "AWS::ElasticLoadBalancingV2::ListenerRule",  # judged by its priority
        "AWS::Lambda::Permission",
        "AWS::Route53::HostedZone",
    }
)
"""Types whose resources may share a name, or are judged elsewhere."""
_RELEASE = "Custom::AWSCDK-EKS-HelmChart"
_Name = tuple[str, str, tuple[str, ...]]


def judge(before: Side, after: Side, specification: Specification) -> Iterator[Finding]:
    """A finding for each new resource that AWS refuses, because an older one is named or placed like it."""
    owners = {name: one for one in before.resources() if (name := _name(before, one, specification))}
    for new in after.resources():
        if new.key in before.by_key or not (name := _name(after, new, specification)):
            continue
        owner = owners.get(name)
        if owner and (owner.stack == new.stack or _remains(after, owner, name, specification)):
            yield _finding(new, owner, " ".join(filter(None, name[2])))


def _finding(new: Resource, owner: Resource, name: str) -> Finding:
    what = f"{name} is taken by {owner.stack} {owner.path}"
    if new.type == _RELEASE:
        why = "the new resource upgrades the release, and the old one uninstalls it at the end; keep the construct id"
        return finding(new, Verdict.INTERRUPTING, what, why, stops=True)
    why = (
        "CloudFormation deletes the old one only after it has created the new one, and AWS takes no two of them; keep "
        "the construct id, or leave it out of one deployment and add it in the next"
    )
    return finding(new, Verdict.FAILING, what, why, stops=True)


def _remains(after: Side, owner: Resource, name: _Name, specification: Specification) -> bool:
    now = after.by_key.get(owner.key)
    return now is not None and _name(after, now, specification) == name


def _name(side: Side, resource: Resource, specification: Specification) -> _Name | None:
    """Region, type and the values that make a resource the only one of its kind; None where AWS chooses a name."""
    if resource.type in _MANY:
        return None
    listed = _UNIQUE.get(resource.type)
    places = tuple(listed.split()) if listed else specification.name_properties(resource.type)
    values = {place: _at(side, resource, place.removesuffix("?")) for place in places}
    if not places or not all(value or place.endswith("?") for place, value in values.items()):
        return None
    return side.templates[resource.stack].region, resource.type, tuple(values.values())


def _at(side: Side, resource: Resource, place: str) -> str:
    value: Value = resource.properties
    for name in place.split("."):
        value = value.get(name, "") if isinstance(value, dict) else ""
    return side.resolved(resource.stack, text_of(value))
