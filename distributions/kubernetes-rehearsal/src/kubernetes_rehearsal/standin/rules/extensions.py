"""Webhook configurations, admission policies and aggregated APIs."""

import re
import urllib.parse

from kubernetes_rehearsal.standin.errors import Object, Problems
from kubernetes_rehearsal.standin.formats import dns_1035_label, dns_subdomain, port_number
from kubernetes_rehearsal.standin.rules.common import check_text, label_selector

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
_VARIABLE = re.compile(r"\bvariables\.(\w+)")
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


def admission_policy(found: Object, problems: Problems) -> None:
    """ValidatingAdmissionPolicy. Its expressions are stored, not compiled, and the stand-in enforces none."""
    spec = found.get("spec", {})
    if "matchConstraints" not in spec:
        problems.required("spec.matchConstraints")
    elif not spec["matchConstraints"].get("resourceRules"):
        problems.required("spec.matchConstraints.resourceRules")
    for index, rule in enumerate(spec.get("matchConstraints", {}).get("resourceRules", [])):
        _rule(rule, f"spec.matchConstraints.resourceRules[{index}]", problems)
    if not (spec.get("validations") or spec.get("auditAnnotations")):
        problems.required("spec.validations", "validations or auditAnnotations must contain at least one item")
    for list_name in ("validations", "matchConditions", "variables"):
        for index, one in enumerate(spec.get(list_name, [])):
            if not one.get("expression"):
                problems.required(f"spec.{list_name}[{index}].expression", "expression is not specified")
    _variables(spec, problems)
    policy = spec.get("failurePolicy", "Fail")
    if policy not in ("Fail", "Ignore"):
        problems.invalid("spec.failurePolicy", policy, "must be Fail or Ignore")


def _variables(spec: Object, problems: Problems) -> None:
    names = set()
    for index, one in enumerate(spec.get("variables") or []):
        name = one.get("name") or ""
        if not _IDENTIFIER.fullmatch(name):
            problems.invalid(f"spec.variables[{index}].name", name, "name is not a valid CEL identifier")
        names.add(name)
    for index, one in enumerate(spec.get("validations") or []):
        for name in sorted(set(_VARIABLE.findall(one.get("expression") or "")) - names):
            problems.invalid(f"spec.validations[{index}].expression", name, "undefined field")


def admission_policy_binding(found: Object, problems: Problems) -> None:
    """ValidatingAdmissionPolicyBinding."""
    spec = found.get("spec", {})
    if not spec.get("policyName"):
        problems.required("spec.policyName")
    else:
        check_text(dns_subdomain, spec["policyName"], "spec.policyName", problems)
    for name in ("namespaceSelector", "objectSelector"):
        label_selector(spec.get("matchResources", {}).get(name, {}), f"spec.matchResources.{name}", problems)
    actions = spec.get("validationActions", [])
    if not actions:
        problems.required("spec.validationActions", "at least one validation action is required")
    for index, action in enumerate(actions):
        problems.one_of(f"spec.validationActions[{index}]", action, ["Audit", "Deny", "Warn"])
        if action in actions[:index]:
            problems.duplicate(f"spec.validationActions[{index}]", action)
    if {"Deny", "Warn"} <= set(actions):
        problems.invalid("spec.validationActions", actions, "must not contain both Deny and Warn")


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
