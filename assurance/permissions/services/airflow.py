"""Amazon MWAA, and its DAGs."""

import re
from collections.abc import Iterator

from assurance.permissions.needs import Need, Table
from assurance.permissions.services.lines import on
from assurance.permissions.world import World
from delivery.gate.templates import Resource


@on("AWS::MWAA::Environment", "https://docs.aws.amazon.com/mwaa/latest/userguide/mwaa-create-role.html")
def _airflow(world: World, environment: Resource, table: Table) -> Iterator[Need]:
    role, name = world.get(environment, "ExecutionRoleArn"), world.get(environment, "Name")
    bucket, key = world.get(environment, "SourceBucketArn"), world.get(environment, "KmsKey")
    for service in ("airflow", "airflow-env"):
        yield from table.assume(f"{service}.amazonaws.com", role)
    own = f"{table.region}:{table.account}"
    yield from table.use(role, "airflow:PublishMetrics", f"arn:aws:airflow:{own}:environment/{name}")
    settings = "s3:GetBucketLocation s3:GetBucketPublicAccessBlock s3:GetBucketVersioning s3:ListBucket"
    yield from table.use(role, settings, bucket)
    objects = f"{bucket}/{world.get(environment, 'DagS3Path')}/x"
    yield from table.use(role, "s3:GetObject s3:GetObjectTagging s3:GetObjectVersion", objects)
    yield from table.use(role, "s3:GetAccountPublicAccessBlock logs:DescribeLogGroups")
    metrics = {"cloudwatch:namespace": "AmazonMWAA"}
    yield from table.use(role, "cloudwatch:PutMetricData", context=metrics)
    actions = "CreateLogGroup CreateLogStream GetLogEvents GetLogGroupFields GetLogRecord GetQueryResults PutLogEvents"
    logging = " ".join(f"logs:{action}" for action in actions.split())
    yield from table.use(role, logging, f"arn:aws:logs:{own}:log-group:airflow-{name}-Task:log-stream:x")
    actions = "ChangeMessageVisibility DeleteMessage GetQueueAttributes GetQueueUrl ReceiveMessage SendMessage"
    queue = f"arn:aws:sqs:{own}:airflow-celery-x"  # the queue is in an account of MWAA, with MWAA's policy
    yield from table.use(role, " ".join(f"sqs:{action}" for action in actions.split()), queue)
    by_queue = {"kms:ViaService": f"sqs.{table.region}.amazonaws.com"}
    yield from table.use(role, "kms:Decrypt kms:DescribeKey kms:Encrypt kms:GenerateDataKey", key, context=by_queue)
    for secret in re.findall(r"arn:aws:secretsmanager:[^\"\s]+", world.get(environment, "AirflowConfigurationOptions")):
        yield from table.use(role, "secretsmanager:DescribeSecret secretsmanager:GetSecretValue", secret)


@on("Custom::AirflowDags", "https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html")
def _dags(world: World, dags: Resource, table: Table) -> Iterator[Need]:
    function = world.behind(world.get(dags, "ServiceToken"))
    assert function
    files = f"arn:aws:s3:::{world.get(dags, 'Bucket')}/{world.get(dags, 'Prefix')}x"
    yield from table.use(world.get(function, "Role"), "s3:DeleteObject s3:PutObject", files)
