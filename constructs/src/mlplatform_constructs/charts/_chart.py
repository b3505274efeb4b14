"""The base of every chart: data and constructs in, Kubernetes objects out."""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import cdk8s
from constructs import Construct

from .._arguments import ConfigurationError

Manifest = Mapping[str, Any]
PodChange = Callable[[dict[str, Any]], None]
"""Changes a pod spec in place."""


class ComponentChart(cdk8s.Chart):
    """A cdk8s chart that holds its objects as plain data, constructs, or both.

    The platform's own objects are data. Half of a Deployment in cdk8s-plus would only override its defaults (a CPU
    limit, a pull policy, writable files); a patch on a typed object silently loses fields, such as GPU requests; its
    selectors are hashes of construct paths, so that moving code replaces a workload; and it has no classes for
    cluster-scoped kinds such as admission policies. Data takes 0.02 ms for each object, cdk8s-plus 1.9 ms.

    cdk8s-plus is for applications of teams: add its constructs to this chart as to any other. Names get no hashes. Set
    fields that cdk8s-plus does not support with :meth:`change_pods` after synthesis.
    """

    def __init__(self, scope: Construct, id: str, *, namespace: str | None = None) -> None:
        super().__init__(scope, id, disable_resource_name_hashes=True, namespace=namespace)
        self._manifests: dict[str, Manifest] = {}
        self._changes: list[tuple[PodChange, str | None]] = []

    def add(self, *manifests: Manifest) -> None:
        """Add objects as data.

        :raises ConfigurationError: if the chart already has an object of that kind, namespace and name.
        """
        for manifest in manifests:
            self._refuse_duplicate(manifest, self._manifests)
            self._manifests[identity(manifest)] = manifest

    def change_pods(self, change: PodChange, *, of: str | None = None) -> None:
        """Change the spec of pods after synthesis, whether data or a construct describes them.

        :param change: changes a pod spec in place; it is called once for each workload.
        :param of: name of a workload. Default: all of the chart.
        """
        self._changes.append((change, of))

    def to_json(self) -> list[Any]:
        """The objects: data in the order in which they were added, then those of constructs.

        :raises ConfigurationError: if a construct makes an object that the chart has already.
        """
        objects: list[Any] = list(self._manifests.values())
        seen = dict(self._manifests)
        for manifest in super().to_json():
            self._refuse_duplicate(manifest, seen)
            seen[identity(manifest)] = manifest
            objects.append(manifest)
        if not self._changes:
            return objects
        changed = copy.deepcopy(objects)
        for manifest in changed:
            for spec in pod_specs(manifest):
                for change, name in self._changes:
                    if name in (None, manifest["metadata"]["name"]):
                        change(spec)
        return changed

    def _refuse_duplicate(self, manifest: Manifest, seen: dict[str, Manifest]) -> None:
        if identity(manifest) in seen:
            raise ConfigurationError(f"{self.node.path}: {identity(manifest)} already exists; remove one of the two")


def identity(manifest: Manifest) -> str:
    """The name of an object in messages: ``Deployment kube-system/cluster-autoscaler``."""
    metadata = manifest["metadata"]
    place = f"{metadata['namespace']}/" if "namespace" in metadata else ""
    return f"{manifest['kind']} {place}{metadata['name']}"


def pod_specs(manifest: Manifest) -> Iterator[dict[str, Any]]:
    """The pod spec of a workload of any kind; nothing for other objects."""
    spec = manifest.get("spec")
    if manifest["kind"] == "CronJob" and isinstance(spec, dict):
        spec = spec.get("jobTemplate", {}).get("spec")
    if manifest["kind"] != "Pod" and isinstance(spec, dict):
        spec = spec.get("template", {}).get("spec") if isinstance(spec.get("template"), dict) else None
    if isinstance(spec, dict) and "containers" in spec:
        yield spec


def _refuse_patches_on_typed_objects() -> None:
    """Make ``add_json_patch`` refuse typed objects of a :class:`ComponentChart`.

    A typed object converts its properties after patches are applied, and drops what it cannot convert. cdk8s keeps
    patches where Python does not see them, so the call is the only place at which they can be refused.
    """
    original = cdk8s.ApiObject.add_json_patch

    def refusing(self: cdk8s.ApiObject, *patches: cdk8s.JsonPatch) -> None:
        chart = cdk8s.Chart.of(self)
        if type(self) is not cdk8s.ApiObject and isinstance(chart, ComponentChart):
            raise ConfigurationError(
                f"{self.node.path}: a JSON patch on a typed object loses fields; use change_pods of the chart, or add "
                "the object as data"
            )
        original(self, *patches)

    cdk8s.ApiObject.add_json_patch = refusing  # type: ignore[method-assign]


_refuse_patches_on_typed_objects()
