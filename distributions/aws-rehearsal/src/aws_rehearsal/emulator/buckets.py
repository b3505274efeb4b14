"""Buckets as CloudFormation treats them: they carry the template's tags, and one with content cannot be deleted."""

from ministack.services import s3

from aws_rehearsal.emulator.observed import ignored
from aws_rehearsal.emulator.provisioner import absence_is_fine, client
from aws_rehearsal.emulator.registry import Handler, registry
from aws_rehearsal.emulator.schemas import Properties


def install() -> None:
    """Extend the emulator's own provisioner of buckets."""
    bucket = registry["AWS::S3::Bucket"]
    registry["AWS::S3::Bucket"] = _extended(bucket)


def _extended(bucket: Handler) -> Handler:
    def create(logical_id: str, properties: Properties, stack: str) -> tuple[str, Properties]:
        created: tuple[str, Properties] = bucket["create"](logical_id, properties, stack)
        _tag(created[0], properties)
        ignored["AWS::S3::Bucket"].discard("Tags")
        return created

    def update(
        physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
    ) -> tuple[str, Properties]:
        updated: tuple[str, Properties] = bucket["update"](physical_id, old, new, stack, logical_id)
        _tag(updated[0], new)
        return updated

    def delete(physical_id: str, properties: Properties) -> None:
        with absence_is_fine():
            client("s3").delete_bucket(Bucket=physical_id)
        bucket["delete"](physical_id, properties)

    return {**bucket, "create": create, "update": update, "delete": delete}


def _tag(name: str, properties: Properties) -> None:
    """The handler that empties buckets before they go reads these, among them those of CloudFormation."""
    s3._bucket_tags[name] = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
