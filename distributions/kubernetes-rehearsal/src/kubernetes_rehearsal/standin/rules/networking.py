"""Services, ingresses, network policies, endpoints."""

import ipaddress

from kubernetes_rehearsal.standin.errors import Object, Problems
from kubernetes_rehearsal.standin.formats import (
    dns_1035_label,
    dns_label,
    dns_subdomain,
    port_name,
    port_number,
    qualified_name,
    wildcard_subdomain,
)
from kubernetes_rehearsal.standin.rules.common import (
    PROTOCOLS,
    address,
    check_text,
    label_selector,
    labels,
    network,
    port,
    required_text,
    unchanged,
)

_SERVICE_TYPES = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]
_DISTRIBUTIONS = ["PreferClose", "PreferSameNode", "PreferSameZone"]
_PATH_TYPES = ["Exact", "ImplementationSpecific", "Prefix"]


def service(found: Object, problems: Problems) -> None:
    """Service."""
    spec = found.get("spec", {})
    kind, ports = spec.get("type", "ClusterIP"), spec.get("ports", [])
    headless = spec.get("clusterIP") == "None"
    problems.one_of("spec.type", kind, _SERVICE_TYPES)
    if not ports and not headless and kind != "ExternalName":
        problems.required("spec.ports")
    if headless and kind in ("LoadBalancer", "NodePort"):
        problems.invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    if kind == "ExternalName":
        required_text(dns_subdomain, spec.get("externalName", "").removesuffix("."), "spec.externalName", problems)
        if spec.get("clusterIP"):
            problems.forbidden("spec.clusterIPs", "may not be set for ExternalName services")
    _service_ports(ports, kind, problems)
    labels(spec.get("selector", {}), "spec.selector", problems)
    problems.one_of("spec.sessionAffinity", spec.get("sessionAffinity", "None"), ["ClientIP", "None"])
    _service_addresses(spec, problems)
    _service_traffic(spec, kind, problems)


def service_change(found: Object, old: Object, problems: Problems) -> None:
    """A service keeps its address."""
    before, after = old["spec"].get("clusterIP"), found["spec"].get("clusterIP")
    external = "ExternalName" in (old["spec"].get("type"), found["spec"].get("type"))
    if before != after and not external:
        problems.invalid("spec.clusterIPs[0]", [after], "may not change once set")
    if found["spec"].get("loadBalancerClass") != old["spec"].get("loadBalancerClass") and found["spec"].get(
        "type"
    ) == old["spec"].get("type"):
        problems.invalid("spec.loadBalancerClass", found["spec"].get("loadBalancerClass"), "may not change once set")


def _service_ports(ports: list[Object], kind: str, problems: Problems) -> None:
    names: set[str] = set()
    numbers = set()
    for index, one in enumerate(ports):
        path = f"spec.ports[{index}]"
        name = one.get("name", "")
        if name:
            check_text(dns_label, name, f"{path}.name", problems)
            if name in names:
                problems.duplicate(f"{path}.name", name)
            names.add(name)
        elif len(ports) > 1:
            problems.required(f"{path}.name")
        number = one.get("port", 0)
        if wrong := port_number(number):
            problems.invalid(f"{path}.port", number, wrong)
        problems.one_of(f"{path}.protocol", one["protocol"], PROTOCOLS)
        port(one["targetPort"], f"{path}.targetPort", problems)
        if "appProtocol" in one:
            check_text(qualified_name, one["appProtocol"], f"{path}.appProtocol", problems)
        if kind == "ClusterIP" and one.get("nodePort"):
            problems.forbidden(f"{path}.nodePort", "may not be used when `type` is 'ClusterIP'")
        elif one.get("nodePort") and not 30000 <= one["nodePort"] <= 32767:
            problems.invalid(
                f"{path}.nodePort",
                one["nodePort"],
                "provided port is not in the valid range. The range of valid ports is 30000-32767",
            )
        if (one["protocol"], number) in numbers:
            problems.duplicate(path, {"protocol": one["protocol"], "port": number})
        numbers.add((one["protocol"], number))


def _service_addresses(spec: Object, problems: Problems) -> None:
    given = spec.get("clusterIP")
    if given and given != "None":
        address(given, "spec.clusterIPs[0]", problems)
    for index, one in enumerate(spec.get("externalIPs", [])):
        address(one, f"spec.externalIPs[{index}]", problems)
    for index, family in enumerate(spec.get("ipFamilies", [])):
        problems.one_of(f"spec.ipFamilies[{index}]", family, ["IPv4", "IPv6"])
    policy = spec.get("ipFamilyPolicy", "SingleStack")
    problems.one_of("spec.ipFamilyPolicy", policy, ["PreferDualStack", "RequireDualStack", "SingleStack"])


