"""Predictions in DynamoDB, by model and id of the record: the newest run wins, however late an older one ends."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from batch_serving.errors import BatchError


class Table:
    """A table whose partition key is ``model`` and whose sort key is ``id``, both text.

    :param name: of the table.
    :param client: a boto3 client of DynamoDB.
    """

    def __init__(self, name: str, client: Any) -> None:
        self._name, self._client = name, client

    def put(self, predictions: Sequence[Mapping[str, Any]], *, run: str, started: str) -> None:
        """Write predictions, unless a later run was first.

        :param started: when the run began; a repetition has the same time.
        :raises BatchError: if the table cannot be written.
        """
        for each in predictions:
            item = {
                "model": {"S": each["model"]},
                "id": {"S": each["id"]},
                "version": {"N": str(each["version"])},
                "prediction": {"S": json.dumps(each["prediction"])},
                "run": {"S": run},
                "started": {"S": started},
            }
            try:
                self._client.put_item(
                    TableName=self._name,
                    Item=item,
                    ConditionExpression="attribute_not_exists(started) OR started <= :started",
                    ExpressionAttributeValues={":started": {"S": started}},
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                    code = error.response["Error"]["Code"]
                    raise BatchError(f"--table: {self._name}: {code}; check its name, keys and permissions") from None
            except BotoCoreError as error:
                raise BatchError(f"--table: {self._name}: {error}; check credentials and network") from None
