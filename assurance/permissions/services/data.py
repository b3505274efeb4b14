"""Streams, queries, state machines, schedules and copies of buckets."""

import re
from collections.abc import Iterator

from assurance.permissions.needs import Need, Table
from assurance.permissions.services.lines import on
from assurance.permissions.world import World
from delivery.gate.templates import Resource

_FUNCTION = r"arn:aws:lambda:[a-z0-9-]+:\d{12}:function:[\w-]+"


@on(
    "AWS::KinesisFirehose::DeliveryStream",
    "https://docs.aws.amazon.com/firehose/latest/dev/controlling-access.html#using-iam-s3",
)
def _delivery_stream(world: World, stream: Resource, table: Table) -> Iterator[Need]:
    destination = "ExtendedS3DestinationConfiguration"
    role = world.get(stream, f"{destination}.RoleARN")
    bucket = world.get(stream, f"{destination}.BucketARN")
    yield from table.assume("firehose.amazonaws.com", role, {"sts:ExternalId": table.account})
    for path in ("Prefix", "ErrorOutputPrefix"):
        folder = world.get(stream, f"{destination}.{path}").partition("!")[0]
        yield from table.use(role, "s3:AbortMultipartUpload s3:GetObject s3:PutObject", f"{bucket}/{folder}x")
    yield from table.use(role, "s3:GetBucketLocation s3:ListBucket s3:ListBucketMultipartUploads", bucket)
    log = world.get(stream, f"{destination}.CloudWatchLoggingOptions.LogGroupName")
    name = world.get(stream, f"{destination}.CloudWatchLoggingOptions.LogStreamName")
    group = f"arn:aws:logs:{table.region}:{table.account}:log-group:{log}:log-stream:{name}"
    yield from table.use(role, "logs:PutLogEvents", group)
    schema = f"{destination}.DataFormatConversionConfiguration.SchemaConfiguration"
    database, name = world.get(stream, f"{schema}.DatabaseName"), world.get(stream, f"{schema}.TableName")
    glue = f"arn:aws:glue:{table.region}:{table.account}"
    actions = "glue:GetTable glue:GetTableVersion glue:GetTableVersions"
    yield from table.use(
        role, actions, f"{glue}:catalog", f"{glue}:database/{database}", f"{glue}:table/{database}/{name}"
    )
    key = world.key_of(stream)
    if key:  # records at rest in the stream: https://docs.aws.amazon.com/firehose/latest/dev/encryption.html
        yield from table.use(role, "kms:Decrypt kms:GenerateDataKey", key)


@on(
    "AWS::StepFunctions::StateMachine",
    "https://docs.aws.amazon.com/step-functions/latest/dg/connect-athena.html#athena-iam",
)
def _state_machine(world: World, machine: Resource, table: Table) -> Iterator[Need]:
    role = world.get(machine, "RoleArn")
    yield from table.assume("states.amazonaws.com", role, {"aws:SourceArn": world.arn(machine)})
    definition = world.get(machine, "DefinitionString")
    group = re.search(r'"WorkGroup"\s*:\s*"([^"]+)"', definition.replace('\\"', '"'))
    if group is None:
        return
    athena = f"arn:aws:athena:{table.region}:{table.account}"
    actions = "athena:StartQueryExecution athena:GetQueryExecution athena:StopQueryExecution"
    yield from table.use(role, actions, f"{athena}:workgroup/{group.group(1)}")
    yield from table.use(role, "athena:GetDataCatalog", f"{athena}:datacatalog/AwsDataCatalog")
    yield from _query(world, definition, role, group.group(1), table)


def _query(world: World, definition: str, role: str, group: str, table: Table) -> Iterator[Need]:
    """Athena's calls with the role of the caller: https://docs.aws.amazon.com/athena/latest/ug/fine-grained-access-to-glue-resources.html"""
    workgroup = next(
        each
        for each in world.resources("AWS::Athena::WorkGroup")
        if world.arn(each).endswith(f"/{group}") and world.place(each).account == table.account
    )
    glue = f"arn:aws:glue:{table.region}:{table.account}"
    tables = [
        each
        for each in world.resources("AWS::Glue::Table")
        if each.stack == workgroup.stack and re.search(rf"\b{world.get(each, 'TableInput.Name')}\b", definition)
    ]
    # Athena looks at the default database first, whatever a query names.
    yield from table.use(role, "glue:GetDatabase", f"{glue}:database/default")
    for each in tables:
        database, name = world.get(each, "DatabaseName"), world.get(each, "TableInput.Name")
        arns = (f"{glue}:catalog", f"{glue}:database/{database}", f"{glue}:table/{database}/{name}")
        yield from table.use(role, "glue:GetDatabase", f"{glue}:catalog", f"{glue}:database/{database}")
        yield from table.use(role, "glue:GetTable glue:GetPartition glue:GetPartitions glue:BatchGetPartition", *arns)
        location = world.get(each, "TableInput.StorageDescriptor.Location").removeprefix("s3://").rstrip("/")
        objects = f"arn:aws:s3:::{location}"
        bucket, _, prefix = location.partition("/")
        yield from table.use(role, "s3:GetObject", f"{objects}/x")
        yield from table.use(role, "s3:GetBucketLocation", f"arn:aws:s3:::{bucket}")
        yield from table.use(role, "s3:ListBucket", f"arn:aws:s3:::{bucket}", context={"s3:prefix": f"{prefix}/"})
        if re.search(rf"TO 's3://{re.escape(location)}/", definition):
            actions = "s3:PutObject s3:AbortMultipartUpload s3:ListMultipartUploadParts"
            yield from table.use(role, actions, f"{objects}/x")
            yield from table.use(role, "glue:CreatePartition glue:BatchCreatePartition glue:UpdatePartition", *arns)
    results = world.get(workgroup, "WorkGroupConfiguration.ResultConfiguration.OutputLocation").removeprefix("s3://")
    bucket = f"arn:aws:s3:::{results.partition('/')[0]}"
    # https://docs.aws.amazon.com/athena/latest/ug/security-iam-athena-s3-output.html
    yield from table.use(role, "s3:GetBucketLocation s3:ListBucket s3:ListBucketMultipartUploads", bucket)
    actions = "s3:PutObject s3:GetObject s3:AbortMultipartUpload s3:ListMultipartUploadParts"
    yield from table.use(role, actions, f"{bucket}/x")


