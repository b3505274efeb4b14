import json
from pathlib import Path

import pytest

from delivery.assembly import read_assembly, stacks_of
from delivery.errors import DeliveryError

ROLE = "role/cdk-hnb659fds-lookup-role-111111111111-eu-west-1"


def write(folder: Path, artifacts: dict[str, object]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps({"artifacts": artifacts}), encoding="utf-8")
    return folder


def stack(id: str, *dependencies: str, environment: str = "aws://111111111111/eu-west-1") -> dict[str, object]:
    return {
        "type": "aws:cloudformation:stack",
        "environment": environment,
        "displayName": id,
        "dependencies": [*dependencies, "files"],
        "properties": {
            "stackName": id.replace("/", "-"),
            "templateFile": f"{id.rpartition('/')[2]}.template.json",
            "lookupRole": {"arn": f"arn:${{AWS::Partition}}:iam::111111111111:{ROLE}"},
        },
    }


@pytest.fixture
def assembly(tmp_path: Path) -> Path:
    """Two stages and a pipeline."""
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
        folder = write(tmp_path / f"assembly-{name}", inner)
        resources = {"Bucket": {"Type": "AWS::S3::Bucket"}, "Key": {"Type": "AWS::KMS::Key"}}
        (folder / "Storage.template.json").write_text(json.dumps({"Resources": resources}), encoding="utf-8")
    return write(tmp_path, outer)


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
