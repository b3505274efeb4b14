"""The two ways in which people sign in to Kubeflow: by a user pool, or by passwords that Dex checks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import cdk8s
from aws_cdk import Acknowledgment, CfnOutput, Stack, Validations
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct, IDependable

from charts.kit.chart import ComponentChart
from charts.kit.identity_gate import Machines, People, SigningKeys, TokenIssuer, identity_gate
from charts.kit.kubeflow import AUTH_NAMESPACE, DEX, OIDC_CLIENT
from charts.kubeflow.dex.objects import Dex
from charts.kubeflow.entry_point.objects import EntryPoint
from charts.kubeflow.oauth2_proxy.objects import OAuth2Proxy
from config.identity import Cognito
from config.people import Person
from mlplatform_constructs import EncryptionKeys, PlatformLoadBalancer, PlatformUserPool
from stacks._wiring.data_protection import DataProtection
from stacks._wiring.output_reference import output_reference

from ..._wiring.installer import Installer

_GATE = "kubeflow"
_LOCAL_HOST = "localhost"  # people forward a port to the gateway where there is no load balancer
_DEX = "kubeflow/dex"


@dataclass(frozen=True, kw_only=True)
class EntryCharts:
    """What a way to sign in installs.

    :param sign_out: path that ends a session.
    :param namespaces: of its pods, besides Kubeflow's own.
    :param definitions: components whose definitions it needs.
    :param after: what must be deployed before.
    """

    charts: Sequence[ComponentChart]
    sign_out: str
    namespaces: Sequence[str] = ()
    definitions: Sequence[str] = ()
    after: Sequence[IDependable] = field(default_factory=list)


class SignIn(Protocol):
    """A way to sign in."""

    @property
    def load_balancer(self) -> PlatformLoadBalancer | None:
        """The load balancer in front; None where people reach the gateway through the API server."""

    def charts(self, stack: Stack, installer: Installer, app: cdk8s.App) -> EntryCharts:
        """The gateway's listener, what verifies callers, and what signs them in."""


@dataclass(frozen=True, kw_only=True)
class CognitoSignIn:
    """The load balancer signs people in by a user pool, and passes on their access tokens.

    :param settings: of the user pool.
    """

    load_balancer: PlatformLoadBalancer
    users: PlatformUserPool
    settings: Cognito

    def charts(self, stack: Stack, installer: Installer, app: cdk8s.App) -> EntryCharts:
        users, host = self.users, self.load_balancer.host_name
        target_group = _target_group(stack, self.load_balancer)
        issuer = output_reference(users, "Issuer", users.issuer)
        gate = identity_gate(
            _GATE,
            hosts=[host],
            issuer=TokenIssuer(url=issuer, keys=SigningKeys.at(f"{issuer}/.well-known/jwks.json")),
            people=People(clients=[output_reference(users, "ClientId", users.client.ref)]),
            machines=[
                Machines(scope=users.scope(name), paths=scope.paths) for name, scope in self.settings.scopes.items()
            ],
        )
        entry = EntryPoint(app, "EntryPoint", hosts=[host], gate=gate, target_group_arn=target_group)
        return EntryCharts(charts=[entry], sign_out=PlatformLoadBalancer.SIGN_OUT_PATH)


@dataclass(frozen=True, kw_only=True)
class PasswordSignIn:
    """Dex signs people in with passwords that Secrets Manager generates, one for each person of the account file.

    :param people: by short name.
    :param protection: its key encrypts the secrets.
    :param load_balancer: Default: none; people forward a port to the gateway.
    """

    people: Mapping[str, Person]
    protection: DataProtection
    load_balancer: PlatformLoadBalancer | None = None

    def charts(self, stack: Stack, installer: Installer, app: cdk8s.App) -> EntryCharts:
        scope = Construct(stack, "SignIn")
        client, cookie = self._secret(scope, "Client"), self._secret(scope, "Cookie")
        passwords = {name: self._secret(scope, f"Password-{name}") for name in self.people}
        for name, secret in passwords.items():
            words = "".join(word.capitalize() for word in name.split("-"))
            CfnOutput(stack, f"{words}Password", value=secret.secret_arn)
        roles = [installer.role(scope, "Dex", "dex"), installer.role(scope, "Proxy", "oauth2-proxy")]
        for role, secrets in zip(roles, ([client, *passwords.values()], [client, cookie]), strict=True):
            EncryptionKeys.grant_read_secrets(role, self.protection.keys.metadata, secrets)
        hosts = [self.load_balancer.host_name if self.load_balancer else _LOCAL_HOST]
        gate = identity_gate(
            _GATE,
            hosts=hosts,
            issuer=TokenIssuer(url=DEX, keys=SigningKeys.of_service(f"{DEX}/keys"), claims={}),
            people=People(
                clients=[OIDC_CLIENT], token_header="authorization", token_prefix="Bearer ", client_claim="aud"
            ),
        )
        target_group = _target_group(stack, self.load_balancer) if self.load_balancer else None
        dex = Dex(
            app,
            "Dex",
            image=installer.images.reference("dex"),
            hashing_image=installer.images.reference("htpasswd"),
            people={person.email: passwords[name].secret_arn for name, person in self.people.items()},
            client_secret_arn=client.secret_arn,
            placement=installer.placement,
        )
        proxy = OAuth2Proxy(
            app,
            "OAuth2Proxy",
            image=installer.images.reference("oauth2-proxy"),
            client_secret_arn=client.secret_arn,
            cookie_secret_arn=cookie.secret_arn,
            secure_cookies=self.load_balancer is not None,
            placement=installer.placement,
        )
        entry = EntryPoint(app, "EntryPoint", hosts=hosts, gate=gate, target_group_arn=target_group)
        return EntryCharts(
            charts=[entry, dex, proxy],
            sign_out="/oauth2/sign_out",
            namespaces=[AUTH_NAMESPACE],
            definitions=[_DEX],
            after=installer.settled(*roles),
        )

    def _secret(self, scope: Construct, id: str) -> secretsmanager.Secret:
        secret = secretsmanager.Secret(
            scope,
            id,
            encryption_key=self.protection.keys.metadata,
            generate_secret_string=secretsmanager.SecretStringGenerator(exclude_punctuation=True, password_length=32),
            removal_policy=self.protection.removal_policy,
        )
        Validations.of(secret).acknowledge(
            Acknowledgment(
                id="AwsSolutions-SMG4",
                reason="a new value counts once Dex and its proxy are restarted, which ends the sessions of everybody",
            )
        )
        return secret


def _target_group(stack: Stack, balancer: PlatformLoadBalancer) -> str:
    """Its ARN by output, so that a setting can still remove the load balancer."""
    stack.add_stack_dependency(Stack.of(balancer))
    return output_reference(balancer.target_group, "Arn", balancer.target_group.target_group_arn)
