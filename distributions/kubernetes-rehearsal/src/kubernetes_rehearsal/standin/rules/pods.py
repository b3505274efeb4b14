"""Pods and the templates that workloads make them of."""

from kubernetes_rehearsal.standin.errors import Object, Problems
from kubernetes_rehearsal.standin.formats import dns_label, dns_subdomain, label_value, qualified_name
from kubernetes_rehearsal.standin.rules.common import address, check_text, label_selector, labels
from kubernetes_rehearsal.standin.rules.containers import containers, resources, seccomp, user_and_group
from kubernetes_rehearsal.standin.rules.volumes import volumes

_EFFECTS = ["NoExecute", "NoSchedule", "PreferNoSchedule"]
_DNS_POLICIES = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"]
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def pod(found: Object, problems: Problems) -> None:
    """Pod."""
    pod_spec(found.get("spec", {}), "spec", problems, is_pod=True)
    if "ephemeralContainers" in found.get("spec", {}):
        problems.forbidden("spec.ephemeralContainers", "cannot be set on create")


def pod_change(found: Object, old: Object, problems: Problems) -> None:
    """Of a pod's spec next to nothing can change."""

    def fixed(spec: Object) -> Object:
        kept = {
            k: v
            for k, v in spec.items()
            if k not in ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds")
        }
        for name in ("containers", "initContainers"):
            kept[name] = [{k: v for k, v in one.items() if k != "image"} for one in spec.get(name, [])]
        return kept

    if fixed(found["spec"]) != fixed(old["spec"]):
        problems.forbidden("spec", "pod updates may not change fields other than the images, tolerations and deadlines")


