from pathlib import Path

import pytest

from config.loader import ConfigError, account_names, load_account, load_accounts

GOOD = """
account = "012345678901"
region = "eu-west-1"
[network]
cidr = "10.0.0.0/16"
availability_zones = ["eu-west-1a", "eu-west-1b"]
"""


def mistakes(folder: Path, text: str) -> list[str]:
    """What the loader says of a file with this text, without the file's name."""
    path = folder / "bad.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as refusal:
        load_account("bad", folder)
    lines = str(refusal.value).split("\n")
    assert all(line.startswith(f"{path}: ") for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


def test_the_shipped_accounts_are_valid() -> None:
    assert list(load_accounts()) == ["dev", "local", "prod", "staging"]


def test_staging_and_production_spread_over_three_zones_and_keep_their_data() -> None:
    """Row 1."""
    for name in ("staging", "prod"):
        account = load_account(name)
        assert len(account.network.availability_zones) == 3
        assert account.removal_policy == "retain"


def test_the_accounts_do_not_overlap() -> None:
    accounts = load_accounts()
    assert len({account.account for account in accounts.values()}) == len(accounts)
    assert len({account.network.cidr for account in accounts.values()}) == len(accounts)


def test_a_small_file_is_enough(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(GOOD, encoding="utf-8")
    account = load_account("small", tmp_path)
    assert account.production
    assert account.removal_policy == "retain"


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    assert mistakes(
        tmp_path,
        """
        account = 12345678901
        region = "eu-west-1"
        removal_polcy = "destroy"
        [network]
        availability_zones = ["eu-west-1a"]
        nat = "none"
        [storage.lustre]
        capacity_gib = 3000
        [bastion]
        highly_available = "yes"
        """,
    ) == [
        'account: must be twelve digits in quotes, such as "012345678901", got 12345678901',
        "network.cidr: required; add it",
        "network.availability_zones: needs at least 2 entries, got 1",
        "network.interface_endpoints: must be true when nat is 'none'; without either nothing reaches AWS",
        "bastion.highly_available: should be a valid boolean, got 'yes'",
        "storage.lustre.capacity_gib: must be 1200 or a multiple of 2400, got 3000; use 2400 or 4800",
        "removal_polcy: unknown key; did you mean 'removal_policy'?",
    ]


@pytest.mark.parametrize(
    ("change", "to", "said"),
    [
        ("10.0.0.0/16", "10.0.0.0/8", "network.cidr: must be a private IPv4 network of /16 to /21, got '10.0.0.0/8'"),
        ("10.0.0.0/16", "10.0.0.1/16", "network.cidr: must be a network such as '10.20.0.0/16', got '10.0.0.1/16'"),
        ("eu-west-1b", "eu-west-1a", "network.availability_zones: names a zone twice"),
        ("eu-west-1b", "us-east-1b", "network: availability_zones: us-east-1b not in region eu-west-1"),
        ("eu-west-1b", "Ireland", "network.availability_zones.1: must match"),
        ("[network]", "removal_policy = 'destroy'\n[network]", "removal_policy: 'destroy' needs production = false"),
        ("[network]", "storage = {replica_region = 'eu-west-1'}\n[network]", "storage: replica_region: eu-west-1 is"),
        ("[network]", "bastien = {}\n[network]", "bastien: unknown key; did you mean 'bastion'?"),
        ("[network]", "frobnicate = 1\n[network]", "frobnicate: unknown key; remove it"),
        ("[network]", "[network]\nroot_zone_id = 'Z0123456789'", "network.root_zone_id: needs network.domain"),
        ("[network]", "[network]\ndomain = 'ml'", "network.domain: must match"),
        ("[network]", "logs = {retention_days = 17}\n[network]", "logs.retention_days: should be 30, 60"),
        ("[network]", "[network", "not valid TOML: "),
    ],
)
def test_a_mistake_names_key_value_and_fix(tmp_path: Path, change: str, to: str, said: str) -> None:
    (line,) = mistakes(tmp_path, GOOD.replace(change, to))
    assert line.startswith(said)


def test_an_account_without_a_file_is_told_which_there_are(tmp_path: Path) -> None:
    (tmp_path / "dev.toml").write_text(GOOD, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"prod\.toml: no such account; there are: dev$"):
        load_account("prod", tmp_path)


def test_the_mistakes_of_all_files_are_told(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.toml").write_text(GOOD.replace("cidr", "cdir"), encoding="utf-8")
    with pytest.raises(ConfigError) as refusal:
        load_accounts(folder=tmp_path)
    assert str(refusal.value).count("did you mean 'cidr'?") == 2


def test_names_are_those_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "b.toml").touch()
    (tmp_path / "a.toml").touch()
    assert account_names(tmp_path) == ["a", "b"]


def test_a_network_without_a_way_out_needs_a_registry(tmp_path: Path) -> None:
    """Row 6."""
    closed = GOOD + 'nat = "none"\ninterface_endpoints = true\n'
    assert mistakes(tmp_path, closed) == [
        "image_registry: required when network.nat is 'none'; no other registry can be reached from there"
    ]
    registry = "012345678901.dkr.ecr.eu-west-1.amazonaws.com/mirror"
    (tmp_path / "closed.toml").write_text(f'image_registry = "{registry}"\n{closed}', encoding="utf-8")
    assert load_account("closed", tmp_path).image_registry == registry
