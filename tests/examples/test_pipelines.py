"""The example pipelines: compiled for every account, and run on this machine from raw data to a served model."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler, local

import tests.library.conftest as library
from examples.pipelines.iterative_xgboost import iterative_xgboost
from examples.pipelines.main_pipeline import SPECIFICATIONS, Specification, main_pipeline, specification
from mlplatform_components import ComponentError, KubernetesApi
from mlplatform_components.serving import serving_version
from model_repository import Repository
from tests.examples.package_sets import package_set
from tests.kubernetes_rehearsal.kubernetes_apis import cluster

IMAGE = "registry.example.org/python-training:1.0"
ACCOUNTS = sorted(path.stem for path in SPECIFICATIONS.glob("*.toml"))

emulator = library.emulator
aws = library.aws


def compiled(pipeline: Any, folder: Path) -> list[dict[str, Any]]:
    compiler.Compiler().compile(pipeline, str(folder / "pipeline.yaml"))
    return list(yaml.safe_load_all((folder / "pipeline.yaml").read_text(encoding="utf-8")))


def shape(value: Any) -> Any:
    """A compiled pipeline without the values that are data: images, sizes, placement, defaults of parameters."""
    data = {"image", "defaultValue", "resources", "nodeSelector", "tolerations", "constant"}
    match value:
        case dict():
            return {key: shape(inner) for key, inner in value.items() if key not in data}
        case list():
            return [shape(inner) for inner in value]
    return value


@pytest.fixture
def run_locally(tmp_path: Path, emulator: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Steps run as processes of this machine with these packages, against the emulator.

    Returns the folder of outputs.
    """

    def start(path: str) -> Path:
        for name, value in {
            "PYTHONPATH": path,
            "AWS_ENDPOINT_URL": emulator,
            "AWS_ACCESS_KEY_ID": "111111111111",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "OMP_NUM_THREADS": "1",
        }.items():
            monkeypatch.setenv(name, value)
        local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "outputs"))
        return tmp_path / "outputs"

    return start


@pytest.mark.promise("demo-pipeline", "pipelines")
def test_iterative_training_runs_on_this_machine_until_its_error_is_low_enough(
    run_locally: Callable[[str], Path],
) -> None:
    outputs = run_locally(package_set("training"))
    task = iterative_xgboost(IMAGE, rounds=4)(trees=2, target_error=0.06)
    found = task.output
    assert found <= 0.06
    metrics = [json.loads(path.read_text()) for path in sorted(outputs.rglob("executor_output.json"))]
    trees = sorted(
        artifact["metadata"]["trees"]
        for each in metrics
        for artifacts in each.get("artifacts", {}).values()
        for artifact in artifacts["artifacts"]
        if "trees" in artifact.get("metadata", {})
    )
    assert len(trees) == 4
    assert trees[0] == 2  # one round of two trees
    assert trees[-1] <= 8  # and at most four


def test_each_round_continues_the_model_of_the_round_before(tmp_path: Path) -> None:
    [pipeline, *_] = compiled(iterative_xgboost(IMAGE, rounds=3), tmp_path)
    tasks = pipeline["root"]["dag"]["tasks"]
    before = [
        tasks[name]["inputs"]["artifacts"]["previous"]["taskOutputArtifact"]["producerTask"]
        for name in ("train-round", "train-round-2", "train-round-3")
    ]
    assert before == ["no-model", "train-round", "train-round-2"]


def test_refuses_no_rounds() -> None:
    with pytest.raises(ComponentError, match="rounds must be 1 or more, got 0"):
        iterative_xgboost(IMAGE, rounds=0)


@pytest.mark.promise("same-job-everywhere")
def test_local_dev_and_prod_differ_in_data_only(tmp_path: Path) -> None:
    assert ACCOUNTS == ["dev", "local", "prod"]
    whole = {name: compiled(main_pipeline(specification(name)), tmp_path) for name in ACCOUNTS}
    shapes = {name: json.dumps(shape(found), sort_keys=True) for name, found in whole.items()}
    assert re.sub(r'"device": .*?}', "", shapes["dev"]) == re.sub(r'"device": .*?}', "", shapes["prod"])
    commands = {
        name: [executor["container"]["command"] for executor in found[0]["deploymentSpec"]["executors"].values()]
        for name, found in whole.items()
    }
    assert commands["local"] == commands["dev"] == commands["prod"]
    tasks = {name: json.dumps(shape(found[0]["components"]), sort_keys=True) for name, found in whole.items()}
    assert tasks["local"] == tasks["dev"] == tasks["prod"]


