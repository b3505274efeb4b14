from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, cast

from aws_cdk import CfnResource, CfnWaitConditionHandle, RemovalPolicy, Stack
from aws_cdk import aws_eks_v2 as eks
from constructs import Construct, Dependable, IDependable

from .._arguments import ConfigurationError, checked
from .any_cluster import AnyCluster, cluster_of
from .contents import ClusterContents
from .custom_resources import inventory, inventory_of, object_file, readiness
from .gates import gates
from .packing import (
    OTHER_TEMPLATE_BYTES,
    PACK_BYTES,
    TEMPLATE_BYTES,
    Parcel,
    size,
    stages,
    too_large,
)
from .readiness import Readiness
from .reading import read
from .tokens import with_references, without_numbers
from .waves import Wave


class Manifests(Construct):
    """Kubernetes objects in a cluster: validated at synthesis, applied in order within AWS limits, deleted in reverse.

    - Validated: against the schemas of the cluster's Kubernetes minor or the CustomResourceDefinition of the kind, and
      against the API server's rules that span several fields. An object has one owner; its namespace and kind exist.
    - Ordered: definitions, namespaces, access, configuration, workloads, webhooks; last, objects that webhooks of the
      same set intercept, and resources of kinds that the set defines. The annotation ``mlplatform-constructs/wave``
      overrides the wave of an object. The next wave starts when definitions are established, and webhooks are served
      and have a CA bundle. Earlier sets that a set needs are deployed before it automatically.
    - Packed: objects share as few requests as the order and the sizes of requests and responses allow. An additional
      object changes one request, or splits it in two. An object that exceeds a request, such as a long definition, is
      sent as a file among the app's assets.
    - Deleted: objects that are no longer in the set, after a deployment has succeeded; objects of a failed deployment,
      when it is rolled back; all objects, last wave first, with the construct. A failed deletion reports what remains.

    A construct that depends on this one, such as a ``HelmChart``, waits for all of it.

    :param cluster: a ``KubernetesCluster``, or an ``eks.Cluster`` of this app with a kubectl handler.
    :param objects: mappings, such as ``chart.to_json()`` of a cdk8s chart. Values may be tokens.
    :param after: constructs to deploy first (Helm charts, add-ons, node groups, other sets), or conditions to wait for.
    :param ready: conditions that must be met before this counts as deployed. Default: those of its own webhooks.
    :raises ConfigurationError: one line for each mistake, with the construct, the object, the field and the fix.
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        cluster: AnyCluster,
        objects: Sequence[Mapping[str, Any]],
        after: Sequence[IDependable | Readiness] = (),
        ready: Sequence[Readiness] = (),
    ) -> None:
        super().__init__(scope, id)
        self._path, owner = self.node.path, self.node.addr
        self._stack = Stack.of(self)
        self._cluster = cluster_of(self._path, cluster)
        contents = ClusterContents.of(self._cluster)
        found, problems = read(objects, contents)
        self._refuse(problems)
        parcels = [Parcel.of(one) for one in found.objects]
        record = inventory_of(found.objects)
        inline = sum(parcel.bytes for parcel in parcels if not parcel.is_file)
        template_bytes = contents.template_bytes.get(self._stack, 0) + size(record) + inline
        self._refuse([*too_large(parcels), *self._too_many(len(parcels), size(record), template_bytes)])

        contents.template_bytes[self._stack] = template_bytes
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
            raise ConfigurationError("\n".join(f"{self._path}: {problem}" for problem in problems))

    def _too_many(self, objects: int, record_bytes: int, template_bytes: int) -> Iterator[str]:
        if not objects:
            yield "objects: empty; remove the construct"
        if record_bytes > PACK_BYTES:
            yield f"objects: {objects:,} exceed the inventory of one construct; split them into several"
        room = TEMPLATE_BYTES - OTHER_TEMPLATE_BYTES
        if template_bytes > room:
            yield (
                f"objects: the manifests in stack {self._stack.node.path} now have {template_bytes:,} bytes, and its "
                f"template has room for {room:,}; move some to another stack"
            )

    def _deliver(self, parcels: Sequence[Parcel], waits: Mapping[Wave, Sequence[Readiness]]) -> None:
        """Apply the waves in groups; a group ends with a wave after which something must be ready."""
        first = min(Wave)
        files = {wave: [one for one in parcels if one.is_file and one.object.wave == wave] for wave in Wave}
        for last in Wave:
            if waits.get(last) or files[last] or last == max(Wave):
                sent = [one for one in parcels if first <= one.object.wave <= last and not one.is_file]
                for stage in stages(sent, first, last):
                    self._apply_stage(stage)
                if files[last]:
                    self._apply_file(f"{last.title}File", files[last])
                self._wait(f"{last.title}Ready", waits.get(last, ()))
                first = Wave(min(last + 1, max(Wave)))

    def _apply_stage(self, stage: Mapping[str, Sequence[Parcel]]) -> None:
        """Create requests that depend on the last resource, and one resource that depends on all of them."""
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
        """A request to the CDK's handler. It only applies objects, because the inventory deletes them."""
        manifest = eks.KubernetesManifest(
            self,
            id,
            cluster=self._cluster,
            manifest=[],
            overwrite=True,  # objects of an interrupted deployment must not fail the next one
            prune=False,
            removal_policy=RemovalPolicy.RETAIN,
        )
        resource = cast(CfnResource, manifest.node.default_child)
        resource.add_property_override("Manifest", with_references(_joined(parcels)))
        return resource

    def _apply_file(self, id: str, parcels: Sequence[Parcel]) -> None:
        """Apply objects that exceed a request from a file in the bucket of the app's assets."""
        file = object_file(self, id, cluster=self._cluster, text=_joined(parcels))
        file.add_resource_dependency(self._last)
        self._last = file


def _joined(parcels: Sequence[Parcel]) -> str:
    return f"[{','.join(parcel.text for parcel in parcels)}]"
