from pathlib import Path

import pytest

from charts.kit.admission import SYSTEM_NAMESPACES
from config.identity import Identity
from config.loader import load_accounts
from config.people import Profile
from config.schema import Account
from tests import account_files
from tests.account_files import WITH_DOMAIN

SECRET = "arn:aws:secretsmanager:eu-west-1:111111111111:secret:idp-AbCdEf"
BALANCER = "[identity.load_balancer]\n"
COGNITO = f"{BALANCER}[identity.cognito]\n"
CENTER = "[identity.center]\n"


def load(folder: Path, more: str, base: str = WITH_DOMAIN) -> Account:
    return account_files.load(folder, base + more)


def mistakes(folder: Path, more: str, base: str = WITH_DOMAIN) -> list[str]:
    return account_files.mistakes(folder, base + more)


@pytest.mark.promise("deployment-options")
def test_an_account_has_neither_cognito_nor_a_load_balancer_by_default(tmp_path: Path) -> None:
    account = load(tmp_path, "")
    assert account.identity == Identity()
    assert not account.has_identity
    assert account.profiles == ()


@pytest.mark.promise("deployment-options")
def test_shipped_accounts_show_both_ways() -> None:
    ways = {name: account.identity.cognito is not None for name, account in load_accounts().items()}
    assert ways == {"dev": False, "local": True, "prod": True, "staging": True}


@pytest.mark.promise("cognito-sign-in")
def test_defaults_are_strict(tmp_path: Path) -> None:
    cognito = load(tmp_path, COGNITO).identity.cognito
    assert cognito
    assert cognito.mfa == "required"
    assert cognito.protection == "enforced"
    assert not cognito.self_sign_up
    assert not cognito.machines
    assert cognito.scopes["pipelines"].paths == ("/pipeline/*",)


@pytest.mark.promise("long-lived-connections", "idle-timeout-chain")
def test_notebooks_may_be_silent_for_an_hour(tmp_path: Path) -> None:
    balancer = load(tmp_path, BALANCER).identity.load_balancer
    assert balancer
    assert balancer.idle_timeout_seconds == 3600
    (line,) = mistakes(tmp_path, f"{BALANCER}idle_timeout_seconds = 60")
    assert line.startswith("identity.load_balancer.idle_timeout_seconds: should be greater than or equal to 3600")


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (
            "[identity.cognito]",
            "identity.cognito: needs a load balancer, which calls Cognito; add [identity.load_balancer]",
        ),
        (
            f'{COGNITO}host = "kubeflow"',
            "identity.cognito: host: kubeflow is the load balancer's; choose another",
        ),
        (
            f'{BALANCER}allowed_cidrs = ["203.0.113.7/24"]',
            "identity.load_balancer.allowed_cidrs.0: must be a network such as '203.0.113.0/24', got '203.0.113.7/24': "
            "203.0.113.7/24 has host bits set",
        ),
        (
            f"{COGNITO}self_sign_up = true",
            "identity.cognito.allowed_email_domains: required with self_sign_up = true, because otherwise every "
            "address could sign up",
        ),
        (
            f'{COGNITO}self_sign_up = true\nnative_users = false\nallowed_email_domains = ["example.com"]',
            "identity.cognito.allowed_email_domains: self_sign_up makes native users; set native_users = true",
        ),
        (
            f"{COGNITO}native_users = false",
            "identity.cognito: no user could sign in; set native_users = true or name a provider",
        ),
        (
            f'{COGNITO}[identity.cognito.machines.ci]\nscopes = ["notebooks"]',
            "identity.cognito.machines: ci.scopes: no scope notebooks; there are: adviser, pipelines",
        ),
        (
            f'{CENTER}instance_arn = "arn:aws:sso:::instance/ssoins-0123456789abcdef"',
            "identity.center.group_ids: go together with instance_arn: set both, or neither",
        ),
    ],
)
def test_a_mistake_is_reported_with_its_fix(tmp_path: Path, more: str, line: str) -> None:
    assert mistakes(tmp_path, more) == [line]


