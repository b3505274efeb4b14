"""``aws`` for functions: the program of their layer, but for the one call that every ``kubectl`` makes.

``aws eks get-token`` signs a request and prints it. Starting the whole AWS CLI for that takes half a second, each time;
this takes a twentieth of it. Started by path, standard library only: ``aws_cli.py PROGRAM ARGUMENT...``
"""

import base64
import hashlib
import hmac
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode, urlsplit

_REQUEST = {"Action": "GetCallerIdentity", "Version": "2011-06-15"}
_EXPIRES_SECONDS = 60
_TOKEN_MINUTES = 14
"""EKS accepts a token for 15 minutes, regardless of the expiry in the request."""


def main(program: str, arguments: list[str]) -> None:
    """Print a token for a plain ``get-token``; otherwise execute the layer's program."""
    match arguments:
        case ["--region", region, "eks", "get-token", "--cluster-name", cluster, "--output", "json"]:
            print(json.dumps(credential(cluster, region)))
        case ["--region", region, "eks", "get-token", "--cluster-name", cluster]:
            print(json.dumps(credential(cluster, region)))
        case ["ecr-public", "get-login-password", *_]:
            print("emulated")  # this registry is not embedded; ``helm`` takes any password for it
        case _:
            os.execv(sys.executable, [sys.executable, program, *arguments])


def credential(cluster: str, region: str) -> dict[str, object]:
    """What kubectl takes from a credential plugin."""
    now = datetime.now(UTC)
    expires = now + timedelta(minutes=_TOKEN_MINUTES)
    asked = json.loads(os.environ.get("KUBERNETES_EXEC_INFO") or "{}")
    token = base64.urlsafe_b64encode(_signed_url(cluster, region, now).encode()).decode().rstrip("=")
    return {
        "kind": "ExecCredential",
        "apiVersion": asked.get("apiVersion", "client.authentication.k8s.io/v1beta1"),
        "spec": {},
        "status": {"expirationTimestamp": f"{expires:%Y-%m-%dT%H:%M:%SZ}", "token": f"k8s-aws-v1.{token}"},
    }


def _signed_url(cluster: str, region: str, now: datetime) -> str:
    """A request to STS, signed with the function's role.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """
    endpoint = os.environ["AWS_ENDPOINT_URL"].rstrip("/")
    scope = f"{now:%Y%m%d}/{region}/sts/aws4_request"
    query = {
        **_REQUEST,
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{os.environ['AWS_ACCESS_KEY_ID']}/{scope}",
        "X-Amz-Date": f"{now:%Y%m%dT%H%M%SZ}",
        "X-Amz-Expires": str(_EXPIRES_SECONDS),
        "X-Amz-SignedHeaders": "host;x-k8s-aws-id",
    }
    if token := os.environ.get("AWS_SESSION_TOKEN"):
        query["X-Amz-Security-Token"] = token
    encoded = urlencode(sorted(query.items()), quote_via=quote, safe="")
    headers = f"host:{urlsplit(endpoint).netloc}\nx-k8s-aws-id:{cluster}\n"
    canonical = "\n".join(["GET", "/", encoded, headers, query["X-Amz-SignedHeaders"], _sha256("")])
    document = "\n".join([query["X-Amz-Algorithm"], query["X-Amz-Date"], scope, _sha256(canonical)])
    key = f"AWS4{os.environ['AWS_SECRET_ACCESS_KEY']}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, document.encode(), "sha256").hex()
    return f"{endpoint}/?{encoded}&X-Amz-Signature={signature}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