def _service_traffic(spec: Object, kind: str, problems: Problems) -> None:
    ranges = spec.get("loadBalancerSourceRanges", [])
    if ranges and kind != "LoadBalancer":
        problems.forbidden("spec.LoadBalancerSourceRanges", "may only be used when `type` is 'LoadBalancer'")
    for index, one in enumerate(ranges):
        network(one.strip(), f"spec.LoadBalancerSourceRanges[{index}]", problems)
    for name in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
        if name in spec and kind != "LoadBalancer":
            problems.forbidden(f"spec.{name}", "may only be used when `type` is 'LoadBalancer'")
    if "loadBalancerClass" in spec:
        check_text(qualified_name, spec["loadBalancerClass"], "spec.loadBalancerClass", problems)
    external = spec.get("externalTrafficPolicy")
    if external:
        if kind not in ("LoadBalancer", "NodePort") and not spec.get("externalIPs"):
            problems.invalid(
                "spec.externalTrafficPolicy", external, "may only be set for externally-accessible services"
            )
        else:
            problems.one_of("spec.externalTrafficPolicy", external, ["Cluster", "Local"])
    internal = spec.get("internalTrafficPolicy", "Cluster")
    problems.one_of("spec.internalTrafficPolicy", internal, ["Cluster", "Local"])
    if "trafficDistribution" in spec:
        problems.one_of("spec.trafficDistribution", spec["trafficDistribution"], _DISTRIBUTIONS)


def ingress(found: Object, problems: Problems) -> None:
    """Ingress."""
    spec = found.get("spec", {})
    if not spec.get("rules") and "defaultBackend" not in spec:
        problems.invalid("spec", spec.get("rules"), "either `defaultBackend` or `rules` must be specified")
    if "defaultBackend" in spec:
        _backend(spec["defaultBackend"], "spec.defaultBackend", problems)
    for index, rule in enumerate(spec.get("rules", [])):
        path = f"spec.rules[{index}]"
        _host(rule.get("host", ""), f"{path}.host", problems)
        if "http" not in rule:
            continue
        if not rule["http"].get("paths"):
            problems.required(f"{path}.http.paths")
        for number, one in enumerate(rule["http"].get("paths", [])):
            _path(one, f"{path}.http.paths[{number}]", problems)
    for index, tls in enumerate(spec.get("tls", [])):
        for number, host in enumerate(tls.get("hosts", [])):
            form = wildcard_subdomain if "*" in host else dns_subdomain
            check_text(form, host, f"spec.tls[{index}].hosts[{number}]", problems)
        if tls.get("secretName"):
            check_text(dns_subdomain, tls["secretName"], f"spec.tls[{index}].secretName", problems)
    if "ingressClassName" in spec:
        check_text(dns_subdomain, spec["ingressClassName"], "spec.ingressClassName", problems)


def ingress_creation(found: Object, problems: Problems) -> None:
    """The class is named in one place only."""
    name = "kubernetes.io/ingress.class"
    if name in found["metadata"].get("annotations", {}) and "ingressClassName" in found.get("spec", {}):
        problems.invalid(
            f"annotations.{name}",
            found["metadata"]["annotations"][name],
            "can not be set when the class field is also set",
        )


def _host(host: str, path: str, problems: Problems) -> None:
    if not host:
        return
    try:
        ipaddress.ip_address(host)
        problems.invalid(path, host, "must be a DNS name, not an IP address")
    except ValueError:
        check_text(wildcard_subdomain if "*" in host else dns_subdomain, host, path, problems)


def _path(one: Object, path: str, problems: Problems) -> None:
    kind, text = one.get("pathType"), one.get("path", "")
    if kind is None:
        problems.required(f"{path}.pathType", "pathType must be specified")
        return
    problems.one_of(f"{path}.pathType", kind, _PATH_TYPES)
    if (text or kind in ("Exact", "Prefix")) and kind in _PATH_TYPES and not text.startswith("/"):
        problems.invalid(f"{path}.path", text, "must be an absolute path")
    if kind in ("Exact", "Prefix"):
        for wrong in ("//", "/./", "/../", "%2f", "%2F"):
            if wrong in text:
                problems.invalid(f"{path}.path", text, f"must not contain '{wrong}'")
        for wrong in ("/..", "/."):
            if text.endswith(wrong):
                problems.invalid(f"{path}.path", text, f"cannot end with '{wrong}'")
    _backend(one.get("backend", {}), f"{path}.backend", problems)


def _backend(backend: Object, path: str, problems: Problems) -> None:
    if {"resource", "service"} <= backend.keys():
        problems.invalid(path, "", "cannot set both resource and service backends")
    elif "resource" in backend:
        for name in ("kind", "name"):
            if not backend["resource"].get(name):
                problems.required(f"{path}.resource.{name}")
    elif "service" in backend:
        required_text(dns_1035_label, backend["service"].get("name"), f"{path}.service.name", problems)
        chosen = backend["service"].get("port", {})
        name, number = chosen.get("name"), chosen.get("number")
        if name and number:
            problems.invalid(path, "", "cannot set both port name & port number")
        elif name:
            check_text(port_name, name, f"{path}.service.port.name", problems)
        elif number:
            if wrong := port_number(number):
                problems.invalid(f"{path}.service.port.number", number, wrong)
        else:
            problems.required(path, "port name or number is required")
    else:
        problems.invalid(path, "", "resource or service backend is required")


