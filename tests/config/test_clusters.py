from pathlib import Path

import pytest

from config.loader import load_account, load_accounts
from config.schema import Account
from tests import account_files
from tests.account_files import SMALL


def load(folder: Path, more: str) -> Account:
    return account_files.load(folder, SMALL + more)


def mistakes(folder: Path, more: str) -> list[str]:
    return account_files.mistakes(folder, SMALL + more)


@pytest.mark.promise("separate-clusters")
def test_an_account_has_a_training_and_an_inference_cluster(tmp_path: Path) -> None:
    clusters = load(tmp_path, "").clusters
    assert {name: cluster.purpose for name, cluster in clusters.items()} == {
        "training": "training",
        "inference": "inference",
    }


@pytest.mark.promise("separate-clusters", "driver-for-every-gpu")
def test_the_clusters_have_nodes_of_their_own_for_their_purpose(tmp_path: Path) -> None:
    clusters = load(tmp_path, "").clusters
    assert list(clusters["training"].groups) == ["system", "cpu", "training-gpu", "spark"]
    assert list(clusters["inference"].groups) == ["system", "cpu", "inference-gpu"]
    assert clusters["training"].groups["training-gpu"].instance_types[0].startswith("p")
    assert clusters["inference"].groups["inference-gpu"].instance_types[0].startswith("g")


@pytest.mark.promise("gpu-from-zero", "spot")
def test_gpus_start_at_zero_and_spark_runs_on_spot(tmp_path: Path) -> None:
    clusters = load(tmp_path, "").clusters
    assert clusters["training"].groups["training-gpu"].min_per_zone == 0
    assert clusters["inference"].groups["inference-gpu"].min_per_zone == 0
    assert clusters["training"].groups["spark"].capacity == "spot"


@pytest.mark.promise("system-nodes")
def test_the_platforms_own_pods_have_a_node_in_every_zone(tmp_path: Path) -> None:
    for cluster in load(tmp_path, "").clusters.values():
        assert cluster.groups["system"].min_per_zone >= 1
        assert cluster.groups["system"].availability_zones == ()


def test_a_shipped_group_keeps_what_is_not_changed(tmp_path: Path) -> None:
    account = load(tmp_path, "[clusters.training.node_groups.training-gpu]\nmax_per_zone = 7")
    gpu = account.clusters["training"].groups["training-gpu"]
    assert (gpu.max_per_zone, gpu.instance_types, gpu.ami_type) == (7, ("p4d.24xlarge",), "AL2023_x86_64_NVIDIA")


def test_a_shipped_group_can_be_omitted_and_others_added(tmp_path: Path) -> None:
    account = load(
        tmp_path,
        """
        [clusters.training.node_groups.spark]
        max_per_zone = 0
        [clusters.training.node_groups.trainium]
        purpose = "training"
        instance_types = ["trn1.2xlarge"]
        ami_type = "AL2023_x86_64_NEURON"
        max_per_zone = 2
        """,
    )
    assert list(account.clusters["training"].groups) == ["system", "cpu", "training-gpu", "trainium"]


@pytest.mark.promise("separate-clusters")
def test_any_number_of_clusters_can_be_named(tmp_path: Path) -> None:
    account = load(
        tmp_path, '[clusters.a100]\npurpose = "training"\n[clusters.inference]\n[clusters.t4]\npurpose = "inference"'
    )
    assert {name: cluster.purpose for name, cluster in account.clusters.items()} == {
        "a100": "training",
        "inference": "inference",
        "t4": "inference",
    }


@pytest.mark.promise("zones-may-differ")
def test_the_shipped_accounts_know_what_their_zones_offer() -> None:
    for account in load_accounts().values():
        assert set(account.offerings) == set(account.network.availability_zones)


@pytest.mark.promise("groups-have-rights")
def test_production_names_its_administrators() -> None:
    for name in ("staging", "prod"):
        assert all(cluster.access.admins for cluster in load_account(name).clusters.values())


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("[clusters.gpu]", ["clusters.gpu.purpose: required; add it"]),
        (
            '[clusters.training]\nkubernetes = "1.x"',
            ["clusters.training.kubernetes: must match ^1\\.\\d{2}$, got '1.x'"],
        ),
        ("[clusters.training]\nacces = {}", ["clusters.training.acces: unknown key; did you mean 'access'?"]),
        (
            "[clusters.training.node_groups.cpu]\nmax_per_zon = 3",
            ["clusters.training.node_groups.cpu.max_per_zon: unknown key; did you mean 'max_per_zone'?"],
        ),
        (
            '[clusters.training]\npublic_access_cidrs = ["0.0.0.0/0"]',
            [
                "clusters.training.public_access_cidrs.0: 0.0.0.0/0 is open to the world; "
                "name the networks of your offices"
            ],
        ),
        (
            "[clusters.training.node_groups.cpu]\nmin_per_zone = 11",
            ["clusters.training.node_groups.cpu.min_per_zone: must be max_per_zone or less, got 11 and 10"],
        ),
        (
            "[clusters.training.node_groups.extra]\nmax_per_zone = 1",
            [
                "clusters.training.node_groups.extra.purpose: required; add it",
                "clusters.training.node_groups.extra.instance_types: required; add it",
            ],
        ),
        (
            '[clusters.training.node_groups.cpu]\navailability_zones = ["eu-west-1c"]',
            [
                "clusters: training.node_groups.cpu.availability_zones: eu-west-1c not in network.availability_zones; "
                "choose from eu-west-1a, eu-west-1b"
            ],
        ),
    ],
)
def test_a_mistake_names_key_value_and_fix(tmp_path: Path, more: str, said: list[str]) -> None:
    assert mistakes(tmp_path, more) == said


