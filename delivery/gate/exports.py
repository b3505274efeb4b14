"""Judges exports that are removed or changed while a deployed stack still imports them.

CloudFormation refuses both, because the exporting stack is updated before the importing one:
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-stack-exports.html
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from delivery.gate.changes import Key
from delivery.gate.findings import Finding, Verdict
from delivery.gate.following import Replaced
from delivery.gate.specification import Replacement
from delivery.gate.templates import Resource, Side
from delivery.gate.values import references

_SETTINGS = (
    ("AWS::CertificateManager::", "network.domain"),
    ("AWS::Cognito::", "identity.cognito"),
    ("AWS::DirectoryService::", "identity.directory"),
    ("AWS::EC2::EIP", "network.nat"),
    ("AWS::EC2::NatGateway", "network.nat"),
    ("AWS::EC2::Subnet", "network.availability_zones"),
    ("AWS::EC2::VPC", "network.cidr"),
    ("AWS::EFS::", "storage"),
    ("AWS::EKS::Cluster", "clusters"),
    ("AWS::ElasticLoadBalancingV2::", "identity.load_balancer"),
    ("AWS::FSx::", "storage.lustre"),
    ("AWS::IAM::Role", "clusters"),
    ("AWS::KMS::", "removal_policy"),
    ("AWS::RDS::", "database"),
    ("AWS::Route53::", "network.domain"),
    ("AWS::S3::", "storage"),
)
"""Settings of the account file by the prefix of the resource types that they create."""
_REQUIRED = frozenset({"network.availability_zones", "network.cidr"})
"""Settings that no account file can leave out."""


def judge(
    before: Side,
    after: Side,
    replaced: Mapping[Key, Replaced],
    forgotten: Mapping[str, Mapping[str, Any]],
    ids: Mapping[str, str],
) -> Iterator[Finding]:
    """A finding for each export that makes the update of its stack fail, and for each replaced resource with exports.

    :param forgotten: deployed templates of stacks that are no longer part of the account, by name.
    :param ids: the ids of the stacks in the CDK CLI, by name.
    """
    users = _users(before, forgotten)
    changed: set[Key] = set()
    for name, (stack, value) in before.exports.items():
        if stack not in after.templates or not users.get(name):
            continue
        now = after.templates[stack].exports.get(name)
        if now == value:
            for key in after.targets(stack, value):
                if key in replaced and replaced[key].certainty == Replacement.YES and key not in changed:
                    changed.add(key)
                    what = f"{after.by_key[key].path} is replaced, so that its exports change"
                    cause = _setting([_cause(replaced[key], replaced)])
                    why = _advice(users[name], ids, cause, is_removed=False)
                    yield Finding(stack, f"export {name}", name, "export", Verdict.FAILING, what, why, stops=True)
        else:
            what = "removed" if now is None else f"{value} -> {now}"
            setting = _setting(before.by_key[key] for key in before.targets(stack, value))
            why = _advice(users[name], ids, setting, is_removed=now is None)
            yield Finding(stack, f"export {name}", name, "export", Verdict.FAILING, what, why, stops=True)


def _cause(one: Replaced, replaced: Mapping[Key, Replaced]) -> Resource:
    """The resource whose own change replaces another one, from one to the next."""
    while one.follows and one.follows.key in replaced:
        one = replaced[one.follows.key]
    return one.resource


def _advice(users: set[str], ids: Mapping[str, str], setting: str, *, is_removed: bool) -> str:
    """Why CloudFormation refuses the change, and the order of deployments that works."""
    why = (
        f"CloudFormation refuses it, because {', '.join(sorted(users))} still {'uses' if len(users) == 1 else 'use'} it"
    )
    gone = sorted(one for one in users if one not in ids)
    if gone:
        return f"{why}; {', '.join(gone)} is no longer part of the account: destroy it first, then deploy"
    if setting in _REQUIRED and not is_removed:
        return (
            f"{why}; keep {setting}, because what is in a network cannot move to another one: destroy the platform and "
            "deploy it again, or deploy another account file"
        )
    first = f"cdk deploy --exclusively {' '.join(ids[one] for one in sorted(users))}"
    if is_removed:
        return f"{why}; with the account file as it is now, run `{first}`, then deploy everything"
    return (
        f"{why}; remove {setting} from the account file, run `{first}`, then deploy everything; then set "
        f"{setting} to the new value and deploy everything again"
    )


def _setting(exported: Iterable[Resource]) -> str:
    """The setting of the account file that creates the exported resource."""
    for one in exported:
        for start, setting in _SETTINGS:
            if one.type.startswith(start):
                return setting
    return "the setting"


def _users(before: Side, forgotten: Mapping[str, Mapping[str, Any]]) -> dict[str, set[str]]:
    """The importing stacks by export."""
    found: dict[str, set[str]] = {}
    for resource in before.resources():
        for reference in references(list(resource.properties.values())):
            if reference.startswith("import:"):
                found.setdefault(reference.removeprefix("import:"), set()).add(resource.stack)
    for stack, template in forgotten.items():
        for name in _imports(template):
            found.setdefault(name, set()).add(stack)
    return found


def _imports(value: Any) -> Iterator[str]:
    """Names of exports anywhere inside a template."""
    if isinstance(value, dict):
        if isinstance(value.get("Fn::ImportValue"), str):
            yield value["Fn::ImportValue"]
        for item in value.values():
            yield from _imports(item)
    elif isinstance(value, list):
        for item in value:
            yield from _imports(item)
