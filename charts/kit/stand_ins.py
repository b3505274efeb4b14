"""Stand-ins that the rehearsal installs if a Helm chart or an EKS add-on is unavailable.

A stand-in has the definitions, names and ports that the platform's own objects need. Its pods never run, so waiting for
them ends immediately. A component describes its stand-in in ``release.toml``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from charts.kit.objects import Manifest
from mlplatform_constructs import ConfigurationError

_IMAGE = "rehearsal.invalid/nothing:0"  # no pod ever asks for it
_NEVER = {"rehearsal.invalid/node": "none"}
_KEPT = {"helm.sh/resource-policy": "keep"}
_STANDS_FOR = "rehearsal.invalid/stands-for"
_AUTHORITY = "b2YgdGhlIHJlaGVhcnNhbA=="


@dataclass(frozen=True)
class StandIn:
    """Objects by kind and name.

    :param namespace: created with an add-on. Default: none. A Helm release has its own.
    :param deployments: names.
    :param daemon_sets: names.
    :param services: port by name, of Services by name; each selects the workload of its name, or ``selects``.
    :param selects: names of workloads by the Service that selects them.
    :param webhooks: names of webhook configurations and their Service, for ``webhook_group``.
    :param webhook_group: API group of the webhooks' resources.
    :param ingress_classes: controllers by the name of the class.
    :param keeps_definitions: whether the real chart keeps its definitions when its release is deleted.
    """

    namespace: str = ""
    deployments: Sequence[str] = ()
    daemon_sets: Sequence[str] = ()
    services: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    selects: Mapping[str, str] = field(default_factory=dict)
    webhooks: Sequence[str] = ()
    webhook_group: str = ""
    ingress_classes: Mapping[str, str] = field(default_factory=dict)
    keeps_definitions: bool = False

    @classmethod
    def of(cls, table: Mapping[str, Any], place: str) -> "StandIn":
        """From the table of a file.

        :raises ConfigurationError: for a key that is not known.
        """
        known = [each.name for each in fields(cls)]
        if unknown := sorted(set(table) - set(known)):
            raise ConfigurationError(f"{place}: stand_in: unknown key {unknown[0]!r}; use {', '.join(known)}")
        return cls(**table)

    def objects(
        self, definitions: Sequence[Manifest], *, namespace: str, stands_for: str, release: str | None = None
    ) -> list[Manifest]:
        """Everything, definitions first.

        :param definitions: of the kinds that the component brings.
        :param namespace: of what has one; a placeholder of Helm or a name.
        :param stands_for: what the workloads replace: image names, separated by commas, or an add-on.
        :param release: the value of the instance label, which Helm's own waits look for. Default: no label.
        """
        labels = {"labels": {"app.kubernetes.io/instance": release}} if release else {}
        made: list[Manifest] = [
            {**found, "metadata": {**found["metadata"], "annotations": _KEPT}} if self.keeps_definitions else found
            for found in definitions
        ]
        if self.namespace:
            made.insert(0, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})

        def place(name: str) -> dict[str, Any]:
            return {"name": name, "namespace": namespace, **labels}

        def workload(name: str) -> dict[str, Any]:
            return {**place(name), "annotations": {_STANDS_FOR: stands_for}}

        made += [
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": workload(name),
                "spec": {"replicas": 0, **_pods(name)},
            }
            for name in self.deployments
        ]
        made += [
            {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": workload(name), "spec": _pods(name)}
            for name in self.daemon_sets
        ]
        made += [
            {"apiVersion": "v1", "kind": "Service", "metadata": place(name), "spec": self._service(name, ports)}
            for name, ports in self.services.items()
        ]
        made += [
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "IngressClass",
                "metadata": {"name": name},
                "spec": {"controller": controller},
            }
            for name, controller in self.ingress_classes.items()
        ]
        for name in self.webhooks:
            made += [self._webhook(kind, name, namespace) for kind in ("Mutating", "Validating")]
        return made

    def _service(self, name: str, ports: Mapping[str, int]) -> dict[str, Any]:
        listed = [{"name": port, "port": number} for port, number in ports.items()]
        return {"selector": {"app": self.selects.get(name, name)}, "ports": listed}

    def _webhook(self, kind: str, name: str, namespace: str) -> dict[str, Any]:
        """No server answers it, which does not make an object invalid."""
        group = self.webhook_group
        rule = {"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["*/*"]}
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": f"{kind}WebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [
                {
                    "name": f"webhook.{group}",
                    "admissionReviewVersions": ["v1"],
                    "clientConfig": {"service": {"name": name, "namespace": namespace}, "caBundle": _AUTHORITY},
                    "failurePolicy": "Ignore",
                    "rules": [rule],
                    "sideEffects": "None",
                }
            ],
        }


def _pods(name: str) -> dict[str, Any]:
    labels = {"app": name}
    spec = {"containers": [{"name": "nothing", "image": _IMAGE}], "nodeSelector": _NEVER}
    return {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}}
