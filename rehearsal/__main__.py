"""``python -m rehearsal ACCOUNT``: deploy, redeploy, update and destroy one account's platform in an embedded AWS."""

import argparse
import shlex
import signal
import sys
from pathlib import Path
from types import FrameType

from config.loader import ConfigError, load_account
from delivery.errors import DeliveryError
from rehearsal.cdk import platform_app
from rehearsal.errors import RehearsalError
from rehearsal.paths import CACHE
from rehearsal.rehearsal import rehearse


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m rehearsal", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("account", nargs="?", default="local", help="account whose settings to use; default: local")
    what.add_argument("--app", help="another app: a command that writes a cloud assembly into the folder added to it")
    parser.add_argument("--keep", action="store_true", help="do not destroy; leave it up until an interrupt")
    parser.add_argument("--port", type=int, help="port on loopback; default: any free one")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder that one rehearsal at a time uses")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):  # a shell's background job begins with interrupts ignored
        signal.signal(number, _interrupt)
    try:
        if not options.app:
            load_account(options.account)  # mistakes of the file first, before anything starts
        app = shlex.split(options.app) if options.app else platform_app(options.account)
        rehearse(app, keep=options.keep, port=options.port, cache=options.cache.absolute())
    except (ConfigError, DeliveryError, RehearsalError) as error:
        print(f"rehearsal: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("rehearsal: interrupted; nothing is left running", file=sys.stderr)
        return 130
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
