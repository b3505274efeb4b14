"""What sandboxes left whose supervisors were killed: their control groups and state folders."""

import errno
import shutil
import socket
import tempfile
from pathlib import Path

from kubernetes_rehearsal.nodes import cgroups


def hold_name(name: str) -> socket.socket:
    """Take the name of a sandbox for as long as any process has the socket open. Nothing of it is on the disk.

    :raises OSError: if a sandbox of that name runs.
    """
    held = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        held.bind(f"\0{name}")
    except OSError:
        held.close()
        raise
    return held


def remove_leftovers(parent: Path | None = None, root: Path = cgroups.ROOT) -> list[str]:
    """Remove folders and control groups of sandboxes that have ended.

    The kernel ended their processes, mounts and networks.

    :param parent: folder that sandboxes keep their state in. Default: the folder for temporary files.
    :return: names of the sandboxes.
    """
    removed = []
    parent = parent or Path(tempfile.gettempdir())
    names = {folder.name for folder in parent.glob(f"{cgroups.PREFIX}*")} | cgroups.existing(root)
    for name in sorted(names):
        try:
            with hold_name(name):
                cgroups.remove(name, root)
                shutil.rmtree(parent / name, ignore_errors=True)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        removed.append(name)
    return removed
