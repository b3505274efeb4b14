"""CloudTrail, Athena, Backup and Glue."""

from typing import Any

from aws_rehearsal.emulator.provisioner import (
    Created,
    Provisioner,
    Resource,
    absence_is_fine,
    client,
    flag,
    mentioned,
    tags,
)
from aws_rehearsal.emulator.schemas import Properties


class Trail(Provisioner):
    type = "AWS::CloudTrail::Trail"

    def create(self, resource: Resource) -> Created:
        name = resource.name("TrailName", max_length=128)
        arn = client("cloudtrail").create_trail(
            Name=name,
            TagsList=[{"Key": key, "Value": value} for key, value in tags(resource.properties).items()],
            **self._parameters(resource.properties),
        )["TrailARN"]
        return Created(name, {"Arn": arn})

    def update(self, physical_id: str, old: Properties, resource: Resource) -> None:
        client("cloudtrail").update_trail(Name=physical_id, **self._parameters(resource.properties))
        self.settle(physical_id, resource)

    def delete(self, physical_id: str, properties: Properties) -> None:
        with absence_is_fine():
            client("cloudtrail").delete_trail(Name=physical_id)

    def _parameters(self, properties: Properties) -> dict[str, Any]:
        texts = ("S3BucketName", "S3KeyPrefix", "SnsTopicName", "CloudWatchLogsLogGroupArn", "CloudWatchLogsRoleArn")
        flags = ("IncludeGlobalServiceEvents", "IsMultiRegionTrail", "EnableLogFileValidation", "IsOrganizationTrail")
        return {
            **mentioned(properties, {name: name for name in texts} | {"KMSKeyId": "KmsKeyId"}),
            **{name: flag(properties[name]) for name in flags if name in properties},
        }

    def settle(self, physical_id: str, resource: Resource) -> None:
        """Start or stop the trail, and set its event selectors."""
        cloudtrail, properties = client("cloudtrail"), resource.properties
        (cloudtrail.start_logging if flag(properties["IsLogging"]) else cloudtrail.stop_logging)(Name=physical_id)
        selectors = mentioned(
            properties, {"EventSelectors": "EventSelectors", "AdvancedEventSelectors": "AdvancedEventSelectors"}
        )
        for selector in selectors.get("EventSelectors", []):
            if "IncludeManagementEvents" in selector:
                selector["IncludeManagementEvents"] = flag(selector["IncludeManagementEvents"])
        if selectors:
            cloudtrail.put_event_selectors(TrailName=physical_id, **selectors)


class NamedQuery(Provisioner):
    """Every property needs a new query when it changes."""

    type = "AWS::Athena::NamedQuery"

    def create(self, resource: Resource) -> Created:
        properties = resource.properties
        query = client("athena").create_named_query(
            Name=resource.name("Name", max_length=128),
            Database=properties["Database"],
            QueryString=properties["QueryString"],
            **mentioned(properties, {"Description": "Description", "WorkGroup": "WorkGroup"}),
        )["NamedQueryId"]
        return Created(query, {"NamedQueryId": query})

    def delete(self, physical_id: str, properties: Properties) -> None:
        with absence_is_fine():
            client("athena").delete_named_query(NamedQueryId=physical_id)


class BackupSelection(Provisioner):
    """Every property needs a new selection when it changes."""

    type = "AWS::Backup::BackupSelection"

    def create(self, resource: Resource) -> Created:
        plan = resource.properties["BackupPlanId"]
        selection = client("backup").create_backup_selection(
            BackupPlanId=plan, BackupSelection=resource.properties["BackupSelection"]
        )["SelectionId"]
        return Created(f"{selection}_{plan}", {"SelectionId": selection, "Id": f"{selection}_{plan}"})

    def delete(self, physical_id: str, properties: Properties) -> None:
        selection, _, plan = physical_id.partition("_")
        with absence_is_fine():
            client("backup").delete_backup_selection(BackupPlanId=plan, SelectionId=selection)


class SecurityConfiguration(Provisioner):
    type = "AWS::Glue::SecurityConfiguration"

    def create(self, resource: Resource) -> Created:
        name = str(resource.properties["Name"])
        client("glue").create_security_configuration(
            Name=name, EncryptionConfiguration=self._encryption(resource.properties)
        )
        return Created(name, {"Id": name})

    def update(self, physical_id: str, old: Properties, resource: Resource) -> None:
        """Glue has no call that changes a configuration; CloudFormation's handler replaces it under its name."""
        self.delete(physical_id, old)
        self.create(resource)

    def delete(self, physical_id: str, properties: Properties) -> None:
        with absence_is_fine():
            client("glue").delete_security_configuration(Name=physical_id)

    def _encryption(self, properties: Properties) -> dict[str, Any]:
        return mentioned(
            properties["EncryptionConfiguration"],
            {
                "S3Encryptions": "S3Encryption",
                "CloudWatchEncryption": "CloudWatchEncryption",
                "JobBookmarksEncryption": "JobBookmarksEncryption",
            },
        )


PROVISIONERS: tuple[Provisioner, ...] = (BackupSelection(), NamedQuery(), SecurityConfiguration(), Trail())
