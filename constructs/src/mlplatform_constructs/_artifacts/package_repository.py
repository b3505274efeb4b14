import re
from collections.abc import Sequence
from typing import cast

from aws_cdk import Acknowledgment, Names, RemovalPolicy, Stack, Validations
from aws_cdk import aws_codeartifact as codeartifact
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from .._arguments import ConfigurationError, checked, is_token

_LOG_IN = ["codeartifact:GetAuthorizationToken"]
_READ = [
    "codeartifact:DescribeRepository",
    "codeartifact:GetRepositoryEndpoint",
    "codeartifact:ListPackages",
    "codeartifact:ReadFromRepository",
]
_PUBLISH = ["codeartifact:PublishPackageVersion", "codeartifact:PutPackageMetadata"]


class PackageRepository(Construct):
    """A CodeArtifact repository of Python packages: your own, and those of the public index as they are asked for.

    ``pip`` needs this index only, which prevents dependency confusion: a package of the same name on the public index
    is never installed, because versions of ``own_packages`` are accepted by publishing to this repository only. Only
    administrators of this account and grantees publish, and a published version is never replaced.

    CodeArtifact demands names for domain and repository, and a domain that is kept keeps its name: bring it back into
    a stack with ``cdk import``.

    - ``index_url``: the address for ``pip --index-url``, without the token that pip must bring along.

    https://docs.aws.amazon.com/codeartifact/latest/ug/package-group-origin-controls.html

    :param domain_name: name of the domain, unique in account and region. It is part of a public host name.
    :param repository_name: name of the repository. Default: ``python``.
    :param own_packages: names of packages that only this repository may bring forth, as pip compares them: lower
        case letters, digits, and dashes between. Default: none yet.
    :param reader_accounts: other accounts that may install packages. Default: none yet.
    :param public_packages: whether other packages are taken from the public index. Default: True.
    :param encryption_key: encrypts packages at rest; symmetric. Default: a new key, rotated yearly.
    :param removal_policy: removal policy of domain, packages and key. Default: RETAIN.
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        domain_name: str,
        repository_name: str = "python",
        own_packages: Sequence[str] = (),
        reader_accounts: Sequence[str] = (),
        public_packages: bool = True,
        encryption_key: kms.IKey | kms.Key | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, id)
        self._check_names(domain_name, repository_name)
        for position, name in enumerate(own_packages):
            self._check_package(name, own_packages[:position])
        for position, account in enumerate(reader_accounts):
            self._check_account(account, reader_accounts[:position])
        self.domain_name, self.repository_name = domain_name, repository_name
        self._own_packages: list[str] = []
        self._reader_accounts: list[str] = []
        self._domain_policy, self._repository_policy = iam.PolicyDocument(), iam.PolicyDocument()

        self.key = encryption_key or kms.Key(self, "Key", enable_key_rotation=True, removal_policy=removal_policy)
        self._domain = codeartifact.CfnDomain(
            self,
            "Domain",
            domain_name=domain_name,
            encryption_key=self.key.key_arn,
            permissions_policy_document=self._domain_policy,
        )
        self._domain.apply_removal_policy(removal_policy)
        self._repository = self._make_repository(self._public_index(removal_policy) if public_packages else None)
        self._repository.apply_removal_policy(removal_policy)
        stack = Stack.of(self)
        host = f"{domain_name}-{stack.account}.d.codeartifact.{stack.region}.{stack.url_suffix}"
        self.index_url = f"https://{host}/pypi/{repository_name}/simple/"
        for name in own_packages:
            self.add_own_package(name)
        for account in reader_accounts:
            self.add_reader_account(account)

    @checked
    def add_own_package(self, name: str) -> None:
        """Accept versions of ``name`` by publishing to this repository only."""
        self._check_package(name, self._own_packages)
        self._own_packages.append(name)
        codeartifact.CfnPackageGroup(
            self,
            name,
            domain_name=self._domain.attr_name,
            pattern=f"/pypi//{name}$",
            description="published here, never taken from the public index",
            origin_configuration={
                "restrictions": {
                    "publish": {
                        "restrictionMode": "ALLOW_SPECIFIC_REPOSITORIES",
                        "repositories": [self._repository.attr_name],
                    },
                    "externalUpstream": {"restrictionMode": "BLOCK"},
                    # Another repository of the domain may hand on what was published here.
                    "internalUpstream": {"restrictionMode": "ALLOW"},
                }
            },
        )

    @checked
    def add_reader_account(self, account: str) -> None:
        """Allow another account to install packages; its administrators choose the roles by policies there."""
        self._check_account(account, self._reader_accounts)
        self._reader_accounts.append(account)
        for policy, actions in ((self._domain_policy, _LOG_IN), (self._repository_policy, _READ)):
            policy.add_statements(
                iam.PolicyStatement(principals=[iam.AccountPrincipal(account)], actions=actions, resources=["*"])
            )

    @checked
    def grant_read(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to install packages. It must be of this account; for others use ``add_reader_account``."""
        login = self._grant(grantee, _LOG_IN, self._arn("domain", self.domain_name))
        self._grant_token(grantee)
        return login.combine(self._grant(grantee, _READ, self._arn("repository", self._path)))

    @checked
    def grant_publish(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to publish new versions of the ``own_packages`` named so far, and install packages.

        :raises ConfigurationError: if none is named.
        """
        if not self._own_packages:
            raise ConfigurationError(
                f"{self.node.path}: grant_publish needs a package to publish; name it in own_packages"
            )
        packages = [self._arn("package", f"{self._path}/pypi//{name}") for name in self._own_packages]
        return self.grant_read(grantee).combine(self._grant(grantee, _PUBLISH, *packages))

    @property
    def _path(self) -> str:
        return f"{self.domain_name}/{self.repository_name}"

    def _arn(self, resource: str, path: str) -> str:
        """Made of names, so that a grant to a role of another stack creates no dependency cycle between the two."""
        return Stack.of(self).format_arn(service="codeartifact", resource=resource, resource_name=path)

    def _grant(self, grantee: iam.IGrantable, actions: Sequence[str], *resources: str) -> iam.Grant:
        grant = iam.Grant.add_to_principal(grantee=grantee, actions=list(actions), resource_arns=list(resources))
        if not grant.success:
            raise ConfigurationError(
                f"{self.node.path}: {grantee.grant_principal} has no policies; grant to a role, or add_reader_account"
            )
        return grant

    def _grant_token(self, grantee: iam.IGrantable) -> None:
        """STS creates CodeArtifact's tokens. A separate policy keeps its wildcard from being excepted elsewhere.

        https://docs.aws.amazon.com/codeartifact/latest/ug/tokens-authentication.html
        """
        identity = cast(iam.IRole, grantee.grant_principal)
        stack, id = Stack.of(identity), f"PackageLogin{Names.node_unique_id(identity.node)}"
        if stack.node.try_find_child(id) is not None:
            return
        statement = iam.PolicyStatement(
            actions=["sts:GetServiceBearerToken"],
            resources=["*"],
            conditions={"StringEquals": {"sts:AWSServiceName": "codeartifact.amazonaws.com"}},
        )
        policy = iam.Policy(stack, id, statements=[statement])
        identity.attach_inline_policy(policy)
        reason = "a bearer token has no name that a policy could give; the condition holds it to CodeArtifact"
        Validations.of(policy).acknowledge(Acknowledgment(id="AwsSolutions-IAM5[Resource::*]", reason=reason))

    def _public_index(self, removal_policy: RemovalPolicy) -> codeartifact.CfnRepository:
        """A separate repository, as AWS recommends: a domain shares one external connection."""
        repository = codeartifact.CfnRepository(
            self,
            "PublicIndex",
            domain_name=self._domain.attr_name,
            repository_name=f"{self.repository_name}-public",
            description="packages of the public index that were requested",
            external_connections=["public:pypi"],
        )
        repository.apply_removal_policy(removal_policy)
        return repository

    def _make_repository(self, upstream: codeartifact.CfnRepository | None) -> codeartifact.CfnRepository:
        return codeartifact.CfnRepository(
            self,
            "Repository",
            domain_name=self._domain.attr_name,
            repository_name=self.repository_name,
            upstreams=[upstream.attr_name] if upstream else None,
            permissions_policy_document=self._repository_policy,
        )

    def _check_names(self, domain: str, repository: str) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,48}[a-z0-9]", domain):
            raise ConfigurationError(
                f"{self.node.path}: domain_name must be 2 to 50 lower case letters, digits and dashes, got {domain!r}"
            )
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,92}", repository):
            raise ConfigurationError(
                f"{self.node.path}: repository_name must be 2 to 93 letters, digits, dots, underscores and dashes, "
                f"got {repository!r}"
            )

    def _check_package(self, name: str, taken: Sequence[str]) -> None:
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
            compared = re.sub(r"[-_.]+", "-", name).lower()
            raise ConfigurationError(
                f"{self.node.path}: own_packages takes names as pip compares them: {compared!r}, not {name!r}"
            )
        if name in taken:
            raise ConfigurationError(f"{self.node.path}: package {name!r} is given twice; name it once")

    def _check_account(self, account: str, taken: Sequence[str]) -> None:
        if is_token(account):
            return
        if not re.fullmatch(r"\d{12}", account):
            raise ConfigurationError(
                f"{self.node.path}: reader_accounts takes account ids of twelve digits, got {account!r}"
            )
        if account in taken:
            raise ConfigurationError(f"{self.node.path}: account {account!r} is given twice; name it once")
