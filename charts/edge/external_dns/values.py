"""external-dns, by its EKS add-on, whose configuration has the fields of the project's own Helm chart."""

from collections.abc import Sequence
from typing import Any

from charts.kit.objects import Manifest

NAMESPACE = NAME = "external-dns"


def external_dns_configuration(*, cluster_name: str, domains: Sequence[str], placement: Manifest) -> dict[str, Any]:
    """Configuration of the add-on: names of Ingresses and Services, deleted together with them.

    :param cluster_name: owner of the records, written next to each; records of others stay as they are.
    :param domains: zones that it may change.
    :param placement: node selection and tolerations of the platform's own pods.
    """
    return {
        **placement,
        "policy": "sync",
        "registry": "txt",
        "txtOwnerId": cluster_name,
        "domainFilters": list(domains),
        "sources": ["service", "ingress"],
        "triggerLoopOnEvent": True,
    }
