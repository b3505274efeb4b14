"""A small client of the Kubernetes API: the few calls that deploying a model server needs, by HTTPS alone."""

import base64
import json
import ssl
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from mlplatform_components.errors import ComponentError

FIELD_MANAGER = "mlplatform-pipeline-components"
_SECONDS = 30
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_PLURALS = {"Deployment": "deployments", "Service": "services", "InferenceService": "inferenceservices"}


class KubernetesApi:
    """The API of one cluster.

    :param server: such as ``https://10.0.0.1``.
    :param certificates: PEM file of the authorities that the server's certificate is checked against.
    :param token: returns a bearer token; called for each request, because tokens expire.
    """

    def __init__(self, server: str, *, certificates: Path | str | None, token: Callable[[], str]) -> None:
        self._server, self._token = server.rstrip("/"), token
        self._context = ssl.create_default_context(cafile=str(certificates) if certificates else None)

    @classmethod
    def in_cluster(cls) -> "KubernetesApi":
        """The cluster that this pod runs in, as its service account."""
        return cls(
            "https://kubernetes.default.svc",
            certificates=_ACCOUNT / "ca.crt",
            token=lambda: (_ACCOUNT / "token").read_text(encoding="utf-8"),
        )

    @classmethod
    def eks(cls, session: Any, cluster: str) -> "KubernetesApi":
        """An EKS cluster of the account, such as that of the model servers, as the role of this pod.

        The role needs ``eks:DescribeCluster``, and an access entry of the cluster.

        :param session: a boto3 session.
        :param cluster: name of the cluster.
        """
        found = session.client("eks").describe_cluster(name=cluster)["cluster"]
        with tempfile.NamedTemporaryFile("wb", suffix=".crt", delete=False) as file:
            file.write(base64.b64decode(found["certificateAuthority"]["data"]))
        return cls(found["endpoint"], certificates=file.name, token=lambda: eks_token(session.client("sts"), cluster))

    @classmethod
    def from_dict(cls, values: Mapping[str, str], session: Any) -> "KubernetesApi":
        """A cluster from JSON: ``{"eks": "<name>"}``, ``{}`` for the cluster of this pod, or ``server``,
        ``certificates`` and ``token_file``.

        :raises ComponentError: for anything else.
        """
        match dict(values):
            case {"eks": str(name), **rest} if not rest:
                return cls.eks(session, name)
            case {"server": str(server), "certificates": str(certificates), "token_file": str(file), **rest} if (
                not rest
            ):
                return cls(server, certificates=certificates, token=lambda: Path(file).read_text(encoding="utf-8"))
            case {**rest} if not rest:
                return cls.in_cluster()
        raise ComponentError(
            f"cluster: must be {{'eks': '<name>'}}, empty, or server, certificates and token_file; got "
            f"{', '.join(sorted(values))}"
        )

    def get(self, kind: str, api_version: str, namespace: str, name: str) -> dict[str, Any] | None:
        """An object, or None if there is none."""
        try:
            return self._call("GET", _path(kind, api_version, namespace, name))
        except _NotFound:
            return None

    def list(self, kind: str, api_version: str, namespace: str, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        """Objects with these labels."""
        query = urllib.parse.urlencode({"labelSelector": ",".join(f"{key}={value}" for key, value in labels.items())})
        found = self._call("GET", f"{_path(kind, api_version, namespace)}?{query}")
        return cast(list[dict[str, Any]], found["items"])

    def apply(self, desired: Mapping[str, Any]) -> dict[str, Any]:
        """Create or update an object by server-side apply; fields of other owners stay as they are."""
        metadata = desired["metadata"]
        path = _path(desired["kind"], desired["apiVersion"], metadata["namespace"], metadata["name"])
        query = urllib.parse.urlencode({"fieldManager": FIELD_MANAGER, "force": "true"})
        return self._call("PATCH", f"{path}?{query}", desired, "application/apply-patch+yaml")

    def patch(
        self, kind: str, api_version: str, namespace: str, name: str, changes: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Change fields of an object by a JSON merge patch."""
        path = _path(kind, api_version, namespace, name)
        return self._call("PATCH", f"{path}?fieldManager={FIELD_MANAGER}", changes, "application/merge-patch+json")

    def delete(self, kind: str, api_version: str, namespace: str, name: str) -> None:
        """Delete an object with what it owns. A missing object is not an error."""
        try:
            self._call("DELETE", f"{_path(kind, api_version, namespace, name)}?propagationPolicy=Background")
        except _NotFound:
            return

    def _call(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> dict[str, Any]:
        request = urllib.request.Request(
            self._server + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self._token().strip()}",
                "Accept": "application/json",
                "Content-Type": content_type,
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS, context=self._context) as answer:
                return cast(dict[str, Any], json.load(answer))
        except urllib.error.HTTPError as error:
            message = _message(error.read())
            if error.code == 404:
                raise _NotFound(f"{method} {path}: {message}") from None
            raise ComponentError(f"{method} {path}: {error.code}: {message}") from None
        except urllib.error.URLError as error:
            raise ComponentError(f"{method} {self._server}{path}: {error.reason}; is the cluster reachable?") from None


class _NotFound(ComponentError):
    pass


def eks_token(sts: Any, cluster: str) -> str:
    """A token of EKS: a signed address of ``GetCallerIdentity``, valid for a quarter of an hour.

    https://docs.aws.amazon.com/eks/latest/userguide/cluster-auth.html

    :param sts: a boto3 client of ``sts``.
    """

    def read(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        if name := params.pop("EksCluster", None):
            context["eks_cluster"] = name

    def add(request: Any, **_: Any) -> None:
        if name := request.context.get("eks_cluster"):
            request.headers["x-k8s-aws-id"] = name

    sts.meta.events.register("provide-client-params.sts.GetCallerIdentity", read)
    sts.meta.events.register("before-sign.sts.GetCallerIdentity", add)
    address = sts.generate_presigned_url(
        "get_caller_identity", Params={"EksCluster": cluster}, ExpiresIn=60, HttpMethod="GET"
    )
    return "k8s-aws-v1." + base64.urlsafe_b64encode(address.encode()).decode().rstrip("=")


def _path(kind: str, api_version: str, namespace: str, name: str | None = None) -> str:
    if kind not in _PLURALS:
        raise ComponentError(f"kind must be one of {', '.join(_PLURALS)}, got {kind!r}")
    root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    path = f"{root}/namespaces/{urllib.parse.quote(namespace)}/{_PLURALS[kind]}"
    return f"{path}/{urllib.parse.quote(name)}" if name else path


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace") or "no reason given"
