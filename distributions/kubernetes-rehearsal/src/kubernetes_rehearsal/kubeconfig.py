"""Kubeconfig files: written for the servers and clients of the rehearsal, read where the user gives one."""

import base64
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kubernetes_rehearsal.interface import KubernetesError


def kubeconfig(server: str, certificate_authority: str, user: dict[str, Any]) -> dict[str, Any]:
    """A kubeconfig with one context; JSON is valid YAML, so it may be written as either.

    :param server: URL of the API.
    :param certificate_authority: PEM.
    :param user: credentials, such as ``{"token": ...}``.
    """
    authority = base64.b64encode(certificate_authority.encode()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "rehearsal",
        "clusters": [{"name": "rehearsal", "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": "rehearsal", "user": user}],
        "contexts": [{"name": "rehearsal", "context": {"cluster": "rehearsal", "user": "rehearsal"}}],
    }


@dataclass(frozen=True)
class Context:
    """A cluster and the credentials for it.

    :param token: bearer token; empty if a client certificate is used.
    :param tls: trusts the cluster's authority, and holds the client certificate.
    """

    name: str
    server: str
    token: str = field(repr=False)
    tls: ssl.SSLContext = field(repr=False)


def read_contexts(path: Path) -> list[Context]:
    """Every context of a file, in its order.

    :raises KubernetesError: if the file is unusable, or has credentials that would run a program or are too weak.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        clusters = {one["name"]: one["cluster"] for one in content["clusters"]}
        users = {one["name"]: one["user"] for one in content["users"]}
        contexts = [(one["name"], one["context"]["cluster"], one["context"]["user"]) for one in content["contexts"]]
        return [_context(path, name, clusters[cluster], users[user]) for name, cluster, user in contexts]
    except FileNotFoundError:
        raise KubernetesError(f"{path}: no such kubeconfig") from None
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise KubernetesError(f"{path}: not a kubeconfig: {error!r}") from error


def _context(path: Path, name: str, cluster: dict[str, Any], user: dict[str, Any]) -> Context:
    place = f"{path}: context {name}"
    if cluster.get("insecure-skip-tls-verify"):
        raise KubernetesError(f"{place}: insecure-skip-tls-verify is not accepted; give certificate-authority-data")
    for refused in ("exec", "auth-provider", "username"):
        if refused in user:
            raise KubernetesError(f"{place}: {refused} is not accepted; give a client certificate or a token")
    authority = _content(path, cluster, "certificate-authority")
    tls = ssl.create_default_context(cadata=authority.decode() if authority else None)
    certificate, key = _content(path, user, "client-certificate"), _content(path, user, "client-key")
    if certificate and key:
        with tempfile.TemporaryDirectory() as folder:  # the standard library takes a key from files only
            pem = Path(folder, "pem")
            pem.touch(mode=0o600)
            pem.write_bytes(certificate + b"\n" + key)
            tls.load_cert_chain(pem)
    token = user.get("token", "")
    if "tokenFile" in user:
        token = (path.parent / user["tokenFile"]).read_text(encoding="utf-8").strip()
    if not token and not certificate:
        raise KubernetesError(f"{place}: no credentials; give a client certificate or a token")
    return Context(name, cluster["server"], token, tls)


def _content(path: Path, entry: dict[str, Any], name: str) -> bytes:
    """The data of an entry, inline or from a file relative to the kubeconfig."""
    if f"{name}-data" in entry:
        return base64.b64decode(entry[f"{name}-data"])
    return (path.parent / entry[name]).read_bytes() if name in entry else b""
