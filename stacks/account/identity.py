from collections.abc import Mapping

from aws_cdk import CfnOutput, Duration, Environment, SecretValue, Stack
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from config.identity import (
    ADVISER_SCOPE,
    AppleProvider,
    Cognito,
    Identity,
    LoadBalancer,
    OidcProvider,
    Provider,
    SamlProvider,
)
from config.identity import Directory as DirectorySettings
from config.identity import ManagedDirectory as ManagedDirectorySettings
from config.people import Person, Team
from mlplatform_constructs import (
    AccessLogBucket,
    DirectoryConnector,
    DnsCertificate,
    ManagedDirectory,
    PeoplePermissionSet,
    PersonRole,
    PersonTrust,
    PlatformLoadBalancer,
    PlatformUserPool,
    SignInProvider,
    WebFirewall,
)
from stacks._wiring.cluster_person import ClusterPerson
from stacks._wiring.data_protection import DataProtection
from stacks._wiring.output_reference import output_reference, refer_by_output

EDGE_REGION = "us-east-1"
"""Where CloudFront, which carries the sign-in page, reads its certificates."""


class EdgeCertificateStack(Stack):
    """The certificate of the sign-in page.

    :param domain_name: name of the page.
    :param hosted_zone: zone of the domain above it, in a stack of another region.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        domain_name: str,
        hosted_zone: route53.IPublicHostedZone,
        protection: DataProtection,
    ) -> None:
        super().__init__(scope, id, env=Environment(region=EDGE_REGION))
        self.add_stack_dependency(Stack.of(hosted_zone))
        zone = route53.HostedZone.from_hosted_zone_attributes(
            self,
            "Zone",
            hosted_zone_id=output_reference(hosted_zone, "Id", hosted_zone.hosted_zone_id),
            zone_name=domain_name.partition(".")[2],
        )
        self.domain_name = domain_name
        self.certificate = DnsCertificate(
            self, "Certificate", domain_names=[domain_name], hosted_zone=zone, removal_policy=protection.removal_policy
        ).certificate


class IdentityStack(Stack):
    """How people and machines come in, and who they are.

    - ``load_balancer``: the entry point; its ``target_group`` waits for a TargetGroupBinding.
    - ``users``: the user pool of people and machines, with Cognito only.
    - ``machine_secrets``: the secret with the client credentials of each machine, by its name.
    - ``people``: people with access to clusters, each with a role.

    :param hosted_zone: zone of the platform's domain. Needed by a load balancer.
    :param edge: certificate of the sign-in page. Needed by Cognito.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Identity,
        people: Mapping[str, Person],
        teams: Mapping[str, Team],
        vpc: ec2.IVpc,
        hosted_zone: route53.IPublicHostedZone | None,
        access_logs: AccessLogBucket,
        protection: DataProtection,
        edge: EdgeCertificateStack | None = None,
    ) -> None:
        super().__init__(scope, id)
        self._protection = protection
        self.load_balancer: PlatformLoadBalancer | None = None
        self.users: PlatformUserPool | None = None
        self.machine_secrets: dict[str, secretsmanager.ISecret] = {}
        if settings.load_balancer and hosted_zone:
            self.load_balancer = self._load_balancer(settings.load_balancer, vpc, hosted_zone, access_logs)
            if settings.cognito and edge:
                self.users = self._users(settings.cognito, self.load_balancer, hosted_zone, edge, people)
                self._admit(settings.cognito, self.load_balancer, self.users)
                self._join(settings.cognito, self.users, people, teams)
            else:
                self.load_balancer.pass_through()
        self.people = self._people(settings, people)
        if settings.center and settings.center.instance_arn:
            PeoplePermissionSet(
                self,
                "PermissionSet",
                instance_arn=settings.center.instance_arn,
                name=settings.center.permission_set,
                group_ids=settings.center.group_ids,
            )
        if settings.directory:
            self._directory(settings.directory, vpc)
        self._outputs()

    def _load_balancer(
        self,
        settings: LoadBalancer,
        vpc: ec2.IVpc,
        hosted_zone: route53.IPublicHostedZone,
        access_logs: AccessLogBucket,
    ) -> PlatformLoadBalancer:
        domain = hosted_zone.zone_name
        certificate = DnsCertificate(
            self,
            "Certificate",
            domain_names=[domain, f"*.{domain}"],
            hosted_zone=hosted_zone,
            removal_policy=self._protection.removal_policy,
        ).certificate
        balancer = PlatformLoadBalancer(
            self,
            "LoadBalancer",
            vpc=vpc,
            host_name=f"{settings.host}.{domain}",
            hosted_zone=hosted_zone,
            certificate=certificate,
            access_logs=access_logs,
            internet_facing=settings.internet_facing,
            allowed_cidrs=settings.allowed_cidrs or ("0.0.0.0/0",),
            idle_timeout=Duration.seconds(settings.idle_timeout_seconds),
            deletion_protection=self._protection.deletion_protection,
            **self._protection.logs,
        )
        refer_by_output(balancer)  # a setting removes it
        if settings.firewall:
            WebFirewall(
                self,
                "Firewall",
                load_balancer=balancer.load_balancer,
                requests_per_address=settings.firewall.requests_per_address,
                removal_policy=self._protection.removal_policy,
                **self._protection.logs,
            )
        return balancer

    def _users(
        self,
        settings: Cognito,
        balancer: PlatformLoadBalancer,
        hosted_zone: route53.IPublicHostedZone,
        edge: EdgeCertificateStack,
        people: Mapping[str, Person],
    ) -> PlatformUserPool:
        self.add_stack_dependency(edge)
        arn = output_reference(edge.certificate, "Arn", edge.certificate.certificate_arn)
        return PlatformUserPool(
            self,
            "Users",
            platform_url=balancer.url,
            domain_name=edge.domain_name,
            certificate=acm.Certificate.from_certificate_arn(self, "EdgeCertificate", arn),
            hosted_zone=hosted_zone,
            parent_address=balancer.apex_address,
            providers=[_provider(name, each) for name, each in settings.providers.items()],
            native_users=settings.native_users,
            self_sign_up=settings.self_sign_up,
            allowed_email_domains=settings.allowed_email_domains,
            allowed_addresses=[person.email for person in people.values()],
            require_mfa=settings.mfa == "required",
            threat_protection=settings.protection,
            session=Duration.hours(settings.session_hours),
            scopes={name: scope.description for name, scope in settings.scopes.items()} | _adviser_scope(settings),
            encryption_key=self._protection.keys.metadata,
            removal_policy=self._protection.removal_policy,
            **self._protection.logs,
        )

    def _admit(self, settings: Cognito, balancer: PlatformLoadBalancer, users: PlatformUserPool) -> None:
        balancer.authenticate(users)
        for name, scope in settings.scopes.items():
            balancer.admit_machines(users, scope=name, paths=scope.paths)
        for name, machine in settings.machines.items():
            secret = self.machine_secrets[name] = users.add_machine(name, scopes=machine.scopes)
            refer_by_output(secret, exported=False)  # a setting removes it
            words = "".join(word.capitalize() for word in name.split("-"))
            CfnOutput(self, f"{words}MachineSecret", value=secret.secret_arn)

    @staticmethod
    def _join(
        settings: Cognito, users: PlatformUserPool, people: Mapping[str, Person], teams: Mapping[str, Team]
    ) -> None:
        """A group for each team; natives are invited, and people of a provider are put into groups by hand."""
        for name in teams:
            users.add_group(name, f"Team {name}")
        if settings.invites:
            for name, person in people.items():
                groups = [team for team, members in teams.items() if name in (members.owner, *members.members)]
                users.invite(name, person.email, groups=groups)

    def _people(self, settings: Identity, people: Mapping[str, Person]) -> tuple[ClusterPerson, ...]:
        scope = Construct(self, "People")
        found = []
        for name, person in people.items():
            trust = _trust(settings, person)
            if trust:
                role = PersonRole(scope, name, email=person.email, trust=trust)
                role.grant_find_clusters()
                found.append(ClusterPerson(name=name, role=role, access=person.cluster_access))
        return tuple(found)

    def _directory(self, settings: DirectorySettings, vpc: ec2.IVpc) -> None:
        if isinstance(settings, ManagedDirectorySettings):
            ManagedDirectory(
                self,
                "Directory",
                vpc=vpc,
                domain_name=settings.name,
                edition=settings.edition,
                encryption_key=self._protection.keys.metadata,
                removal_policy=self._protection.removal_policy,
            )
            return
        DirectoryConnector(
            self,
            "Directory",
            vpc=vpc,
            domain_name=settings.name,
            dns_ips=settings.dns_ips,
            credentials=secretsmanager.Secret.from_secret_complete_arn(
                self, "DirectoryCredentials", settings.credentials_secret_arn
            ),
            size=settings.size,
            log_encryption_key=self._protection.keys.logs,
        )

    def _outputs(self) -> None:
        values = {}
        if self.load_balancer:
            values["PlatformUrl"] = self.load_balancer.url
            values["TargetGroupArn"] = self.load_balancer.target_group.target_group_arn
        if self.users:
            values["UserPoolId"] = self.users.user_pool.user_pool_id
            values["TokenUrl"] = self.users.token_url
        for id, value in values.items():
            CfnOutput(self, id, value=value)


