"""Puts add-ons, Helm charts and the platform's own charts into one cluster, each by the versions of its table."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from aws_cdk import Acknowledgment, Duration, Stack, Validations
from aws_cdk import aws_eks_v2 as eks
from aws_cdk import aws_iam as iam
from constructs import Construct, IDependable

from charts.helm_charts import HelmCharts
from charts.images import Images
from charts.manifest_chart import ManifestChart
from mlplatform_constructs import KubernetesCluster, Manifests, NodeGroupSpec, WorkloadIdentity, WorkloadRole

_HELM_MINUTES = 10  # less than the function that runs Helm has, so that Helm itself takes back what fails
_PARTITION = re.compile(r"\$\{Token\[AWS\.Partition[^]]*\]\}")


@dataclass(frozen=True, kw_only=True)
class Allow:
    """A statement of a policy.

    :param conditions: as IAM writes them. Default: none.
    :param why: why a resource has to be a pattern. Default: none is.
    """

    actions: Sequence[str]
    resources: Sequence[str]
    conditions: Mapping[str, Mapping[str, Any]] | None = None
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """As IAM takes it."""
        condition = {"Condition": self.conditions} if self.conditions else {}
        return {"Effect": "Allow", "Action": list(self.actions), "Resource": list(self.resources), **condition}


class Installer:
    """Whatever it installs runs with roles of EKS Pod Identity, however applications get theirs.

    - ``placement``: node selection and tolerations of the platform's own pods.

    :param stack: what is installed belongs to it.
    :param cluster: where to install.
    :param images: the list of images.
    :param helm_charts: the list of Helm charts.
    """

    def __init__(self, stack: Stack, *, cluster: KubernetesCluster, images: Images, helm_charts: HelmCharts) -> None:
        self.cluster = cluster
        self.images = images
        self.region, self.account, self.partition = stack.region, stack.account, stack.partition
        self.placement = cluster.placement(NodeGroupSpec.SYSTEM)
        self._helm_charts = helm_charts
        self._cluster_name = cluster.cluster.cluster_name
        self._identity = WorkloadIdentity.pod_identity(cluster)
        self._timeout = Duration.minutes(_HELM_MINUTES)
        self._between: eks.CfnAddon | None = None

    def role(
        self, scope: Construct, id: str, service_account: str, *, namespace: str, allow: Sequence[Allow] = ()
    ) -> WorkloadRole:
        """A role for the pods of one service account."""
        role = self._identity.role_for(scope, id, namespace=namespace, service_account=service_account)
        if allow:
            document = {"Version": "2012-10-17", "Statement": [statement.to_json() for statement in allow]}
            iam.CfnPolicy(role, "Access", policy_name="Access", policy_document=document, roles=[role.role_name])
        reasons = {
            f"AwsSolutions-IAM5[Resource::{_PARTITION.sub('<AWS::Partition>', resource)}]": statement.why
            for statement in allow
            for resource in statement.resources
            if "*" in resource
        }
        if reasons:
            Validations.of(role).acknowledge(*(Acknowledgment(id=id, reason=why) for id, why in reasons.items()))
        return role

    def let_roles_settle(self, add_on: eks.CfnAddon) -> None:
        """Install ``add_on``, which has no role, between roles and the pods that need them.

        EKS says that it made the association of a role some seconds before it hands the role out. A pod that is made
        within these gets no credentials, and never will. To install an add-on takes longer.

        https://docs.aws.amazon.com/eks/latest/userguide/pod-id-association.html
        """
        self._between = add_on

    def settled(self, *roles: WorkloadRole) -> list[IDependable]:
        """What comes before pods that need these roles."""
        if not roles or self._between is None:
            return [*roles]
        self._between.node.add_dependency(*roles)
        return [*roles, self._between]

    def add_on(
        self,
        scope: Construct,
        name: str,
        *,
        configuration: Mapping[str, Any] | None = None,
        after: Sequence[IDependable] = (),
    ) -> eks.CfnAddon:
        """An EKS add-on, of the build that fits the cluster's Kubernetes minor."""
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
        """A Helm release, which is taken back when it is not up in time.

        :param name: of the release. Default: the chart's.
        """
        listed = self._helm_charts.chart(chart)
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
        self, scope: Construct, id: str, *charts: ManifestChart, after: Sequence[IDependable] = ()
    ) -> Manifests:
        """Charts of the platform, together.

        :raises ValueError: for an image that is not on the list.
        """
        objects = [one for chart in charts for one in chart.to_json()]
        self.images.refuse_strangers(objects)
        return Manifests(scope, id, cluster=self.cluster.cluster, objects=objects, after=after)

    def arn(self, service: str, resource: str) -> str:
        """ARN of a resource of the stack's account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"
