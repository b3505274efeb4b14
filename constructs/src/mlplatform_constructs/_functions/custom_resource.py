"""Answers of custom resources to CloudFormation, which waits for an hour when it gets none."""

import json
import os
import time
import urllib.request
from collections.abc import Mapping
from typing import Any, Literal

RESPONSE_BYTES = 4_096
"""https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/crpg-ref-responses.html"""
ANSWER_SECONDS = 40
"""What a function must leave of its life so that the answer gets through: four attempts, and the pauses between."""


def answer(
    event: Mapping[str, Any],
    status: Literal["SUCCESS", "FAILED"],
    physical_id: str,
    reason: str,
    data: Mapping[str, object] | None = None,
) -> None:
    """Tell how it ended. A failure names the log, where all of the reason is.

    :param physical_id: another one than before makes CloudFormation delete the former.
    :param reason: shortened in the middle to what an answer may hold.
    :param data: what ``Fn::GetAtt`` finds. Default: nothing.
    """
    if status == "FAILED":
        reason = f"{reason} (log group {os.environ['AWS_LAMBDA_LOG_GROUP_NAME']})"
    print(json.dumps({"status": status, "reason": reason}))
    body = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
    body |= {"Status": status, "PhysicalResourceId": physical_id, "Reason": ""}
    if data:
        body["Data"] = dict(data)
    body["Reason"] = shortened(reason, RESPONSE_BYTES - len(json.dumps(body)))
    _put(event["ResponseURL"], json.dumps(body).encode())


def shortened(text: str, room: int) -> str:
    """A text whose JSON takes at most ``room`` bytes. Its beginning and its end stay: the cause, and where to look."""
    kept, short = len(text), text
    while len(json.dumps(short)) - 2 > room:
        kept -= max(2, kept // 20)
        head, tail = text[: kept // 2], text[len(text) - kept // 2 :]
        short = f"{head}\n[{len(text) - len(head) - len(tail)} characters are in the log only]\n{tail}"
    return short


def _put(url: str, body: bytes) -> None:
    # An empty content type: the address is signed without one.
    request = urllib.request.Request(url, data=body, method="PUT", headers={"Content-Type": ""})
    for pause in (1, 3, 5, 0):
        try:
            with urllib.request.urlopen(request, timeout=5):
                return
        except OSError as error:
            print(f"CloudFormation has not got the answer: {error}")
            time.sleep(pause)
