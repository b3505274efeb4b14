from pathlib import Path

import pytest

from config.loader import load_accounts
from config.storage import Storage
from tests import account_files
from tests.account_files import SMALL, mistakes

LAKE = 'bucket_arn = "arn:aws:s3:::lake"'
WRITER = 'writer_role_arns = ["arn:aws:iam::222222222222:role/Ingestion"]'


def load(folder: Path, more: str) -> Storage:
    return account_files.load(folder, SMALL + more).storage


@pytest.mark.promise("collected-data-read-only")
def test_collected_data_is_in_this_account_or_in_another(tmp_path: Path) -> None:
    held = load(tmp_path, f"[storage.collected_data]\n{WRITER}").collected_data
    assert (held.bucket_arn, held.writer_role_arns) == (None, ("arn:aws:iam::222222222222:role/Ingestion",))
    elsewhere = load(tmp_path, f"[storage.collected_data]\n{LAKE}").collected_data
    assert elsewhere.bucket_arn is not None
    assert elsewhere.writer_role_arns == ()


def test_a_file_system_lies_in_a_zone_of_the_network(tmp_path: Path) -> None:
    lustre = load(tmp_path, '[storage.lustre]\navailability_zone = "eu-west-1b"').lustre
    assert lustre is not None
    assert lustre.availability_zone == "eu-west-1b"


def test_shipped_accounts_have_training_data_in_the_zone_of_the_gpus() -> None:
    """Traffic between zones is billed by the gigabyte, and training reads a lot of them."""
    beside = {}
    for name, account in load_accounts().items():
        if account.storage.lustre:
            zones = account.network.availability_zones
            gpus = account.clusters["training"].groups["training-gpu"].availability_zones or zones
            beside[name] = (account.storage.lustre.availability_zone or zones[0]) in gpus
    assert beside == {"local": True, "prod": True, "staging": True}


@pytest.mark.promise("second-region-copy", "collected-data-read-only")
def test_production_has_a_copy_elsewhere_and_reads_data_of_another_platform() -> None:
    storage = load_accounts()["prod"].storage
    assert storage.replica_region == "eu-central-1"
    assert storage.collected_data.bucket_arn is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"[storage.collected_data]\n{LAKE}\n{WRITER}", "writer_role_arns: must be empty with bucket_arn; "),
        (
            '[storage.collected_data]\nkey_arn = "arn:aws:kms:eu-west-1:222222222222:key/1"',
            "key_arn: needs bucket_arn; the bucket in this account has its own key",
        ),
        ('[storage.collected_data]\nbucket_arn = "lake"', "bucket_arn: must match ^arn:aws[-a-z]*:s3:::"),
        ('[storage.collected_data]\nwriter_role_arns = ["arn:aws:iam::2:user/x"]', "writer_role_arns.0: must match"),
        (
            '[storage.lustre]\navailability_zone = "eu-west-1c"',
            "storage: lustre.availability_zone: eu-west-1c is not in the network; name one of eu-west-1a, eu-west-1b",
        ),
        (
            "[storage.lustre]\ncapacity_gib = 3000",
            "storage.lustre.capacity_gib: must be 1200 or a multiple of 2400, got 3000; use 2400 or 4800",
        ),
        ("[storage.lustre]\nthroughput_mbps_per_tib = 200", "storage.lustre.throughput_mbps_per_tib: should be 125"),
        ("[storage]\nprediction_days = 30", "storage.prediction_days: should be greater than or equal to 31, got 30"),
        ("[storage]\nrestore_days = 0", "storage.restore_days: should be greater than or equal to 1, got 0"),
        ('[storage]\nrepositories = ["a", "b", "a"]', "storage.repositories: names a repository twice: a, b, a"),
        ('[storage]\nrepositories = ["team/a"]', "storage.repositories.0: must match"),
        ('[storage]\nreplica_region = "eu-west-1"', "storage: replica_region: eu-west-1 is the platform's own region"),
    ],
)
def test_a_mistake_names_key_value_and_fix(tmp_path: Path, text: str, said: str) -> None:
    (line,) = mistakes(tmp_path, SMALL + text)
    assert said in line
