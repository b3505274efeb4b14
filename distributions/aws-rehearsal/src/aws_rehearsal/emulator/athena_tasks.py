"""Tasks of state machines that have Athena run a query and wait for it.

Step Functions calls Athena by the role of the state machine, and Athena reads the catalog, the tables' files and the
place of the results by the same role. Each of these calls is decided. The query itself does not run: its text is
accepted, and no file is read or written.

https://docs.aws.amazon.com/step-functions/latest/dg/connect-athena.html
"""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import athena, stepfunctions

from aws_rehearsal.emulator import task_roles
from aws_rehearsal.emulator.patching import wrap
from aws_rehearsal.emulator.provisioner import client_of
from aws_rehearsal.emulator.task_roles import Action

TASK = "arn:aws:states:::athena:startQueryExecution.sync"
_READ = ("glue:GetTable",)
_ADD = (*_READ, "glue:BatchCreatePartition")
_MOVE = (*_READ, "glue:GetPartition", "glue:UpdatePartition")
_WRITE = ("s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", "s3:PutObject")
_TO = re.compile(r"\bTO\s+'s3://([^']+?)/?'", re.IGNORECASE)


def install() -> None:
    """Take such tasks, which the emulator refuses."""
    athena.ATHENA_ENGINE = "mock"  # else it runs queries wherever DuckDB is installed
    wrap(athena, "_save_query_results", lambda original: _keep_nothing)
    wrap(stepfunctions, "_invoke_resource", _with_queries)


async def _keep_nothing(query: str) -> None:
    """A query that did not run has no results."""


def _with_queries(original: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    def invoke(resource: str, arguments: Any) -> Any:
        return _query(arguments) if resource == TASK else original(resource, arguments)

    return invoke


def _query(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Decide the calls of a query, and answer as Step Functions does once it has ended."""
    account, region = get_account_id(), get_region()
    client = client_of("athena", account, region)
    task_roles.authorize(calls(arguments, client, client_of("glue", account, region), region, account))
    id = client.start_query_execution(**arguments)["QueryExecutionId"]
    while True:
        found = client.get_query_execution(QueryExecutionId=id)["QueryExecution"]
        state = found["Status"]["State"]
        if state == "SUCCEEDED":
            return {"QueryExecution": json.loads(json.dumps(found, default=str))}
        if state in ("FAILED", "CANCELLED"):
            raise stepfunctions._ExecutionError("States.TaskFailed", found["Status"].get("StateChangeReason", state))
        time.sleep(0.1)


def calls(arguments: Mapping[str, Any], client: Any, glue: Any, region: str, account: str) -> Iterator[Action]:
    """What a query asks for on behalf of the caller.

    https://docs.aws.amazon.com/athena/latest/ug/fine-grained-access-to-glue-resources.html
    https://docs.aws.amazon.com/athena/latest/ug/security-iam-athena-s3-output.html
    """
    group, query = arguments["WorkGroup"], arguments["QueryString"]
    place = f"{region}:{account}"
    for action in ("StartQueryExecution", "GetQueryExecution"):
        yield f"athena:{action}", f"arn:aws:athena:{place}:workgroup/{group}"
    yield "athena:GetDataCatalog", f"arn:aws:athena:{place}:datacatalog/AwsDataCatalog"
    database = arguments["QueryExecutionContext"]["Database"]
    catalog = (f"arn:aws:glue:{place}:catalog", f"arn:aws:glue:{place}:database/{database}")
    for arn in catalog:
        yield "glue:GetDatabase", arn
    text = query.upper()
    actions = _ADD if " ADD " in text else _MOVE if " SET LOCATION " in text else _READ
    for table in glue.get_tables(DatabaseName=database)["TableList"]:
        if not re.search(rf"\b{re.escape(table['Name'])}\b", query):
            continue
        for action in actions:
            for arn in (*catalog, f"arn:aws:glue:{place}:table/{database}/{table['Name']}"):
                yield action, arn
        if actions is _READ:
            bucket, _, prefix = table["StorageDescriptor"]["Location"].removeprefix("s3://").partition("/")
            yield "s3:GetBucketLocation", f"arn:aws:s3:::{bucket}"
            yield "s3:GetObject", f"arn:aws:s3:::{bucket}/{prefix.rstrip('/')}/any"
    if target := _TO.search(query):
        for action in _WRITE:
            yield action, f"arn:aws:s3:::{target.group(1)}/any"
    configuration = client.get_work_group(WorkGroup=group)["WorkGroup"]["Configuration"]
    results = configuration["ResultConfiguration"]["OutputLocation"].removeprefix("s3://").rstrip("/")
    for action in ("s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"):
        yield action, f"arn:aws:s3:::{results.partition('/')[0]}"
    for action in ("s3:GetObject", *_WRITE):
        yield action, f"arn:aws:s3:::{results}/any"
