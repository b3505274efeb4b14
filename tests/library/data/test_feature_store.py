import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Match, Template
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import DataBucket, Feature, FeatureGroup, FeatureStore
from tests.compliance import assert_complies
from tests.policies import flat, identity_statements, many

WEEKLY = Feature(
    name="preparation_seconds_mean_7d", aggregate="mean", of="preparation_seconds", window=timedelta(days=7)
)
HOURLY = Feature(
    name="preparation_seconds_mean_1h", aggregate="mean", of="preparation_seconds", window=timedelta(hours=1)
)
PREPARATION = FeatureGroup(
    name="restaurant_preparation",
    entity="restaurant_id",
    event_id="order_id",
    event_time="ready_at",
    measures={"preparation_seconds": "double"},
    offline=(WEEKLY,),
    online=(HOURLY,),
)
COURIERS = replace(PREPARATION, name="courier_delays", entity="courier_id")


def make(stack: cdk.Stack, *groups: FeatureGroup, **arguments: Any) -> FeatureStore:
    return FeatureStore(
        stack, "Features", bucket=DataBucket(stack, "Bucket"), groups=groups or [PREPARATION], **arguments
    )


def role(stack: cdk.Stack, id: str = "Somebody") -> iam.Role:
    return iam.Role(stack, id, assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))


def allowed(template: Template, who: str = "Somebody") -> dict[str, set[str]]:
    """Each action that the role whose id begins so may do, with the resources."""
    [role_id] = [id for id in template.find_resources("AWS::IAM::Role") if id.startswith(who)]
    found: dict[str, set[str]] = {}
    for statement in identity_statements(template, role_id):
        assert statement["Effect"] == "Allow"
        for action in many(statement["Action"]):
            found.setdefault(action, set()).update(map(flat, many(statement["Resource"])))
    return found


def test_the_ids_of_its_resources_stay(stack: cdk.Stack, snapshot_json: SnapshotAssertion) -> None:
    """A changed id replaces the resource, and a table or a stream loses its data with it."""
    make(stack)
    template = Template.from_stack(stack).to_json()["Resources"]
    assert {id: resource["Type"] for id, resource in template.items() if id.startswith("Features")} == snapshot_json


@pytest.mark.promise("shared-feature-store")
def test_teams_share_one_store_in_which_each_group_has_tables_stream_and_job_of_its_own(stack: cdk.Stack) -> None:
    store = make(stack, PREPARATION, COURIERS)
    template = Template.from_stack(stack)
    for type_, count in {
        "AWS::Glue::Database": 1,
        "AWS::Athena::WorkGroup": 1,
        "AWS::Glue::Table": 4,
        "AWS::DynamoDB::Table": 2,
        "AWS::Kinesis::Stream": 2,
        "AWS::Lambda::Function": 2,
        "AWS::StepFunctions::StateMachine": 2,
    }.items():
        template.resource_count_is(type_, count)
    assert store.table(PREPARATION) is not store.table(COURIERS)
    assert store.stream(PREPARATION) is not store.stream(COURIERS)


@pytest.mark.promise("scheduled-features")
@pytest.mark.parametrize(("hours", "cron"), [(1, ",".join(map(str, range(24)))), (6, "0,6,12,18"), (24, "0")])
def test_offline_features_are_recomputed_on_a_schedule(stack: cdk.Stack, hours: int, cron: str) -> None:
    """It runs hourly to daily, in UTC, with the time as input and a role that can start this job only."""
    make(stack, replace(PREPARATION, refresh=timedelta(hours=hours)))
    template = Template.from_stack(stack)
    template.has_resource_properties(
        "AWS::Scheduler::Schedule",
        {
            "ScheduleExpression": f"cron(15 {cron} * * ? *)",
            "ScheduleExpressionTimezone": "UTC",
            "Target": {"Input": '{"as_of": "<aws.scheduler.scheduled-time>"}'},
        },
    )
    schedule_role = next(id for id in template.find_resources("AWS::IAM::Role") if "ScheduleRole" in id)
    [machine] = template.find_resources("AWS::StepFunctions::StateMachine")
    assert allowed(template, schedule_role) == {"states:StartExecution": {f"<{machine}>"}}
    template.has_resource_properties(
        "AWS::CloudWatch::Alarm",
        {"MetricName": "ExecutionsSucceeded", "EvaluationPeriods": hours + 1, "TreatMissingData": "missing"},
    )


