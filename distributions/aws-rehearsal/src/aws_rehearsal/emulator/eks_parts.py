"""What belongs to a cluster: add-ons, access entries, pod identities."""

from aws_rehearsal.emulator import eks_add_ons
from aws_rehearsal.emulator.provisioner import (
    Created,
    Provisioner,
    Resource,
    absence_is_fine,
    camel_case,
    client,
    mentioned,
    tags,
)
from aws_rehearsal.emulator.schemas import Properties


class Addon(Provisioner):
    type = "AWS::EKS::Addon"
    _PARAMETERS = {
        "AddonVersion": "addonVersion",
        "ConfigurationValues": "configurationValues",
        "ResolveConflicts": "resolveConflicts",
        "ServiceAccountRoleArn": "serviceAccountRoleArn",
    }

    def create(self, resource: Resource) -> Created:
        properties = resource.properties
        cluster, name = properties["ClusterName"], properties["AddonName"]
        addon = client("eks").create_addon(
            clusterName=cluster,
            addonName=name,
            tags=tags(properties),
            podIdentityAssociations=camel_case(properties.get("PodIdentityAssociations", [])),
            **mentioned(properties, self._PARAMETERS),
        )["addon"]
        configuration, role = properties.get("ConfigurationValues", ""), properties.get("ServiceAccountRoleArn", "")
        eks_add_ons.install(cluster, name, configuration=configuration, role=role)
        return Created(f"{cluster}|{name}", {"Arn": addon["addonArn"]})

    def update(self, physical_id: str, old: Properties, resource: Resource) -> None:
        cluster, _, name = physical_id.partition("|")
        parameters = mentioned(resource.properties, self._PARAMETERS)
        client("eks").update_addon(clusterName=cluster, addonName=name, **parameters)

    def delete(self, physical_id: str, properties: Properties) -> None:
        cluster, _, name = physical_id.partition("|")
        with absence_is_fine():
            eks_add_ons.remove(cluster, name)
            client("eks").delete_addon(clusterName=cluster, addonName=name)


class AccessEntry(Provisioner):
    type = "AWS::EKS::AccessEntry"
    _PARAMETERS = {"KubernetesGroups": "kubernetesGroups", "Username": "username"}

    def create(self, resource: Resource) -> Created:
        properties = resource.properties
        cluster, principal = properties["ClusterName"], properties["PrincipalArn"]
        entry = client("eks").create_access_entry(
            clusterName=cluster,
            principalArn=principal,
            tags=tags(properties),
            **mentioned(properties, {**self._PARAMETERS, "Type": "type"}),
        )["accessEntry"]
        return Created(f"{principal}|{cluster}", {"AccessEntryArn": entry["accessEntryArn"]})

    def update(self, physical_id: str, old: Properties, resource: Resource) -> None:
        principal, _, cluster = physical_id.rpartition("|")
        client("eks").update_access_entry(
            clusterName=cluster, principalArn=principal, **mentioned(resource.properties, self._PARAMETERS)
        )
        kept = {policy["PolicyArn"] for policy in resource.properties.get("AccessPolicies", [])}
        for policy in old.get("AccessPolicies", []):
            if policy["PolicyArn"] not in kept:
                client("eks").disassociate_access_policy(
                    clusterName=cluster, principalArn=principal, policyArn=policy["PolicyArn"]
                )
        self.settle(physical_id, resource)

    def delete(self, physical_id: str, properties: Properties) -> None:
        principal, _, cluster = physical_id.rpartition("|")
        with absence_is_fine():
            client("eks").delete_access_entry(clusterName=cluster, principalArn=principal)

    def settle(self, physical_id: str, resource: Resource) -> None:
        principal, _, cluster = physical_id.rpartition("|")
        for policy in resource.properties.get("AccessPolicies", []):
            client("eks").associate_access_policy(
                clusterName=cluster,
                principalArn=principal,
                policyArn=policy["PolicyArn"],
                accessScope=camel_case(policy["AccessScope"]),
            )


class PodIdentityAssociation(Provisioner):
    type = "AWS::EKS::PodIdentityAssociation"

    def create(self, resource: Resource) -> Created:
        properties = resource.properties
        association = client("eks").create_pod_identity_association(
            clusterName=properties["ClusterName"],
            namespace=properties["Namespace"],
            serviceAccount=properties["ServiceAccount"],
            roleArn=properties["RoleArn"],
            tags=tags(properties),
        )["association"]
        arn, id = association["associationArn"], association["associationId"]
        return Created(arn, {"AssociationArn": arn, "AssociationId": id})

    def update(self, physical_id: str, old: Properties, resource: Resource) -> None:
        client("eks").update_pod_identity_association(
            clusterName=resource.properties["ClusterName"],
            associationId=physical_id.rpartition("/")[2],
            roleArn=resource.properties["RoleArn"],
        )

    def delete(self, physical_id: str, properties: Properties) -> None:
        with absence_is_fine():
            client("eks").delete_pod_identity_association(
                clusterName=properties["ClusterName"], associationId=physical_id.rpartition("/")[2]
            )


PROVISIONERS: tuple[Provisioner, ...] = (AccessEntry(), Addon(), PodIdentityAssociation())
