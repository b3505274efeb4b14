import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk.assertions import Match, Template
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import PackageRepository
from tests.compliance import assert_complies
from tests.policies import allows, flat, identity_statements

OURS = "arn:aws:codeartifact:eu-west-1:111111111111:package/acme/python/pypi//acme-forecasts"
REPOSITORY = "arn:aws:codeartifact:eu-west-1:111111111111:repository/acme/python"
DOMAIN = "arn:aws:codeartifact:eu-west-1:111111111111:domain/acme"
TOKEN = {"sts__AWSServiceName": "codeartifact.amazonaws.com"}


def role(stack: cdk.Stack) -> iam.Role:
    return iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("codebuild.amazonaws.com"))


def statements_of_role(stack: cdk.Stack) -> list[dict[str, object]]:
    template = Template.from_stack(stack)
    (logical_id,) = template.find_resources("AWS::IAM::Role")
    return identity_statements(template, logical_id)


def test_defaults(stack: cdk.Stack, snapshot_json: SnapshotAssertion) -> None:
    PackageRepository(stack, "Packages", domain_name="acme", own_packages=["acme-forecasts"])
    assert Template.from_stack(stack).to_json()["Resources"] == snapshot_json


def test_packages_outlive_their_stack_under_a_rotated_key(stack: cdk.Stack) -> None:
    PackageRepository(stack, "Packages", domain_name="acme")
    template = Template.from_stack(stack)
    for kept in ("Domain", "Repository"):
        template.all_resources(
            f"AWS::CodeArtifact::{kept}", {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}
        )
    template.all_resources("AWS::KMS::Key", {"DeletionPolicy": "Retain", "Properties": {"EnableKeyRotation": True}})
    template.all_resources_properties(
        "AWS::CodeArtifact::Domain",
        {"EncryptionKey": {"Fn::GetAtt": [Match.string_like_regexp("^PackagesKey"), "Arn"]}},
    )


def test_packages_that_may_go_take_their_key_along(stack: cdk.Stack) -> None:
    PackageRepository(stack, "Packages", domain_name="acme", removal_policy=cdk.RemovalPolicy.DESTROY)
    template = Template.from_stack(stack)
    for kind in ("KMS::Key", "CodeArtifact::Domain", "CodeArtifact::Repository"):
        template.all_resources(f"AWS::{kind}", {"DeletionPolicy": "Delete"})


def test_a_key_of_yours_is_used(stack: cdk.Stack) -> None:
    key = kms.Key(stack, "Key", enable_key_rotation=True)
    assert PackageRepository(stack, "Packages", domain_name="acme", encryption_key=key).key is key
    Template.from_stack(stack).resource_count_is("AWS::KMS::Key", 1)


def test_a_strangers_package_of_our_name_gets_in_nowhere(stack: cdk.Stack) -> None:
    repository = PackageRepository(stack, "Packages", domain_name="acme", own_packages=["acme-forecasts"])
    repository.add_own_package("acme-models")
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::CodeArtifact::PackageGroup", 2)
    for name in ("acme-forecasts", "acme-models"):
        restrictions = {
            "ExternalUpstream": {"RestrictionMode": "BLOCK"},
            "InternalUpstream": {"RestrictionMode": "ALLOW"},
            "Publish": {
                "RestrictionMode": "ALLOW_SPECIFIC_REPOSITORIES",
                "Repositories": [{"Fn::GetAtt": [Match.string_like_regexp("^PackagesRepository"), "Name"]}],
            },
        }
        template.has_resource_properties(
            "AWS::CodeArtifact::PackageGroup",
            {"Pattern": f"/pypi//{name}$", "OriginConfiguration": {"Restrictions": restrictions}},
        )


