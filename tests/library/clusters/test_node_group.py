from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import NodeGroupSpec
from tests.placement import groups_that_take


def group(name: str = "cpu", **changes: Any) -> NodeGroupSpec:
    plain = {"purpose": "general", "instance_types": ("m7i.2xlarge",), "max_per_zone": 3}
    return NodeGroupSpec(name=name, **{**plain, **changes})


SYSTEM = group("system", purpose="system", min_per_zone=1)
GENERAL = group()
TRAINING = group(
    "training-gpu", purpose="training", instance_types=("p4d.24xlarge",), ami_type="AL2023_x86_64_NVIDIA", max_pods=30
)
INFERENCE = group("inference-gpu", purpose="inference", instance_types=("g5.xlarge",), ami_type="AL2023_x86_64_NVIDIA")
SPARK = group("spark", purpose="spark", capacity="spot", instance_types=("r6i.2xlarge", "r5.2xlarge", "r5a.2xlarge"))
GROUPS = (SYSTEM, GENERAL, TRAINING, INFERENCE, SPARK)


@pytest.mark.promise("one-node-group-definition")
@pytest.mark.parametrize("spec", GROUPS, ids=lambda spec: spec.name)
def test_what_is_derived(spec: NodeGroupSpec, snapshot_json: SnapshotAssertion) -> None:
    derived = ("labels", "taints", "tolerations", "node_template_tags", "image", "device_resource", "devices")
    assert {name: getattr(spec, name) for name in derived} == snapshot_json


@pytest.mark.promise("gpu-from-zero")
@pytest.mark.parametrize("spec", GROUPS, ids=lambda spec: spec.name)
def test_the_autoscaler_tags_match_the_labels_and_taints_of_the_nodes(spec: NodeGroupSpec) -> None:
    template = "k8s.io/cluster-autoscaler/node-template/"
    tags = spec.node_template_tags
    assert {k.removeprefix(f"{template}label/"): v for k, v in tags.items() if "/label/" in k} == spec.labels
    assert [
        {"key": k.removeprefix(f"{template}taint/"), "value": v.partition(":")[0], "effect": v.partition(":")[2]}
        for k, v in tags.items()
        if "/taint/" in k
    ] == list(spec.taints)


def test_tags_fit_what_eks_accepts() -> None:
    """https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateNodegroup.html"""
    for spec in GROUPS:
        assert len(spec.node_template_tags) <= 50
        assert all(len(key) <= 128 and len(value) <= 256 for key, value in spec.node_template_tags.items())


@pytest.mark.promise("gpu-from-zero", "pods-on-their-nodes", "one-node-group-definition")
@pytest.mark.parametrize("spec", GROUPS, ids=lambda spec: spec.name)
def test_a_pod_with_a_purpose_runs_only_on_its_nodes(spec: NodeGroupSpec) -> None:
    pod = {"nodeSelector": {NodeGroupSpec.PURPOSE_LABEL: spec.purpose}, "tolerations": spec.tolerations}
    assert groups_that_take(pod, GROUPS) == [spec.name]


@pytest.mark.promise("pods-on-their-nodes")
def test_a_pod_without_a_purpose_runs_on_the_general_group_only() -> None:
    assert groups_that_take({"containers": [{"name": "any"}]}, GROUPS) == ["cpu"]