@pytest.mark.parametrize(
    ("more", "place"),
    [
        (f'{CENTER}permission_set = "Zürich"', "identity.center.permission_set"),
        ('[people.ana]\nemail = "ana@example.com"\ncenter_user = "anä"', "people.ana.center_user"),
        (
            f'{COGNITO}[identity.cognito.scopes.models]\ndescription = "Models"\npaths = ["/modèles/*"]',
            "identity.cognito.scopes.models.paths.0",
        ),
    ],
)
def test_names_that_aws_takes_in_ascii_alone_are_refused(tmp_path: Path, more: str, place: str) -> None:
    (line,) = mistakes(tmp_path, more)
    assert line.startswith(f"{place}: must match ^")


def test_names_and_certificates_need_a_domain(tmp_path: Path) -> None:
    base = WITH_DOMAIN.replace('domain = "ml.example.com"\n', "")
    assert mistakes(tmp_path, BALANCER, base) == [
        "identity: load_balancer: needs network.domain for its name and certificate; set it"
    ]


def test_refuses_an_internal_load_balancer_with_cognito_in_a_closed_network(tmp_path: Path) -> None:
    registry = 'image_registry = "111111111111.dkr.ecr.eu-west-1.amazonaws.com/mirror"\n'
    closed = registry + WITH_DOMAIN + 'nat = "none"\ninterface_endpoints = true\n'
    inside = f"{BALANCER}internet_facing = false\n"
    (mistake,) = mistakes(tmp_path, f"{inside}[identity.cognito]\n", closed)
    assert mistake.startswith("identity: load_balancer.internet_facing: false needs access to Cognito")
    for more, base in ((inside, closed), (COGNITO, closed), (f"{inside}[identity.cognito]\n", WITH_DOMAIN)):
        assert load(tmp_path, more, base).identity.load_balancer


def provider(keys: str, cognito: str = COGNITO, name: str = "idp") -> str:
    return f"{cognito}[identity.cognito.providers.{name}]\n{keys}\n"


CLIENT = f'client_id = "platform"\nclient_secret_arn = "{SECRET}"\n'
FILTERED = f'{COGNITO}allowed_email_domains = ["example.com"]\n'


@pytest.mark.promise("sign-in-providers")
@pytest.mark.parametrize(
    "keys",
    [
        f'type = "google"\n{CLIENT}',
        f'type = "facebook"\n{CLIENT}',
        f'type = "amazon"\n{CLIENT}',
        f'type = "apple"\n{CLIENT}team_id = "TEAM"\nkey_id = "KEY"',
        f'type = "oidc"\n{CLIENT}issuer = "https://example.okta.com"\nemail_claim = "mail"',
        'type = "saml"\nmetadata_url = "https://idp.example.com/metadata"\nsign_out = true',
    ],
)
def test_every_kind_of_provider_can_be_named(tmp_path: Path, keys: str) -> None:
    cognito = load(tmp_path, provider(keys, FILTERED)).identity.cognito
    assert cognito
    assert list(cognito.providers) == ["idp"]


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (f'type = "google"\nclient_secret_arn = "{SECRET}"', "client_id: required; add it"),
        ('type = "google"\nclient_id = "x"', "client_secret_arn: required; add it"),
        (f'type = "oidc"\n{CLIENT}', "issuer: required; add it"),
        ('type = "saml"', "metadata_url: required; add it"),
        (
            'type = "saml"\nmetadata_url = "https://x/y"\nclient_id = "x"',
            "client_id: unknown key; a table of this kind does not have it; remove it",
        ),
        (
            f'type = "google"\n{CLIENT}sign_out = true',
            "sign_out: unknown key; a table of this kind does not have it; remove it",
        ),
        (CLIENT, "type: required; add it"),
        (
            'type = "github"',
            "type: must be one of 'oidc', 'saml', 'apple', 'amazon', 'facebook', 'google', got 'github'",
        ),
    ],
)
def test_a_provider_has_what_its_type_needs(tmp_path: Path, keys: str, line: str) -> None:
    assert mistakes(tmp_path, provider(keys, FILTERED)) == [f"identity.cognito.providers.idp.{line}"]


@pytest.mark.promise("no-long-lived-keys")
def test_a_secret_is_named_and_never_written_down(tmp_path: Path) -> None:
    keys = 'type = "google"\nclient_id = "x"\nclient_secret_arn = "GOCSPX-the-secret-itself"'
    (line,) = mistakes(tmp_path, provider(keys, FILTERED))
    assert line.startswith("identity.cognito.providers.idp.client_secret_arn: must match ^arn:aws")
    (line,) = mistakes(tmp_path, provider(f'type = "google"\n{CLIENT}client_secret = "x"', FILTERED))
    assert line == "identity.cognito.providers.idp.client_secret: unknown key; did you mean 'client_secret_arn'?"