def test_other_packages_come_from_the_public_index_by_one_connection(stack: cdk.Stack) -> None:
    PackageRepository(stack, "Packages", domain_name="acme")
    template = Template.from_stack(stack)
    (public,) = template.find_resources(
        "AWS::CodeArtifact::Repository", {"Properties": {"ExternalConnections": ["public:pypi"]}}
    )
    template.has_resource_properties(
        "AWS::CodeArtifact::Repository",
        {
            "RepositoryName": "python",
            "Upstreams": [{"Fn::GetAtt": [public, "Name"]}],
            "ExternalConnections": Match.absent(),
        },
    )


def test_a_closed_repository_has_no_other_packages(stack: cdk.Stack) -> None:
    PackageRepository(stack, "Packages", domain_name="acme", public_packages=False)
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::CodeArtifact::Repository", 1)
    template.all_resources_properties(
        "AWS::CodeArtifact::Repository", {"Upstreams": Match.absent(), "ExternalConnections": Match.absent()}
    )


def test_a_reader_installs_and_cannot_publish(stack: cdk.Stack) -> None:
    PackageRepository(stack, "Packages", domain_name="acme", own_packages=["acme-forecasts"]).grant_read(role(stack))
    reader = statements_of_role(stack)
    assert allows(reader, "codeartifact:GetAuthorizationToken", DOMAIN)
    assert allows(reader, "sts:GetServiceBearerToken", "*", **TOKEN)
    assert allows(reader, "codeartifact:ReadFromRepository", REPOSITORY)
    assert not allows(reader, "codeartifact:PublishPackageVersion", OURS)


def test_a_token_is_for_no_other_service(stack: cdk.Stack) -> None:
    PackageRepository(stack, "Packages", domain_name="acme").grant_read(role(stack))
    other = {"sts__AWSServiceName": "gamelift.amazonaws.com"}
    assert not allows(statements_of_role(stack), "sts:GetServiceBearerToken", "*", **other)


def test_a_publisher_publishes_our_packages_and_no_others(stack: cdk.Stack) -> None:
    repository = PackageRepository(stack, "Packages", domain_name="acme", own_packages=["acme-forecasts"])
    assert repository.grant_publish(role(stack)).success
    publisher = statements_of_role(stack)
    assert allows(publisher, "codeartifact:PublishPackageVersion", OURS)
    assert allows(publisher, "codeartifact:ReadFromRepository", REPOSITORY)
    assert not allows(publisher, "codeartifact:PublishPackageVersion", OURS.replace("acme-forecasts", "requests"))
    for action in ("DeletePackageVersions", "UpdatePackageVersionsStatus", "PutPackageOriginConfiguration"):
        assert not allows(publisher, f"codeartifact:{action}", OURS)


def test_a_grant_to_a_role_of_another_stack_ties_no_knot(app: cdk.App, stack: cdk.Stack) -> None:
    repository = PackageRepository(stack, "Packages", domain_name="acme", own_packages=["acme-forecasts"])
    other = cdk.Stack(app, "Other", env=cdk.Environment(account="111111111111", region="eu-west-1"))
    repository.grant_publish(role(other))
    app.synth()
    assert not stack.dependencies
    assert not other.dependencies


def test_other_accounts_install_and_do_nothing_else(stack: cdk.Stack) -> None:
    repository = PackageRepository(stack, "Packages", domain_name="acme", reader_accounts=["222222222222"])
    repository.add_reader_account("333333333333")
    template = Template.from_stack(stack)
    accounts = [f"arn:aws:iam::{account}:root" for account in ("222222222222", "333333333333")]
    (domain,) = template.find_resources("AWS::CodeArtifact::Domain").values()
    (ours,) = template.find_resources(
        "AWS::CodeArtifact::Repository", {"Properties": {"RepositoryName": "python"}}
    ).values()
    login = domain["Properties"]["PermissionsPolicyDocument"]["Statement"]
    use = ours["Properties"]["PermissionsPolicyDocument"]["Statement"]
    for account in accounts:
        assert allows(login, "codeartifact:GetAuthorizationToken", DOMAIN, account)
        assert allows(use, "codeartifact:ReadFromRepository", REPOSITORY, account)
        assert not allows(use + login, "codeartifact:PublishPackageVersion", OURS, account)
        assert not allows(login, "codeartifact:CreateRepository", DOMAIN, account)
    assert not allows(login + use, "codeartifact:ReadFromRepository", REPOSITORY, accounts[0].replace("2", "4"))


