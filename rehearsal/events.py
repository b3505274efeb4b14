"""Events for the platform's functions, in the format of the services that send them."""

import base64
import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

Sent = tuple[Any, bool]
"""An event, and whether the function must refuse it."""
_NO_EVENT: Sent = ({}, True)
"""An event that no service sends."""

_REQUEST = {
    "path": "/oauth2/sign-out",
    "headers": {},
    "queryStringParameters": {},
    "body": "",
    "isBase64Encoded": False,
}


def for_function(path: str) -> Iterator[Sent]:
    """Events for the function at a construct path.

    CloudFormation, streams and rotations send valid events to their functions; these get the invalid event only.
    """
    found = [events for pattern, events in _EVENTS.items() if re.fullmatch(pattern, path)]
    yield from found[0] if found else (_NO_EVENT,)


def _sign_in(source: str, email: str, **more: str) -> dict[str, Any]:
    """https://docs.aws.amazon.com/cognito/latest/developerguide/user-pool-lambda-pre-sign-up.html"""
    attributes = {"email": email, **more}
    return {
        "version": "1",
        "triggerSource": source,
        "userName": "0123abcd",
        "request": {"userAttributes": attributes},
        "response": {},
    }


_EVENTS: Mapping[str, tuple[Sent, ...]] = {
    r".*/SignOut/Function": (
        ({"httpMethod": "GET", **_REQUEST}, False),
        ({"httpMethod": "POST", **_REQUEST}, False),  # answered by 405
        ({}, True),
    ),
    r".*/Gate/Function": (
        (_sign_in("PreSignUp_AdminCreateUser", "anybody@example.org"), False),
        (_sign_in("PreSignUp_SignUp", ""), True),  # an account may allow every address
        (_sign_in("TokenGeneration_Authentication", "nobody@elsewhere.invalid", email_verified="false"), True),
    ),
    # With any other event, it checks all versions.
    r"(.*/)?Models/Check": (({"source": "aws.s3", "detail": {}}, True),),
    # The event of its daily schedule. An update would replace nodes that later steps compare.
    r".*/Updates/Function": (({"update": False}, False), ([], True)),
}


def request(method: str, path: str, body: object = None) -> dict[str, Any]:
    """A request to an HTTP API.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
    """
    return {
        "version": "2.0",
        "rawPath": path,
        "requestContext": {"http": {"method": method, "path": path}},
        "body": "" if body is None else json.dumps(body),
        "isBase64Encoded": False,
    }


def tables() -> Iterator[tuple[str, bytes]]:
    """Objects for the job adviser: small tables of alternating kinds, each of which becomes a batch of its own."""
    for number in range(4):
        ending, separator = ("csv", b",") if number % 2 else ("tsv", b"\t")
        yield f"part-{number:02d}.{ending}", b"id,city\n1,Berlin\n2,Leipzig\n".replace(b",", separator)


def for_stream(group: Mapping[str, Any]) -> Iterator[bytes]:
    """Records for the stream of a feature group: an event, a duplicate, a future one, and an invalid one.

    :param group: the group as in the function's settings.
    """
    good = {
        group["entity"]: "rehearsal",
        group["event_id"]: "1",
        group["event_time"]: int(time.time() * 1000),
        **dict.fromkeys(group["measures"], 1),
    }
    yield json.dumps(good).encode()
    yield json.dumps(good).encode()
    yield json.dumps(good | {group["event_id"]: "2", group["event_time"]: 1}).encode()
    yield b"no event"


_FILES = {f"{folder}/file": b"content" for folder in ("model", "feature_extractor", "sample")}
_DIGEST = hashlib.sha256(b"".join(_FILES.values())).hexdigest()


def objects() -> Iterator[tuple[str, bytes]]:
    """Objects for a model repository: a complete version, and one with missing files."""
    yield from _package(1)
    yield "rehearsal/packages/1/left-over/file", b"of another publisher"
    for number in (1, 2):
        yield f"rehearsal/versions/{number}.json", _document(number, _DIGEST, _FILES)


def missing_objects() -> Iterator[tuple[str, bytes]]:
    """The files that the second version lacks."""
    return _package(2)


def _package(number: int) -> Iterator[tuple[str, bytes]]:
    return ((f"rehearsal/packages/{number}/{_DIGEST}/{name}", body) for name, body in _FILES.items())


def _document(version: int, digest: str, files: Mapping[str, bytes]) -> bytes:
    listed = [
        {
            "path": name,
            "size": len(body),
            "checksum": base64.b64encode(hashlib.sha256(body).digest()).decode(),
        }
        for name, body in files.items()
    ]
    document = {
        "schema": "urn:mlplatform:model-version:1",
        "model": "rehearsal",
        "version": version,
        "metadata": {"purpose": "rehearsal"},
        "package": {"digest": digest, "files": listed},
    }
    return json.dumps(document).encode()
