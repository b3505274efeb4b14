"""The example's model on a real node: fetched from S3, served over REST, scraped by Prometheus, applied in batches."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cdk8s
import pytest
from aws_cdk import CfnOutput, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_s3 as s3

from charts.kit.objects import namespace
from charts.kit.rbac import service_account
from charts.monitoring.prometheus.objects import model_servers
from kubernetes_rehearsal.programs.store import Store
from kubernetes_rehearsal.programs.table import read_table
from mlplatform_constructs.charts import ComponentChart
from mlplatform_constructs.serving import BatchPredictions, LocalModel, ModelServer, Resources
from rehearsal.embedded_aws import without_aws
from tests.kubernetes_rehearsal.cloud.clouds import REGION, CloudCluster, new_stack, pod_role
from tests.kubernetes_rehearsal.models.conftest import EXAMPLE, IMAGE, MODEL_FOLDER, PROMETHEUS

TEAM, MODEL, CALLER, MONITORING = "churn", "tumor", "shop", "monitoring"
SMALL = Resources(cpu="100m", memory="1Gi")
SYSTEM = {
    "nodeSelector": {"mlplatform/purpose": "system"},
    "tolerations": [{"operator": "Exists"}],
}
_SECONDS = 300
_RETRIES = 3
_SERVERS = {**model_servers(), "kubernetes_sd_configs": [{"role": "pod", "namespaces": {"names": [TEAM]}}]}
_SCRAPED = json.dumps({"scrape_configs": [{**_SERVERS, "scrape_interval": "2s"}]})  # JSON is YAML
_CALL = """
import sys, time, urllib.error, urllib.request
request = urllib.request.Request(sys.argv[1], sys.argv[2].encode(), {"Content-Type": "application/json"})
until = time.monotonic() + 60
while True:  # the pod's connections are refused until the network policies on its node know it
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            print(answer.read().decode())
            break
    except urllib.error.URLError as error:
        if not isinstance(error.reason, ConnectionRefusedError) or time.monotonic() > until:
            raise
    time.sleep(0.5)
