"""Objects of a component in a form that a reviewer reads at a glance: a few lines for each."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Object = Mapping[str, Any]
_WORKLOADS = ("Deployment", "DaemonSet", "StatefulSet")


def outline(objects: Sequence[Object]) -> str:
    """Kind and name of each object, with what decides its behaviour: images, arguments, rights, ports, peers."""
    return "\n".join(line for one in objects for line in _lines(one))


def _lines(one: Object) -> Iterator[str]:
    about = one["metadata"]
    place = f"{about['namespace']}/{about['name']}" if "namespace" in about else about["name"]
    yield f"{one['kind']} {place}"
    match one["kind"]:
        case kind if kind in _WORKLOADS:
            yield from _workload(one["spec"])
        case "Role" | "ClusterRole":
            for rule in one.get("rules", []):
                names = f" named {' '.join(rule['resourceNames'])}" if "resourceNames" in rule else ""
                if "nonResourceURLs" in rule:
                    yield f"  {' '.join(rule['nonResourceURLs'])}: {' '.join(rule['verbs'])}"
                    continue
                group = rule["apiGroups"][0] or "core"
                yield f"  {group}: {' '.join(rule['resources'])}{names}: {' '.join(rule['verbs'])}"
        case "RoleBinding" | "ClusterRoleBinding":
            subject = one["subjects"][0]
            yield f"  {one['roleRef']['name']} for {subject['kind']} {subject['name']}"
        case "Service":
            ports = ", ".join(f"{port['name']} {port['port']} to {port['targetPort']}" for port in one["spec"]["ports"])
            yield f"  {ports}; pods {_text(one['spec']['selector'])}"
        case "ConfigMap":
            for key, value in one["data"].items():
                yield f"  {key}: {_one_line(value)}"
        case "ServiceAccount" | "PodDisruptionBudget" | "Issuer" | "Certificate":
            return
        case _:
            body = {key: value for key, value in one.items() if key not in ("apiVersion", "kind", "metadata")}
            yield f"  {_text(body.get('spec', body))}"


def _workload(spec: Object) -> Iterator[str]:
    template = spec["template"]
    pod = template["spec"]
    labels = {key: value for key, value in template["metadata"]["labels"].items() if "name" not in key}
    yield f"  {spec.get('replicas', 'many')} as {pod.get('serviceAccountName', 'nobody')} {_text(labels)}"
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        yield f"  {container['name']}: {container['image']}"
        command = [*container.get("command", ()), *container.get("args", ())]
        if command:
            yield f"    runs {' '.join(command)}"
        for variable in container.get("env", ()):
            yield f"    {variable['name']}={variable.get('value', _text(variable.get('valueFrom', {})))}"
        if ports := container.get("ports"):
            listed = ", ".join(f"{port['name']} {port['containerPort']}" for port in ports)
            yield f"    ports {listed}"
        for mount in container.get("volumeMounts", ()):
            yield f"    {mount['mountPath']} is {mount['name']}{' (read only)' if mount.get('readOnly') else ''}"
        yield f"    {_text(container['resources'])}"
    for volume in pod.get("volumes", ()):
        yield f"  volume {volume['name']}: {_text({key: value for key, value in volume.items() if key != 'name'})}"


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True).replace('"', "")


def _one_line(text: str) -> str:
    try:
        return _text(json.loads(text))
    except ValueError:
        return text.strip().replace("\n", " | ")
