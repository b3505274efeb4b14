from collections.abc import Mapping, Sequence
from typing import Any, cast

from aws_cdk import aws_eks_v2 as eks
from constructs import Construct, Dependable, IDependable

from ._kubernetes.contents import AnyKind, ClusterContents
from ._kubernetes.definitions import Definition, UncheckedKind
from ._kubernetes.keeping import readiness
from ._readiness import Readiness


class ProvidedObjects(Construct):
    """What a Helm chart, an EKS add-on or a controller brings to a cluster, told to the ``Manifests`` that come later.

    These may then use the namespaces and kinds, and are deployed after ``by`` by themselves.

    :param by: what brings them, such as an ``eks.HelmChart``, an ``eks.Addon`` or the ``Manifests`` of a controller.
    :param namespaces: names of namespaces. Default: none.
    :param definitions: CustomResourceDefinitions, for checking resources of their kinds. Default: none.
    :param unchecked: kinds without a schema here, such as ``{"karpenter.sh/NodePool": "of the chart's own release"}``:
        group and kind, and why resources of it need no check. Default: none.
    :param ready: what must be ready before anything of it can be used. Default: that ``by`` is deployed.
    :raises ValueError: for what somebody else brings already, and for a kind without a group or a reason.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        cluster: eks.Cluster | eks.ICluster,
        by: IDependable,
        namespaces: Sequence[str] = (),
        definitions: Sequence[Mapping[str, Any]] = (),
        unchecked: Mapping[str, str] | None = None,
        ready: Sequence[Readiness] = (),
    ) -> None:
        super().__init__(scope, id)
        cluster = cast(eks.ICluster, cluster)
        contents = ClusterContents.of(cluster)
        kinds: list[AnyKind] = [
            *(self._definition(*one) for one in enumerate(definitions)),
            *(self._unchecked(*one) for one in (unchecked or {}).items()),
        ]
        if problems := [problem for kind in kinds if (problem := contents.kind_problem(kind))]:
            raise ValueError("\n".join(f"{self.node.path}: {problem}" for problem in problems))

        if ready:
            gate = readiness(self, "Ready", cluster=cluster, of=ready, revision="")
            gate.node.add_dependency(by)
        Dependable.implement(self, Dependable.of(gate if ready else by))
        contents.add(self, namespaces=namespaces, kinds=kinds)

    def _definition(self, index: int, body: Mapping[str, Any]) -> Definition:
        try:
            return Definition.read(body)
        except ValueError as error:
            raise ValueError(f"{self.node.path}: definitions[{index}]: {error}") from None

    def _unchecked(self, name: str, reason: str) -> UncheckedKind:
        group, slash, kind = name.partition("/")
        if not slash or not kind[:1].isupper():
            raise ValueError(
                f"{self.node.path}: unchecked: {name!r} must be group/Kind, such as 'karpenter.sh/NodePool'"
            )
        if not reason.strip():
            raise ValueError(f"{self.node.path}: unchecked: {name} needs a reason why nobody checks its resources")
        return UncheckedKind(group, kind)
