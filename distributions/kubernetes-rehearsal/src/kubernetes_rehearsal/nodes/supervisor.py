"""Runs one sandbox until its own standard input closes, and removes the remains of the sandbox on the machine.

The sandbox has its own process, mount, network and host name namespaces. If this process ends for any reason, the
kernel kills everything in the sandbox. It uses only the standard library and is started by path, so that it starts fast
and is independent of the project.
"""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # by path, so that nothing else of the project is imported

import cgroups  # type: ignore[import-not-found]
import relays  # type: ignore[import-not-found]

_PR_SET_PDEATHSIG = 1
_BUSY_SECONDS = 60


def main(folder: Path) -> int:
    """Run the sandbox that ``sandbox.json`` in the folder describes.

    Prints the process id of the sandbox's first process. Standard input: closing it ends the sandbox.
    """
    plan = json.loads((folder / "sandbox.json").read_text(encoding="utf-8"))
    signal.signal(signal.SIGTERM, _end)
    cgroups.create(plan["cgroup"])
    sandbox = _start(folder)
    try:
        first = _first_process(sandbox.pid)
        _relay(plan, first)
        print(first, flush=True)
        while os.read(0, 4096):
            pass
    finally:
        sandbox.kill()
        sandbox.wait()
        left = cgroups.remove(plan["cgroup"])
        _remove(folder)
    return len(left)


def _end(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def _start(folder: Path) -> "subprocess.Popen[bytes]":
    command = [
        *("unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child=SIGKILL", "--mount-proc"),
        *(sys.executable, "-S", str(Path(__file__).with_name("init.py")), str(folder / "init.json")),
    ]
    parent = os.getpid()

    def end_with_parent() -> None:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    with (folder / "sandbox.log").open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=end_with_parent,
            start_new_session=True,
        )


def _first_process(parent: int) -> int:
    """The child of ``unshare``, which is the first process of the new process namespace.

    :raises RuntimeError: if ``unshare`` ended without one.
    """
    children = Path(f"/proc/{parent}/task/{parent}/children")
    until = time.monotonic() + _BUSY_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            for child in children.read_text(encoding="ascii").split():
                command = Path(f"/proc/{child}/cmdline").read_bytes()
                if command.startswith(os.fsencode(sys.executable)):  # namespaces are ready once it runs
                    return int(child)
        time.sleep(0.01)
    raise RuntimeError("the sandbox did not start; see sandbox.log")


def _relay(plan: dict[str, Any], first: int) -> None:
    namespace = os.open(f"/proc/{first}/ns/net", os.O_RDONLY)
    for relay in plan["into"]:
        relays.relay_into(namespace, socket.socket(fileno=relay["descriptor"]), tuple(relay["address"]))
    for relay in plan["out"]:
        relays.relay_out(namespace, relay["port"], tuple(relay["address"]))


def _remove(folder: Path) -> None:
    """Remove the state folder. Its mounts are removed with the mount namespace, shortly after the last process."""
    until = time.monotonic() + _BUSY_SECONDS
    while folder.exists() and time.monotonic() < until:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
