"""State machines that wait for queries run by their own role, and each call that Athena makes for it is decided."""

import json
import time
from typing import Any

import pytest

ACCOUNT = "000000000000"
GLUE = f"arn:aws:glue:us-east-1:{ACCOUNT}"
RESULTS = "arn:aws:s3:::answers-of-queries"
UNLOAD = "UNLOAD (SELECT * FROM orders) TO 's3://files-of-queries/offline/orders/' WITH (format = 'PARQUET')"
ALLOWED = {
    "athena": (["athena:StartQueryExecution", "athena:GetQueryExecution", "athena:GetDataCatalog"], "*"),
    "catalog": (
        ["glue:GetDatabase", "glue:GetTable"],
        [f"{GLUE}:catalog", f"{GLUE}:database/features", f"{GLUE}:table/features/orders"],
    ),
    "files": (
        [
            "s3:GetBucketLocation",
            "s3:GetObject",
            "s3:PutObject",
            "s3:AbortMultipartUpload",
            "s3:ListMultipartUploadParts",
        ],
        ["arn:aws:s3:::files-of-queries", "arn:aws:s3:::files-of-queries/*"],
    ),
    "answers": (["s3:*"], [RESULTS, f"{RESULTS}/*"]),
}


def run(cloud: Any, name: str, *without: str, trusts: str = "states.amazonaws.com", query: str = UNLOAD) -> Any:
    """An execution that has ended, by a role that lacks some rights."""
    for bucket in ("answers-of-queries", "files-of-queries"):
        cloud.client("s3").create_bucket(Bucket=bucket)
    glue, athena = cloud.client("glue"), cloud.client("athena")
    if not [one for one in glue.get_databases()["DatabaseList"] if one["Name"] == "features"]:
        glue.create_database(DatabaseInput={"Name": "features"})
        place = {"Location": "s3://files-of-queries/events/orders/"}
        glue.create_table(DatabaseName="features", TableInput={"Name": "orders", "StorageDescriptor": place})
        output = {"ResultConfiguration": {"OutputLocation": "s3://answers-of-queries/"}}
        athena.create_work_group(Name="features", Configuration=output)
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": trusts}, "Action": "sts:AssumeRole"}]}
    role = cloud.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    rights = [
        {"Effect": "Allow", "Action": actions, "Resource": resource}
        for key, (actions, resource) in ALLOWED.items()
        if key not in without
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": rights})
    cloud.client("iam").put_role_policy(RoleName=name, PolicyName="Own", PolicyDocument=document)
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::athena:startQueryExecution.sync",
        "Parameters": {
            "QueryString": query,
            "QueryExecutionContext": {"Catalog": "AwsDataCatalog", "Database": "features"},
            "WorkGroup": "features",
        },
        "End": True,
    }
    states = cloud.client("stepfunctions")
    definition = json.dumps({"StartAt": "Query", "States": {"Query": task}})
    machine = states.create_state_machine(name=name, definition=definition, roleArn=role)["stateMachineArn"]
    execution = states.start_execution(stateMachineArn=machine)["executionArn"]
    until = time.monotonic() + 60
    while (found := states.describe_execution(executionArn=execution))["status"] == "RUNNING":
        assert time.monotonic() < until
        time.sleep(0.1)
    return found


def test_a_query_is_asked_for_by_the_role_of_the_state_machine(cloud: Any) -> None:
    ended = run(cloud, "asks-for-queries")
    assert ended["status"] == "SUCCEEDED", ended
    assert json.loads(ended["output"])["QueryExecution"]["Status"]["State"] == "SUCCEEDED"
    calls = cloud.aws.permissions()["allowed"][f"arn:aws:iam::{ACCOUNT}:role/asks-for-queries"]
    assert calls["athena:StartQueryExecution"].keys() == {f"arn:aws:athena:us-east-1:{ACCOUNT}:workgroup/features"}
    assert f"{GLUE}:table/features/orders" in calls["glue:GetTable"]
    assert "arn:aws:s3:::files-of-queries/offline/orders/any" in calls["s3:PutObject"]


def test_a_query_leaves_nothing_behind(cloud: Any) -> None:
    run(cloud, "leaves-nothing")
    for bucket in ("answers-of-queries", "files-of-queries"):
        assert "Contents" not in cloud.client("s3").list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize(
    ("without", "action", "query"),
    [
        ("athena", "athena:StartQueryExecution", UNLOAD),
        ("catalog", "glue:GetDatabase", UNLOAD),
        ("files", "s3:GetBucketLocation", UNLOAD),
        ("answers", "s3:GetBucketLocation", UNLOAD),
        ("", "glue:BatchCreatePartition", "ALTER TABLE `orders` ADD IF NOT EXISTS PARTITION (hour = '1')"),
        ("", "glue:GetPartition", "ALTER TABLE `orders` PARTITION (hour = '1') SET LOCATION 's3://x'"),
    ],
)
def test_a_right_that_a_query_needs_is_missed(cloud: Any, without: str, action: str, query: str) -> None:
    name = f"lacks-{without}-{action.replace(':', '-')}"
    ended = run(cloud, name, without, query=query)
    assert ended["status"] == "FAILED"
    assert f"may not {action} on" in ended["cause"]


def test_a_role_that_does_not_trust_step_functions_runs_no_query(cloud: Any) -> None:
    ended = run(cloud, "trusts-another", trusts="lambda.amazonaws.com")
    assert (ended["status"], ended["error"]) == ("FAILED", "States.Permissions")


def test_a_function_is_invoked_by_the_role_of_the_state_machine(cloud: Any) -> None:
    function = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:not-yet"
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": function, "Payload": {}},
        "End": True,
    }
    trust = {
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}]
    }
    iam, states = cloud.client("iam"), cloud.client("stepfunctions")
    role = iam.create_role(RoleName="invokes", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    definition = json.dumps({"StartAt": "Call", "States": {"Call": task}})
    machine = states.create_state_machine(name="invokes", definition=definition, roleArn=role)["stateMachineArn"]

    def cause() -> str:
        execution = states.start_execution(stateMachineArn=machine)["executionArn"]
        until = time.monotonic() + 60
        while (found := states.describe_execution(executionArn=execution))["status"] == "RUNNING":
            assert time.monotonic() < until
            time.sleep(0.1)
        return str(found["cause"])

    assert cause() == f"{role} may not lambda:InvokeFunction on {function}"
    right = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": function}
    document = json.dumps({"Version": "2012-10-17", "Statement": [right]})
    iam.put_role_policy(RoleName="invokes", PolicyName="Own", PolicyDocument=document)
    assert "may not" not in cause()
