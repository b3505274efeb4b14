"""The ``[identity]`` section: sign-in of people and machines, and identity providers."""

import ipaddress
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from config.people import Name
from config.section import DnsName, Mistake, Section, key, problems_of_alike

_PATH = r"^/[-A-Za-z0-9_./~]*\*?$"
_SIGN_IN_PATH = "/oauth2"
_INTERNAL = "internal"
_COMMON_NAME = 64
"""Characters that the first name of a certificate may have.

https://docs.aws.amazon.com/acm/latest/APIReference/API_RequestCertificate.html
"""
_SECRET_ARN = r"^arn:aws[-a-z]*:secretsmanager:[-a-z0-9]+:\d{12}:secret:[-A-Za-z0-9_/+=.@]+$"

ProviderName = Annotated[str, Field(pattern=r"^[a-z][-a-z0-9]{1,30}[a-z0-9]$")]


def _ipv4_network(value: str) -> str:
    try:
        ipaddress.IPv4Network(value)
    except ValueError as error:
        raise Mistake(f"must be a network such as '203.0.113.0/24', got {value!r}: {error}") from None
    return value


def _path(value: str) -> str:
    segments = value.removesuffix("*").removesuffix("/").split("/")[1:]
    if any(segment in ("", ".", "..") for segment in segments if value not in ("/", "/*")):
        raise Mistake(f"must have no empty, '.' or '..' part, got {value!r}; such requests are refused")
    if value.removesuffix("*").rstrip("/").startswith(_SIGN_IN_PATH):
        raise Mistake(f"{_SIGN_IN_PATH} is where the sign-in returns to, got {value!r}; choose another path")
    return value


class Firewall(Section):
    """AWS WAF in front of the load balancer, with AWS's managed rules. Billed by rule and request."""

    requests_per_address: Annotated[int, Field(ge=100, le=2_000_000_000)] = key(
        "Requests that one address may make in five minutes. An office behind one address counts as one.",
        default=20_000,
    )


class LoadBalancer(Section):
    """The load balancer for people and machines, at https://<host>.<network.domain>."""

    host: Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$")] = key(
        "First part of its name.", default="kubeflow"
    )
    internet_facing: bool = key("Whether it is accessible from the internet, not only in the VPC.", default=True)
    allowed_cidrs: Annotated[tuple[Annotated[str, AfterValidator(_ipv4_network)], ...], Field(min_length=1)] | None = (
        key("Networks that may connect. Default: all.", default=None)
    )
    idle_timeout_seconds: Annotated[int, Field(ge=3600, le=4000)] = key(
        "Seconds after which it closes an idle connection. A busy notebook can be idle for long.",
        default=3600,
    )
    firewall: Firewall | None = key("A web application firewall. Default: none.", default=None)


ClientId = Annotated[str, Field(min_length=1)]
SecretArn = Annotated[str, Field(pattern=_SECRET_ARN)]


class OidcProvider(Section):
    """An enterprise identity provider with OpenID Connect."""

    type: Literal["oidc"] = key("OpenID Connect.")
    client_id: ClientId = key("Id that the provider gave to the platform.")
    client_secret_arn: SecretArn = key(
        "Secret of Secrets Manager that holds the client's secret as plain text. Must exist."
    )
    issuer: Annotated[str, Field(pattern=r"^https://[^\s?#]+[^\s?#/]$")] = key("Issuer of the provider's tokens.")
    email_claim: str = key("Claim that holds the email address.", default="email")


class SamlProvider(Section):
    """An enterprise identity provider with SAML 2.0."""

    type: Literal["saml"] = key("SAML 2.0.")
    metadata_url: Annotated[str, Field(pattern=r"^https://.+")] = key("Where the provider publishes its metadata.")
    sign_out: bool = key(
        "Whether signing out of the platform signs out of the provider too. The provider must know the pool's sign-out "
        "address.",
        default=False,
    )
    email_claim: str | None = key(
        "Attribute that holds the email address. Default: the claim that Microsoft and others use.", default=None
    )


