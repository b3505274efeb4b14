"""Rules of the API server that span several fields of a pod.

https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .field_rules import CONTAINER, CONTAINER_NEEDS, CONTAINER_ONE, POD, POD_NEEDS, field_problems, values
from .objects import each, part
from .quantities import quantity
from .tokens import is_token

Body = Mapping[str, Any]

_TEMPLATED = frozenset(
    ["DaemonSet", "Deployment", "Job", "PodTemplate", "ReplicaSet", "ReplicationController", "StatefulSet"]
)
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_HANDLERS = ("exec", "grpc", "httpGet", "tcpSocket")
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]([a-z0-9]|-(?!-)){0,13}[a-z0-9]|[a-z]")
_CONTAINER_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_HUGE = "hugepages-"
_ADMIN = "CAP_SYS_ADMIN"
_NATIVE_RESOURCES = ("cpu", "memory", "ephemeral-storage")
_DEVICES = (
    "nvidia.com/gpu",
    "nvidia.com/gpu.shared",
    "aws.amazon.com/neuron",
    "aws.amazon.com/neuroncore",
    "aws.amazon.com/neurondevice",
    "vpc.amazonaws.com/efa",
    "vpc.amazonaws.com/pod-eni",
)
_DEVICE_DOMAINS = {name.partition("/")[0] for name in _DEVICES}


def pod_problems(body: Body) -> Iterator[str]:
    """The mistakes in the pod specification of an object, each with its field path."""
    kind = str(body["kind"])
    at, pod = _pod_of(kind, body)
    if pod is None:
        return
    containers = [
        (f"{at}.{field}[{index}]", field, container)
        for field in ("initContainers", "containers")
        for index, container in enumerate(each(pod, field))
    ]
    if not any(field == "containers" for _, field, _ in containers) and not is_token(pod.get("containers")):
        yield f"{at}.containers: required; a pod has at least one"
    yield from field_problems(pod, at, POD, POD_NEEDS)
    yield from _duplicates(f"{at}.containers", "name", [container.get("name") for _, _, container in containers])
    yield from _pod(at, pod, [(place, container) for place, _, container in containers])
    for place, field, container in containers:
        probed = field == "containers" or container.get("restartPolicy") == "Always"
        yield from _container(place, container, probed=probed)
    claims = [part(claim, "metadata").get("name") for claim in each(part(body, "spec"), "volumeClaimTemplates")]
    yield from _volumes(at, pod, containers, claims)
    restart = pod.get("restartPolicy", "Always")
    if kind in ("Job", "CronJob") and restart not in ("Never", "OnFailure") and not is_token(restart):
        yield f"{at}.restartPolicy: must be 'Never' or 'OnFailure' in a {kind}, got {restart!r}"
    if kind in _TEMPLATED - {"Job", "PodTemplate"} and restart != "Always" and not is_token(restart):
        yield f"{at}.restartPolicy: must be 'Always' in a {kind}, got {restart!r}; remove it"


def _pod_of(kind: str, body: Body) -> tuple[str, Body | None]:
    """The path and the body of the pod specification in an object; None if the object creates no pods."""
    if kind == "Pod":
        return "spec", part(body, "spec")
    if kind == "CronJob":
        return "spec.jobTemplate.spec.template.spec", part(body, "spec", "jobTemplate", "spec", "template", "spec")
    if kind == "PodTemplate":
        return "template.spec", part(body, "template", "spec")
    return ("spec.template.spec", part(body, "spec", "template", "spec")) if kind in _TEMPLATED else ("", None)


def _pod(at: str, pod: Body, containers: list[tuple[str, Body]]) -> Iterator[str]:
    """What does not fit between the fields of a pod."""
    for field in ("priority", "preemptionPolicy"):
        if pod.get(field) is not None:
            yield f"{at}.{field}: comes from priorityClassName; leave it out"
    if pod.get("overhead") and not pod.get("runtimeClassName"):
        yield f"{at}.overhead: comes from runtimeClassName; leave it out"
    for place, source in values(pod, at, "volumes.*.projected.sources.*"):
        if isinstance(source, Mapping) and len(named := [field for field, value in source.items() if value]) > 1:
            yield f"{place}: has {' and '.join(named)}; give each an element of its own"
    if pod.get("dnsPolicy") == "None" and not pod.get("dnsConfig"):
        yield f"{at}.dnsConfig: required with dnsPolicy 'None'"
    if pod.get("hostPID") and pod.get("shareProcessNamespace"):
        yield f"{at}: has hostPID and shareProcessNamespace; keep one"
    for index, one in enumerate(each(pod, "tolerations")):
        yield from _toleration(f"{at}.tolerations[{index}]", one)
    spread = [(one.get("topologyKey"), one.get("whenUnsatisfiable")) for one in each(pod, "topologySpreadConstraints")]
    for index, one in enumerate(each(pod, "topologySpreadConstraints")):
        place = f"{at}.topologySpreadConstraints[{index}]"
        if spread.index(spread[index]) < index:
            yield f"{place}: topologyKey and whenUnsatisfiable are used twice; merge the two"
        if one.get("minDomains") is not None and one.get("whenUnsatisfiable") == "ScheduleAnyway":
            yield f"{place}.minDomains: needs whenUnsatisfiable 'DoNotSchedule'"
    yield from _duplicates(f"{at}.schedulingGates", "name", [one.get("name") for one in each(pod, "schedulingGates")])
    yield from _seccomp(at, pod)
    claims = {claim.get("name") for claim in each(pod, "resourceClaims")}
    taken: set[tuple[object, ...]] = set()
    for place, container in containers:
        for index, claim in enumerate(each(part(container, "resources"), "claims")):
            if claim.get("name") not in claims:
                yield f"{place}.resources.claims[{index}].name: {claim.get('name')!r} is not in resourceClaims"
        for index, port in enumerate(each(container, "ports")):
            number, on_node = port.get("containerPort"), port.get("hostPort")
            if pod.get("hostNetwork") and on_node is not None and on_node != number:
                yield f"{place}.ports[{index}].hostPort: must be the containerPort {number} with hostNetwork"
            key = (port.get("protocol", "TCP"), port.get("hostIP", ""), on_node)
            if on_node and key in taken:
                yield f"{place}.ports[{index}].hostPort: {on_node} is taken by another port of the pod"
            taken.add(key)


def _toleration(at: str, toleration: Body) -> Iterator[str]:
    operator, effect = toleration.get("operator", "Equal"), toleration.get("effect")
    if operator == "Exists" and toleration.get("value"):
        yield f"{at}.value: must be left out with the operator 'Exists'"
    if operator == "Equal" and not toleration.get("key"):
        yield f"{at}.operator: must be 'Exists' without a key"
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute" and not is_token(effect):
        yield f"{at}.effect: must be 'NoExecute' with tolerationSeconds, got {effect!r}"


def _seccomp(at: str, holder: Body) -> Iterator[str]:
    profile = part(holder, "securityContext", "seccompProfile")
    if profile.get("type") == "Localhost" and not profile.get("localhostProfile"):
        yield f"{at}.securityContext.seccompProfile.localhostProfile: required for the type Localhost"


def _container(at: str, container: Body, *, probed: bool) -> Iterator[str]:
    name, image = container.get("name"), container.get("image")
    if isinstance(name, str) and not is_token(name) and not _CONTAINER_NAME.fullmatch(name):
        yield f"{at}.name: {name!r} must be at most 63 lower-case letters, digits and '-'"
    if not image:
        yield f"{at}.image: required; set the image"
    yield from field_problems(container, at, CONTAINER, CONTAINER_NEEDS, CONTAINER_ONE)
    yield from _seccomp(at, container)
    yield from _privileges(at, container)
    ports = each(container, "ports")
    for index, port in enumerate(ports):
        for field in ("containerPort", "hostPort"):
            yield from port_problem(f"{at}.ports[{index}].{field}", port.get(field))
        port_name = port.get("name")
        if isinstance(port_name, str) and not is_token(port_name) and not _PORT_NAME.fullmatch(port_name):
            yield f"{at}.ports[{index}].name: {port_name!r} must be at most 15 lower-case letters, digits and '-'"
    yield from _duplicates(f"{at}.ports", "name", [port.get("name") for port in ports])
    for probe in _PROBES:
        if probe in container and not is_token(container[probe]):
            if not probed:
                yield f"{at}.{probe}: not allowed for an init container unless its restartPolicy is 'Always'; remove it"
            yield from _probe(f"{at}.{probe}", part(container, probe), once=probe != "readinessProbe")
    for index, variable in enumerate(each(container, "env")):
        if variable.get("value") and variable.get("valueFrom"):
            yield f"{at}.env[{index}]: has value and valueFrom; keep one"
    yield from _resources(f"{at}.resources", part(container, "resources"))


def _privileges(at: str, container: Body) -> Iterator[str]:
    security = part(container, "securityContext")
    added = part(security, "capabilities").get("add") or ()
    mighty = "privileged" if security.get("privileged") is True else _ADMIN if _ADMIN in added else ""
    if mighty and security.get("allowPrivilegeEscalation") is False:
        yield f"{at}.securityContext.allowPrivilegeEscalation: may not be false for a container that is {mighty}"
    for index, mount in enumerate(each(container, "volumeMounts")):
        place = f"{at}.volumeMounts[{index}]"
        if mount.get("subPath") and mount.get("subPathExpr"):
            yield f"{place}: has subPath and subPathExpr; keep one"
        if mount.get("mountPropagation") == "Bidirectional" and not security.get("privileged"):
            yield f"{place}.mountPropagation: 'Bidirectional' needs a privileged container"
        if any(device.get("name") == mount.get("name") for device in each(container, "volumeDevices")):
            yield f"{place}.name: {mount.get('name')!r} is in volumeDevices, too; keep one"


def _probe(at: str, probe: Body, *, once: bool) -> Iterator[str]:
    handlers = [name for name in _HANDLERS if probe.get(name) is not None]
    if len(handlers) != 1:
        yield f"{at}: must have one of {', '.join(_HANDLERS)}, has {' and '.join(handlers) or 'none'}"
    for name in handlers:
        yield from port_problem(f"{at}.{name}.port", part(probe, name).get("port"))
    threshold = probe.get("successThreshold", 1)
    if not once and probe.get("terminationGracePeriodSeconds") is not None:
        yield f"{at}.terminationGracePeriodSeconds: a readiness probe stops no container; leave it out"
    if once and threshold != 1 and not is_token(threshold):
        yield f"{at}.successThreshold: must be 1, got {threshold!r}"


def _resources(at: str, resources: Body) -> Iterator[str]:
    requests, limits = part(resources, "requests"), part(resources, "limits")
    for field, amounts in (("requests", requests), ("limits", limits)):
        for name, amount in amounts.items():
            yield from _resource(f'{at}.{field}["{name}"]', str(name), amount)
    pages = [name for name in {**requests, **limits} if str(name).startswith(_HUGE)]
    if pages and not {"cpu", "memory"} & {*requests, *limits}:
        yield f"{at}: huge pages need cpu or memory next to them"
    for name, amount in requests.items():
        requested, limit = quantity(amount), quantity(limits.get(name))
        if _is_device(str(name)) or str(name).startswith(_HUGE):
            if name not in limits:
                yield f'{at}.limits["{name}"]: required because a device that is requested must have a limit'
            elif requested is not None and limit is not None and requested != limit:
                yield f'{at}.requests["{name}"]: must equal the limit {limits[name]!r}, got {amount!r}'
        elif requested is not None and limit is not None and requested > limit:
            yield f'{at}.requests["{name}"]: must not exceed the limit {limits[name]!r}, got {amount!r}'


def _resource(at: str, name: str, amount: Any) -> Iterator[str]:
    if is_token(name):
        return
    domain, slash, _ = name.partition("/")
    if not slash and name not in _NATIVE_RESOURCES and not name.startswith(_HUGE):
        near = difflib.get_close_matches(name, _NATIVE_RESOURCES, n=1, cutoff=0.7)
        yield f"{at}: unknown resource" + (
            f"; did you mean {near[0]!r}?" if near else "; for a device, use domain/name"
        )
    if domain in _DEVICE_DOMAINS and name not in _DEVICES and not name.startswith("nvidia.com/mig-"):
        near = difflib.get_close_matches(name, _DEVICES, n=1)
        yield f"{at}: no device plugin offers it" + (f"; did you mean {near[0]!r}?" if near else "")
    value = quantity(amount)
    if value is not None and value < 0:
        yield f"{at}: must not be below 0, got {amount!r}"
    if value is not None and _is_device(name) and value % 1:
        yield f"{at}: must be a whole number, got {amount!r}"


def _is_device(name: str) -> bool:
    """Whether it is an extended resource: its name has a domain, and its quantity is an integer."""
    domain, slash, _ = name.partition("/")
    return bool(slash) and not domain.endswith("kubernetes.io")


def _volumes(at: str, pod: Body, containers: list[tuple[str, str, Body]], claims: list[Any]) -> Iterator[str]:
    """:param claims: names of the volumes from a StatefulSet's volumeClaimTemplates."""
    volumes = each(pod, "volumes")
    names = [volume.get("name") for volume in volumes]
    yield from _duplicates(f"{at}.volumes", "name", names)
    for index, volume in enumerate(volumes):
        sources = [field for field, value in volume.items() if field != "name" and value is not None]
        if len(sources) != 1:
            yield f"{at}.volumes[{index}]: must have one source, has {' and '.join(sources) or 'none'}"
    if is_token(pod.get("volumes")) or any(is_token(name) for name in names):
        return
    for place, _, container in containers:
        mounts = each(container, "volumeMounts")
        yield from _duplicates(f"{place}.volumeMounts", "mountPath", [mount.get("mountPath") for mount in mounts])
        for index, mount in enumerate(mounts):
            name = mount.get("name")
            if name not in names and name not in claims and not is_token(name):
                yield f"{place}.volumeMounts[{index}].name: {name!r} is not a volume of the pod"


def port_problem(at: str, port: Any) -> Iterator[str]:
    """A port outside the valid range. A named port, a token or None passes."""
    if isinstance(port, int) and not isinstance(port, bool) and not 1 <= port <= 65535:
        yield f"{at}: must be 1 to 65535, got {port}"


def _duplicates(at: str, field: str, values: list[Any]) -> Iterator[str]:
    known = [value for value in values if isinstance(value, str) and not is_token(value)]
    for value in sorted({value for value in known if known.count(value) > 1}):
        yield f"{at}: {field} {value!r} is used {known.count(value)} times; it must be unique"
