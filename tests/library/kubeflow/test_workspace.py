"""Notebooks, profiles and what pods of a namespace get."""

from collections.abc import Callable
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import ConfigurationError
from mlplatform_constructs.kubeflow import Notebook, PodDefault, Profile, Resources, TrainingPods

PODS = TrainingPods(image="r.io/jupyter:1.0", resources=Resources(cpu="1", memory="4Gi"))
GPU = TrainingPods(image="r.io/jupyter:1.0", resources=Resources(cpu="4", memory="16Gi", gpus=1), purpose="gpu")
MAKE: dict[str, Callable[..., Any]] = {
    "Notebook": lambda **more: Notebook(
        **{"name": "lab", "namespace": "vision", "pods": GPU, "home": "lab-home", "pod_defaults": ("s3",), **more}
    ),
    "Profile": lambda **more: Profile(
        **{"name": "vision", "owner": "ana@example.org", "quota": {"requests.nvidia.com/gpu": "8"}, **more}
    ),
    "PodDefault": lambda **more: PodDefault(
        **{
            "name": "s3",
            "namespace": "vision",
            "description": "Access to the team's bucket",
            "environment": {"AWS_REGION": "eu-west-1"},
            "claims": {"/data": "training-data"},
            **more,
        }
    ),
}


@pytest.mark.parametrize("kind", MAKE)
def test_objects(kind: str, snapshot_json: SnapshotAssertion) -> None:
    assert MAKE[kind]().to_json() == snapshot_json


@pytest.mark.parametrize("kind", MAKE)
def test_the_api_accepts_an_object(offer: Callable[[Any], None], kind: str) -> None:
    offer(MAKE[kind]().to_json())


def test_the_files_of_a_notebook_are_on_its_own_volume() -> None:
    spec = MAKE["Notebook"]().to_json()["spec"]["template"]["spec"]
    assert spec["containers"][0]["volumeMounts"][0] == {"name": "lab-home", "mountPath": "/home/jovyan"}
    assert [volume["name"] for volume in spec["volumes"]] == ["lab-home", "shared-memory"]
    both = TrainingPods(image="r.io/jupyter:1.0", resources=PODS.resources, claims={"/more": "lab-home"})
    volumes = MAKE["Notebook"](pods=both).to_json()["spec"]["template"]["spec"]["volumes"]
    assert [volume["name"] for volume in volumes] == ["lab-home"]


def test_a_notebook_takes_pod_defaults_by_their_labels() -> None:
    assert MAKE["Notebook"]().to_json()["metadata"]["labels"] == {"app": "lab", "s3": "true"}
    assert MAKE["PodDefault"]().to_json()["spec"]["selector"] == {"matchLabels": {"s3": "true"}}


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("Notebook", {"name": "n" * 53}, "name must have at most 52 characters"),
        ("Notebook", {"home": "My Home"}, "home must be lower-case"),
        ("Notebook", {"pod_defaults": ("S3",)}, "pod_defaults must be lower-case"),
        (
            "Notebook",
            {"pods": TrainingPods(image="r.io/jupyter:1.0", resources=PODS.resources, replicas=2)},
            "pods: replicas must be 1, got 2",
        ),
        (
            "Notebook",
            {"pods": TrainingPods(image="r.io/j:1", resources=PODS.resources, claims={"/home/jovyan": "x"})},
            "/home/jovyan is the folder of home; remove it from claims",
        ),
        ("Profile", {"name": "kube-system"}, "name must not be one of the platform's namespaces"),
        ("Profile", {"name": "default"}, "name must not be one of the platform's namespaces"),
        ("Profile", {"owner": "ana"}, "owner must be an address such as 'ana@example.org', got 'ana'"),
        ("Profile", {"quota": {"requests.nvidia.com/gpu": 8}}, "quota"),
        ("PodDefault", {"description": ""}, "description is empty"),
        ("PodDefault", {"claims": {"data": "x"}}, "the path of 'x' must begin with '/', got 'data'"),
        ("PodDefault", {"environment": {"1": "x"}}, "environment: '1' is not a valid name"),
        ("PodDefault", {"environment": {}, "claims": {}}, "changes nothing; give environment"),
    ],
)
def test_what_cannot_work_is_refused(kind: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{kind} .*: .*{message}"):
        MAKE[kind](**given)
