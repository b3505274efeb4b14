"""Addresses, gateways, flow logs and security group rules."""

from typing import Any

from aws_rehearsal.emulator.provisioner import Created, Provisioner, Resource, absence_is_fine, client, mentioned, tags
from aws_rehearsal.emulator.schemas import Properties


def _tag_specifications(kind: str, properties: Properties) -> list[dict[str, Any]]:
    pairs = [{"Key": key, "Value": value} for key, value in tags(properties).items()]
    return [{"ResourceType": kind, "Tags": pairs}] if pairs else []


def _retag(resource_id: str, old: Properties, new: Properties) -> None:
    dropped = [{"Key": key} for key in tags(old).keys() - tags(new).keys()]
    if dropped:
        client("ec2").delete_tags(Resources=[resource_id], Tags=dropped)
    if tags(new):
        pairs = [{"Key": key, "Value": value} for key, value in tags(new).items()]
        client("ec2").create_tags(Resources=[resource_id], Tags=pairs)


class ElasticIp(Provisioner):
    type = "AWS::EC2::EIP"

    def create(self, resource: Resource) -> Created:
        address = client("ec2").allocate_address(
            Domain="vpc", TagSpecifications=_tag_specifications("elastic-ip", resource.properties)
        )
        ids = {name: address[name] for name in ("AllocationId", "PublicIp")}
        return Created(ids["PublicIp"], ids)

    def update(self, physical_id: str, old: Properties, resource: Resource) -> None:
        _retag(self._allocation(physical_id), old, resource.properties)

    def delete(self, physical_id: str, properties: Properties) -> None:
        with absence_is_fine():
            client("ec2").release_address(AllocationId=self._allocation(physical_id))

    def _allocation(self, public_ip: str) -> str:
        return str(client("ec2").describe_addresses(PublicIps=[public_ip])["Addresses"][0]["AllocationId"])


class NatGateway(Provisioner):
    type = "AWS::EC2::NatGateway"

    def create(self, resource: Resource) -> Created:
        gateway = client("ec2").create_nat_gateway(
            SubnetId=resource.properties["SubnetId"],
            TagSpecifications=_tag_specifications("natgateway", resource.properties),
            **mentioned(resource.properties, {"AllocationId": "AllocationId", "ConnectivityType": "ConnectivityType"}),
        )["NatGateway"]
        return Created(gateway["NatGatewayId"], {"NatGatewayId": gateway["NatGatewayId"]})

    def update(self, physical_id: str, old: Properties, resource: Resource) -> None:
        _retag(physical_id, old, resource.properties)

    def delete(self, physical_id: str, properties: Properties) -> None:
        with absence_is_fine():
            client("ec2").delete_nat_gateway(NatGatewayId=physical_id)


class FlowLog(Provisioner):
    type = "AWS::EC2::FlowLog"
    _PARAMETERS = (
        "DeliverLogsPermissionArn",
        "DestinationOptions",
        "LogDestination",
        "LogDestinationType",
        "LogFormat",
        "LogGroupName",
        "MaxAggregationInterval",
        "ResourceType",
        "TrafficType",
    )

    def create(self, resource: Resource) -> Created:
        answer = client("ec2").create_flow_logs(
            ResourceIds=[resource.properties["ResourceId"]],
            TagSpecifications=_tag_specifications("vpc-flow-log", resource.properties),
            **mentioned(resource.properties, {name: name for name in self._PARAMETERS}),
        )
        if answer.get("Unsuccessful"):
            raise ValueError(answer["Unsuccessful"][0]["Error"]["Message"])
        return Created(answer["FlowLogIds"][0], {"Id": answer["FlowLogIds"][0]})

    def update(self, physical_id: str, old: Properties, resource: Resource) -> None:
        _retag(physical_id, old, resource.properties)

    def delete(self, physical_id: str, properties: Properties) -> None:
        with absence_is_fine():
            client("ec2").delete_flow_logs(FlowLogIds=[physical_id])


class _SecurityGroupRule(Provisioner):
    """A rule of a security group as a separate resource."""

    egress: bool
    peer: str
    peer_prefix_list: str

    def create(self, resource: Resource) -> Created:
        group = resource.properties["GroupId"]
        there = client("ec2").describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
        authorize = "authorize_security_group_egress" if self.egress else "authorize_security_group_ingress"
        answer = getattr(client("ec2"), authorize)(GroupId=group, IpPermissions=[self._permission(resource.properties)])
        rule = answer["SecurityGroupRules"][0]["SecurityGroupRuleId"]
        if rule in [other["SecurityGroupRuleId"] for other in there["SecurityGroupRules"]]:
            raise ValueError(f"the specified rule already exists in {group} (InvalidPermission.Duplicate)")
        return Created(rule, {"Id": rule})

    def update(self, physical_id: str, old: Properties, resource: Resource) -> None:
        """Only the description can change in place."""
        rule = {name: value for name, value in self._rule(resource.properties).items() if value is not None}
        client("ec2").modify_security_group_rules(
            GroupId=resource.properties["GroupId"],
            SecurityGroupRules=[{"SecurityGroupRuleId": physical_id, "SecurityGroupRule": rule}],
        )

    def delete(self, physical_id: str, properties: Properties) -> None:
        revoke = "revoke_security_group_egress" if self.egress else "revoke_security_group_ingress"
        with absence_is_fine():
            getattr(client("ec2"), revoke)(GroupId=properties["GroupId"], SecurityGroupRuleIds=[physical_id])

    def _rule(self, properties: Properties) -> dict[str, Any]:
        """The rule in the format of the API that changes rules."""
        return {
            "IpProtocol": str(properties["IpProtocol"]),
            "FromPort": _port(properties, "FromPort"),
            "ToPort": _port(properties, "ToPort"),
            "CidrIpv4": properties.get("CidrIp"),
            "CidrIpv6": properties.get("CidrIpv6"),
            "PrefixListId": properties.get(self.peer_prefix_list),
            "ReferencedGroupId": properties.get(self.peer),
            "Description": properties.get("Description"),
        }

    def _permission(self, properties: Properties) -> dict[str, Any]:
        """The rule in the format of the API that adds rules."""
        rule = self._rule(properties)
        permission = {name: rule[name] for name in ("IpProtocol", "FromPort", "ToPort") if rule[name] is not None}
        for name, lists, key in (
            ("ReferencedGroupId", "UserIdGroupPairs", "GroupId"),
            ("CidrIpv4", "IpRanges", "CidrIp"),
            ("CidrIpv6", "Ipv6Ranges", "CidrIpv6"),
            ("PrefixListId", "PrefixListIds", "PrefixListId"),
        ):
            if rule[name]:
                permission[lists] = [{key: rule[name], **mentioned(properties, {"Description": "Description"})}]
        return permission


def _port(properties: Properties, name: str) -> int | None:
    return int(properties[name]) if name in properties else None


class SecurityGroupIngress(_SecurityGroupRule):
    type = "AWS::EC2::SecurityGroupIngress"
    egress = False
    peer = "SourceSecurityGroupId"
    peer_prefix_list = "SourcePrefixListId"


class SecurityGroupEgress(_SecurityGroupRule):
    type = "AWS::EC2::SecurityGroupEgress"
    egress = True
    peer = "DestinationSecurityGroupId"
    peer_prefix_list = "DestinationPrefixListId"


PROVISIONERS: tuple[Provisioner, ...] = (
    ElasticIp(),
    FlowLog(),
    NatGateway(),
    SecurityGroupEgress(),
    SecurityGroupIngress(),
)
