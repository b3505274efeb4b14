"""A rehearsal that is killed leaves nothing of its clusters on this machine."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from kubernetes_rehearsal.choice import NODES
from kubernetes_rehearsal.nodes import cgroups

_START = """
import sys, time
from pathlib import Path
from rehearsal.embedded_aws import EmbeddedAws
from rehearsal.run import exclusive_run
from tests.kubernetes_rehearsal.cloud.conftest import new_cluster
folder = Path(sys.argv[1])
with exclusive_run(folder) as run, EmbeddedAws(run) as aws:
    aws.wait_until_healthy()
    new_cluster(aws, folder)
    print("ready", flush=True)
    time.sleep(600)
"""
_SECONDS = 60


def test_a_killed_rehearsal_leaves_no_process_mount_interface_control_group_or_folder(
    real_nodes: None, tmp_path: Path
) -> None:
    interfaces = _interfaces()
    rehearsal = subprocess.Popen(
        [sys.executable, "-c", _START, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, NODES: "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert rehearsal.stdout
    assert rehearsal.stdout.readline() == "ready\n"
    assert "kubelet" in _processes(tmp_path)
    (sandbox,) = {folder.name for folder in tmp_path.rglob(f"{cgroups.PREFIX}*")}
    assert sandbox in cgroups.existing()
    os.kill(rehearsal.pid, signal.SIGKILL)
    rehearsal.wait()
    _poll_until(lambda: not _processes(tmp_path))
    _poll_until(lambda: sandbox not in cgroups.existing())
    assert sandbox not in Path("/proc/self/mounts").read_text(encoding="utf-8")
    assert list(tmp_path.rglob(sandbox)) == []
    assert _interfaces() <= interfaces


def _interfaces() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}


def _processes(folder: Path) -> str:
    """Command lines of this machine's processes that name a folder, or whose files are below it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            place = os.readlink(process / "cwd")
        except OSError:
            continue
        if str(folder) in text or place.startswith(str(folder)):
            found.append(text)
    return "\n".join(found)


def _poll_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + _SECONDS
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)
