"""What the API server refuses because several fields of an object do not fit each other.

https://github.com/kubernetes/kubernetes/tree/master/pkg/apis
"""

import ipaddress
import json
import re
import zoneinfo
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .checks import ip, not_negative, whole
from .field_rules import values
from .objects import each, part
from .quantities import quantity
from .tokens import is_token

Body = Mapping[str, Any]

_PSS = "pod-security.kubernetes.io/"
_LEVELS = ("privileged", "baseline", "restricted")
_COUNTED = frozenset(
    {
        "configmaps",
        "persistentvolumeclaims",
        "pods",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "services",
        "services.loadbalancers",
        "services.nodeports",
    }
)
_MEASURED = frozenset({"cpu", "ephemeral-storage", "memory", "requests.storage", "storage"}) | frozenset(
    f"{kind}.{name}" for kind in ("limits", "requests") for name in ("cpu", "ephemeral-storage", "memory")
)
_SECRET_KEYS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
_VOLUME_FIELDS = frozenset(
    {
        "accessModes",
        "capacity",
        "claimRef",
        "mountOptions",
        "nodeAffinity",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeAttributesClassName",
        "volumeMode",
    }
)
_STANDARD_FINALIZERS = ("foregroundDeletion", "kubernetes", "orphan")
_METRIC = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
_RBAC = "rbac.authorization.k8s.io"
_ANNOTATION_BYTES = 262_144
_CRON_NAME = 52


def spanning_problems(body: Body) -> Iterator[str]:
    """What is wrong with an object of Kubernetes itself, each with its place."""
    yield from _metadata(part(body, "metadata"))
    yield from _expressions(body, "")
    if rule := _RULES.get(str(body["kind"])):
        yield from rule(body, part(body, "spec"))


def _metadata(metadata: Body) -> Iterator[str]:
    annotations = part(metadata, "annotations")
    size = sum(len(str(key).encode()) + len(str(value).encode()) for key, value in annotations.items())
    if size > _ANNOTATION_BYTES:
        yield f"metadata.annotations: have {size:,} bytes, {_ANNOTATION_BYTES:,} are allowed"
    for index, name in enumerate(metadata.get("finalizers") or ()):
        if isinstance(name, str) and "/" not in name and name not in _STANDARD_FINALIZERS:
            yield f"metadata.finalizers[{index}]: must have a domain, such as 'example.com/{name}', got {name!r}"
    for index, owner in enumerate(each(metadata, "ownerReferences")):
        if not owner.get("uid"):
            yield f"metadata.ownerReferences[{index}].uid: required; leave out owners that are not known yet"


def _expressions(value: Any, at: str) -> Iterator[str]:
    """Selectors anywhere: labels have no order, node selectors have ``Gt`` and ``Lt`` as well."""
    if isinstance(value, Mapping):
        for field, item in value.items():
            place = f"{at}.{field}" if at else str(field)
            if field in ("matchExpressions", "matchFields") and isinstance(item, list | tuple):
                for index, expression in enumerate(item):
                    if isinstance(expression, Mapping):
                        yield from _expression(expression, f"{place}[{index}]", ordered="nodeSelectorTerms" in place)
            elif field == "nodeSelectorTerms" and not item:
                yield f"{place}: required; name at least one term"
            else:
                yield from _expressions(item, place)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _expressions(item, f"{at}[{index}]")


def _expression(expression: Body, at: str, *, ordered: bool) -> Iterator[str]:
    operator, named = expression.get("operator"), expression.get("values")
    ordered = ordered or "preferredDuringSchedulingIgnoredDuringExecution" in at and "nodeAffinity" in at
    known = ("In", "NotIn", "Exists", "DoesNotExist", *(("Gt", "Lt") if ordered else ()))
    if is_token(operator) or is_token(named):
        return
    if operator not in known:
        yield f"{at}.operator: must be one of {', '.join(known)}, got {operator!r}"
    elif operator in ("In", "NotIn") and not named:
        yield f"{at}.values: required with {operator}; name at least one"
    elif operator in ("Exists", "DoesNotExist") and named:
        yield f"{at}.values: must be empty with {operator}, got {named!r}"
    elif operator in ("Gt", "Lt") and len(named or ()) != 1:
        yield f"{at}.values: must be one number with {operator}, got {named!r}"


def _deployment(body: Body, spec: Body) -> Iterator[str]:
    strategy = part(spec, "strategy")
    rolling = part(strategy, "rollingUpdate")
    if strategy.get("type") == "Recreate" and strategy.get("rollingUpdate") is not None:
        yield "spec.strategy.rollingUpdate: must be left out with the type 'Recreate'"
    if _is_nothing(rolling.get("maxSurge")) and _is_nothing(rolling.get("maxUnavailable")):
        yield "spec.strategy.rollingUpdate: maxSurge and maxUnavailable are 0, so that no pod could be replaced"
    ready, deadline = spec.get("minReadySeconds", 0), spec.get("progressDeadlineSeconds", 600)
    if isinstance(ready, int) and isinstance(deadline, int) and deadline <= ready:
        yield f"spec.progressDeadlineSeconds: must be above minReadySeconds {ready}, got {deadline}"
    yield from _selects(spec)


