"""Dex, which signs people in with passwords where an account has no user pool. https://github.com/dexidp/dex"""

import json
from collections.abc import Mapping

from constructs import Construct

from charts.kit import istio, network, workloads
from charts.kit.chart import ComponentChart
from charts.kit.kubeflow import AUTH_NAMESPACE, DEX, GATEWAY, OIDC_CLIENT, OIDC_SECRET, SESSION_HOURS
from charts.kit.objects import Manifest, config_map, selector
from charts.kit.rbac import ALL, access, rule
from charts.kit.security import run_as
from charts.kit.synced_secrets import secret_files, secret_volume

NAME = "dex"
PORT = 5556

_USER = 1001
_GROUP = "dex.coreos.com"
_KINDS = (
    "authcodes authrequests connectors devicerequests devicetokens oauth2clients offlinesessionses passwords "
    "refreshtokens signingkeies"
)
_FILE = "config.yaml"
_HASH = f"""\
set -eu
cp /template/{_FILE} /config/{_FILE}
for file in /passwords/*; do
  name=$(basename "$file")
  hash=$(htpasswd -niBC 12 someone < "$file" | cut -d: -f2 | head -n 1)
  sed -i "s|@$name@|$hash|" /config/{_FILE}
done
"""
"""Dex takes hashes by bcrypt; Secrets Manager generates and keeps the passwords themselves."""


class Dex(ComponentChart):
    """Dex with a password for each person, which Secrets Manager generates: none is shipped, none is in a template.

    A container hashes the passwords as a pod starts, so that a new password counts after a restart of Dex. Its state is
    in custom resources of its namespace. Definitions are the component's, hence Dex may not create any.

    :param image: image of Dex.
    :param hashing_image: an image with a shell and ``htpasswd``.
    :param people: ARN of the secret that holds the password as plain text, by the person's address.
    :param client_secret_arn: secret of the client by which the sign-in page asks.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        image: str,
        hashing_image: str,
        people: Mapping[str, str],
        client_secret_arn: str,
        placement: Manifest,
    ) -> None:
        super().__init__(scope, id)
        passwords = {f"person-{number}": arn for number, arn in enumerate(people.values())}
        configuration = json.dumps(_configuration(dict(zip(passwords, people, strict=True))), indent=2)
        dex = workloads.container(
            NAME,
            image,
            command=["dex", "serve", f"/config/{_FILE}"],
            env={
                "KUBERNETES_POD_NAMESPACE": workloads.from_field("metadata.namespace"),
                "OIDC_CLIENT_SECRET": workloads.from_secret(NAME, OIDC_SECRET),
            },
            ports={"http": PORT},
            probes=workloads.http_probes("http", live="/dex/healthz", ready="/dex/healthz"),
            mounts={"/config": "config", "/client": "client", "/tmp": "scratch"},
            read_only=["/config", "/client"],
            resources=workloads.resources(cpu="50m", memory="128Mi"),
        )
        hashing = workloads.container(
            "hash-passwords",
            hashing_image,
            command=["sh", "-c", _HASH],
            mounts={"/config": "config", "/passwords": "passwords", "/template": "template"},
            read_only=["/passwords", "/template"],
            resources=workloads.resources(cpu="50m", memory="64Mi"),
        )
        pod = workloads.pod(
            dex,
            initContainers=[hashing],
            service_account=NAME,
            volumes={
                "client": secret_volume(NAME),
                "config": {"emptyDir": {"medium": "Memory"}},
                "passwords": secret_volume(f"{NAME}-passwords"),
                "scratch": {"emptyDir": {}},
                "template": {"configMap": {"name": NAME}},
            },
            security=run_as(_USER),
            placement=placement,
        )
        proxy = selector("oauth2-proxy")
        self.add(
            config_map(NAME, AUTH_NAMESPACE, {_FILE: configuration}),
            secret_files(f"{NAME}-passwords", AUTH_NAMESPACE, passwords),
            secret_files(NAME, AUTH_NAMESPACE, {OIDC_SECRET: client_secret_arn}, kubernetes_secret=[OIDC_SECRET]),
            *access(NAME, AUTH_NAMESPACE, local=[rule(_GROUP, _KINDS, ALL)]),
            # Without a sidecar: istiod, which has none either, fetches the keys of tokens here.
            workloads.deployment(NAME, AUTH_NAMESPACE, pod, pod_labels={"sidecar.istio.io/inject": "false"}),
            workloads.service(NAME, AUTH_NAMESPACE, {"http": (PORT, "http")}),
            workloads.disruption_budget(NAME, AUTH_NAMESPACE),
            istio.virtual_service(NAME, AUTH_NAMESPACE, gateway=GATEWAY, prefix="/dex/", port=PORT, rewrite=None),
            network.takes(
                NAME,
                AUTH_NAMESPACE,
                network.allow(
                    network.pods_of(istio.GATEWAY_NAMESPACE, istio.GATEWAY_PODS),
                    network.pods_of(istio.GATEWAY_NAMESPACE, {"app": "istiod"}),
                    {"podSelector": {"matchLabels": proxy}},
                    ports=["http"],
                ),
            ),
        )


def _configuration(addresses: Mapping[str, str]) -> Manifest:
    """:param addresses: by the name of the file with the password."""
    return {
        "issuer": DEX,
        "storage": {"type": "kubernetes", "config": {"inCluster": True}},
        "web": {"http": f"0.0.0.0:{PORT}"},
        "logger": {"level": "info", "format": "json"},
        "oauth2": {"skipApprovalScreen": True},
        # The proxy does not look at the expiry of a token, so that a token has to outlive the session of the proxy.
        "expiry": {"idTokens": f"{SESSION_HOURS + 1}h", "signingKeys": "6h"},
        "enablePasswordDB": True,
        "staticPasswords": [
            {"email": address, "hash": f"@{file}@", "username": address, "userID": address}
            for file, address in addresses.items()
        ],
        "staticClients": [
            {
                "id": OIDC_CLIENT,
                "name": "Kubeflow",
                "redirectURIs": ["/oauth2/callback"],
                "secretEnv": "OIDC_CLIENT_SECRET",
            }
        ],
    }
