from collections.abc import Sequence

import cdk8s
from aws_cdk import Stack
from aws_cdk import aws_sns as sns
from constructs import Construct, IDependable

from charts.catalog import Catalog
from charts.kit.chart import ComponentChart
from charts.kit.kubeflow import GATEWAY, USER_HEADER
from charts.monitoring.alertmanager.objects import Alertmanager, Receiver, Route
from charts.monitoring.dcgm_exporter.objects import DcgmExporter
from charts.monitoring.grafana.objects import Entry, Grafana, ManagedPrometheus
from charts.monitoring.kube_state_metrics.objects import KubeStateMetrics
from charts.monitoring.monitoring_base.objects import MonitoringBase
from charts.monitoring.node_exporter.objects import NodeExporter
from charts.monitoring.prometheus.objects import Prometheus, RemoteWrite
from charts.monitoring.prometheus.rule_files import Objectives, Rules
from charts.monitoring.prometheus_adapter.objects import PrometheusAdapter
from charts.monitoring.prometheus_operator.objects import PrometheusOperator
from config.monitoring import Monitoring as MonitoringSettings
from mlplatform_constructs import AlarmTopic, KubernetesCluster, NodeGroupSpec, WorkloadRole
from stacks._wiring.data_protection import DataProtection

from .._wiring.installer import Installer

_OPERATOR = "monitoring/prometheus_operator"


class MonitoringStack(Stack):
    """Prometheus, Alertmanager and Grafana with their exporters, and metrics for autoscalers.

    :param settings: of monitoring.
    :param alarms: the topic that receives alerts.
    :param controllers: namespaces, besides the mesh's, with controllers of the platform to scrape.
    :param keda: whether KEDA of this cluster may query Prometheus.
    :param behind_gateway: whether Grafana is behind the gateway of Kubeflow; otherwise people forward a port.
    :param after: stacks that are deployed first.
    :param protection: its keys encrypt logs.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        settings: MonitoringSettings,
        cluster: KubernetesCluster,
        alarms: AlarmTopic,
        controllers: Sequence[str],
        keda: bool,
        behind_gateway: bool,
        after: Sequence[Stack],
        catalog: Catalog,
        protection: DataProtection,
    ) -> None:
        super().__init__(scope, id)
        for stack in after:
            self.add_stack_dependency(stack)
        self._settings, self._name = settings, name
        self._installer = Installer(self, cluster=cluster, catalog=catalog, protection=protection)
        roles = self._roles(alarms)
        charts = cdk8s.App()
        base = MonitoringBase(charts, "Base", controllers=controllers)
        agents = [base, self._operator(charts), *self._exporters(charts)]
        operator = self._installer.deliver(self, "Agents", *agents, definitions=[_OPERATOR])
        servers = [
            self._alertmanager(charts, alarms),
            self._prometheus(charts, keda=keda),
            self._adapter(charts),
            self._grafana(charts, behind_gateway),
        ]
        waits: list[IDependable] = [operator, *self._installer.settled(*roles)]
        self._installer.deliver(self, "Servers", *servers, after=waits)

    def _roles(self, alarms: AlarmTopic) -> list[WorkloadRole]:
        """Of the pods that call AWS: Alertmanager always, the others for a managed workspace only."""
        notifier = self._installer.role(self, "Alertmanager", "alertmanager")
        alarms.grant_publish(notifier)
        for name, route in self._settings.routes.items():
            sns.Topic.from_topic_arn(self, f"Route-{name}", route.topic_arn).grant_publish(notifier)
        if not self._settings.workspace_arn:
            return [notifier]
        writer = self._installer.role(self, "Prometheus", "prometheus")
        reader = self._installer.role(self, "Grafana", "grafana")
        self._installer.cluster.grant_write_metrics(writer, self._settings.workspace_arn)
        self._installer.cluster.grant_query_metrics(reader, self._settings.workspace_arn)
        return [notifier, writer, reader]

    def _operator(self, charts: cdk8s.App) -> ComponentChart:
        images = self._installer.images
        return PrometheusOperator(
            charts,
            "Operator",
            image=images.reference("prometheus-operator"),
            reloader_image=images.reference("prometheus-config-reloader"),
            placement=self._installer.placement,
        )

    def _exporters(self, charts: cdk8s.App) -> list[ComponentChart]:
        images, placement = self._installer.images, self._installer.placement
        found: list[ComponentChart] = [
            KubeStateMetrics(charts, "Objects", image=images.reference("kube-state-metrics"), placement=placement),
            NodeExporter(charts, "Nodes", image=images.reference("node-exporter")),
        ]
        if any(spec.device_resource == "nvidia.com/gpu" for spec in self._installer.cluster.node_groups):
            labels = {NodeGroupSpec.ACCELERATOR_LABEL: "nvidia"}
            found.append(DcgmExporter(charts, "Gpus", image=images.reference("dcgm-exporter"), node_labels=labels))
        return found

    def _alertmanager(self, charts: cdk8s.App, alarms: AlarmTopic) -> ComponentChart:
        images, region = self._installer.images, self.region
        return Alertmanager(
            charts,
            "Alertmanager",
            image=images.reference("alertmanager"),
            version=images.tag("alertmanager").removeprefix("v"),
            receiver=Receiver.topic(alarms.topic.topic_arn, region=region),
            routes=[
                Route(
                    name=name,
                    labels=route.labels,
                    receiver=Receiver.topic(route.topic_arn, region=region),
                    exclusive=route.exclusive,
                )
                for name, route in self._settings.routes.items()
            ],
            placement=self._installer.placement,
        )

    def _prometheus(self, charts: cdk8s.App, *, keda: bool) -> ComponentChart:
        images, settings = self._installer.images, self._settings
        workspace = self._workspace_url()
        return Prometheus(
            charts,
            "Prometheus",
            image=images.reference("prometheus"),
            version=images.tag("prometheus").removeprefix("v"),
            cluster_name=self._name,
            retention_days=settings.retention_days,
            storage_gib=settings.storage_gib,
            memory=f"{settings.memory_gib}Gi",
            remote_write=(
                RemoteWrite(url=f"{workspace}/api/v1/remote_write", region=self.region) if workspace else None
            ),
            keda=keda,
            rules=Rules(objectives=Objectives(**settings.objectives.model_dump()), prices=settings.prices),
            placement=self._installer.placement,
        )

    def _adapter(self, charts: cdk8s.App) -> ComponentChart:
        image = self._installer.images.reference("prometheus-adapter")
        return PrometheusAdapter(charts, "Adapter", image=image, placement=self._installer.placement)

    def _grafana(self, charts: cdk8s.App, behind_gateway: bool) -> ComponentChart:
        workspace = self._workspace_url()
        return Grafana(
            charts,
            "Grafana",
            image=self._installer.images.reference("grafana"),
            entry=Entry.gateway(GATEWAY, user_header=USER_HEADER) if behind_gateway else Entry.forwarded_port(),
            managed=ManagedPrometheus(url=workspace, region=self.region) if workspace else None,
            placement=self._installer.placement,
        )

    def _workspace_url(self) -> str | None:
        """https://docs.aws.amazon.com/prometheus/latest/userguide/AMP-onboard-ingest-metrics-new-Prometheus.html"""
        if not self._settings.workspace_arn:
            return None
        workspace = self._settings.workspace_arn.rpartition("/")[2]
        return f"https://aps-workspaces.{self.region}.{self.url_suffix}/workspaces/{workspace}"