@on(
    "AWS::StepFunctions::StateMachine",
    "https://docs.aws.amazon.com/step-functions/latest/dg/connect-lambda.html#lambda-iam",
)
def _state_machine_functions(world: World, machine: Resource, table: Table) -> Iterator[Need]:
    for function in sorted(set(re.findall(_FUNCTION, world.get(machine, "DefinitionString")))):
        yield from table.use(world.get(machine, "RoleArn"), "lambda:InvokeFunction", function)


@on(
    "AWS::StepFunctions::StateMachine",
    "https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html#cloudwatch-iam-policy",
)
def _state_machine_logs(world: World, machine: Resource, table: Table) -> Iterator[Need]:
    if world.get(machine, "LoggingConfiguration"):
        delivery = "CreateLogDelivery GetLogDelivery UpdateLogDelivery DeleteLogDelivery ListLogDeliveries"
        others = "PutResourcePolicy DescribeResourcePolicies DescribeLogGroups"
        actions = " ".join(f"logs:{name}" for name in f"{delivery} {others}".split())
        yield from table.use(world.get(machine, "RoleArn"), actions)


@on(
    "AWS::StepFunctions::StateMachine",
    "https://docs.aws.amazon.com/step-functions/latest/dg/concepts-xray-tracing.html#xray-iam",
)
def _state_machine_traces(world: World, machine: Resource, table: Table) -> Iterator[Need]:
    if world.get(machine, "TracingConfiguration.Enabled") == "true":
        actions = "xray:PutTraceSegments xray:PutTelemetryRecords xray:GetSamplingRules xray:GetSamplingTargets"
        yield from table.use(world.get(machine, "RoleArn"), actions)


@on(
    "AWS::Scheduler::Schedule",
    "https://docs.aws.amazon.com/scheduler/latest/UserGuide/setting-up.html#setting-up-execution-role",
)
def _schedule(world: World, schedule: Resource, table: Table) -> Iterator[Need]:
    role, target = world.get(schedule, "Target.RoleArn"), world.get(schedule, "Target.Arn")
    yield from table.assume("scheduler.amazonaws.com", role)
    yield from table.use(role, "states:StartExecution", target)


@on("AWS::S3::Bucket", "https://docs.aws.amazon.com/AmazonS3/latest/userguide/setting-repl-config-perm-overview.html")
def _replication(world: World, bucket: Resource, table: Table) -> Iterator[Need]:
    role = world.get(bucket, "ReplicationConfiguration.Role")
    if not role:
        return
    own = world.arn(bucket)
    yield from table.assume("s3.amazonaws.com", role)
    yield from table.use(role, "s3:GetReplicationConfiguration s3:ListBucket", own)
    actions = "s3:GetObjectVersionForReplication s3:GetObjectVersionAcl s3:GetObjectVersionTagging"
    yield from table.use(role, actions, f"{own}/x")
    source = world.key_of(bucket)
    if source:
        yield from _replication_key(table, role, "kms:Decrypt", source, own)
    for text in set(re.findall(r'"Bucket": "([^"]+)"', world.get(bucket, "ReplicationConfiguration.Rules"))):
        yield from table.use(role, "s3:ReplicateObject s3:ReplicateDelete s3:ReplicateTags", f"{text}/x")
        replica = world.behind(text)
        key = world.key_of(replica) if replica else None
        if key and replica:
            elsewhere = table.elsewhere(world.place(replica).region)
            yield from _replication_key(elsewhere, role, "kms:Encrypt kms:GenerateDataKey", key, text)


def _replication_key(table: Table, role: str, actions: str, key: str, bucket: str) -> Iterator[Need]:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-config-for-kms-objects.html"""
    context = {
        "kms:ViaService": f"s3.{key.split(':')[3]}.amazonaws.com",
        "kms:EncryptionContext:aws:s3:arn": bucket,
    }
    return table.use(role, actions, key, context=context)


@on("AWS::FSx::FileSystem", "https://docs.aws.amazon.com/fsx/latest/LustreGuide/s3-server-side-encryption-support.html")
def _lustre(world: World, system: Resource, table: Table) -> Iterator[Need]:
    """Its service-linked role, whose name ends in the system's id, reads and writes linked buckets by their key."""
    role = (
        f"arn:aws:iam::{table.account}:role/aws-service-role/s3.data-source.lustre.fsx.amazonaws.com/"
        "AWSServiceRoleForFSxS3Access_fs-0123456789abcdef0"
    )
    for link in world.resources("AWS::FSx::DataRepositoryAssociation"):
        if link.stack != system.stack:
            continue
        bucket = world.behind(f"arn:aws:s3:::{world.get(link, 'DataRepositoryPath').removeprefix('s3://').rstrip('/')}")
        key = world.key_of(bucket) if bucket else None
        if key:
            caller = table.caller(role)
            for action in ("kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey"):
                context = {"kms:ViaService": f"s3.{table.region}.amazonaws.com"}
                yield table.need(caller, action, key, context)
