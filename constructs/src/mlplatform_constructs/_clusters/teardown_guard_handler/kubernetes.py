"""A few calls to the Kubernetes API of an EKS cluster, with nothing but what Lambda's Python brings."""

import base64
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
from botocore.signers import RequestSigner

Object = Mapping[str, Any]
_TOKEN_SECONDS = 60


class KubernetesApi:
    """Lists and deletes objects; paths are those of the API, such as ``/api/v1/services``."""

    def __init__(self, endpoint: str, certificate_authority: str, token: str) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._token = token
        self._tls = ssl.create_default_context(cadata=certificate_authority)
        # EKS's authorities have no key identifier, which Python requires since 3.13. All other checks remain.
        self._tls.verify_flags &= ~ssl.VERIFY_X509_STRICT

    @classmethod
    def of_cluster(cls, name: str) -> "KubernetesApi | None":
        """The API of the EKS cluster ``name``, or None if there is no such cluster."""
        eks = boto3.client("eks")
        try:
            cluster = eks.describe_cluster(name=name)["cluster"]
        except eks.exceptions.ResourceNotFoundException:
            return None
        authority = base64.b64decode(cluster["certificateAuthority"]["data"]).decode()
        return cls(cluster["endpoint"], authority, _token(name))

    def list(self, path: str) -> Iterator[Object]:
        """All objects below ``path``, page by page; none if the cluster does not know the kind."""
        page: str | None = ""
        while page is not None:
            answer = self._call("GET", f"{path}?limit=250" + (f"&continue={page}" if page else ""))
            if answer is None:
                return
            yield from answer["items"]
            page = answer["metadata"].get("continue") or None

    def get(self, path: str) -> Object | None:
        """One object, or None if it does not exist."""
        found: Object | None = self._call("GET", path)
        return found

    def delete(self, path: str, *, background: bool = False, grace_seconds: int | None = None) -> None:
        """Request the deletion of one object, which may continue to exist until its finalizers are removed.

        :param background: delete it before its dependents, instead of after them.
        :param grace_seconds: grace period of a pod. Default: its own grace period.
        """
        options: dict[str, Any] = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": "Background" if background else "Foreground",
        }
        self._call(
            "DELETE", path, options if grace_seconds is None else {**options, "gracePeriodSeconds": grace_seconds}
        )

    def _call(self, method: str, path: str, body: Object | None = None) -> Any:
        request = urllib.request.Request(
            self._endpoint + path,
            method=method,
            data=json.dumps(body).encode() if body else None,
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, context=self._tls, timeout=30) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            text = error.read().decode(errors="replace")[:500]
            raise RuntimeError(f"{method} {path}: {error.code} {text}") from None


def _token(cluster: str) -> str:
    """A token as ``aws eks get-token`` makes it: a signed question to STS, for this cluster only."""
    session = boto3.session.Session()
    region = session.region_name
    sts = session.client("sts", region_name=region)
    signer = RequestSigner(
        sts.meta.service_model.service_id, region, "sts", "v4", session.get_credentials(), session.events
    )
    request = {
        "method": "GET",
        "url": f"https://sts.{region}.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15",
        "body": {},
        "headers": {"x-k8s-aws-id": cluster},
        "context": {},
    }
    url = signer.generate_presigned_url(request, region_name=region, expires_in=_TOKEN_SECONDS, operation_name="")
    return "k8s-aws-v1." + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")
