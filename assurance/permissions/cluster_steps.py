"""Escalation steps inside clusters: from roles to Kubernetes subjects, from subjects to the workloads that they can
change, and from workloads to the roles of their service accounts.

https://kubernetes.io/docs/concepts/security/rbac-good-practices/#privilege-escalation-risks
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assurance.permissions.steps import Step, may, node_of
from assurance.permissions.tenants import Tenants, data_of
from assurance.permissions.world import World
from delivery.gate import kubernetes, rbac
from delivery.gate.access import subjects
from delivery.gate.templates import Resource

SUBJECT = "subject:"
_ADMIN = "cluster-admin"
_WORKLOADS = (
    "pods",
    "replicationcontrollers",
    "daemonsets.apps",
    "deployments.apps",
    "replicasets.apps",
    "statefulsets.apps",
    "cronjobs.batch",
    "jobs.batch",
)
_WRITES = ("create", "update", "patch", "*")
_ANY = "*"
_ACCESS_POLICIES = {
    "AmazonEKSClusterAdminPolicy": _ADMIN,
    "AmazonEKSAdminPolicy": "workloads",
    "AmazonEKSEditPolicy": "workloads",
}
"""EKS access policies that can change workloads; the others read.
https://docs.aws.amazon.com/eks/latest/userguide/access-policy-permissions.html"""


@dataclass(frozen=True)
class Cluster:
    """One cluster: access entries, objects, roles of its service accounts, and the teams whose data it holds."""

    name: str
    roles: Mapping[tuple[str, str], str]
    objects: Sequence[Mapping[str, Any]]
    teams: Mapping[str, str]

    def subject(self, name: str) -> str:
        return f"{SUBJECT}{self.name} {name}"

    def account(self, namespace: str, name: str) -> str:
        return self.subject(f"ServiceAccount {namespace} {name}")

    def within(self, scope: str) -> Iterator[tuple[str, str]]:
        """Service accounts with roles in a namespace, or everywhere."""
        return (key for key in self.roles if scope in (_ANY, key[0]))


def steps(world: World, tenants: Tenants) -> Iterator[Step]:
    """Every step of every cluster."""
    for resource, cluster in _clusters(world, tenants):
        yield from _of_service_accounts(cluster)
        yield from _entries(world, resource, cluster)
        yield from _of_subjects(cluster)
        yield from _of_nodes(world, resource, cluster)


def images(world: World) -> Iterator[tuple[str, str, str]]:
    """Images of workloads, each with the subject that it runs as and a description."""
    for _, cluster in _clusters(world, Tenants()):
        for one in cluster.objects:
            namespace = one["metadata"].get("namespace", "default")
            for pod in _pods(one):
                account = pod.get("serviceAccountName", "default")
                for container in (*pod["containers"], *pod.get("initContainers", ())):
                    by = f"{one['kind']} {namespace}/{one['metadata']['name']}"
                    yield str(container.get("image", "")), cluster.account(namespace, account), by


def teams_of(subject: str, tenants: Tenants) -> frozenset[str]:
    """The teams that a subject belongs to: a service account of a team's namespace, or a group of its name."""
    cluster, _, name = subject.removeprefix(SUBJECT).partition(" ")
    kind, *rest = name.split(" ")
    own = rest[0] if rest and kind in ("ServiceAccount", "Group") else ""
    return frozenset({own} & set(tenants.teams(cluster.split(":")[4])))


def _clusters(world: World, tenants: Tenants) -> Iterator[tuple[Resource, Cluster]]:
    delivered = kubernetes.objects(world.side)
    for resource in world.resources("AWS::EKS::Cluster"):
        token = f"«{resource.stack}/{resource.id}»"
        objects = [one.body for (cluster, _), one in delivered.items() if cluster == token]
        account = world.place(resource).account
        teams = {team: data_of(account, team) for team in tenants.teams(account)}
        yield resource, Cluster(world.arn(resource), dict(_roles(world, resource)), objects, teams)


def _pods(value: Any) -> Iterator[Mapping[str, Any]]:
    """Pod specifications anywhere inside an object."""
    if isinstance(value, dict):
        if isinstance(value.get("containers"), list):
            yield value
        for item in value.values():
            yield from _pods(item)
    elif isinstance(value, list):
        for item in value:
            yield from _pods(item)


def _roles(world: World, resource: Resource) -> Iterator[tuple[tuple[str, str], str]]:
    """Roles of service accounts, by Pod Identity and by trust in the cluster's issuer."""
    name = world.arn(resource).rpartition("/")[2]
    for one in world.resources("AWS::EKS::PodIdentityAssociation"):
        if world.get(one, "ClusterName") == name and world.place(one) == world.place(resource):
            yield (world.get(one, "Namespace"), world.get(one, "ServiceAccount")), world.get(one, "RoleArn")
    subject = f"{world.issuer(resource)}:sub".lower()
    for role in world.roles.values():
        for trusted in role.trust:
            for _, key, values in trusted.conditions:
                for value in values if key == subject else ():
                    _, _, namespace, account = value.split(":")
                    yield (namespace, account), role.arn


