from pathlib import Path

import pytest

from config.loader import ConfigError, load_account

GOOD = """
account = "012345678901"
region = "eu-west-1"
[network]
cidr = "10.0.0.0/16"
availability_zones = ["eu-west-1a", "eu-west-1b"]
[database]
"""


def load(folder: Path, text: str) -> int:
    (folder / "some.toml").write_text(GOOD + text, encoding="utf-8")
    return load_account("some", folder).database.max_storage_gib


def test_storage_has_room_to_grow(tmp_path: Path) -> None:
    """Row 49."""
    assert load(tmp_path, "storage_gib = 100\nmax_storage_gib = 110") == 110


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("storage_gib = 100\nmax_storage_gib = 109", "a tenth more than storage_gib, got 109 for 100; use 110 or more"),
        ("storage_gib = 1000", "got 500 for 1000; use 1100 or more"),
        ('instance_type = "db.t4g.medium"', "database.instance_type"),
        ('instance_type = "t4g.small"', "database.instance_type"),
        ("backup_days = 0", "database.backup_days"),
    ],
)
def test_fails_on_what_rds_would_refuse(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, text)
