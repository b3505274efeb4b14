import re
import warnings
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import AfterValidator

from config.kubeflow import Kubeflow
from config.loader import ConfigError, account_names, load, load_account, load_accounts
from config.notices import ConfigWarning, Renamed, rename_deprecated
from config.section import Section, key

GOOD = """
account = "012345678901"
region = "eu-west-1"
[network]
cidr = "10.0.0.0/16"
availability_zones = ["eu-west-1a", "eu-west-1b"]
"""


def mistakes(folder: Path, text: str) -> list[str]:
    """The loader's messages about a file with this text, without the file name."""
    path = folder / "bad.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as refusal:
        load_account("bad", folder)
    lines = str(refusal.value).split("\n")
    assert all(line.startswith(f"{path}: ") for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


def test_the_shipped_accounts_are_valid() -> None:
    assert list(load_accounts()) == ["dev", "local", "prod", "staging"]


@pytest.mark.promise("zones-alike")
def test_staging_and_production_spread_over_three_zones_and_keep_their_data() -> None:
    for name in ("staging", "prod"):
        account = load_account(name)
        assert len(account.network.availability_zones) == 3
        assert account.removal_policy == "retain"


def test_the_accounts_do_not_overlap() -> None:
    accounts = load_accounts()
    assert len({account.account for account in accounts.values()}) == len(accounts)
    assert len({account.network.cidr for account in accounts.values()}) == len(accounts)


@pytest.mark.promise("small-start")
def test_a_small_file_is_enough(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(GOOD, encoding="utf-8")
    account = load_account("small", tmp_path)
    assert account.production
    assert account.removal_policy == "retain"


@pytest.mark.promise("account-file-checked")
def test_all_mistakes_are_reported_together(tmp_path: Path) -> None:
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
        "bastion.highly_available: must be true or false without quotes, got 'yes'",
        "storage.lustre.capacity_gib: must be 1200 or a multiple of 2400, got 3000; use 2400 or 4800",
        "removal_polcy: unknown key; did you mean 'removal_policy'?",
    ]


@pytest.mark.parametrize(
    ("change", "to", "example"),
    [
        ("eu-west-1b", "Ireland", "eu-west-1a"),
        ("[network]", "[network]\ndomain = 'ml'", "ml.example.com"),
        ("[network]", "[alarms]\nemail = 'ana'\n[network]", "ana@example.com"),
    ],
)
def test_a_pattern_is_explained_by_an_example(change: str, to: str, example: str, tmp_path: Path) -> None:
    (line,) = mistakes(tmp_path, GOOD.replace(change, to))
    assert line.endswith(f"; write it like '{example}'")


@pytest.mark.promise("account-file-checked")
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
        ("[network]", "lustre = {}\n[network]", "lustre: unknown key; it belongs into [storage.lustre]"),
        ("[network]", "cidr = 'x'\n[network]", "cidr: unknown key; it belongs into [network]"),
        (
            "[network]",
            "[network]\nproduction = false",
            "network.production: unknown key; it belongs at the top of the file, above the first heading",
        ),
        (
            '["eu-west-1a", "eu-west-1b"]',
            '"eu-west-1a"',
            'network.availability_zones: must be a list such as ["one", "two"], got \'eu-west-1a\'',
        ),
        (
            "[network]",
            "clusters.training.kubernetes = 1.35\n[network]",
            "clusters.training.kubernetes: must be text in quotes, got 1.35",
        ),
        (
            "[network]",
            "database.backup_days = '7'\n[network]",
            "database.backup_days: must be a whole number without quotes, got '7'",
        ),
        (
            "[network]",
            "clusters.training.monitoring.objectives.availability = '99'\n[network]",
            "clusters.training.monitoring.objectives.availability: must be a number without quotes, got '99'",
        ),
        ("[network]", "bastion = true\n[network]", "bastion: must be a table, [bastion], got True"),
        ("[network]", "[clusters.Big]\npurpose = 'training'\n[network]", "clusters.Big: the name must match "),
        (
            "[network]",
            "[clusters.training]\nservice_cidr = '10.0.0.0/20'\n[network]",
            "clusters: training.service_cidr: 10.0.0.0/20 overlaps with network.cidr 10.0.0.0/16; choose another",
        ),
    ],
)
def test_a_mistake_names_key_value_and_fix(tmp_path: Path, change: str, to: str, said: str) -> None:
    (line,) = mistakes(tmp_path, GOOD.replace(change, to))
    assert line.startswith(said)


@pytest.mark.promise("account-file-checked")
def test_mistakes_of_one_table_have_a_line_each(tmp_path: Path) -> None:
    teams = '[teams.churn]\nowner = "ben"\nmembers = ["chi"]\n[people.ana]\nemail = "ana@example.com"\n'
    assert mistakes(tmp_path, GOOD + teams) == [
        "teams: churn.owner: 'ben' is not in [people], which has ana; add it there, or correct the name",
        "teams: churn.members: 'chi' is not in [people], which has ana; add it there, or correct the name",
    ]