def _daemon_set(body: Body, spec: Body) -> Iterator[str]:
    rolling = part(spec, "updateStrategy", "rollingUpdate")
    if _is_nothing(rolling.get("maxUnavailable")) and _is_nothing(rolling.get("maxSurge", 0)):
        yield "spec.updateStrategy.rollingUpdate: maxSurge and maxUnavailable are 0, so that no pod could be replaced"
    yield from _selects(spec)


def _selects(spec: Body) -> Iterator[str]:
    """Whether a workload selects its own pods, and those alone."""
    selector, labels = part(spec, "selector"), part(spec, "template", "metadata", "labels")
    if "selector" in spec and not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield "spec.selector: may not be empty; name labels of spec.template"
    for index, one in enumerate(each(selector, "matchExpressions")):
        operator, named, label = one.get("operator"), one.get("values") or (), labels.get(str(one.get("key")))
        if is_token(label) or any(is_token(value) for value in named):
            continue
        fits = {
            "In": label in named,
            "NotIn": label not in named,
            "Exists": label is not None,
            "DoesNotExist": label is None,
        }
        if not fits.get(str(operator), True):
            yield f"spec.selector.matchExpressions[{index}]: does not fit spec.template.metadata.labels {dict(labels)}"
    if part(spec, "template", "spec").get("activeDeadlineSeconds") is not None:
        yield "spec.template.spec.activeDeadlineSeconds: is for pods of Jobs; leave it out"


def _is_nothing(value: Any) -> bool:
    return value in (0, "0%") and not isinstance(value, bool)


def _job(body: Body, spec: Body, at: str = "spec") -> Iterator[str]:
    if spec.get("selector") is not None and not spec.get("manualSelector"):
        yield f"{at}.selector: must be left out; a Job selects its own pods"
    if spec.get("backoffLimitPerIndex") is not None and spec.get("completionMode") != "Indexed":
        yield f"{at}.backoffLimitPerIndex: needs completionMode 'Indexed'"
    restart = part(spec, "template", "spec").get("restartPolicy")
    if spec.get("podFailurePolicy") is not None and restart != "Never" and not is_token(restart):
        yield f"{at}.template.spec.restartPolicy: must be 'Never' with a podFailurePolicy, got {restart!r}"


def _cron_job(body: Body, spec: Body) -> Iterator[str]:
    name = body["metadata"]["name"]
    if not is_token(name) and len(name) > _CRON_NAME:
        yield f"metadata.name: {name!r} has {len(name)} characters, a CronJob may have {_CRON_NAME}"
    zone, known = spec.get("timeZone"), zoneinfo.available_timezones()
    if isinstance(zone, str) and known and zone not in known and not is_token(zone):
        yield f"spec.timeZone: {zone!r} is not a time zone; write it like 'Europe/Berlin'"
    yield from _job(body, part(spec, "jobTemplate", "spec"), "spec.jobTemplate.spec")


def _service(body: Body, spec: Body) -> Iterator[str]:
    type_, address = spec.get("type", "ClusterIP"), spec.get("clusterIP")
    if is_token(type_):
        return
    outside = type_ in ("LoadBalancer", "NodePort")
    if outside and address == "None":
        yield f"spec.clusterIP: may not be 'None' for the type {type_}"
    if isinstance(address, str) and address not in ("", "None") and not is_token(address) and ip(address):
        yield f"spec.clusterIP: {ip(address)}"
    for field in ("loadBalancerSourceRanges", "loadBalancerClass", "allocateLoadBalancerNodePorts"):
        if spec.get(field) is not None and type_ != "LoadBalancer":
            yield f"spec.{field}: is for the type LoadBalancer; leave it out"
    if spec.get("externalTrafficPolicy") and not outside and not spec.get("externalIPs"):
        yield "spec.externalTrafficPolicy: is for the types LoadBalancer and NodePort; leave it out"
    for index, port in enumerate(each(spec, "ports")):
        if port.get("nodePort") and not outside:
            yield f"spec.ports[{index}].nodePort: is for the types LoadBalancer and NodePort; leave it out"
    for index, one in enumerate(spec.get("externalIPs") or ()):
        if isinstance(one, str) and not is_token(one) and not ip(one) and ipaddress.ip_address(one).is_loopback:
            yield f"spec.externalIPs[{index}]: may not be an address of the node itself, got {one!r}"


