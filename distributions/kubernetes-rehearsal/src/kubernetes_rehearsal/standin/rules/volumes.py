"""Volumes of pods, and the objects behind them: claims, volumes, storage classes, drivers."""

from typing import Any

from kubernetes_rehearsal.standin.errors import Object, Problems
from kubernetes_rehearsal.standin.formats import dns_label, dns_subdomain, qualified_name, quantity
from kubernetes_rehearsal.standin.rules.common import (
    amount,
    check_text,
    label_selector,
    labels,
    required_text,
    unchanged,
)
from kubernetes_rehearsal.standin.rules.containers import relative_path, resource_reference

_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
_HOST_PATHS = ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"]
_ACCESS_MODES = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"]
_DOWNWARD_FIELDS = {"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"}
_LIFECYCLES = ["Ephemeral", "Persistent"]


def volumes(found: list[Object], path: str, problems: Problems) -> set[str]:
    """The volumes of a pod; returns the names of those that are right, the only ones a mount may name."""
    names: set[str] = set()
    for index, volume in enumerate(found):
        place = f"{path}[{index}]"
        before = len(problems.causes)
        sources = sorted(volume.keys() - {"name"})
        for name in sources[1:]:
            problems.forbidden(f"{place}.{name}", "may not specify more than 1 volume type")
        _source(sources[0], volume[sources[0]], f"{place}.{sources[0]}", problems)
        required_text(dns_label, volume.get("name"), f"{place}.name", problems)
        if volume.get("name") in names:
            problems.duplicate(f"{place}.name", volume["name"])
        if len(problems.causes) == before:
            names.add(volume["name"])
    return names


def _source(kind: str, source: Object, path: str, problems: Problems) -> None:
    match kind:
        case "configMap" | "secret":
            name = "name" if kind == "configMap" else "secretName"
            if not source.get(name):
                problems.required(f"{path}.{name}")
            _mode(source, "defaultMode", path, problems)
            _items(source, path, problems)
        case "csi":
            driver_name(source.get("driver"), f"{path}.driver", problems)
        case "downwardAPI":
            _mode(source, "defaultMode", path, problems)
            for item in source.get("items", []):
                _downward_item(item, path, problems)
        case "emptyDir":
            if (quantity(source.get("sizeLimit", 0)) or 0) < 0:
                problems.forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")
        case "ephemeral":
            template = source.get("volumeClaimTemplate")
            if template is None:
                problems.required(f"{path}.volumeClaimTemplate")
            else:
                claim_spec(template.get("spec", {}), f"{path}.volumeClaimTemplate.spec", problems)
        case "hostPath":
            if not source.get("path"):
                problems.required(f"{path}.path")
            elif ".." in source["path"].split("/"):
                problems.invalid(f"{path}.path", source["path"], "must not contain '..'")
            problems.one_of(f"{path}.type", source["type"], _HOST_PATHS)
        case "nfs":
            for name in ("server", "path"):
                if not source.get(name):
                    problems.required(f"{path}.{name}")
        case "persistentVolumeClaim":
            if not source.get("claimName"):
                problems.required(f"{path}.claimName")
        case "projected":
            _mode(source, "defaultMode", path, problems)
            _projections(source, path, problems)


def _projections(source: Object, path: str, problems: Problems) -> None:
    paths: set[str] = set()
    for index, one in enumerate(source.get("sources", [])):
        place = f"{path}.sources[{index}]"
        for kind in ("configMap", "secret"):
            if kind in one:
                if not one[kind].get("name"):
                    problems.required(f"{place}.{kind}.name")
                _items(one[kind], f"{place}.{kind}", problems)
                _no_collisions(one[kind].get("items", []), one[kind].get("name", ""), paths, path, problems)
        _no_collisions(one.get("downwardAPI", {}).get("items", []), "", paths, path, problems)
        for item in one.get("downwardAPI", {}).get("items", []):
            _downward_item(item, f"{place}.downwardAPI", problems)
        if "serviceAccountToken" in one:
            token = one["serviceAccountToken"]
            if token["expirationSeconds"] < 600:
                problems.invalid(
                    f"{place}.serviceAccountToken.expirationSeconds",
                    token["expirationSeconds"],
                    "may not specify a duration less than 10 minutes",
                )
            if not token.get("path"):
                problems.required(f"{path}.path")
        if len(one) > 1:
            problems.forbidden(place, "may not specify more than 1 volume type per source")


def _no_collisions(items: list[Object], name: str, paths: set[str], path: str, problems: Problems) -> None:
    """Files of one volume have distinct paths."""
    for item in items:
        file = item.get("path", "")
        if file and file in paths:
            problems.invalid(path, name or file, "conflicting duplicate paths")
        paths.add(file)


