"""The contents of one cluster: its Kubernetes minor, and the construct that creates each object, namespace and kind."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

from aws_cdk import Stack
from aws_cdk import aws_eks_v2 as eks
from aws_cdk import aws_iam as iam
from constructs import IDependable

from .._arguments import ConfigurationError
from .definitions import Definition, UncheckedKind
from .objects import Key
from .schemas import CoreSchemas, core_schemas

SYSTEM_NAMESPACES = frozenset(["default", "kube-node-lease", "kube-public", "kube-system"])

AnyKind = Definition | UncheckedKind
_ATTRIBUTE = "_mlplatform_contents"


@dataclass(eq=False)
class ClusterContents:
    """The objects, namespaces and kinds that the constructs of this app create in one cluster.

    - ``owners``: the path of the construct that creates an object.
    - ``namespaces``, ``kinds``: the construct that must be deployed before they can be used.
    - ``handler``, ``handler_role``: ARN and role of the objects handler; empty until it is needed.
    - ``template_bytes``: bytes of manifests in each stack.
    """

    cluster_name: str
    core: CoreSchemas
    owners: dict[Key, str] = field(default_factory=dict)
    namespaces: dict[str, IDependable] = field(default_factory=dict)
    kinds: dict[tuple[str, str], tuple[AnyKind, IDependable]] = field(default_factory=dict)
    handler: str = ""
    handler_role: iam.IRole | None = None
    template_bytes: dict[Stack, int] = field(default_factory=dict)

    @classmethod
    def of(cls, cluster: eks.ICluster) -> "ClusterContents":
        """The contents of a cluster of this app, stored as an attribute of the cluster.

        :raises ConfigurationError: for a cluster of another app, or of an unknown Kubernetes minor.
        """
        found = cast(ClusterContents | None, getattr(cluster, _ATTRIBUTE, None))
        if found is None:
            resource = cluster.node.default_child
            if not isinstance(resource, eks.CfnCluster) or not resource.version:
                raise ConfigurationError(
                    f"{cluster.node.path}: an imported cluster has no known version; use eks.Cluster"
                )
            try:
                core = core_schemas(resource.version)
            except ValueError as error:
                raise ConfigurationError(f"{cluster.node.path}: {error}") from None
            found = cls(cluster.cluster_name, core)
            setattr(cluster, _ATTRIBUTE, found)
        return found

    def add(self, by: IDependable, *, namespaces: Iterable[str], kinds: Iterable[AnyKind]) -> None:
        """Declare what ``by`` creates, for the constructs that are created later."""
        for kind in kinds:
            self.kinds[kind.group, kind.kind] = (kind, by)
        for namespace in namespaces:
            self.namespaces.setdefault(namespace, by)

    def kind_problem(self, kind: AnyKind) -> str | None:
        """Why this kind cannot be defined again, or None if it is not defined yet."""
        taken = (kind.group, kind.kind) in self.kinds
        return f"{kind.kind} of {kind.group} is already defined; define it once" if taken else None
