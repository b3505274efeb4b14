import hashlib
import json
import os
from pathlib import Path

import pytest

from delivery.assembly import copy_with_templates, read_assembly, stacks_of
from delivery.errors import DeliveryError

ROLE = "role/cdk-hnb659fds-lookup-role-111111111111-eu-west-1"


def write(folder: Path, artifacts: dict[str, object]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps({"artifacts": artifacts}), encoding="utf-8")
    return folder


def stack(id: str, *dependencies: str, environment: str = "aws://111111111111/eu-west-1") -> dict[str, object]:
    name = id.rpartition("/")[2]
    return {
        "type": "aws:cloudformation:stack",
        "environment": environment,
        "displayName": id,
        "dependencies": [*dependencies, "files"],
        "properties": {
            "stackName": id.replace("/", "-"),
            "templateFile": f"{name}.template.json",
            "stackTemplateAssetObjectUrl": f"s3://assets/0123{name}.json",
            "lookupRole": {"arn": f"arn:${{AWS::Partition}}:iam::111111111111:{ROLE}"},
        },
    }


@pytest.fixture
def assembly(tmp_path: Path) -> Path:
    """Two stages and a pipeline."""
    root = tmp_path / "cdk.out"
    root.mkdir()
    outer: dict[str, object] = {"Pipeline": stack("Pipeline", environment="aws://999999999999/eu-west-1")}
    for name in ("dev", "dev-2"):
        outer[f"assembly-{name}"] = {
            "type": "cdk:cloud-assembly",
            "properties": {"directoryName": f"assembly-{name}", "displayName": name},
        }
        inner = {
            "A": stack(f"{name}/Network"),
            "B": stack(f"{name}/Storage", "A"),
            "files": {"type": "cdk:asset-manifest"},
        }
        folder = write(root / f"assembly-{name}", inner)
        resources = {"Bucket": {"Type": "AWS::S3::Bucket"}, "Key": {"Type": "AWS::KMS::Key"}}
        (folder / "Storage.template.json").write_text(json.dumps({"Resources": resources}), encoding="utf-8")
        asset = {
            "source": {"path": "Storage.template.json"},
            "destinations": {"here": {"objectKey": "0123Storage.json"}},
        }
        (folder / "Storage.assets.json").write_text(json.dumps({"files": {"0123Storage": asset}}), encoding="utf-8")
    return write(root, outer)


def test_an_account_has_the_stacks_of_its_stage_alone(assembly: Path) -> None:
    network, storage = stacks_of("dev", assembly)
    assert (network.id, network.name, network.account, network.region) == (
        "dev/Network",
        "dev-Network",
        "111111111111",
        "eu-west-1",
    )
    assert network.lookup_role == f"arn:aws:iam::111111111111:{ROLE}"
    assert storage.dependencies == ("dev/Network",)


def test_resources_are_found_by_their_types(assembly: Path) -> None:
    _, storage = stacks_of("dev", assembly)
    assert list(storage.resources("AWS::S3::Bucket", "AWS::S3::BucketPolicy")) == ["Bucket"]


def test_the_whole_assembly_has_the_pipeline_too(assembly: Path) -> None:
    assert {each.id.partition("/")[0] for each in read_assembly(assembly)} == {"dev", "dev-2", "Pipeline"}


def test_fails_for_an_account_that_was_not_synthesized(assembly: Path) -> None:
    with pytest.raises(DeliveryError, match="no account 'prod'; there are: dev, dev-2$"):
        stacks_of("prod", assembly)


def test_fails_where_nothing_was_synthesized(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="no cloud assembly; run `make synth` first$"):
        read_assembly(tmp_path)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.json")}


def test_a_copy_has_another_template_and_the_assembly_keeps_its_own(assembly: Path, tmp_path: Path) -> None:
    """Although unchanged files are linked."""
    before, copy = contents(assembly), tmp_path / "copy"
    copy_with_templates(assembly, {"dev/Storage": {"Resources": {}}}, copy)
    assert [stack.id for stack in read_assembly(copy)] == [stack.id for stack in read_assembly(assembly)]
    after = contents(copy)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {
        f"assembly-dev/{name}" for name in ("Storage.template.json", "Storage.assets.json", "manifest.json")
    }
    assert stacks_of("dev", copy)[1].template == {"Resources": {}}
    assert contents(assembly) == before
    assert (copy / "manifest.json").samefile(assembly / "manifest.json")


def test_a_changed_template_has_a_name_of_its_own_in_the_bucket(assembly: Path, tmp_path: Path) -> None:
    """By the old name the CLI would take the file that the bucket has already."""
    copy = tmp_path / "copy"
    copy_with_templates(assembly, {"dev/Storage": {"Resources": {}}}, copy)
    checksum = hashlib.sha256((copy / "assembly-dev" / "Storage.template.json").read_bytes()).hexdigest()
    assets = json.loads((copy / "assembly-dev" / "Storage.assets.json").read_text())["files"]
    assert assets[checksum]["destinations"]["here"]["objectKey"] == f"{checksum}.json"
    stacks = json.loads((copy / "assembly-dev" / "manifest.json").read_text())["artifacts"]
    urls = [stacks[id]["properties"]["stackTemplateAssetObjectUrl"] for id in "AB"]
    assert urls == ["s3://assets/0123Network.json", f"s3://assets/{checksum}.json"]


def test_a_copy_on_another_file_system_is_a_copy(
    assembly: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: str, target: str) -> None:
        raise OSError(18, "Invalid cross-device link", source, None, target)

    monkeypatch.setattr(os, "link", refuse)
    copy = tmp_path / "copy"
    copy_with_templates(assembly, {}, copy)
    assert contents(copy) == contents(assembly)
    assert not (copy / "manifest.json").samefile(assembly / "manifest.json")