def _items(source: Object, path: str, problems: Problems) -> None:
    for index, item in enumerate(source.get("items", [])):
        place = f"{path}.items[{index}]"
        for name in ("key", "path"):
            if not item.get(name):
                problems.required(f"{place}.{name}")
        _file_path(item.get("path", ""), f"{place}.path", problems)
        _mode(item, "mode", place, problems)


def _downward_item(item: Object, path: str, problems: Problems) -> None:
    if not item.get("path"):
        problems.required(f"{path}.path")
    _file_path(item.get("path", ""), f"{path}.path", problems)
    _mode(item, "mode", path, problems)
    if "fieldRef" in item:
        field = item["fieldRef"].get("fieldPath", "")
        if not field:
            problems.required(f"{path}.fieldRef.fieldPath")
        elif field not in _DOWNWARD_FIELDS and not field.startswith(("metadata.labels['", "metadata.annotations['")):
            problems.unsupported(f"{path}.fieldRef.fieldPath", field, sorted(_DOWNWARD_FIELDS))
        if "resourceFieldRef" in item:
            problems.invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
    elif "resourceFieldRef" in item:
        if not item["resourceFieldRef"].get("containerName"):
            problems.required(f"{path}.resourceFieldRef.containerName")
        resource_reference(item["resourceFieldRef"], f"{path}.resourceFieldRef", problems)
    else:
        problems.required(path, "one of fieldRef and resourceFieldRef is required")


def _file_path(value: str, path: str, problems: Problems) -> None:
    relative_path(value, path, problems)
    if value.startswith("..") and ".." not in value.split("/"):
        problems.invalid(path, value, "must not start with '..'")


def _mode(source: Object, name: str, path: str, problems: Problems) -> None:
    mode = source.get(name)
    if mode is not None and not 0 <= mode <= 0o777:
        problems.invalid(f"{path}.{name}", mode, _MODE)


def driver_name(name: str | None, path: str, problems: Problems) -> None:
    """The name of a CSI driver."""
    if not name:
        problems.required(path)
        return
    if len(name) > 63:
        problems.too_long(path, 63)
    check_text(dns_subdomain, name.lower(), path, problems)


def claim(found: Object, problems: Problems) -> None:
    """PersistentVolumeClaim."""
    claim_spec(found.get("spec", {}), "spec", problems)


def claim_spec(spec: Object, path: str, problems: Problems) -> None:
    """The specification of a claim."""
    modes = spec.get("accessModes", [])
    if not modes:
        problems.required(f"{path}.accessModes", "at least 1 access mode is required")
    _access_modes(modes, f"{path}.accessModes", problems)
    if "selector" in spec:
        label_selector(spec["selector"], f"{path}.selector", problems)
    storage = spec.get("resources", {}).get("requests", {}).get("storage")
    if storage is None:
        problems.required(f"{path}.resources[storage]")
    elif amount(storage, f"{path}.resources[storage]", problems) == 0:
        problems.invalid(f"{path}.resources[storage]", str(storage), "must be greater than zero")
    if spec.get("storageClassName"):
        check_text(dns_subdomain, spec["storageClassName"], f"{path}.storageClassName", problems)
    problems.one_of(f"{path}.volumeMode", spec.get("volumeMode", "Filesystem"), ["Block", "Filesystem"])


def claim_change(found: Object, old: Object, problems: Problems) -> None:
    """A bound claim can only grow."""

    def fixed(spec: Object) -> Object:
        kept = {key: value for key, value in spec.items() if key not in ("volumeName", "volumeAttributesClassName")}
        resources = kept.pop("resources", {})
        requests = {name: value for name, value in resources.get("requests", {}).items() if name != "storage"}
        return {**kept, "resources": {**resources, "requests": requests}}

    if fixed(found["spec"]) != fixed(old["spec"]):
        problems.forbidden(
            "spec",
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
        )
    asked = found["spec"].get("resources", {}).get("requests", {}).get("storage")
    has = old.get("status", {}).get("capacity", {}).get("storage")
    if (quantity(asked) or 0) < (quantity(has) or 0):
        problems.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")


def _access_modes(modes: list[str], path: str, problems: Problems) -> None:
    for mode in modes:
        problems.one_of(path, mode, _ACCESS_MODES)
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        problems.forbidden(path, "may not use ReadWriteOncePod with other access modes")


