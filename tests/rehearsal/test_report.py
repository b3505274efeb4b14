import json
from pathlib import Path

import pytest

from rehearsal.assembly import Assembly
from rehearsal.leftovers import Leftovers
from rehearsal.report import Timing, remarks, table

STATE = {
    "kubernetes_api": "kube-apiserver 1.35.4",
    "recorded": ["AWS::FSx::FileSystem"],
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
    text = remarks(STATE, left)
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
    assert "Kept" not in remarks(STATE, None)