def pod_template(template: Object, path: str, problems: Problems) -> None:
    """The template of a workload."""
    metadata = template.get("metadata", {})
    labels(metadata.get("labels", {}), f"{path}.labels", problems)
    for key in metadata.get("annotations", {}):
        check_text(qualified_name, key.lower(), f"{path}.annotations", problems)
    spec = template.get("spec")
    if spec is None:
        problems.required(f"{path}.spec.containers")
        return
    pod_spec(spec, f"{path}.spec", problems)
    if spec.get("ephemeralContainers"):
        problems.forbidden(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template")


def pod_spec(spec: Object, path: str, problems: Problems, *, is_pod: bool = False) -> None:
    """Everything of a pod but its metadata."""
    if not spec:
        problems.required(f"{path}.containers")
        return
    names = volumes(spec.get("volumes", []), f"{path}.volumes", problems)
    containers(spec, names, path, problems)
    resources(spec.get("resources", {}), f"{path}.resources", problems)
    problems.one_of(f"{path}.restartPolicy", spec["restartPolicy"], ["Always", "Never", "OnFailure"])
    problems.one_of(f"{path}.dnsPolicy", spec["dnsPolicy"], _DNS_POLICIES)
    labels(spec.get("nodeSelector", {}), f"{path}.nodeSelector", problems)
    if spec["terminationGracePeriodSeconds"] < 0:
        problems.invalid(
            f"{path}.terminationGracePeriodSeconds",
            spec["terminationGracePeriodSeconds"],
            "must be greater than or equal to 0",
        )
    if spec.get("hostNetwork"):
        _host_network(spec, path, problems, is_pod=is_pod)
    _security(spec, path, problems)
    _texts(spec, path, problems)
    _affinity(spec.get("affinity", {}), f"{path}.affinity", problems)
    _dns(spec, path, problems)
    for index, gate in enumerate(spec.get("readinessGates", [])):
        check_text(
            qualified_name, gate.get("conditionType", ""), f"{path}.readinessGates[{index}].conditionType", problems
        )
    _tolerations(spec.get("tolerations", []), f"{path}.tolerations", problems)
    _spread(spec.get("topologySpreadConstraints", []), f"{path}.topologySpreadConstraints", problems)
    for alias in spec.get("hostAliases", []):
        address(alias.get("ip", ""), f"{path}.hostAliases.ip", problems)
        for host in alias.get("hostnames", []):
            check_text(dns_subdomain, host, f"{path}.hostAliases.hostnames", problems)
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline < 2**31:
        problems.invalid(f"{path}.activeDeadlineSeconds", deadline, "must be between 1 and 2147483647, inclusive")


def _texts(spec: Object, path: str, problems: Problems) -> None:
    for name in ("serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"):
        if spec.get(name):
            check_text(dns_subdomain, spec[name], f"{path}.{name}", problems)
    for name in ("hostname", "subdomain"):
        if spec.get(name):
            check_text(dns_label, spec[name], f"{path}.{name}", problems)


def _host_network(spec: Object, path: str, problems: Problems, *, is_pod: bool) -> None:
    for number, container in enumerate(spec.get("containers", [])):
        for index, one in enumerate(container.get("ports", [])):
            if (is_pod or one.get("hostPort")) and one.get("hostPort") != one.get("containerPort"):
                place = f"{path}.containers[{number}].ports[{index}].hostPort"
                problems.invalid(place, one.get("hostPort"), "must match `containerPort` when `hostNetwork` is true")


def _security(spec: Object, path: str, problems: Problems) -> None:
    context, place = spec["securityContext"], f"{path}.securityContext"
    user_and_group(context, place, problems)
    seccomp(context.get("seccompProfile"), f"{place}.seccompProfile", problems)
    for index, group in enumerate(context.get("supplementalGroups", [])):
        if not 0 <= group < 2**31:
            problems.invalid(
                f"{place}.supplementalGroups[{index}]", group, "must be between 0 and 2147483647, inclusive"
            )
    if "fsGroupChangePolicy" in context:
        problems.one_of(f"{place}.fsGroupChangePolicy", context["fsGroupChangePolicy"], ["Always", "OnRootMismatch"])
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        problems.invalid(
            f"{place}.shareProcessNamespace", True, "ShareProcessNamespace and HostPID cannot both be enabled"
        )


def _dns(spec: Object, path: str, problems: Problems) -> None:
    config = spec.get("dnsConfig", {})
    if spec["dnsPolicy"] == "None" and not config.get("nameservers"):
        place = f"{path}.dnsConfig.nameservers" if "dnsConfig" in spec else f"{path}.dnsConfig"
        problems.required(place, "must provide at least one DNS nameserver when `dnsPolicy` is None")
    for index, server in enumerate(config.get("nameservers", [])):
        address(server, f"{path}.dnsConfig.nameservers[{index}]", problems)
    if len(config.get("nameservers", [])) > 3:
        problems.invalid(
            f"{path}.dnsConfig.nameservers", config["nameservers"], "must not have more than 3 nameservers"
        )


def _tolerations(found: list[Object], path: str, problems: Problems) -> None:
    for index, toleration in enumerate(found):
        place = f"{path}[{index}]"
        operator, key, value = toleration.get("operator", ""), toleration.get("key"), toleration.get("value", "")
        if key:
            check_text(qualified_name, key, f"{place}.key", problems)
        elif operator != "Exists":
            detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            problems.invalid(f"{place}.operator", operator, detail)
        if "tolerationSeconds" in toleration and toleration.get("effect") != "NoExecute":
            problems.invalid(
                f"{place}.effect",
                toleration.get("effect", ""),
                "effect must be 'NoExecute' when `tolerationSeconds` is set",
            )
        if operator in ("", "Equal"):
            check_text(label_value, value, f"{place}.operator", problems)
        elif operator == "Exists":
            if value:
                problems.invalid(f"{place}.operator", value, "value must be empty when `operator` is 'Exists'")
        else:
            problems.unsupported(f"{place}.operator", operator, ["Equal", "Exists"])
        if toleration.get("effect"):
            problems.one_of(f"{place}.effect", toleration["effect"], _EFFECTS)


def _spread(constraints: list[Object], path: str, problems: Problems) -> None:
    for index, constraint in enumerate(constraints):
        place = f"{path}[{index}]"
        if constraint.get("maxSkew", 0) <= 0:
            problems.invalid(f"{place}.maxSkew", constraint.get("maxSkew", 0), "must be greater than zero")
        if not constraint.get("topologyKey"):
            problems.required(f"{place}.topologyKey", "can not be empty")
        action = constraint.get("whenUnsatisfiable", "")
        problems.one_of(f"{place}.whenUnsatisfiable", action, ["DoNotSchedule", "ScheduleAnyway"])
        pair = (constraint.get("topologyKey"), action)
        if pair in [
            (other.get("topologyKey"), other.get("whenUnsatisfiable", "")) for other in constraints[index + 1 :]
        ]:
            problems.duplicate(f"{place}.{{topologyKey, whenUnsatisfiable}}", f"{{{pair[0]}, {pair[1]}}}")
        if "minDomains" in constraint:
            if constraint["minDomains"] <= 0:
                problems.invalid(f"{place}.minDomains", constraint["minDomains"], "must be greater than zero")
            if action != "DoNotSchedule":
                problems.invalid(
                    f"{place}.minDomains",
                    constraint["minDomains"],
                    f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}",
                )
        label_selector(constraint.get("labelSelector", {}), f"{place}.labelSelector", problems)


