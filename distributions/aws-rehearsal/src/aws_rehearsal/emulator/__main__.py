"""``python -m aws_rehearsal.emulator``: the AWS emulator alone, until it is interrupted."""

import argparse
import os
import socket
import sys
from pathlib import Path

from aws_rehearsal.emulator import server
from aws_rehearsal.emulator.names import LOOPBACK


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m aws_rehearsal.emulator", description=__doc__)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--port", type=int, default=4566, help="port on loopback; default: 4566")
    where.add_argument("--listener", type=int, help="descriptor of an inherited socket that is bound to loopback")
    parser.add_argument(
        "--cache", type=Path, default=Path(".cache/rehearsal"), help="folder kept between runs; default: %(default)s"
    )
    parser.add_argument(
        "--node-modules", type=Path, default=Path("node_modules"), help="of JavaScript functions; default: %(default)s"
    )
    parser.add_argument(
        "--stand-ins", type=Path, help="JSON file with stand-ins for Helm charts and EKS add-ons; default: none"
    )
    parser.add_argument("--until-stdin-closes", action="store_true", help="end with the parent process")
    options = parser.parse_args()
    try:
        listener = (
            socket.socket(fileno=options.listener)
            if options.listener
            else socket.create_server((LOOPBACK, options.port))
        )
    except OSError as error:
        sys.exit(f"rehearsal: port {options.port}: {os.strerror(error.errno or 0).lower()}; choose another with --port")
    server.run(
        listener,
        cache=options.cache.absolute(),
        node_modules=options.node_modules.absolute(),
        until_stdin_closes=options.until_stdin_closes,
        stand_ins=options.stand_ins.absolute() if options.stand_ins else None,
    )


if __name__ == "__main__":
    main()