def test_a_social_provider_without_a_filter_is_refused(tmp_path: Path) -> None:
    assert mistakes(tmp_path, provider(f'type = "google"\n{CLIENT}')) == [
        "identity.cognito.providers: idp would admit everybody with an account there; set allowed_email_domains"
    ]
    two = provider(f'type = "google"\n{CLIENT}', FILTERED, "one") + provider(f'type = "google"\n{CLIENT}', "", "two")
    assert mistakes(tmp_path, two) == [
        "identity.cognito.providers: a social provider can be there once; name each type once"
    ]


MANAGED = 'kind = "managed"\nname = "corp.example.com"\n'
CONNECTOR = 'kind = "connector"\nname = "corp.example.com"\n'
NEEDED = f'dns_ips = ["10.1.0.10", "10.1.1.10"]\ncredentials_secret_arn = "{SECRET}"\n'


@pytest.mark.promise("enterprise-directory")
@pytest.mark.parametrize("keys", [f'{MANAGED}edition = "Enterprise"', f'{CONNECTOR}{NEEDED}size = "Large"'])
def test_a_directory_can_be_managed_or_elsewhere(tmp_path: Path, keys: str) -> None:
    directory = load(tmp_path, f"[identity.directory]\n{keys}").identity.directory
    assert directory
    assert directory.name == "corp.example.com"


@pytest.mark.parametrize(
    ("keys", "lines"),
    [
        (CONNECTOR, ["dns_ips: required; add it", "credentials_secret_arn: required; add it"]),
        (CONNECTOR + NEEDED.replace(', "10.1.1.10"', ""), ["dns_ips: needs at least 2 entries, got 1"]),
        (
            f'{CONNECTOR}{NEEDED}edition = "Standard"',
            ["edition: unknown key; a table of this kind does not have it; remove it"],
        ),
        (f'{MANAGED}size = "Small"', ["size: unknown key; a table of this kind does not have it; remove it"]),
    ],
)
def test_a_directory_has_what_its_kind_needs(tmp_path: Path, keys: str, lines: list[str]) -> None:
    assert mistakes(tmp_path, f"[identity.directory]\n{keys}") == [f"identity.directory.{line}" for line in lines]


PEOPLE = """
[people.ana]
email = "ana@example.com"
cluster_access = "operator"
[people.ben]
email = "ben@example.com"
"""


@pytest.mark.promise("one-table-of-people")
def test_profiles_name_people_as_everything_else_does(tmp_path: Path) -> None:
    teams = '[teams.churn]\nowner = "ben"\nmembers = ["ana"]\ngpu_quota = 4\n[teams.fraud]\nowner = "ana"\n'
    account = load(tmp_path, CENTER + PEOPLE + teams)
    assert account.profiles == (
        Profile(name="churn", owner="ben@example.com", members=("ana@example.com",), gpu_quota=4),
        Profile(name="fraud", owner="ana@example.com", members=(), gpu_quota=0),
    )


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (PEOPLE, "people: ana.cluster_access: ana has no identity in AWS; set ana.principal_arn or [identity.center]"),
        (
            f'{CENTER}{PEOPLE}[people.other]\nemail = "Ben@example.com"',
            "people: other.email: Ben@example.com already belongs to ben; a person has one entry",
        ),
        (
            f'{CENTER}{PEOPLE}[teams.churn]\nowner = "chi"',
            "teams: churn.owner: 'chi' is not in [people], which has ana, ben; add it there, or correct the name",
        ),
        (
            f'{CENTER}{PEOPLE}[teams.churn]\nowner = "ana"\nmembers = ["dan"]',
            "teams: churn.members: 'dan' is not in [people], which has ana, ben; add it there, or correct the name",
        ),
        (
            f'{CENTER}{PEOPLE}[teams.churn]\nowner = "ana"\nmembers = ["ben", "ana"]',
            "teams: churn.members: has a duplicate; list each person once, without the owner",
        ),
        (
            '[teams.churn]\nowner = "ana"',
            "teams: churn.owner: 'ana' is not in [people], which is empty; add it there, or correct the name",
        ),
    ],
)
def test_a_wrong_table_is_reported_with_its_fix(tmp_path: Path, more: str, line: str) -> None:
    assert mistakes(tmp_path, more) == [line]


