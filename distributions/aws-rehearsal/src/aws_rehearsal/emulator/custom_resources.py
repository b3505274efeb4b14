"""What AWS asks of custom resources: the size of request and response, and an answer."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from ministack.services import lambda_svc
from ministack.services.cloudformation import custom_resource

from aws_rehearsal.emulator.patching import wrap

REQUEST_BYTES = 262_144
"""Largest event of an asynchronous invocation.
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""
RESPONSE_BYTES = 4_096
"""Largest response.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/crpg-ref-responses.html"""

_SHOWN = 2_000

Deliver = Callable[[str, dict[str, Any]], bool]
Execute = Callable[[dict[str, Any], Any], Any]


def install() -> None:
    """Enforce the limits of custom resources, and fail immediately where AWS would wait an hour for a response."""
    wrap(custom_resource, "deliver_response", _within_response_limit)
    wrap(lambda_svc, "_execute_function_with_config_scope", _answering)


def _within_response_limit(deliver: Deliver) -> Deliver:
    def limited(token: str, response: dict[str, Any]) -> bool:
        size = len(json.dumps(response).encode())
        if size > RESPONSE_BYTES:
            reason = f"Response object is too long. ({size} bytes, {RESPONSE_BYTES} are allowed)"
            if said := response.get("Reason"):  # AWS drops it; a rehearsal reports it
                reason += f" It said: {str(said)[:_SHOWN]}"
            response = {"Status": "FAILED", "Reason": reason, "PhysicalResourceId": response.get("PhysicalResourceId")}
        return deliver(token, response)

    return limited


def _answering(execute: Execute) -> Execute:
    def answering(function: dict[str, Any], event: Any) -> Any:
        token = _response_token(event)
        if token is None:
            return execute(function, event)
        size = len(json.dumps(event, separators=(",", ":")).encode())
        if size > REQUEST_BYTES:
            _fail(
                token, f"{size} byte payload is too large for the Event invocation type (limit {REQUEST_BYTES} bytes)"
            )
            return {"body": None}
        result = execute(function, event)
        if isinstance(result, dict) and result.get("error"):
            body = result.get("body")
            message = body.get("errorMessage") if isinstance(body, dict) else body
            name = (function.get("config") or function).get("FunctionName")
            _fail(token, f"function {name} failed without answering: {message}\n{result.get('log', '')}".strip())
        return result

    return answering


def _response_token(event: Any) -> str | None:
    """The token under which CloudFormation waits for the answer to a custom resource's event, or None."""
    url = event.get("ResponseURL") if isinstance(event, dict) else None
    if not isinstance(url, str) or "/_ministack/cfn-response/" not in url:
        return None
    return urlsplit(url).path.rpartition("/")[2]


def _fail(token: str, reason: str) -> None:
    custom_resource.deliver_response(token, {"Status": "FAILED", "Reason": reason[:3000]})
