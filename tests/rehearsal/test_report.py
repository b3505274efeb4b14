import json
from pathlib import Path

import pytest

from rehearsal.assembly import Assembly
from rehearsal.errors import RehearsalError
from rehearsal.leftovers import Leftovers
from rehearsal.proofs import Proofs
from rehearsal.report import Timing, clusters, remarks, table

STATE = {
    "kubernetes_api": "kube-apiserver 1.35.4",
    "lacks_for_nodes": [],
    "recorded": ["AWS::FSx::FileSystem"],
    "built": ["EKS add-on metrics-server: sigs.k8s.io/metrics-server@v0.9.0"],
    "stand_ins": ["Helm chart istiod 1.30.3: charts.example.com: no such host"],
    "ignored": {"AWS::S3::Bucket": ["BucketEncryption", "LifecycleConfiguration"]},
}


@pytest.fixture
def assembly(tmp_path: Path) -> Assembly:
    """Two stacks, one of them in a stage."""
    stage = tmp_path / "assembly-dev"
    stage.mkdir()
    templates = {
        tmp_path / "Tools.json": ["AWS::S3::Bucket"],
        stage / "Storage.json": ["AWS::S3::Bucket", "AWS::S3::Bucket", "AWS::FSx::FileSystem"],
    }
    for file, types in templates.items():
        file.write_text(json.dumps({"Resources": {f"R{n}": {"Type": t} for n, t in enumerate(types)}}))

    def stack(file: str, **properties: str) -> dict[str, object]:
        environment = "aws://000000000000/eu-west-1"
        return {
            "type": "aws:cloudformation:stack",
            "environment": environment,
            "displayName": properties.pop("display", None) or "Tools",
            "properties": {"templateFile": file, **properties},
        }

    nested = {"type": "cdk:cloud-assembly", "properties": {"directoryName": "assembly-dev"}}
    storage = stack("Storage.json", display="dev/Storage", stackName="dev-Storage")
    for folder, artifacts in (
        (tmp_path, {"Tools": stack("Tools.json"), "dev": nested}),
        (stage, {"devStorage": storage}),
    ):
        (folder / "manifest.json").write_text(json.dumps({"artifacts": artifacts}))
    return Assembly(tmp_path)


def test_an_assembly_has_the_stacks_of_its_stages(assembly: Assembly) -> None:
    assert [(stack.id, stack.name, stack.region) for stack in assembly.stacks] == [
        ("Tools", "Tools", "eu-west-1"),
        ("dev/Storage", "dev-Storage", "eu-west-1"),
    ]
    assert assembly.regions() == ["eu-west-1"]


def test_selected_stacks_are_rehearsed_with_those_that_they_depend_on(assembly: Assembly) -> None:
    manifest = assembly.folder / "assembly-dev" / "manifest.json"
    content = json.loads(manifest.read_text())
    network = {**content["artifacts"]["devStorage"], "displayName": "dev/Network"}
    content["artifacts"]["devStorage"]["dependencies"] = ["devNetwork"]
    manifest.write_text(json.dumps({"artifacts": {"devNetwork": network, **content["artifacts"]}}))
    selected = Assembly(assembly.folder, ("dev/Storage",))
    assert [stack.id for stack in selected.stacks] == ["dev/Network", "dev/Storage"]
    assert [stack.id for stack in Assembly(assembly.folder, ("dev/Network",)).stacks] == ["dev/Network"]


def test_fails_when_a_selected_stack_does_not_exist(assembly: Assembly) -> None:
    with pytest.raises(RehearsalError, match="dev/Strage: no such stack; there are Tools, dev/Storage"):
        assert Assembly(assembly.folder, ("dev/Strage",)).stacks


def test_the_table_counts_what_is_recorded_only(assembly: Assembly) -> None:
    timing = Timing({"Tools": 1.25, "dev/Storage": 10.0}, {"Tools": 0.5}, {"dev/Storage": 2.0})
    assert table(assembly, STATE, timing).splitlines() == [
        "stack        resources  recorded only  deploy s  update s  destroy s",
        "Tools                1              0       1.2       0.5          -",
        "dev/Storage          3              1      10.0         -        2.0",
        "all                  4              1                               ",
    ]


def test_the_remarks_say_what_was_not_real_what_stays_and_what_is_not_proved() -> None:
    left = Leftovers(lost=(), kept=("AWS::S3::Bucket models in eu-west-1",), made_by_lambda=("/aws/lambda/empty",))
    text = remarks(STATE, left, Proofs())
    for part in (
        "kube-apiserver 1.35.4",
        "AWS::FSx::FileSystem",
        "istiod 1.30.3",
        "AWS::S3::Bucket: BucketEncryption, LifecycleConfiguration",
        "AWS::S3::Bucket models in eu-west-1",
        "/aws/lambda/empty",
        "permissions",
    ):
        assert part in text


def test_a_rehearsal_that_was_kept_up_says_nothing_of_leftovers() -> None:
    assert "Kept" not in remarks(STATE, None, Proofs())


def test_the_kind_of_clusters_is_named_with_what_real_nodes_lack() -> None:
    assert clusters(STATE) == "kube-apiserver 1.35.4"
    lacking = {**STATE, "lacks_for_nodes": ["go/kubelet", "root on Linux"]}
    assert (
        clusters(lacking)
        == "kube-apiserver 1.35.4; no real nodes, because this machine lacks go/kubelet, root on Linux"
    )


def test_the_remarks_tell_what_ran_and_what_is_stored_only() -> None:
    proofs = Proofs.of(
        {
            "training": {
                "running": {"Deployment kubeflow/training-operator": 4.2},
                "stored_only": {"Deployment kube-system/cluster-autoscaler": "registry.k8s.io/autoscaler:v1"},
                "idle": ["Deployment cert-manager/cert-manager"],
                "callers": ["kube-system/karpenter as Karpenter"],
                "unrestricted": ["amazon-cloudwatch"],
                "replaced": ["Pod kube-system/metrics-server-1: container main: restarted 1 times"],
                "findings": [],
            }
        }
    )
    text = remarks(STATE, None, proofs)
    assert "training: Deployment kubeflow/training-operator: 4.2 s" in text
    assert "training: Deployment kube-system/cluster-autoscaler: registry.k8s.io/autoscaler:v1" in text
    assert "training: Deployment cert-manager/cert-manager" in text
    assert "training: kube-system/karpenter as Karpenter" in text
    assert "training: amazon-cloudwatch" in text
    assert "training: Pod kube-system/metrics-server-1: container main: restarted 1 times" in text
    assert "workloads that are stored only" in text
    assert "everything that runs in pods" not in text


def test_proofs_name_the_cluster_of_a_fault() -> None:
    found = {
        "running": {},
        "stored_only": {},
        "idle": [],
        "callers": [],
        "unrestricted": [],
        "replaced": [],
        "findings": ["Pod a/b: restarted"],
    }
    assert Proofs.of({"training": found}).findings == ["training: Pod a/b: restarted"]
