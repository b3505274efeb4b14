from pathlib import Path

import pytest

from config.delivery import DELIVERY, Delivery, load_delivery
from config.loader import ConfigError

HEAD = """
account = "999999999999"
region = "eu-west-1"
[source]
connection_arn = "arn:aws:codeconnections:eu-west-1:999999999999:connection/0123abcd"
repository = "example/ml-platform"
"""
WAVE = '[[waves]]\nname = "First"\naccounts = ["dev"]\n'


NAMES = ("dev", "local", "prod")


def load(text: str, tmp_path: Path, *, names: tuple[str, ...] = NAMES) -> Delivery:
    file = tmp_path / "delivery.toml"
    file.write_text(text, encoding="utf-8")
    for name in names:
        (tmp_path / f"accounts/{name}.toml").parent.mkdir(exist_ok=True)
        (tmp_path / f"accounts/{name}.toml").touch()
    return load_delivery(file, tmp_path / "accounts")


def mistakes(text: str, tmp_path: Path, *, names: tuple[str, ...] = NAMES) -> list[str]:
    with pytest.raises(ConfigError) as refusal:
        load(text, tmp_path, names=names)
    return str(refusal.value).replace(f"{tmp_path}/", "").splitlines()


def test_the_shipped_file_delivers_every_account_of_aws_to_production_last() -> None:
    shipped = load_delivery(DELIVERY)
    assert shipped.accounts == ("dev", "staging", "prod")
    assert shipped.waves[-1].approval


def test_defaults(tmp_path: Path) -> None:
    delivery = load(HEAD + WAVE, tmp_path)
    (wave,) = delivery.waves
    assert (delivery.source.branch, delivery.packages, delivery.notification_email) == ("main", None, None)
    assert (wave.approval, wave.bake_minutes, wave.alarms) == (False, 0, ())


def test_every_mistake_is_reported_together(tmp_path: Path) -> None:
    text = HEAD.replace('region = "eu-west-1"', 'regoin = "eu-west-1"').replace('"999999999999"', "999999999999", 1)
    text += '[[waves]]\nname = "First"\naccounts = []\nbake_minuets = 10\n'
    text += '[[waves]]\nname = "Second"\naccounts = ["dve"]\n'
    assert sorted(mistakes(text, tmp_path)) == [
        'delivery.toml: account: must be twelve digits in quotes, such as "012345678901", got 999999999999',
        "delivery.toml: region: required; add it",
        "delivery.toml: regoin: unknown key; did you mean 'region'?",
        "delivery.toml: waves.0.accounts: needs at least 1 entries, got 0",
        "delivery.toml: waves.0.bake_minuets: unknown key; did you mean 'bake_minutes'?",
        "delivery.toml: waves.1.accounts.0: no account file 'dve'; there are: dev, prod",
    ]


def test_refuses_accounts_without_a_file_and_that_of_the_rehearsal(tmp_path: Path) -> None:
    text = HEAD + WAVE.replace('["dev"]', '["dve", "local"]')
    assert mistakes(text, tmp_path) == [
        "delivery.toml: waves.0.accounts.0: no account file 'dve'; there are: dev, prod",
        "delivery.toml: waves.0.accounts.1: 'local' is the rehearsal's account, not AWS; remove it",
    ]


def test_refuses_an_account_and_a_name_twice(tmp_path: Path) -> None:
    assert mistakes(HEAD + WAVE + WAVE, tmp_path) == [
        "delivery.toml: waves: 2 waves are called 'First'; choose another name",
        "delivery.toml: waves: account 'dev' is named 2 times; an account is in one wave only",
    ]


def test_refuses_the_names_of_the_pipelines_own_stages(tmp_path: Path) -> None:
    text = HEAD + WAVE.replace("First", "Source").replace("dev", "tools")
    assert mistakes(text, tmp_path, names=("tools",)) == [
        "delivery.toml: waves: 'Source' is a stage of the pipeline itself; choose another name",
        "delivery.toml: waves: 'tools' is a stage of the pipeline itself; choose another name",
    ]


@pytest.mark.parametrize(
    ("line", "mistake"),
    [
        ("bake_minutes = 421", "waves.0.bake_minutes: should be less than or equal to 420, got 421"),
        ("bake_minutes = -1", "waves.0.bake_minutes: should be greater than or equal to 0, got -1"),
        ('approval = "ana"', "waves.0.approval: must be true or false without quotes, got 'ana'"),
    ],
)
def test_refuses_what_a_build_could_not_do(line: str, mistake: str, tmp_path: Path) -> None:
    assert mistakes(HEAD + WAVE + line, tmp_path) == [f"delivery.toml: {mistake}"]


def test_refuses_more_waves_than_codepipeline_has_stages(tmp_path: Path) -> None:
    waves = "".join(f'[[waves]]\nname = "Wave{i}"\naccounts = ["account{i}"]\n' for i in range(41))
    names = tuple(f"account{i}" for i in range(41))
    assert mistakes(HEAD + waves, tmp_path, names=names) == ["delivery.toml: waves: needs at most 40 entries, got 41"]


def test_refuses_a_connection_that_is_none(tmp_path: Path) -> None:
    (mistake,) = mistakes(HEAD.replace(":connection/", ":host/") + WAVE, tmp_path)
    assert mistake.startswith("delivery.toml: source.connection_arn: must match ")
