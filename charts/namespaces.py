from collections.abc import Mapping
from typing import Literal

from constructs import Construct

from charts.manifest_chart import ManifestChart, metadata

SecurityLevel = Literal["privileged", "baseline", "restricted"]


class Namespaces(ManifestChart):
    """Namespaces, each with the pod security level that it enforces.

    :param levels: name of the namespace to the level; anything below it is refused by the cluster, and ``restricted``
        is warned of everywhere. https://kubernetes.io/docs/concepts/security/pod-security-standards/
    """

    def __init__(self, scope: Construct, id: str, *, levels: Mapping[str, SecurityLevel]) -> None:
        super().__init__(scope, id)
        for name, level in levels.items():
            labels = {
                "pod-security.kubernetes.io/enforce": level,
                "pod-security.kubernetes.io/warn": "restricted",
            }
            self.add({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata(name, labels=labels)})
