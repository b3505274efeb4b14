"""The first process of a sandbox or of a node in it: prepares the namespaces, then keeps servers running.

Standard library only, started by path: it must be quick, and independent of the project.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

_POLL_SECONDS = 0.02
_RESTART_SECONDS = 0.5


def main(specification: str) -> int:
    """Run the setup script and the servers of a specification.

    :param specification: path of a JSON file with ``setup``, a shell script; ``environment``; ``started``, a file that
        is created after the setup; and ``servers``. Each server has a ``command``, a ``log`` and perhaps ``after``,
        a file that must exist before the server starts.
    :return: status of the setup script where it failed. Otherwise this function does not return.
    """
    plan = json.loads(Path(specification).read_text(encoding="utf-8"))
    environment = plan["environment"]
    with Path(plan["log"]).open("ab") as log:
        setup = subprocess.run(["sh", "-eu", "-c", plan["setup"]], env=environment, stdout=log, stderr=log, check=False)
    if setup.returncode:
        return setup.returncode
    running: dict[int, dict[str, Any]] = {}
    starting = threading.Lock()  # a server that ends immediately must not be reaped before it is registered
    for server in plan["servers"]:
        threading.Thread(target=_start, args=(server, environment, running, starting), daemon=True).start()
    Path(plan["started"]).touch()
    while True:
        try:
            pid, status = os.waitpid(-1, 0)  # orphans of containers, too: this is the first process
        except ChildProcessError:
            time.sleep(_POLL_SECONDS)
            continue
        with starting:
            ended = running.pop(pid, None)
        if ended:
            with Path(ended["log"]).open("a", encoding="utf-8") as log:
                log.write(f"ended with status {os.waitstatus_to_exitcode(status)}; starting again\n")
            threading.Thread(
                target=_start, args=(ended, environment, running, starting, _RESTART_SECONDS), daemon=True
            ).start()


def _start(
    server: dict[str, Any],
    environment: dict[str, str],
    running: dict[int, dict[str, Any]],
    starting: threading.Lock,
    delay: float = 0,
) -> None:
    """Start a server once the file that it waits for exists. Servers restart as a service manager restarts them."""
    time.sleep(delay)
    while server.get("after") and not Path(server["after"]).exists():
        time.sleep(_POLL_SECONDS)
    with starting, Path(server["log"]).open("ab") as log:
        pid = os.posix_spawnp(
            server["command"][0],
            server["command"],
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log.fileno(), 1),
                (os.POSIX_SPAWN_DUP2, log.fileno(), 2),
            ],
            setsid=True,
            setsigdef=(signal.SIGPIPE,),
        )
        running[pid] = server


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
