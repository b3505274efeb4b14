"""The webhook that a real kube-apiserver asks who a bearer token belongs to, as it asks AWS's authenticator on EKS.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#webhook-token-authentication
"""

import json
import secrets
from typing import Any

from kubernetes_rehearsal.certificates import LOOPBACK, CertificateAuthority
from kubernetes_rehearsal.interface import Authenticate
from kubernetes_rehearsal.kubeconfig import kubeconfig
from kubernetes_rehearsal.listener import Handler, Listener


class TokenReviewWebhook:
    """Answers TokenReviews with ``authenticate``, for callers that know its secret."""

    def __init__(self, authority: CertificateAuthority, authenticate: Authenticate) -> None:
        self._authority = authority
        self._secret = secrets.token_urlsafe(32)
        self._listener = Listener(_handler(self._secret, authenticate), authority.issue("token-review"))

    @property
    def port(self) -> int:
        """Of loopback."""
        return self._listener.server_port

    def kubeconfig(self, url: str | None = None) -> dict[str, Any]:
        """What ``--authentication-token-webhook-config-file`` takes.

        :param url: where the API reaches this webhook. Default: its own URL on loopback.
        """
        found = kubeconfig(url or self._listener.url, self._authority.pem, {"token": self._secret})
        if url:
            found["clusters"][0]["cluster"]["tls-server-name"] = LOOPBACK
        return found

    def stop(self) -> None:
        """Close the port."""
        self._listener.stop()


def review(request: dict[str, Any], authenticate: Authenticate) -> dict[str, Any]:
    """The TokenReview with its status filled in."""
    identity = authenticate(request["spec"].get("token", ""))
    status: dict[str, Any] = {"authenticated": identity is not None}
    if identity:
        status["user"] = {"username": identity.username, "groups": list(identity.groups)}
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status}


def _handler(secret: str, authenticate: Authenticate) -> type[Handler]:
    class ReviewHandler(Handler):
        def do_POST(self) -> None:
            request = self.body()
            if not secrets.compare_digest((self.bearer_token() or "").encode(), secret.encode()):
                self.reply(401, b"{}")
            else:
                self.reply(200, json.dumps(review(json.loads(request), authenticate)).encode())

    return ReviewHandler
