"""oauth2-proxy, which keeps people's sessions where an account has no user pool.

https://github.com/oauth2-proxy/oauth2-proxy
"""

from typing import Any

from constructs import Construct

from charts.kit import istio, network, workloads
from charts.kit.chart import ComponentChart
from charts.kit.kubeflow import AUTH_NAMESPACE, DEX, GATEWAY, OIDC_CLIENT, OIDC_SECRET, SESSION_HOURS
from charts.kit.objects import Manifest, metadata
from charts.kit.rbac import service_account
from charts.kit.security import run_as
from charts.kit.synced_secrets import secret_files, secret_volume

NAME = "oauth2-proxy"
OPEN_PATHS = ("/dex/*", "/oauth2/*")
"""Paths of the sign-in itself, which need no session."""

_COOKIE_SECRET = "cookie-secret"
_USER = 65532


class OAuth2Proxy(ComponentChart):
    """oauth2-proxy: the gateway asks it about each request, and it answers with the person's token or a redirect.

    :param image: image of oauth2-proxy.
    :param client_secret_arn: secret of the client at Dex.
    :param cookie_secret_arn: secret that encrypts the cookies, 32 characters.
    :param secure_cookies: whether browsers send cookies over TLS only. Switch it off only where nothing in front of the
        gateway ends TLS.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        image: str,
        client_secret_arn: str,
        cookie_secret_arn: str,
        secure_cookies: bool,
        placement: Manifest,
    ) -> None:
        super().__init__(scope, id)
        container = workloads.container(
            NAME,
            image,
            args=[f"--{key}={value}" for key, value in _settings(secure_cookies).items()],
            env={
                "OAUTH2_PROXY_CLIENT_SECRET": workloads.from_secret(NAME, OIDC_SECRET),
                "OAUTH2_PROXY_COOKIE_SECRET": workloads.from_secret(NAME, _COOKIE_SECRET),
            },
            ports={"http": 4180},
            probes=workloads.http_probes("http", live="/ping", ready="/ready"),
            mounts={"/secrets": "secrets"},
            read_only=["/secrets"],
            resources=workloads.resources(cpu="50m", memory="64Mi"),
        )
        pod = workloads.pod(
            container,
            service_account=NAME,
            automountServiceAccountToken=False,  # the driver asks for the role in its place
            volumes={"secrets": secret_volume(NAME)},
            security=run_as(_USER),
            placement=placement,
        )
        secrets = {OIDC_SECRET: client_secret_arn, _COOKIE_SECRET: cookie_secret_arn}
        self.add(
            secret_files(NAME, AUTH_NAMESPACE, secrets, kubernetes_secret=list(secrets)),
            service_account(NAME, AUTH_NAMESPACE),
            # Without a sidecar, as Dex: both answer requests that have no identity yet.
            workloads.deployment(NAME, AUTH_NAMESPACE, pod, pod_labels={"sidecar.istio.io/inject": "false"}),
            workloads.service(NAME, AUTH_NAMESPACE, {"http": (80, "http")}),
            workloads.disruption_budget(NAME, AUTH_NAMESPACE),
            istio.virtual_service(NAME, AUTH_NAMESPACE, gateway=GATEWAY, prefix="/oauth2/", port=80, rewrite=None),
            network.takes(
                NAME,
                AUTH_NAMESPACE,
                network.allow(network.pods_of(istio.GATEWAY_NAMESPACE, istio.GATEWAY_PODS), ports=["http"]),
            ),
            istio.authorization_policy(
                "kubeflow-sign-in",
                istio.GATEWAY_NAMESPACE,
                {"to": [{"operation": {"paths": list(OPEN_PATHS)}}]},
                pods=istio.GATEWAY_PODS,
            ),
            _asked(),
        )


def _asked() -> dict[str, Any]:
    """Whatever a client sends as authorization, the answer of oauth2-proxy replaces it."""
    spec = {
        "selector": {"matchLabels": dict(istio.GATEWAY_PODS)},
        "action": "CUSTOM",
        "provider": {"name": istio.SIGN_IN_PROVIDER},
        "rules": [{"to": [{"operation": {"notPaths": list(OPEN_PATHS)}}]}],
    }
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": metadata("kubeflow-session", istio.GATEWAY_NAMESPACE),
        "spec": spec,
    }


def _settings(secure_cookies: bool) -> dict[str, str]:
    return {
        "http-address": "0.0.0.0:4180",
        "provider": "oidc",
        "client-id": OIDC_CLIENT,
        "oidc-issuer-url": DEX,
        "skip-oidc-discovery": "true",
        "login-url": "/dex/auth",  # the browser's way, under whatever name it called
        "redeem-url": f"{DEX}/token",
        "oidc-jwks-url": f"{DEX}/keys",
        "redirect-url": "/oauth2/callback",
        "relative-redirect-url": "true",
        "scope": "openid profile email",
        "email-domain": "*",  # Dex knows only the people of the account file
        "upstream": "static://200",
        "set-authorization-header": "true",
        "skip-provider-button": "true",
        "code-challenge-method": "S256",
        "cookie-name": "kubeflow",
        "cookie-expire": f"{SESSION_HOURS}h",
        "cookie-secure": str(secure_cookies).lower(),
        "cookie-samesite": "lax",
        "banner": "-",
        "footer": "-",
    }
