"""The ``[people.<name>]`` and ``[teams.<name>]`` sections: the one table from which every right of a person follows.

Users of the sign-in, IAM roles, access entries of the clusters and profiles of Kubeflow are derived from it, so that
the same person has the same name everywhere: the email address.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from config.clusters import PrincipalArn
from config.section import Section, key

Name = Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$")]
Email = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.+=-]+@([A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?\.)+[A-Za-z]{2,63}$")]

ClusterAccess = Literal["admin", "operator", "viewer"]

MOST_ROLES = 180
"""People with a role. Each is an output of the stack Identity, of which CloudFormation takes 200."""
MOST_RESOURCES = 400
"""Roles, users and memberships of the stack Identity. CloudFormation takes 500 resources; the others stay below 100.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
"""

_PLATFORM_NAMES = (
    "amazon",
    "aws",
    "cert-manager",
    "default",
    "emissary",
    "external-dns",
    "istio",
    "karpenter",
    "keda",
    "knative",
    "kserve",
    "kube",
    "kubeflow",
    "mlplatform",
    "monitoring",
    "seldon",
)
_PIPELINES_PREFIX = "pipelines"
"""Under which Pipelines keeps the specifications of all teams; what is under the name of a team belongs to the team."""


class Person(Section):
    """A user of the platform."""

    email: Email = key(
        "The person's name in Kubeflow, in the clusters and in their logs. Write it exactly as the identity "
        "provider does: comparison is case-sensitive."
    )
    cluster_access: ClusterAccess | None = key(
        "Permissions in every cluster: all; read all but secrets, drain nodes, restart and scale; read all but "
        "secrets. Default: the permissions of the person's teams in their namespaces.",
        default=None,
    )
    principal_arn: PrincipalArn | None = key(
        "IAM user (with a second factor) or role that is this person alone. "
        "Default: the person's session of IAM Identity Center if identity.center is set, otherwise no access to AWS.",
        default=None,
    )
    center_user: Annotated[str, Field(pattern=r"^[A-Za-z0-9_+=,.@-]{2,64}$")] | None = key(
        "User name in IAM Identity Center. Default: the email address.", default=None
    )


class Team(Section):
    """A workspace: a profile of Kubeflow, with the namespace of its name, and a group of the sign-in."""

    owner: str = key("Owner of the workspace, a name of [people].")
    members: tuple[str, ...] = key("Other members, names of [people].", default=())
    gpu_quota: Annotated[int, Field(ge=0)] = key("GPUs that its pods may request at the same time.", default=0)


@dataclass(frozen=True)
class Profile:
    """The Kubeflow profile of a team, with the names of people as used everywhere."""

    name: str
    owner: str
    members: tuple[str, ...]
    gpu_quota: int


def profiles(people: Mapping[str, Person], teams: Mapping[str, Team]) -> tuple[Profile, ...]:
    """The profiles of all teams, in the order of the account file."""
    return tuple(
        Profile(
            name=name,
            owner=people[team.owner].email,
            members=tuple(people[member].email for member in team.members),
            gpu_quota=team.gpu_quota,
        )
        for name, team in teams.items()
    )


def problems_of_people(people: Mapping[str, Person], *, center: bool) -> Iterator[str]:
    """What is wrong with the table of people, one line each.

    :param center: whether people come through IAM Identity Center.
    """
    first: dict[str, str] = {}
    principals: dict[str, str] = {}
    for name, person in people.items():
        other = first.setdefault(person.email.lower(), name)
        if other != name:
            yield f"{name}.email: {person.email} already belongs to {other}; a person has one entry"
        if person.principal_arn and (owner := principals.setdefault(person.principal_arn, name)) != name:
            yield f"{name}.principal_arn: {person.principal_arn} already belongs to {owner}; name another"
        if person.cluster_access and not person.principal_arn and not center:
            yield f"{name}.cluster_access: {name} has no identity in AWS; set {name}.principal_arn or [identity.center]"


def problems_of_teams(teams: Mapping[str, Team], people: Mapping[str, Person]) -> Iterator[str]:
    """What is wrong with the table of teams, one line each."""
    for name, team in teams.items():
        if any(f"{name}-".startswith(f"{taken}-") for taken in _PLATFORM_NAMES):
            yield f"{name}: reserved prefix of the platform's namespaces; choose another name"
        if name == _PIPELINES_PREFIX:
            yield f"{name}: reserved for what Pipelines itself keeps in the artifact bucket; choose another name"
        for place, person in (("owner", team.owner), *(("members", member) for member in team.members)):
            if person not in people:
                there = f"has {', '.join(people)}" if people else "is empty"
                yield f"{name}.{place}: {person!r} is not in [people], which {there}; add it there, or correct the name"
        if team.owner in team.members or len(set(team.members)) != len(team.members):
            yield f"{name}.members: has a duplicate; list each person once, without the owner"


def problems_of_size(
    people: Mapping[str, Person], teams: Mapping[str, Team], *, center: bool, invited: bool
) -> Iterator[str]:
    """Limits of CloudFormation that people and teams exceed, one line each.

    :param center: whether people use IAM Identity Center.
    :param invited: whether all people become native users.
    """
    roles = sum(center or person.principal_arn is not None for person in people.values())
    if roles > MOST_ROLES:
        yield (
            f"{roles} people get a role, CloudFormation takes {MOST_ROLES}; leave out people who only use Kubeflow, "
            "whom identity.cognito.allowed_email_domains admits"
        )
    memberships = sum(1 + len(team.members) for team in teams.values())
    resources = roles + (len(people) + memberships if invited else 0)
    if invited and resources > MOST_RESOURCES:
        yield (
            f"{roles} roles, {len(people)} users and {memberships} memberships are {resources} resources, the stack "
            f"takes {MOST_RESOURCES}; name a provider in identity.cognito.providers, which needs no users"
        )
