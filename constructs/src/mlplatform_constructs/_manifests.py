import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, cast

from aws_cdk import CfnResource, CfnWaitConditionHandle, RemovalPolicy, Stack
from aws_cdk import aws_eks_v2 as eks
from constructs import Construct, Dependable, IDependable

from ._kubernetes.contents import ClusterContents
from ._kubernetes.gates import gates
from ._kubernetes.keeping import inventory, readiness
from ._kubernetes.packing import OTHER_TEMPLATE_BYTES, TEMPLATE_BYTES, Parcel, pack, too_large
from ._kubernetes.reading import read
from ._kubernetes.tokens import without_numbers
from ._kubernetes.waves import Wave
from ._readiness import Readiness

OWNER_LABEL = "mlplatform-constructs/owner"
_TEMPLATES: dict[Stack, int] = {}  # bytes of manifests in each


class Manifests(Construct):
    """Kubernetes objects in a cluster: checked at synthesis, applied in order, within AWS's limits, removed in reverse.

    - Checked against the schemas of the cluster's Kubernetes minor, or against their CustomResourceDefinition: fields,
      names, labels, quantities. Each object has one owner; its namespace and its definition are brought by somebody.
    - Ordered: definitions, namespaces, access, configuration, workloads, webhooks, and last what webhooks of the same
      set guard and resources of kinds that it defines. The annotation ``mlplatform-constructs/wave`` moves an object.
      Between waves, definitions are established, and webhooks are served and have their certificate authority.
      What is needed of sets that were constructed before is deployed before, without being asked.
    - Packed: objects of a wave share as few requests as requests and responses have room for. One more object changes
      one request, or splits it in two.
    - Removed: what is no longer among the objects, once a deployment has succeeded; what a failed deployment brought,
      when it is taken back; all, last wave first, with the construct. A removal that fails says what is left, and why.

    Whatever depends on this construct, such as a ``HelmChart``, waits for all of it.

    :param cluster: made in this app, with a kubectl handler.
    :param objects: as mappings; those of a cdk8s chart are ``chart.to_json()``. Values may be tokens.
    :param after: what must be deployed (Helm charts, add-ons, node groups, other manifests) or be ready first.
    :param ready: what must be ready before this counts as deployed. Default: what its own webhooks need.
    :raises ValueError: one line for each mistake: place, object, field, and what to do.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        cluster: eks.ICluster,
        objects: Sequence[Mapping[str, Any]],
        after: Sequence[IDependable | Readiness] = (),
        ready: Sequence[Readiness] = (),
    ) -> None:
        super().__init__(scope, id)
        self._path, owner = self.node.path, self.node.addr
        self._stack = Stack.of(self)
        contents = ClusterContents.of(cluster)
        found, problems = read(objects, contents)
        parcels = [Parcel.of(one, {OWNER_LABEL: owner}) for one in found.objects]
        self._refuse(problems + too_large(parcels) + self._no_room(parcels))
        _TEMPLATES[self._stack] = self._template_bytes(parcels)

        self._cluster = cluster
        self._revision = sha256("".join(without_numbers(parcel.text) for parcel in parcels).encode()).hexdigest()[:16]
        self._last: Construct = inventory(self, cluster=cluster, owner=owner, objects=found.objects)
        needed = [contents.namespaces[name] for name in sorted(found.used_namespaces) if name in contents.namespaces]
        needed += [contents.kinds[kind][1] for kind in sorted(found.used_kinds)]
        first = [one for one in after if not isinstance(one, Readiness)]
        self._last.node.add_dependency(*dict.fromkeys([*first, *needed]))
        self._wait("Before", [one for one in after if isinstance(one, Readiness)])
        waits = gates(found.objects)
        for wave in Wave:
            self._deliver(wave, [parcel for parcel in parcels if parcel.object.wave == wave], waits.get(wave, []))
        self._wait("Ready", ready)
        Dependable.implement(self, Dependable.of(self._last))

        contents.add(self, namespaces=found.namespaces, kinds=found.definitions.values())
        contents.owners.update((one.key, self._path) for one in found.objects)

    def _refuse(self, problems: Sequence[str]) -> None:
        if problems:
            raise ValueError("\n".join(f"{self._path}: {problem}" for problem in problems))

    def _template_bytes(self, parcels: Sequence[Parcel]) -> int:
        """What all manifests of the stack take in its template, these included."""
        return _TEMPLATES.get(self._stack, 0) + sum(parcel.bytes for parcel in parcels)

    def _no_room(self, parcels: Sequence[Parcel]) -> list[str]:
        total, room = self._template_bytes(parcels), TEMPLATE_BYTES - OTHER_TEMPLATE_BYTES
        if not parcels:
            return ["objects: there are none; leave the construct out"]
        if total <= room:
            return []
        return [
            f"objects: bring the manifests in stack {self._stack.node.path} to {total:,} bytes, and its template has "
            f"room for {room:,}; move some to another stack"
        ]

    def _deliver(self, wave: Wave, parcels: Sequence[Parcel], waits: Sequence[Readiness]) -> None:
        """Apply a wave when the one before is done, and end it in one resource that the next can depend on."""
        if not parcels:
            return
        scope = Construct(self, wave.title)
        packs = [self._apply(scope, f"Pack{bits}", part) for bits, part in pack(parcels).items()]
        scope.node.add_dependency(self._last)
        if waits or len(packs) == 1:
            self._last = packs[0] if len(packs) == 1 else scope
            self._wait(f"{wave.title}Ready", waits)
        else:
            self._last = CfnWaitConditionHandle(self, f"{wave.title}Applied")  # does nothing, costs nothing
            self._last.node.add_dependency(scope)

    def _wait(self, id: str, waits: Sequence[Readiness]) -> None:
        if waits:
            gate = readiness(self, id, cluster=self._cluster, of=waits, revision=self._revision)
            gate.node.add_dependency(self._last)
            self._last = gate

    def _apply(self, scope: Construct, id: str, parcels: Sequence[Parcel]) -> Construct:
        """One request to the CDK's handler. It only ever applies: what to remove, and when, the inventory knows."""
        text = f"[{','.join(parcel.text for parcel in parcels)}]"
        tokens = any(parcel.tokens for parcel in parcels)
        manifest = eks.KubernetesManifest(
            scope,
            id,
            cluster=self._cluster,
            manifest=json.loads(text) if tokens else [],
            overwrite=True,  # what an interrupted deployment left must not stop the next one
            prune=False,
            removal_policy=RemovalPolicy.RETAIN,
        )
        if not tokens:  # one text crosses jsii, and is searched for tokens, in a sixth of the time of its objects
            cast(CfnResource, manifest.node.default_child).add_property_override("Manifest", text)
        return manifest
