"""The Training Operator: each kind of job has its definition, rights, webhook and example, and MPIJob has none."""

import copy
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import cdk8s
import pytest

from charts.catalog import Catalog
from charts.kit.chart import pod_specs
from charts.kubeflow.training_operator.objects import JOBS, TrainingOperator
from kubernetes_rehearsal.client import ApiClient, ApiFailure
from tests.kubernetes_rehearsal.kubernetes_apis import offer

COMPONENT = "kubeflow/training_operator"
CATALOG = Catalog.load()
PLACEMENT = {"nodeSelector": {"mlplatform/purpose": "system"}, "tolerations": [{"key": "system", "operator": "Exists"}]}
DEFINITIONS = {found["spec"]["names"]["singular"]: found for found in CATALOG.definitions(COMPONENT)}
EXAMPLES = {
    file.stem: json.loads(file.read_text()) for file in sorted(Path("charts", COMPONENT, "examples").glob("*.json"))
}


@pytest.fixture(scope="module")
def objects() -> list[Any]:
    chart = TrainingOperator(
        cdk8s.App(outdir="/dev/null"),
        "TrainingOperator",
        image=CATALOG.images.reference("training-operator"),
        shell_image=CATALOG.images.reference("busybox"),
        placement=PLACEMENT,
    )
    return chart.to_json()


@pytest.fixture(scope="module", autouse=True)
def _defined(api: ApiClient) -> None:
    for definition in DEFINITIONS.values():
        api.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", dict(definition))


def test_every_job_has_definition_rights_webhook_argument_and_example(objects: list[Any]) -> None:
    role = next(found for found in objects if found["kind"] == "ClusterRole")
    webhooks = next(found for found in objects if found["kind"] == "ValidatingWebhookConfiguration")["webhooks"]
    container = next(spec for found in objects for spec in pod_specs(found))["containers"][0]
    assert set(DEFINITIONS) == set(EXAMPLES) == set(JOBS)
    for job in JOBS:
        assert any(f"{job}s" in rule["resources"] for rule in role["rules"])
        assert any(webhook["rules"][0]["resources"] == [f"{job}s"] for webhook in webhooks)
        assert f"--enable-scheme={job}" in container["args"]


def test_nothing_claims_the_kind_of_the_mpi_operator(objects: list[Any]) -> None:
    assert "mpi" not in json.dumps([objects, CATALOG.definitions(COMPONENT)]).lower()


def test_the_waiting_container_of_workers_passes_the_restricted_level(objects: list[Any]) -> None:
    template = next(found for found in objects if found["kind"] == "ConfigMap")["data"]["initContainer.yaml"]
    container = json.loads(template)[0]
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["runAsNonRoot"] is True
    assert container["image"] == CATALOG.images.reference("busybox")


@pytest.mark.parametrize(("answer", "code"), [("Name: resnet-master-0.vision.svc.cluster.local", 0), ("", 1)])
def test_workers_wait_for_an_address_of_their_master_whatever_other_search_domains_answer(
    objects: list[Any], tmp_path: Path, answer: str, code: int
) -> None:
    """The nslookup of busybox fails if any search domain does not know the name."""
    template = next(found for found in objects if found["kind"] == "ConfigMap")["data"]["initContainer.yaml"]
    [container] = json.loads(template.replace("{{.MasterAddr}}", "resnet-master-0").replace("{{.MaxTries}}", "1"))
    for name, script in (("nslookup", f"echo '{answer}'; exit 1"), ("sleep", "exit 0")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        program.chmod(0o755)
    done = subprocess.run(container["command"], env={"PATH": f"{tmp_path}:{os.defpath}"}, capture_output=True)
    assert done.returncode == code


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("runPolicy.cleanPodPolicy", "Some", "cleanPodPolicy"),
        ("runPolicy.backoffLimits", 1, "unknown field"),
        ("REPLICAS.Worker.replicas", "two", "replicas"),
        ("REPLICAS.Worker.replicas", -1, "replicas"),
        ("REPLICAS.Worker.restartPolicy", "Sometimes", "restartPolicy"),
        ("REPLICAS.Worker.image", "x", "unknown field"),
        ("REPLICAS", None, "ReplicaSpecs"),
    ],
)
def test_a_wrong_field_is_refused_by_the_api(api: ApiClient, job: str, path: str, value: Any, message: str) -> None:
    changed = copy.deepcopy(EXAMPLES[job]["object"])
    replicas = next(key for key in changed["spec"] if key.endswith("ReplicaSpecs"))
    *parents, last = path.replace("REPLICAS", replicas).split(".")
    place = changed["spec"]
    for parent in parents:
        place = place[parent]
    if value is None:
        del place[last]
    else:
        place[last] = value
    with pytest.raises(ApiFailure, match=message):
        offer(api, changed)
