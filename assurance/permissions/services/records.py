"""Access logs, the audit trail, flow logs, log groups and alarms."""

import json
import re
from collections.abc import Iterator

from assurance.permissions.needs import Need, Table
from assurance.permissions.services.lines import on
from assurance.permissions.world import World
from delivery.gate.templates import Resource


@on("AWS::S3::Bucket", "https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-server-access-logging.html")
def _access_logs(world: World, bucket: Resource, table: Table) -> Iterator[Need]:
    name = world.get(bucket, "LoggingConfiguration.DestinationBucketName")
    if name:
        prefix = world.get(bucket, "LoggingConfiguration.LogFilePrefix")
        yield from table.service(
            "logging.s3.amazonaws.com",
            "s3:PutObject",
            f"arn:aws:s3:::{name}/{prefix}x",
            {"aws:SourceArn": world.arn(bucket)},
        )


@on(
    "AWS::ElasticLoadBalancingV2::LoadBalancer",
    "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/enable-access-logging.html",
)
def _load_balancer_logs(world: World, balancer: Resource, table: Table) -> Iterator[Need]:
    attributes = json.loads(world.get(balancer, "LoadBalancerAttributes") or "[]")
    given = {one["Key"]: one["Value"] for one in attributes}
    if given.get("access_logs.s3.enabled") != "true":
        return
    bucket, prefix = given["access_logs.s3.bucket"], given.get("access_logs.s3.prefix", "")
    objects = f"arn:aws:s3:::{bucket}/{prefix}/AWSLogs/{table.account}/x"
    yield from table.service("logdelivery.elasticloadbalancing.amazonaws.com", "s3:PutObject", objects)


@on(
    "AWS::CloudTrail::Trail",
    "https://docs.aws.amazon.com/awscloudtrail/latest/userguide/create-s3-bucket-policy-for-cloudtrail.html",
)
def _trail(world: World, trail: Resource, table: Table) -> Iterator[Need]:
    name, arn = world.get(trail, "S3BucketName"), world.arn(trail)
    bucket, service = f"arn:aws:s3:::{name}", "cloudtrail.amazonaws.com"
    yield from table.service(service, "s3:GetBucketAcl", bucket, {"aws:SourceArn": arn})
    delivered = {"aws:SourceArn": arn, "s3:x-amz-acl": "bucket-owner-full-control"}
    yield from table.service(service, "s3:PutObject", f"{bucket}/AWSLogs/{table.account}/x", delivered)
    role = world.get(trail, "CloudWatchLogsRoleArn")
    if (
        role
    ):  # https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-required-policy-for-cloudwatch-logs.html
        group = world.get(trail, "CloudWatchLogsLogGroupArn").removesuffix(":*")
        yield from table.assume(service, role, {"aws:SourceArn": arn})
        yield from table.use(role, "logs:CreateLogStream logs:PutLogEvents", f"{group}:log-stream:x")
    key = world.key_of(trail)
    if key:  # https://docs.aws.amazon.com/awscloudtrail/latest/userguide/create-kms-key-policy-for-cloudtrail.html
        yield from table.service(
            service, "kms:GenerateDataKey kms:DescribeKey kms:Decrypt", key, {"aws:SourceArn": arn}
        )


@on("AWS::EC2::FlowLog", "https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-iam-role.html")
def _flow_log(world: World, log: Resource, table: Table) -> Iterator[Need]:
    role = world.get(log, "DeliverLogsPermissionArn")
    group = f"arn:aws:logs:{table.region}:{table.account}:log-group:{world.get(log, 'LogGroupName')}"
    yield from table.assume("vpc-flow-logs.amazonaws.com", role)
    yield from table.use(role, "logs:CreateLogStream logs:PutLogEvents", f"{group}:log-stream:x")
    yield from table.use(role, "logs:DescribeLogStreams", f"{group}:*")


@on("AWS::Logs::LogGroup", "https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html")
def _log_group(world: World, group: Resource, table: Table) -> Iterator[Need]:
    key = world.key_of(group)
    if key:
        actions = "kms:Encrypt kms:Decrypt kms:ReEncryptFrom kms:ReEncryptTo kms:GenerateDataKey kms:DescribeKey"
        context = {"kms:EncryptionContext:aws:logs:arn": world.arn(group).removesuffix(":*")}
        yield from table.service(f"logs.{table.region}.amazonaws.com", actions, key, context)


@on(
    "AWS::CloudWatch::Alarm",
    "https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html#compatibility-with-aws-services",
)
def _alarm(world: World, alarm: Resource, table: Table) -> Iterator[Need]:
    for topic in set(re.findall(r"arn:aws:sns:[^\"]+", world.get(alarm, "AlarmActions"))):
        yield from table.service("cloudwatch.amazonaws.com", "sns:Publish", topic, {"aws:SourceArn": world.arn(alarm)})


@on("AWS::Events::Rule", "https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html")
def _rule(world: World, rule: Resource, table: Table) -> Iterator[Need]:
    targets = world.get(rule, "Targets")
    for function in set(re.findall(r"arn:aws:lambda:[^\"]+", targets)):
        yield from table.service(
            "events.amazonaws.com", "lambda:InvokeFunction", function, {"aws:SourceArn": world.arn(rule)}
        )
