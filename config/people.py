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

_PLATFORM_NAMES = (
    "cert-manager",
    "default",
    "istio",
    "knative",
    "kserve",
    "kube",
    "kubeflow",
    "mlplatform",
    "monitoring",
)


class Person(Section):
    """Somebody who works with the platform."""

    email: Email = key(
        "The person's name in Kubeflow, in the clusters and in their logs. Write it letter by letter as the identity "
        "provider does: names are compared, capitals included."
    )
    cluster_access: ClusterAccess | None = key(
        "What the person may do in every cluster: everything; see all but secrets, drain nodes, restart and scale; see "
        "all but secrets. Default: what the person's teams may do in their namespaces.",
        default=None,
    )
    principal_arn: PrincipalArn | None = key(
        "IAM user (with a second factor) or role that is this person alone. "
        "Default: the person's session of IAM Identity Center, where identity.center is set; else no way into AWS.",
        default=None,
    )
    center_user: Annotated[str, Field(pattern=r"^[\w+=,.@-]{2,64}$")] | None = key(
        "User name in IAM Identity Center. Default: the email address.", default=None
    )


class Team(Section):
    """A workspace: a profile of Kubeflow, with the namespace of its name, and a group of the sign-in."""

    owner: str = key("Who decides in it, a name of [people].")
    members: tuple[str, ...] = key("Who else works in it, names of [people].", default=())
    gpu_quota: Annotated[int, Field(ge=0)] = key("GPUs that its pods may ask for at the same time.", default=0)


@dataclass(frozen=True)
class Profile:
    """What Kubeflow is told of a team; people are named as everywhere."""

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
    for name, person in people.items():
        other = first.setdefault(person.email.lower(), name)
        if other != name:
            yield f"{name}.email: {person.email} is {other}'s already; a person has one entry"
        if person.cluster_access and not person.principal_arn and not center:
            yield f"{name}.cluster_access: nobody can be {name} in AWS; set {name}.principal_arn or [identity.center]"


def problems_of_teams(teams: Mapping[str, Team], people: Mapping[str, Person]) -> Iterator[str]:
    """What is wrong with the table of teams, one line each."""
    for name, team in teams.items():
        if any(f"{name}-".startswith(f"{taken}-") for taken in _PLATFORM_NAMES):
            yield f"{name}: namespaces of the platform begin like this; choose another name"
        for place, person in (("owner", team.owner), *(("members", member) for member in team.members)):
            if person not in people:
                there = ", ".join(people) or "nobody"
                yield f"{name}.{place}: {person!r} is not in [people]; there is {there}"
        if team.owner in team.members or len(set(team.members)) != len(team.members):
            yield f"{name}.members: somebody is named twice; name each once, without the owner"
