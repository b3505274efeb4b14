"""AWS for pods: the AWS emulator under the names of AWS services, and credentials as on EKS.

A pod calls AWS with the role of its service account, by Pod Identity or by web identity, and without one anonymously.
https://docs.aws.amazon.com/eks/latest/userguide/pod-identities.html
https://docs.aws.amazon.com/eks/latest/userguide/iam-roles-for-service-accounts.html
"""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from kubernetes_rehearsal.certificates import LOOPBACK, CertificateAuthority
from kubernetes_rehearsal.listener import server_context
from kubernetes_rehearsal.nodes import network
from kubernetes_rehearsal.nodes.relays import copy_both_ways

AUDIENCE = "pods.eks.amazonaws.com"
WEB_IDENTITY_AUDIENCE = "sts.amazonaws.com"
ROLE_ANNOTATION = "eks.amazonaws.com/role-arn"
_AUTHORITY_ANNOTATION = "rehearsal.invalid/aws-authority"
_IDENTITY_FOLDER = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount"
_IDENTITY_TOKEN = "eks-pod-identity-token"
_WEB_IDENTITY_FOLDER = "/var/run/secrets/eks.amazonaws.com/serviceaccount"
_AUTHORITY_FOLDER = "/var/run/secrets/rehearsal.invalid"
_AUTHORITY_FILE = "aws-authority.pem"
_TOKEN_SECONDS = 86_400
_HANDSHAKE_SECONDS = 60

Object = dict[str, Any]


class AwsError(Exception):
    """AWS refuses credentials. The text is AWS's own."""


class Aws(Protocol):
    """What pods need of the AWS emulator."""

    @property
    def port(self) -> int:
        """Of loopback, where every service answers."""

    def region(self, cluster: str) -> str:
        """Region of a cluster, by its key."""

    def issuer(self, cluster: str) -> str:
        """URL of the OpenID Connect issuer of a cluster, whose tokens roles trust for web identity."""

    def role(self, cluster: str, namespace: str, service_account: str) -> str | None:
        """ARN of the role that a Pod Identity association gives to a service account, or None."""

    def credentials(self, cluster: str, namespace: str, service_account: str) -> Mapping[str, str]:
        """Credentials of that role, as ``AssumeRoleForPodIdentity`` answers: ``AccessKeyId`` and so on.

        :raises AwsError: if there is no association, or the role does not trust EKS.
        """


@dataclass(frozen=True)
class PodIdentity:
    """What a pod is, as far as AWS knows.

    :param associated: whether a Pod Identity association exists.
    :param role: ARN that the service account is annotated with, for web identity; empty if there is none.
    """

    region: str
    associated: bool
    role: str


def with_credentials(pod: Object, identity: PodIdentity, authority: str) -> Object:
    """The pod, with the variables and volumes that EKS adds, and with the authority of the AWS emulator.

    Containers keep variables that they have. Pod Identity comes first in every SDK, so only one of the two is added.

    :param authority: PEM of the certificate that signed those of the AWS emulator.
    """
    variables = {"AWS_CA_BUNDLE": f"{_AUTHORITY_FOLDER}/{_AUTHORITY_FILE}"}
    volumes = [_authority_volume()]
    mounts = [(volumes[0]["name"], _AUTHORITY_FOLDER)]
    if identity.associated:
        variables |= {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{network.POD_IDENTITY_AGENT}/v1/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": f"{_IDENTITY_FOLDER}/{_IDENTITY_TOKEN}",
        }
        volumes.append(_token_volume(_IDENTITY_TOKEN, AUDIENCE, _IDENTITY_TOKEN))
        mounts.append((_IDENTITY_TOKEN, _IDENTITY_FOLDER))
    elif identity.role:
        variables |= {
            "AWS_ROLE_ARN": identity.role,
            "AWS_WEB_IDENTITY_TOKEN_FILE": f"{_WEB_IDENTITY_FOLDER}/token",
        }
        volumes.append(_token_volume("aws-iam-token", WEB_IDENTITY_AUDIENCE, "token"))
        mounts.append(("aws-iam-token", _WEB_IDENTITY_FOLDER))
    if identity.associated or identity.role:
        variables |= {
            # Clients of S3 that are no AWS SDK, such as that of Argo, know this variable alone.
            "SSL_CERT_FILE": variables["AWS_CA_BUNDLE"],
            "AWS_STS_REGIONAL_ENDPOINTS": "regional",
            "AWS_DEFAULT_REGION": identity.region,
            "AWS_REGION": identity.region,
        }
    return _added(pod, variables, volumes, mounts, {_AUTHORITY_ANNOTATION: authority})


