from pathlib import Path

import pytest

from config.identity import Identity
from config.loader import ConfigError, load_account, load_accounts
from config.people import Profile
from config.schema import Account

SMALL = """
account = "111111111111"
region = "eu-west-1"
[network]
cidr = "10.0.0.0/16"
availability_zones = ["eu-west-1a", "eu-west-1b"]
domain = "ml.example.com"
"""
SECRET = "arn:aws:secretsmanager:eu-west-1:111111111111:secret:idp-AbCdEf"
BALANCER = "[identity.load_balancer]\n"
COGNITO = f"{BALANCER}[identity.cognito]\n"
CENTER = "[identity.center]\n"


def load(folder: Path, more: str, base: str = SMALL) -> Account:
    (folder / "some.toml").write_text(base + more, encoding="utf-8")
    return load_account("some", folder)


def mistakes(folder: Path, more: str, base: str = SMALL) -> list[str]:
    """What the loader says of an account with these sections, without the file's name."""
    with pytest.raises(ConfigError) as refusal:
        load(folder, more, base)
    return [line.removeprefix(f"{folder / 'some.toml'}: ") for line in str(refusal.value).split("\n")]


def test_an_account_that_says_nothing_has_neither_cognito_nor_a_load_balancer(tmp_path: Path) -> None:
    """Row 79."""
    account = load(tmp_path, "")
    assert account.identity == Identity()
    assert not account.has_identity
    assert account.profiles == ()


def test_shipped_accounts_show_both_ways() -> None:
    """Row 79: vanilla, and Cognito."""
    ways = {name: account.identity.cognito is not None for name, account in load_accounts().items()}
    assert ways == {"dev": False, "local": True, "prod": True, "staging": True}


def test_defaults_are_strict(tmp_path: Path) -> None:
    """Row 52."""
    cognito = load(tmp_path, COGNITO).identity.cognito
    assert cognito
    assert cognito.mfa == "required"
    assert cognito.threat_protection == "enforced"
    assert not cognito.self_sign_up
    assert not cognito.machines
    assert cognito.scopes["pipelines"].paths == ("/pipeline/*",)


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
            "identity.cognito: needs a load balancer, which asks Cognito who somebody is; add [identity.load_balancer]",
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
            "identity.cognito.allowed_email_domains: required with self_sign_up = true; else anybody signs up",
        ),
        (
            f'{COGNITO}self_sign_up = true\nnative_users = false\nallowed_email_domains = ["example.com"]',
            "identity.cognito.allowed_email_domains: self_sign_up makes native users; set native_users = true",
        ),
        (
            f"{COGNITO}native_users = false",
            "identity.cognito: nobody could sign in; set native_users = true or name a provider",
        ),
        (
            f'{COGNITO}[identity.cognito.machines.ci]\nscopes = ["notebooks"]',
            "identity.cognito.machines: ci.scopes: no scope notebooks; there is pipelines",
        ),
        (
            f'{CENTER}instance_arn = "arn:aws:sso:::instance/ssoins-0123456789abcdef"',
            "identity.center.group_ids: go together with instance_arn: set both, or neither",
        ),
    ],
)
def test_a_mistake_says_what_to_do(tmp_path: Path, more: str, line: str) -> None:
    assert mistakes(tmp_path, more) == [line]


def test_names_and_certificates_need_a_domain(tmp_path: Path) -> None:
    base = SMALL.replace('domain = "ml.example.com"\n', "")
    assert mistakes(tmp_path, BALANCER, base) == [
        "identity: load_balancer: needs network.domain for its name and certificate; set it"
    ]


def test_a_load_balancer_inside_of_a_closed_network_cannot_ask_cognito(tmp_path: Path) -> None:
    registry = 'image_registry = "111111111111.dkr.ecr.eu-west-1.amazonaws.com/mirror"\n'
    closed = registry + SMALL + 'nat = "none"\ninterface_endpoints = true\n'
    inside = f"{BALANCER}internet_facing = false\n"
    (mistake,) = mistakes(tmp_path, f"{inside}[identity.cognito]\n", closed)
    assert mistake.startswith("identity: load_balancer.internet_facing: false needs a way out to Cognito")
    for more, base in ((inside, closed), (COGNITO, closed), (f"{inside}[identity.cognito]\n", SMALL)):
        assert load(tmp_path, more, base).identity.load_balancer


def provider(keys: str, cognito: str = COGNITO, name: str = "idp") -> str:
    return f"{cognito}[identity.cognito.providers.{name}]\n{keys}\n"


CLIENT = f'client_id = "platform"\nclient_secret_arn = "{SECRET}"\n'
FILTERED = f'{COGNITO}allowed_email_domains = ["example.com"]\n'


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
    """Row 53."""
    cognito = load(tmp_path, provider(keys, FILTERED)).identity.cognito
    assert cognito
    assert list(cognito.providers) == ["idp"]


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ('type = "google"', "client_id is required for type 'google'; add it"),
        ('type = "google"\nclient_id = "x"', "client_secret_arn is required for type 'google'; add it"),
        (f'type = "oidc"\n{CLIENT}', "issuer is required for type 'oidc'; add it"),
        ('type = "saml"', "metadata_url is required for type 'saml'; add it"),
        (
            'type = "saml"\nmetadata_url = "https://x/y"\nclient_id = "x"',
            "client_id has no meaning for type 'saml'; remove it",
        ),
        (
            f'type = "google"\n{CLIENT}sign_out = true',
            "sign_out has no meaning for type 'google'; only 'saml' providers can be told",
        ),
    ],
)
def test_a_provider_has_what_its_type_needs(tmp_path: Path, keys: str, line: str) -> None:
    assert mistakes(tmp_path, provider(keys, FILTERED)) == [f"identity.cognito.providers.idp: {line}"]


