"""Control groups of sandboxes, in a folder in place of the kernel's."""

from pathlib import Path

import pytest

from kubernetes_rehearsal.nodes import cgroups
from kubernetes_rehearsal.nodes.leftovers import hold_name, remove_leftovers

NAME = f"{cgroups.PREFIX}0123456789ab"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "cgroup"
    for controller in ("cpu", "memory"):
        (root / controller).mkdir(parents=True)
    return root


def test_a_missing_controller_of_the_machine_is_reported(root: Path) -> None:
    (root / "cpu" / "cgroup.procs").touch()
    assert "cpu" not in cgroups.missing(root)
    assert "memory" in cgroups.missing(root)


def test_the_pods_of_a_sandbox_weigh_more_than_one_process_of_the_machine(root: Path) -> None:
    cgroups.create(NAME, root)
    assert int((root / "cpu" / NAME / "cpu.shares").read_text(encoding="ascii")) > 1024


def test_a_group_goes_with_everything_below_it(root: Path) -> None:
    (root / "memory" / NAME / "node-1" / "pod").mkdir(parents=True)
    assert cgroups.remove(NAME, root) == []
    assert not list((root / "memory").iterdir())


def test_what_a_killed_sandbox_left_is_removed(root: Path, tmp_path: Path) -> None:
    (root / "memory" / NAME).mkdir()
    (tmp_path / NAME / "etcd").mkdir(parents=True)
    assert remove_leftovers(tmp_path, root) == [NAME]
    assert not (tmp_path / NAME).exists()
    assert not (root / "memory" / NAME).exists()


def test_a_running_sandbox_is_not_changed(root: Path, tmp_path: Path) -> None:
    (root / "memory" / NAME).mkdir()
    (tmp_path / NAME).mkdir()
    with hold_name(NAME):
        assert remove_leftovers(tmp_path, root) == []
    assert (tmp_path / NAME).exists()
    assert (root / "memory" / NAME).exists()