@pytest.mark.parametrize(
    "name", ["kube-system", "kubeflow", "kubeflow-user", "istio-system", "cert-manager", "default"]
)
def test_refuses_a_team_with_the_name_of_a_platform_namespace(tmp_path: Path, name: str) -> None:
    assert mistakes(tmp_path, f'{CENTER}{PEOPLE}[teams.{name}]\nowner = "ana"') == [
        f"teams: {name}: reserved prefix of the platform's namespaces; choose another name"
    ]


@pytest.mark.parametrize(
    ("more", "table"),
    [
        (f'{CENTER}[people.ana-1]\nemail = "a@example.com"\n[people.ana1]\nemail = "b@example.com"\n', "people: ana1"),
        (f'{CENTER}{PEOPLE}[teams.ana-1]\nowner = "ana"\n[teams.ana1]\nowner = "ana"\n', "teams: ana1"),
        ("[clusters.ana-1]\npurpose = 'training'\n[clusters.ana1]\npurpose = 'training'\n", "clusters: ana1"),
        (
            f"{COGNITO}[identity.cognito.machines.ana-1]\nscopes = ['pipelines']\n"
            "[identity.cognito.machines.ana1]\nscopes = ['pipelines']\n",
            "identity.cognito.machines: ana1",
        ),
    ],
)
def test_names_of_which_the_same_id_would_be_made_are_refused(tmp_path: Path, more: str, table: str) -> None:
    assert mistakes(tmp_path, more) == [f"{table}: differs from ana-1 in hyphens alone; choose another name"]


def test_names_with_the_same_letters_and_other_words_are_free(tmp_path: Path) -> None:
    more = f'{CENTER}{PEOPLE}[teams.a-team]\nowner = "ana"\n[teams.ateam]\nowner = "ana"\n'
    assert [profile.name for profile in load(tmp_path, more).profiles] == ["a-team", "ateam"]


def test_a_name_that_only_begins_alike_is_free(tmp_path: Path) -> None:
    assert load(tmp_path, f'{CENTER}{PEOPLE}[teams.kubernauts]\nowner = "ana"').profiles[0].name == "kubernauts"


def test_a_person_may_be_an_iam_user_without_identity_center(tmp_path: Path) -> None:
    more = '[people.ana]\nemail = "ana@example.com"\nprincipal_arn = "arn:aws:iam::111111111111:user/ana"\n'
    account = load(tmp_path, f'{more}cluster_access = "admin"')
    assert account.has_identity


@pytest.mark.parametrize(
    "address", ["ana", "ana@", "@example.com", "ana@localhost", "a na@example.com", "*@example.com", "${x}@example.com"]
)
def test_a_person_has_an_address(tmp_path: Path, address: str) -> None:
    (line,) = mistakes(tmp_path, f'[people.ana]\nemail = "{address}"')
    assert line.startswith("people.ana.email: must match")


def crowd(count: int, more: str = "") -> str:
    return more + "".join(f'[people.p{number}]\nemail = "p{number}@example.com"\n' for number in range(count))


def test_the_maximum_of_people_is_accepted(tmp_path: Path) -> None:
    assert len(load(tmp_path, crowd(180, "[identity.center]\n")).people) == 180


def test_more_people_with_a_role_than_cloudformation_takes_are_refused_with_the_number(tmp_path: Path) -> None:
    (line,) = mistakes(tmp_path, crowd(181, "[identity.center]\n"))
    assert line.startswith("teams: 181 people get a role, CloudFormation takes 180; leave out people who only use")


def test_more_native_users_than_cloudformation_takes_are_refused_with_the_numbers(tmp_path: Path) -> None:
    team = f'[teams.all]\nowner = "p0"\nmembers = {[f"p{number}" for number in range(1, 140)]}\n'
    (line,) = mistakes(tmp_path, crowd(140, f"{COGNITO}[identity.center]\n{team}"))
    assert line == (
        "teams: 140 roles, 140 users and 140 memberships are 420 resources, the stack takes 400; name a provider in "
        "identity.cognito.providers, which needs no users"
    )


SAML_ONLY = f"""{COGNITO}native_users = false
[identity.cognito.providers.idp]
type = "saml"
metadata_url = "https://idp.example.com/metadata"
"""