def _added(
    pod: Object,
    variables: Mapping[str, str],
    volumes: list[Object],
    mounts: list[tuple[str, str]],
    annotations: Mapping[str, str],
) -> Object:
    spec, metadata = dict(pod["spec"]), dict(pod["metadata"])
    has = {volume["name"] for volume in spec.get("volumes") or []}
    spec["volumes"] = [
        *(spec.get("volumes") or []),
        *(volume for volume in volumes if volume["name"] not in has),
    ]
    for group in ("initContainers", "containers"):
        if spec.get(group):
            spec[group] = [_container(container, variables, mounts) for container in spec[group]]
    metadata["annotations"] = {**(metadata.get("annotations") or {}), **annotations}
    return {**pod, "metadata": metadata, "spec": spec}


def _container(container: Object, variables: Mapping[str, str], mounts: list[tuple[str, str]]) -> Object:
    named = {variable["name"] for variable in container.get("env") or []}
    mounted = {mount["mountPath"] for mount in container.get("volumeMounts") or []}
    return {
        **container,
        "env": [
            *(container.get("env") or []),
            *({"name": name, "value": value} for name, value in variables.items() if name not in named),
        ],
        "volumeMounts": [
            *(container.get("volumeMounts") or []),
            *({"name": name, "mountPath": path, "readOnly": True} for name, path in mounts if path not in mounted),
        ],
    }


def _token_volume(name: str, audience: str, path: str) -> Object:
    token = {"audience": audience, "expirationSeconds": _TOKEN_SECONDS, "path": path}
    return {"name": name, "projected": {"sources": [{"serviceAccountToken": token}]}}


def _authority_volume() -> Object:
    """The authority in a file, out of the pod's own annotation: no namespace needs an object for it."""
    source = {"fieldRef": {"fieldPath": f"metadata.annotations['{_AUTHORITY_ANNOTATION}']"}, "path": _AUTHORITY_FILE}
    return {"name": "rehearsal-aws-authority", "downwardAPI": {"items": [source]}}


@dataclass
class TlsFront:
    """Terminates TLS for every requested name, and forwards the connection to a plain port.

    :param target: loopback port with HTTP.
    """

    target: int
    authority: CertificateAuthority = field(default_factory=lambda: CertificateAuthority("rehearsal-aws"))
    _contexts: dict[str, ssl.SSLContext] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._listener = socket.create_server((LOOPBACK, 0), backlog=128)
        self._context = self._certified("aws.rehearsal.invalid")
        self._context.sni_callback = self._choose
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Of loopback."""
        port: int = self._listener.getsockname()[1]
        return port

    def stop(self) -> None:
        """Close the port."""
        self._listener.close()

    def _certified(self, host: str) -> ssl.SSLContext:
        if host not in self._contexts:
            self._contexts[host] = server_context(self.authority.issue("aws", hosts=(host,)))
            self._contexts[host].set_alpn_protocols(["http/1.1"])
        return self._contexts[host]

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, host: str | None, context: ssl.SSLContext) -> None:
        if host:
            connection.context = self._certified(host)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        plain.settimeout(_HANDSHAKE_SECONDS)
        try:
            client = self._context.wrap_socket(plain, server_side=True)
            server = socket.create_connection((LOOPBACK, self.target), _HANDSHAKE_SECONDS)
        except OSError:  # a client that does not trust the authority, or an emulator that ends
            plain.close()
            return
        with client, server:
            copy_both_ways(client, server)


class PodIdentityAgent:
    """The address on each node from which SDKs request a pod's credentials.

    :param review: namespace and service account of a token for the agent's audience, or None.
    :param credentials: of a service account.
    """

    def __init__(
        self,
        review: Callable[[str], tuple[str, str] | None],
        credentials: Callable[[str, str], Mapping[str, str]],
    ) -> None:
        class AgentHandler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = agent_answer(self.headers.get("Authorization", ""), review, credentials)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Requests are not logged: they carry secrets."""

        self._server = ThreadingHTTPServer((LOOPBACK, 0), AgentHandler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    @property
    def port(self) -> int:
        """Of loopback."""
        return self._server.server_port

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()


def agent_answer(
    token: str, review: Callable[[str], tuple[str, str] | None], credentials: Callable[[str, str], Mapping[str, str]]
) -> tuple[int, bytes]:
    """What the Pod Identity agent answers: status and body.

    :param review: namespace and service account of a token for the agent's audience, or None.
    """
    owner = review(token) if token else None
    if not owner:
        return 401, json.dumps({"message": "Access Denied"}).encode()
    try:
        return 200, json.dumps(dict(credentials(*owner))).encode()
    except AwsError as error:
        return 400, json.dumps({"message": str(error)}).encode()
