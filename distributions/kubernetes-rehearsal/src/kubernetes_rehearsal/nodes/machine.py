"""What this machine needs before it can run nodes, beyond the programs."""

import os
import shutil
import sys

from kubernetes_rehearsal.nodes import cgroups
from kubernetes_rehearsal.programs import NodePrograms

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TOOLS = ("ip", "mount", "nsenter", "pivot_root", "unshare")


def missing_parts() -> list[str]:
    """What this machine lacks for nodes, by name; empty if nodes can run."""
    lacks = [] if sys.platform == "linux" and os.geteuid() == 0 else ["root on Linux"]
    lacks += [tool for tool in _TOOLS if not shutil.which(tool, path=_SYSTEM_PATH)]
    lacks += [f"control group {controller} (version 1)" for controller in cgroups.missing()]
    return lacks


def environment(programs: NodePrograms) -> dict[str, str]:
    """Environment of every process in a sandbox: no credentials and no proxies of the user."""
    libraries = programs.debian / "usr/lib/x86_64-linux-gnu"
    own = ":".join(str(programs.debian / folder) for folder in ("usr/sbin", "usr/bin"))
    return {
        "PATH": f"{own}:{_SYSTEM_PATH}",
        "LD_LIBRARY_PATH": str(libraries),
        "XTABLES_LIBDIR": str(libraries / "xtables"),
        "HOME": "/root",
    }
