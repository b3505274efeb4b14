"""Roles and bindings."""

from kubernetes_rehearsal.standin.defaults import RBAC
from kubernetes_rehearsal.standin.errors import Object, Problems
from kubernetes_rehearsal.standin.formats import dns_subdomain, path_segment
from kubernetes_rehearsal.standin.rules.common import check_text, label_selector, required_text


def role(found: Object, problems: Problems) -> None:
    """Role."""
    _rules(found, problems, namespaced=True)


def cluster_role(found: Object, problems: Problems) -> None:
    """ClusterRole."""
    _rules(found, problems, namespaced=False)
    if "aggregationRule" in found:
        selectors = found["aggregationRule"].get("clusterRoleSelectors", [])
        path = "aggregationRule.clusterRoleSelectors"
        if not selectors:
            problems.required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil")
        for index, selector in enumerate(selectors):
            label_selector(selector, f"{path}[{index}]", problems)


def role_binding(found: Object, problems: Problems) -> None:
    """RoleBinding."""
    _binding(found, ["ClusterRole", "Role"], problems, namespaced=True)


def cluster_role_binding(found: Object, problems: Problems) -> None:
    """ClusterRoleBinding."""
    _binding(found, ["ClusterRole"], problems, namespaced=False)


def binding_change(found: Object, old: Object, problems: Problems) -> None:
    """Permission to edit the subjects does not include the choice of another role."""
    if found.get("roleRef") != old.get("roleRef"):
        problems.invalid("roleRef", found.get("roleRef"), "cannot change roleRef")


def _rules(found: Object, problems: Problems, *, namespaced: bool) -> None:
    for index, rule in enumerate(found.get("rules", [])):
        path = f"rules[{index}]"
        if not rule.get("verbs"):
            problems.required(f"{path}.verbs", "verbs must contain at least one value")
        urls = rule.get("nonResourceURLs")
        if urls:
            if namespaced:
                problems.invalid(f"{path}.nonResourceURLs", urls, "namespaced rules cannot apply to non-resource URLs")
            if any(rule.get(name) for name in ("apiGroups", "resources", "resourceNames")):
                detail = "rules cannot apply to both regular resources and non-resource URLs"
                problems.invalid(f"{path}.nonResourceURLs", urls, detail)
            continue
        if not rule.get("apiGroups"):
            problems.required(f"{path}.apiGroups", "resource rules must supply at least one api group")
        if not rule.get("resources"):
            problems.required(f"{path}.resources", "resource rules must supply at least one resource")


def _binding(found: Object, kinds: list[str], problems: Problems, *, namespaced: bool) -> None:
    reference = found.get("roleRef", {})
    problems.one_of("roleRef.apiGroup", reference.get("apiGroup", RBAC), [RBAC])
    problems.one_of("roleRef.kind", reference.get("kind", ""), kinds)
    required_text(path_segment, reference.get("name"), "roleRef.name", problems)
    for index, subject in enumerate(found.get("subjects", [])):
        path, kind = f"subjects[{index}]", subject.get("kind", "")
        if not subject.get("name"):
            problems.required(f"{path}.name")
        match kind:
            case "ServiceAccount":
                if subject.get("name"):
                    check_text(dns_subdomain, subject["name"], f"{path}.name", problems)
                if subject.get("apiGroup"):
                    problems.unsupported(f"{path}.apiGroup", subject["apiGroup"], [""])
                if not namespaced and not subject.get("namespace"):
                    problems.required(f"{path}.namespace")
            case "Group" | "User":
                problems.one_of(f"{path}.apiGroup", subject.get("apiGroup", ""), [RBAC])
            case _:
                problems.unsupported(f"{path}.kind", kind, ["Group", "ServiceAccount", "User"])
