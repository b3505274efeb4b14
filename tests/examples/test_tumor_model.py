"""A real model goes the whole way: trained, published, packaged, served by a real MLServer, and applied in batches."""

import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

import tests.library.conftest as library
from examples.tumor_model.context import BASE, MODEL
from examples.tumor_model.serving import nightly, online
from kubernetes_rehearsal.programs.store import Store
from kubernetes_rehearsal.programs.table import read_table
from mlplatform_constructs.serving import SeldonDeployment
from tests.library.serving.real_envoy import free_port

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "tumor_model"
PACKAGES = Store(read_table()).path("pypi/mlserver")
pytestmark = pytest.mark.skipif(
    not PACKAGES.exists(), reason="MLServer is not here; run python -m kubernetes_rehearsal.programs pypi/mlserver"
)
MODELS, DATA = "example-models", "example-data"
METRIC = re.compile(r'(?P<name>[a-zA-Z_:][\w:]*)(\{(?P<labels>([^"}]|"[^"]*")*)\})? (?P<value>[-+.\w]+)')

emulator = library.emulator


@dataclass(frozen=True)
class Machine:
    """A Python with MLServer, scikit-learn and the platform's clients, and with AWS on loopback."""

    python: Path
    environment: dict[str, str]

    def run(self, *arguments: str) -> str:
        """Output of a program that ends well."""
        done = subprocess.run(
            [str(self.python), *arguments], env=self.environment, cwd=EXAMPLE, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout


@pytest.fixture(scope="module")
def machine(emulator: str, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """By a file of paths in the environment, because the model's processes ignore PYTHONPATH."""
    folder = tmp_path_factory.mktemp("python")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python3*/site-packages")
    ours = [Path(path) for path in sys.path if path.endswith(("site-packages", "/src"))]
    (site / "model.pth").write_text("\n".join(map(str, [PACKAGES, *ours])) + "\n", encoding="utf-8")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "AWS_ACCESS_KEY_ID": "111111111111",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": emulator,
        "OMP_NUM_THREADS": "1",
    }
    return Machine(folder / "bin" / "python", environment)


@pytest.fixture(scope="module")
def s3(emulator: str) -> Any:
    client = boto3.client(
        "s3",
        endpoint_url=emulator,
        region_name="eu-west-1",
        aws_access_key_id="111111111111",
        aws_secret_access_key="test",
    )
    for bucket in (MODELS, DATA):
        client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return client


@pytest.fixture(scope="module")
def package(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained package; its metrics are good."""
    folder = tmp_path_factory.mktemp("trained") / "package"
    metrics = json.loads(machine.run("train.py", "--to", str(folder)))
    assert metrics["auc"] > 0.98
    assert metrics["accuracy"] > 0.95
    return folder


@pytest.fixture(scope="module")
def published(machine: Machine, package: Path, s3: Any) -> str:
    """What the publisher said; its self-test has passed."""
    return machine.run("-m", "model_repository", "publish", "--bucket", MODELS, MODEL, str(package))


@pytest.fixture(scope="module")
def context(machine: Machine, published: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The context of the container."""
    folder = tmp_path_factory.mktemp("built") / "context"
    assert machine.run("context.py", "--bucket", MODELS, "--to", str(folder)) == "1\n"
    return folder


def samples(package: Path) -> list[Any]:
    lines = (package / "sample" / "records.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@dataclass(frozen=True)
class Server:
    """Ports of a running MLServer."""

    http: int
    metrics: int

    def ask(self, method: str, path: str, body: Any = None, *, port: int | None = None) -> tuple[int, str]:
        """Status and text of a response."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.http, timeout=30)
        connection.request(
            method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"}
        )
        response = connection.getresponse()
        return response.status, response.read().decode()

    def predict(self, path: str, records: list[Any]) -> tuple[int, Any]:
        """Status and content of a prediction."""
        given = {
            "name": "records",
            "datatype": "BYTES",
            "shape": [len(records)],
            "data": [json.dumps(record) for record in records],
        }
        status, text = self.ask("POST", path, {"inputs": [given]})
        return status, json.loads(text)


@pytest.fixture(scope="module")
def server(machine: Machine, context: Path) -> Iterator[Server]:
    """The program that the container would run."""
    found = Server(free_port(), free_port())
    settings = {
        "MLSERVER_HOST": "127.0.0.1",
        "MLSERVER_HTTP_PORT": str(found.http),
        "MLSERVER_GRPC_PORT": str(free_port()),
        "MLSERVER_METRICS_PORT": str(found.metrics),
        "MLSERVER_METRICS_DIR": str(context.parent / "metrics"),
        "MLSERVER_PARALLEL_WORKERS": "0",
        "MLSERVER_DEBUG": "false",
    }
    log = context.parent / "server.log"
    command = [str(machine.python), "-c", "from mlserver.cli import main; main()", "start", str(context)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**machine.environment, **settings}, cwd=context, stdout=output, stderr=output
        )
        try:
            _wait_until_ready(found, process, log)
            yield found
        finally:
            process.terminate()
            process.wait(timeout=60)


def _wait_until_ready(server: Server, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text(errors="replace")[-3000:]
        with suppress(OSError):
            if server.ask("GET", "/v2/health/ready")[0] == 200:
                return
        time.sleep(0.3)
    raise AssertionError(log.read_text(errors="replace")[-3000:])


@pytest.fixture(scope="module")
def deployment() -> SeldonDeployment:
    return online("r.io/tumor:1", region="eu-west-1")


@pytest.fixture(scope="module")
def path(deployment: SeldonDeployment) -> str:
    """The path at which the server predicts, behind the prefix that the gateway takes away."""
    return deployment.prediction_url.partition(deployment.prefix)[2]


@pytest.mark.promise("model-packages")
def test_the_container_has_model_extractor_and_sample_and_a_pinned_base(context: Path, published: str) -> None:
    files = {str(file.relative_to(context)) for file in context.rglob("*") if file.is_file()}
    assert {
        "Dockerfile",
        "model-settings.json",
        "runtime.py",
        "package_worker.py",
        "package/metadata.json",
        "package/model/model.joblib",
        "package/feature_extractor/features.json",
        "package/sample/records.jsonl",
    } <= files
    assert (context / "Dockerfile").read_text().startswith(f"FROM {BASE}\n")
    assert "published" in published


@pytest.mark.promise("model-server")
def test_the_server_answers_the_open_inference_protocol_with_the_predictions_of_the_sample(
    server: Server, path: str, package: Path
) -> None:
    assert path == f"/v2/models/{MODEL}/infer"
    assert server.ask("GET", "/v2/health/live")[0] == 200
    assert server.ask("GET", f"/v2/models/{MODEL}/ready")[0] == 200
    status, answer = server.predict(path, [sample["record"] for sample in samples(package)])
    assert status == 200
    assert (answer["model_name"], answer["model_version"]) == (MODEL, "v1")
    (output,) = answer["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("predictions", "BYTES", [20, 1])
    assert [json.loads(text) for text in output["data"]] == [sample["prediction"] for sample in samples(package)]


@pytest.mark.promise("model-server")
def test_the_probes_of_the_deployment_ask_what_the_server_answers(server: Server, deployment: SeldonDeployment) -> None:
    (predictor,) = deployment.to_json()["spec"]["predictors"]
    container = predictor["componentSpecs"][0]["spec"]["containers"][0]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert server.ask("GET", container[probe]["httpGet"]["path"])[0] == 200


def test_a_record_that_the_model_refuses_is_answered_with_status_400(server: Server, path: str) -> None:
    status, answer = server.predict(path, [{"mean_radius": 14.1}])
    assert status == 400
    assert "KeyError" in answer["error"]
    assert server.ask("POST", path, {"inputs": []})[0] in (400, 422)


@pytest.mark.promise("model-server")
def test_the_metrics_of_the_server_count_requests_and_failures_by_model(
    server: Server, path: str, package: Path
) -> None:
    def counted(name: str) -> float:
        status, text = server.ask("GET", "/metrics", port=server.metrics)
        assert status == 200
        lines = [METRIC.fullmatch(line) for line in text.splitlines() if line and not line.startswith("#")]
        assert all(lines), "not the text format of Prometheus"
        return sum(
            float(line["value"])
            for line in lines
            if line and line["name"] == name and f'model="{MODEL}"' in (line["labels"] or "")
        )

    before = counted("model_infer_request_success_total"), counted("model_infer_request_failure_total")
    for _ in range(5):
        server.predict(path, [samples(package)[0]["record"]])
    server.predict(path, [{}])
    assert counted("model_infer_request_success_total") == before[0] + 5
    assert counted("model_infer_request_failure_total") == before[1] + 1


@pytest.mark.promise("batch-serving")
def test_predictions_in_batches_are_those_of_the_server_and_land_in_the_store(
    machine: Machine, published: str, s3: Any, server: Server, path: str, package: Path
) -> None:
    records = [sample["record"] for sample in samples(package)]
    body = "".join(f"{json.dumps({'id': str(number), **record})}\n" for number, record in enumerate(records))
    s3.put_object(Bucket=DATA, Key="tumors/all.jsonl", Body=body.encode())
    job = nightly("r.io/b:1", models=MODELS, data=f"s3://{DATA}/tumors/", predictions=f"s3://{DATA}/predictions/churn")
    container = job.to_json()["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    arguments = [part.replace("$(RUN)", "tumor-nightly-29001234") for part in container["args"]]
    said = machine.run(*container["command"][1:], *arguments)
    assert said == "tumor-nightly-29001234: 20 predictions of tumor 1 in 1 parts\n"
    key = "predictions/churn/tumor-nightly-29001234/part-00000-00000.jsonl"
    text = s3.get_object(Bucket=DATA, Key=key)["Body"].read().decode()
    _, answer = server.predict(path, records)
    assert [json.loads(line)["prediction"] for line in text.splitlines()] == [
        json.loads(found) for found in answer["outputs"][0]["data"]
    ]