def _affinity(affinity: Object, path: str, problems: Problems) -> None:
    node = affinity.get("nodeAffinity", {})
    if _REQUIRED in node:
        place = f"{path}.nodeAffinity.{_REQUIRED}.nodeSelectorTerms"
        terms = node[_REQUIRED].get("nodeSelectorTerms", [])
        if not terms:
            problems.required(place, "must have at least one node selector term")
        for index, term in enumerate(terms):
            _node_term(term, f"{place}[{index}]", problems)
    for index, term in enumerate(node.get(_PREFERRED, [])):
        place = f"{path}.nodeAffinity.{_PREFERRED}[{index}]"
        _weight(term, place, problems)
        _node_term(term.get("preference", {}), f"{place}.preference", problems, preferred=True)
    for kind in ("podAffinity", "podAntiAffinity"):
        for index, term in enumerate(affinity.get(kind, {}).get(_REQUIRED, [])):
            _pod_term(term, f"{path}.{kind}.{_REQUIRED}[{index}]", problems)
        for index, term in enumerate(affinity.get(kind, {}).get(_PREFERRED, [])):
            place = f"{path}.{kind}.{_PREFERRED}[{index}]"
            _weight(term, place, problems)
            _pod_term(term.get("podAffinityTerm", {}), f"{place}.podAffinityTerm", problems)


def _weight(term: Object, path: str, problems: Problems) -> None:
    if not 1 <= term.get("weight", 0) <= 100:
        problems.invalid(f"{path}.weight", term.get("weight", 0), "must be in the range 1-100")


def _node_term(term: Object, path: str, problems: Problems, *, preferred: bool = False) -> None:
    for index, requirement in enumerate(term.get("matchExpressions", [])):
        place, values = f"{path}.matchExpressions[{index}]", requirement.get("values", [])
        match requirement.get("operator", ""):
            case "In" | "NotIn":
                if not values:
                    problems.required(f"{place}.values", "must be specified when `operator` is 'In' or 'NotIn'")
            case "Exists" | "DoesNotExist":
                if values:
                    problems.forbidden(
                        f"{place}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                    )
            case "Gt" | "Lt":
                if len(values) != 1:
                    problems.required(
                        f"{place}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'"
                    )
            case operator:
                problems.invalid(f"{place}.operator", operator, "not a valid selector operator")
        check_text(qualified_name, requirement.get("key", ""), f"{place}.key", problems)
        for number, value in enumerate(values if not preferred else []):
            check_text(label_value, value, f"{place}.values[{number}]", problems)


def _pod_term(term: Object, path: str, problems: Problems) -> None:
    for name in ("labelSelector", "namespaceSelector"):
        label_selector(term.get(name, {}), f"{path}.{name}", problems)
    for name in term.get("namespaces", []):
        check_text(dns_label, name, f"{path}.namespace", problems)
    key = term.get("topologyKey", "")
    if not key:
        problems.required(f"{path}.topologyKey", "can not be empty")
    check_text(qualified_name, key, f"{path}.topologyKey", problems)
