"""``python -m rehearsal ACCOUNT``: deploy, redeploy, update and destroy one account's platform in an AWS emulator."""

import argparse
import os
import shlex
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import get_args

from config.kubeflow import Deployment
from config.loader import ConfigError
from delivery.errors import DeliveryError
from kubernetes_rehearsal.choice import NODES
from rehearsal.cdk import platform_app
from rehearsal.errors import RehearsalError
from rehearsal.nodes import WANTED, choose_nodes
from rehearsal.paths import CACHE
from rehearsal.rehearsal import rehearse, rehearse_changes
from rehearsal.settings import chosen


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m rehearsal", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("account", nargs="?", default="local", help="account file to use; default: local")
    what.add_argument("--app", help="another app: a command that writes a cloud assembly into the folder added to it")
    parser.add_argument(
        "--kubeflow",
        nargs="+",
        choices=get_args(Deployment),
        default=[],
        help="option for Kubeflow; default: that of the account file. Several options are deployed in order, each as "
        "an update of the one before; the other steps are omitted",
    )
    parser.add_argument("--stacks", nargs="+", default=(), help="ids; only these and what they depend on. Default: all")
    parser.add_argument(
        "--nodes",
        choices=WANTED,
        default=os.environ.get(NODES) or "0",
        help=f"real nodes: 0 for none, 1 to require them, auto where this machine can run them. Default: {NODES}, or 0",
    )
    parser.add_argument("--keep", action="store_true", help="do not destroy; keep running until an interrupt")
    parser.add_argument("--port", type=int, help="port on loopback; default: any free one")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder that one rehearsal at a time uses")
    options = parser.parse_args()
    if options.app and options.kubeflow:
        parser.error("--kubeflow belongs to an account; leave it out with --app")
    if options.keep and len(options.kubeflow) > 1:
        parser.error("--keep with several options of --kubeflow would keep the last one; name that alone")
    for number in (signal.SIGTERM, signal.SIGINT):  # a shell's background job begins with interrupts ignored
        signal.signal(number, _interrupt)
    try:
        accounts = []
        if not options.app:  # mistakes of the file first, before anything starts
            accounts = [chosen(options.account, option) for option in options.kubeflow or [None]]
        choose_nodes(options.nodes, accounts)
        cache = options.cache.absolute()
        apps = [platform_app(options.account, kubeflow=option) for option in options.kubeflow or [None]]
        if len(apps) > 1:
            rehearse_changes(apps, port=options.port, cache=cache, stacks=options.stacks)
        else:
            app = shlex.split(options.app) if options.app else apps[0]
            rehearse(app, keep=options.keep, port=options.port, cache=cache, stacks=options.stacks)
    except (ConfigError, DeliveryError, RehearsalError) as error:
        print(f"rehearsal: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("rehearsal: interrupted; no process is left running", file=sys.stderr)
        return 130
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