def test_an_unknown_account_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "dev.toml").write_text(GOOD, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"prod\.toml: no such account; there are: dev$"):
        load_account("prod", tmp_path)


@pytest.mark.promise("account-file-checked")
def test_the_mistakes_of_all_files_are_reported(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.toml").write_text(GOOD.replace("cidr", "cdir"), encoding="utf-8")
    with pytest.raises(ConfigError) as refusal:
        load_accounts(folder=tmp_path)
    assert str(refusal.value).count("did you mean 'cidr'?") == 2


def test_names_are_those_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "b.toml").touch()
    (tmp_path / "a.toml").touch()
    assert account_names(tmp_path) == ["a", "b"]


@pytest.mark.promise("closed-network")
def test_a_network_without_internet_access_needs_a_registry(tmp_path: Path) -> None:
    closed = GOOD + 'nat = "none"\ninterface_endpoints = true\n'
    assert mistakes(tmp_path, closed) == [
        "image_registry: required if network.nat is 'none', because the network reaches no other registry"
    ]
    registry = "012345678901.dkr.ecr.eu-west-1.amazonaws.com/mirror"
    (tmp_path / "closed.toml").write_text(f'image_registry = "{registry}"\n{closed}', encoding="utf-8")
    assert load_account("closed", tmp_path).image_registry == registry
    abroad = registry.replace("eu-west-1", "us-east-1")
    assert mistakes(tmp_path, f'image_registry = "{abroad}"\n{closed}') == [
        "image_registry: must be in eu-west-1 if network.nat is 'none', got us-east-1; endpoints reach only their own "
        "Region, so replicate the images with ECR"
    ]


@pytest.mark.parametrize("name", ["dev_eu", "dev.eu", "1dev", "dev-", "a" * 41])
def test_a_name_that_cloudformation_does_not_take_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.toml").write_text(GOOD, encoding="utf-8")
    with pytest.raises(ConfigError, match=f"a letter first, got '{re.escape(name)}'; rename the file"):
        load_accounts(folder=tmp_path)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "dev.toml").write_text(GOOD, encoding="utf-8-sig")
    assert load_account("dev", tmp_path).region == "eu-west-1"


KUBEFLOW = "[people.ana]\nemail = 'ana@example.com'\n[clusters.training.kubeflow]\ndeployment = 'vanilla'\n"


def test_a_key_without_effect_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marks = key("KServe.", default=False, unused_until="the component KServe").json_schema_extra
    monkeypatch.setattr(Kubeflow.model_fields["kserve"], "json_schema_extra", marks)
    (tmp_path / "dev.toml").write_text(f"{GOOD}{KUBEFLOW}kserve = true", encoding="utf-8")
    notice = "clusters.training.kubeflow.kserve has no effect yet; the component KServe will use it"
    with pytest.warns(ConfigWarning, match=re.escape(f"dev.toml: {notice}")):
        load_account("dev", tmp_path)


def test_keys_with_an_effect_do_not_warn(tmp_path: Path) -> None:
    cluster = "[clusters.training]\nworkload_identity = 'kube2iam'\n"
    (tmp_path / "dev.toml").write_text(GOOD + cluster + KUBEFLOW, encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_account("dev", tmp_path).clusters["training"].workload_identity == "kube2iam"


RENAMED = {"network.gateways": Renamed("nat", until="2.0"), "clusters.*.minor": Renamed("kubernetes", until="3.0")}


def test_a_deprecated_key_is_accepted_and_the_new_one_is_named() -> None:
    values = {"network": {"gateways": "none"}, "clusters": {"training": {"minor": "1.35"}}}
    renamed, notices = rename_deprecated(values, RENAMED)
    assert renamed == {"network": {"nat": "none"}, "clusters": {"training": {"kubernetes": "1.35"}}}
    assert notices == [
        "network.gateways is deprecated and is refused from version 2.0 on; write network.nat",
        "clusters.training.minor is deprecated and is refused from version 3.0 on; write clusters.training.kubernetes",
    ]


def test_an_old_name_next_to_the_new_one_is_refused_as_unknown() -> None:
    values = {"network": {"gateways": "none", "nat": "single"}}
    assert rename_deprecated(values, RENAMED) == (values, [])


def test_a_fault_of_our_own_is_not_reported_as_a_mistake_of_the_file(tmp_path: Path) -> None:
    class Broken(Section):
        name: Annotated[str, AfterValidator(lambda value: str(int(value)))]

    path = tmp_path / "a.toml"
    path.write_text('name = "x"\n', encoding="utf-8")
    with pytest.raises(ValueError, match="invalid literal for int") as fault:
        load(path, Broken)
    assert not isinstance(fault.value, ConfigError)
