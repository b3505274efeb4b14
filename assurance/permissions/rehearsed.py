"""The calls of roles in a rehearsal, under names that are the same in every account and every run.

``data/rehearsed_calls.json`` is the record of rehearsals of ``config/accounts/local.toml``. `make rehearse` writes the
calls of its run into the folder of the run. ``python -m assurance.permissions.rehearsed FILE`` records those of its
roles.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from assurance.permissions.filler import Filler
from assurance.permissions.needs import Need, Table, by_way_of
from assurance.permissions.physical import KINDS
from assurance.permissions.world import World
from delivery.assembly import Stack

FILE = Path(__file__).with_name("data") / "rehearsed_calls.json"
ACCOUNT = "local"
"""The account file whose rehearsal is recorded."""
_SOURCE = "a rehearsal: docs/rehearsal.md"
_RUN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""The id of one run of a job, in names of its files."""
_PIPELINE = "Pipeline/"
"""Roles of the rehearsed delivery, which empties its buckets at the end by roles of its own. A real one keeps them."""
_MOST_RESOURCES = 3
"""Kept of each action: the rest would prove nothing more about a policy."""


@dataclass(frozen=True, order=True)
class Call:
    """A call of a role.

    :param role: construct path below the stage.
    :param resource: an ARN; ``{construct/path}`` stands for that of a resource of the templates.
    """

    role: str
    action: str
    resource: str
    context: tuple[tuple[str, str], ...] = ()


def calls(
    stacks: Sequence[Stack], physical: Iterable[Sequence[str]], allowed: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> list[Call]:
    """The calls of a run.

    :param physical: stack, logical id and physical id of every resource.
    :param allowed: role's ARN to action to resource to context, as reported by the emulator.
    """
    names = Names(stacks, physical)
    found: set[Call] = set()
    for arn, actions in allowed.items():
        role = names.role(arn)
        if not role:
            continue
        for action, resources in actions.items():
            general = sorted(
                (
                    names.general(one),
                    tuple(sorted((key, _RUN.sub("any", names.general(value))) for key, value in context.items())),
                )
                for one, context in resources.items()
            )
            known = [one for one in general if _is_general(one[0])]
            found |= {Call(role, action, *one) for one in known[:_MOST_RESOURCES]}
    return sorted(found)


def _is_general(resource: str) -> bool:
    """Whether a resource has the same name in every run and every account."""
    if _RUN.search(resource):
        return False
    return resource.startswith(("{", "*")) or "{cluster}" in resource or ":parameter/aws/service/" in resource


def _arn_of(type: str, name: str) -> str:
    """A regular expression for the ARNs of a resource, from its physical id, which may be the ARN itself."""
    if name.startswith("arn:") or type not in KINDS:
        return re.escape(name) if name.startswith("arn:") else rf"arn:[^/]*[:/]{re.escape(name)}"
    parts = {"{r}": "[^:]*", "{a}": r"\d*", "{path}": "/.*", "{hash}": "[^/]+", "{name}": re.escape(name)}
    pattern = re.escape(KINDS[type].arn.removesuffix(":*"))
    for part, expression in parts.items():
        pattern = pattern.replace(re.escape(part), expression)
    return pattern


class Names:
    """Construct paths of the resources of a run."""

    def __init__(self, stacks: Sequence[Stack], physical: Iterable[Sequence[str]]) -> None:
        by_name = {stack.name: stack for stack in stacks}
        self._paths: dict[str, str] = {}
        self._clusters: set[str] = set()
        found: list[tuple[str, str, str]] = []
        for stack_name, id, name in physical:
            stack = by_name.get(stack_name)
            if stack and len(name) > 3:
                name = name.rpartition("/")[2] if "://" in name else name  # a queue's URL
                path = f"{stack.id.partition('/')[2] or stack.id}/{stack.paths.get(id, id)}"
                type = stack.template["Resources"].get(id, {}).get("Type", "")
                self._paths[name] = path
                found.append((name, type, path))
                if type == "AWS::EKS::Cluster":
                    self._clusters.add(name)
        self._known = [
            (re.compile(rf"{_arn_of(type, name)}(?=$|[:/])"), path)
            for name, type, path in sorted(found, key=lambda one: len(one[0]), reverse=True)
        ]

    def role(self, arn: str) -> str:
        """Construct path of a role. Empty if no template contains it."""
        return self._paths.get(arn.rpartition("/")[2], "")

    def general(self, text: str) -> str:
        """An ARN whose resource is written by its construct path."""
        for pattern, path in self._known:
            if match := pattern.match(text):
                return f"{{{path}}}{text[match.end() :]}"
        for name in self._clusters:
            text = re.sub(rf"(?<=/){re.escape(name)}(?=/|$)", "{cluster}", text)
        parts = text.split(":", 5)
        if len(parts) == 6 and parts[0] == "arn":
            parts[3:5] = "{region}" if parts[3] else "", "{account}" if parts[4].isdigit() else parts[4]
        return ":".join(parts)


def save(found: Iterable[Call], file: Path = FILE) -> None:
    """Write a record."""
    lines = [json.dumps([one.role, one.action, one.resource, dict(one.context)]) for one in sorted(found)]
    file.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


@cache
def load(file: Path = FILE) -> tuple[Call, ...]:
    """Read a record."""
    found = json.loads(file.read_text(encoding="utf-8"))
    return tuple(Call(role, action, resource, tuple(context.items())) for role, action, resource, context in found)


def differences(
    world: World, made: Iterable[Call], recorded: Iterable[Call] | None = None, *, whole: bool = True
) -> Iterator[str]:
    """Calls of a run that the record lacks, and recorded calls that the run did not make, by role and action.

    Calls of pods are excluded because they happen on real nodes only.

    :param whole: whether the run was of all stacks. Otherwise, only the roles of its calls are compared.
    """
    pods = {world.get(one, "RoleArn") for one in world.resources("AWS::EKS::PodIdentityAssociation")}
    paths = {world.roles[arn].path for arn in pods}
    now, before = (
        {(call.role, call.action) for call in calls if call.role not in paths}
        for calls in (made, load() if recorded is None else recorded)
    )
    roles = {role for role, _ in now}
    unknown = {(role, action) for role, action in now - before if not role.startswith(_PIPELINE)}
    yield from (f"{role}: {action}: not recorded" for role, action in sorted(unknown))
    gone = {(role, action) for role, action in before - now if whole or role in roles}
    yield from (f"{role}: {action}: recorded, but no longer made" for role, action in sorted(gone))


def merged(recorded: Iterable[Call], made: Iterable[Call]) -> list[Call]:
    """A record in which the calls of a run replace former calls of the same roles, without those of the pipeline."""
    new = [call for call in made if not call.role.startswith(_PIPELINE)]
    roles = {call.role for call in new}
    return sorted([*new, *(call for call in recorded if call.role not in roles)])


def needs(world: World, recorded: Iterable[Call] | None = None) -> Iterator[Need]:
    """The needs of recorded calls in each account, including the use of keys."""
    for call in load() if recorded is None else recorded:
        for role in world.by_path.get(call.role, ()):
            filler = Filler(world, role)
            table = Table(world, role.path, role.account, role.region, _SOURCE)
            context = {key: filler.text(value) for key, value in call.context}
            for resource in filler.resources(call.resource):
                for need in table.use(role.arn, call.action, resource, context=context):
                    yield need
                    yield from by_way_of(world, need)


if __name__ == "__main__":
    save(merged(load(), load(Path(sys.argv[1]))))
    load.cache_clear()
    print(f"{FILE}: {len(load())} calls")
