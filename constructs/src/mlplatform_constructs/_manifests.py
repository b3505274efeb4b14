import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, cast

from aws_cdk import CfnResource, CfnWaitConditionHandle, RemovalPolicy, Stack
from aws_cdk import aws_eks_v2 as eks
from constructs import Construct, Dependable, IDependable

from ._kubernetes.contents import ClusterContents
from ._kubernetes.gates import gates
from ._kubernetes.keeping import inventory, inventory_of, readiness
from ._kubernetes.packing import (
    OTHER_TEMPLATE_BYTES,
    PACK_BYTES,
    TEMPLATE_BYTES,
    Parcel,
    size,
    stages,
    too_large,
)
from ._kubernetes.reading import read
from ._kubernetes.tokens import without_numbers
from ._kubernetes.waves import Wave
from ._readiness import Readiness

_TEMPLATES: dict[Stack, int] = {}  # bytes of manifests in each


class Manifests(Construct):
    """Kubernetes objects in a cluster: checked at synthesis, applied in order, within AWS's limits, removed in reverse.

    - Checked against the schemas of the cluster's Kubernetes minor, or against their CustomResourceDefinition: fields,
      names, labels, quantities. Each object has one owner; its namespace and its definition are brought by somebody.
    - Ordered: definitions, namespaces, access, configuration, workloads, webhooks, and last what webhooks of the same
      set guard and resources of kinds that it defines. The annotation ``mlplatform-constructs/wave`` moves an object.
      Between waves, definitions are established, and webhooks are served and have their certificate authority.
      What is needed of sets that were constructed before is deployed before, without being asked.
    - Packed: objects share as few requests as gates, and the room in requests and responses, allow. One more object
      changes one request, or splits it in two.
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
        cluster: eks.Cluster | eks.ICluster,
        objects: Sequence[Mapping[str, Any]],
        after: Sequence[IDependable | Readiness] = (),
        ready: Sequence[Readiness] = (),
    ) -> None:
        super().__init__(scope, id)
        self._path, owner = self.node.path, self.node.addr
        self._stack = Stack.of(self)
        self._cluster = cast(eks.ICluster, cluster)
        contents = ClusterContents.of(self._cluster)
        found, problems = read(objects, contents)
        self._refuse(problems)
        parcels = [Parcel.of(one) for one in found.objects]
        record = inventory_of(found.objects)
        template_bytes = _TEMPLATES.get(self._stack, 0) + size(record) + sum(parcel.bytes for parcel in parcels)
        self._refuse([*too_large(parcels), *self._too_many(len(parcels), size(record), template_bytes)])

        _TEMPLATES[self._stack] = template_bytes
        self._revision = sha256("".join(without_numbers(parcel.text) for parcel in parcels).encode()).hexdigest()[:16]
        self._last = inventory(self, cluster=self._cluster, owner=owner, record=record)
        needed = [contents.namespaces[name] for name in sorted(found.used_namespaces) if name in contents.namespaces]
        needed += [contents.kinds[kind][1] for kind in sorted(found.used_kinds)]
        if first := dict.fromkeys([*(one for one in after if not isinstance(one, Readiness)), *needed]):
            self._last.node.add_dependency(*first)
        self._wait("Before", [one for one in after if isinstance(one, Readiness)])
        self._deliver(parcels, gates(found.objects))
        self._wait("Ready", ready)
        Dependable.implement(self, Dependable.of(self._last))

        contents.add(self, namespaces=found.namespaces, kinds=found.definitions.values())
        contents.owners.update((one.key, self._path) for one in found.objects)

    def _refuse(self, problems: Sequence[str]) -> None:
        if problems:
            raise ValueError("\n".join(f"{self._path}: {problem}" for problem in problems))

    def _too_many(self, objects: int, record_bytes: int, template_bytes: int) -> Iterator[str]:
        if not objects:
            yield "objects: there are none; leave the construct out"
        if record_bytes > PACK_BYTES:
            yield f"objects: {objects:,} are too many for the record of one construct; divide them among several"
        room = TEMPLATE_BYTES - OTHER_TEMPLATE_BYTES
        if template_bytes > room:
            yield (
                f"objects: bring the manifests in stack {self._stack.node.path} to {template_bytes:,} bytes, and its "
                f"template has room for {room:,}; move some to another stack"
            )

    def _deliver(self, parcels: Sequence[Parcel], waits: Mapping[Wave, Sequence[Readiness]]) -> None:
        """Apply the waves, up to each one after which something must be ready."""
        first = min(Wave)
        for last in Wave:
            if waits.get(last) or last == max(Wave):
                for stage in stages([one for one in parcels if first <= one.object.wave <= last], first, last):
                    self._apply_stage(stage)
                self._wait(f"{last.title}Ready", waits.get(last, ()))
                first = Wave(min(last + 1, max(Wave)))

    def _apply_stage(self, stage: Mapping[str, Sequence[Parcel]]) -> None:
        """Make requests that follow the last resource, and one resource that follows all of them."""
        requests = [self._apply(id, parcels) for id, parcels in stage.items()]
        for request in requests:
            request.add_resource_dependency(self._last)
        self._last = requests[0]
        if len(requests) > 1:
            self._last = CfnWaitConditionHandle(self, f"{next(iter(stage)).rstrip('01')}Applied")  # costs nothing
            for request in requests:
                self._last.add_resource_dependency(request)

    def _wait(self, id: str, waits: Sequence[Readiness]) -> None:
        if waits:
            gate = readiness(self, id, cluster=self._cluster, of=waits, revision=self._revision)
            gate.add_resource_dependency(self._last)
            self._last = gate

    def _apply(self, id: str, parcels: Sequence[Parcel]) -> CfnResource:
        """A request to the CDK's handler. It only ever applies: what to remove, and when, the inventory knows."""
        text = f"[{','.join(parcel.text for parcel in parcels)}]"
        tokens = any(parcel.tokens for parcel in parcels)
        manifest = eks.KubernetesManifest(
            self,
            id,
            cluster=self._cluster,
            manifest=json.loads(text) if tokens else [],
            overwrite=True,  # what an interrupted deployment left must not stop the next one
            prune=False,
            removal_policy=RemovalPolicy.RETAIN,
        )
        resource = cast(CfnResource, manifest.node.default_child)
        if not tokens:  # one text crosses jsii, and is searched for tokens, in a sixth of the time of its objects
            resource.add_property_override("Manifest", text)
        return resource