@pytest.mark.promise("groups-have-rights")
def test_a_role_is_mapped_once(tmp_path: Path) -> None:
    role = "arn:aws:iam::111111111111:role/People"
    (line,) = mistakes(tmp_path, f'[clusters.training.access]\nadmins = ["{role}"]\nviewers = ["{role}"]')
    assert line == f"clusters.training.access: {role} is named 2 times (admins, viewers); name each role once"


@pytest.mark.parametrize(
    "arn", ["arn:aws:sts::111111111111:assumed-role/People/me", "arn:aws:iam::111111111111:root", "*"]
)
def test_access_is_for_roles(tmp_path: Path, arn: str) -> None:
    (line,) = mistakes(tmp_path, f'[clusters.training.access]\nviewers = ["{arn}"]')
    assert line.startswith("clusters.training.access.viewers.0: must match")


def test_an_emergency_role_is_for_the_accounts_own_people(tmp_path: Path) -> None:
    keeper = "arn:aws:iam::222222222222:user/keeper"
    (line,) = mistakes(tmp_path, f'[clusters.training]\nbreak_glass_principals = ["{keeper}"]')
    assert line == (
        f"clusters: training.break_glass_principals: {keeper} not in account 111111111111; "
        "list users and roles of this account"
    )


@pytest.mark.promise("zones-may-differ", "driver-for-every-gpu")
def test_an_instance_type_missing_in_a_zone_is_refused(tmp_path: Path) -> None:
    offered = '[offerings]\neu-west-1a = ["m7i.xlarge"]\neu-west-1b = ["m7i.xlarge", "p4d.24xlarge"]\n'
    groups = "".join(f"[clusters.training.node_groups.{name}]\nmax_per_zone = 0\n" for name in ("cpu", "spark"))
    assert mistakes(tmp_path, offered + groups) == [
        "clusters: training.node_groups.training-gpu.instance_types: p4d.24xlarge is not offered in eu-west-1a; "
        "set availability_zones = ['eu-west-1b'], or renew [offerings]"
    ]
    there = groups + '[clusters.training.node_groups.training-gpu]\navailability_zones = ["eu-west-1b"]\n'
    assert load(tmp_path, offered + there).clusters["training"].groups["training-gpu"].availability_zones == (
        "eu-west-1b",
    )


@pytest.mark.promise("driver-for-every-gpu")
def test_an_instance_type_that_no_zone_offers_is_refused(tmp_path: Path) -> None:
    """EC2 no longer offers the small P3."""
    offered = '[offerings]\neu-west-1a = ["m7i.xlarge", "m7i.2xlarge"]\neu-west-1b = ["m7i.xlarge", "m7i.2xlarge"]\n'
    gpu = '[clusters.inference]\n[clusters.inference.node_groups.inference-gpu]\ninstance_types = ["p3.2xlarge"]\n'
    (line,) = mistakes(tmp_path, offered + gpu)
    assert line.endswith(
        "p3.2xlarge is not offered in eu-west-1a, eu-west-1b; choose another type, or renew [offerings]"
    )


def test_zones_without_a_record_are_not_judged(tmp_path: Path) -> None:
    assert load(tmp_path, '[offerings]\neu-west-1c = ["m7i.large"]\n').clusters


@pytest.mark.parametrize(
    "more",
    [
        "[clusters.training.node_groups.cpu]\nmax_pods = 30",
        '[clusters.training]\nautoscaler = "karpenter"\n[clusters.training.node_groups.system]\nmax_pods = 30',
    ],
    ids=["managed", "system groups are managed with Karpenter too"],
)
def test_a_limit_of_pods_that_eks_would_pass_over_is_refused(tmp_path: Path, more: str) -> None:
    """https://docs.aws.amazon.com/eks/latest/userguide/choosing-instance-type.html#max-pods-precedence"""
    (said,) = mistakes(tmp_path, more)
    assert "max_pods: EKS sets its own number on its own images; leave it out, or give image_id" in said


@pytest.mark.parametrize(
    "more",
    [
        '[clusters.training.node_groups.cpu]\nmax_pods = 30\nimage_id = "ami-0123456789abcdef0"',
        '[clusters.training]\nautoscaler = "karpenter"\n[clusters.training.node_groups.cpu]\nmax_pods = 30',
    ],
    ids=["own image", "Karpenter"],
)
def test_pods_are_limited_with_an_image_of_ones_own_and_by_karpenter(tmp_path: Path, more: str) -> None:
    assert load(tmp_path, more).clusters["training"].groups["cpu"].max_pods == 30
