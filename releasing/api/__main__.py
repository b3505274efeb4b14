"""``python -m releasing.api``: the version that the library's changes require, and the report of its interface."""

import argparse
import sys
from collections.abc import Sequence

from releasing.api.report import REPORT, Report


def main(arguments: Sequence[str] | None = None) -> int:
    """Status 0: in order; 1: not, the reason is on the error output; 2: not understood."""
    parser = argparse.ArgumentParser(prog="python -m releasing.api", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--write", action="store_true", help="rewrite the report, for a release")
    what.add_argument("--released", action="store_true", help="refuse unless the report is that of these very sources")
    given = parser.parse_args(arguments)

    released, now = Report.committed(), Report.of_sources()
    for change in now.changes_since(released):
        print(change)
    if refusal := now.refusal(released):
        print(refusal, file=sys.stderr)
        return 1
    if given.released and now != released:
        print(f"{REPORT.name}: not the report of {now.version}; run `make api` and commit it", file=sys.stderr)
        return 1
    if given.write:
        now.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
