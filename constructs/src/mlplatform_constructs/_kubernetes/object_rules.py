"""Rules of the API server that span several fields of an object."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .field_rules import KINDS, NEEDS, ONE, field_problems
from .objects import each, part
from .pod_rules import pod_problems, port_problem
from .quantities import quantity
from .spanning_rules import spanning_problems
from .tokens import is_token

Body = Mapping[str, Any]

_MACROS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_STEP = r"(/\d+)?"
_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_DAYS = "sun|mon|tue|wed|thu|fri|sat"
_FIELDS = (
    ("minute", 0, 59, ""),
    ("hour", 0, 23, ""),
    ("day", 1, 31, ""),
    ("month", 1, 12, _MONTHS),
    ("weekday", 0, 7, _DAYS),
)
_DATA_BYTES = 1_048_576
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")


def object_problems(body: Body) -> Iterator[str]:
    """The mistakes of an object whose fields all match their schema, each with its field path."""
    kind = str(body["kind"])
    yield from pod_problems(body)
    yield from field_problems(body, "", KINDS.get(kind, {}), NEEDS.get(kind, ()), ONE.get(kind))
    yield from spanning_problems(body)
    rules = _RULES.get(kind)
    if rules:
        yield from rules(body, part(body, "spec"))


def _service(body: Body, spec: Body) -> Iterator[str]:
    ports = each(spec, "ports")
    type_ = spec.get("type", "ClusterIP")
    if type_ == "ExternalName":
        if not spec.get("externalName"):
            yield "spec.externalName: required for the type ExternalName"
    elif not ports and spec.get("clusterIP") != "None" and not is_token(spec.get("ports")):
        yield "spec.ports: required, unless clusterIP is 'None'"
    seen: list[tuple[Any, Any]] = []
    for index, port in enumerate(ports):
        at = f"spec.ports[{index}]"
        if len(ports) > 1 and not port.get("name"):
            yield f"{at}.name: required where a Service has several ports"
        for field in ("port", "targetPort"):
            yield from port_problem(f"{at}.{field}", port.get(field))
        node_port = port.get("nodePort")
        if isinstance(node_port, int) and node_port and not 30000 <= node_port <= 32767:
            yield f"{at}.nodePort: must be 30000 to 32767, got {node_port}"
        place = (port.get("port"), port.get("protocol", "TCP"))
        if place in seen and not is_token(place[0]):
            yield f"{at}: port {place[0]} of {place[1]} is listed twice"
        seen.append(place)
    names = [port["name"] for port in ports if port.get("name") and not is_token(port["name"])]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"spec.ports: name {name!r} is used {names.count(name)} times; each port needs a unique name"


def _autoscaler(body: Body, spec: Body) -> Iterator[str]:
    least, most = spec.get("minReplicas", 1), spec.get("maxReplicas")
    if isinstance(least, int) and least < 1:
        yield f"spec.minReplicas: must be 1 or more, got {least}"
    if isinstance(least, int) and isinstance(most, int) and most < max(least, 1):
        yield f"spec.maxReplicas: must not be below minReplicas {least}, got {most}"


def _disruption_budget(body: Body, spec: Body) -> Iterator[str]:
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        yield "spec: has minAvailable and maxUnavailable; keep one"


def _cron_job(body: Body, spec: Body) -> Iterator[str]:
    schedule = spec.get("schedule")
    if not isinstance(schedule, str) or is_token(schedule) or schedule in _MACROS:
        return
    if re.fullmatch(r"@every \d+[smh](\d+[sm])*", schedule):
        return
    fields = schedule.split()
    if "TZ" in schedule:
        yield f"spec.schedule: {schedule!r} contains a time zone; set spec.timeZone instead"
    elif len(fields) != len(_FIELDS):
        yield f"spec.schedule: must be five fields such as '30 2 * * 1' or a macro such as @daily, got {schedule!r}"
    else:
        for text, (name, low, high, words) in zip(fields, _FIELDS, strict=True):
            if not all(_is_cron(part_, low, high, words) for part_ in text.lower().split(",")):
                yield f"spec.schedule: {name} {text!r} of {schedule!r} must be within {low} to {high}"


def _is_cron(text: str, low: int, high: int, words: str) -> bool:
    value = rf"\d+|{words}" if words else r"\d+"
    if not re.fullmatch(rf"([*?]|({value})(-({value}))?){_STEP}", text):
        return False
    if text.endswith("/0"):
        return False
    numbers = [int(number) for number in re.findall(r"\d+", text.partition("/")[0])]
    return all(low <= number <= high for number in numbers) and numbers == sorted(numbers)


def _workload(body: Body, spec: Body) -> Iterator[str]:
    for field in ("replicas", "parallelism", "completions", "backoffLimit"):
        value = spec.get(field)
        if isinstance(value, int) and not isinstance(value, bool) and value < 0:
            yield f"spec.{field}: must not be below 0, got {value}"


def _claim(body: Body, spec: Body) -> Iterator[str]:
    if not spec.get("accessModes"):
        yield "spec.accessModes: required, such as ['ReadWriteOnce']"
    amount = part(spec, "resources", "requests").get("storage")
    size = quantity(amount)
    if amount is None:
        yield 'spec.resources.requests["storage"]: required, such as "10Gi"'
    elif size is not None and size <= 0:
        yield f'spec.resources.requests["storage"]: must be above 0, got {amount!r}'


def _binding(body: Body, spec: Body) -> Iterator[str]:
    for index, subject in enumerate(each(body, "subjects")):
        if subject.get("kind") == "ServiceAccount" and not subject.get("namespace"):
            yield f"subjects[{index}].namespace: required for a ServiceAccount"


def _rules_of_role(body: Body, spec: Body) -> Iterator[str]:
    for index, rule in enumerate(each(body, "rules")):
        if not rule.get("verbs"):
            yield f"rules[{index}].verbs: required; give at least one"
        if rule.get("nonResourceURLs") and body["kind"] == "Role":
            yield f"rules[{index}].nonResourceURLs: not allowed in a Role, which is namespaced; use a ClusterRole"
        elif rule.get("resources") and not rule.get("apiGroups"):
            yield f"rules[{index}].apiGroups: required with resources; '' is the core group"


def _ingress(body: Body, spec: Body) -> Iterator[str]:
    if not spec.get("rules") and not spec.get("defaultBackend"):
        yield "spec: must have rules or a defaultBackend"
    for number, rule in enumerate(each(spec, "rules")):
        for index, path in enumerate(each(part(rule, "http"), "paths")):
            text = path.get("path")
            exact = path.get("pathType") in ("Exact", "Prefix")
            if exact and isinstance(text, str) and not is_token(text) and not text.startswith("/"):
                yield f"spec.rules[{number}].http.paths[{index}].path: must begin with '/', got {text!r}"


def _keys(body: Body, spec: Body) -> Iterator[str]:
    for field in ("data", "stringData", "binaryData"):
        for key in part(body, field):
            if not is_token(key) and (not _KEY.fullmatch(str(key)) or key in (".", "..")):
                yield f'{field}["{key}"]: a key must be letters, digits, "-", "_" and "."'
    contents = (value for field in ("data", "stringData", "binaryData") for value in part(body, field).values())
    size = sum(len(value.encode()) for value in contents if isinstance(value, str))
    if size > _DATA_BYTES * (4 / 3 if body["kind"] == "Secret" else 1):
        yield f"data: has {size:,} bytes; a {body['kind']} holds at most {_DATA_BYTES:,}; split it into several"
    for key in sorted(set(part(body, "data")) & set(part(body, "binaryData"))):
        yield f'binaryData["{key}"]: also in data; keep one'


def _network_policy(body: Body, spec: Body) -> Iterator[str]:
    for direction in ("ingress", "egress"):
        for number, rule in enumerate(each(spec, direction)):
            for index, port in enumerate(each(rule, "ports")):
                at = f"spec.{direction}[{number}].ports[{index}]"
                yield from port_problem(f"{at}.port", port.get("port"))
                first, last = port.get("port"), port.get("endPort")
                if isinstance(last, int) and (not isinstance(first, int) or last < first):
                    yield f"{at}.endPort: needs a numeric port that is not greater, got {first!r} and {last}"


def _priority(body: Body, spec: Body) -> Iterator[str]:
    value = body.get("value")
    if isinstance(value, int) and value > 1_000_000_000 and not str(body["metadata"]["name"]).startswith("system-"):
        yield f"value: must be at most 1000000000, got {value}; higher values are reserved for the system"


_RULES: dict[str, Callable[[Body, Body], Iterator[str]]] = {
    "ClusterRole": _rules_of_role,
    "ClusterRoleBinding": _binding,
    "ConfigMap": _keys,
    "CronJob": _cron_job,
    "Deployment": _workload,
    "HorizontalPodAutoscaler": _autoscaler,
    "Ingress": _ingress,
    "Job": _workload,
    "NetworkPolicy": _network_policy,
    "PersistentVolumeClaim": _claim,
    "PodDisruptionBudget": _disruption_budget,
    "PriorityClass": _priority,
    "ReplicaSet": _workload,
    "Role": _rules_of_role,
    "RoleBinding": _binding,
    "Secret": _keys,
    "Service": _service,
    "StatefulSet": _workload,
}