def _autoscaler(body: Body, spec: Body) -> Iterator[str]:
    target = part(spec, "scaleTargetRef")
    if target.get("kind") in ("Deployment", "ReplicaSet", "StatefulSet") and not target.get("apiVersion"):
        yield f"spec.scaleTargetRef.apiVersion: required; write 'apps/v1' for a {target['kind']}"
    for index, metric in enumerate(each(spec, "metrics")):
        field = _METRIC.get(str(metric.get("type")))
        if field and not metric.get(field):
            yield f"spec.metrics[{index}].{field}: required for the type {metric['type']}"
        wanted = part(metric, field or "", "target")
        if wanted.get("averageUtilization") is not None and wanted.get("averageValue") is not None:
            yield f"spec.metrics[{index}].{field}.target: has averageUtilization and averageValue; keep one"
    for way in ("scaleDown", "scaleUp"):
        rules = part(spec, "behavior", way)
        if "policies" in rules and not rules["policies"]:
            yield f"spec.behavior.{way}.policies: required; name at least one, or leave {way} out"


def _network_policy(body: Body, spec: Body) -> Iterator[str]:
    for way, peers in (("ingress", "from"), ("egress", "to")):
        for place, peer in values(spec, "spec", f"{way}.*.{peers}.*"):
            selectors = [field for field in ("podSelector", "namespaceSelector") if peer.get(field) is not None]
            block = part(peer, "ipBlock")
            if not peer:
                yield f"{place}: required; name an ipBlock, a podSelector or a namespaceSelector"
            elif block and selectors:
                yield f"{place}: has ipBlock and {selectors[0]}; give each an element of its own"
            for index, part_ in enumerate(block.get("except") or ()):
                if not _is_below(part_, block.get("cidr")):
                    yield f"{place}.ipBlock.except[{index}]: must be a part of {block.get('cidr')!r}, got {part_!r}"


def _is_below(inner: Any, outer: Any) -> bool:
    """Whether a network is a part of another one; anything else is judged by its form."""
    try:
        one, other = (ipaddress.ip_network(value, strict=False) for value in (inner, outer))
    except ValueError:
        return True
    return one.version == other.version and one != other and one.subnet_of(other)  # type: ignore[arg-type]


def _ingress(body: Body, spec: Body) -> Iterator[str]:
    for place, path in values(spec, "spec", "rules.*.http.paths.*.path"):
        if isinstance(path, str) and re.search(r"//|/\.{1,2}(/|$)|%2f|%5c", path, re.IGNORECASE):
            yield f"{place}: may have no empty, '.', '..' or encoded part, got {path!r}"


def _claim(body: Body, spec: Body) -> Iterator[str]:
    modes = spec.get("accessModes") or ()
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        yield "spec.accessModes: 'ReadWriteOncePod' excludes the others; keep it alone"


def _volume(body: Body, spec: Body) -> Iterator[str]:
    sources = [field for field, value in spec.items() if field not in _VOLUME_FIELDS and value is not None]
    if len(sources) != 1:
        yield f"spec: must have one source, such as csi, has {' and '.join(sources) or 'none'}"
    if "capacity" in spec and set(part(spec, "capacity")) != {"storage"}:
        yield f"spec.capacity: must have 'storage' alone, got {dict(part(spec, 'capacity'))}"
    yield from _claim(body, spec)


def _quota(body: Body, spec: Body) -> Iterator[str]:
    for name, amount in part(spec, "hard").items():
        place = f'spec.hard["{name}"]'
        counts = name in _COUNTED or str(name).startswith("count/") or name == "requests.nvidia.com/gpu"
        if is_token(name):
            continue
        if not counts and name not in _MEASURED and "/" not in str(name) and "hugepages-" not in str(name):
            yield f"{place}: no such resource; write it like 'pods', 'requests.cpu' or 'requests.nvidia.com/gpu'"
        elif problem := (whole if counts else not_negative)(amount):
            yield f"{place}: {problem}"


def _limits(body: Body, spec: Body) -> Iterator[str]:
    seen: set[Any] = set()
    for index, one in enumerate(each(spec, "limits")):
        at, type_ = f"spec.limits[{index}]", one.get("type")
        if type_ in seen:
            yield f"{at}.type: {type_!r} is used twice; merge the two"
        seen.add(type_)
        if type_ == "Pod" and (one.get("default") or one.get("defaultRequest")):
            yield f"{at}: default and defaultRequest are for the type Container; leave them out"
        for low, high in (("min", "max"), ("min", "default"), ("defaultRequest", "default"), ("default", "max")):
            for name, amount in part(one, low).items():
                less, more = quantity(amount), quantity(part(one, high).get(name))
                if less is not None and more is not None and less > more:
                    yield f'{at}.{low}["{name}"]: must not exceed {high} {part(one, high)[name]!r}, got {amount!r}'