def _of_service_accounts(cluster: Cluster) -> Iterator[Step]:
    for (namespace, name), role in cluster.roles.items():
        yield Step(cluster.account(namespace, name), role, "pod", "the role of its service account")


def _entries(world: World, resource: Resource, cluster: Cluster) -> Iterator[Step]:
    token = f"«{resource.stack}/{resource.id}»"
    for (name, _), subject in subjects(world.side).items():
        if not (name.startswith("access of ") and name.endswith(f" to {token}") and subject.own):
            continue
        role = world.get(subject.own, "PrincipalArn")
        for one in sorted(subject.names):
            if one.startswith("is in group "):
                group = one.removeprefix("is in group ")
                yield Step(role, cluster.subject(f"Group {group}"), "entry", f"access entry in group {group}")
        for statement in subject.statements:
            policy = statement.actions.patterns[0].rpartition("/")[2]
            scope = statement.resources.patterns[0]
            if _ACCESS_POLICIES.get(policy) == _ADMIN and scope == _ANY:
                yield Step(role, cluster.subject(_ADMIN), "entry", f"access entry with {policy}")
            elif policy in _ACCESS_POLICIES:
                yield from _changes(cluster, role, scope, f"access entry with {policy}", kind="entry")
    for own in world.roles.values():
        for action in ("eks:CreateAccessEntry", "eks:AssociateAccessPolicy", "eks:UpdateAccessEntry"):
            if own.account == world.place(resource).account and may(own, action, world.arn(resource)):
                yield Step(node_of(own), cluster.subject(_ADMIN), "access entry", action)


def _of_subjects(cluster: Cluster) -> Iterator[Step]:
    yield from _changes(cluster, cluster.subject(_ADMIN), _ANY, "it may change everything", kind="workload")
    kinds = ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
    for name, permissions in rbac.permissions([one for one in cluster.objects if one["kind"] in kinds]).items():
        subject = cluster.subject(name)
        for one in permissions:
            if _makes_administrator(one):
                yield Step(subject, cluster.subject(_ADMIN), "rbac", str(one))
            elif _changes_workloads(one):
                yield from _changes(cluster, subject, one.scope, str(one), kind="workload")
            for team, data in cluster.teams.items():
                if one.scope in (_ANY, team) and (_reads_secrets(one) or _takes_volumes(one)):
                    yield Step(subject, data, "volume" if _takes_volumes(one) else "secret", str(one))


def _makes_administrator(one: rbac.Permission) -> bool:
    """Whether a permission can be used to gain further permissions."""
    resource = one.resource.partition(".")[0]
    return (
        (one.verb == "*" and one.resource == "*.*")
        or one.verb in ("escalate", "bind", "impersonate")
        or (one.verb in _WRITES and resource in ("clusterroles", "clusterrolebindings") and not one.names)
        or (one.verb == "use all of" and one.resource == "role cluster-admin")
        or (one.verb in _WRITES and resource in ("mutatingwebhookconfigurations",) and not one.names)
    )


def _changes_workloads(one: rbac.Permission) -> bool:
    if one.verb == "use all of":
        return one.resource in ("role admin", "role edit")
    if one.verb in ("create", "get", "*") and one.resource in ("pods/exec", "serviceaccounts/token"):
        return one.verb != "get" or one.resource == "pods/exec"
    return one.verb in _WRITES and one.resource in (*_WORKLOADS, "*", "*.apps", "*.batch", "*.*") and not one.names


def _reads_secrets(one: rbac.Permission) -> bool:
    return one.verb in ("get", "list", "watch", "*") and one.resource in ("secrets", "*", "*.*") and not one.names


def _takes_volumes(one: rbac.Permission) -> bool:
    """A volume can be created for any folder of a file system, including folders of other teams."""
    return one.verb in _WRITES and one.resource in ("persistentvolumes", "*", "*.*") and one.scope == _ANY


def _changes(cluster: Cluster, source: str, scope: str, by: str, *, kind: str) -> Iterator[Step]:
    """A subject that can change a workload can give it any service account and any claim of its namespace."""
    for namespace, name in cluster.within(scope):
        yield Step(source, cluster.account(namespace, name), kind, by)
    for team, data in cluster.teams.items():
        if scope in (_ANY, team):
            yield Step(source, data, kind, by)


def _of_nodes(world: World, resource: Resource, cluster: Cluster) -> Iterator[Step]:
    """A node holds the tokens of the pods that run on it.

    https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html
    """
    name = world.arn(resource).rpartition("/")[2]
    nodes = {
        world.get(group, "NodeRole")
        for group in world.resources("AWS::EKS::Nodegroup")
        if world.get(group, "ClusterName") == name and world.place(group) == world.place(resource)
    }
    for node in nodes:
        for namespace, account in cluster.roles:
            yield Step(node, cluster.account(namespace, account), "node", "tokens of the pods that run there")
