"""The ``[identity]`` section: how people and machines come in, and who says who they are."""

import ipaddress
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from config.people import Name
from config.section import DnsName, Section, key

_PATH = r"^/[-\w./~]*\*?$"
_SECRET_ARN = r"^arn:aws[-a-z]*:secretsmanager:[-a-z0-9]+:\d{12}:secret:[-\w/+=.@]+$"

ProviderName = Annotated[str, Field(pattern=r"^[a-z][-a-z0-9]{1,30}[a-z0-9]$")]
ProviderType = Literal["amazon", "apple", "facebook", "google", "oidc", "saml"]

_KEYS_OF: dict[ProviderType, tuple[str, ...]] = {
    "amazon": ("client_id", "client_secret_arn"),
    "apple": ("client_id", "client_secret_arn", "team_id", "key_id"),
    "facebook": ("client_id", "client_secret_arn"),
    "google": ("client_id", "client_secret_arn"),
    "oidc": ("client_id", "client_secret_arn", "issuer"),
    "saml": ("metadata_url",),
}
_SOCIAL: tuple[ProviderType, ...] = ("amazon", "apple", "facebook", "google")


def _ipv4_network(value: str) -> str:
    try:
        ipaddress.IPv4Network(value)
    except ValueError as error:
        raise ValueError(f"must be a network such as '203.0.113.0/24', got {value!r}: {error}") from None
    return value


class Firewall(Section):
    """AWS WAF in front of the load balancer, with AWS's managed rules. Billed by rule and request."""

    requests_per_address: Annotated[int, Field(ge=100, le=2_000_000_000)] = key(
        "Requests that one address may make in five minutes. An office behind one address counts as one.",
        default=20_000,
    )


class LoadBalancer(Section):
    """The way in for people and machines, at https://<host>.<network.domain>."""

    host: Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$")] = key(
        "First part of its name.", default="kubeflow"
    )
    internet_facing: bool = key("Whether it has public addresses; else it is reached inside the VPC.", default=True)
    allowed_cidrs: Annotated[tuple[Annotated[str, AfterValidator(_ipv4_network)], ...], Field(min_length=1)] | None = (
        key("Networks that may connect. Default: all.", default=None)
    )
    idle_timeout_seconds: Annotated[int, Field(ge=3600, le=4000)] = key(
        "Seconds of silence after which it closes a connection. A notebook at work can be silent for long.",
        default=3600,
    )
    firewall: Firewall | None = key("A web application firewall. Default: none.", default=None)


class Provider(Section):
    """Who else may say who somebody is: a social or an enterprise identity provider."""

    type: ProviderType = key("'oidc' and 'saml' are for enterprises, the others let in everybody who has an account.")
    client_id: str | None = key("Id that the provider gave to the platform. All but 'saml' need it.", default=None)
    client_secret_arn: Annotated[str, Field(pattern=_SECRET_ARN)] | None = key(
        "Secret of Secrets Manager that holds the client's secret as plain text, for 'apple' its private key. Must "
        "exist. All but 'saml' need it.",
        default=None,
    )
    team_id: str | None = key("Apple's team id; 'apple' needs it.", default=None)
    key_id: str | None = key("Apple's key id; 'apple' needs it.", default=None)
    issuer: Annotated[str, Field(pattern=r"^https://.+[^/]$")] | None = key("Issuer; 'oidc' needs it.", default=None)
    metadata_url: Annotated[str, Field(pattern=r"^https://.+")] | None = key(
        "Where the provider publishes its SAML metadata; 'saml' needs it.", default=None
    )
    sign_out: bool = key(
        "Whether signing out of the platform signs out of the provider too. For 'saml' alone, and the provider must "
        "know the pool's sign-out address; the others keep their own session.",
        default=False,
    )
    email_claim: str | None = key(
        "Claim or SAML attribute that holds the email address. Default: what the type is known to use.", default=None
    )

    @model_validator(mode="after")
    def _has_what_its_type_needs(self) -> "Provider":
        needed = _KEYS_OF[self.type]
        for name in ("client_id", "client_secret_arn", "team_id", "key_id", "issuer", "metadata_url"):
            if name in needed and not getattr(self, name):
                raise ValueError(f"{name} is required for type {self.type!r}; add it")
            if name not in needed and getattr(self, name):
                raise ValueError(f"{name} has no meaning for type {self.type!r}; remove it")
        if self.sign_out and self.type != "saml":
            raise ValueError(f"sign_out has no meaning for type {self.type!r}; only 'saml' providers can be told")
        return self


