"""Teams, their members, and the steps that lead to a team's data.

A team's data are its folder in each bucket of the platform, its access points of the shared file system, its folder of
the Lustre file system, and the objects of its namespace. Features, models and the tables of the feature store are
shared by all teams.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from assurance.permissions.roles import Role
from assurance.permissions.steps import Step, about_action, may, node_of
from assurance.permissions.world import World
from config.schema import Account
from delivery.gate.templates import Resource

DATA = "data:"
_GROUP = r"(?:Teams?|Workspaces?|Tenants?)/"
_OF_TEAM = re.compile(rf"(?:^|/){_GROUP}(?!{_GROUP})([^/]+)")
"""Where construct paths name any team that a role belongs to, as in ``Workspaces/Teams/<team>/Role``. Teams of the
account file are recognized anywhere in a path, as in ``TrainingKubeflowTeams/Roles/<team>``."""
_PERSON = re.compile(r"Identity/People/([^/]+)")
_OBJECTS = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject")
_FILES = ("ClientMount", "ClientWrite", "ClientRootAccess", "CreateAccessPoint", "PutFileSystemPolicy")
_LUSTRE = ("CreateDataRepositoryTask", "CreateDataRepositoryAssociation", "CreateBackup")
_POINT = "elasticfilesystem:accesspointarn"


@dataclass(frozen=True)
class Tenants:
    """The teams of accounts.

    :param members: people of each team, by account number.
    """

    members: Mapping[str, Mapping[str, frozenset[str]]] = field(default_factory=dict)

    @classmethod
    def of(cls, accounts: Iterable[Account]) -> "Tenants":
        """The teams of account files."""
        return cls(
            {
                account.account: {
                    name: frozenset((*([team.owner] if team.owner else []), *team.members))
                    for name, team in account.teams.items()
                }
                for account in accounts
            }
        )

    def teams(self, account: str) -> tuple[str, ...]:
        """Names of the teams of an account."""
        return tuple(self.members.get(account, {}))

    def of_role(self, role: Role) -> frozenset[str]:
        """The teams that a role belongs to, by the person or the team in its path. None for the platform's own."""
        teams = self.members.get(role.account, {})
        if person := _PERSON.fullmatch(role.path):
            return frozenset(name for name, members in teams.items() if person.group(1) in members)
        if found := _OF_TEAM.search(role.path):
            return frozenset({found.group(1)})
        return frozenset(teams.keys() & role.path.split("/"))


def data_of(account: str, team: str) -> str:
    """The node of a team's data."""
    return f"{DATA}{account}/{team}"


def steps(world: World, tenants: Tenants) -> Iterator[Step]:
    """Steps from each role to the data of each team that it reaches with AWS API calls."""
    for role in world.roles.values():
        for team in tenants.teams(role.account):
            for kind, by in _ways(world, role, team):
                yield Step(node_of(role), data_of(role.account, team), kind, by)


def _ways(world: World, role: Role, team: str) -> Iterator[tuple[str, str]]:
    for bucket in _mine(world, role, "AWS::S3::Bucket"):
        for action in _OBJECTS:
            if may(role, action, f"{world.arn(bucket)}/{team}/*"):
                yield "prefix", f"{action} of {world.path(bucket)} below {team}/"
    for system in _mine(world, role, "AWS::EFS::FileSystem"):
        for name in _FILES:
            own = _limited_to_points(role, action := f"elasticfilesystem:{name}")
            if not own and may(role, action, world.arn(system)):
                yield "access point", f"{action} of {world.path(system)} by any access point"
    for system in _mine(world, role, "AWS::FSx::FileSystem"):
        for name in _LUSTRE:
            if may(role, action := f"fsx:{name}", world.arn(system)):
                yield "lustre", f"{action} of {world.path(system)}"


def _limited_to_points(role: Role, action: str) -> bool:
    """Whether a role reaches a file system only through access points that its statements name in full."""
    about = [one for one in about_action(role, action) if one.allows]
    return bool(about) and all(
        any(key == _POINT and not any("*" in value for value in values) for _, key, values in one.conditions)
        for one in about
    )


def _mine(world: World, role: Role, type: str) -> Iterator[Resource]:
    return (each for each in world.resources(type) if world.place(each).account == role.account)
