"""The delivery pipeline."""

import re
from collections.abc import Iterator

from assurance.permissions.needs import Need, Table
from assurance.permissions.services.lines import on
from assurance.permissions.world import World
from delivery.gate.templates import Resource


@on("AWS::CodePipeline::Pipeline", "https://docs.aws.amazon.com/codepipeline/latest/userguide/how-to-custom-role.html")
def _pipeline(world: World, pipeline: Resource, table: Table) -> Iterator[Need]:
    role = world.get(pipeline, "RoleArn")
    yield from table.assume("codepipeline.amazonaws.com", role)
    stages = world.get(pipeline, "Stages")
    for action_role in set(re.findall(r'"RoleArn": "([^"]+)"', re.sub(r'"Configuration": \{.*?\}, "', '"', stages))):
        yield from table.use(role, "sts:AssumeRole", action_role)
    store = world.get(pipeline, "ArtifactStores")
    for bucket in set(re.findall(r'"Location": "([^"]+)"', store)):
        if world.behind(f"arn:aws:s3:::{bucket}"):
            yield from table.use(role, "s3:GetObject s3:PutObject", f"arn:aws:s3:::{bucket}/x")


@on("AWS::CodeBuild::Project", "https://docs.aws.amazon.com/codebuild/latest/userguide/setting-up-service-role.html")
def _project(world: World, project: Resource, table: Table) -> Iterator[Need]:
    role = world.get(project, "ServiceRole")
    yield from table.assume("codebuild.amazonaws.com", role)
    name = world.get(project, "LogsConfig.CloudWatchLogs.GroupName")
    group = f"arn:aws:logs:{table.region}:{table.account}:log-group:{name}:log-stream:x"
    yield from table.use(role, "logs:CreateLogStream logs:PutLogEvents", group)


@on(
    "AWS::CodeStarNotifications::NotificationRule",
    "https://docs.aws.amazon.com/dtconsole/latest/userguide/set-up-sns.html",
)
def _notification(world: World, rule: Resource, table: Table) -> Iterator[Need]:
    for topic in set(re.findall(r"arn:aws:sns:[^\"]+", world.get(rule, "Targets"))):
        yield from table.service("codestar-notifications.amazonaws.com", "sns:Publish", topic)