def ingress_class(found: Object, problems: Problems) -> None:
    """IngressClass."""
    spec = found.get("spec", {})
    controller = spec.get("controller", "")
    if not controller:
        problems.required("spec.controller")
    elif "/" not in controller or dns_subdomain(controller.partition("/")[0]):
        problems.invalid("spec.controller", controller, 'must be a domain-prefixed path (such as "acme.io/foo")')
    if "apiGroup" in spec.get("parameters", {}):
        check_text(dns_subdomain, spec["parameters"]["apiGroup"], "spec.parameters.apiGroup", problems)
    for name in ("kind", "name"):
        if "parameters" in spec and not spec["parameters"].get(name):
            problems.required(f"spec.parameters.{name}", f"{name} is required")


def ingress_class_change(found: Object, old: Object, problems: Problems) -> None:
    """A class keeps its controller."""
    unchanged(found["spec"], old["spec"], ["controller"], "spec", problems)


def network_policy(found: Object, problems: Problems) -> None:
    """NetworkPolicy."""
    spec = found.get("spec", {})
    label_selector(spec.get("podSelector", {}), "spec.podSelector", problems)
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction, [])):
            path = f"spec.{direction}[{index}]"
            for number, one in enumerate(rule.get("ports", [])):
                _policy_port(one, f"{path}.ports[{number}]", problems)
            for number, peer in enumerate(rule.get(peers, [])):
                _peer(peer, f"{path}.{peers}[{number}]", problems)
    types = spec.get("policyTypes", [])
    if len(types) > 2:
        problems.invalid("spec.policyTypes", types, "may not specify more than two policyTypes")
    for index, kind in enumerate(types):
        problems.one_of(f"spec.policyTypes[{index}]", kind, ["Egress", "Ingress"])


def _policy_port(one: Object, path: str, problems: Problems) -> None:
    problems.one_of(f"{path}.protocol", one["protocol"], PROTOCOLS)
    number, end = one.get("port"), one.get("endPort")
    if number is not None:
        port(number, f"{path}.port", problems)
    if end is not None:
        if not isinstance(number, int):
            problems.invalid(f"{path}.endPort", end, "may not be specified when `port` is non-numeric")
            return
        if end < number:
            problems.invalid(f"{path}.endPort", number, "must be greater than or equal to `port`")
        if wrong := port_number(end):
            problems.invalid(f"{path}.endPort", end, wrong)


def _peer(peer: Object, path: str, problems: Problems) -> None:
    if not peer.keys() & {"podSelector", "namespaceSelector", "ipBlock"}:
        problems.required(path, "must specify a peer")
    elif "ipBlock" in peer and len(peer) > 1:
        problems.forbidden(path, "may not specify both ipBlock and another peer")
    for name in ("podSelector", "namespaceSelector"):
        label_selector(peer.get(name, {}), f"{path}.{name}", problems)
    if "ipBlock" not in peer:
        return
    block = peer["ipBlock"]
    if not block.get("cidr"):
        problems.required(f"{path}.ipBlock.cidr")
        return
    whole = network(block["cidr"], f"{path}.ipBlock.cidr", problems)
    for index, one in enumerate(block.get("except", [])):
        part = network(one, f"{path}.ipBlock.except[{index}]", problems)
        if whole and part and (part == whole or not part.subnet_of(whole)):
            problems.invalid(f"{path}.ipBlock.except[{index}]", one, "must be a strict subset of `cidr`")


def endpoint_slice(found: Object, problems: Problems) -> None:
    """EndpointSlice."""
    kind = found.get("addressType", "")
    if not kind:
        problems.required("addressType")
    else:
        problems.one_of("addressType", kind, ["FQDN", "IPv4", "IPv6"])
    for index, one in enumerate(found.get("endpoints", [])):
        if not one.get("addresses"):
            problems.required(f"endpoints[{index}].addresses", "must contain at least 1 address")
        for number, text in enumerate(one.get("addresses", []) if kind != "FQDN" else []):
            address(text, f"endpoints[{index}].addresses[{number}]", problems)
    names: set[str] = set()
    for index, one in enumerate(found.get("ports", [])):
        name = one.get("name", "")
        if name:
            check_text(dns_label, name, f"ports[{index}].name", problems)
        if name in names:
            problems.duplicate(f"ports[{index}].name", name)
        names.add(name)
        problems.one_of(f"ports[{index}].protocol", one.get("protocol", "TCP"), PROTOCOLS)