def test_cluster_add_ons_tolerate_the_system_taint_but_no_gpu() -> None:
    pod = {"tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}]}
    assert groups_that_take(pod, GROUPS) == ["system", "cpu"]


def test_a_pod_without_a_gpu_request_may_not_squat_on_gpu_nodes() -> None:
    pod = {"nodeSelector": {NodeGroupSpec.PURPOSE_LABEL: "training"}, "tolerations": TRAINING.tolerations[:1]}
    assert groups_that_take(pod, GROUPS) == []


def test_images_follow_the_processor() -> None:
    assert GENERAL.image == "AL2023_x86_64_STANDARD"
    assert group(instance_types=("m7g.large",)).image == "AL2023_ARM_64_STANDARD"


@pytest.mark.promise("shared-gpus")
def test_shared_gpus_are_offered_as_often_as_they_are_shared() -> None:
    shared = group(
        "notebooks",
        purpose="notebooks",
        instance_types=("g5.12xlarge",),
        ami_type="AL2023_x86_64_NVIDIA",
        gpu_replicas=4,
    )
    assert shared.devices == 16
    assert shared.labels["nvidia.com/device-plugin.config"] in shared.device_plugin_config
    assert shared.node_template_tags["k8s.io/cluster-autoscaler/node-template/resources/nvidia.com/gpu"] == "16"


@pytest.mark.promise("driver-for-every-gpu")
@pytest.mark.parametrize(
    ("types", "image", "why"),
    [
        (("p3dn.24xlarge",), {"ami_type": "AL2023_x86_64_NVIDIA"}, "V100"),
        (("p3.8xlarge",), {"ami_type": "BOTTLEROCKET_x86_64_NVIDIA"}, "V100"),
        (("p2.xlarge",), {"image_id": "ami-0123456789abcdef0"}, "K80"),
    ],
)
def test_old_gpus_are_accepted_with_a_warning(types: tuple[str, ...], image: dict[str, str], why: str) -> None:
    (warning,) = group("old", purpose="training", instance_types=types, **image).warnings
    assert "poor choice" in warning
    assert why in warning


def test_current_groups_warn_of_nothing() -> None:
    assert not [spec.warnings for spec in GROUPS if spec.warnings]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "GPU"}, "node group 'GPU': name must be lower-case words joined by hyphens, got 'GPU'"),
        ({"purpose": ""}, "node group 'cpu': purpose must be lower-case words"),
        ({"instance_types": ()}, "node group 'cpu': instance_types is empty; give at least one"),
        (
            {"instance_types": ("m7i.larg",)},
            "instance_types has 'm7i.larg', which EC2 does not list; did you mean 'm7i.large'?",
        ),
        ({"instance_types": "m7i.large"}, "node group 'cpu': instance_types must be a list, got 'm7i.large'"),
        ({"instance_types": None}, "node group 'cpu': instance_types must be a list, got None"),
        ({"max_per_zone": "3"}, "node group 'cpu': max_per_zone must be a whole number, got '3'"),
        ({"capacity": "Spot"}, "capacity must be 'on_demand' or 'spot', got 'Spot'; did you mean 'spot'?"),
        ({"availability_zones": "eu-west-1a"}, "availability_zones must be a list, got 'eu-west-1a'"),
        ({"disk_throughput_mibps": 2000}, "disk_throughput_mibps must be 125 to 1000, got 2000"),
        ({"efa": True}, "efa needs one of p4d.24xlarge"),
        ({"instance_types": ("m7i.large", "m7i.xlarge")}, "m7i.large and m7i.xlarge differ in vcpus (2 and 4)"),
        ({"instance_types": ("m7i.large", "m7g.large")}, "differ in architecture (x86_64 and arm64)"),
        ({"min_per_zone": 4}, "needs 0 <= min_per_zone <= max_per_zone and a maximum above 0, got 4 and 3"),
        ({"max_per_zone": 0}, "got 0 and 0"),
        ({"disk_gib": 10}, "disk_gib must be 20 or more, got 10"),
        ({"max_pods": 300}, "max_pods must be 4 to 250, got 300"),
        ({"gpu_replicas": 0}, "gpu_replicas must be 1 or more, got 0"),
        ({"gpu_replicas": 2}, "m7i.2xlarge has no NVIDIA GPU to share"),
        ({"ami_type": "AL2023_x86_64_NVIDIA"}, "ami_type AL2023_x86_64_NVIDIA does not fit m7i.2xlarge"),
        ({"ami_type": "AL2023_ARM_64_STANDARD"}, "does not fit m7i.2xlarge; choose AL2023_x86_64_STANDARD"),
        ({"ami_type": "AL2_x86_64"}, "ami_type AL2_x86_64 does not fit m7i.2xlarge"),
        ({"ami_type": "AL2023_x86_64_STANDARD", "image_id": "ami-1"}, "has both ami_type and image_id; keep one"),
    ],
)
def test_refusals(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the whole message is compared below
        group(**changes)
    assert message in str(refused.value)


@pytest.mark.promise("driver-for-every-gpu")
@pytest.mark.parametrize("instance_type", ["g5.xlarge", "p4d.24xlarge", "inf2.xlarge", "trn1.2xlarge", "g5g.xlarge"])
def test_accelerators_without_an_image_that_drives_them_are_refused(instance_type: str) -> None:
    with pytest.raises(ValueError, match=f"{instance_type} has accelerators and needs an ami_type with their driver: "):
        group(instance_types=(instance_type,))


@pytest.mark.promise("driver-for-every-gpu")
@pytest.mark.parametrize(
    ("instance_type", "ami_type"),
    [
        ("g5.xlarge", "AL2023_x86_64_STANDARD"),
        ("g5.xlarge", "AL2023_x86_64_NEURON"),
        ("inf2.xlarge", "AL2023_x86_64_NVIDIA"),
        ("g5g.xlarge", "AL2023_x86_64_NVIDIA"),
        ("g5.xlarge", "AL2_x86_64_GPU"),
    ],
)
def test_an_image_without_the_right_driver_is_refused(instance_type: str, ami_type: str) -> None:
    with pytest.raises(ValueError, match=f"ami_type {ami_type} does not fit {instance_type}; choose "):
        group(instance_types=(instance_type,), ami_type=ami_type)


@pytest.mark.promise("driver-for-every-gpu")
def test_retired_combinations_are_refused() -> None:
    """No image of a supported Kubernetes has a driver for K80 GPUs."""
    with pytest.raises(ValueError, match=r"no image of EKS drives the accelerators of p2\.xlarge any more"):
        group(instance_types=("p2.xlarge",), ami_type="AL2_x86_64_GPU")


@pytest.mark.promise("shared-gpus")
def test_bottlerocket_does_not_share_gpus() -> None:
    with pytest.raises(ValueError, match="take AL2023"):
        group(instance_types=("g5.xlarge",), ami_type="BOTTLEROCKET_x86_64_NVIDIA", gpu_replicas=2)
