from collections.abc import Mapping, Sequence
from typing import Literal
from urllib.parse import quote

from aws_cdk import Acknowledgment, Aws, Duration, Fn, Names, RemovalPolicy, Token, Validations
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_route53_targets as targets
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct, IDependable

from ._log_group_arn import log_group_arn
from ._machine_clients import MachineClients
from ._risk_responses import RiskResponses
from ._sign_in_gate import SignInGate
from ._sign_in_provider import SignInProvider

_TOKEN_MINUTES = 15

ThreatProtection = Literal["enforced", "audit", "off"]


class PlatformUserPool(Construct):
    """Who people and machines are: a Cognito user pool with its sign-in page, for one platform behind a load balancer.

    People sign in with a password and a second factor, or at a provider. Passwords have 14 characters of four kinds;
    the last 12 cannot be used again. Nobody can change the own email address, which is the name that rights are given
    to: tokens do not carry the scope for it. A token lives 15 minutes, so that a user who is disabled is out by then.

    Machines get a client each, with a secret in Secrets Manager, and tokens for the scopes that are named here.

    https://docs.aws.amazon.com/cognito/latest/developerguide/cognito-user-pools-add-custom-domain.html

    :param platform_url: ``https://`` and the name of the platform, the only place to which people are sent back.
    :param domain_name: name of the sign-in page.
    :param certificate: of this name, in us-east-1 whatever the pool's region: a CloudFront distribution carries it.
    :param hosted_zone: zone that gets the name.
    :param parent_address: what gives the domain above ``domain_name`` an address (A record), without which Cognito
        refuses the name. Default: it has one already.
    :param providers: identity providers. Default: none.
    :param native_users: whether people sign in with a password of the pool. Default: they do.
    :param self_sign_up: whether strangers can make themselves a user. Default: they cannot.
    :param allowed_email_domains: domains of email addresses that get in. Default: all that a provider or an
        administrator lets in.
    :param allowed_addresses: email addresses that get in beside those domains. Default: none.
    :param require_mfa: whether native users need a second factor. Default: they do.
    :param threat_protection: what happens to leaked passwords and unusual sign-ins of native users: ``enforced``
        refuses or asks for more, ``audit`` records, ``off`` does without Cognito's plan Plus, which is billed by user.
        Default: ``enforced``, because a platform has few users, and each of them starts code on expensive machines.
    :param session: how long people stay signed in. Default: 12 hours.
    :param scopes: what machines can be let into: name of the OAuth scope to its description. Default: nothing.
    :param secrets_encryption_key: encrypts the secrets of machines. Default: AWS's own key.
    :param log_encryption_key: encrypts the log of who was refused; its policy lets CloudWatch Logs in. Cognito can
        write the log of sign-ins under CloudWatch's own key only. Default: that key for both.
    :param log_retention: how long these logs are kept. Default: a year.
    :param removal_policy: what becomes of users and logs when the stack goes. With anything but DESTROY the pool is
        protected from deletion. Default: they stay.
    """

    RESOURCE_SERVER = "mlplatform"
    """Stands before each scope: ``mlplatform/pipelines``."""

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
        threat_protection: ThreatProtection = "enforced",
        session: Duration | None = None,
        scopes: Mapping[str, str] | None = None,
        secrets_encryption_key: kms.IKey | None = None,
        log_encryption_key: kms.IKey | None = None,
        log_retention: logs.RetentionDays = logs.RetentionDays.ONE_YEAR,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, id)
        self._check(platform_url, domain_name, hosted_zone)
        self._check_who_gets_in(providers, native_users, self_sign_up, allowed_email_domains)

        self.session = session or Duration.hours(12)
        self._groups: dict[str, cognito.CfnUserPoolGroup] = {}
        self.user_pool = self._pool(platform_url, self_sign_up, require_mfa, threat_protection, removal_policy)
        self._acknowledge(require_mfa, threat_protection)
        if threat_protection != "off":
            self._log_sign_ins(log_retention, removal_policy)
        if threat_protection == "enforced":
            RiskResponses(self, "Risks", user_pool=self.user_pool)
        self._gate: SignInGate | None = None
        if allowed_email_domains:
            self._gate = SignInGate(
                self,
                "Gate",
                user_pool=self.user_pool,
                domains=allowed_email_domains,
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
        """Where a browser's session with the pool, and with providers that can be told, ends."""
        self._machines = self._machine_clients(scopes, secrets_encryption_key) if scopes else None

    def scope(self, name: str) -> str:
        """The OAuth scope as tokens carry it.

        :raises ValueError: when there is no scope of that name.
        """
        return self._needed_machines().scope(name)

    def add_machine(self, name: str, *, scopes: Sequence[str]) -> secretsmanager.ISecret:
        """A client for a program that signs in by itself.

        :returns: its secret: JSON with ``client_id``, ``client_secret``, ``token_url`` and ``scope``.
        """
        return self._needed_machines().add(name, scopes)

    def grant_machine(self, name: str, grantee: iam.IGrantable) -> iam.Grant:
        """Let ``grantee`` read the secret of a machine, and so be it.

        :raises ValueError: when there is no machine of that name.
        """
        return self._needed_machines().secret(name).grant_read(grantee)

    def add_group(self, name: str, description: str) -> None:
        """A group, whose name the tokens of its members carry in ``cognito:groups``."""
        if name in self._groups:
            raise ValueError(f"{self.node.path}: group {name!r} is already here; choose another name")
        self._groups[name] = cognito.CfnUserPoolGroup(
            self,
            f"Group-{name}",
            user_pool_id=self.user_pool.user_pool_id,
            group_name=name,
            description=description,
        )

    def invite(self, id: str, email: str, *, groups: Sequence[str] = ()) -> None:
        """A native user, who gets an invitation with a password for three days by email.

        :param groups: of those that were added.
        :raises ValueError: when a group is not there.
        """
        if strangers := [group for group in groups if group not in self._groups]:
            raise ValueError(f"{self.node.path}: no group {', '.join(strangers)}; add it first")
        attribute = cognito.CfnUserPoolUser.AttributeTypeProperty
        user = cognito.CfnUserPoolUser(
            self,
            f"User-{id}",
            user_pool_id=self.user_pool.user_pool_id,
            username=email,
            desired_delivery_mediums=["EMAIL"],
            user_attributes=[attribute(name="email", value=email), attribute(name="email_verified", value="true")],
        )
        if self._gate:
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

    def _log_sign_ins(self, retention: logs.RetentionDays, removal_policy: RemovalPolicy) -> None:
        """Each sign-in with address, device and risk; Cognito tells this of the plan Plus alone.

        It refuses log groups with a KMS key, and ARNs that end with the asterisk of CloudFormation's. Under a name that
        begins otherwise, the group takes room in a policy of the account that is soon full; the stack's id keeps a
        stack that is made anew from meeting the log that was kept.

        https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/API_CloudWatchLogsConfigurationType.html
        """
        stack = Fn.select(2, Fn.split("/", Aws.STACK_ID))
        name = f"/aws/vendedlogs/cognito/{Names.unique_resource_name(self, max_length=80, separator='-')}-{stack}"
        log_group = logs.LogGroup(
            self, "SignIns", log_group_name=name, retention=retention, removal_policy=removal_policy
        )
        delivery = cognito.CfnLogDeliveryConfiguration
        delivery(
            self,
            "SignInDelivery",
            user_pool_id=self.user_pool.user_pool_id,
            log_configurations=[
                delivery.LogConfigurationProperty(
                    event_source="userAuthEvents",
                    log_level="INFO",
                    cloud_watch_logs_configuration=delivery.CloudWatchLogsConfigurationProperty(
                        log_group_arn=log_group_arn(log_group)
                    ),
                )
            ],
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
        """The load balancer's. Its secret, which only AWS knows, keeps everybody else from asking for tokens."""
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
        # Without a style of its own, a client has no sign-in page.
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
            target=route53.RecordTarget.from_alias(targets.UserPoolDomainTarget(domain)),
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
            raise ValueError(f"{self.node.path}: scopes is empty; name what machines can be let into")
        return self._machines

    def _check(self, platform_url: str, domain_name: str, hosted_zone: route53.IHostedZone) -> None:
        zone = hosted_zone.zone_name
        if not platform_url.startswith("https://") or platform_url.endswith("/"):
            raise ValueError(
                f"{self.node.path}: platform_url must be https:// and a name, such as https://kubeflow.ml.example.com, "
                f"got {platform_url}"
            )
        if not Token.is_unresolved(zone) and not domain_name.endswith(f".{zone}"):
            raise ValueError(f"{self.node.path}: domain_name must end with .{zone}, got {domain_name}")

    def _check_who_gets_in(
        self, providers: Sequence[SignInProvider], native_users: bool, self_sign_up: bool, domains: Sequence[str]
    ) -> None:
        names = [provider.name for provider in providers]
        if len(set(names)) != len(names):
            raise ValueError(f"{self.node.path}: providers names one twice: {', '.join(names)}; name each once")
        if not native_users and not providers:
            raise ValueError(f"{self.node.path}: nobody could sign in; allow native_users or add a provider")
        strangers = [*(["self_sign_up"] if self_sign_up else []), *(each.name for each in providers if each.social)]
        if strangers and not domains:
            raise ValueError(
                f"{self.node.path}: {', '.join(strangers)} would let in everybody; set allowed_email_domains"
            )

    def _acknowledge(self, require_mfa: bool, threat_protection: ThreatProtection) -> None:
        findings = {}
        if not require_mfa:
            findings["AwsSolutions-COG2"] = "a second factor was made optional on purpose"
        if threat_protection != "enforced":
            findings["AwsSolutions-COG3"] = f"threat protection was set to {threat_protection} on purpose"
        if threat_protection == "off":
            findings["AwsSolutions-COG8"] = "without threat protection there is nothing that the plan Plus would add"
        if findings:
            Validations.of(self.user_pool).acknowledge(
                *(Acknowledgment(id=id, reason=reason) for id, reason in findings.items())
            )
