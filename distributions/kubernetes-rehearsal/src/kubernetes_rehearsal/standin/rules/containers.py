"""Containers: images, ports, environment, mounts, resources, probes, security."""

from decimal import Decimal
from typing import Any

from kubernetes_rehearsal.standin.errors import Object, Problems
from kubernetes_rehearsal.standin.formats import (
    config_key,
    dns_label,
    dns_subdomain,
    environment_name,
    header_name,
    port_name,
    port_number,
    qualified_name,
)
from kubernetes_rehearsal.standin.rules.common import (
    PROTOCOLS,
    amount,
    check_text,
    exactly_one,
    not_negative,
    port,
    required_text,
)

_HANDLERS = {"exec", "httpGet", "tcpSocket", "grpc", "sleep"}
_ENV_SOURCES = {"configMapKeyRef", "fieldRef", "fileKeyRef", "resourceFieldRef", "secretKeyRef"}
_ENV_FIELDS = {
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP",
    "status.hostIPs", "status.podIP", "status.podIPs",
}  # fmt: skip
_STANDARD_RESOURCES = {"cpu", "memory", "ephemeral-storage"}
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_SECCOMP = ["Localhost", "RuntimeDefault", "Unconfined"]


def containers(spec: Object, volumes: set[str], path: str, problems: Problems) -> None:
    """All containers of a pod.

    :param volumes: names of the pod's volumes.
    :param path: of the pod's spec.
    """
    main = spec.get("containers", [])
    if not main:
        problems.required(f"{path}.containers")
    names: set[str] = set()
    for index, container in enumerate(main):
        place = f"{path}.containers[{index}]"
        _container(container, volumes, place, problems)
        _unique(container, names, place, problems)
        _hooks(container, spec, place, problems)
    _host_ports(main, f"{path}.containers", problems)
    for index, container in enumerate(spec.get("initContainers", [])):
        place = f"{path}.initContainers[{index}]"
        _container(container, volumes, place, problems)
        _unique(container, names, place, problems)
        if "restartPolicy" in container:
            problems.one_of(f"{place}.restartPolicy", container["restartPolicy"], ["Always"])
        if container.get("restartPolicy") == "Always":
            _hooks(container, spec, place, problems)
            continue
        for name in ("lifecycle", *_PROBES):
            if name in container:
                problems.forbidden(f"{place}.{name}", "may not be set for init containers without restartPolicy=Always")


def _unique(container: Object, names: set[str], path: str, problems: Problems) -> None:
    name = container.get("name")
    if name in names:
        problems.duplicate(f"{path}.name", name)
    elif name:
        names.add(name)


def _container(container: Object, volumes: set[str], path: str, problems: Problems) -> None:
    required_text(dns_label, container.get("name"), f"{path}.name", problems)
    if not container.get("image"):
        problems.required(f"{path}.image")
    problems.one_of(f"{path}.imagePullPolicy", container["imagePullPolicy"], ["Always", "IfNotPresent", "Never"])
    policy = container["terminationMessagePolicy"]
    problems.one_of(f"{path}.terminationMessagePolicy", policy, ["FallbackToLogsOnError", "File"])
    _ports(container.get("ports", []), f"{path}.ports", problems)
    _environment(container, path, problems)
    _mounts(container, volumes, path, problems)
    resources(container.get("resources", {}), f"{path}.resources", problems)
    _security(container.get("securityContext", {}), f"{path}.securityContext", problems)


def _ports(ports: list[Object], path: str, problems: Problems) -> None:
    names = set()
    for index, one in enumerate(ports):
        place = f"{path}[{index}]"
        if name := one.get("name"):
            check_text(port_name, name, f"{place}.name", problems)
            if name in names:
                problems.duplicate(f"{place}.name", name)
            names.add(name)
        for field in ("containerPort", "hostPort"):
            number = one.get(field, 0)
            if number == 0 and field == "containerPort":
                problems.required(f"{place}.{field}")
            elif number and (wrong := port_number(number)):
                problems.invalid(f"{place}.{field}", number, wrong)
        problems.one_of(f"{place}.protocol", one["protocol"], PROTOCOLS)


def _host_ports(found: list[Object], path: str, problems: Problems) -> None:
    """Two containers cannot listen on one port of the host."""
    taken = set()
    for number, container in enumerate(found):
        for index, one in enumerate(container.get("ports", [])):
            if one.get("hostPort"):
                key = f"{one['protocol']}/{one.get('hostIP', '')}/{one['hostPort']}"
                if key in taken:
                    problems.duplicate(f"{path}[{number}].ports[{index}].hostPort", key)
                taken.add(key)


