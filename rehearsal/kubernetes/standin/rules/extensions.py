"""Webhook configurations and aggregated APIs."""

import urllib.parse

from rehearsal.kubernetes.standin.errors import Object, Problems
from rehearsal.kubernetes.standin.formats import dns_1035_label, dns_subdomain, port_number
from rehearsal.kubernetes.standin.rules.common import check_text, label_selector

_OPERATIONS = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"]


def webhooks(found: Object, problems: Problems) -> None:
    """ValidatingWebhookConfiguration and MutatingWebhookConfiguration."""
    names = set()
    for index, hook in enumerate(found.get("webhooks", [])):
        path = f"webhooks[{index}]"
        _webhook(hook, path, problems)
        name = hook.get("name")
        if name and name in names:
            problems.duplicate(f"{path}.name", name)
        names.add(name)


def _webhook(hook: Object, path: str, problems: Problems) -> None:
    name = hook.get("name", "")
    if not name:
        problems.required(f"{path}.name")
    elif name.count(".") < 2 or dns_subdomain(name):
        problems.invalid(f"{path}.name", name, "should be a domain with at least three segments separated by dots")
    for index, rule in enumerate(hook.get("rules", [])):
        _rule(rule, f"{path}.rules[{index}]", problems)
    problems.one_of(f"{path}.failurePolicy", hook["failurePolicy"], ["Fail", "Ignore"])
    problems.one_of(f"{path}.matchPolicy", hook["matchPolicy"], ["Equivalent", "Exact"])
    if "reinvocationPolicy" in hook:
        problems.one_of(f"{path}.reinvocationPolicy", hook["reinvocationPolicy"], ["IfNeeded", "Never"])
    if "sideEffects" not in hook:
        problems.required(f"{path}.sideEffects", "must specify one of None, NoneOnDryRun")
    else:
        problems.one_of(f"{path}.sideEffects", hook["sideEffects"], ["None", "NoneOnDryRun"])
    if not 1 <= hook["timeoutSeconds"] <= 30:
        problems.invalid(
            f"{path}.timeoutSeconds", hook["timeoutSeconds"], "the timeout value must be between 1 and 30 seconds"
        )
    for selector in ("namespaceSelector", "objectSelector"):
        label_selector(hook.get(selector, {}), f"{path}.{selector}", problems)
    _client(hook.get("clientConfig", {}), f"{path}.clientConfig", problems)
    versions = hook.get("admissionReviewVersions", [])
    if not versions:
        problems.required(f"{path}.admissionReviewVersions", "must specify one of v1, v1beta1")
    for index, version in enumerate(versions):
        check_text(dns_1035_label, version, f"{path}.admissionReviewVersions[{index}]", problems)
        if version in versions[:index]:
            problems.invalid(f"{path}.admissionReviewVersions[{index}]", version, "duplicate version")
    if versions and not {"v1", "v1beta1"} & set(versions):
        problems.invalid(f"{path}.admissionReviewVersions", versions, "must include at least one of v1, v1beta1")


def _client(client: Object, path: str, problems: Problems) -> None:
    if ("url" in client) == ("service" in client):
        problems.required(path, "exactly one of url or service is required")
    elif "url" in client:
        if urllib.parse.urlsplit(client["url"]).scheme != "https":
            problems.invalid(f"{path}.url", client["url"], "'https' is the only allowed URL scheme")
    else:
        for name in ("name", "namespace"):
            if not client["service"].get(name):
                problems.required(f"{path}.service.{name}", f"service {name} is required")
        if wrong := port_number(client["service"].get("port", 443)):
            problems.invalid(f"{path}.service.port", client["service"]["port"], f"port is not valid: {wrong}")
        if not (client["service"].get("path") or "/").startswith("/"):
            problems.invalid(f"{path}.service.path", client["service"]["path"], "must start with a '/'")


def _rule(rule: Object, path: str, problems: Problems) -> None:
    for name in ("operations", "apiGroups", "apiVersions", "resources"):
        values = rule.get(name, [])
        if not values:
            problems.required(f"{path}.{name}")
        elif "*" in values and len(values) > 1 and name != "resources":
            problems.invalid(f"{path}.{name}", values, "if '*' is present, must not specify others")
        for index, value in enumerate(values if name in ("apiVersions", "resources") else []):
            if not value:
                problems.required(f"{path}.{name}[{index}]")
    for index, operation in enumerate(rule.get("operations", [])):
        problems.one_of(f"{path}.operations[{index}]", operation, _OPERATIONS)
    problems.one_of(f"{path}.scope", rule.get("scope", "*"), ["*", "Cluster", "Namespaced"])


def api_service(found: Object, problems: Problems) -> None:
    """APIService."""
    spec = found.get("spec", {})
    name = f"{spec.get('version', '')}.{spec.get('group', '')}"
    if found["metadata"].get("name") != name:
        problems.invalid(
            "metadata.name", found["metadata"].get("name"), f'must be `spec.version+"."+spec.group`: "{name}"'
        )
    if not spec.get("group"):
        problems.required("spec.group", "only v1 may have an empty group and it better be legacy kube")
    check_text(dns_1035_label, spec.get("version", ""), "spec.version", problems)
    for field, most in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        if not 0 < spec.get(field, 0) <= most:
            problems.invalid(f"spec.{field}", spec.get(field, 0), f"must be positive and less than {most}")
    service = spec.get("service")
    if service is None:
        if spec.get("insecureSkipTLSVerify"):
            problems.invalid("spec.insecureSkipTLSVerify", True, "local APIServices may not have insecureSkipTLSVerify")
        return
    if wrong := port_number(service.get("port", 443)):
        problems.invalid("spec.service.port", service["port"], f"port is not valid: {wrong}")
    for field in ("name", "namespace"):
        if not service.get(field):
            problems.required(f"spec.service.{field}")
    if spec.get("insecureSkipTLSVerify") and spec.get("caBundle"):
        problems.invalid("spec.insecureSkipTLSVerify", True, "may not be true if caBundle is present")