def test_the_jobs_log_needs_no_room_in_the_accounts_policy_and_meets_no_log_that_was_kept(stack: cdk.Stack) -> None:
    """https://docs.aws.amazon.com/step-functions/latest/dg/bp-cwl.html"""
    make(stack)
    template = Template.from_stack(stack)
    (group_id,) = template.find_resources("AWS::Logs::LogGroup")
    name = template.to_json()["Resources"][group_id]["Properties"]["LogGroupName"]
    assert name["Fn::Join"][1][0].startswith("/aws/vendedlogs/states/")
    assert name["Fn::Join"][1][1] == {"Fn::Select": [2, {"Fn::Split": ["/", {"Ref": "AWS::StackId"}]}]}
    template.has_resource_properties(
        "AWS::StepFunctions::StateMachine",
        {
            "LoggingConfiguration": {
                "Destinations": [{"CloudWatchLogsLogGroup": {"LogGroupArn": {"Fn::GetAtt": [group_id, "Arn"]}}}]
            }
        },
    )


@pytest.mark.promise("scheduled-features")
def test_a_run_that_fails_begins_again_in_another_folder(stack: cdk.Stack) -> None:
    """The name of the folder is computed inside the part that is retried."""
    make(stack)
    [machine] = Template.from_stack(stack).find_resources("AWS::StepFunctions::StateMachine").values()
    [recompute] = json.loads(flat(machine["Properties"]["DefinitionString"]))["States"].values()
    assert recompute["Retry"][0]["ErrorEquals"] == ["States.ALL"]
    assert recompute["Retry"][0]["MaxAttempts"] == 3
    [branch] = recompute["Branches"]
    assert list(branch["States"]) == ["Begin", "Write", "Add", "Move"]
    assert branch["States"]["Begin"]["Assign"]["run"] == "{% $uuid() %}"
    for statement in ("Write", "Add", "Move"):
        assert "Retry" not in branch["States"][statement]
        assert "/run=<run>/'" in branch["States"]["Begin"]["Assign"][statement]


@pytest.mark.promise("offline-features")
def test_tables_are_typed_parquet_by_the_groups_definition(stack: cdk.Stack) -> None:
    make(stack)
    template = Template.from_stack(stack)
    tables = {
        table["Properties"]["TableInput"]["Name"]: table["Properties"]["TableInput"]
        for table in template.find_resources("AWS::Glue::Table").values()
    }
    columns = {
        name: {column["Name"]: column["Type"] for column in table["StorageDescriptor"]["Columns"]}
        for name, table in tables.items()
    }
    assert columns == {
        "restaurant_preparation": {"restaurant_id": "string", "preparation_seconds_mean_7d": "double"},
        "restaurant_preparation_events": {
            "restaurant_id": "string",
            "order_id": "string",
            "ready_at": "bigint",
            "preparation_seconds": "double",
        },
    }
    assert {name: table["PartitionKeys"][0]["Name"] for name, table in tables.items()} == {
        "restaurant_preparation": "as_of",
        "restaurant_preparation_events": "dt",
    }
    assert all("Parquet" in json.dumps(table["StorageDescriptor"]) for table in tables.values())


