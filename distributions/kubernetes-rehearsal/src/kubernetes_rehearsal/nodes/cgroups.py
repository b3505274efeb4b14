"""Control groups of a sandbox, version 1, as mounted on this machine.

Standard library only: the supervisor imports it by path.
"""

import time
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_NEEDED = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd")
PREFIX = "kubernetes-rehearsal-"
_EMPTY_SECONDS = 60
_CPU_SHARES = 4096
"""Weight of the pods of a sandbox against that of each other process, which is 1024.

By default, all pods together would have the weight of one process, and miss their probes on a busy machine.
"""


def missing(root: Path = ROOT) -> list[str]:
    """Controllers that a kubelet needs and that are not mounted, in order."""
    return [controller for controller in _NEEDED if not (root / controller / "cgroup.procs").exists()]


def create(name: str, root: Path = ROOT) -> None:
    """Create the group ``name`` under every controller, with processors for its pods."""
    for controller in _NEEDED:
        (root / controller / name).mkdir(parents=True, exist_ok=True)
    (root / "cpu" / name / "cpu.shares").write_text(str(_CPU_SHARES), encoding="ascii")


def remove(name: str, root: Path = ROOT) -> list[Path]:
    """Remove a group with everything below it, once its processes are gone.

    :return: folders that are still there, because a process in them does not end.
    """
    until = time.monotonic() + _EMPTY_SECONDS
    while left := [folder for controller in _controllers(root) for folder in _remove(controller / name)]:
        if time.monotonic() > until:
            return left
        time.sleep(0.05)
    return []


def existing(root: Path = ROOT) -> set[str]:
    """Names of the groups of all sandboxes, running or not."""
    return {folder.name for controller in _controllers(root) for folder in controller.glob(f"{PREFIX}*")}


def _controllers(root: Path) -> list[Path]:
    """Each hierarchy once: some are mounted as links to others."""
    return sorted({folder.resolve() for folder in root.iterdir() if folder.is_dir()})


def _remove(group: Path) -> list[Path]:
    """Remove a tree of groups from its leaves; folders that are still in use stay."""
    if not group.is_dir():
        return []
    left = []
    folders = sorted((folder for folder in group.rglob("*") if folder.is_dir()), key=lambda at: -len(at.parts))
    for folder in [*folders, group]:
        try:
            folder.rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            left.append(folder)
    return left
