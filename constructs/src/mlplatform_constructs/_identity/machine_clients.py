"""App clients of a user pool for programs."""

from collections.abc import Mapping, Sequence

from aws_cdk import Acknowledgment, RemovalPolicy, SecretValue, Stack, Validations
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from .._arguments import ConfigurationError
from .._security.encryption_keys import EncryptionKeys


class MachineClients(Construct):
    """Scopes, and a client with a secret for each machine.

    :param resource_server: stands before each scope.
    :param scopes: name of each scope to its description; one at least.
    :param token_url: where a secret is exchanged for a token.
    :param token_minutes: how long a token lives.
    :param encryption_key: encrypts the secrets.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        user_pool: cognito.IUserPool,
        resource_server: str,
        scopes: Mapping[str, str],
        token_url: str,
        token_minutes: int,
        encryption_key: kms.IKey | None,
    ) -> None:
        super().__init__(scope, id)
        self._pool_id = user_pool.user_pool_id
        self._token_url, self._token_minutes = token_url, token_minutes
        self._key = encryption_key
        self._secrets: dict[str, secretsmanager.Secret] = {}
        self._clients: dict[str, cognito.CfnUserPoolClient] = {}
        self._scopes = {name: f"{resource_server}/{name}" for name in scopes}
        server = cognito.CfnUserPoolResourceServer
        self._server = server(
            self,
            "Server",
            user_pool_id=self._pool_id,
            identifier=resource_server,
            name="The platform",
            scopes=[
                server.ResourceServerScopeTypeProperty(scope_name=name, scope_description=description)
                for name, description in scopes.items()
            ],
        )

    def scope(self, name: str) -> str:
        """The scope as tokens carry it."""
        if name not in self._scopes:
            raise ConfigurationError(f"{self.node.path}: no scope {name!r}; there are: {', '.join(self._scopes)}")
        return self._scopes[name]

    def secret(self, name: str) -> secretsmanager.Secret:
        """The secret of a machine that was added."""
        self._known(name)
        return self._secrets[name]

    def grant_read(self, name: str, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to read the secret of a machine that was added.

        For principals of this account, the policy of the key remains unchanged. Its stack would otherwise depend on
        theirs, which is a cycle if they depend on the key, as the stacks of clusters do.
        """
        secret, account = self.secret(name), grantee.grant_principal.principal_account
        if self._key is None or account not in (None, Stack.of(self).account):
            return secret.grant_read(grantee)
        return EncryptionKeys.grant_read_secrets(grantee, self._key, [secret])

    def client(self, name: str) -> cognito.CfnUserPoolClient:
        """The app client of a machine that was added."""
        self._known(name)
        return self._clients[name]

    def _known(self, name: str) -> None:
        if name not in self._secrets:
            raise ConfigurationError(
                f"{self.node.path}: no machine {name!r}; there are: {', '.join(self._secrets) or 'none'}"
            )

    def add(self, name: str, scopes: Sequence[str]) -> secretsmanager.Secret:
        """A client with these scopes."""
        allowed = [self.scope(each) for each in scopes]
        if name in self._secrets:
            raise ConfigurationError(f"{self.node.path}: machine {name!r} already exists; choose another name")
        if not allowed:
            raise ConfigurationError(f"{self.node.path}: machine {name!r} has no scope; name at least one")
        place = Construct(self, name)
        client = cognito.CfnUserPoolClient(
            place,
            "Client",
            user_pool_id=self._pool_id,
            generate_secret=True,
            allowed_o_auth_flows=["client_credentials"],
            allowed_o_auth_flows_user_pool_client=True,
            allowed_o_auth_scopes=allowed,
            explicit_auth_flows=["ALLOW_REFRESH_TOKEN_AUTH"],  # an empty list means the default, with passwords
            access_token_validity=self._token_minutes,
            token_validity_units=cognito.CfnUserPoolClient.TokenValidityUnitsProperty(access_token="minutes"),
            enable_token_revocation=True,
            prevent_user_existence_errors="ENABLED",
        )
        client.add_resource_dependency(self._server)
        self._clients[name] = client
        self._secrets[name] = self._secret(place, client, allowed)
        return self._secrets[name]

    def _secret(
        self, place: Construct, client: cognito.CfnUserPoolClient, scopes: Sequence[str]
    ) -> secretsmanager.Secret:
        text = SecretValue.unsafe_plain_text
        secret = secretsmanager.Secret(
            place,
            "Secret",
            description=f"{place.node.path}: client credentials",
            encryption_key=self._key,
            secret_object_value={
                "client_id": text(client.ref),
                "client_secret": SecretValue.resource_attribute(client.attr_client_secret),
                "token_url": text(self._token_url),
                "scope": text(" ".join(scopes)),
            },
            removal_policy=RemovalPolicy.DESTROY,  # worth nothing without its client
        )
        Validations.of(secret).acknowledge(
            Acknowledgment(
                id="AwsSolutions-SMG4",
                reason="a client keeps its secret for life; a new machine replaces one whose secret leaked",
            )
        )
        return secret
