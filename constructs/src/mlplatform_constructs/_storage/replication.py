from typing import Any

from aws_cdk import CfnOutput, Fn, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from .._security.acknowledge import acknowledge_objects

_READ_VERSIONS = ["s3:GetObjectVersionForReplication", "s3:GetObjectVersionAcl", "s3:GetObjectVersionTagging"]
_WRITE_REPLICAS = ["s3:ReplicateObject", "s3:ReplicateDelete", "s3:ReplicateTags"]


class Replication(Construct):
    """Copies every new object, tag and delete marker of a bucket to a bucket of another region, with its own role.

    The role reads versions here, writes replicas there, and uses either key for nothing else. The other region's ARNs
    are weak references: CloudFormation reads outputs of the replica's stack, which is deployed first but may change
    without this one.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-config-for-kms-objects.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        source: s3.Bucket,
        source_key: kms.IKey,
        replica: s3.Bucket,
        replica_key: kms.IKey,
    ) -> None:
        super().__init__(scope, id)
        here, there = Stack.of(source), Stack.of(replica)
        here.add_stack_dependency(there)
        arn, key_arn = source.bucket_arn, source_key.key_arn
        replica_arn = _output(replica, there, "Arn", replica.bucket_arn)
        replica_key_arn = _output(replica, there, "KeyArn", replica_key.key_arn)

        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("s3.amazonaws.com"))
        statements = [
            _allow(["s3:GetReplicationConfiguration", "s3:ListBucket"], arn),
            _allow(_READ_VERSIONS, f"{arn}/*"),
            _allow(_WRITE_REPLICAS, f"{replica_arn}/*"),
            _allow(["kms:Decrypt"], key_arn, _through_s3(here.region, arn)),
            _allow(["kms:Encrypt", "kms:GenerateDataKey"], replica_key_arn, _through_s3(there.region, replica_arn)),
        ]
        iam.Policy(self, "Policy", document=iam.PolicyDocument.from_json({"Statement": statements}), roles=[role])
        acknowledge_objects(self, arn, "*")
        acknowledge_objects(self, replica_arn, "*")

        bucket = source.node.default_child
        assert isinstance(bucket, s3.CfnBucket)
        bucket.replication_configuration = _configuration(role.role_arn, replica_arn, replica_key_arn)


def _output(replica: s3.Bucket, stack: Stack, id: str, value: str) -> str:
    """A weak reference to a value of the replica's stack."""
    output = replica.node.try_find_child(id) or CfnOutput(replica, id, value=value)
    assert isinstance(output, CfnOutput)
    return Fn.get_stack_output(stack.stack_name, stack.get_logical_id(output), stack.region)


def _allow(actions: list[str], resource: str, condition: dict[str, Any] | None = None) -> dict[str, Any]:
    statement: dict[str, Any] = {"Effect": "Allow", "Action": actions, "Resource": resource}
    return {**statement, "Condition": condition} if condition else statement


def _through_s3(region: str, bucket_arn: str) -> dict[str, Any]:
    """Through S3 only and for one bucket: the context is its ARN, or the object's where it has no bucket key."""
    return {
        "StringEquals": {"kms:ViaService": f"s3.{region}.amazonaws.com"},
        "StringLike": {"kms:EncryptionContext:aws:s3:arn": [bucket_arn, f"{bucket_arn}/*"]},
    }


def _configuration(
    role_arn: str, replica_arn: str, replica_key_arn: str
) -> s3.CfnBucket.ReplicationConfigurationProperty:
    enabled = "Enabled"
    rule = s3.CfnBucket.ReplicationRuleProperty(
        id="Everything",
        status=enabled,
        priority=1,
        filter=s3.CfnBucket.ReplicationRuleFilterProperty(prefix=""),
        delete_marker_replication=s3.CfnBucket.DeleteMarkerReplicationProperty(status=enabled),
        source_selection_criteria=s3.CfnBucket.SourceSelectionCriteriaProperty(
            sse_kms_encrypted_objects=s3.CfnBucket.SseKmsEncryptedObjectsProperty(status=enabled)
        ),
        destination=s3.CfnBucket.ReplicationDestinationProperty(
            bucket=replica_arn,
            encryption_configuration=s3.CfnBucket.EncryptionConfigurationProperty(replica_kms_key_id=replica_key_arn),
        ),
    )
    return s3.CfnBucket.ReplicationConfigurationProperty(role=role_arn, rules=[rule])
