"""Images: named as deployed, with the user and entrypoint of the original, and the same bytes from the same inputs."""

import hashlib
import json
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from kubernetes_rehearsal.interface import KubernetesError
from kubernetes_rehearsal.programs.archives import write_image
from kubernetes_rehearsal.programs.table import ImageRecipe

NAME = "registry.test/team/operator:v1"
RECIPE = ImageRecipe(
    files={}, entrypoint=("/manager",), command=("--help",), user="65532:65532", environment={"A": "b"}, folder="/app"
)


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    tree = tmp_path / "root"
    (tree / "usr" / "bin").mkdir(parents=True)
    (tree / "usr" / "bin" / "shell").write_text("shell")
    (tree / "usr" / "bin" / "sh").symlink_to("shell")
    program = tmp_path / "manager"
    program.write_text("program")
    program.chmod(0o755)
    return {"/": tree, "/opt/manager": program}


def read(archive: Path) -> tuple[dict[str, Any], dict[str, Any], tarfile.TarFile, bytes]:
    """Manifest, configuration, layer and the layer's bytes."""
    with tarfile.open(archive) as outer:
        content = {name: outer.extractfile(name).read() for name in outer.getnames()}  # type: ignore[union-attr]
    manifest = json.loads(content["manifest.json"])[0]
    layer = content[manifest["Layers"][0]]
    return manifest, json.loads(content[manifest["Config"]]), tarfile.open(fileobj=BytesIO(layer)), layer


def test_name_user_entrypoint_and_folder_are_the_originals(tmp_path: Path, sources: dict[str, Path]) -> None:
    write_image(tmp_path / "image.tar", NAME, RECIPE, sources)
    manifest, configuration, _, layer = read(tmp_path / "image.tar")
    assert manifest["RepoTags"] == [NAME]
    assert configuration["config"]["User"] == "65532:65532"
    assert configuration["config"]["Entrypoint"] == ["/manager"]
    assert configuration["config"]["Cmd"] == ["--help"]
    assert configuration["config"]["WorkingDir"] == "/app"
    assert "A=b" in configuration["config"]["Env"]
    assert configuration["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]


def test_files_keep_modes_and_links_belong_to_root_and_have_their_folders(
    tmp_path: Path, sources: dict[str, Path]
) -> None:
    write_image(tmp_path / "image.tar", NAME, RECIPE, sources)
    entries = {entry.name: entry for entry in read(tmp_path / "image.tar")[2].getmembers()}
    assert entries["opt/manager"].mode == 0o755
    assert entries["opt"].isdir()
    assert entries["usr/bin/sh"].linkname == "shell"
    assert entries["tmp"].mode == 0o1777
    assert "etc/passwd" in entries
    assert {(entry.uid, entry.gid, entry.mtime) for entry in entries.values()} == {(0, 0, 0)}


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path, sources: dict[str, Path]) -> None:
    for name in ("one", "two"):
        write_image(tmp_path / f"{name}.tar", NAME, RECIPE, sources)
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(KubernetesError, match="/manager: .*absent does not exist; correct the image's files"):
        write_image(tmp_path / "image.tar", NAME, RECIPE, {"/manager": tmp_path / "absent"})
    assert not (tmp_path / "image.layer").exists()