"""
_SECURITY = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
_POD_SECURITY = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}

Object = dict[str, Any]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """A trained package, and its sample."""
    folder = tmp_path_factory.mktemp("trained") / "package"
    packages = str(Store(read_table()).path("pypi/mlserver"))
    environment = {**os.environ, "PYTHONPATH": packages, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(EXAMPLE / "train.py"), "--to", str(folder)]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    lines = (folder / "sample" / "records.jsonl").read_text(encoding="utf-8").splitlines()
    return folder, [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def stored(models_cluster: CloudCluster, samples: tuple[Path, list[Any]]) -> dict[str, str]:
    """Names of buckets and table; the model is published, and the roles of pods have what they need."""
    stack = new_stack("models")
    bucket = {
        name: s3.Bucket(stack, name, removal_policy=RemovalPolicy.DESTROY) for name in ("Models", "Data", "Predictions")
    }
    text = dynamodb.AttributeType.STRING
    table = dynamodb.Table(
        stack,
        "Table",
        partition_key=dynamodb.Attribute(name="model", type=text),
        sort_key=dynamodb.Attribute(name="id", type=text),
    )
    batch = pod_role(stack, f"{TEAM}/batch-serving")
    bucket["Data"].grant_read(batch)
    bucket["Predictions"].grant_read_write(batch)
    table.grant(batch, "dynamodb:PutItem")
    bucket["Models"].grant_read(batch)
    for name, one in bucket.items():
        CfnOutput(stack, f"{name}Name", value=one.bucket_name)
    CfnOutput(stack, "TableName", value=table.table_name)
    found = {name.removesuffix("Name"): value for name, value in models_cluster.deploy(stack).items()}
    server = new_stack("server")
    s3.Bucket.from_bucket_name(server, "Models", found["Models"]).grant_read(pod_role(server, f"{TEAM}/{MODEL}"))
    models_cluster.deploy(server)
    command = [sys.executable, "-m", "model_repository", "publish", "--bucket", found["Models"], "--without-self-test"]
    environment = {**without_aws(os.environ), **models_cluster.aws.environment(REGION)}
    subprocess.run([*command, MODEL, str(samples[0])], env=environment, check=True, stdout=subprocess.DEVNULL)
    models_cluster.apply(*(namespace(name) for name in (TEAM, CALLER, MONITORING)))
    models_cluster.apply(service_account("batch-serving", TEAM))
    return found


def job_ended(cluster: CloudCluster, name: str, place: str) -> str:
    """What the pod of a job that succeeded has logged, once the job is complete.

    A pod before it may have failed: network policies admit a new pod a moment after it starts.
    """
    path = f"/apis/batch/v1/namespaces/{place}/jobs/{name}"

    def ended() -> Object | None:
        status: Object = cluster.api.get(path).get("status") or {}
        return status if status.get("succeeded") or status.get("failed", 0) > _RETRIES else None

    def why() -> list[Any]:
        pods = cluster.api.items(f"/api/v1/namespaces/{place}/pods")
        return [pod["status"] for pod in pods] + cluster.api.items(f"/api/v1/namespaces/{place}/events")[-5:]

    status = cluster.until(ended, seconds=_SECONDS, what=f"job {name} ends", why=why)
    assert status.get("succeeded"), cluster.logs(place, f"batch.kubernetes.io/job-name={name}")
    selected = f"labelSelector=batch.kubernetes.io%2Fjob-name%3D{name}&fieldSelector=status.phase%3DSucceeded"
    (pod,) = cluster.api.items(f"/api/v1/namespaces/{place}/pods?{selected}")
    return cluster.api.text(f"/api/v1/namespaces/{place}/pods/{pod['metadata']['name']}/log")


@pytest.mark.promise("batch-serving")
def test_a_batch_in_a_pod_writes_each_row_once_to_s3_and_dynamodb_as_the_role_of_its_account(
    models_cluster: CloudCluster, stored: dict[str, str], samples: tuple[Path, list[Any]]
) -> None:
    records = [{"id": str(number), **sample["record"]} for number, sample in enumerate(samples[1])]
    body = "".join(f"{json.dumps(record)}\n" for record in records)
    storage = models_cluster.client("s3")
    storage.put_object(Bucket=stored["Data"], Key="tumors/all.jsonl", Body=body.encode())
    job = BatchPredictions(
        name="tumor-batch",
        namespace=TEAM,
        image=IMAGE,
        resources=SMALL,
        models=stored["Models"],
        model=MODEL,
        data=f"s3://{stored['Data']}/tumors/",
        predictions=f"s3://{stored['Predictions']}/{TEAM}",
        table=stored["Table"],
        purpose="system",
    )
    models_cluster.apply(job.to_json())
    said = job_ended(models_cluster, "tumor-batch", TEAM)
    assert said.strip().endswith(f"tumor-batch: {len(records)} predictions of {MODEL} 1 in 1 parts")
    part = storage.get_object(Bucket=stored["Predictions"], Key=f"{TEAM}/tumor-batch/part-00000-00000.jsonl")
    written = [json.loads(line) for line in part["Body"].read().decode().splitlines()]
    expected = {str(number): sample["prediction"] for number, sample in enumerate(samples[1])}
    assert {each["id"]: each["prediction"] for each in written} == expected
    assert len(written) == len(expected)
    items = models_cluster.client("dynamodb").scan(TableName=stored["Table"])["Items"]
    assert {item["id"]["S"]: json.loads(item["prediction"]["S"]) for item in items} == expected
    assert models_cluster.denied() == []


@pytest.fixture(scope="module")
def server(models_cluster: CloudCluster, stored: dict[str, str]) -> ModelServer:
    """The model in MLServer, ready, with Prometheus next to it."""
    chart = ComponentChart(cdk8s.App(), "models")
    made = ModelServer(
        chart,
        "Tumor",
        name=MODEL,
        namespace=TEAM,
        image=IMAGE,
        port=8080,
        resources=SMALL,
        health="/v2/health/ready",
        replicas=1,
        model=LocalModel(
            bucket=stored["Models"], model=MODEL, version=1, size_gib=0.1, image=IMAGE, folder=MODEL_FOLDER
        ),
        metrics_port=8082,
        callers=[CALLER],
        placement=SYSTEM,
    )
    served = [found for found in made.objects() if "istio" not in found["apiVersion"]]  # no mesh runs here
    models_cluster.apply(*served, *_prometheus())

    def ready() -> bool:
        found = [
            models_cluster.api.get(f"/apis/apps/v1/namespaces/{place}/deployments/{name}")
            for place, name in ((TEAM, MODEL), (MONITORING, "prometheus"))
        ]
        return all(one.get("status", {}).get("readyReplicas") for one in found)

    def why() -> list[Any]:
        return [
            found.get("status") or found.get("message")
            for place in (TEAM, MONITORING)
            for kind in ("pods", "events")
            for found in models_cluster.api.items(f"/api/v1/namespaces/{place}/{kind}")[-5:]
        ]

    models_cluster.until(ready, seconds=_SECONDS, what="the model's server and Prometheus are ready", why=why)
    return made


def _prometheus() -> list[Object]:
    labels = {"app.kubernetes.io/name": "prometheus"}
    container = {
        "name": "prometheus",
        "image": PROMETHEUS,
        "args": ["--config.file=/etc/scraped/prometheus.yml", "--storage.tsdb.path=/data"],
        "readinessProbe": {"httpGet": {"path": "/-/ready", "port": 9090}, "periodSeconds": 1},
        "securityContext": _SECURITY,
        "volumeMounts": [{"name": "scraped", "mountPath": "/etc/scraped"}, {"name": "data", "mountPath": "/data"}],
    }
    pod = {
        "serviceAccountName": "prometheus",
        "securityContext": {**_POD_SECURITY, "fsGroup": 1000},
        "containers": [container],
        "volumes": [{"name": "scraped", "configMap": {"name": "scraped"}}, {"name": "data", "emptyDir": {}}],
        **SYSTEM,
    }
    about = {"name": "prometheus", "namespace": MONITORING}
    template = {"metadata": {"labels": labels}, "spec": pod}
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]
    reader = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "prometheus"}
    account = {"kind": "ServiceAccount", **about}
    rbac = "rbac.authorization.k8s.io/v1"
    return [
        service_account("prometheus", MONITORING),
        {"apiVersion": rbac, "kind": "Role", "metadata": {"name": "prometheus", "namespace": TEAM}, "rules": rules},
        {
            "apiVersion": rbac,
            "kind": "RoleBinding",
            "metadata": {"name": "prometheus", "namespace": TEAM},
            "roleRef": reader,
            "subjects": [account],
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "scraped", "namespace": MONITORING},
            "data": {"prometheus.yml": _SCRAPED},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": about,
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": about,
            "spec": {"selector": labels, "ports": [{"name": "web", "port": 9090}]},
        },
    ]


def call(cluster: CloudCluster, name: str, place: str, url: str, body: Any) -> Any:
    """The answer to a request of a pod."""
    container = {
        "name": "call",
        "image": IMAGE,
        "command": ["python", "-c", _CALL, url, json.dumps(body)],
        "securityContext": _SECURITY,
    }
    pod = {
        "restartPolicy": "Never",
        "securityContext": _POD_SECURITY,
        "containers": [container],
        **SYSTEM,
    }
    cluster.apply(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "namespace": place},
            "spec": {"backoffLimit": _RETRIES, "template": {"spec": pod}},
        }
    )
    return json.loads(job_ended(cluster, name, place).strip().splitlines()[-1])


@pytest.mark.promise("model-server", "models-from-s3")
def test_a_server_that_fetched_its_model_from_s3_answers_with_the_predictions_of_the_sample(
    models_cluster: CloudCluster, server: ModelServer, samples: tuple[Path, list[Any]]
) -> None:
    records = [json.dumps(sample["record"]) for sample in samples[1]]
    given = {"name": "records", "datatype": "BYTES", "shape": [len(records)], "data": records}
    url = f"{server.prediction_url}/v2/models/{MODEL}/infer"
    answer = call(models_cluster, "ask", CALLER, url, {"inputs": [given]})
    assert (answer["model_name"], answer["model_version"]) == (MODEL, "v1")
    (output,) = answer["outputs"]
    assert [json.loads(text) for text in output["data"]] == [sample["prediction"] for sample in samples[1]]
    assert models_cluster.denied() == []


@pytest.mark.promise("model-server", "dashboards-and-alerts")
def test_prometheus_measures_the_server_by_the_job_of_the_platform(
    models_cluster: CloudCluster, server: ModelServer, samples: tuple[Path, list[Any]]
) -> None:
    given = {"name": "records", "datatype": "BYTES", "shape": [1], "data": [json.dumps(samples[1][0]["record"])]}
    url = f"{server.prediction_url}/v2/models/{MODEL}/infer"
    call(models_cluster, "once-more", CALLER, url, {"inputs": [given]})
    query = quote(f'sum(model_request_seconds_count{{model="{MODEL}",response_code="200"}}) > 0')
    path = f"/api/v1/namespaces/{MONITORING}/services/prometheus:web/proxy/api/v1/query?query={query}"

    def counted() -> list[Any]:
        found: list[Any] = models_cluster.api.get(path)["data"]["result"]
        return found

    assert len(models_cluster.until(counted, seconds=60, what="Prometheus has counted a request of the model")) == 1