class AppleProvider(Section):
    """Sign in with Apple. Everybody with an Apple account can sign in, within allowed_email_domains."""

    type: Literal["apple"] = key("Apple.")
    client_id: ClientId = key("Services id that Apple gave to the platform.")
    client_secret_arn: SecretArn = key(
        "Secret of Secrets Manager that holds Apple's private key as plain text. Must exist."
    )
    team_id: Annotated[str, Field(min_length=1)] = key("Apple's team id.")
    key_id: Annotated[str, Field(min_length=1)] = key("Id of Apple's private key.")


class SocialProvider(Section):
    """A social provider. Everybody with an account there can sign in, within allowed_email_domains."""

    type: Literal["amazon", "facebook", "google"] = key("The provider.")
    client_id: ClientId = key("Id that the provider gave to the platform.")
    client_secret_arn: SecretArn = key(
        "Secret of Secrets Manager that holds the client's secret as plain text. Must exist."
    )


_SOCIAL = (AppleProvider, SocialProvider)
Provider = Annotated[OidcProvider | SamlProvider | AppleProvider | SocialProvider, Field(discriminator="type")]


ScopePath = Annotated[str, Field(pattern=_PATH, max_length=128), AfterValidator(_path)]


class Scope(Section):
    """Paths of the platform that machines can access, with an OAuth scope."""

    description: Annotated[str, Field(min_length=1, max_length=256)] = key("What a machine may do with it.")
    paths: Annotated[
        tuple[ScopePath, ...],
        Field(min_length=1, max_length=3),
    ] = key("One to three paths of the host; a final * matches all subpaths.")


class Machine(Section):
    """A program that signs in with its own client id and secret. Cognito bills each by the month."""

    scopes: Annotated[tuple[str, ...], Field(min_length=1)] = key(
        "Names of identity.cognito.scopes, or 'adviser' for the API of the job adviser."
    )


ADVISER_SCOPE = "adviser"
"""The scope of the job adviser, which has an API of its own instead of paths."""
_SCOPES = {"pipelines": Scope(description="Use the Kubeflow Pipelines API", paths=("/pipeline/*",))}


