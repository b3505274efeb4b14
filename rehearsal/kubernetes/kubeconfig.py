"""Kubeconfig files: written for the servers and clients of the rehearsal, read where the user gives one."""

import base64
from typing import Any


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
