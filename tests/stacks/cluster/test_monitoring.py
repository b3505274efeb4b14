"""Monitoring as a stack of each cluster: its order, its roles in AWS, and what settings change."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.account_files import DISPOSABLE, synthesized
from tests.manifests import INVENTORY, Delivered
from tests.policies import many
from tests.references import Templates

WORKSPACE = "arn:aws:aps:eu-west-1:111111111111:workspace/ws-1"
ACCOUNT = f"""{DISPOSABLE}
[identity.load_balancer]
[people.ana]
email = "ana@example.com"
[clusters.training.kubeflow]
deployment = "vanilla"
[clusters.training.monitoring]
retention_days = 30
workspace_arn = "{WORKSPACE}"
objectives = {{ availability = 99.5, latency_milliseconds = 250 }}
[clusters.inference.monitoring]
prices = {{ "g5.xlarge" = 1.006 }}
[clusters.inference.monitoring.routes.churn]
labels = {{ namespace = "churn" }}
topic_arn = "arn:aws:sns:eu-west-1:111111111111:churn"
[clusters.inference.node_groups.inference-gpu]
max_per_zone = 0
"""


class Platform:
    """An account with monitoring, synthesized."""

    def __init__(self, folder: Path) -> None:
        self.synthesis = synthesized(folder, ACCOUNT)
        self.stacks = {stack.name.removeprefix("some-"): stack for stack in self.synthesis.templates}
        self.templates = Templates({stack.name: stack.template for stack in self.synthesis.templates})

    def named(self, stack: str, kind: str) -> dict[str, Any]:
        objects = Delivered(self.stacks[stack].template).objects()
        return {found["metadata"]["name"]: found for found in objects if found["kind"] == kind}

    def actions(self, stack: str) -> dict[str, set[str]]:
        """What the pods of each service account may do in AWS."""
        template = self.stacks[stack].template["Resources"]
        roles = {
            each["Properties"]["RoleArn"]["Fn::GetAtt"][0]: each["Properties"]["ServiceAccount"]
            for each in template.values()
            if each["Type"] == "AWS::EKS::PodIdentityAssociation"
        }
        found: dict[str, set[str]] = {account: set() for account in roles.values()}
        for each in template.values():
            if each["Type"] == "AWS::IAM::Policy":
                for role in each["Properties"]["Roles"]:
                    for statement in each["Properties"]["PolicyDocument"]["Statement"]:
                        if role["Ref"] in roles:
                            found[roles[role["Ref"]]] |= set(many(statement["Action"]))
        return found


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    return Platform(tmp_path_factory.mktemp("monitoring"))


def test_monitoring_is_deployed_after_what_it_scrapes(platform: Platform) -> None:
    assert "some/TrainingKubeflowTeams" in platform.stacks["TrainingMonitoring"].dependencies
    assert "some/InferenceServices" in platform.stacks["InferenceMonitoring"].dependencies


@pytest.mark.promise("pod-permissions")
def test_alertmanager_publishes_and_only_a_workspace_gives_other_pods_a_role(platform: Platform) -> None:
    publish = {"sns:Publish", "kms:Decrypt", "kms:GenerateDataKey"}
    assert platform.actions("InferenceMonitoring") == {"alertmanager": publish}
    assert platform.actions("TrainingMonitoring") == {
        "alertmanager": publish,
        "prometheus": {"aps:RemoteWrite"},
        "grafana": {"aps:GetLabels", "aps:GetMetricMetadata", "aps:GetSeries", "aps:QueryMetrics"},
    }


def test_a_workspace_receives_samples_and_is_a_source_of_dashboards(platform: Platform) -> None:
    (prometheus,) = platform.named("TrainingMonitoring", "Prometheus").values()
    (target,) = prometheus["spec"]["remoteWrite"]
    assert "/workspaces/ws-1/api/v1/remote_write" in json.dumps(target["url"])
    sources = platform.named("TrainingMonitoring", "ConfigMap")["grafana"]["data"]["datasources.yaml"]
    assert "managed-prometheus" in json.dumps(sources)
    assert "remoteWrite" not in platform.named("InferenceMonitoring", "Prometheus")["platform"]["spec"]


def test_grafana_is_behind_the_identity_gate_where_there_is_one(platform: Platform) -> None:
    (route,) = platform.named("TrainingMonitoring", "VirtualService").values()
    assert route["spec"]["gateways"] == ["kubeflow/kubeflow-gateway"]
    assert not platform.named("InferenceMonitoring", "VirtualService")


def test_gpus_are_watched_on_clusters_that_have_some(platform: Platform) -> None:
    assert "dcgm-exporter" in platform.named("TrainingMonitoring", "DaemonSet")
    assert "dcgm-exporter" not in platform.named("InferenceMonitoring", "DaemonSet")


def test_settings_reach_servers_and_rules(platform: Platform) -> None:
    spec = platform.named("TrainingMonitoring", "Prometheus")["platform"]["spec"]
    assert (spec["retention"], spec["externalLabels"]) == ("30d", {"cluster": "training"})
    rules = json.dumps(platform.named("TrainingMonitoring", "PrometheusRule")["platform"])
    assert "14.4 * 0.005" in rules
    assert "250|250.0" in rules
    assert "vector(1.006)" in json.dumps(platform.named("InferenceMonitoring", "PrometheusRule")["platform"])
    configuration = platform.named("InferenceMonitoring", "Secret")["alertmanager-configuration"]
    assert ":111111111111:churn" in json.dumps(configuration)


def test_controllers_of_kubeflow_are_scraped_where_kubeflow_is(platform: Platform) -> None:
    monitors = platform.named("TrainingMonitoring", "ServiceMonitor")
    assert monitors["platform"]["metadata"]["namespace"] == "kubeflow"
    assert "platform" not in platform.named("InferenceMonitoring", "ServiceMonitor")


@pytest.mark.promise("no-leftovers")
def test_aggregated_apis_are_deleted_before_what_serves_them(platform: Platform) -> None:
    """The API server deletes no namespace while an aggregated API does not answer."""
    records = Delivered(platform.stacks["InferenceMonitoring"].template).of_type(INVENTORY).values()
    texts = [record["Properties"]["Objects"] for record in records]
    waves = json.loads(next(text for text in texts if "APIService" in text))

    def position(wanted: str, name: str) -> int:
        (found,) = [
            number
            for number, wave in enumerate(waves)
            for _, kind, _, names in wave
            if kind == wanted and name in names
        ]
        return found

    api = position("APIService", "v1beta1.custom.metrics.k8s.io")
    adapter = [position(kind, "prometheus-adapter") for kind in ("Deployment", "Service", "Certificate")]
    assert api > max(adapter), "waves are deleted in reverse order"
