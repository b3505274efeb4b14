"""``python -m delivery.bootstrap``: the commands that prepare every account and region for deployments.

Prints them ready to paste, the tools account first, and runs none: each needs an administrator of its own account. The
environments are those of the templates in ``cdk.out``, so that no region is forgotten: a replica's, that of
certificates, and those to which the pipeline copies its artifacts. The roles that services keep for themselves come
with them: in a new account, a first use that makes its own can come too early for it, and fail.
"""

import argparse
import itertools
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from config.delivery import DELIVERY, REHEARSAL, TOOLS, Delivery, load_delivery
from config.loader import ConfigError
from delivery.assembly import ASSEMBLY, Stack, read_assembly
from delivery.errors import DeliveryError

_SERVICES = {
    "AWS::AutoScaling::AutoScalingGroup": ("autoscaling",),
    "AWS::EFS::FileSystem": ("elasticfilesystem",),
    "AWS::EKS::Cluster": ("eks", "elasticloadbalancing"),  # for its Ingresses and Services
    "AWS::EKS::Nodegroup": ("autoscaling", "eks-nodegroup"),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": ("elasticloadbalancing",),
    "AWS::FSx::FileSystem": ("fsx",),
    "AWS::RDS::DBInstance": ("rds",),
}
"""Type of a resource to the services that need a role of their own for it."""


@dataclass(frozen=True, order=True)
class Target:
    """An account and region that stacks are deployed to.

    :param names: the stages that deploy there.
    """

    account: str
    region: str
    names: tuple[str, ...]


def targets(stacks: Sequence[Stack], delivery: Delivery | None) -> list[Target]:
    """Where stacks go, the tools account first. The rehearsal's account needs nothing."""
    names: dict[tuple[str, str], set[str]] = {}
    for stack in _on_aws(stacks):
        stage, inside, _ = stack.id.partition("/")
        names.setdefault((stack.account, stack.region), set()).add(stage if inside else "pipeline")
    found = [Target(account, region, tuple(sorted(who))) for (account, region), who in names.items()]
    return sorted(found, key=lambda target: (delivery is None or target.account != delivery.account, target))


def _on_aws(stacks: Sequence[Stack]) -> Iterator[Stack]:
    return (stack for stack in stacks if not stack.id.startswith(f"{REHEARSAL}/"))


def services(stacks: Iterable[Stack]) -> list[str]:
    """The services whose service-linked role these stacks need.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_aws-services-that-work-with-iam.html
    """
    found: set[str] = set()
    for stack in stacks:
        for resource in stack.resources(*_SERVICES).values():
            found.update(_SERVICES[resource["Type"]])
            if resource.get("Properties", {}).get("CapacityType") == "SPOT":
                found.add("spot")
    return [f"{name}.amazonaws.com" for name in sorted(found)]


def command(target: Target, delivery: Delivery | None) -> list[str]:
    """Prepare one environment. An account that the pipeline deploys to trusts the tools account, and no other."""
    arguments = ["cdk", "bootstrap", f"aws://{target.account}/{target.region}", "--termination-protection"]
    delivered = delivery and {*delivery.accounts, TOOLS}.intersection(target.names)
    if delivery and delivered and target.account != delivery.account:
        arguments += ["--trust", delivery.account, "--trust-for-lookup", delivery.account]
    if delivery:
        arguments += ["--cloudformation-execution-policies", ",".join(delivery.execution_policies)]
    if delivery and delivery.permissions_boundary:
        arguments += ["--custom-permissions-boundary", delivery.permissions_boundary]
    return arguments


def script(stacks: Sequence[Stack], delivery: Delivery | None) -> Iterator[str]:
    """The lines to paste."""
    for account, group in itertools.groupby(targets(stacks, delivery), key=lambda target: target.account):
        environments = list(group)
        tools = "the tools account, " if delivery and account == delivery.account else ""
        names = sorted({name for target in environments for name in target.names})
        yield f"# As an administrator of {tools}{account} ({', '.join(names)}):"
        yield from (shlex.join(command(target, delivery)) for target in environments)
        if named := services(stack for stack in _on_aws(stacks) if stack.account == account):
            yield '# What ends with "has been taken in this account" is there already:'
            yield from (f"aws iam create-service-linked-role --aws-service-name {service}" for service in named)
    if delivery:
        yield f"# Then, once, as an administrator of the tools account, {delivery.account}:"
        yield "cdk deploy Pipeline"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m delivery.bootstrap", description=__doc__)
    parser.add_argument("--assembly", type=Path, default=ASSEMBLY, help="folder of the templates; default: cdk.out")
    options = parser.parse_args(arguments)
    try:
        delivery = load_delivery() if DELIVERY.exists() else None
        print("\n".join(script(read_assembly(options.assembly), delivery)))
    except (ConfigError, DeliveryError) as error:
        print(f"bootstrap: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