def _secret(body: Body, spec: Body) -> Iterator[str]:
    keys = {*part(body, "data"), *part(body, "stringData")}
    type_ = str(body.get("type"))
    for key in _SECRET_KEYS.get(type_, ()):
        if key not in keys:
            yield f'data["{key}"]: required for the type {type_}'
    if type_ == "kubernetes.io/basic-auth" and not keys & {"username", "password"}:
        yield f"data: must have 'username' or 'password' for the type {type_}"
    logins = part(body, "stringData").get(".dockerconfigjson")
    if type_ == "kubernetes.io/dockerconfigjson" and isinstance(logins, str) and not is_token(logins):
        try:
            json.loads(logins)
        except ValueError as error:
            yield f'stringData[".dockerconfigjson"]: must be JSON: {error}'
    account = "kubernetes.io/service-account.name"
    if type_ == "kubernetes.io/service-account-token" and not part(body, "metadata", "annotations").get(account):
        yield f'metadata.annotations["{account}"]: required for the type {type_}'


def _role(body: Body, spec: Body) -> Iterator[str]:
    for index, rule in enumerate(each(body, "rules")):
        resources, addresses = rule.get("resources"), rule.get("nonResourceURLs")
        if resources and addresses:
            yield f"rules[{index}]: has resources and nonResourceURLs; give each a rule of its own"
        elif not resources and not addresses:
            yield f"rules[{index}].resources: required; name at least one"


def _binding(body: Body, spec: Body) -> Iterator[str]:
    for index, subject in enumerate(each(body, "subjects")):
        kind, group = subject.get("kind"), subject.get("apiGroup")
        known = {"ServiceAccount": "", "User": _RBAC, "Group": _RBAC}
        if is_token(kind):
            continue
        if kind not in known:
            yield f"subjects[{index}].kind: must be one of {', '.join(known)}, got {kind!r}"
        elif group is not None and group != known[kind]:
            yield f"subjects[{index}].apiGroup: must be {known[kind]!r} for a {kind}, got {group!r}"


def _namespace(body: Body, spec: Body) -> Iterator[str]:
    for name, value in part(body, "metadata", "labels").items():
        if not str(name).startswith(_PSS) or is_token(value):
            continue
        if str(name).endswith("-version"):
            if value != "latest" and not re.fullmatch(r"v1\.\d+", str(value)):
                yield f"metadata.labels[\"{name}\"]: must be 'latest' or like 'v1.35', got {value!r}"
        elif value not in _LEVELS:
            yield f'metadata.labels["{name}"]: must be one of {", ".join(_LEVELS)}, got {value!r}'


def _webhooks(body: Body, spec: Body) -> Iterator[str]:
    for index, hook in enumerate(each(body, "webhooks")):
        at, name = f"webhooks[{index}]", str(hook.get("name"))
        if name.count(".") < 2 and not is_token(name):
            yield f"{at}.name: must be a domain of three parts at least, such as 'a.example.com', got {name!r}"
        versions = hook.get("admissionReviewVersions") or ()
        if versions and not {"v1", "v1beta1"} & set(versions):
            yield f"{at}.admissionReviewVersions: must have 'v1', got {list(versions)}"
        for number, rule in enumerate(each(hook, "rules")):
            for field in ("apiGroups", "apiVersions", "operations"):
                if "*" in (rule.get(field) or ()) and len(rule[field]) > 1:
                    yield f"{at}.rules[{number}].{field}: '*' stands for all; keep it alone"


def _admission_binding(body: Body, spec: Body) -> Iterator[str]:
    if {"Deny", "Warn"} <= set(spec.get("validationActions") or ()):
        yield "spec.validationActions: has Deny and Warn; keep one"


_RULES: dict[str, Callable[[Body, Body], Iterator[str]]] = {
    "ClusterRole": _role,
    "ClusterRoleBinding": _binding,
    "CronJob": _cron_job,
    "DaemonSet": _daemon_set,
    "Deployment": _deployment,
    "HorizontalPodAutoscaler": _autoscaler,
    "Ingress": _ingress,
    "Job": _job,
    "LimitRange": _limits,
    "MutatingWebhookConfiguration": _webhooks,
    "Namespace": _namespace,
    "NetworkPolicy": _network_policy,
    "PersistentVolume": _volume,
    "PersistentVolumeClaim": _claim,
    "ReplicaSet": lambda body, spec: _selects(spec),
    "ResourceQuota": _quota,
    "Role": _role,
    "RoleBinding": _binding,
    "Secret": _secret,
    "Service": _service,
    "StatefulSet": lambda body, spec: _selects(spec),
    "ValidatingAdmissionPolicyBinding": _admission_binding,
    "ValidatingWebhookConfiguration": _webhooks,
}
