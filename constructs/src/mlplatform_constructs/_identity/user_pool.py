from collections.abc import Mapping, Sequence
from typing import Literal
from urllib.parse import quote

from aws_cdk import Acknowledgment, Duration, RemovalPolicy, Validations
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct, IDependable

from .._arguments import ConfigurationError, checked, is_token
from .._security.certificate_region import CLOUDFRONT_REGION, check_region_of
from .machine_clients import MachineClients
from .risk_responses import RiskResponses
from .sign_in_gate import SignInGate
from .sign_in_log import log_sign_ins
from .sign_in_page import SignInPage
from .sign_in_provider import SignInProvider

_TOKEN_MINUTES = 15

ThreatProtection = Literal["enforced", "audit", "off"]


class PlatformUserPool(Construct):
    """A Cognito user pool for people and machines, with its sign-in page, for one platform behind a load balancer.

    People sign in with a password and a second factor, or at a provider. Passwords have 14 characters of four kinds;
    the last 12 cannot be used again. Users cannot change their email address, which is the name that permissions are
    given to: tokens lack the scope for it. A token is valid for 15 minutes, so a disabled user loses access by then.

    Machines get a client each, with a secret in Secrets Manager, and tokens for the scopes that are named here.

    https://docs.aws.amazon.com/cognito/latest/developerguide/cognito-user-pools-add-custom-domain.html

    A pool has one custom domain, and CloudFormation would create the new one before it deletes the old one, so an
    update with another ``domain_name`` fails. Delete the old one first (``aws cognito-idp delete-user-pool-domain``),
    then deploy; sign-in fails until the deployment ends.

    :param platform_url: ``https://`` and the name of the platform, the only redirect target after sign-in.
    :param domain_name: name of the sign-in page.
    :param certificate: certificate for this name, in us-east-1 for any region of the pool, because CloudFront uses it.
    :param hosted_zone: zone for the record of this name.
    :param parent_address: construct that creates an A record of the parent domain of ``domain_name``, which Cognito
        requires. Default: the record exists.
    :param providers: identity providers. Default: none.
    :param native_users: whether users can sign in with a password of the pool. Default: True.
    :param self_sign_up: whether users can sign themselves up. Default: False.
    :param allowed_email_domains: domains of email addresses that may sign in. Default: all users of providers, and all
        users that an administrator creates.
    :param allowed_addresses: additional email addresses that may sign in, about 1,500. Default: none.
    :param require_mfa: whether native users need a second factor. Default: True.
    :param threat_protection: treatment of leaked passwords and unusual sign-ins of native users: ``enforced`` refuses
        them or requires the second factor, ``audit`` records them. Both need Cognito's plan Plus, which is billed for
        every user, including those of providers. Default: ``enforced`` with native users, because they can start code
        on expensive machines, otherwise ``off``, because providers protect their own users.
    :param session: how long people stay signed in. Default: 12 hours.
    :param scopes: OAuth scopes of machines, name to description. Default: none.
    :param encryption_key: encrypts the secrets of machines. Default: AWS's own key.
    :param log_encryption_key: encrypts the log of refused users; its policy must allow CloudWatch Logs. Cognito
        supports only CloudWatch's own key for the log of sign-ins. Default: that key for both.
    :param log_retention: how long these logs are kept. Default: a year.
    :param removal_policy: removal policy of users and logs. With any policy but DESTROY, deletion
        protection is on. Default: RETAIN.
    """

    RESOURCE_SERVER = "mlplatform"
    """Prefix of each scope: ``mlplatform/pipelines``."""

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        platform_url: str,
        domain_name: str,
        certificate: acm.ICertificate,
        hosted_zone: route53.IHostedZone,
        parent_address: IDependable | None = None,
        providers: Sequence[SignInProvider] = (),
        native_users: bool = True,
        self_sign_up: bool = False,
        allowed_email_domains: Sequence[str] = (),
        allowed_addresses: Sequence[str] = (),
        require_mfa: bool = True,
        threat_protection: ThreatProtection | None = None,
        session: Duration | None = None,
        scopes: Mapping[str, str] | None = None,
        encryption_key: kms.IKey | kms.Key | None = None,
        log_encryption_key: kms.IKey | kms.Key | None = None,
        log_retention: logs.RetentionDays = logs.RetentionDays.ONE_YEAR,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, id)
        self._check(platform_url, domain_name, hosted_zone)
        check_region_of(certificate, self.node.path, CLOUDFRONT_REGION, "CloudFront reads its certificates there alone")
        self._check_who_gets_in(providers, native_users, self_sign_up, allowed_email_domains)

        threat_protection = threat_protection or ("enforced" if native_users else "off")
        self.session = session or Duration.hours(12)
        self._groups: dict[str, cognito.CfnUserPoolGroup] = {}
        self.user_pool = self._pool(platform_url, self_sign_up, require_mfa, threat_protection, removal_policy)
        self._acknowledge(require_mfa, threat_protection, native_users)
        if threat_protection != "off":
            log_sign_ins(self, self.user_pool, log_retention, removal_policy)
        if threat_protection == "enforced":
            RiskResponses(self, "Risks", user_pool=self.user_pool)
        self._gate = SignInGate(
            self,
            "Gate",
            user_pool=self.user_pool,
            domains=allowed_email_domains or None,
            addresses=allowed_addresses,
            proving_providers=[provider.name for provider in providers if provider.proves_addresses],
            log_encryption_key=log_encryption_key,
            log_retention=log_retention,
            removal_policy=removal_policy,
        )
        self.client = self._client(platform_url, self._providers(providers), native_users)
        self.domain = self._domain(domain_name, certificate, hosted_zone, parent_address)
        self.issuer = self.user_pool.user_pool_provider_url
        """Who signs tokens; their keys are at ``<issuer>/.well-known/jwks.json``."""
        self.token_url = f"https://{domain_name}/oauth2/token"
        """Where machines exchange their secret for a token."""
        self.sign_out_url = (
            f"https://{domain_name}/logout?client_id={self.client.ref}&logout_uri={quote(platform_url + '/', safe='')}"
        )
        """The URL that ends a browser's session with the pool, and with providers that support it."""
        self._machines = self._machine_clients(scopes, encryption_key) if scopes else None

    @checked
    def scope(self, name: str) -> str:
        """The OAuth scope as tokens carry it.

        :raises ConfigurationError: if there is no scope of that name.
        """
        return self._needed_machines().scope(name)

    @checked
    def add_machine(self, name: str, *, scopes: Sequence[str]) -> secretsmanager.ISecret:
        """Add a client for a program.

        :returns: its secret: JSON with ``client_id``, ``client_secret``, ``token_url`` and ``scope``.
        """
        return self._needed_machines().add(name, scopes)

    @checked
    def machine_client(self, name: str) -> cognito.CfnUserPoolClient:
        """The app client of a machine, whose ``ref`` is the client id in its tokens.

        :raises ConfigurationError: if there is no machine of that name.
        """
        return self._needed_machines().client(name)

    @checked
    def grant_machine(self, grantee: iam.IGrantable, name: str) -> iam.Grant:
        """Allow ``grantee`` to read the secret of a machine, and so to act as it.

        :raises ConfigurationError: if there is no machine of that name.
        """
        return self._needed_machines().grant_read(name, grantee)

    @checked
    def add_group(self, name: str, description: str) -> None:
        """A group, whose name the tokens of its members carry in ``cognito:groups``."""
        if name in self._groups:
            raise ConfigurationError(f"{self.node.path}: group {name!r} already exists; choose another name")
        self._groups[name] = cognito.CfnUserPoolGroup(
            self,
            f"Group-{name}",
            user_pool_id=self.user_pool.user_pool_id,
            group_name=name,
            description=description,
        )

    @checked
    def invite(self, id: str, email: str, *, groups: Sequence[str] = ()) -> None:
        """Add a native user, who gets an invitation by email with a password that is valid for three days.

        :param groups: groups of the user, added before.
        :raises ConfigurationError: if a group does not exist.
        """
        if unknown := [group for group in groups if group not in self._groups]:
            raise ConfigurationError(f"{self.node.path}: no group {', '.join(unknown)}; add it first")
        attribute = cognito.CfnUserPoolUser.AttributeTypeProperty
        user = cognito.CfnUserPoolUser(
            self,
            f"User-{id}",
            user_pool_id=self.user_pool.user_pool_id,
            username=email,
            desired_delivery_mediums=["EMAIL"],
            user_attributes=[attribute(name="email", value=email), attribute(name="email_verified", value="true")],
        )
        user.node.add_dependency(self._gate.open)
        for group in groups:
            membership = cognito.CfnUserPoolUserToGroupAttachment(
                self,
                f"User-{id}-{group}",
                user_pool_id=self.user_pool.user_pool_id,
                username=user.ref,
                group_name=group,
            )
            membership.add_resource_dependency(self._groups[group])

    def _pool(
        self,
        platform_url: str,
        self_sign_up: bool,
        require_mfa: bool,
        threat_protection: ThreatProtection,
        removal_policy: RemovalPolicy,
    ) -> cognito.UserPool:
        mode = cognito.StandardThreatProtectionMode
        return cognito.UserPool(
            self,
            "Pool",
            feature_plan=cognito.FeaturePlan.ESSENTIALS if threat_protection == "off" else cognito.FeaturePlan.PLUS,
            standard_threat_protection_mode={
                "enforced": mode.FULL_FUNCTION,
                "audit": mode.AUDIT_ONLY,
                "off": mode.NO_ENFORCEMENT,
            }[threat_protection],
            sign_in_aliases=cognito.SignInAliases(email=True),
            sign_in_case_sensitive=False,
            self_sign_up_enabled=self_sign_up,
            user_invitation=cognito.UserInvitationConfig(
                email_subject="Your invitation to the machine-learning platform",
                email_body=f"Sign in at {platform_url} as {{username}}, within three days, with the password {{####}}",
            ),
            auto_verify=cognito.AutoVerifiedAttrs(email=True),
            keep_original=cognito.KeepOriginalAttrs(email=True),
            standard_attributes=cognito.StandardAttributes(
                email=cognito.StandardAttribute(required=True, mutable=True)  # providers write it at each sign-in
            ),
            mfa=cognito.Mfa.REQUIRED if require_mfa else cognito.Mfa.OPTIONAL,
            mfa_second_factor=cognito.MfaSecondFactor(otp=True, sms=False),
            password_policy=cognito.PasswordPolicy(
                min_length=14,
                require_lowercase=True,
                require_uppercase=True,
                require_digits=True,
                require_symbols=True,
                password_history_size=12,
                temp_password_validity=Duration.days(3),
            ),
            account_recovery=cognito.AccountRecovery.EMAIL_ONLY,
            deletion_protection=removal_policy != RemovalPolicy.DESTROY,
            removal_policy=removal_policy,
        )

    def _providers(self, providers: Sequence[SignInProvider]) -> list[cognito.CfnUserPoolIdentityProvider]:
        return [
            cognito.CfnUserPoolIdentityProvider(
                self,
                f"Provider-{provider.name}",
                user_pool_id=self.user_pool.user_pool_id,
                provider_name=provider.name,
                provider_type=provider.type,
                provider_details=dict(provider.details),
                attribute_mapping=dict(provider.attributes),
            )
            for provider in providers
        ]

    def _client(
        self, platform_url: str, providers: Sequence[cognito.CfnUserPoolIdentityProvider], native_users: bool
    ) -> cognito.CfnUserPoolClient:
        """The client of the load balancer. Only AWS knows its secret, so no other client can request tokens."""
        client = cognito.CfnUserPoolClient(
            self,
            "Client",
            user_pool_id=self.user_pool.user_pool_id,
            generate_secret=True,
            allowed_o_auth_flows=["code"],
            allowed_o_auth_flows_user_pool_client=True,
            allowed_o_auth_scopes=["openid", "email"],
            callback_ur_ls=[f"{platform_url}/oauth2/idpresponse"],
            logout_ur_ls=[f"{platform_url}/"],
            supported_identity_providers=[
                *(["COGNITO"] if native_users else []),
                *(each.provider_name for each in providers),
            ],
            explicit_auth_flows=["ALLOW_USER_SRP_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
            access_token_validity=_TOKEN_MINUTES,
            id_token_validity=_TOKEN_MINUTES,
            refresh_token_validity=self.session.to_minutes(),
            token_validity_units=cognito.CfnUserPoolClient.TokenValidityUnitsProperty(
                access_token="minutes", id_token="minutes", refresh_token="minutes"
            ),
            enable_token_revocation=True,
            prevent_user_existence_errors="ENABLED",
        )
        for provider in providers:
            client.add_resource_dependency(provider)
        # Without a style, a client has no sign-in page.
        cognito.CfnManagedLoginBranding(
            self,
            "Branding",
            user_pool_id=self.user_pool.user_pool_id,
            client_id=client.ref,
            use_cognito_provided_values=True,
        )
        return client

    def _domain(
        self,
        name: str,
        certificate: acm.ICertificate,
        hosted_zone: route53.IHostedZone,
        parent_address: IDependable | None,
    ) -> cognito.UserPoolDomain:
        domain = self.user_pool.add_domain(
            "Domain",
            custom_domain=cognito.CustomDomainOptions(certificate=certificate, domain_name=name),
            managed_login_version=cognito.ManagedLoginVersion.NEWER_MANAGED_LOGIN,
        )
        if parent_address:
            domain.node.add_dependency(parent_address)
        route53.ARecord(
            self,
            "Address",
            zone=hosted_zone,
            record_name=f"{name}.",
            target=route53.RecordTarget.from_alias(SignInPage(domain)),
        )
        return domain

    def _machine_clients(self, scopes: Mapping[str, str], key: kms.IKey | None) -> MachineClients:
        return MachineClients(
            self,
            "Machines",
            user_pool=self.user_pool,
            resource_server=self.RESOURCE_SERVER,
            scopes=scopes,
            token_url=self.token_url,
            token_minutes=_TOKEN_MINUTES,
            encryption_key=key,
        )

    def _needed_machines(self) -> MachineClients:
        if self._machines is None:
            raise ConfigurationError(f"{self.node.path}: scopes is empty; name the paths that machines can access")
        return self._machines

    def _check(self, platform_url: str, domain_name: str, hosted_zone: route53.IHostedZone) -> None:
        zone = hosted_zone.zone_name
        if not platform_url.startswith("https://") or platform_url.endswith("/"):
            raise ConfigurationError(
                f"{self.node.path}: platform_url must be https:// and a name, such as https://kubeflow.ml.example.com, "
                f"got {platform_url}"
            )
        if not is_token(zone) and not domain_name.endswith(f".{zone}"):
            raise ConfigurationError(f"{self.node.path}: domain_name must end with .{zone}, got {domain_name}")

    def _check_who_gets_in(
        self, providers: Sequence[SignInProvider], native_users: bool, self_sign_up: bool, domains: Sequence[str]
    ) -> None:
        names = [provider.name for provider in providers]
        if len(set(names)) != len(names):
            raise ConfigurationError(f"{self.node.path}: providers names one twice: {', '.join(names)}; name each once")
        if not native_users and not providers:
            raise ConfigurationError(f"{self.node.path}: no user could sign in; allow native_users or add a provider")
        open_to_all = [*(["self_sign_up"] if self_sign_up else []), *(each.name for each in providers if each.social)]
        if open_to_all and not domains:
            raise ConfigurationError(
                f"{self.node.path}: {', '.join(open_to_all)} would admit everybody; set allowed_email_domains"
            )

    def _acknowledge(self, require_mfa: bool, threat_protection: ThreatProtection, native_users: bool) -> None:
        findings = {}
        if not require_mfa:
            findings["AwsSolutions-COG2"] = "an optional second factor was requested"
        if threat_protection != "enforced":
            chosen = f"threat protection {threat_protection} was requested"
            findings["AwsSolutions-COG3"] = (
                chosen if native_users else "no passwords to protect: providers sign people in"
            )
        if threat_protection == "off":
            findings["AwsSolutions-COG8"] = "without threat protection there is nothing that the plan Plus would add"
        if findings:
            Validations.of(self.user_pool).acknowledge(
                *(Acknowledgment(id=id, reason=reason) for id, reason in findings.items())
            )
