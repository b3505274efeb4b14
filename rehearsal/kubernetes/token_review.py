"""The webhook that a real kube-apiserver asks who a bearer token belongs to, as it asks AWS's authenticator on EKS.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#webhook-token-authentication
"""

import json
import secrets
from typing import Any

from rehearsal.kubernetes.certificates import CertificateAuthority
from rehearsal.kubernetes.interface import Authenticate
from rehearsal.kubernetes.kubeconfig import kubeconfig
from rehearsal.kubernetes.listener import Handler, Listener


class TokenReviewWebhook:
    """Answers TokenReviews by ``authenticate``, to whoever knows its own secret."""

    def __init__(self, authority: CertificateAuthority, authenticate: Authenticate) -> None:
        self._authority = authority
        self._secret = secrets.token_urlsafe(32)
        self._listener = Listener(_handler(self._secret, authenticate), authority.issue("token-review"))

    def kubeconfig(self) -> dict[str, Any]:
        """What ``--authentication-token-webhook-config-file`` takes."""
        return kubeconfig(self._listener.url, self._authority.pem, {"token": self._secret})

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
