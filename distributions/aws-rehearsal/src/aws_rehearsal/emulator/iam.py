"""Groups and identity providers."""

import json

from ministack.services import iam

from aws_rehearsal.emulator.provisioner import Created, Provisioner, Resource, absence_is_fine, client, tags
from aws_rehearsal.emulator.schemas import Properties


class Group(Provisioner):
    type = "AWS::IAM::Group"

    def create(self, resource: Resource) -> Created:
        name = resource.name("GroupName", max_length=128)
        group = client("iam").create_group(GroupName=name, Path=resource.properties.get("Path", "/"))["Group"]
        return Created(name, {"Arn": group["Arn"]})

    def update(self, physical_id: str, old: Properties, resource: Resource) -> None:
        self._revoke(physical_id, old)
        self.settle(physical_id, resource)

    def delete(self, physical_id: str, properties: Properties) -> None:
        with absence_is_fine():
            self._revoke(physical_id, properties)
            client("iam").delete_group(GroupName=physical_id)

    def settle(self, physical_id: str, resource: Resource) -> None:
        for arn in resource.properties.get("ManagedPolicyArns", []):
            client("iam").attach_group_policy(GroupName=physical_id, PolicyArn=arn)
        for policy in resource.properties.get("Policies", []):
            client("iam").put_group_policy(
                GroupName=physical_id,
                PolicyName=policy["PolicyName"],
                PolicyDocument=json.dumps(policy["PolicyDocument"]),
            )

    def _revoke(self, name: str, properties: Properties) -> None:
        for arn in properties.get("ManagedPolicyArns", []):
            client("iam").detach_group_policy(GroupName=name, PolicyArn=arn)
        for policy in properties.get("Policies", []):
            client("iam").delete_group_policy(GroupName=name, PolicyName=policy["PolicyName"])


class OidcProvider(Provisioner):
    type = "AWS::IAM::OIDCProvider"
    _ANY_THUMBPRINT = "0" * 40
    """AWS reads the certificate itself when none is given; here nothing serves the URL."""

    def create(self, resource: Resource) -> Created:
        properties = resource.properties
        arn = client("iam").create_open_id_connect_provider(
            Url=properties["Url"],
            ClientIDList=properties.get("ClientIdList", []),
            ThumbprintList=properties.get("ThumbprintList") or [self._ANY_THUMBPRINT],
            Tags=[{"Key": key, "Value": value} for key, value in tags(properties).items()],
        )["OpenIDConnectProviderArn"]
        return Created(arn, {"Arn": arn})

    def update(self, physical_id: str, old: Properties, resource: Resource) -> None:
        """Into the record itself; the emulator has no calls that change a provider."""
        new = resource.properties
        iam._oidc_providers[physical_id] |= {
            "ClientIDList": new.get("ClientIdList", []),
            "ThumbprintList": new.get("ThumbprintList") or [self._ANY_THUMBPRINT],
            "Tags": [{"Key": key, "Value": value} for key, value in tags(new).items()],
        }

    def delete(self, physical_id: str, properties: Properties) -> None:
        with absence_is_fine():
            client("iam").delete_open_id_connect_provider(OpenIDConnectProviderArn=physical_id)


PROVISIONERS: tuple[Provisioner, ...] = (Group(), OidcProvider())
