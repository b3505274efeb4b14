from pathlib import Path

import pytest

from config.loader import ConfigError
from tests import account_files
from tests.account_files import SMALL


def load(folder: Path, more: str) -> int:
    return account_files.load(folder, f"{SMALL}[database]\n{more}").database.max_storage_gib


@pytest.mark.promise("storage-grows")
def test_storage_has_room_to_grow(tmp_path: Path) -> None:
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
