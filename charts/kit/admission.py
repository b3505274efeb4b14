"""ValidatingAdmissionPolicies: rules that the API server itself evaluates, without a webhook."""

from collections.abc import Mapping, Sequence
from typing import Any

from charts.kit.objects import Manifest, metadata

_API = "admissionregistration.k8s.io/v1"
SYSTEM_LABEL = "mlplatform/system"
SYSTEM_NAMESPACES = (
    "amazon-cloudwatch",
    "cert-manager",
    "external-dns",
    "istio-system",
    "kube-node-lease",
    "kube-public",
    "kube-system",
)
"""Namespaces that belong to the platform, besides those with the label ``mlplatform/system: "true"``."""

IN_SYSTEM_NAMESPACE = (
    f"namespaceObject.metadata.name in {list(SYSTEM_NAMESPACES)} || "
    f"namespaceObject.metadata.?labels['{SYSTEM_LABEL}'].orValue('') == 'true'"
)
"""CEL expression: the object's namespace belongs to the platform. Conditions (``when``) do not know the namespace."""


def admission_rule(group: str, version: str, resources: str, operations: str) -> dict[str, Any]:
    """What a policy looks at; resources and operations are separated by spaces."""
    return {
        "apiGroups": [group],
        "apiVersions": [version],
        "operations": operations.split(),
        "resources": resources.split(),
    }


def admission_policy(
    name: str,
    *,
    rules: Sequence[Manifest],
    expressions: Mapping[str, str],
    when: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """A policy that fails closed, and its binding.

    :param rules: from :func:`admission_rule`.
    :param expressions: what must be true, in CEL, by the message of the refusal.
    :param when: in CEL, by name: only requests for which all are true are looked at. Default: all requests.
    :param variables: in CEL, by name, for use in the expressions.
    """
    spec: dict[str, Any] = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [*rules]},
        "validations": [
            {"expression": expression, "message": message, "reason": "Forbidden"}
            for message, expression in expressions.items()
        ],
    }
    if when:
        spec["matchConditions"] = [{"name": key, "expression": value} for key, value in when.items()]
    if variables:
        spec["variables"] = [{"name": key, "expression": value} for key, value in variables.items()]
    return [
        {"apiVersion": _API, "kind": "ValidatingAdmissionPolicy", "metadata": metadata(name), "spec": spec},
        {
            "apiVersion": _API,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": metadata(name),
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        },
    ]