def persistent_volume(found: Object, problems: Problems) -> None:
    """PersistentVolume."""
    spec = found.get("spec", {})
    if not spec.get("accessModes"):
        problems.required("spec.accessModes")
    _access_modes(spec.get("accessModes", []), "spec.accessModes", problems)
    capacity = spec.get("capacity", {})
    if "storage" not in capacity or len(capacity) != 1:
        problems.unsupported("spec.capacity", capacity, ["storage"])
    elif amount(capacity["storage"], "spec.capacity[storage]", problems) == 0:
        problems.invalid("spec.capacity[storage]", str(capacity["storage"]), "must be greater than zero")
    if spec.get("storageClassName"):
        check_text(dns_subdomain, spec["storageClassName"], "spec.storageClassName", problems)
    policy = spec["persistentVolumeReclaimPolicy"]
    problems.one_of("spec.persistentVolumeReclaimPolicy", policy, ["Delete", "Recycle", "Retain"])
    if "csi" in spec:
        driver_name(spec["csi"].get("driver"), "spec.csi.driver", problems)
        if not spec["csi"].get("volumeHandle"):
            problems.required("spec.csi.volumeHandle")
    elif not spec.keys() & {"hostPath", "local", "nfs", "awsElasticBlockStore", "fc", "iscsi"}:
        problems.required("spec", "must specify a volume type")


def persistent_volume_change(found: Object, old: Object, problems: Problems) -> None:
    """The source of a volume is for good."""
    for name in ("csi", "hostPath", "nfs", "local"):
        if found["spec"].get(name) != old["spec"].get(name):
            problems.forbidden("spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation")
    unchanged(found["spec"], old["spec"], ["volumeMode"], "spec", problems)


def storage_class(found: Object, problems: Problems) -> None:
    """StorageClass."""
    provisioner = found.get("provisioner", "")
    if not provisioner:
        problems.required("provisioner")
    else:
        check_text(qualified_name, provisioner.lower(), "provisioner", problems)
    for key in found.get("parameters", {}):
        if not key:
            problems.invalid("parameters", key, "field can not be empty.")
    problems.one_of("reclaimPolicy", found["reclaimPolicy"] or "Delete", ["Delete", "Retain"])
    problems.one_of("volumeBindingMode", found["volumeBindingMode"], ["Immediate", "WaitForFirstConsumer"])
    terms: list[Object] = []
    for index, term in enumerate(found.get("allowedTopologies", [])):
        _topology(term, terms, f"allowedTopologies[{index}].matchLabelExpressions", problems)
        terms.append(term)


def _topology(term: Object, others: list[Object], path: str, problems: Problems) -> None:
    keys: set[str] = set()
    requirements = term.get("matchLabelExpressions", [])
    for number, requirement in enumerate(requirements):
        place, key, values = f"{path}[{number}]", requirement.get("key", ""), requirement.get("values", [])
        if not values:
            problems.required(f"{place}.values")
        for index, value in enumerate(values):
            if value in values[:index]:
                problems.duplicate(f"{place}.values[{index}]", value)
        labels({key: ""}, f"{place}.key", problems)
        if key in keys:
            problems.duplicate(f"{place}.key", key)
        keys.add(key)
    if not requirements or term in others:
        problems.duplicate(path, "")


def storage_class_change(found: Object, old: Object, problems: Problems) -> None:
    """Volumes were made with the old values."""
    if found.get("parameters", {}) != old.get("parameters", {}):
        problems.forbidden("parameters", "updates to parameters are forbidden.")
    for name in ("provisioner", "reclaimPolicy"):
        if found.get(name) != old.get(name):
            problems.forbidden(name, f"updates to {name} are forbidden.")
    unchanged(found, old, ["volumeBindingMode"], "", problems)


def csi_driver_change(found: Object, old: Object, problems: Problems) -> None:
    """How volumes are attached is for good."""
    for name, shown in (("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")):
        if found["spec"].get(name) != old["spec"].get(name):
            problems.invalid(f"spec.{shown}", found["spec"].get(name), "field is immutable")


def csi_driver(found: Object, problems: Problems) -> None:
    """CSIDriver."""
    spec: Any = found.get("spec", {})
    problems.one_of("spec.fsGroupPolicy", spec.get("fsGroupPolicy"), ["File", "None", "ReadWriteOnceWithFSType"])
    for index, mode in enumerate(spec.get("volumeLifecycleModes", [])):
        if mode not in _LIFECYCLES:
            problems.unsupported(f"spec.volumeLifecycleModes[{index}]", mode, _LIFECYCLES)
    audiences = [request.get("audience", "") for request in spec.get("tokenRequests", [])]
    for index, audience in enumerate(audiences):
        if audience in audiences[:index]:
            problems.duplicate(f"spec.tokenRequests[{index}].audience", audience)
    for index, request in enumerate(spec.get("tokenRequests", [])):
        if request.get("expirationSeconds", 600) < 600:
            problems.invalid(
                f"spec.tokenRequests[{index}].expirationSeconds",
                request["expirationSeconds"],
                "may not specify a duration less than 10 minutes",
            )