def _environment(container: Object, path: str, problems: Problems) -> None:
    for index, variable in enumerate(container.get("env", [])):
        place = f"{path}.env[{index}]"
        required_text(environment_name, variable.get("name"), f"{place}.name", problems)
        if "valueFrom" in variable:
            _value_from(variable, f"{place}.valueFrom", problems)
    for index, source in enumerate(container.get("envFrom", [])):
        if source.get("prefix"):
            check_text(environment_name, source["prefix"], f"{path}.envFrom[{index}].prefix", problems)
        there = {"configMapRef", "secretRef"} & source.keys()
        if not there:
            problems.invalid(f"{path}.envFrom", "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(there) > 1:
            problems.invalid(f"{path}.envFrom", "", "may not have more than one field specified at a time")
        for name in there:
            check_text(dns_subdomain, source[name].get("name", ""), f"{path}.envFrom[{index}].{name}.name", problems)


def _value_from(variable: Object, path: str, problems: Problems) -> None:
    source = variable["valueFrom"]
    there = _ENV_SOURCES & source.keys()
    for name in there & {"configMapKeyRef", "secretKeyRef"}:
        check_text(dns_subdomain, source[name].get("name", ""), f"{path}.{name}.name", problems)
        required_text(config_key, source[name].get("key"), f"{path}.{name}.key", problems)
    if "fieldRef" in there:
        _field_reference(source["fieldRef"], f"{path}.fieldRef", problems)
    if "resourceFieldRef" in there:
        resource_reference(source["resourceFieldRef"], f"{path}.resourceFieldRef", problems)
    if not there:
        problems.invalid(path, "", f"must specify one of: {', '.join(f'`{name}`' for name in sorted(_ENV_SOURCES))}")
    elif variable.get("value"):
        problems.invalid(path, "", "may not be specified when `value` is not empty")
    elif len(there) > 1:
        problems.invalid(path, "", "may not have more than one field specified at a time")


def _field_reference(reference: Object, path: str, problems: Problems) -> None:
    field = reference.get("fieldPath", "")
    if not field:
        problems.required(f"{path}.fieldPath")
    elif field.startswith(("metadata.labels['", "metadata.annotations['")) and field.endswith("']"):
        check_text(qualified_name, field[field.index("'") + 1 : -2], f"{path}.fieldPath", problems)
    elif field in ("metadata.labels", "metadata.annotations"):
        problems.unsupported(f"{path}.fieldPath", field, sorted(_ENV_FIELDS))
    elif field not in _ENV_FIELDS:
        if field.split(".")[0] in ("metadata", "spec", "status"):
            problems.unsupported(f"{path}.fieldPath", field, sorted(_ENV_FIELDS))
        else:
            problems.invalid(
                f"{path}.fieldPath", field, f"error converting fieldPath: field label not supported: {field}"
            )


def resource_reference(reference: Object, path: str, problems: Problems) -> None:
    """A reference to a container's own requests or limits."""
    name = reference.get("resource", "")
    kind, _, resource = name.partition(".")
    if not name:
        problems.required(f"{path}.resource")
    elif kind not in ("limits", "requests") or not (
        resource in _STANDARD_RESOURCES or resource.startswith("hugepages-")
    ):
        allowed = [f"{kind}.{resource}" for kind in ("limits", "requests") for resource in _STANDARD_RESOURCES]
        problems.unsupported(f"{path}.resource", name, allowed)


def _mounts(container: Object, volumes: set[str], path: str, problems: Problems) -> None:
    paths = set()
    for index, mount in enumerate(container.get("volumeMounts", [])):
        place = f"{path}.volumeMounts[{index}]"
        if not mount.get("name"):
            problems.required(f"{place}.name")
        if mount.get("name") not in volumes:
            problems.not_found(f"{place}.name", mount.get("name", ""))
        target = mount.get("mountPath", "")
        if not target:
            problems.required(f"{place}.mountPath")
        if target in paths:
            problems.invalid(f"{place}.mountPath", target, "must be unique")
        paths.add(target)
        if "subPath" in mount and "subPathExpr" in mount:
            problems.invalid(
                f"{place}.subPathExpr", mount["subPathExpr"], "subPathExpr and subPath are mutually exclusive"
            )
        for name in ("subPath", "subPathExpr"):
            relative_path(mount.get(name, ""), f"{path}.volumeMounts.{name}", problems)
        propagation = mount.get("mountPropagation", "None")
        place = f"{path}.volumeMounts.mountPropagation"
        problems.one_of(place, propagation, ["Bidirectional", "HostToContainer", "None"])
        if propagation == "Bidirectional" and not container.get("securityContext", {}).get("privileged"):
            problems.forbidden(place, "Bidirectional mount propagation is available only to privileged containers")
    for index, device in enumerate(container.get("volumeDevices", [])):
        if device.get("name") not in volumes:
            problems.not_found(f"{path}.volumeDevices[{index}].name", device.get("name", ""))


def relative_path(value: str, path: str, problems: Problems) -> None:
    """A path that neither starts at the root nor climbs."""
    if value.startswith("/"):
        problems.invalid(path, value, "must be a relative path")
    if ".." in value.split("/"):
        problems.invalid(path, value, "must not contain '..'")


def resources(found: Object, path: str, problems: Problems) -> None:
    """Requests and limits: names, amounts, and requests within limits."""
    limits: dict[str, Decimal] = {}
    for kind in ("limits", "requests"):
        for name, value in found.get(kind, {}).items():
            place = f"{path}.{kind}[{name}]"
            resource_name(name, place, problems)
            number = amount(value, place, problems)
            if "/" in name and number % 1:
                problems.invalid(place, str(value), "must be an integer")
            if kind == "limits":
                limits[name] = number
            elif name in limits:
                limit = found["limits"][name]
                if _exact(name) and number != limits[name]:
                    problems.invalid(f"{path}.requests", str(value), f"must be equal to {name} limit of {limit}")
                elif number > limits[name]:
                    problems.invalid(
                        f"{path}.requests", str(value), f"must be less than or equal to {name} limit of {limit}"
                    )
            elif _exact(name):
                problems.required(f"{path}.limits", "Limit must be set for non overcommitable resources")


def _exact(name: str) -> bool:
    """Devices and huge pages cannot be promised twice."""
    return ("/" in name and "kubernetes.io/" not in name) or name.startswith("hugepages-")


def resource_name(name: str, path: str, problems: Problems) -> None:
    """The resources that a container can request."""
    check_text(qualified_name, name, path, problems)
    if "/" not in name:
        if name not in _STANDARD_RESOURCES and not name.startswith("hugepages-"):
            problems.invalid(path, name, "must be a standard resource type or fully qualified")
            problems.invalid(path, name, "must be a standard resource for containers")
    elif name.startswith("requests."):
        problems.invalid(path, name, "doesn't follow extended resource name standard")


def _hooks(container: Object, spec: Object, path: str, problems: Problems) -> None:
    """Probes, and what runs after the start and before the end."""
    grace = spec["terminationGracePeriodSeconds"]
    for name in ("postStart", "preStop"):
        if name in container.get("lifecycle", {}):
            _handler(container["lifecycle"][name], grace, f"{path}.lifecycle.{name}", problems)
    for name in _PROBES:
        if name not in container:
            continue
        probe, place = container[name], f"{path}.{name}"
        _handler(probe, grace, place, problems)
        for field in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
            not_negative(probe, field, place, problems)
        if name != "readinessProbe" and probe["successThreshold"] != 1:
            problems.invalid(f"{place}.successThreshold", probe["successThreshold"], "must be 1")
        if "terminationGracePeriodSeconds" in probe:
            if name == "readinessProbe":
                problems.invalid(
                    f"{place}.terminationGracePeriodSeconds",
                    probe["terminationGracePeriodSeconds"],
                    "must not be set for readinessProbes",
                )
            elif probe["terminationGracePeriodSeconds"] <= 0:
                problems.invalid(
                    f"{place}.terminationGracePeriodSeconds",
                    probe["terminationGracePeriodSeconds"],
                    "must be greater than 0",
                )


def _handler(handler: Object, grace: int, path: str, problems: Problems) -> None:
    kind = exactly_one(
        handler, _HANDLERS, path, problems, "must specify a handler type", "may not specify more than 1 handler type"
    )
    if kind == "exec" and not handler["exec"].get("command"):
        problems.required(f"{path}.exec.command")
    if kind in ("httpGet", "tcpSocket", "grpc"):
        port(handler[kind].get("port", 0), f"{path}.{kind}.port", problems)
    if kind == "httpGet":
        for header in handler["httpGet"].get("httpHeaders", []):
            check_text(header_name, header.get("name", ""), f"{path}.httpGet.httpHeaders", problems)
        problems.one_of(f"{path}.httpGet.scheme", handler["httpGet"]["scheme"], ["HTTP", "HTTPS"])
    if kind == "sleep" and not 0 <= handler["sleep"].get("seconds", 0) <= grace:
        detail = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
        problems.invalid(f"{path}.sleep", handler["sleep"].get("seconds"), detail)


def _security(context: Object, path: str, problems: Problems) -> None:
    user_and_group(context, path, problems)
    seccomp(context.get("seccompProfile"), f"{path}.seccompProfile", problems)
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            problems.invalid(path, context, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true")
        if "CAP_SYS_ADMIN" in context.get("capabilities", {}).get("add", []):
            problems.invalid(
                path, context, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            )


def user_and_group(context: Object, path: str, problems: Problems) -> None:
    """Numbers of users and groups."""
    for name in ("runAsUser", "runAsGroup", "fsGroup"):
        value: Any = context.get(name)
        if value is not None and not 0 <= value < 2**31:
            problems.invalid(f"{path}.{name}", value, "must be between 0 and 2147483647, inclusive")


def seccomp(profile: Object | None, path: str, problems: Problems) -> None:
    """A seccomp profile's type and file."""
    if profile is None:
        return
    if not profile.get("type"):
        problems.required(f"{path}.type", "type is required when seccompProfile is set")
    else:
        problems.one_of(f"{path}.type", profile["type"], _SECCOMP)
    if profile.get("type") == "Localhost":
        if "localhostProfile" not in profile:
            problems.required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost")
        else:
            relative_path(profile["localhostProfile"], f"{path}.localhostProfile", problems)
    elif "localhostProfile" in profile:
        problems.invalid(f"{path}.localhostProfile", profile, "can only be set when seccomp type is Localhost")