def test_the_comparison_of_accounts_notices_another_step(tmp_path: Path) -> None:
    [pipeline, *_] = compiled(main_pipeline(specification("dev")), tmp_path)
    changed = json.loads(json.dumps(pipeline))
    changed["components"].pop("comp-switch-traffic")
    assert shape(changed) != shape(pipeline)


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_training_runs_on_nodes_of_the_gpu_group_and_no_other_step_does(name: str, tmp_path: Path) -> None:
    pipeline, platform = compiled(main_pipeline(specification(name)), tmp_path)
    placed = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert list(placed) == ["exec-train-and-package"]
    assert placed["exec-train-and-package"]["nodeSelector"]["labels"] == {"mlplatform/accelerator": "nvidia"}
    container = pipeline["deploymentSpec"]["executors"]["exec-train-and-package"]["container"]
    assert container["resources"]["accelerator"]["resourceType"] == "nvidia.com/gpu"


@pytest.mark.promise("emr-steps")
def test_the_cluster_is_deleted_when_any_step_fails(tmp_path: Path) -> None:
    [pipeline, *_] = compiled(main_pipeline(specification("prod")), tmp_path)
    deletion = pipeline["root"]["dag"]["tasks"]["delete-emr-cluster"]
    assert deletion["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    others = pipeline["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    assert {"create-emr-cluster", "submit-emr-step", "train-and-package", "switch-traffic"} <= set(others)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[dict[str, str]]:
    with cluster("stand-in") as access:
        (tmp_path / "ca.crt").write_text(access.certificate_authority, encoding="utf-8")
        (tmp_path / "token").write_text("administrator", encoding="utf-8")
        yield {
            "server": access.endpoint,
            "certificates": str(tmp_path / "ca.crt"),
            "token_file": str(tmp_path / "token"),
        }


@pytest.mark.promise("same-job-everywhere", "published-by-pipelines", "pipelines", "spark-on-laptop")
def test_the_main_pipeline_runs_on_this_machine_from_raw_data_to_a_served_model(
    run_locally: Callable[[str], Path], tmp_path: Path, serving: dict[str, str], aws: Callable[[str], Any]
) -> None:
    path = package_set("training", "spark")
    s3, bucket = aws("s3"), f"models-{time.monotonic_ns()}"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    run_locally(path)
    raw, prepared = tmp_path / "raw.csv", tmp_path / "prepared"
    write = (
        "import csv, sys\nfrom sklearn.datasets import load_breast_cancer\ndata = load_breast_cancer()\n"
        "with open(sys.argv[1], 'w', newline='') as file:\n"
        "    table = csv.writer(file)\n"
        "    table.writerow([*[name.replace(' ', '_') for name in data.feature_names], 'label'])\n"
        "    table.writerows([*row, label] for row, label in zip(data.data, data.target))\n"
    )
    subprocess.run([sys.executable, "-c", write, str(raw)], check=True)
    given = specification("local")
    program = {**given.program, "program": "examples/pipelines/prepare.py", "arguments": [str(raw), str(prepared)]}
    main_pipeline(given)(program=program, prepared=str(prepared), models=bucket, serving=serving)

    document = Repository(bucket, client=s3).get("tumours")
    assert document["self_test"]["outcome"] == "passed"
    assert document["metadata"]["metrics"]["accuracy"] > 0.9
    api = KubernetesApi.from_dict(serving, None)
    assert serving_version(api, "default", "tumours") == 1
    deployment = api.get("Deployment", "apps/v1", "default", "tumours-1")
    assert deployment
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    uri = Repository(bucket, client=s3).uri(document)
    assert {"name": "MODEL_URI", "value": uri} in container["env"]


def test_refuses_a_specification_with_an_unknown_key() -> None:
    with pytest.raises(ComponentError, match="specification: .*training.*; see Specification for its keys"):
        Specification.from_dict({})