class Cognito(Section):
    """Sign-in with a Cognito user pool instead of Dex. Needs a load balancer and network.domain."""

    host: Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$")] = key(
        "First part of the name of the sign-in page.", default="auth"
    )
    native_users: bool = key(
        "Whether users can sign in with a password of the pool. Without providers, everybody in [people] is invited "
        "by email.",
        default=True,
    )
    self_sign_up: bool = key("Whether users may sign themselves up. Needs allowed_email_domains.", default=False)
    allowed_email_domains: tuple[DnsName, ...] = key(
        "Domains of the email addresses that may sign in, in addition to [people]. "
        "Default: all users of the providers, and all users that an administrator creates.",
        default=(),
    )
    mfa: Literal["required", "optional"] = key(
        "Second factor of native users, an authenticator app. Providers require their own.", default="required"
    )
    threat_protection: Literal["enforced", "audit", "off"] | None = key(
        "How Cognito treats leaked passwords and unusual sign-ins of native users: 'enforced' refuses them or requires "
        "the second factor, 'audit' only records them. Both need the plan Plus, which AWS bills by user and month, "
        "including users of providers. Default: 'enforced' with native users, else 'off'.",
        default=None,
    )
    session_hours: Annotated[int, Field(ge=1, le=168)] = key("Hours after which people must sign in again.", default=12)
    providers: dict[ProviderName, Provider] = key("Identity providers by name. Default: none.", default_factory=dict)
    scopes: dict[Name, Scope] = key(
        "Scopes for machines, by name. Default: 'pipelines', for /pipeline/*.", default=_SCOPES
    )
    machines: dict[Name, Machine] = key("Programs that sign in. Default: none.", default_factory=dict)

    @property
    def protection(self) -> Literal["enforced", "audit", "off"]:
        """The threat protection, by its default where the file has none."""
        return self.threat_protection or ("enforced" if self.native_users else "off")

    @property
    def invites(self) -> bool:
        """Whether all people become native users, invited by email."""
        return self.native_users and not self.providers

    @field_validator("providers")
    @classmethod
    def _social_providers_are_filtered(
        cls, providers: dict[str, Provider], info: ValidationInfo
    ) -> dict[str, Provider]:
        social = {name: each.type for name, each in providers.items() if isinstance(each, _SOCIAL)}
        if social and not info.data.get("allowed_email_domains"):
            raise Mistake(
                f"{', '.join(sorted(social))} would admit everybody with an account there; set allowed_email_domains"
            )
        if len(set(social.values())) != len(social):
            raise Mistake("a social provider can be there once; name each type once")
        return providers

    @field_validator("allowed_email_domains")
    @classmethod
    def _sign_up_is_filtered(cls, domains: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.data.get("self_sign_up"):
            if not domains:
                raise Mistake("required with self_sign_up = true, because otherwise every address could sign up")
            if not info.data.get("native_users"):
                raise Mistake("self_sign_up makes native users; set native_users = true")
        return domains

    @field_validator("scopes")
    @classmethod
    def _the_advisers_scope_is_its_own(cls, scopes: dict[str, Scope]) -> dict[str, Scope]:
        if ADVISER_SCOPE in scopes:
            raise Mistake(f"{ADVISER_SCOPE}: is the scope of the job adviser's own API; choose another name")
        return scopes

    @field_validator("machines")
    @classmethod
    def _names_differ_and_scopes_exist(cls, machines: dict[str, Machine], info: ValidationInfo) -> dict[str, Machine]:
        if problems := list(problems_of_alike(machines)):
            raise Mistake(*problems)
        scopes = {*info.data.get("scopes", {}), ADVISER_SCOPE}
        for name, machine in machines.items():
            if unknown := [scope for scope in machine.scopes if scope not in scopes]:
                raise Mistake(f"{name}.scopes: no scope {', '.join(unknown)}; there are: {', '.join(sorted(scopes))}")
        return machines

    @field_validator("threat_protection")
    @classmethod
    def _has_native_users(
        cls, protection: Literal["enforced", "audit", "off"] | None, info: ValidationInfo
    ) -> Literal["enforced", "audit", "off"] | None:
        if protection in ("enforced", "audit") and info.data.get("native_users") is False:
            raise Mistake(f"{protection!r} protects native users alone, and native_users is false; remove it")
        return protection

    @model_validator(mode="after")
    def _has_users(self) -> "Cognito":
        if not self.native_users and not self.providers:
            raise Mistake("no user could sign in; set native_users = true or name a provider")
        return self


class Center(Section):
    """Access of people to AWS through IAM Identity Center."""

    permission_set: Annotated[str, Field(pattern=r"^[A-Za-z0-9_+=,.@-]{1,32}$")] = key(
        "Permission set from whose sessions people assume their role.", default="MLPlatform"
    )
    instance_arn: (
        Annotated[str, Field(pattern=r"^arn:aws[-a-z]*:sso:::instance/(sso)?ins-[-a-zA-Z0-9.]{16}$")] | None
    ) = key(
        "Instance in which to create the permission set. This account must administer it, and it must be in the "
        "platform's region. Default: the permission set is created elsewhere.",
        default=None,
    )
    group_ids: tuple[Annotated[str, Field(pattern=r"^([0-9a-f]{10}-)?[0-9a-f-]{36}$")], ...] = key(
        "Groups that get the permission set in this account. Needs instance_arn.", default=()
    )

    @field_validator("group_ids")
    @classmethod
    def _groups_have_an_instance(cls, ids: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if bool(ids) != bool(info.data.get("instance_arn")):
            raise Mistake("go together with instance_arn: set both, or neither")
        return ids


class ManagedDirectory(Section):
    """Active Directory that AWS runs."""

    kind: Literal["managed"] = key("AWS Managed Microsoft AD.")
    name: DnsName = key("Name of the directory's domain, such as 'corp.example.com'.")
    edition: Literal["Standard", "Enterprise"] = key("Size. 'Standard' is for up to 5,000 people.", default="Standard")


class DirectoryConnector(Section):
    """A connector to the Active Directory of the enterprise."""

    kind: Literal["connector"] = key("AD Connector.")
    name: DnsName = key("Name of the directory's domain, such as 'corp.example.com'.")
    size: Literal["Small", "Large"] = key("Size of the connector.", default="Small")
    dns_ips: Annotated[
        tuple[Annotated[str, Field(pattern=r"^\d{1,3}(\.\d{1,3}){3}$")], ...], Field(min_length=2, max_length=2)
    ] = key("DNS servers of the enterprise's directory, reachable from the VPC.")
    credentials_secret_arn: SecretArn = key(
        "Secret with 'username' and 'password' of the connector's service account. Must exist in the platform's "
        "Region, under AWS's own key."
    )


Directory = Annotated[ManagedDirectory | DirectoryConnector, Field(discriminator="kind")]


class Identity(Section):
    """Sign-in of people and machines. If empty, Dex authenticates users inside the cluster."""

    load_balancer: LoadBalancer | None = key(
        "Load balancer. Default: none; access the platform through a bastion.", default=None
    )
    cognito: Cognito | None = key("Sign-in by Cognito. Default: none.", default=None)
    center: Center | None = key("IAM Identity Center. Default: none.", default=None)
    directory: Directory | None = key("Active Directory. Default: none.", default=None)

    @field_validator("cognito")
    @classmethod
    def _cognito_has_a_load_balancer(cls, cognito: Cognito | None, info: ValidationInfo) -> Cognito | None:
        balancer = info.data.get("load_balancer")
        if cognito and "load_balancer" in info.data and balancer is None:
            raise Mistake("needs a load balancer, which calls Cognito; add [identity.load_balancer]")
        if cognito and balancer and cognito.host == balancer.host:
            raise Mistake(f"host: {cognito.host} is the load balancer's; choose another")
        return cognito

    @property
    def secrets(self) -> dict[str, str]:
        """ARNs of the secrets that must exist, by the key that names them."""
        providers = self.cognito.providers.items() if self.cognito else ()
        found = {
            f"cognito.providers.{name}.client_secret_arn": each.client_secret_arn
            for name, each in providers
            if not isinstance(each, SamlProvider)
        }
        if isinstance(self.directory, DirectoryConnector):
            found["directory.credentials_secret_arn"] = self.directory.credentials_secret_arn
        return found


def problems_of_names(identity: Identity, domain: str) -> Iterator[str]:
    """Names below the domain that cannot work, one line each."""
    for place, part in (("load_balancer", identity.load_balancer), ("cognito", identity.cognito)):
        if not part:
            continue
        if part.host == _INTERNAL:
            yield f"{place}.host: {_INTERNAL}.{domain} is the private zone, which hides it in the VPC; choose another"
        if len(name := f"{part.host}.{domain}") > _COMMON_NAME:
            yield (
                f"{place}.host: {name} has {len(name)} characters, a certificate takes {_COMMON_NAME}; choose a "
                "shorter host or network.domain"
            )


def problems_of_secrets(identity: Identity, region: str) -> Iterator[str]:
    """Secrets that CloudFormation cannot read, one line each.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references-secretsmanager.html
    """
    for place, arn in identity.secrets.items():
        if (found := arn.split(":")[3]) != region:
            yield f"{place}: must be in {region}, got {found}; replicate the secret, and name the replica"


def problems_of_identity(identity: Identity, *, domain: str | None, internet_access: bool) -> Iterator[str]:
    """What does not fit the network, one line each.

    A load balancer without public addresses calls Cognito's public endpoints through the network's internet access.

    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-authenticate-users.html

    :param internet_access: whether private subnets reach the internet.
    """
    if domain:
        yield from problems_of_names(identity, domain)
    balancer = identity.load_balancer
    if balancer and not domain:
        yield "load_balancer: needs network.domain for its name and certificate; set it"
    if balancer and identity.cognito and not balancer.internet_facing and not internet_access:
        yield (
            "load_balancer.internet_facing: false needs access to Cognito, which has no private address; set it to "
            "true, narrowed by allowed_cidrs, or network.nat to 'per_zone'"
        )