def test_a_pool_without_native_users_does_not_pay_for_their_protection(tmp_path: Path) -> None:
    cognito = load(tmp_path, SAML_ONLY).identity.cognito
    assert cognito
    assert cognito.protection == "off"


def test_threat_protection_without_native_users_is_refused(tmp_path: Path) -> None:
    paid = SAML_ONLY.replace("native_users = false", 'native_users = false\nthreat_protection = "audit"')
    assert mistakes(tmp_path, paid) == [
        "identity.cognito.threat_protection: 'audit' protects native users alone, and native_users is false; remove it"
    ]


LONG = "k" * 50


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (
            '[identity.load_balancer]\nhost = "internal"\n',
            "identity: load_balancer.host: internal.ml.example.com is the private zone, which hides it in the VPC; "
            "choose another",
        ),
        (
            f'[identity.load_balancer]\nhost = "{LONG}"\n',
            f"identity: load_balancer.host: {LONG}.ml.example.com has 65 characters, a certificate takes 64; choose a "
            "shorter host or network.domain",
        ),
        (
            f'{COGNITO}[identity.cognito.providers.idp]\ntype = "oidc"\nclient_id = "a"\nissuer = "https://idp.test"\n'
            f'client_secret_arn = "{SECRET.replace("eu-west-1", "us-east-1")}"\n',
            "identity: cognito.providers.idp.client_secret_arn: must be in eu-west-1, got us-east-1; replicate the "
            "secret, and name the replica",
        ),
        *(
            (
                f'{COGNITO}[identity.cognito.scopes.some]\ndescription = "a"\npaths = ["{path}"]\n',
                f"identity.cognito.scopes.some.paths.0: {words}",
            )
            for path, words in {
                "/a//b": "must have no empty, '.' or '..' part, got '/a//b'; such requests are refused",
                "/a/../*": "must have no empty, '.' or '..' part, got '/a/../*'; such requests are refused",
                "/oauth2/*": "/oauth2 is where the sign-in returns to, got '/oauth2/*'; choose another path",
            }.items()
        ),
        (
            '[alarms]\nemail = "\u00f6ps@example.com"\n',
            "alarms.email: must match ^[A-Za-z0-9_.+=-]+@([A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?\\.)+[A-Za-z]{2,63}$, "
            "got '\u00f6ps@example.com'; write it like 'ana@example.com'",
        ),
    ],
)
def test_a_value_that_cannot_work_is_refused_with_what_to_do(tmp_path: Path, more: str, line: str) -> None:
    assert mistakes(tmp_path, more) == [line]


def test_two_people_are_not_the_same_principal(tmp_path: Path) -> None:
    arn = "arn:aws:iam::111111111111:role/Somebody"
    more = "".join(
        f'[people.{name}]\nemail = "{name}@example.com"\nprincipal_arn = "{arn}"\n' for name in ("ana", "ben")
    )
    assert mistakes(tmp_path, more) == [f"people: ben.principal_arn: {arn} already belongs to ana; name another"]


@pytest.mark.promise("team-artifacts")
def test_no_team_takes_the_prefix_of_pipelines_in_the_artifact_bucket(tmp_path: Path) -> None:
    assert mistakes(tmp_path, f'{CENTER}{PEOPLE}[teams.pipelines]\nowner = "ana"') == [
        "teams: pipelines: reserved for what Pipelines itself keeps in the artifact bucket; choose another name"
    ]


def test_a_path_for_machines_may_be_the_root(tmp_path: Path) -> None:
    more = f'{COGNITO}[identity.cognito.scopes.some]\ndescription = "a"\npaths = ["/*", "/a.b/c*", "/a/b/*"]\n'
    cognito = load(tmp_path, more).identity.cognito
    assert cognito
    assert cognito.scopes["some"].paths == ("/*", "/a.b/c*", "/a/b/*")


@pytest.mark.parametrize("namespace", SYSTEM_NAMESPACES)
def test_no_team_takes_a_namespace_where_controllers_run(namespace: str, tmp_path: Path) -> None:
    people = '[people.ana]\nemail = "ana@example.com"\n'
    (line,) = mistakes(tmp_path, f'{people}[teams.{namespace}]\nowner = "ana"\n')
    assert "reserved prefix of the platform's namespaces" in line
