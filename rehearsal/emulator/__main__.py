"""``python -m rehearsal.emulator``: the embedded AWS alone, until it is interrupted."""

import argparse
import os
import socket
import sys
from pathlib import Path

from rehearsal.emulator import server
from rehearsal.paths import CACHE, LOOPBACK, NODE_MODULES


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m rehearsal.emulator", description=__doc__)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--port", type=int, default=4566, help="port on loopback; default: 4566")
    where.add_argument("--listener", type=int, help="descriptor of an inherited socket that is bound to loopback")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder for what is worth keeping between runs")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end with whoever started it")
    options = parser.parse_args()
    try:
        listener = (
            socket.socket(fileno=options.listener)
            if options.listener
            else socket.create_server((LOOPBACK, options.port))
        )
    except OSError as error:
        sys.exit(f"rehearsal: port {options.port}: {os.strerror(error.errno or 0).lower()}; choose another with --port")
    server.run(listener, cache=options.cache, node_modules=NODE_MODULES, until_stdin_closes=options.until_stdin_closes)


if __name__ == "__main__":
    main()