def _adviser_scope(settings: Cognito) -> dict[str, str]:
    """The scope of the job adviser, if a machine has it."""
    is_used = any(ADVISER_SCOPE in machine.scopes for machine in settings.machines.values())
    return {ADVISER_SCOPE: "Ask the job adviser, and run its jobs"} if is_used else {}


def _trust(settings: Identity, person: Person) -> PersonTrust | None:
    if person.principal_arn:
        return PersonTrust.principal(person.principal_arn)
    if settings.center:
        return PersonTrust.center(
            permission_set=settings.center.permission_set, user_name=person.center_user or person.email
        )
    return None


def _provider(name: str, settings: Provider) -> SignInProvider:
    match settings:
        case SamlProvider():
            claim = {"email": settings.email_claim} if settings.email_claim else {}
            return SignInProvider.saml(name, metadata_url=settings.metadata_url, sign_out=settings.sign_out, **claim)
        case OidcProvider():
            return SignInProvider.oidc(
                name,
                issuer=settings.issuer,
                client_id=settings.client_id,
                client_secret=SecretValue.secrets_manager(settings.client_secret_arn),
                email=settings.email_claim,
            )
        case AppleProvider():
            return SignInProvider.apple(
                client_id=settings.client_id,
                team_id=settings.team_id,
                key_id=settings.key_id,
                private_key=SecretValue.secrets_manager(settings.client_secret_arn),
            )
    make = {"amazon": SignInProvider.amazon, "facebook": SignInProvider.facebook, "google": SignInProvider.google}
    secret = SecretValue.secrets_manager(settings.client_secret_arn)
    return make[settings.type](client_id=settings.client_id, client_secret=secret)
