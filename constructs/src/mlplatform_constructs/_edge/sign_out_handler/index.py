"""Ends a session: expires the load balancer's cookies, and redirects to the user pool's sign-out page.

It is a target of the load balancer, with or without a session. The load balancer stores a session only in the browser,
in up to four cookies of 4 kB.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-authenticate-users.html

Environment: SESSION_COOKIE, the name of the cookies without their number, and SIGN_OUT_URL.
"""

import os
from collections.abc import Mapping
from typing import Any

_COOKIES = 4


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Answer one request, with headers as lists, because there are several cookies to set."""
    if event["httpMethod"] not in ("GET", "HEAD"):
        return _answer(405, "405 Method Not Allowed", {"Allow": ["GET, HEAD"]})
    name = os.environ["SESSION_COOKIE"]
    expired = "Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Secure; HttpOnly"
    headers = {
        "Location": [os.environ["SIGN_OUT_URL"]],
        "Set-Cookie": [f"{name}-{number}=; {expired}" for number in range(_COOKIES)],
    }
    return _answer(302, "302 Found", headers)


def _answer(status: int, description: str, headers: Mapping[str, list[str]]) -> dict[str, Any]:
    return {
        "statusCode": status,
        "statusDescription": description,
        "isBase64Encoded": False,
        "multiValueHeaders": {"Cache-Control": ["no-store"], "Content-Type": ["text/plain"], **headers},
        "body": "",
    }