@pytest.mark.promise("offline-features")
def test_events_are_found_without_a_crawler_or_a_registration(stack: cdk.Stack) -> None:
    """Firehose writes to the folders that the table's partition projection computes."""
    make(stack)
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::Glue::Crawler", 0)
    [events] = [
        table["Properties"]["TableInput"]["Parameters"]
        for table in template.find_resources("AWS::Glue::Table").values()
        if table["Properties"]["TableInput"]["Name"].endswith("_events")
    ]
    assert events["projection.enabled"] == "true"
    assert events["projection.dt.format"] == "yyyy-MM-dd"
    [archive] = template.find_resources("AWS::KinesisFirehose::DeliveryStream").values()
    prefix = archive["Properties"]["ExtendedS3DestinationConfiguration"]["Prefix"]
    assert flat(events["storage.location.template"]).endswith(prefix.replace("!{timestamp:yyyy-MM-dd}", "${dt}"))


@pytest.mark.promise("offline-features")
def test_queries_are_bounded_and_their_answers_encrypted_and_kept_for_days(stack: cdk.Stack) -> None:
    """The workgroup enforces these settings."""
    make(stack, scan_limit_gib=5, result_days=3)
    template = Template.from_stack(stack)
    template.has_resource_properties(
        "AWS::Athena::WorkGroup",
        {
            "WorkGroupConfiguration": {
                "EnforceWorkGroupConfiguration": True,
                "BytesScannedCutoffPerQuery": 5 * 1024**3,
                "ResultConfiguration": {
                    "EncryptionConfiguration": {"EncryptionOption": "SSE_KMS", "KmsKey": Match.any_value()}
                },
            }
        },
    )
    template.has_resource_properties(
        "AWS::S3::Bucket",
        {"LifecycleConfiguration": {"Rules": Match.array_with([Match.object_like({"ExpirationInDays": 3})])}},
    )


@pytest.mark.promise("streamed-features")
def test_events_reach_the_function_in_near_real_time_and_none_holds_the_others_up(stack: cdk.Stack) -> None:
    make(stack)
    template = Template.from_stack(stack)
    [queue] = template.find_resources("AWS::SQS::Queue")
    template.has_resource_properties(
        "AWS::Lambda::EventSourceMapping",
        {
            "MaximumBatchingWindowInSeconds": 1,
            "ParallelizationFactor": 5,
            "BisectBatchOnFunctionError": True,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "MaximumRetryAttempts": 20,
            "MaximumRecordAgeInSeconds": 86400,
            "DestinationConfig": {"OnFailure": {"Destination": {"Fn::GetAtt": [queue, "Arn"]}}},
        },
    )
    template.has_resource_properties("AWS::Kinesis::Stream", {"RetentionPeriodHours": 48})


@pytest.mark.promise("online-features")
def test_the_online_table_is_on_demand_forgets_and_can_be_restored(stack: cdk.Stack) -> None:
    make(stack)
    Template.from_stack(stack).has_resource_properties(
        "AWS::DynamoDB::Table",
        {
            "BillingMode": "PAY_PER_REQUEST",
            "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": True},
            "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
            "DeletionProtectionEnabled": True,
        },
    )


