"""Installs EKS add-ons, Helm charts and the platform's own charts in one cluster, at the versions of the catalog."""

import json
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast

from aws_cdk import Duration, Stack
from aws_cdk import aws_eks_v2 as eks
from constructs import Construct, IDependable

from charts.catalog import Catalog
from charts.kit.chart import ComponentChart
from mlplatform_constructs import (
    ConfigurationError,
    CredentialPropagation,
    KubernetesCluster,
    Manifests,
    NodeGroupSpec,
    WorkloadIdentity,
    WorkloadRole,
)
from stacks._wiring.data_protection import DataProtection

_HELM_MINUTES = 10  # less than the function that runs Helm has, so that Helm itself rolls back a failed release


@dataclass(frozen=True)
class Part:
    """Objects of one component.

    :param component: its name in the catalog, ``<area>/<folder>``.
    """

    component: str
    objects: Sequence[Any]

    @classmethod
    def of(cls, chart: ComponentChart) -> "Part":
        """The objects of a chart, whose module is in the folder of its component."""
        return cls("/".join(type(chart).__module__.split(".")[1:3]), chart.to_json())


@dataclass(frozen=True)
class Delivery:
    """What one construct delivers to a cluster."""

    stack: Stack
    cluster: KubernetesCluster
    parts: Sequence[Part]


DELIVERIES: ContextVar[list[Delivery] | None] = ContextVar("deliveries", default=None)
"""Collects what installers deliver, in order, if a list is set. Default: not collected."""


class Installer:
    """Installs components in a cluster. Their pods get AWS roles by EKS Pod Identity, whatever applications use.

    - ``placement``: node selection and tolerations of the platform's own pods.

    :param stack: what is installed belongs to it.
    :param cluster: where to install.
    :param catalog: the components, with their images and charts as the account takes them.
    :param protection: key and removal policy of the log of the wait for credentials.
    """

    def __init__(
        self,
        stack: Stack,
        *,
        cluster: KubernetesCluster,
        catalog: Catalog,
        protection: DataProtection,
    ) -> None:
        self.cluster = cluster
        self.catalog = catalog
        self.images = catalog.images
        self.region = stack.region
        self.placement = cluster.placement(NodeGroupSpec.SYSTEM)
        self._cluster_name = cluster.cluster.cluster_name
        self._identity = WorkloadIdentity.pod_identity(cluster)
        self._timeout = Duration.minutes(_HELM_MINUTES)
        self._stack = stack
        self._protection = protection
        self._propagation: CredentialPropagation | None = None

    def role(self, scope: Construct, id: str, need: str) -> WorkloadRole:
        """The role of a controller, for the service account that its component names. Grant it what the pods need.

        :param need: name of the role in the component's ``release.toml``.
        :raises ConfigurationError: for a role that no component lists.
        """
        account = self.catalog.role(need)
        return self._identity.role_for(scope, id, namespace=account.namespace, service_account=account.service_account)

    def settled(self, *roles: WorkloadRole) -> list[IDependable]:
        """What must be deployed before pods that need these roles: the roles, and the wait for their credentials."""
        if not roles:
            return []
        if self._propagation is None:
            self._propagation = CredentialPropagation(
                self._stack,
                "CredentialPropagation",
                log_encryption_key=self._protection.keys.logs,
                log_removal_policy=self._protection.removal_policy,
            )
        self._propagation.add(*roles)
        return [*roles, self._propagation]

    def add_on(
        self,
        scope: Construct,
        name: str,
        *,
        configuration: Mapping[str, Any] | None = None,
        after: Sequence[IDependable] = (),
    ) -> eks.CfnAddon:
        """An EKS add-on, of the build that fits the cluster's Kubernetes minor.

        :raises ConfigurationError: for an add-on that no component lists, or an image that is not listed.
        """
        if name not in self.catalog.add_ons:
            listed = ", ".join(self.catalog.add_ons)
            raise ConfigurationError(
                f"{scope.node.path}: no release.toml lists an EKS add-on {name!r}; listed are: {listed}"
            )
        self.catalog.require_listed_values(f"{scope.node.path}: EKS add-on {name}", configuration or {})
        add_on = eks.CfnAddon(
            scope,
            name,
            cluster_name=self._cluster_name,
            addon_name=name,
            addon_version=self.cluster.release.addons[name],
            configuration_values=json.dumps(configuration, sort_keys=True) if configuration else None,
            resolve_conflicts="OVERWRITE",
        )
        if after:
            add_on.node.add_dependency(*after)
        return add_on

    def release(
        self,
        scope: Construct,
        id: str,
        chart: str,
        *,
        namespace: str,
        values: Mapping[str, Any],
        name: str | None = None,
        after: Sequence[IDependable] = (),
    ) -> eks.HelmChart:
        """A Helm release, rolled back if it is not ready in time.

        :param name: of the release. Default: the chart's.
        :raises ConfigurationError: for a chart that no component lists, or an image that is not listed.
        """
        listed = self.catalog.helm_charts.chart(chart)
        self.catalog.require_listed_values(f"{scope.node.path}: Helm chart {chart}", values)
        release = eks.HelmChart(
            scope,
            id,
            cluster=cast(eks.ICluster, self.cluster.cluster),
            chart=chart,
            repository=listed.repository,
            version=listed.version,
            release=name or chart,
            namespace=namespace,
            create_namespace=False,
            values=values,
            wait=True,
            atomic=True,
            timeout=self._timeout,
        )
        if after:
            release.node.add_dependency(*after)
        return release

    def deliver(
        self,
        scope: Construct,
        id: str,
        *charts: ComponentChart,
        definitions: Sequence[str] = (),
        after: Sequence[IDependable] = (),
    ) -> Manifests:
        """Charts of the platform, together.

        :param definitions: components whose CustomResourceDefinitions are delivered with them, such as
            ``kubeflow/profiles``. Default: none.
        :raises ConfigurationError: for an image that is not listed.
        """
        parts = [*(Part(name, self.catalog.definitions(name)) for name in definitions), *map(Part.of, charts)]
        objects = [one for part in parts for one in part.objects]
        self.catalog.require_listed_objects(objects)
        if (deliveries := DELIVERIES.get()) is not None:
            deliveries.append(Delivery(self._stack, self.cluster, parts))
        return Manifests(scope, id, cluster=self.cluster.cluster, objects=objects, after=after)
