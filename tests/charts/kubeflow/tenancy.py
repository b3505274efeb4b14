"""Answers who reaches whom among teams, from the objects of the platform alone.

What controllers add to the namespace of a team is written here from their facts: the profile controller's bindings and
its policy of the mesh. Everything else is the platform's own objects.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Self

from charts.kit.istio import GATEWAY_ACCOUNT, GATEWAY_NAMESPACE, GATEWAY_PODS, principal
from charts.kit.kubeflow import GATEWAY_PRINCIPAL, NOTEBOOK_CONTROLLER, PIPELINES_UI, USER_HEADER
from tests.charts.kubeflow.core import of_kind

NAMESPACE_NAME = "kubernetes.io/metadata.name"
Object = Mapping[str, Any]


def added_by_controllers(team: str, owner: str) -> list[dict[str, Any]]:
    """What the profile controller creates in the namespace of a Profile."""

    def bound(name: str, role: str, subject: Object) -> dict[str, Any]:
        return {
            "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": team},
            "roleRef": {"kind": "ClusterRole", "name": role},
            "subjects": [dict(subject)],
        }

    def account(name: str) -> Object:
        return {"kind": "ServiceAccount", "name": name, "namespace": team}

    by_owner = {
        "from": [{"source": {"principals": [GATEWAY_PRINCIPAL, principal(PIPELINES_UI)]}}],
        "when": [{"key": f"request.headers[{USER_HEADER}]", "values": [owner]}],
    }
    within = {"when": [{"key": "source.namespace", "values": [team]}]}
    probes = {"to": [{"operation": {"paths": ["/healthz", "/metrics", "/wait-for-drain"]}}]}
    kernels = {
        "from": [{"source": {"principals": [principal(NOTEBOOK_CONTROLLER)]}}],
        "to": [{"operation": {"methods": ["GET"], "paths": ["*/api/kernels"]}}],
    }
    return [
        bound("default-editor", "kubeflow-edit", account("default-editor")),
        bound("default-viewer", "kubeflow-view", account("default-viewer")),
        bound("namespaceAdmin", "kubeflow-admin", {"kind": "User", "name": owner}),
        {
            "kind": "AuthorizationPolicy",
            "metadata": {"name": "ns-owner-access-istio", "namespace": team},
            "spec": {"action": "ALLOW", "rules": [by_owner, within, probes, kernels]},
        },
    ]


@dataclass(frozen=True)
class Pod:
    """A pod with its labels and service account.

    :param ports: number by name.
    :param outside: ports that its sidecar leaves alone. A pod without a sidecar has no identity in the mesh.
    """

    namespace: str
    account: str
    labels: tuple[tuple[str, str], ...] = ()
    ports: tuple[tuple[str, int], ...] = ()
    sidecar: bool = True
    outside: tuple[int, ...] = ()

    @property
    def principal(self) -> str:
        return principal(f"{self.namespace}/{self.account}") if self.sidecar else ""

    @classmethod
    def of(cls, workload: Object) -> Self:
        """The pods of a Deployment or StatefulSet in a namespace of the mesh."""
        template = workload["spec"]["template"]
        labels, annotations = template["metadata"]["labels"], template["metadata"].get("annotations", {})
        ports = [port for container in template["spec"]["containers"] for port in container.get("ports", [])]
        return cls(
            workload["metadata"]["namespace"],
            template["spec"]["serviceAccountName"],
            tuple(labels.items()),
            tuple((port["name"], port["containerPort"]) for port in ports),
            labels.get("sidecar.istio.io/inject") != "false",
            tuple(int(port) for port in annotations.get("traffic.sidecar.istio.io/excludeInboundPorts", "").split()),
        )


GATEWAY = Pod(GATEWAY_NAMESPACE, GATEWAY_ACCOUNT.partition("/")[2], tuple(GATEWAY_PODS.items()))


class Tenancy:
    """A cluster as its objects say.

    :param objects: of the platform, and of the controllers.
    """

    def __init__(self, objects: Sequence[Object]) -> None:
        self._objects = list(objects)
        self._homes: dict[str, Mapping[str, str]] = {
            one["metadata"]["name"]: {**one["metadata"]["labels"], NAMESPACE_NAME: one["metadata"]["name"]}
            for one in of_kind(self._objects, "Namespace")
        }

    def connects(self, source: Pod, target: Pod, port: int | None = None) -> bool:
        """Whether network policies let one pod open a connection to another.

        :param port: Default: any port.
        """
        policies = [
            one["spec"]
            for one in of_kind(self._objects, "NetworkPolicy")
            if one["metadata"]["namespace"] == target.namespace
            and _selects(one["spec"]["podSelector"], dict(target.labels))
            and "Ingress" in one["spec"]["policyTypes"]
        ]
        if not policies:
            return True
        known = {port, *(name for name, number in target.ports if number == port)}
        rules = [
            rule
            for spec in policies
            for rule in spec.get("ingress", [])
            if port is None or "ports" not in rule or known & {one["port"] for one in rule["ports"]}
        ]
        peers = [peer for rule in rules for peer in rule.get("from", [{}])]
        return any(self._is_peer(peer, source, target.namespace) for peer in peers)

    def _is_peer(self, peer: Object, source: Pod, home: str) -> bool:
        if "namespaceSelector" in peer:
            there = self._homes.get(source.namespace, {NAMESPACE_NAME: source.namespace})
            near = _selects(peer["namespaceSelector"], there)
        else:
            near = source.namespace == home or not peer
        return near and _selects(peer.get("podSelector", {}), dict(source.labels))

    def reaches(self, source: Pod, target: Pod, port: int, *, path: str = "/", user: str = "") -> bool:
        """Whether a call arrives: by the network, and by the sidecar of the target if it has one at this port."""
        if not self.connects(source, target, port):
            return False
        if not target.sidecar or port in target.outside:
            return True
        encrypted = source.sidecar or self._takes_plaintext(target, port)
        return encrypted and self.calls(source, target, path=path, user=user, port=port)

    def _takes_plaintext(self, target: Pod, port: int) -> bool:
        return any(
            one["spec"].get("portLevelMtls", {}).get(str(port), {}).get("mode") == "PERMISSIVE"
            for one in of_kind(self._objects, "PeerAuthentication")
            if one["metadata"]["namespace"] == target.namespace
            and _selects(one["spec"]["selector"], dict(target.labels))
        )

    def calls(self, source: Pod, target: Pod, *, path: str = "/", user: str = "", port: int | None = None) -> bool:
        """Whether the mesh lets one pod call another with this header of identity, which any pod can write.

        Without a policy that selects the target, Istio allows every call.
        """
        places = {target.namespace, GATEWAY_NAMESPACE}  # policies of the mesh's own namespace hold everywhere
        policies = [
            one["spec"]
            for one in of_kind(self._objects, "AuthorizationPolicy")
            if one["metadata"]["namespace"] in places and _selects(one["spec"].get("selector", {}), dict(target.labels))
        ]
        found = {
            action: [spec for spec in policies if spec.get("action", "ALLOW") == action] for action in ("DENY", "ALLOW")
        }
        matched = {
            action: any(_admits(rule, source, path, user, port) for spec in specs for rule in spec.get("rules", []))
            for action, specs in found.items()
        }
        return not matched["DENY"] and (not found["ALLOW"] or matched["ALLOW"])

    def may(self, subject: Object, verb: str, resource: str, namespace: str, group: str = "") -> bool:
        """Whether RBAC lets a person or service account do something in a namespace."""
        return any(
            verb in rule["verbs"] and resource in rule["resources"] and group in rule["apiGroups"]
            for found in of_kind(self._objects, "RoleBinding", "ClusterRoleBinding")
            if found["metadata"].get("namespace", namespace) == namespace
            and any(_is(subject, other) for other in found["subjects"])
            for rule in self._rules(found)
        )

    def _rules(self, bound: Object) -> Iterator[Object]:
        name, kind = bound["roleRef"]["name"], bound["roleRef"]["kind"]
        place = bound["metadata"].get("namespace") if kind == "Role" else None
        for role in of_kind(self._objects, kind):
            if role["metadata"]["name"] == name and role["metadata"].get("namespace") == place:
                yield from self._with_collected(role)

    def _with_collected(self, role: Object) -> Iterator[Object]:
        yield from role.get("rules", [])
        for selector in role.get("aggregationRule", {}).get("clusterRoleSelectors", []):
            for other in of_kind(self._objects, "ClusterRole"):
                if _selects(selector, other["metadata"].get("labels", {})):
                    yield from self._with_collected(other)


def _selects(selector: Object, labels: Mapping[str, str]) -> bool:
    expressions = selector.get("matchExpressions", [])
    assert all(each["operator"] == "Exists" for each in expressions), "no other operator is known here"
    named = all(each["key"] in labels for each in expressions)
    return named and selector.get("matchLabels", {}).items() <= labels.items()


def _is(subject: Object, other: Object) -> bool:
    return all(subject.get(key) == other.get(key) for key in ("kind", "name", "namespace"))


def _admits(rule: Object, source: Pod, path: str, user: str, port: int | None) -> bool:
    senders = [one["source"] for one in rule.get("from", [])]
    operations = [one["operation"] for one in rule.get("to", [])]
    return (
        (not senders or any(_is_sender(source, one) for one in senders))
        and (not operations or any(_is_operation(one, path, port) for one in operations))
        and all(_holds(one, source, user) for one in rule.get("when", []))
    )


def _is_sender(source: Pod, sender: Object) -> bool:
    """An empty list of namespaces or principals stands for all of them."""
    known = {"principals": source.principal, "namespaces": source.namespace}
    assert sender.keys() <= {*known, "notPrincipals"}, "no other condition on senders is known here"
    named = all(value in sender.get(key, [value]) for key, value in known.items())
    return named and source.principal not in sender.get("notPrincipals", [])


def _is_operation(operation: Object, path: str, port: int | None) -> bool:
    """Methods of HTTP are not compared."""
    assert operation.keys() <= {"paths", "ports", "methods"}, "no other condition on operations is known here"
    at_port = port is None or str(port) in operation.get("ports", [str(port)])
    return at_port and any(fnmatchcase(path, pattern) for pattern in operation.get("paths", ["*"]))


def _holds(condition: Object, source: Pod, user: str) -> bool:
    known = {f"request.headers[{USER_HEADER}]": user, "source.namespace": source.namespace}
    value = known[condition["key"]]
    if "notValues" in condition:
        assert condition["notValues"] == ["*"], "the only form that is known here: the header must be absent"
        return not value
    return value in condition["values"]
