"""The pods of jobs: placed by a purpose, restricted, with the memory that their processes share."""

import subprocess
import sys
from typing import Any

import pytest

from mlplatform_constructs import ConfigurationError, NodeGroupSpec
from mlplatform_constructs.kubeflow import Resources, TrainingPods
from tests.placement import groups_that_take

IMAGE = "r.io/train:1.0"
SMALL = Resources(cpu="1", memory="2Gi")
GPU = Resources(cpu="8", memory="64Gi", gpus=2)
GROUPS = [
    NodeGroupSpec(name="cpu", purpose="general", instance_types=("m7i.2xlarge",), max_per_zone=3),
    NodeGroupSpec(
        name="training-gpu",
        purpose="training",
        instance_types=("p4d.24xlarge",),
        ami_type="AL2023_x86_64_NVIDIA",
        max_per_zone=2,
    ),
    NodeGroupSpec(name="spark", purpose="spark", instance_types=("r6i.2xlarge",), max_per_zone=3),
]


def pods(**changes: Any) -> TrainingPods:
    return TrainingPods(**{"image": IMAGE, "resources": SMALL, **changes})


def spec(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = pods(**changes).template("main")["spec"]
    return found


@pytest.mark.parametrize(
    ("given", "groups"),
    [
        ({}, ["cpu"]),
        ({"purpose": "spark"}, ["spark"]),
        ({"purpose": "gpu", "resources": GPU}, ["training-gpu"]),
        ({"purpose": "training", "resources": GPU}, ["training-gpu"]),
    ],
)
def test_a_purpose_selects_the_nodes(given: dict[str, Any], groups: list[str]) -> None:
    assert groups_that_take(spec(**given), GROUPS) == groups


def test_the_labels_of_nodes_are_those_of_node_groups() -> None:
    assert TrainingPods.PURPOSE_LABEL == NodeGroupSpec.PURPOSE_LABEL
    assert TrainingPods.ACCELERATOR_LABEL == NodeGroupSpec.ACCELERATOR_LABEL
    assert GROUPS[1].device_resource == TrainingPods.GPU_RESOURCE
    assert TrainingPods.GENERAL == NodeGroupSpec.GENERAL


def test_pods_with_gpus_share_half_of_their_memory() -> None:
    found = spec(purpose="gpu", resources=GPU)
    assert found["volumes"] == [{"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "32768Mi"}}]
    assert found["containers"][0]["volumeMounts"] == [{"name": "shared-memory", "mountPath": "/dev/shm"}]
    assert found["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert "volumes" not in spec()


def test_shared_memory_can_be_chosen_with_and_without_gpus() -> None:
    assert spec(shared_memory="1Gi")["volumes"][0]["emptyDir"]["sizeLimit"] == "1Gi"


def test_pods_pass_the_restricted_level_outside_the_mesh() -> None:
    template = pods().template("main")
    context, container = template["spec"]["securityContext"], template["spec"]["containers"][0]["securityContext"]
    assert (context["runAsNonRoot"], context["runAsUser"]) == (True, 1000)
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert template["metadata"]["labels"] == {"sidecar.istio.io/inject": "false"}


def test_a_claim_appears_at_its_paths() -> None:
    found = spec(claims={"/data": "training-data", "/again": "training-data"})
    assert found["volumes"] == [{"name": "training-data", "persistentVolumeClaim": {"claimName": "training-data"}}]
    assert [mount["mountPath"] for mount in found["containers"][0]["volumeMounts"]] == ["/data", "/again"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"image": "train"}, "image must have a tag or a digest, got 'train'"),
        ({"image": "r.io:5000/train"}, "image must have a tag or a digest, got 'r.io:5000/train'"),
        ({"image": "r.io/train:latest"}, "image must not have the tag 'latest'"),
        ({"replicas": 0}, "replicas must be 1 or more, got 0"),
        ({"replicas": "2"}, "replicas .*whole number"),
        ({"replicas": 2.0}, "replicas .*whole number"),
        ({"user": 0}, "user must be 1 or more, because 0 is root"),
        ({"resources": GPU}, "2 GPUs need nodes that have some; give purpose='gpu'"),
        ({"purpose": "gpu"}, "purpose='gpu' needs gpus of 1 or more in resources"),
        ({"purpose": "GPU"}, "purpose must be lower-case letters, digits and hyphens"),
        ({"environment": {"a-b": "1"}}, "environment: 'a-b' is not a valid name"),
        ({"environment": {"EPOCHS": 3}}, "environment"),
        ({"claims": {"data": "training-data"}}, "claims: the path of 'training-data' must begin with '/', got 'data'"),
        ({"claims": {"/data": "Data"}}, r"claims\['/data'\] must be lower-case"),
        ({"command": "python train.py"}, "command"),
        ({"shared_memory": "1G"}, "shared_memory must be a quantity such as '4Gi', got '1G'"),
        ({"shared_memory": "2Gi"}, "shared_memory must be less than the memory of the pod, 2Gi"),
    ],
)
def test_what_cannot_work_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"TrainingPods: {message}"):
        pods(**given)


def test_the_classes_need_neither_cdk8s_nor_the_cdk() -> None:
    program = (
        "import sys; from mlplatform_constructs import kubeflow as k; [getattr(k, name) for name in k.__all__]; "
        "print([name for name in ('aws_cdk', 'cdk8s', 'constructs', 'jsii') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