def test_a_secret_is_named_and_never_written_down(tmp_path: Path) -> None:
    """Row 69."""
    keys = 'type = "google"\nclient_id = "x"\nclient_secret_arn = "GOCSPX-the-secret-itself"'
    (line,) = mistakes(tmp_path, provider(keys, FILTERED))
    assert line.startswith("identity.cognito.providers.idp.client_secret_arn: must match ^arn:aws")
    (line,) = mistakes(tmp_path, provider(f'type = "google"\n{CLIENT}client_secret = "x"', FILTERED))
    assert line == "identity.cognito.providers.idp.client_secret: unknown key; did you mean 'client_secret_arn'?"


def test_a_social_provider_lets_in_nobody_without_a_filter(tmp_path: Path) -> None:
    assert mistakes(tmp_path, provider(f'type = "google"\n{CLIENT}')) == [
        "identity.cognito.providers: idp would let in everybody who has an account there; set allowed_email_domains"
    ]
    two = provider(f'type = "google"\n{CLIENT}', FILTERED, "one") + provider(f'type = "google"\n{CLIENT}', "", "two")
    assert mistakes(tmp_path, two) == [
        "identity.cognito.providers: a social provider can be there once; name each type once"
    ]


MANAGED = 'kind = "managed"\nname = "corp.example.com"\n'
CONNECTOR = 'kind = "connector"\nname = "corp.example.com"\n'
NEEDED = f'dns_ips = ["10.1.0.10", "10.1.1.10"]\ncredentials_secret_arn = "{SECRET}"\n'


@pytest.mark.parametrize("keys", [f'{MANAGED}edition = "Enterprise"', f'{CONNECTOR}{NEEDED}size = "Large"'])
def test_a_directory_can_be_managed_or_elsewhere(tmp_path: Path, keys: str) -> None:
    """Row 61."""
    directory = load(tmp_path, f"[identity.directory]\n{keys}").identity.directory
    assert directory
    assert directory.name == "corp.example.com"


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (CONNECTOR, "dns_ips and credentials_secret_arn belong to kind 'connector', which needs both"),
        (f"{MANAGED}{NEEDED}", "dns_ips and credentials_secret_arn belong to kind 'connector', which needs both"),
        (f'{CONNECTOR}{NEEDED}edition = "Standard"', "edition belongs to kind 'managed'; remove it"),
        (f'{MANAGED}size = "Small"', "size belongs to kind 'connector'; remove it"),
    ],
)
def test_a_directory_has_what_its_kind_needs(tmp_path: Path, keys: str, line: str) -> None:
    assert mistakes(tmp_path, f"[identity.directory]\n{keys}") == [f"identity.directory: {line}"]


PEOPLE = """
[people.ana]
email = "ana@example.com"
cluster_access = "operator"
[people.ben]
email = "ben@example.com"
"""


def test_profiles_name_people_as_everything_else_does(tmp_path: Path) -> None:
    """Row 86."""
    teams = '[teams.churn]\nowner = "ben"\nmembers = ["ana"]\ngpu_quota = 4\n[teams.fraud]\nowner = "ana"\n'
    account = load(tmp_path, CENTER + PEOPLE + teams)
    assert account.profiles == (
        Profile(name="churn", owner="ben@example.com", members=("ana@example.com",), gpu_quota=4),
        Profile(name="fraud", owner="ana@example.com", members=(), gpu_quota=0),
    )


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (PEOPLE, "people: ana.cluster_access: nobody can be ana in AWS; set ana.principal_arn or [identity.center]"),
        (
            f'{CENTER}{PEOPLE}[people.other]\nemail = "Ben@example.com"',
            "people: other.email: Ben@example.com is ben's already; a person has one entry",
        ),
        (
            f'{CENTER}{PEOPLE}[teams.churn]\nowner = "chi"',
            "teams: churn.owner: 'chi' is not in [people]; there is ana, ben",
        ),
        (
            f'{CENTER}{PEOPLE}[teams.churn]\nowner = "ana"\nmembers = ["dan"]',
            "teams: churn.members: 'dan' is not in [people]; there is ana, ben",
        ),
        (
            f'{CENTER}{PEOPLE}[teams.churn]\nowner = "ana"\nmembers = ["ben", "ana"]',
            "teams: churn.members: somebody is named twice; name each once, without the owner",
        ),
        ('[teams.churn]\nowner = "ana"', "teams: churn.owner: 'ana' is not in [people]; there is nobody"),
    ],
)
def test_a_wrong_table_says_what_to_do(tmp_path: Path, more: str, line: str) -> None:
    assert mistakes(tmp_path, more) == [line]


@pytest.mark.parametrize(
    "name", ["kube-system", "kubeflow", "kubeflow-user", "istio-system", "cert-manager", "default"]
)
def test_no_team_takes_a_namespace_of_the_platform(tmp_path: Path, name: str) -> None:
    assert mistakes(tmp_path, f'{CENTER}{PEOPLE}[teams.{name}]\nowner = "ana"') == [
        f"teams: {name}: namespaces of the platform begin like this; choose another name"
    ]


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
