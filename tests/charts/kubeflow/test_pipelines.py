"""Kubeflow Pipelines with Argo and the metadata store: what runs, as whom, and which data each part reaches."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from syrupy.assertion import SnapshotAssertion

from charts.kit.chart import pod_specs
from charts.kit.listed_images import unlisted_objects
from charts.kit.stores import ArtifactStore
from charts.kit.synced_secrets import secret_volume, synced_secret
from tests.charts.kubeflow.runs import BUCKET, CATALOG, IN_CLUSTER, charts, database, profile, rds
from tests.outlines import outline


@pytest.fixture(scope="module")
def on_aws() -> dict[str, list[Any]]:
    return {name: chart.to_json() for name, chart in charts(BUCKET, rds).items()}


@pytest.fixture(scope="module")
def in_cluster() -> dict[str, list[Any]]:
    return {name: chart.to_json() for name, chart in charts(IN_CLUSTER, database).items()}


def flat(found: dict[str, list[Any]]) -> list[Any]:
    return [one for objects in found.values() for one in objects]


def named(objects: list[Any], kind: str, name: str) -> Any:
    [found] = [one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name]
    return found


def environment(objects: list[Any], deployment: str) -> dict[str, Any]:
    [spec] = pod_specs(named(objects, "Deployment", deployment))
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in spec["containers"][0]["env"]}


@pytest.mark.parametrize("name", ["argo", "metadata", "pipelines", "profile"])
def test_objects(on_aws: dict[str, list[Any]], name: str, snapshot: SnapshotAssertion) -> None:
    assert outline(on_aws[name]) == snapshot


def test_every_image_is_listed_even_in_variables_and_configuration(on_aws: dict[str, list[Any]]) -> None:
    assert list(unlisted_objects(flat(on_aws), CATALOG.images)) == []
    hidden = json.dumps(on_aws).replace(CATALOG.images.reference("kfp-driver"), "ghcr.io/kubeflow/kfp-driver:unknown")
    with pytest.raises(ValueError, match="kfp-driver:unknown"):
        CATALOG.require_listed_objects(flat(json.loads(hidden)))


def test_no_access_key_is_named_where_the_bucket_is_in_aws(on_aws: dict[str, list[Any]]) -> None:
    api = environment(flat(on_aws), "ml-pipeline")
    assert (api["OBJECTSTORECONFIG_ACCESSKEY"], api["OBJECTSTORECONFIG_SECRETACCESSKEY"]) == ("", "")
    assert "accesskey" not in json.dumps([on_aws["argo"], on_aws["profile"]]).lower()


def test_a_store_in_the_cluster_is_reached_with_the_keys_of_its_secret(in_cluster: dict[str, list[Any]]) -> None:
    key = {"secretKeyRef": {"name": "object-store", "key": "accessKey"}}
    assert environment(flat(in_cluster), "ml-pipeline")["OBJECTSTORECONFIG_ACCESSKEY"] == key
    assert environment(in_cluster["pipelines"], "ml-pipeline-ui")["MINIO_ACCESS_KEY"] == key
    repository = json.loads(configuration(in_cluster)["artifactRepository"])["s3"]
    assert repository["accessKeySecret"] == {"name": "object-store", "key": "accessKey"}
    assert repository["insecure"] is True


def test_the_proxy_of_a_profile_reads_the_keys_that_an_artifact_names(in_cluster: dict[str, list[Any]]) -> None:
    """An artifact keeps the provider of its run, by whose Secret and address the proxy looks for it."""
    providers = json.loads(named(in_cluster["profile"], "ConfigMap", "kfp-launcher")["data"]["providers"])
    store = providers["s3"]["default"]
    assert store["endpoint"] == "http://seaweedfs.kubeflow:8333"
    [spec] = pod_specs(named(in_cluster["profile"], "Deployment", "ml-pipeline-ui-artifact"))
    assert environment(in_cluster["profile"], "ml-pipeline-ui-artifact")["FRONTEND_SERVER_NAMESPACE"] == "churn"
    secret = store["credentials"]["secretRef"]["secretName"]
    bound = named(with_keys(), "RoleBinding", "ml-pipeline-ui-artifact")
    assert [one["name"] for one in bound["subjects"]] == [spec["serviceAccountName"]]
    assert named(with_keys(), "Role", bound["roleRef"]["name"])["rules"] == [
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [secret], "verbs": ["get"]}
    ]


def with_keys() -> list[Any]:
    """A profile whose keys of the store come from AWS."""
    secret = "arn:aws:secretsmanager:eu-west-1:111111111111:secret:store-churn-AbCdEf"
    found: list[Any] = profile("churn", IN_CLUSTER, keys=("eu-west-1", secret)).to_json()
    return found


def test_the_api_server_starts_without_the_server_of_visualizations(on_aws: dict[str, list[Any]]) -> None:
    """It ends at once if no address is set, which the kubelet would set for a Service of this name.

    https://github.com/kubeflow/pipelines/blob/2.16.1/backend/src/apiserver/client_manager/client_manager.go
    """
    api = environment(on_aws["pipelines"], "ml-pipeline")
    variables = {f"ML_PIPELINE_VISUALIZATIONSERVER_SERVICE_{part}": api for part in ("HOST", "PORT")}
    assert all(found.get(name) for name, found in variables.items())
    services = [one["metadata"]["name"] for one in flat(on_aws) if one["kind"] == "Service"]
    assert "ml-pipeline-visualizationserver" not in services


def test_the_web_page_finds_its_servers_by_name(on_aws: dict[str, list[Any]]) -> None:
    """Without these variables it asks its own pod, if it has started before the Services."""
    ui = environment(on_aws["pipelines"], "ml-pipeline-ui")
    services = {
        f"{one['metadata']['name']}.kubeflow.svc.cluster.local": [str(port["port"]) for port in one["spec"]["ports"]]
        for one in flat(on_aws)
        if one["kind"] == "Service"
    }
    for server in ("ML_PIPELINE", "METADATA_ENVOY_SERVICE"):
        assert ui[f"{server}_SERVICE_PORT"] in services[ui[f"{server}_SERVICE_HOST"]]


def configuration(found: dict[str, list[Any]]) -> dict[str, str]:
    data: dict[str, str] = named(found["argo"], "ConfigMap", "workflow-controller-configmap")["data"]
    return data


def test_logs_and_artifacts_of_a_profile_lie_below_a_prefix_of_its_own(on_aws: dict[str, list[Any]]) -> None:
    logs = json.loads(configuration(on_aws)["artifactRepository"])["s3"]["keyFormat"]
    root = named(on_aws["profile"], "ConfigMap", "kfp-launcher")["data"]["defaultPipelineRoot"]
    prefix = ArtifactStore.prefix("churn")
    assert logs.replace("{{workflow.namespace}}", "churn").startswith(prefix)
    assert root.removeprefix("s3://artifacts-of-the-platform/").startswith(prefix)
    assert environment(on_aws["pipelines"], "ml-pipeline-ui")["ARGO_KEYFORMAT"] == logs


def test_the_web_page_reads_artifacts_through_the_proxy_of_the_profile(on_aws: dict[str, list[Any]]) -> None:
    ui = environment(on_aws["pipelines"], "ml-pipeline-ui")
    assert ui["ARTIFACTS_SERVICE_PROXY_ENABLED"] == "true"
    proxy = named(on_aws["profile"], "Service", ui["ARTIFACTS_SERVICE_PROXY_NAME"])
    assert [port["port"] for port in proxy["spec"]["ports"]] == [int(ui["ARTIFACTS_SERVICE_PROXY_PORT"])]
    [spec] = pod_specs(named(on_aws["profile"], "Deployment", "ml-pipeline-ui-artifact"))
    assert spec["serviceAccountName"] == "default-editor"
    assert not [one for one in on_aws["profile"] if one["kind"] == "AuthorizationPolicy"], "it would admit any person"


@pytest.mark.parametrize("deployment", ["ml-pipeline", "metadata-grpc-server", "kubeflow-pipelines-cache"])
def test_a_database_in_rds_is_reached_by_verified_tls_with_a_synced_secret(
    on_aws: dict[str, list[Any]], deployment: str
) -> None:
    [spec] = pod_specs(named(flat(on_aws), "Deployment", deployment))
    [container] = spec["containers"]
    text = json.dumps(container)
    assert "verify_server_cert=true" in text or '"{\\"tls\\": \\"true\\"}"' in text or "db_extra_params" in text
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert "secrets-store.csi.k8s.io" in json.dumps(volumes["database-credentials"])
    assert {"/etc/database-authorities", "/etc/database-credentials"} <= {
        mount["mountPath"] for mount in container["volumeMounts"] if mount.get("readOnly")
    }


def test_a_database_in_the_cluster_needs_neither_authorities_nor_a_driver(in_cluster: dict[str, list[Any]]) -> None:
    for name in ("ml-pipeline", "metadata-grpc-server", "kubeflow-pipelines-cache"):
        text = json.dumps(named(flat(in_cluster), "Deployment", name))
        assert "secrets-store" not in text
        assert "database-authorities" not in text


def test_only_the_gateway_and_named_accounts_call_the_web_page_and_the_api(on_aws: dict[str, list[Any]]) -> None:
    policies = {
        one["metadata"]["name"]: one["spec"] for one in on_aws["pipelines"] if one["kind"] == "AuthorizationPolicy"
    }
    assert policies["ml-pipeline-ui"]["rules"][0]["from"][0]["source"]["principals"] == [
        "cluster.local/ns/istio-system/sa/istio-ingressgateway"
    ]
    by_account, by_token = policies["ml-pipeline"]["rules"]
    assert all("/ns/kubeflow/sa/ml-pipeline-" in name for name in by_account["from"][0]["source"]["principals"])
    assert by_token["when"] == [{"key": "request.headers[kubeflow-userid]", "notValues": ["*"]}]


def test_no_part_reads_secrets_of_all_namespaces(on_aws: dict[str, list[Any]]) -> None:
    roles = [one for one in flat(on_aws) if one["kind"] == "ClusterRole"]
    assert roles
    assert not [one["metadata"]["name"] for one in roles for rule in one["rules"] if "secrets" in rule["resources"]]


def test_a_part_without_leader_election_has_one_replica(on_aws: dict[str, list[Any]]) -> None:
    replicas = {one["metadata"]["name"]: one["spec"]["replicas"] for one in flat(on_aws) if one["kind"] == "Deployment"}
    assert {name for name, count in replicas.items() if count == 1} == {
        "kubeflow-pipelines-cache",
        "ml-pipeline-persistenceagent",
        "ml-pipeline-scheduledworkflow",
        "ml-pipeline-ui-artifact",
        "ml-pipeline-viewer-crd",
    }


def test_ports_that_take_calls_from_outside_the_mesh_say_why(on_aws: dict[str, list[Any]]) -> None:
    exceptions = [one for one in flat(on_aws) if one["kind"] == "PeerAuthentication"]
    assert {one["metadata"]["name"] for one in exceptions} == {"ml-pipeline", "metadata-grpc-server"}
    for one in exceptions:
        assert one["spec"]["mtls"] == {"mode": "STRICT"}
        assert "without a sidecar" in one["metadata"]["annotations"]["mlplatform/reason"]


def test_a_synced_secret_has_the_keys_of_its_json(on_aws: dict[str, list[Any]]) -> None:
    found = synced_secret(
        "mlpipeline-credentials",
        "kubeflow",
        region="eu-west-1",
        keys_by_arn={"arn:aws:secretsmanager:eu-west-1:1:secret:s": ["username", "password"]},
    )
    [wanted] = yaml.safe_load(found["spec"]["parameters"]["objects"])
    aliases = {each["path"]: each["objectAlias"] for each in wanted["jmesPath"]}
    [made] = found["spec"]["secretObjects"]
    assert {each["key"]: each["objectName"] for each in made["data"]} == aliases
    assert aliases.keys() == {"username", "password"}
    assert made["secretName"] == found["metadata"]["name"]
    attributes = secret_volume("mlpipeline-credentials")["csi"]["volumeAttributes"]
    assert attributes == {"secretProviderClass": found["metadata"]["name"]}


def test_the_proxy_of_the_metadata_store_is_administered_inside_its_pod_only(on_aws: dict[str, list[Any]]) -> None:
    proxy = json.loads(named(on_aws["metadata"], "ConfigMap", "metadata-envoy-configmap")["data"]["envoy.json"])
    assert proxy["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"


@pytest.mark.promise("team-isolation")
def test_the_proxy_of_the_metadata_store_has_a_route_for_no_method_that_lists_or_changes(
    on_aws: dict[str, list[Any]],
) -> None:
    proxy = json.loads(named(on_aws["metadata"], "ConfigMap", "metadata-envoy-configmap")["data"]["envoy.json"])
    [chain] = proxy["static_resources"]["listeners"][0]["filter_chains"]
    [host] = chain["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
    methods = [route["match"]["path"].rpartition("/")[2] for route in host["routes"]]
    assert "GetExecutionsByContext" in methods
    assert all(method.startswith("Get") for method in methods)
    assert not {"GetArtifacts", "GetContexts", "GetExecutions"} & set(methods)


def test_every_folder_says_which_aws_roles_it_needs() -> None:
    accounts = {
        name: CATALOG.role(name).service_account for name in ("pipelines-api", "pipelines-ui", "pipelines-cache")
    }
    assert set(accounts.values()) == {"ml-pipeline", "ml-pipeline-ui", "kubeflow-pipelines-cache"}
    assert Path("charts/kubeflow/metadata_store/release.toml").read_text().count("metadata-grpc-server") == 1