class Scope(Section):
    """What machines may be let into: paths of the platform, each with its own OAuth scope."""

    description: Annotated[str, Field(min_length=1, max_length=256)] = key("What a machine may do with it.")
    paths: Annotated[tuple[Annotated[str, Field(pattern=_PATH)], ...], Field(min_length=1, max_length=3)] = key(
        "One to three paths below the host; a final * stands for all below."
    )


class Machine(Section):
    """A program that signs in by itself, with a client id and a secret of its own. Cognito bills each by the month."""

    scopes: Annotated[tuple[str, ...], Field(min_length=1)] = key("Names of identity.cognito.scopes.")


_SCOPES = {"pipelines": Scope(description="Use the Kubeflow Pipelines API", paths=("/pipeline/*",))}


class Cognito(Section):
    """Sign-in by a Cognito user pool, in the place of Dex. Needs a load balancer and network.domain."""

    host: Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$")] = key(
        "First part of the name of the sign-in page.", default="auth"
    )
    native_users: bool = key(
        "Whether people can sign in with a password of the pool. Without providers, everybody in [people] is invited "
        "by email.",
        default=True,
    )
    self_sign_up: bool = key(
        "Whether strangers may make themselves a native user. Needs allowed_email_domains.", default=False
    )
    allowed_email_domains: tuple[DnsName, ...] = key(
        "Domains of the email addresses that get in, beside everybody in [people]. "
        "Default: whoever a provider or an administrator lets in.",
        default=(),
    )
    mfa: Literal["required", "optional"] = key(
        "Second factor of native users, an authenticator app. Providers ask for their own.", default="required"
    )
    threat_protection: Literal["enforced", "audit", "off"] = key(
        "What Cognito does about leaked passwords and unusual sign-ins of native users: refuse or ask for more, only "
        "record, nothing. All but 'off' are billed by user (the plan Plus).",
        default="enforced",
    )
    session_hours: Annotated[int, Field(ge=1, le=168)] = key("Hours after which people must sign in again.", default=12)
    providers: dict[ProviderName, Provider] = key("Identity providers by name. Default: none.", default_factory=dict)
    scopes: dict[Name, Scope] = key(
        "What machines can be let into, by name. Default: 'pipelines', for /pipeline/*.", default=_SCOPES
    )
    machines: dict[Name, Machine] = key("Programs that sign in by themselves. Default: none.", default_factory=dict)

    @field_validator("providers")
    @classmethod
    def _strangers_are_filtered(cls, providers: dict[str, Provider], info: ValidationInfo) -> dict[str, Provider]:
        social = sorted(name for name, provider in providers.items() if provider.type in _SOCIAL)
        if social and not info.data.get("allowed_email_domains"):
            raise ValueError(
                f"{', '.join(social)} would let in everybody who has an account there; set allowed_email_domains"
            )
        twice = {provider.type for provider in providers.values() if provider.type in _SOCIAL}
        if len(twice) != len(social):
            raise ValueError("a social provider can be there once; name each type once")
        return providers

    @field_validator("allowed_email_domains")
    @classmethod
    def _sign_up_is_filtered(cls, domains: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.data.get("self_sign_up"):
            if not domains:
                raise ValueError("required with self_sign_up = true; else anybody signs up")
            if not info.data.get("native_users"):
                raise ValueError("self_sign_up makes native users; set native_users = true")
        return domains

    @field_validator("machines")
    @classmethod
    def _scopes_exist(cls, machines: dict[str, Machine], info: ValidationInfo) -> dict[str, Machine]:
        scopes = info.data.get("scopes", {})
        for name, machine in machines.items():
            if strangers := [scope for scope in machine.scopes if scope not in scopes]:
                raise ValueError(f"{name}.scopes: no scope {', '.join(strangers)}; there is {', '.join(scopes)}")
        return machines

    @model_validator(mode="after")
    def _somebody_can_sign_in(self) -> "Cognito":
        if not self.native_users and not self.providers:
            raise ValueError("nobody could sign in; set native_users = true or name a provider")
        return self


class Center(Section):
    """People come into AWS through IAM Identity Center."""

    permission_set: Annotated[str, Field(pattern=r"^[\w+=,.@-]{1,32}$")] = key(
        "Permission set from whose sessions people take their role of the platform.", default="MLPlatform"
    )
    instance_arn: (
        Annotated[str, Field(pattern=r"^arn:aws[-a-z]*:sso:::instance/(sso)?ins-[-a-zA-Z0-9.]{16}$")] | None
    ) = key(
        "Instance to make the permission set in; this account must administer it, and it must lie in the platform's "
        "region. Default: it is made elsewhere.",
        default=None,
    )
    group_ids: tuple[Annotated[str, Field(pattern=r"^([0-9a-f]{10}-)?[0-9a-f-]{36}$")], ...] = key(
        "Groups that get the permission set in this account. Needs instance_arn.", default=()
    )

    @field_validator("group_ids")
    @classmethod
    def _groups_have_an_instance(cls, ids: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if bool(ids) != bool(info.data.get("instance_arn")):
            raise ValueError("go together with instance_arn: set both, or neither")
        return ids


class Directory(Section):
    """Active Directory for people: a managed one, or a connector to the enterprise's own."""

    kind: Literal["managed", "connector"] = key("AWS Managed Microsoft AD, or AD Connector.")
    name: DnsName = key("Name of the directory's domain, such as 'corp.example.com'.")
    edition: Literal["Standard", "Enterprise"] | None = key(
        "Size of a managed directory. Default: 'Standard', up to about 5,000 people.", default=None
    )
    size: Literal["Small", "Large"] | None = key("Size of a connector. Default: 'Small'.", default=None)
    dns_ips: tuple[Annotated[str, Field(pattern=r"^\d{1,3}(\.\d{1,3}){3}$")], ...] = key(
        "DNS servers of the enterprise's directory, reachable from the VPC. A connector needs two.", default=()
    )
    credentials_secret_arn: Annotated[str, Field(pattern=_SECRET_ARN)] | None = key(
        "Secret with 'username' and 'password' of the service account of a connector. Must exist in the platform's "
        "region, under AWS's own key.",
        default=None,
    )

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> "Directory":
        connects = self.kind == "connector"
        if connects != bool(self.dns_ips) or connects != bool(self.credentials_secret_arn):
            raise ValueError("dns_ips and credentials_secret_arn belong to kind 'connector', which needs both")
        if self.edition and connects:
            raise ValueError("edition belongs to kind 'managed'; remove it")
        if self.size and not connects:
            raise ValueError("size belongs to kind 'connector'; remove it")
        return self


class Identity(Section):
    """How people and machines come in. Empty: no load balancer, no Cognito; sign-in is Dex's, inside the cluster."""

    load_balancer: LoadBalancer | None = key(
        "The way in. Default: none; reach the platform by a bastion.", default=None
    )
    cognito: Cognito | None = key("Sign-in by Cognito. Default: none.", default=None)
    center: Center | None = key("IAM Identity Center. Default: none.", default=None)
    directory: Directory | None = key("Active Directory. Default: none.", default=None)

    @field_validator("cognito")
    @classmethod
    def _cognito_has_a_load_balancer(cls, cognito: Cognito | None, info: ValidationInfo) -> Cognito | None:
        balancer = info.data.get("load_balancer")
        if cognito and "load_balancer" in info.data and balancer is None:
            raise ValueError("needs a load balancer, which asks Cognito who somebody is; add [identity.load_balancer]")
        if cognito and balancer and cognito.host == balancer.host:
            raise ValueError(f"host: {cognito.host} is the load balancer's; choose another")
        return cognito


def problems_of_identity(identity: Identity, *, domain: str | None, way_out: bool) -> Iterator[str]:
    """What does not fit the network, one line each.

    A load balancer without public addresses asks Cognito's public ones by the network's way out.

    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-authenticate-users.html

    :param way_out: whether private subnets reach the internet.
    """
    balancer = identity.load_balancer
    if balancer and not domain:
        yield "load_balancer: needs network.domain for its name and certificate; set it"
    if balancer and identity.cognito and not balancer.internet_facing and not way_out:
        yield (
            "load_balancer.internet_facing: false needs a way out to Cognito, which has no private address; set it to "
            "true, narrowed by allowed_cidrs, or network.nat to 'per_zone'"
        )