def test_the_index_has_an_address_for_pip(stack: cdk.Stack) -> None:
    repository = PackageRepository(stack, "Packages", domain_name="acme", repository_name="internal")
    address = flat(stack.resolve(repository.index_url))
    assert address == "https://acme-111111111111.d.codeartifact.eu-west-1.<AWS::URLSuffix>/pypi/internal/simple/"


@pytest.mark.parametrize("name", ["", "a", "Acme", "acme_", "acme-", "a" * 51])
def test_refuses_what_is_no_name_of_a_domain(stack: cdk.Stack, name: str) -> None:
    with pytest.raises(ValueError, match="Test/Packages: domain_name must be 2 to 50 lower case letters"):
        PackageRepository(stack, "Packages", domain_name=name)


@pytest.mark.parametrize("name", ["", "a", "-python", "py thon", "a" * 94])
def test_refuses_what_is_no_name_of_a_repository(stack: cdk.Stack, name: str) -> None:
    with pytest.raises(ValueError, match="Test/Packages: repository_name must be 2 to 93 letters"):
        PackageRepository(stack, "Packages", domain_name="acme", repository_name=name)


def test_refuses_a_package_name_that_pip_spells_otherwise(stack: cdk.Stack) -> None:
    with pytest.raises(ValueError, match="Test/Packages: own_packages .* 'acme-forecasts', not 'Acme_Forecasts'"):
        PackageRepository(stack, "Packages", domain_name="acme", own_packages=["Acme_Forecasts"])


def test_refuses_a_name_given_twice(stack: cdk.Stack) -> None:
    with pytest.raises(ValueError, match="Test/Packages: package 'acme-forecasts' is given twice; name it once"):
        PackageRepository(stack, "Packages", domain_name="acme", own_packages=["acme-forecasts", "acme-forecasts"])
    repository = PackageRepository(stack, "Others", domain_name="acme", reader_accounts=["222222222222"])
    with pytest.raises(ValueError, match="Test/Others: account '222222222222' is given twice; name it once"):
        repository.add_reader_account("222222222222")


def test_refuses_what_is_no_account(stack: cdk.Stack) -> None:
    with pytest.raises(ValueError, match="Test/Packages: reader_accounts takes account ids of twelve digits, got '22'"):
        PackageRepository(stack, "Packages", domain_name="acme", reader_accounts=["22"])


def test_refuses_a_publisher_of_nothing(stack: cdk.Stack) -> None:
    repository = PackageRepository(stack, "Packages", domain_name="acme")
    with pytest.raises(ValueError, match="Test/Packages: grant_publish needs a package to publish; name it"):
        repository.grant_publish(role(stack))


def test_refuses_a_grantee_without_policies(stack: cdk.Stack) -> None:
    repository = PackageRepository(stack, "Packages", domain_name="acme")
    with pytest.raises(ValueError, match="Test/Packages: .* has no policies; grant to a role, or add_reader_account"):
        repository.grant_read(iam.AccountPrincipal("222222222222"))


def test_refuses_before_any_resource_is_made(stack: cdk.Stack) -> None:
    with pytest.raises(ValueError, match="Packages"):
        PackageRepository(stack, "Packages", domain_name="acme", reader_accounts=["22"])
    assert not stack.node.find_child("Packages").node.children


def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack) -> None:
    repository = PackageRepository(
        stack, "Packages", domain_name="acme", own_packages=["acme-forecasts"], reader_accounts=["222222222222"]
    )
    repository.grant_publish(role(stack))
    assert_complies(app)
