"""``python -m delivery.gate ACCOUNT``: judges the changes of a deployment."""

import argparse
import datetime
import sys
from pathlib import Path

from config.approvals import load_approvals
from config.loader import ConfigError
from delivery.assembly import Stack, stacks_of
from delivery.errors import DeliveryError
from delivery.gate import deployed
from delivery.gate.approved import decide
from delivery.gate.judgement import Judgement, judge
from delivery.gate.report import report
from delivery.sessions import Reader
from delivery.synthesis import synthesized


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        with synthesized(options.account, options.assembly or options.after) as assembly:
            judgement = _judgement(stacks_of(options.account, assembly), options)
        decision = decide(options.account, judgement.findings, load_approvals(), datetime.date.today())
    except (ConfigError, DeliveryError) as error:
        print(error, file=sys.stderr)
        return 1
    print(report(options.account, judgement, decision))
    return 1 if decision.stopped and not options.report else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m delivery.gate",
        description="Compare the deployed templates of an account with those to be deployed, and judge each change. "
        "Exit with 1 if one loses data, replaces a resource with data or a fixed name, widens access, is refused "
        "by AWS, or is unknown, and config/approvals.toml does not approve it.",
    )
    parser.add_argument("account", help="account file whose stage is judged")
    parser.add_argument("--assembly", type=Path, help="cloud assembly to deploy; default: synthesize it")
    parser.add_argument("--before", type=Path, help="compare with this assembly instead of the deployed templates")
    parser.add_argument("--after", type=Path, help="alias of --assembly, for use with --before")
    parser.add_argument("--report", action="store_true", help="report only: always exit with 0")
    return parser


def _judgement(stacks: tuple[Stack, ...], options: argparse.Namespace) -> Judgement:
    if options.before:
        places = {(stack.name, stack.region) for stack in stacks}
        deployed_then = stacks_of(options.account, options.before)
        gone = [stack for stack in deployed_then if (stack.name, stack.region) not in places]
        return judge(
            stacks,
            {stack.name: stack.template for stack in deployed_then if stack not in gone},
            forgotten={deployed.name_for_cli(stack.name, stack.region, stacks[0]): stack.template for stack in gone},
        )
    reader = Reader()
    old_templates = deployed.templates(stacks, reader)
    return judge(stacks, old_templates, forgotten=deployed.forgotten(options.account, stacks, reader))


if __name__ == "__main__":
    sys.exit(main())
