"""``python -m delivery.bootstrap``: the commands that prepare every account and region for deployments.

Prints the commands, the tools account first, and runs none of them, because each account needs its own administrator.
The environments are those of the templates in ``cdk.out``, which include the Regions of replicas, of certificates, and
of the pipeline's artifact buckets. The commands also create service-linked roles: in a new account, a service that
creates its role on first use may not find it in time, and fails.

With ``--policies FOLDER`` it also writes, for each account, the least-privilege policies of the execution role, and
prints the commands that create them and the option that uses them in place of ``AdministratorAccess``.
"""

import argparse
import itertools
import json
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from config.delivery import DELIVERY, REHEARSAL, TOOLS, Delivery, load_delivery
from config.loader import ConfigError
from delivery.assembly import ASSEMBLY, Stack, read_assembly
from delivery.errors import DeliveryError
from delivery.execution_policy import NAME, Execution

_SERVICES = {
    "AWS::AutoScaling::AutoScalingGroup": ("autoscaling",),
    "AWS::EFS::FileSystem": ("elasticfilesystem",),
    "AWS::EKS::Cluster": ("eks", "elasticloadbalancing"),  # for its Ingresses and Services
    "AWS::EKS::Nodegroup": ("autoscaling", "eks-nodegroup"),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": ("elasticloadbalancing",),
    "AWS::EMR::SecurityConfiguration": ("elasticmapreduce", "spot"),  # for the clusters that pipelines create
    "AWS::EMRServerless::Application": ("ops.emr-serverless",),
    "AWS::FSx::FileSystem": ("fsx",),
    "AWS::MWAA::Environment": ("airflow",),
    "AWS::RDS::DBInstance": ("rds",),
}
"""The services that need a service-linked role, by resource type."""


@dataclass(frozen=True, order=True)
class Target:
    """An account and Region to which stacks are deployed.

    :param names: the stages that deploy there.
    """

    account: str
    region: str
    names: tuple[str, ...]


def targets(stacks: Sequence[Stack], delivery: Delivery | None) -> list[Target]:
    """The environments of the stacks, the tools account first, without the rehearsal's account."""
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
    """The command for one environment. An account that the pipeline deploys to trusts only the tools account."""
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
    """The lines to print."""
    for account, group in itertools.groupby(targets(stacks, delivery), key=lambda target: target.account):
        environments = list(group)
        tools = "the tools account, " if delivery and account == delivery.account else ""
        names = sorted({name for target in environments for name in target.names})
        yield f"# As an administrator of {tools}{account} ({', '.join(names)}):"
        yield from (shlex.join(command(target, delivery)) for target in environments)
        if named := services(stack for stack in _on_aws(stacks) if stack.account == account):
            yield '# Ignore an error "has been taken in this account": the role already exists.'
            yield from (f"aws iam create-service-linked-role --aws-service-name {service}" for service in named)
    if delivery:
        yield f"# Then, once, as an administrator of the tools account, {delivery.account}:"
        yield "cdk deploy Pipeline"


def role_prefixes(stacks: Iterable[Stack]) -> list[str]:
    """The prefixes of the names of the stacks' roles, including their paths.

    CloudFormation's own names begin with that of the stack, as much of it as fits:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-name.html
    """
    found = set()
    for stack in stacks:
        stage, inside, _ = stack.id.partition("/")
        found.add(f"{stage}-" if inside else stack.name[:24])
        for role in stack.resources("AWS::IAM::Role").values():
            properties = role.get("Properties", {})
            path, name = properties.get("Path", "/").lstrip("/"), properties.get("RoleName")
            if path or isinstance(name, str):
                found.add(path or name)
    return sorted(found)


def policies(stacks: Sequence[Stack], folder: Path, delivery: Delivery | None) -> Iterator[str]:
    """Write each account's execution policies into a folder, and print the commands that create and use them."""
    execution = Execution.load()
    folder.mkdir(parents=True, exist_ok=True)
    names: list[str] = []
    for account in dict.fromkeys(target.account for target in targets(stacks, delivery)):
        mine = [stack for stack in _on_aws(stacks) if stack.account == account]
        yield f"# As an administrator of {account}, before it is bootstrapped:"
        names = []
        for number, document in enumerate(execution.documents(account, role_prefixes(mine)), start=1):
            names.append(f"{NAME}-{number}")
            file = folder / f"{account}-{names[-1]}.json"
            file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
            yield (
                shlex.join(["aws", "iam", "create-policy", "--policy-name", names[-1]])
                + f" --policy-document file://{file}"
            )
        arns = ",".join(f"arn:aws:iam::{account}:policy/{name}" for name in names)
        yield f"# cdk bootstrap ... --cloudformation-execution-policies {arns}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m delivery.bootstrap", description=__doc__)
    parser.add_argument("--assembly", type=Path, default=ASSEMBLY, help="folder of the templates; default: cdk.out")
    parser.add_argument("--policies", type=Path, help="folder for the policies of the execution role; default: none")
    options = parser.parse_args(arguments)
    try:
        delivery = load_delivery() if DELIVERY.exists() else None
        stacks = read_assembly(options.assembly)
        if options.policies:
            print("\n".join(policies(stacks, options.policies, delivery)))
        print("\n".join(script(stacks, delivery)))
    except (ConfigError, DeliveryError) as error:
        print(f"bootstrap: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
