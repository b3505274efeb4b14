"""What is known of one cluster: its Kubernetes minor, and who brings which object, namespace and definition to it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from aws_cdk import aws_eks_v2 as eks
from constructs import IDependable

from .definitions import Definition, UncheckedKind
from .objects import Key
from .schemas import CoreSchemas, core_schemas

SYSTEM_NAMESPACES = frozenset(["default", "kube-node-lease", "kube-public", "kube-system"])

AnyKind = Definition | UncheckedKind


@dataclass(eq=False)
class ClusterContents:
    """Grows with every construct that brings something to the cluster.

    - ``owners``: path of the construct that brings an object.
    - ``namespaces``, ``kinds``: what has to be deployed before they can be used.
    - ``keeper``: ARN of the function that waits for objects and removes them; empty until it is needed.
    """

    cluster_name: str
    core: CoreSchemas
    owners: dict[Key, str] = field(default_factory=dict)
    namespaces: dict[str, IDependable] = field(default_factory=dict)
    kinds: dict[tuple[str, str], tuple[AnyKind, IDependable]] = field(default_factory=dict)
    keeper: str = ""

    @classmethod
    def of(cls, cluster: eks.ICluster) -> "ClusterContents":
        """What is known of a cluster of this app.

        :raises ValueError: for a cluster of another app, or of a Kubernetes minor, of which nothing is known here.
        """
        if cluster not in _OF_CLUSTER:
            resource = cluster.node.default_child
            if not isinstance(resource, eks.CfnCluster) or not resource.version:
                raise ValueError(f"{cluster.node.path}: an imported cluster has no known version; use eks.Cluster")
            try:
                core = core_schemas(resource.version)
            except ValueError as error:
                raise ValueError(f"{cluster.node.path}: {error}") from None
            _OF_CLUSTER[cluster] = cls(cluster.cluster_name, core)
        return _OF_CLUSTER[cluster]

    def add(self, by: IDependable, *, namespaces: Iterable[str], kinds: Iterable[AnyKind]) -> None:
        """Let what comes later use what ``by`` brings."""
        for kind in kinds:
            self.kinds[kind.group, kind.kind] = (kind, by)
        for namespace in namespaces:
            self.namespaces.setdefault(namespace, by)

    def kind_problem(self, kind: AnyKind) -> str | None:
        """Why nobody else can bring this kind, or None if it is free."""
        taken = (kind.group, kind.kind) in self.kinds
        return f"{kind.kind} of {kind.group} is already defined; define it once" if taken else None


_OF_CLUSTER: dict[eks.ICluster, ClusterContents] = {}
"""Holds on to the clusters: jsii makes another object of one that Python no longer refers to."""