def test_everything_is_encrypted_with_the_buckets_key(stack: cdk.Stack) -> None:
    key = kms.Key(stack, "Own", enable_key_rotation=True)
    FeatureStore(stack, "Features", bucket=DataBucket(stack, "Bucket", encryption_key=key), groups=[PREPARATION])
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::KMS::Key", 1)
    arn = {"Fn::GetAtt": [next(iter(template.find_resources("AWS::KMS::Key"))), "Arn"]}
    for type_, properties in {
        "AWS::Kinesis::Stream": {"StreamEncryption": {"EncryptionType": "KMS", "KeyId": arn}},
        "AWS::DynamoDB::Table": {"SSESpecification": {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": arn}},
        "AWS::SQS::Queue": {"KmsMasterKeyId": arn},
        "AWS::KinesisFirehose::DeliveryStream": {
            "DeliveryStreamEncryptionConfigurationInput": {"KeyType": "CUSTOMER_MANAGED_CMK", "KeyARN": arn},
            "ExtendedS3DestinationConfiguration": {
                "EncryptionConfiguration": {"KMSEncryptionConfig": {"AWSKMSKeyARN": arn}}
            },
        },
    }.items():
        template.all_resources_properties(type_, properties)


@pytest.mark.promise("streamed-features")
def test_freshness_is_watched(stack: cdk.Stack) -> None:
    """The alarm's threshold is the freshness that the group promises, in milliseconds."""
    store = make(
        stack,
        replace(PREPARATION, freshness=timedelta(minutes=2)),
        alarm_topic=sns.Topic(stack, "Topic", enforce_ssl=True),
    )
    template = Template.from_stack(stack)
    template.has_resource_properties(
        "AWS::CloudWatch::Alarm",
        {
            "Namespace": "AWS/Lambda",
            "MetricName": "IteratorAge",
            "Statistic": "Maximum",
            "Threshold": 120_000,
            "ComparisonOperator": "GreaterThanThreshold",
        },
    )
    template.has_resource_properties(
        "AWS::CloudWatch::Alarm", {"MetricName": "ApproximateNumberOfMessagesVisible", "Threshold": 1}
    )
    assert len(store.alarms) == 4
    template.all_resources_properties("AWS::CloudWatch::Alarm", {"AlarmActions": [Match.any_value()]})


def test_a_job_that_has_not_run_yet_raises_no_alarm_and_one_that_stopped_tells_somebody(stack: cdk.Stack) -> None:
    """CloudWatch would treat missing data as an alarm immediately; otherwise it only reports the change to no data."""
    make(stack, PREPARATION, alarm_topic=sns.Topic(stack, "Topic", enforce_ssl=True))
    template = Template.from_stack(stack)
    (topic,) = template.find_resources("AWS::SNS::Topic")
    template.has_resource_properties(
        "AWS::CloudWatch::Alarm",
        {
            "MetricName": "ExecutionsSucceeded",
            "EvaluationPeriods": PREPARATION.refresh // timedelta(hours=1) + 1,
            "TreatMissingData": "missing",
            "AlarmActions": [{"Ref": topic}],
            "InsufficientDataActions": [{"Ref": topic}],
        },
    )
    alarms = template.find_resources("AWS::CloudWatch::Alarm").values()
    assert "breaching" not in {alarm["Properties"]["TreatMissingData"] for alarm in alarms}


@pytest.mark.promise("shared-feature-store")
def test_a_reader_of_offline_features_cannot_write_them(stack: cdk.Stack) -> None:
    """A reader can store query results only, in a separate bucket."""
    store = make(stack)
    store.grant_read_offline(role(stack))
    actions = allowed(Template.from_stack(stack))
    assert {"s3:GetObject", "athena:StartQueryExecution", "glue:GetPartitions", "kms:Decrypt"} < set(actions)
    assert all("Results" in resource for resource in actions["s3:PutObject"])
    assert all("/offline/*" in resource or "Results" in resource for resource in actions["s3:GetObject"])
    writing = re.compile(r"Delete|Create|Update|Batch(?!Get)|dynamodb|kinesis|firehose")
    assert not [action for action in actions if writing.search(action)]
    assert not any("_events" in resource for resource in actions["glue:GetTable"])


@pytest.mark.promise("shared-feature-store")
def test_a_reader_of_online_features_cannot_write_them_and_sees_one_group_if_told_so(stack: cdk.Stack) -> None:
    store = make(stack, PREPARATION, COURIERS)
    store.grant_read_online(role(stack, "Every"))
    store.grant_read_online(role(stack, "One"), group=COURIERS)
    template = Template.from_stack(stack)
    for who, tables in (("Every", 2), ("One", 1)):
        actions = allowed(template, who)
        assert set(actions) == {"dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Query", "kms:Decrypt"}
        assert len(actions["dynamodb:Query"]) == tables
    assert "courierdelays" in next(iter(allowed(template, "One")["dynamodb:Query"]))


@pytest.mark.promise("shared-feature-store")
def test_a_producer_can_put_events_and_not_read_them(stack: cdk.Stack) -> None:
    store = make(stack, PREPARATION, COURIERS)
    store.grant_put_events(role(stack, "Every"))
    store.grant_put_events(role(stack, "One"), group=PREPARATION)
    template = Template.from_stack(stack)
    for who, streams in (("Every", 2), ("One", 1)):
        actions = allowed(template, who)
        assert set(actions) == {"kinesis:PutRecord", "kinesis:PutRecords", "kms:GenerateDataKey"}
        assert len(actions["kinesis:PutRecords"]) == streams


def test_the_function_can_store_events_and_nothing_else(stack: cdk.Stack) -> None:
    make(stack)
    template = Template.from_stack(stack)
    function = next(id for id in template.find_resources("AWS::IAM::Role") if "EventsRole" in id)
    writes = {action for action in allowed(template, function) if action.split(":")[0] in {"dynamodb", "s3", "sqs"}}
    assert writes == {"dynamodb:UpdateItem", "sqs:SendMessage"}


def test_the_archive_may_do_what_firehose_asks_for_and_only_with_its_own_groups_objects(stack: cdk.Stack) -> None:
    """https://docs.aws.amazon.com/firehose/latest/dev/controlling-access.html#using-iam-s3"""
    make(stack, PREPARATION, COURIERS)
    template = Template.from_stack(stack)
    archive = next(id for id in template.find_resources("AWS::IAM::Role") if "courierdelaysArchiveRole" in id)
    actions = allowed(template, archive)
    on_bucket = {"s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"}
    on_objects = {"s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"}
    assert on_bucket | on_objects <= set(actions)
    for action in on_objects:
        assert {resource.split("/", 1)[1] for resource in actions[action]} == {
            "events/courier_delays/*",
            "rejected/courier_delays/*",
        }


def test_the_job_may_write_in_parts_where_athena_does(stack: cdk.Stack) -> None:
    """Answers and features. https://docs.aws.amazon.com/step-functions/latest/dg/connect-athena.html"""
    make(stack)
    template = Template.from_stack(stack)
    job = next(id for id in template.find_resources("AWS::IAM::Role") if "JobRole" in id)
    actions = allowed(template, job)
    buckets = {resource.split("/")[0] for resource in actions["s3:PutObject"]}
    assert len(buckets) == 2
    assert actions["s3:ListBucketMultipartUploads"] == buckets


def test_the_job_writes_its_own_groups_features_and_no_events(stack: cdk.Stack) -> None:
    make(stack, PREPARATION, COURIERS)
    template = Template.from_stack(stack)
    job = next(id for id in template.find_resources("AWS::IAM::Role") if "courierdelaysJobRole" in id)
    actions = allowed(template, job)
    stored = [resource for resource in actions["s3:PutObject"] if "Results" not in resource]
    assert len(stored) == 1
    assert "/offline/courier_delays/*" in stored[0]
    assert not [action for action in actions if "Delete" in action and action.startswith(("s3:", "glue:"))]
    assert not any("restaurant_preparation" in str(resources) for resources in actions.values())


def test_a_group_without_online_features_has_no_table_and_one_without_offline_features_no_archive(
    stack: cdk.Stack,
) -> None:
    offline, online = replace(PREPARATION, online=()), replace(COURIERS, offline=())
    store = make(stack, offline, online)
    template = Template.from_stack(stack)
    for type_ in ("AWS::DynamoDB::Table", "AWS::KinesisFirehose::DeliveryStream", "AWS::StepFunctions::StateMachine"):
        template.resource_count_is(type_, 1)
    template.resource_count_is("AWS::Kinesis::Stream", 2)
    with pytest.raises(ValueError, match="group 'restaurant_preparation' has no online features; name one that has"):
        store.table(offline)


def test_data_stays_by_default_and_goes_when_it_may(stack: cdk.Stack) -> None:
    make(stack)
    FeatureStore(
        stack,
        "Gone",
        bucket=DataBucket(stack, "GoneBucket", removal_policy=cdk.RemovalPolicy.DESTROY),
        groups=[PREPARATION],
        removal_policy=cdk.RemovalPolicy.DESTROY,
    )
    template = Template.from_stack(stack)
    stateful = {"AWS::DynamoDB::Table", "AWS::Kinesis::Stream", "AWS::SQS::Queue", "AWS::S3::Bucket"}
    resources = {id: r for id, r in template.to_json()["Resources"].items() if r["Type"] in stateful}
    for id, resource in resources.items():
        assert resource["DeletionPolicy"] == ("Delete" if id.startswith("Gone") else "Retain"), id
    tables = template.find_resources("AWS::DynamoDB::Table").items()
    assert {id.startswith("Gone"): r["Properties"]["DeletionProtectionEnabled"] for id, r in tables} == {
        True: False,
        False: True,
    }


def test_ids_of_what_holds_data_never_change(stack: cdk.Stack) -> None:
    """A different value here replaces the resource: a major release."""
    make(stack)
    template = Template.from_stack(stack).to_json()["Resources"]
    kept = {id for id, resource in template.items() if resource.get("DeletionPolicy") == "Retain"}
    assert {id for id in kept if id.startswith("Features")} == {
        "FeaturesCatalogResultsAccessLogsBucket084AE364",
        "FeaturesCatalogResultsBucket64676B85",
        "FeaturesLog956E6D50",
        "FeaturesrestaurantpreparationArchiveLog5A9D37FF",
        "FeaturesrestaurantpreparationEventsDeadLetters055D2057",
        "FeaturesrestaurantpreparationEventsStreamFBF82327",
        "FeaturesrestaurantpreparationEventsTableA2D48344",
    }


def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack) -> None:
    make(stack, PREPARATION, COURIERS)
    assert_complies(app)


@pytest.mark.parametrize(
    ("arguments", "mistake"),
    [
        ({"groups": []}, "groups must be one or more, got none"),
        ({"groups": [PREPARATION, PREPARATION]}, "group name 'restaurant_preparation' is used twice"),
        (
            {"groups": [PREPARATION, replace(PREPARATION, name="restaurant_preparation_events")]},
            "group name 'restaurant_preparation_events' is used twice",
        ),
        (
            {"groups": [replace(PREPARATION, online=tuple(replace(HOURLY, name=f"f{n}") for n in range(60)))]},
            "group 'restaurant_preparation' has more online features than its function holds",
        ),
        ({"shard_count": 0}, "shard_count must be 1 or more, got 0"),
        ({"scan_limit_gib": 0}, "scan_limit_gib must be 1 or more, got 0"),
        ({"result_days": 0}, "result_days must be 1 or more, got 0"),
    ],
)
def test_fails_before_anything_is_made(stack: cdk.Stack, arguments: dict[str, Any], mistake: str) -> None:
    bucket = DataBucket(stack, "Bucket")
    before = len(stack.node.find_all())
    with pytest.raises(ValueError, match="Test/Features: ") as failure:
        FeatureStore(stack, "Features", **{"bucket": bucket, "groups": [PREPARATION], **arguments})
    assert mistake in str(failure.value)
    assert len(stack.node.find_all()) == before + 1


def test_fails_when_a_grant_names_a_group_of_another_store(stack: cdk.Stack) -> None:
    store, somebody = make(stack), role(stack)
    for grant in (store.grant_put_events, store.grant_read_online):
        with pytest.raises(ValueError, match="group 'courier_delays' is not in this store; there are: 'restaurant_pr"):
            grant(somebody, group=COURIERS)


def test_the_functions_code_is_its_own_folder_and_nothing_else(app: cdk.App, stack: cdk.Stack) -> None:
    make(stack)
    assembly = Path(app.synth().directory)
    files = {str(file.relative_to(asset)) for asset in assembly.glob("asset.*") for file in asset.rglob("*.py")}
    folder = "mlplatform_constructs/_data/feature_processor_handler/"
    assert {file for file in files if file.startswith(folder)} == {
        f"{folder}{name}.py" for name in ("__init__", "events", "index", "online")
    }
    assert not {file for file in files if "model_check" in file}
