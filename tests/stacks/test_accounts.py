from pathlib import Path

import pytest

from config.loader import ConfigError, load_accounts
from stacks._wiring.accounts import checked_accounts
from tests.account_files import SMALL

WRONG = """
[clusters.training]
kubernetes = "1.33"
[clusters.training.node_groups.cpu]
instance_types = ["m7i.2xlrge"]
[clusters.training.node_groups.training-gpu]
ami_type = "AL2023_x86_64_STANDARD"
"""


def test_the_shipped_accounts_pass() -> None:
    assert checked_accounts() == load_accounts()


@pytest.mark.promise("account-file-checked")
def test_what_only_the_library_can_judge_is_described_by_file_and_key_all_at_once(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.toml").write_text(SMALL + WRONG, encoding="utf-8")
    with pytest.raises(ConfigError) as refusal:
        checked_accounts(folder=tmp_path)
    lines = str(refusal.value).split("\n")
    assert len(lines) == 6
    first, second, third = (line.removeprefix(f"{tmp_path}/one.toml: clusters.training.") for line in lines[:3])
    assert first.startswith("kubernetes: Kubernetes 1.33 is not supported; choose 1.34")
    assert second.startswith("node_groups.cpu: instance_types has 'm7i.2xlrge', which EC2 does not list; did ")
    assert second.endswith("did you mean 'm7i.2xlarge'?")
    assert third.startswith("node_groups.training-gpu: ami_type AL2023_x86_64_STANDARD does not fit p4d.24xlarge;")
