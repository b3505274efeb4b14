"""``python -m rehearsal.app ACCOUNT FOLDER``: one account's platform as a cloud assembly for the emulator's account."""

import sys

from config.loader import load_account
from config.schema import Account
from rehearsal.paths import EMULATED_ACCOUNT
from stacks.app import new_app
from stacks.stage import PlatformStage


def emulated(account: str) -> Account:
    """An account's settings with the emulator's number in place of the real one.

    Region, zones and removal policy stay, so that names, limits and what is kept are the account's own.
    """
    return load_account(account).model_copy(update={"account": EMULATED_ACCOUNT})


def synthesize(account: str, outdir: str) -> None:
    """Write the stage that ``app.py`` makes of the account into ``outdir``."""
    app = new_app(outdir=outdir)
    PlatformStage(app, account, settings=emulated(account))
    app.synth()


if __name__ == "__main__":
    try:
        synthesize(*sys.argv[1:])
    except ValueError as refusal:
        sys.exit(str(refusal))
