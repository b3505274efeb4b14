from collections.abc import Mapping, Sequence
from typing import Any

from constructs import Construct, Dependable, IDependable

from .._arguments import ConfigurationError, checked
from .any_cluster import AnyCluster, cluster_of
from .contents import AnyKind, ClusterContents
from .custom_resources import readiness
from .definitions import Definition, UncheckedKind
from .readiness import Readiness


class ProvidedObjects(Construct):
    """Declares namespaces and kinds that a Helm chart, an EKS add-on or a controller creates in a cluster.

    ``Manifests`` that are constructed later may use them, and are deployed after ``by`` automatically.

    :param by: the construct that creates them: an ``eks.HelmChart``, an ``eks.Addon``, a controller's ``Manifests``.
    :param namespaces: names of namespaces. Default: none.
    :param definitions: CustomResourceDefinitions, to validate resources of their kinds. Default: none.
    :param unchecked: kinds without a schema here, such as ``{"karpenter.sh/NodePool": "of the chart's own release"}``:
        group and kind, and the reason why its resources are not validated. Default: none.
    :param ready: objects that must be ready before later ones are applied. Default: none; ``by`` is deployed.
    :raises ConfigurationError: for a kind that is defined already, or without a group or a reason.
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        cluster: AnyCluster,
        by: IDependable,
        namespaces: Sequence[str] = (),
        definitions: Sequence[Mapping[str, Any]] = (),
        unchecked: Mapping[str, str] | None = None,
        ready: Sequence[Readiness] = (),
    ) -> None:
        super().__init__(scope, id)
        found = cluster_of(self.node.path, cluster)
        contents = ClusterContents.of(found)
        kinds: list[AnyKind] = [
            *(self._definition(*one) for one in enumerate(definitions)),
            *(self._unchecked(*one) for one in (unchecked or {}).items()),
        ]
        if problems := [problem for kind in kinds if (problem := contents.kind_problem(kind))]:
            raise ConfigurationError("\n".join(f"{self.node.path}: {problem}" for problem in problems))

        if ready:
            gate = readiness(self, "Ready", cluster=found, of=ready, revision="")
            gate.node.add_dependency(by)
        Dependable.implement(self, Dependable.of(gate if ready else by))
        contents.add(self, namespaces=namespaces, kinds=kinds)

    def _definition(self, index: int, body: Mapping[str, Any]) -> Definition:
        try:
            return Definition.read(body)
        except ValueError as error:
            raise ConfigurationError(f"{self.node.path}: definitions[{index}]: {error}") from None

    def _unchecked(self, name: str, reason: str) -> UncheckedKind:
        group, slash, kind = name.partition("/")
        if not slash or not kind[:1].isupper():
            raise ConfigurationError(
                f"{self.node.path}: unchecked: {name!r} must be group/Kind, such as 'karpenter.sh/NodePool'"
            )
        if not reason.strip():
            raise ConfigurationError(
                f"{self.node.path}: unchecked: {name}: give the reason why its resources are not validated"
            )
        return UncheckedKind(group, kind)
